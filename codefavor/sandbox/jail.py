"""The jail around a program: namespaces, a root of its own, Landlock, seccomp, rlimits.

Level L3 has all of it, L2 no namespaces (Landlock and seccomp carry it), L1 only limits.
`prepare` runs once in the zygote, `confine` in every forked process.
"""

from __future__ import annotations

import fcntl
import math
import os
import platform
import resource
import signal
from collections.abc import Callable
from typing import Any

from codefavor.sandbox import kernel, landlock, mounts, seccomp

_WORK_BYTES, _WORK_FILES = 32 << 20, 2048
_STACK_BYTES = 64 << 20
_NOFILE = 256
_ROLE_UIDS = {"tests": 1, "program": 2}
_LONGEST_RUN_S = 86_400
_LIMITED = (
    resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE,
    resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_STACK, resource.RLIMIT_NPROC,
)  # fmt: skip
# What never runs a line of a program.
_TRUSTED_ROLES = ("tests", "resident")


class Jail:
    """One zygote's jail; `config` comes from the pool."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.level: str = config["level"]
        self.is_root: bool = config["is_root"]
        self.readable: list[str] = config["readable"]
        self.work = _free_place(self.readable) if self.level == "L3" else str(config["work"])
        self.machine = platform.machine()
        self.facts: dict[str, Any] = {"layers": []}
        self._without: list[str] = config.get("without", [])
        self._ruleset = -1
        self._filter: seccomp.Filter | None = None
        self._self_fd = -1
        self._base_bytes = 0
        self._uid_of: dict[str, int] = {}
        self._n_processes = 0
        self._keeps_reading = False
        self._hard_limits: dict[int, int] = {}

    # -- once -----------------------------------------------------------------------------

    def enter(self, ask_parent: Callable[[str], None]) -> None:
        """Enter the namespaces; the caller goes on as process 1 of its own pid namespace."""
        if self.level != "L3":
            return
        flags = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWNET
        flags |= kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWPID
        uid, gid = os.getuid(), os.getgid()
        kernel.unshare(flags)
        if self.is_root:
            ask_parent("map")
        else:
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{uid} {uid} 1")
            _write("/proc/self/gid_map", f"{gid} {gid} 1")
        _become_first()

    def prepare(self) -> dict[str, Any]:
        """Build the jail; returns what it consists of. Raises OSError if a part is refused."""
        with open("/proc/self/statm", encoding="ascii") as handle:
            self._base_bytes = int(handle.read().split()[0]) * resource.getpagesize()
        for kind in _LIMITED:
            _, hard = resource.getrlimit(kind)
            if hard != resource.RLIM_INFINITY:
                self._hard_limits[kind] = hard
        if self.level == "L3":
            self._prepare_namespaces()
        elif self.level == "L2":
            self._prepare_plain()
        if self.level != "L1":
            self._prepare_filters()
        if self.level == "L3":
            # Changing the uid has cleared it.
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        # Inherited by every forked process, so that it need not set them itself.
        os.umask(0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        self.facts.update(level=self.level, abi=kernel.landlock_abi(), work=self.work)
        return self.facts

    def _prepare_namespaces(self) -> None:
        if self.is_root:
            self._uid_of = dict(_ROLE_UIDS)
        mounts.build_root(self.readable, self.work, self.is_root, self.machine)
        self._mount_work()
        self._self_fd = _move_up(os.pidfd_open(os.getpid()))
        self.facts["layers"] += ["user", "pid", "mount", "net", "ipc", "uts"]

    def _prepare_plain(self) -> None:
        if kernel.landlock_abi() < 1:
            raise OSError("this kernel has no Landlock (it came with Linux 5.13)")
        if self.is_root:
            uid = 61_000 + os.getpid() % 4_000
            os.setgroups([])
            self._uid_of = {"tests": uid, "program": uid + 4_001}
            self._keeps_reading = not all(_is_open(path) for path in self.readable)
            self.facts["layers"].append("uid")
        os.chmod(self.work, 0o777)

    def _prepare_filters(self) -> None:
        plain = self.level == "L2"
        if "seccomp" not in self._without:
            self._filter = seccomp.Filter(self.machine, pretend_metadata=plain)
            self.facts["layers"].append("seccomp")
        if kernel.landlock_abi() > 0 and "landlock" not in self._without:
            self._renew_ruleset()
            self.facts["layers"].append("landlock")
        elif plain:
            raise OSError("Landlock is needed for level L2")
        self.facts["layers"] += ["capabilities", "rlimits"]

    def _renew_ruleset(self) -> None:
        if self._ruleset >= 0:
            os.close(self._ruleset)
        readable = ["/"] if self.level == "L3" else self.readable
        devices = [f"/dev/{name}" for name in ("null", "zero", "urandom", "random")]
        self._ruleset = _move_up(landlock.make_ruleset(readable, [self.work], devices))

    def _mount_work(self) -> None:
        options = f"size={_WORK_BYTES},nr_inodes={_WORK_FILES},mode=0777"
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("tmpfs", self.work, "tmpfs", flags, options)

    # -- every job ------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Let the next forked process be the first of a new pid namespace."""
        if self._self_fd >= 0:
            kernel.setns(self._self_fd, kernel.CLONE_NEWPID)
            kernel.unshare(kernel.CLONE_NEWPID)

    def after_job(self) -> None:
        """Give the next job an empty work directory."""
        if self.level == "L3":
            if os.listdir(self.work) or os.stat(self.work).st_mode & 0o7777 != 0o777:
                kernel.unmount(self.work)
                self._mount_work()
                if self._ruleset >= 0:
                    self._renew_ruleset()
        else:
            mounts.empty_directory(self.work)
            os.chmod(self.work, 0o777)

    def overflows(self) -> bool:
        """Whether the work directory holds too much, where no quota bounds it."""
        return self.level != "L3" and mounts.is_larger(self.work, _WORK_BYTES, _WORK_FILES)

    def confine(self, job: dict[str, Any], role: str) -> None:
        """Put the calling process into the jail, for good."""
        os.chdir(self.work)
        self._limit(job, role)
        if self._uid_of:
            self._change_uid(self._uid_of["tests" if role in _TRUSTED_ROLES else "program"])
        elif self.level != "L1":
            kernel.set_capabilities(0)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if self._ruleset >= 0:
            kernel.landlock_restrict(self._ruleset)
        if self._filter is not None:
            self._filter.load(os.getpid())

    def _change_uid(self, uid: int) -> None:
        if self._keeps_reading:
            kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        # The interpreter may lie under a closed home directory; Landlock says what is read.
        kernel.set_capabilities(1 << kernel.CAP_DAC_READ_SEARCH if self._keeps_reading else 0)

    def _limit(self, job: dict[str, Any], role: str) -> None:
        cpu = min(math.ceil(job["cpu_s"]) + 2, _LONGEST_RUN_S)
        if role == "resident":
            cpu = _LONGEST_RUN_S  # it sets a limit for each job itself
        room = self._base_bytes + job["memory_bytes"] * (1 if role == "program" else 2)
        limits = [
            (resource.RLIMIT_CPU, cpu),
            (resource.RLIMIT_AS, room),
            (resource.RLIMIT_FSIZE, job["file_bytes"]),
            (resource.RLIMIT_NOFILE, _NOFILE),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_MEMLOCK, 0),
            (resource.RLIMIT_STACK, _STACK_BYTES),
        ]
        if self._uid_of or self.level == "L3":
            limits.append((resource.RLIMIT_NPROC, job["threads"]))
        for kind, value in limits:
            hard = self._hard_limits.get(kind, value)
            resource.setrlimit(kind, (min(value, hard),) * 2)


def _free_place(readable: list[str]) -> str:
    """Where the work directory covers nothing that has to be read."""
    for place in ("/tmp", "/var/tmp"):
        if not any(path.startswith(place + "/") for path in readable):
            return place
    return "/run/work"


def _write(path: str, text: str) -> None:
    # Buffered files swallow the error that the kernel reports on this write.
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _move_up(fd: int) -> int:
    """The same descriptor at a number that forked processes do not rearrange."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 130)
    os.close(fd)
    return high


def _become_first() -> None:
    """Go on in a child, the first process of the new pid namespace; the parent only waits."""
    child = os.fork()
    if child == 0:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    os.closerange(0, 256)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0x7F)


def _is_open(path: str) -> bool:
    """Whether everyone may reach and read a path."""
    while True:
        if not os.stat(path).st_mode & 0o001:
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)
