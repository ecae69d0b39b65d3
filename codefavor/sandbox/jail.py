"""The jail around a program: namespaces, a root of its own, Landlock, seccomp, rlimits.

Level L3 has all of it, L2 no namespaces (Landlock and seccomp carry it).
`enter` and `prepare` run once in the zygote, `confine` in every forked process.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import resource
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from codefavor.sandbox import kernel, landlock, mounts, seccomp

_WORK_BYTES, _WORK_FILES = 32 << 20, 2048
_STACK_BYTES = 64 << 20
_NOFILE = 256
_LONGEST_RUN_S = 86_400
_TESTS, _PROGRAM = 1, 2
_THREADS = 64
_TIMERS = 64  # and signals that wait, which the kernel counts for all processes of a user
_OWN_TASKS, _MORE_TASKS = 4, 1024
_NAMESPACES = {
    "user": kernel.CLONE_NEWUSER, "pid": kernel.CLONE_NEWPID, "mnt": kernel.CLONE_NEWNS,
    "net": kernel.CLONE_NEWNET, "ipc": kernel.CLONE_NEWIPC, "uts": kernel.CLONE_NEWUTS,
}  # fmt: skip


class Jail:
    """One zygote's jail; `config` comes from the pool.

    `ids` are the first of the spare user and group ids that root may use, empty for others.
    Tests set `landlock_version` to emulate older kernels, and `without` to leave out layers.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.level: str = config["level"]
        self.readable: list[str] = config["readable"]
        # A place where it covers nothing that has to be read.
        in_tmp = any(path.startswith("/tmp/") for path in self.readable)
        self.work = "/run/work" if in_tmp else "/tmp"
        if self.level != "L3":
            self.work = str(config["work"])
        self.facts: dict[str, Any] = {"layers": []}
        self._ids: list[int] = config["ids"]
        self._without: list[str] = config.get("without", [])
        newest = landlock.newest_version()
        self._landlock = min(newest, config.get("landlock_version", newest))
        self.n_cores: int = config["cores"]
        self._filter: seccomp.Filter | None = None
        self._rulesets: dict[bool, int] = {}  # by whether it is for a program
        self._pids = self._home = self._work_fd = -1
        self._base_bytes = self._tasks = self._held = self._reading = 0

    # -- once -----------------------------------------------------------------------------

    def enter(self, map_ids: Callable[[], None]) -> None:
        """Enter the namespaces; the caller goes on as process 1 of its own pid namespace."""
        if self.level == "L3":
            before = _namespaces()
            kernel.unshare(sum(v for k, v in _NAMESPACES.items() if k not in self._without))
            if self._ids:
                map_ids()
            else:
                uid, gid = os.getuid(), os.getgid()
                _write("/proc/self/setgroups", "deny")
                _write("/proc/self/uid_map", f"{uid} {uid} 1")
                _write("/proc/self/gid_map", f"{gid} {gid} 1")
            _become_first()
            # Nothing is mounted before it is certain that this is not the caller's own tree.
            for name, identity in _namespaces().items():
                if identity == before[name]:
                    raise OSError(f"there is no {name} namespace of its own")
                self.facts["layers"].append(name)
        if not self._ids:
            self._tasks = _count_tasks()
            # Before 5.14 kernels count the user's other processes in a new namespace as well,
            # and those may become more.
            if self.level == "L2" or self._tasks > _OWN_TASKS:
                self._tasks += _MORE_TASKS

    def prepare(self) -> dict[str, Any]:
        """Build the jail; returns what it consists of. Raises OSError if a part is refused."""
        with open("/proc/self/statm", encoding="ascii") as handle:
            self._base_bytes = int(handle.read().split()[0]) * resource.getpagesize()
        if self.level == "L3":
            self._prepare_namespaces()
        else:
            self._prepare_plain()
        self._prepare_filters()
        self._work_fd = os.open(self.work, os.O_RDONLY | os.O_DIRECTORY)
        # What follows is inherited by every forked process.
        if "rlimits" not in self._without:
            _set_limit(resource.RLIMIT_NOFILE, _NOFILE)
            _set_limit(resource.RLIMIT_STACK, _STACK_BYTES)
            _set_limit(resource.RLIMIT_MEMLOCK, 0)
            _set_limit(resource.RLIMIT_SIGPENDING, _TIMERS)
            # With 0 a handler of core dumps would still be started.
            _set_limit(resource.RLIMIT_CORE, 1)
        os.environ.update(HOME=self.work, TMPDIR=self.work)
        os.umask(0o022)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        self.facts.update(level=self.level, abi=self._landlock, work=self.work)
        return self.facts

    def _prepare_namespaces(self) -> None:
        """A root for all processes, and a work directory that only programs see."""
        here = os.open("/proc/self/ns", os.O_PATH)
        self._pids = os.open("pid", os.O_RDONLY, dir_fd=here)
        mounts.build_root(self.readable, self.work, bool(self._ids), platform.machine())
        self._home = os.open("mnt", os.O_RDONLY, dir_fd=here)
        os.close(here)
        self._ids = [0, 0] if self._ids else []
        kernel.unshare(kernel.CLONE_NEWNS)
        options = f"size={_WORK_BYTES},nr_inodes={_WORK_FILES},mode=0700"
        if self._ids:
            options += f",uid={_PROGRAM},gid={_PROGRAM}"
        # Not MS_NOEXEC: nothing can be executed anyway, and os.access would say what no desk says.
        kernel.mount("tmpfs", self.work, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
        # Changing the uid has cleared it.
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)

    def _prepare_plain(self) -> None:
        if self._landlock < 1 or "landlock" in self._without:
            raise OSError("level L2 needs Landlock, which came with Linux 5.13")
        if self._ids:
            os.setgroups([])
            self._held = kernel.held_capabilities()
            # The interpreter may lie under a closed home directory; Landlock says what is read.
            # A container's root often has only the second of these.
            if not all(_is_open(path) for path in self.readable):
                can_search = self._held & kernel.CAP_DAC_READ_SEARCH
                self._reading = can_search or kernel.CAP_DAC_OVERRIDE
            os.chown(self.work, self._ids[0] + _PROGRAM, self._ids[1] + _PROGRAM)

    def _prepare_filters(self) -> None:
        if "seccomp" not in self._without:
            answers: dict[str, int] = {}
            if self.level == "L2":
                owns_files = not self._ids or self._reading == kernel.CAP_DAC_OVERRIDE
                answers = seccomp.without_namespaces(self._landlock, owns_files=owns_files)
            self._filter = seccomp.Filter(platform.machine(), answers)
            self.facts["layers"].append("seccomp")
        if self._landlock > 0 and "landlock" not in self._without:
            self._rulesets = {False: self._make_ruleset([]), True: self._make_ruleset([self.work])}
            self.facts["layers"].append("landlock")
        self.facts["layers"] += [*(["uid"] if self._ids else []), "capabilities", "rlimits"]

    def _make_ruleset(self, writable: list[str]) -> int:
        access = dict.fromkeys(["/"] if self.level == "L3" else self.readable, landlock.READ)
        for name in mounts.DEVICES:
            access[f"/dev/{name}"] = landlock.DEVICE
        access.update(dict.fromkeys(writable, landlock.WRITE))
        return landlock.make_ruleset(self._landlock, access)

    # -- every job ------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Let the next forked process be the first of a new pid namespace."""
        if self._pids >= 0:
            kernel.setns(self._pids, kernel.CLONE_NEWPID)
            kernel.unshare(kernel.CLONE_NEWPID)

    def after_job(self) -> None:
        """Give the next job an empty work directory."""
        os.fchmod(self._work_fd, 0o700)
        mounts.empty_directory(self._work_fd)

    def leave(self) -> NoReturn:
        """End this process, whose caller has gone and so removes no directory."""
        if self.level != "L3":
            with contextlib.suppress(OSError):
                self.after_job()
                os.rmdir(self.work)
                os.rmdir(os.path.dirname(self.work))
        os._exit(0)

    def overflows(self, pid: int, file_bytes: int) -> bool:
        """Whether a program keeps too much in files, where no quota bounds it."""
        try:
            if self._ids:  # a container's root may look at nobody else's descriptors
                os.setegid(self._ids[1] + _PROGRAM)
                os.seteuid(self._ids[0] + _PROGRAM)
                kernel.set_capabilities(self._reading, self._held)
            hidden = mounts.deleted_bytes(pid, self.work, file_bytes)
        finally:
            if self._ids:
                os.seteuid(0)
                os.setegid(0)
        return mounts.is_larger(self.work, _WORK_BYTES - hidden, _WORK_FILES)

    def confine(self, role: str, terms: tuple[float, ...]) -> None:
        """Put the calling process into the jail, for good; `terms` are its CPU seconds and bytes.

        The roles `program` and `together` get the work directory, which is their HOME; `tests`
        never runs a line of a program and has none, and another user id, so that nothing but
        its channel connects it with a program.
        """
        is_program = role != "tests"
        if "rlimits" not in self._without:
            self._limit(role, *terms)
        if not is_program and self._home >= 0:
            kernel.setns(self._home, kernel.CLONE_NEWNS)
        os.chdir(self.work if is_program else "/")
        if self._ids and "uid" not in self._without:
            self._change_ids(_PROGRAM if is_program else _TESTS)
        elif "capabilities" not in self._without:
            kernel.set_capabilities(0)
        if is_program and self.level != "L3":
            kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or `overflows` could not look
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if self._rulesets:
            landlock.restrict(self._rulesets[is_program])
        if self._filter is not None:
            kernel.load_filter(self._filter.of(os.getpid()))

    def _change_ids(self, role: int) -> None:
        if self._reading:
            kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
        uid, gid = self._ids[0] + role, self._ids[1] + role
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        kernel.set_capabilities(self._reading)

    def _limit(self, role: str, cpu_s: float, memory_bytes: float, file_bytes: float) -> None:
        # A process of tests sets a limit on its CPU time for each job itself. The zygote watches
        # the clock; this holds should it be held up, and is far because the kernel counts ticks,
        # of which a busy machine has too many.
        cpu = _LONGEST_RUN_S if role == "tests" else min(2 * math.ceil(cpu_s) + 2, _LONGEST_RUN_S)
        room = self._base_bytes + memory_bytes * (1 if role == "program" else 2)
        _set_limit(resource.RLIMIT_CPU, cpu)
        _set_limit(resource.RLIMIT_AS, room)
        _set_limit(resource.RLIMIT_FSIZE, file_bytes)
        _set_limit(resource.RLIMIT_NPROC, self._tasks + _THREADS)


def _set_limit(kind: int, most: float) -> None:
    value = int(most)
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _namespaces() -> dict[str, str]:
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES}


def _count_tasks() -> int:
    """More than the tasks that the kernel counts for this user, at most twice as many.

    Those in other containers count too, so no list of processes would do: what counts is the
    limit that permits a fork.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = hard if hard != resource.RLIM_INFINITY else 1 << 22
    limit = 1
    while limit < most:
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, hard))
        try:
            pid = os.fork()
        except BlockingIOError:
            limit *= 2
            continue
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        break
    resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    return limit


def _write(path: str, text: str) -> None:
    # Buffered files swallow the error that the kernel reports on this write.
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


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
    parts = path.split("/")
    above = ("/".join(parts[:i]) or "/" for i in range(1, len(parts) + 1))
    return all(os.stat(one).st_mode & 0o001 for one in above)
