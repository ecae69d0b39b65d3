"""Ways out of a jail without namespaces, tried against a real victim on every kernel.

Older kernels are emulated by restricting the Landlock version that the jail uses; what counts
is what became of the victim's files and process, not what the program was told.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from codefavor.errors import SandboxError
from codefavor.records import Execution
from codefavor.sandbox import Limits
from codefavor.sandbox.conclude import conclude
from codefavor.sandbox.outcome import Job
from codefavor.sandbox.selftest import prove
from codefavor.sandbox.worker import Worker

LANDLOCK_VERSIONS = (1, 2, 3, 5, 6, 7)
_LIMITS = Limits(cpu_s=4.0, wall_s=15.0, memory_bytes=512 << 20)
_SECRET = b"the victim's work"
_NUMBERS = {
    "x86_64": {"open": 2, "creat": 85, "truncate": 76, "openat": 257, "openat2": 437,
               "utimensat": 280, "fchmodat2": 452, "getxattr": 191, "setxattr": 188,
               "timer_create": 222, "rt_sigqueueinfo": 129, "fcntl": 72, "close_range": 436,
               "get_robust_list": 274},
    "aarch64": {"open": 9999, "creat": 9999, "truncate": 45, "openat": 56, "openat2": 437,
                "utimensat": 88, "fchmodat2": 452, "getxattr": 8, "setxattr": 5,
                "timer_create": 107, "rt_sigqueueinfo": 138, "fcntl": 25, "close_range": 436,
                "get_robust_list": 100},
}  # fmt: skip

# {pid} is a process of the same user, {path} a file of theirs, {library} one in a folder that
# the jail lets every program read. Each line is tried by itself.
_PRELUDE = """
import array, ctypes, fcntl, os, resource, shutil, signal, socket, struct, threading, time
libc = ctypes.CDLL(None, use_errno=True)
PATH, LIBRARY, PID = {path!r}, {library!r}, {pid}
N = {numbers!r}

def call(name, *arguments):
    return libc.syscall(ctypes.c_long(N[name]), *arguments)

def tried(action):
    try:
        action()
    except (OSError, ValueError):
        pass

def f(x):
    return x
"""

ESCAPES: dict[str, str] = {
    "empties a file by path": """
tried(lambda: os.truncate(PATH, 0))
tried(lambda: os.truncate(LIBRARY, 0))
call("truncate", PATH.encode(), 0)
libc.truncate(LIBRARY.encode(), 0)
""",
    "empties a file while opening it": """
for path in (PATH.encode(), LIBRARY.encode()):
    for access in (0, 1, 2, 3):
        call("open", path, access | os.O_TRUNC, 0)
        call("openat", -100, path, access | os.O_TRUNC, 0)
        call("openat2", -100, path, struct.pack("=QQQ", access | os.O_TRUNC, 0, 0), 24)
        call("openat", -100, path, access | os.O_TRUNC | os.O_CREAT, 0o600)
    call("creat", path, 0o600)
""",
    "writes, moves, links and deletes a file": """
tried(lambda: open(PATH, "r+b").write(b"owned"))
tried(lambda: open(PATH, "ab").write(b"owned"))
tried(lambda: os.rename(PATH, "mine"))
tried(lambda: os.rename(PATH, PATH + ".moved"))
tried(lambda: os.link(PATH, "mine"))
tried(lambda: os.link(PATH, PATH + ".linked"))
tried(lambda: os.symlink(PATH, "to-it"))
tried(lambda: open("to-it", "ab").write(b"owned"))
tried(lambda: os.unlink(PATH))
tried(lambda: os.mkdir(PATH + ".folder"))
tried(lambda: os.mkfifo(PATH + ".fifo"))
open("mine-too", "w").write("owned")
tried(lambda: os.rename("mine-too", PATH))
""",
    "changes mode, owner, times and attributes": """
for path in (PATH, LIBRARY):
    tried(lambda: os.chmod(path, 0o777))
    tried(lambda: os.chown(path, -1, os.getgid()))
    tried(lambda: os.utime(path, (1, 1)))
    tried(lambda: os.utime(path))
    tried(lambda: os.setxattr(path, "user.x", b"owned"))
    call("fchmodat2", -100, path.encode(), 0o777, 0)
    call("utimensat", -100, path.encode(), None, 0)
    call("setxattr", path.encode(), b"user.x", b"owned", 5, 0)
    for access in (os.O_RDONLY, os.O_PATH, 3):
        fd = call("openat", -100, path.encode(), access, 0)
        if fd >= 0:
            tried(lambda: os.fchmod(fd, 0o777))
            tried(lambda: os.utime(fd, (1, 1)))
            tried(lambda: os.ftruncate(fd, 0))
""",
    "kills by an owned descriptor": """
for option in (fcntl.F_SETOWN, 15):
    for make in (os.pipe, socket.socketpair):
        r, w = make()
        r, w = getattr(r, "detach", lambda: r)(), getattr(w, "detach", lambda: w)()
        argument = PID if option == fcntl.F_SETOWN else struct.pack("ii", 1, PID)
        tried(lambda: fcntl.fcntl(r, option, argument))
        tried(lambda: fcntl.ioctl(r, 0x8901, struct.pack("i", PID)))
        tried(lambda: fcntl.ioctl(r, 0x8902, struct.pack("i", PID)))
        tried(lambda: fcntl.fcntl(r, 10, signal.SIGKILL))
        tried(lambda: fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK))
        tried(lambda: os.write(w, b"x"))
""",
    "signals": """
for number in (signal.SIGKILL, signal.SIGSTOP, 0):
    for pid in (PID, -PID, -1, 0):
        tried(lambda: os.kill(pid, number))
    libc.tgkill(PID, PID, number)
    libc.tkill(PID, number)
    call("rt_sigqueueinfo", PID, number, bytes(128))
call("timer_create", 0, struct.pack("=QiiiI", 0, 9, 4, PID, 0) + bytes(40), bytes(8))
tried(lambda: resource.prlimit(PID, resource.RLIMIT_CPU, (0, 0)))
tried(lambda: os.setpriority(os.PRIO_USER, 0, 19))
tried(lambda: os.sched_setaffinity(PID, {{0}}))
""",
}

# What tells that another process exists, and more; {{}} stays empty.
_WATCHING = """
def asked(number):
    if number < 0:
        raise OSError(ctypes.get_errno(), "refused")

WAYS = {{
    "its CPU time": lambda: time.clock_gettime((~PID << 3) | 2),
    "the resolution of its clock": lambda: time.clock_getres((~PID << 3) | 2),
    "a timer on its clock": lambda: asked(call("timer_create", (~PID << 3) | 2, None, bytes(8))),
    "its affinity": lambda: os.sched_getaffinity(PID),
    "its scheduler": lambda: os.sched_getscheduler(PID),
    "its priority": lambda: os.getpriority(os.PRIO_PROCESS, PID),
    "its user's priority": lambda: os.getpriority(os.PRIO_USER, 0),
    "its process group": lambda: os.getpgid(PID),
    "its session": lambda: os.getsid(PID),
    "its locks": lambda: asked(call("get_robust_list", PID, bytes(8), bytes(8))),
    "its limits": lambda: resource.prlimit(PID, resource.RLIMIT_CPU),
}}

def f(x):
    seen = []
    for name, look in WAYS.items():
        try:
            look()
        except OSError:
            continue
        seen.append(name)
    return seen
"""
THREAD_BOMB = """
import threading
def f(x):
    threading.stack_size(32768)
    end, n = threading.Event(), 0
    try:
        while n < 4000:
            threading.Thread(target=end.wait, daemon=True).start()
            n += 1
    except RuntimeError:
        pass
    end.set()
    return n
"""
# Each holds 240 MiB in a way that a look at the work directory does not see.
_HOARDS: dict[str, str] = {
    "in deleted files": """
kept = []
for i in range(15):
    kept.append(open(str(i), "wb"))
    os.unlink(str(i))
    kept[-1].write(bytes(16 << 20))
    kept[-1].flush()
""",
    "in mapped files": """
libc.mmap.restype = ctypes.c_void_p
for i in range(15):
    fd = os.open(str(i), os.O_CREAT | os.O_RDWR)
    os.unlink(str(i))
    os.write(fd, bytes(16 << 20))
    where = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0))
    assert where != 2**64 - 1
    os.close(fd)
""",
    "beyond the end of a file": """
fd = os.open("x", os.O_CREAT | os.O_WRONLY)
if libc.fallocate(fd, 1, ctypes.c_long(0), ctypes.c_long(240 << 20)) != 0:
    raise OSError("refused")
""",
    "in files without a name": """
kept = []
for i in range(15):
    kept.append(os.open(".", os.O_TMPFILE | os.O_WRONLY))
    os.write(kept[-1], bytes(16 << 20))
""",
    "in files on their way": """
ours, theirs = socket.socketpair()
for i in range(15):
    with open(str(i), "wb") as handle:
        os.unlink(str(i))
        handle.write(bytes(16 << 20))
        handle.flush()
        rights = array.array("i", [handle.fileno()])
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
""",
    "in descriptors of a thread": """
held = []
def hold():
    if call("close_range", 200, 201, 2) == 0:
        for i in range(15):
            held.append(os.open(str(i), os.O_CREAT | os.O_WRONLY))
            os.unlink(str(i))
            os.write(held[-1], bytes(16 << 20))
        time.sleep(6)
thread = threading.Thread(target=hold)
thread.start()
thread.join(6)
if not held:
    raise OSError("refused")
""",
    "in a folder nobody may list": """
os.mkdir("closed", 0o300)
for i in range(15):
    open("closed/%d" % i, "wb").write(bytes(16 << 20))
""",
    "behind a long path": """
for i in range(20):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
for i in range(15):
    open(str(i), "wb").write(bytes(16 << 20))
""",
}
_STAY = "\nfor _ in range(60):\n    time.sleep(0.1)\n"


def defects(level: str, version: int) -> list[str]:
    """What the escapes did to the victim at a level, with a Landlock of this version."""
    worker, _ = prove(level, level, emulate={"landlock_version": version})
    try:
        return [*_escapes(worker), *_watchers(worker), *_hoards(worker), *_threads(worker)]
    finally:
        worker.close()


def run_split(worker: Worker, code: str, tests: str = "assert f(1) == 1") -> Execution:
    """One run in the split lane, whatever its tests need."""
    job = Job(code, tests, "", "", "split", ("f",))
    return conclude(worker.run(job, _LIMITS, lambda: None), _LIMITS, worker.level, "split")


def _threads(worker: Worker) -> list[str]:
    """A user's other processes must still be able to start threads, and honest programs too."""
    result = run_split(worker, THREAD_BOMB, "assert 30 <= f(0) <= 1200")
    return [] if result.outcome == "passed" else [f"starts threads: {result.error}"]


def _escapes(worker: Worker) -> list[str]:
    found: list[str] = []
    for name, code in ESCAPES.items():
        with _Victim() as victim:
            run_split(worker, victim.fill(_PRELUDE + code))
            found += [f"{name}: {trace}" for trace in victim.traces()]
    return found


def _watchers(worker: Worker) -> list[str]:
    with _Victim() as victim:
        result = run_split(worker, victim.fill(_PRELUDE + _WATCHING), "assert f(1) == []")
    return [] if result.outcome == "passed" else [f"sees another process: {result.error}"]


def _hoards(worker: Worker) -> list[str]:
    found: list[str] = []
    with _Victim() as victim:
        for name, code in _HOARDS.items():
            text = victim.fill(_PRELUDE) + code + _STAY
            result = run_split(worker, text)
            # Stopped, or refused on the way: anything but a program that got through.
            if result.outcome in ("passed", "timeout") or result.seconds > 4:
                found.append(f"keeps 240 MiB {name}: {result.outcome}")
    return found


class _Victim:
    """A process and files of this user; `library` lies where the jail lets programs read."""

    def __enter__(self) -> _Victim:
        self._folder = tempfile.TemporaryDirectory(prefix="victim-")
        self.paths = [Path(self._folder.name, "precious")]
        library = Path(os.__file__).parent
        if os.access(library, os.W_OK):
            self.paths.append(library / f"victim-{os.getpid()}.txt")
        for path in self.paths:
            path.write_bytes(_SECRET)
            path.chmod(0o666 if os.geteuid() == 0 else 0o600)
            os.utime(path, (1_000_000_000, 1_000_000_000))
        self._before = [_state(path) for path in self.paths]
        self._names = _names(self._folder.name)
        self._process = subprocess.Popen(["sleep", "1000"])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()
        for path in self.paths[1:]:
            path.unlink()

    def fill(self, code: str) -> str:
        """The program with the names of its targets."""
        numbers = _NUMBERS[os.uname().machine]
        path, library = str(self.paths[0]), str(self.paths[-1])
        return code.format(pid=self._process.pid, path=path, library=library, numbers=numbers)

    def traces(self) -> list[str]:
        """What was done to the files and the process."""
        found = [
            f"{path.name} is {_state(path)}, was {state}"
            for path, state in zip(self.paths, self._before, strict=True)
            if _state(path) != state
        ]
        if _names(self._folder.name) != self._names:
            found.append(f"beside it: {_names(self._folder.name)}")
        if self._process.poll() is not None or _is_stopped(self._process.pid):
            found.append("the process was signalled")
        return found


def _state(path: Path) -> tuple[object, ...]:
    try:
        facts = path.stat()
        names = os.listxattr(path)
    except FileNotFoundError:
        return ("gone",)
    return path.read_bytes(), oct(facts.st_mode), facts.st_uid, facts.st_mtime, names


def _names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def _is_stopped(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "T"


def unnoticed_removals(level: str) -> list[str]:
    """Layers without which a level is still proven."""
    layers = ["seccomp", "landlock", "rlimits"]
    layers += ["user", "pid", "mnt", "net", "ipc", "uts"] if level == "L3" else []
    # Who is not root changes no id, and has capabilities only in a namespace; with root's other
    # id all capabilities are gone.
    if os.geteuid() == 0:
        layers.append("uid")
    elif level == "L3":
        layers.append("capabilities")
    found: list[str] = []
    for layer in layers:
        try:
            worker, _ = prove(level, level, emulate={"without": [layer]})
        except SandboxError:
            continue
        worker.close()
        found.append(f"{level} is proven without {layer}")
    return found


def ways_out() -> list[str]:
    """Everything that gets past a jail of any kernel and level, or is proven without a layer."""
    found = unnoticed_removals("L3") + unnoticed_removals("L2") + defects("L3", 0)
    for version in LANDLOCK_VERSIONS:
        found += [f"Landlock {version}: {defect}" for defect in defects("L2", version)]
    return found


if __name__ == "__main__":
    print(*(_found := ways_out()), f"uid {os.getuid()}: {len(_found)} ways out", sep="\n")  # noqa: T201
    sys.exit(min(len(_found), 100))
