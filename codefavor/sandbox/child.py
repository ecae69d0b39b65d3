"""A forked process from its first instruction to its last: into the jail, then its work."""

from __future__ import annotations

import _socket
import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from codefavor.sandbox import kernel, program, resident, together
from codefavor.sandbox.jail import Jail
from codefavor.sandbox.wire import Channel, PeerGone

# Where every process has its control socket, and a program its channel once that is closed.
_FIRST_FD = 3
_REHEARSALS = 20  # CPython 3.11 specialises a function at its eighth call


class Child:
    """A process in the jail that waits for its work.

    `role` is `program`, `tests` (for one run or many) or `together`; `terms` are the limits it
    was given. `output` is what it prints, to be drained.
    """

    def __init__(self, jail: Jail, role: str, terms: tuple[float, ...]) -> None:
        self.role, self.terms = role, terms
        self.control, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0)
        # What tests print goes where their input comes from: the null device.
        self.output, written = (-1, 0) if role == "tests" else os.pipe()
        jail.before_fork()
        self.pid = os.fork()
        if self.pid == 0:
            _live(jail, role, terms, theirs.fileno(), written)
        self.pidfd = os.pidfd_open(self.pid)
        theirs.close()
        if written:
            os.close(written)

    def offer(self, job: dict[str, Any], fds: Sequence[int]) -> None:
        """Hand over a job; a process that died meanwhile shows that by its end."""
        packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)]
        try:
            self.control.sendmsg([json.dumps(job).encode()], rights)
        except OSError:
            self.kill()

    def is_alive(self) -> bool:
        """Whether it still waits for work."""
        return not select.select([self.pidfd], [], [], 0)[0]

    def cpu_seconds(self) -> float:
        """CPU time of all its threads: the number of their clock is made of the process id."""
        try:
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            return 0.0

    def kill(self) -> None:
        """Kill it; it is reaped later, so that its number is not used again before."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def reap(self) -> tuple[int, resource.struct_rusage]:
        """Wait until it is gone: its status, and what it used."""
        _, status, usage = os.wait4(self.pid, 0)
        return status, usage

    def close(self) -> str:
        """Let go of a process that is gone; why it could not enter the jail, if so."""
        try:
            said = self.control.recv(4096, _socket.MSG_DONTWAIT)
        except OSError:
            said = b""
        self.control.close()
        os.close(self.pidfd)
        if self.output >= 0:
            os.close(self.output)
        return "" if said == resident.ENDS else said.decode("utf-8", "replace")


def _live(jail: Jail, role: str, terms: tuple[float, ...], control: int, output: int) -> NoReturn:
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        jail.confine(role, terms)
    except BaseException as error:  # there is no other way out of this process
        os.write(control, f"{type(error).__name__}: {error}".encode()[:500])
        os._exit(70)
    os.dup2(control, _FIRST_FD, inheritable=False)
    os.closerange(_FIRST_FD + 1, 256)
    try:
        _WORK[role]()
    finally:
        os._exit(70)


def rehearse() -> None:
    """Do in the zygote what every program's process does, so that none does it for the first time.

    The interpreter specialises code and fills its caches as it runs; each child would do that
    anew, on pages that it has to copy for it.
    """
    main = sys.modules["__main__"]
    source = {"setup": "", "code": "def f(*values):\n    return values\n", "is_script": False}
    questions: list[list[Any]] = [["load", None, []], ["call", ["n", "f"], [1, "x"]]]
    for _ in range(_REHEARSALS):
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
        tests = Channel(ours.fileno(), 1 << 16)
        for question in questions:
            tests.send(["q", *question, {}, [], [], ""])
        ours.shutdown(_socket.SHUT_WR)
        with contextlib.suppress(PeerGone):
            program.ProgramLink(Channel(theirs.fileno(), 1 << 16), source).serve_forever()
        ours.close()
        theirs.close()
    sys.modules["__main__"] = main
    del sys.modules[program.MODULE_NAME]


def _receive() -> tuple[dict[str, Any], list[int]]:
    """The one job of this process and its descriptors."""
    control = _socket.socket(fileno=_FIRST_FD)
    data, fds = resident.receive(control)
    control.close()
    if not data:
        os._exit(0)
    return json.loads(data), fds


def _read(source_fd: int) -> dict[str, Any]:
    source: dict[str, Any] = json.loads(resident.read_all(source_fd))
    os.close(source_fd)
    return source


def _be_program() -> None:
    job, (channel, source_fd) = _receive()
    os.dup2(channel, _FIRST_FD, inheritable=False)
    os.close(channel)
    program.run_program(_FIRST_FD, _read(source_fd), job["reply_bytes"])


def _be_together() -> None:
    _, (source_fd, verdict) = _receive()
    together.run_together(_read(source_fd), verdict)


def _be_tests() -> None:
    kernel.set_name("tests")
    resident.serve_jobs(_FIRST_FD)


_WORK: dict[str, Callable[[], None]] = {
    "program": _be_program,
    "tests": _be_tests,
    "together": _be_together,
}
