"""Proves how tight the jail is, by trying to get out of it with a real job."""

from __future__ import annotations

import os
import platform
import secrets
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codefavor.errors import SandboxError
from codefavor.records import Execution
from codefavor.sandbox.conclude import conclude
from codefavor.sandbox.outcome import LEVELS, Job, Limits
from codefavor.sandbox.worker import JailRefused, Worker, WorkerGone

_LIMITS = Limits(cpu_s=10.0, wall_s=60.0, memory_bytes=256 << 20, file_bytes=1 << 20)

# `attempt` says "got it" after statements that should have failed; the tests judge outside.
_PROBE = """
import ctypes, fcntl, os, socket, struct, tempfile, threading, time
libc = ctypes.CDLL(None, use_errno=True)
thread = lambda action: threading.Thread(target=action)

def attempt(statements):
    try:
        exec(statements, globals())
    except (OSError, MemoryError, KeyError, AssertionError, AttributeError):
        return "failed"  # an older Python or libc may not even have the function
    except BaseException as error:
        return repr(error)
    return "got it"
"""
# (what is tried, what it means when it works)
_PROBES = (
    ("bytearray(300 << 20)", "the memory limit did not hold"),
    ("open('x', 'wb').write(bytes(2 << 20))", "the file size limit did not hold"),
    ("os.environ[VARIABLE]", "a variable of the caller's environment was visible"),
    ("open(FILE).read()", "a file outside could be read"),
    ("os.listdir(os.path.dirname(FILE))", "a directory outside could be read"),
    ("assert libc.getxattr(PATH, b'user.x', None, 0) >= 0 or ctypes.get_errno() == 61",
     "a file's attributes could be read"),
    ("socket.socket().connect(('127.0.0.1', PORT))", "a TCP connection was possible"),
    ("socket.socket(2, 2).sendto(b'x', ('127.0.0.1', PORT))", "a datagram could be sent"),
    ("os.fork() or os._exit(0)", "the program could fork"),
    ("os.posix_spawn('/bin/true', ['true'], {})", "a command could be started"),
    ("os.memfd_create('x')", "memory could be had outside the limit"),
    ("one = socket.socketpair()[0]; one.setsockopt(1, 7, 1 << 30)\n"
     "assert one.getsockopt(1, 7) > 1 << 29", "the kernel could hold memory for it"),
    ("socket.socketpair()[0].getsockopt(1, 77)", "a descriptor of a process could be had"),
    ("assert not any(libc.timer_create(0, None, bytes(8)) for _ in range(99))",
     "timers of the caller could be used up"),
    ("os.kill(PID, 0)", "another process could be signalled"),
    ("time.clock_gettime((~PID << 3) | 2)", "another process's CPU time was visible"),
    ("os.sched_getaffinity(PID), os.getpgid(PID)", "another process could be asked about"),
    ("assert libc.fallocate(os.open('x', 66), 1, ctypes.c_long(0), ctypes.c_long(4096)) == 0",
     "disk could be held that no size shows"),
    ("fcntl.fcntl(0, fcntl.F_SETOWN, PID)", "a descriptor could signal another process"),
    ("fcntl.fcntl(0, 15, struct.pack('ii', 1, PID))", "F_SETOWN_EX was possible"),
    ("fcntl.fcntl(0, 10, 9)", "a descriptor could send SIGKILL"),
    ("fcntl.ioctl(socket.socketpair()[0], 0x8901, struct.pack('i', PID))",
     "a socket could signal another process"),
    ("held = (ctypes.c_uint32 * 6)(); libc.capget(struct.pack('=Ii', 0x20080522, 0), held)\n"
     "assert held[0] & ~6 or held[3]", "the program had capabilities"),
    ("assert HAS_IDS and 0 in (*os.getresuid(), *os.getresgid(), *os.getgroups())",
     "the program had an id of root"),
    ("own = []; t = thread(lambda: own.append(libc.syscall(436, 200, 201, 2)))\n"
     "t.start(); t.join(); assert own == [0]", "a thread could have descriptors of its own"),
)  # fmt: skip
# What could have changed FILE or its directory; whether it did is looked up outside.
_MEDDLING = (
    "os.truncate(FILE, 0)", "os.chmod(FILE, 0o777)", "os.utime(FILE, (1, 1))", "os.utime(FILE)",
    "os.setxattr(FILE, 'user.x', b'x')", "open(FILE, 'ab').write(b'x')", "open(FILE + '1', 'x')",
    "os.link(FILE, FILE + '1')", "os.mkdir(FILE + '1')", "os.mkfifo(FILE + '1')",
    "os.rename(FILE, FILE + '1')", "os.unlink(FILE)",
    # By their x86-64 numbers, which libc no longer uses: open, truncate, creat.
    "for mode in range(4): libc.openat(-100, PATH, mode | 512), libc.syscall(2, PATH, mode | 512)",
    "libc.syscall(76, PATH, 0), libc.syscall(85, PATH, 0o600)",
)  # fmt: skip
_HONEST = """
done = []
threads = [thread(lambda: done.append(1)) for _ in range(8)]
[t.start() for t in threads], [t.join() for t in threads], socket.socketpair()
with tempfile.TemporaryDirectory() as folder:
    done.append(open(folder + '/x', 'w').write('x'))
assert len(done) == 9
"""
_HOARDING = """
kept = [tempfile.TemporaryFile(buffering=0) for _ in range(48)]
assert all(file.write(bytes(1 << 20)) for file in kept)
time.sleep(10)
"""


@dataclass(frozen=True)
class Proof:
    """The proven level, its layers, and why nothing higher was reached."""

    level: str
    layers: tuple[str, ...]
    landlock_abi: int
    kernel: str
    reasons: tuple[str, ...] = field(default=())


def prove(
    required: str,
    highest: str = "L3",
    flavour: str = "lean",
    *,
    emulate: dict[str, Any] | None = None,
    hash_seed: int = 0,
) -> tuple[Worker, Proof]:
    """Start a worker at the highest level this system proves, at least `required`.

    `emulate` stands for a poorer system in tests (see `Jail`). Raises SandboxError with what
    failed at each level and what to do about it.
    """
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise SandboxError(
            f"the sandbox needs Linux on x86-64 or aarch64, this is {sys.platform} on "
            f"{platform.machine()}; run CodeFavor in a Linux container or virtual machine"
        )
    reasons: list[str] = []
    for level in reversed(LEVELS[LEVELS.index(required) : LEVELS.index(highest) + 1]):
        try:
            worker = Worker(flavour, level, emulate=emulate, hash_seed=hash_seed)
        except JailRefused as error:
            reasons.append(str(error))
            continue
        try:
            failures = find_holes(worker)
        except WorkerGone as error:
            failures = [f"the self-test failed: {error}"]
        except BaseException:
            worker.close()  # no process stays behind, whatever stopped it
            raise
        if not failures:
            layers, abi = tuple(worker.facts["layers"]), int(worker.facts["abi"])
            return worker, Proof(level, layers, abi, platform.release(), tuple(reasons))
        worker.close()
        reasons += [f"level {level}: {failure}" for failure in failures]
    raise SandboxError(
        f"the sandbox reaches no level {required} here: {'; '.join(reasons)}. {remedy(reasons)}"
    )


def find_holes(worker: Worker) -> list[str]:
    """What a probing program could do in spite of the level of its worker."""
    layers = worker.facts["layers"]
    needed = ["seccomp"] + ["landlock"] * (worker.facts["abi"] > 0)
    found = [f"the layer {name} is missing" for name in needed if name not in layers]
    with _Surroundings() as around:
        program = around.header(PID=worker.pid, HAS_IDS="uid" in layers) + _PROBE
        checks = [f"assert attempt({tried!r}) == 'failed'" for tried, _ in _PROBES]
        checks.append(f"assert attempt({_HONEST!r}) == 'got it'")
        meddling = [f"attempt({tried!r})" for tried in _MEDDLING]
        result = _run(worker, program, "\n".join(checks + meddling))
        if len(result.asserts) != len(checks):
            return [*found, f"the self-test ended as {result.outcome}: {result.error}"]
        meanings = [meaning for _, meaning in _PROBES] + ["threads or temporary files failed"]
        found += [m for m, held in zip(meanings, result.asserts, strict=True) if not held]
        if around.were_touched():
            found.append("a file outside was changed")
    # Without a quota the zygote looks at the files, and stops the program.
    result = _run(worker, program, f"assert attempt({_HOARDING!r}) == 'failed'")
    if result.outcome not in ("passed", "output_limit"):
        found.append("deleted files could hold more than the work directory may")
    return found


def _run(worker: Worker, program: str, tests: str) -> Execution:
    job = Job(program, tests, "", "", "split", ("attempt",))
    report = worker.run(job, _LIMITS, lambda: None)
    return conclude(report, _LIMITS, worker.level, "split")


class _Surroundings:
    """What nothing in a jail may see or reach: a variable, a file and a TCP socket."""

    def __enter__(self) -> _Surroundings:
        self._variable = f"CODEFAVOR_CANARY_{secrets.token_hex(8)}"
        os.environ[self._variable] = "seen"
        self._folder = tempfile.TemporaryDirectory(prefix="codefavor-canary-")
        self._file = os.path.join(self._folder.name, "canary")
        Path(self._file).write_bytes(secrets.token_bytes(8))
        self._before = self._state()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        os.environ.pop(self._variable, None)
        self._folder.cleanup()
        self._socket.close()

    def header(self, **values: object) -> str:
        """Lines that tell the probing program what to try."""
        values.update(VARIABLE=self._variable, FILE=self._file, PATH=os.fsencode(self._file))
        values.update(PORT=self._socket.getsockname()[1])
        return "".join(f"{name} = {value!r}\n" for name, value in values.items())

    def _state(self) -> tuple[object, ...]:
        with os.scandir(self._folder.name) as entries:
            found = [
                (entry.name, entry.stat().st_mode, entry.stat().st_mtime_ns) for entry in entries
            ]
        return found, Path(self._file).read_bytes() if found else b""

    def were_touched(self) -> bool:
        """Whether anybody connected or changed anything."""
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return self._state() != self._before
        return True


def remedy(reasons: list[str]) -> str:
    """What the user can do on this system."""
    advice = [text for switch, value, text in _SWITCHES if _is(switch, value)]
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        advice.append(
            "in a container, start it with --security-opt seccomp=unconfined --security-opt "
            "apparmor=unconfined (or a profile that allows unshare and mount)"
        )
    if any("Landlock" in reason for reason in reasons):
        advice.append("Landlock needs Linux 5.13 or newer, with landlock in the lsm= list")
    return "What helps: " + "; ".join([*advice, "`codefavor sandbox check` shows every layer"])


_SWITCHES = (
    ("kernel/apparmor_restrict_unprivileged_userns", "1",
     "AppArmor refuses user namespaces (Ubuntu 24.04): sudo sysctl "
     "kernel.apparmor_restrict_unprivileged_userns=0"),
    ("user/max_user_namespaces", "0",
     "user namespaces are switched off: sudo sysctl user.max_user_namespaces=15000"),
    ("kernel/unprivileged_userns_clone", "0", "sudo sysctl kernel.unprivileged_userns_clone=1"),
)  # fmt: skip


def _is(switch: str, value: str) -> bool:
    try:
        return Path("/proc/sys", switch).read_text(encoding="ascii").strip() == value
    except OSError:
        return False
