"""The process that forks a program and its tests for every job, and kills both for sure.

It never sees a program, a test or a verdict: they travel in file descriptors that only the
forked processes read, so nothing of one job can be found in the memory of the next.
"""

from __future__ import annotations

import _socket
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any, NamedTuple, NoReturn

from codefavor.sandbox import in_process, program, tests_run
from codefavor.sandbox.jail import Jail

CHANNEL_FD = 3
_N_JOB_FDS = 4
_KILL = b"K"
_LOOK_AT_FILES_S = 0.1
_TROUBLE_FD = 120


class Child(NamedTuple):
    """A forked process: its id, and a descriptor that turns readable when it ends."""

    pid: int
    pidfd: int


def main() -> NoReturn:
    """Serve jobs on the control socket until it closes."""
    control = _socket.socket(fileno=int(sys.argv[1]))
    sys.argv[:] = sys.orig_argv[:] = [""]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = json.loads(control.recv(1 << 20))
    jail = Jail(config)
    try:
        jail.enter(lambda word: _ask_parent(control, word))
        sys.path.extend(config["site"])
        for name in config["preload"]:
            try:
                __import__(name)
            except ImportError:
                continue
        facts = jail.prepare()
    except OSError as error:
        control.send(json.dumps({"error": f"{error.strerror or error}"}).encode())
        os._exit(1)
    trouble, trouble_end = os.pipe2(os.O_NONBLOCK)
    os.dup2(trouble_end, _TROUBLE_FD)
    os.close(trouble_end)
    # The collector must not touch (and so copy) the pages that all children share.
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"ready": True, "facts": facts}).encode())
    while True:
        data, descriptors = _receive(control)
        if not data:
            os._exit(0)
        if data == _KILL:
            continue
        job = json.loads(data)
        report = _run_job(control, jail, job, descriptors)
        failure = _read_trouble(trouble)
        if failure:
            report["infra"] = failure
        control.send(json.dumps(report).encode())


def _read_trouble(fd: int) -> str:
    try:
        return os.read(fd, 4096).decode("utf-8", "replace")
    except BlockingIOError:
        return ""


def _ask_parent(control: Any, word: str) -> None:
    control.send(json.dumps({"ask": word}).encode())
    if control.recv(64) != b"done":
        os._exit(1)


def _receive(control: Any) -> tuple[bytes, list[int]]:
    size = _socket.CMSG_SPACE(4 * 8)
    data, ancillary, _flags, _address = control.recvmsg(1 << 16, size)
    descriptors: list[int] = []
    for level, kind, payload in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            descriptors += [
                int.from_bytes(payload[i : i + 4], sys.byteorder)
                for i in range(0, len(payload) // 4 * 4, 4)
            ]
    return data, descriptors


def _run_job(
    control: Any, jail: Jail, job: dict[str, Any], descriptors: list[int]
) -> dict[str, Any]:
    if len(descriptors) != _N_JOB_FDS:
        for fd in descriptors:
            os.close(fd)
        return {"infra": "descriptors were lost on the way"}
    code_fd, tests_fd, output_fd, verdict_fd = descriptors
    started = time.monotonic()
    try:
        theirs, ours = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
        if job["mode"] == "in_process":
            fds = (ours.fileno(), tests_fd, verdict_fd, output_fd)
            tests = candidate = _fork(jail, job, "tests", fds)
        else:
            tests = _fork(jail, job, "tests", (ours.fileno(), tests_fd, verdict_fd, -1))
            candidate = _fork(jail, job, "program", (theirs.fileno(), code_fd, -1, output_fd))
        theirs.close()
        ours.close()
    except OSError as error:
        return {"infra": f"{type(error).__name__}: {error}"}
    finally:
        for fd in descriptors:
            os.close(fd)
    report = _watch(control, jail, job, candidate, tests, started)
    try:
        jail.after_job()
    except OSError as error:
        report["stale"] = f"{type(error).__name__}: {error}"
    return report


def _fork(jail: Jail, job: dict[str, Any], role: str, fds: tuple[int, int, int, int]) -> Child:
    jail.before_fork()
    pid = os.fork()
    if pid:
        return Child(pid, os.pidfd_open(pid))
    try:
        _confine(jail, job, role, fds)
        if role == "tests":
            _be_tests(job)
        _be_program(job)
    finally:
        os._exit(70)


def _confine(jail: Jail, job: dict[str, Any], role: str, fds: tuple[int, int, int, int]) -> None:
    """Enter the jail; why that failed goes to the zygote, out of the program's reach."""
    try:
        _arrange(*fds)
        jail.confine(job, role)
    except BaseException as error:
        # The parent must learn of any trouble here; there is no other way out of this process.
        os.write(_TROUBLE_FD, f"{type(error).__name__}: {error} ".encode()[:500])
        raise
    os.closerange(6 if role == "tests" else 5, 256)


def _arrange(channel: int, source: int, verdict: int, output: int) -> None:
    """Leave open: 0-2 (null or the output pipe), 3 the channel, 4 the source, 5 the verdict."""
    null = os.open("/dev/null", os.O_RDWR)
    high = [os.dup2(fd, 100 + i) for i, fd in enumerate((null, channel, source)) if fd >= 0]
    high_output = os.dup2(output if output >= 0 else null, 110)
    if verdict >= 0:
        os.dup2(verdict, 111)
        os.dup2(111, 5, inheritable=False)
    os.dup2(high[0], 0)
    os.dup2(high_output, 1)
    os.dup2(high_output, 2)
    os.dup2(high[1], 3, inheritable=False)
    os.dup2(high[2], 4, inheritable=False)


def _read_all(fd: int) -> str:
    size = os.fstat(fd).st_size
    parts: list[bytes] = []
    offset = 0
    while offset < size:
        part = os.pread(fd, size - offset, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    os.close(fd)
    return b"".join(parts).decode("utf-8", "surrogatepass")


def _be_program(job: dict[str, Any]) -> NoReturn:
    program.run_program(CHANNEL_FD, _read_all(4), job["reply_bytes"])
    os._exit(0)


def _be_tests(job: dict[str, Any]) -> NoReturn:
    source = json.loads(_read_all(4))
    if job["mode"] == "in_process":
        in_process.run_in_process(source["code"], source["tests"], source["entry_point"], 5)
    tests_run.run_tests_process(
        CHANNEL_FD, 5, source["tests"], source["entry_point"], job["reply_bytes"]
    )
    os._exit(0)


# -- watching ---------------------------------------------------------------------------------


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process, all threads: its clock's id is made of the process id."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _watch(  # noqa: PLR0917
    control: Any,
    jail: Jail,
    job: dict[str, Any],
    candidate: Child,
    tests: Child,
    started: float,
) -> dict[str, Any]:
    poller = select.poll()
    poller.register(control.fileno(), select.POLLIN)
    poller.register(tests.pidfd, select.POLLIN)
    deadline = started + job["wall_s"]
    stopped = ""
    while not stopped:
        now = time.monotonic()
        left = deadline - now
        spent = max(_cpu_seconds(candidate.pid), _cpu_seconds(tests.pid))
        if left <= 0:
            stopped = "wall"
            break
        if spent >= job["cpu_s"]:
            stopped = "cpu"
            break
        # Sooner than this the CPU limit cannot be reached, even on all cores at once.
        pause = min(left, max((job["cpu_s"] - spent) / job["cores"], 0.005))
        if jail.level != "L3":
            pause = min(pause, _LOOK_AT_FILES_S)
            if jail.overflows():
                stopped = "files"
                break
        events = dict(poller.poll(int(pause * 1000) + 1))
        if tests.pidfd in events:
            break
        if control.fileno() in events:
            if control.recv(16) == b"":
                os.kill(candidate.pid, signal.SIGKILL)
                os.kill(tests.pid, signal.SIGKILL)
                os._exit(0)
            stopped = "output"
    return _reap(candidate, tests, stopped, started)


def _reap(candidate: Child, tests: Child, stopped: str, started: float) -> dict[str, Any]:
    died_first = bool(select.select([candidate.pidfd], [], [], 0)[0])
    if stopped:
        signal.pidfd_send_signal(tests.pidfd, signal.SIGKILL)
    if not died_first:
        signal.pidfd_send_signal(candidate.pidfd, signal.SIGKILL)
    _, program_status, program_usage = os.wait4(candidate.pid, 0)
    os.close(candidate.pidfd)
    tests_status, tests_cpu = program_status, 0.0
    if tests.pid != candidate.pid:
        _, tests_status, tests_usage = os.wait4(tests.pid, 0)
        os.close(tests.pidfd)
        tests_cpu = tests_usage.ru_utime + tests_usage.ru_stime
    own = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "stopped": stopped,
        "died_first": died_first,
        "program_status": program_status,
        "tests_status": tests_status,
        "program_cpu": program_usage.ru_utime + program_usage.ru_stime,
        "tests_cpu": tests_cpu,
        "peak_bytes": program_usage.ru_maxrss * 1024,
        "seconds": time.monotonic() - started,
        "own_bytes": own.ru_maxrss * 1024,
        "own_cpu": own.ru_utime + own.ru_stime,
    }
