"""A forked process from its first instruction to its last: into the jail, then its work."""

from __future__ import annotations

import fcntl
import json
import os
from typing import Any, NamedTuple, NoReturn

from codefavor.sandbox import program, resident, tests_run, together
from codefavor.sandbox.jail import Jail

TROUBLE_FD = 120
_CHANNEL_FD, _SOURCE_FD, _VERDICT_FD = 3, 4, 5


class Child(NamedTuple):
    """A forked process: its id, and a descriptor that turns readable when it ends."""

    pid: int
    pidfd: int


class Descriptors(NamedTuple):
    """What a forked process keeps open; -1 where it has none."""

    channel: int
    source: int = -1
    verdict: int = -1
    output: int = -1


def fork(jail: Jail, job: dict[str, Any], role: str, fds: Descriptors) -> Child:
    """Fork a process of its own pid namespace: `program`, `tests`, `resident` or `together`."""
    jail.before_fork()
    pid = os.fork()
    if pid:
        return Child(pid, os.pidfd_open(pid))
    try:
        _confine(jail, job, role, fds)
        _WORK[role](job)
    finally:
        os._exit(70)


def _confine(jail: Jail, job: dict[str, Any], role: str, fds: Descriptors) -> None:
    """Enter the jail; why that failed goes to the zygote, out of the program's reach."""
    try:
        first_free = _arrange(fds)
        jail.confine(job, role)
    except BaseException as error:
        # The parent must learn of any trouble here; there is no other way out of this process.
        os.write(TROUBLE_FD, f"{type(error).__name__}: {error} ".encode()[:500])
        raise
    os.closerange(first_free, 256)


def reserve_numbers(control: int) -> int:
    """Fill the low descriptors, so that what arrives later never has a number `_arrange` uses.

    Called once in the zygote, whose 0 is the null device; returns the number of the control
    socket, moved out of the way.
    """
    moved = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, _VERDICT_FD + 1)
    for number in range(_CHANNEL_FD, _VERDICT_FD + 1):
        os.dup2(0, number, inheritable=False)
    return moved


def _arrange(fds: Descriptors) -> int:
    """Leave open: 0-2 (null or the output pipe), 3 the channel, 4 the source, 5 the verdict.

    Returns the first number that is not in use.
    """
    output = fds.output if fds.output >= 0 else 0
    os.dup2(output, 1)
    os.dup2(output, 2)
    number = _CHANNEL_FD
    for fd in (fds.channel, fds.source, fds.verdict):
        if fd >= 0:
            os.dup2(fd, number, inheritable=False)
            number += 1
    return number


def _be_program(job: dict[str, Any]) -> None:
    program.run_program(_CHANNEL_FD, _source(), job["reply_bytes"])


def _be_tests(job: dict[str, Any]) -> NoReturn:
    tests_run.run_tests_process(_CHANNEL_FD, _VERDICT_FD, _source(), job["reply_bytes"])


def _be_together(_job: dict[str, Any]) -> NoReturn:
    together.run_together(_source(), _VERDICT_FD)


def _be_resident(_job: dict[str, Any]) -> NoReturn:
    resident.serve_jobs(_CHANNEL_FD)


def _source() -> dict[str, Any]:
    source: dict[str, Any] = json.loads(resident.read_all(_SOURCE_FD))
    os.close(_SOURCE_FD)
    return source


_WORK = {
    "program": _be_program,
    "tests": _be_tests,
    "together": _be_together,
    "resident": _be_resident,
}
