"""A tests' process that judges one program after another, while nothing can stick to it.

It takes only tests that leave nothing behind (`lane.Lane.may_share`), and it ends itself after
the first conversation in which anything but plain data crossed, or that broke. So no run finds
anything of an earlier one here, neither of its tests nor of its program. Everything else is
judged in a process of its own, forked from the zygote for that one job.
"""

from __future__ import annotations

import _socket
import gc
import json
import os
import resource
import sys
from collections import OrderedDict
from typing import Any, NoReturn

from codefavor.sandbox import tests_run
from codefavor.sandbox.handles import JudgeLink
from codefavor.sandbox.wire import Channel

STAYS, ENDS = b"stays", b"ends"
N_JOB_FDS = 3
_MOST_JOBS, _MOST_GROWTH = 500, 48 << 10
_MOST_PLANS = 64
_COLLECT_EVERY = 16


def serve_jobs(control_fd: int) -> NoReturn:
    """Judge what arrives on the control socket until it closes or a job leaves a trace."""
    tests_run.prepare_process()
    control = _socket.socket(fileno=control_fd)
    plans = _Plans()
    first_bytes = _peak_kib()
    for count in range(1, _MOST_JOBS + 1):
        data, descriptors = receive(control)
        if not data:
            break
        word = _serve(json.loads(data), descriptors, plans)
        if word == STAYS and (count == _MOST_JOBS or _peak_kib() > first_bytes + _MOST_GROWTH):
            word = ENDS
        control.send(word)
        if word == ENDS:
            break
        if count % _COLLECT_EVERY == 0:
            gc.collect()
    os._exit(0)


class _Plans:
    """Rewritten tests by their text: candidates of one problem come in a row."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tests_run.Plan] = OrderedDict()

    def find(self, source: dict[str, Any]) -> tests_run.Plan:
        """The tests ready to run; raises as `tests_run.make_plan` does."""
        key = json.dumps([source["tests"], source["names"], source["modules"]])
        if key not in self._known:
            self._known[key] = tests_run.make_plan(
                source["tests"], source["names"], source["modules"]
            )
            if len(self._known) > _MOST_PLANS:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


def _serve(job: dict[str, Any], descriptors: list[int], plans: _Plans) -> bytes:
    if len(descriptors) != N_JOB_FDS:
        return ENDS
    channel_fd, source_fd, verdict_fd = descriptors
    try:
        source = json.loads(read_all(source_fd))
        plan = plans.find(source)
        _limit_cpu(job["cpu_s"])
        before = _surroundings()
        channel = Channel(channel_fd, job["reply_bytes"])
        link = JudgeLink(channel)
        is_whole = tests_run.judge(plan, source["entry_point"], link, verdict_fd)
        # Something of this run that lives on, a suspended generator say, must not speak into
        # the channel of the next, which may get the same number.
        channel.forget()
        stays = is_whole and not link.has_handles and _surroundings() == before
    finally:
        for fd in descriptors:
            os.close(fd)
    return STAYS if stays else ENDS


def _surroundings() -> tuple[object, ...]:
    """What a run could have changed of the interpreter, cheap enough to look at every time."""
    return (
        len(sys.modules), len(sys.meta_path), len(sys.path), sys.getrecursionlimit(),
        id(sys.stdout), id(sys.stderr), os.getcwd(), gc.isenabled(),
    )  # fmt: skip


def _limit_cpu(cpu_s: float) -> None:
    # The zygote watches the clock; this holds should the zygote be held up.
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = int(usage.ru_utime + usage.ru_stime + cpu_s) + 3
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def receive(control: Any) -> tuple[bytes, list[int]]:
    """One message and the descriptors that came with it."""
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


def read_all(fd: int) -> str:
    """The text of a memory file, whatever its position."""
    size = os.fstat(fd).st_size
    parts: list[bytes] = []
    offset = 0
    while offset < size:
        part = os.pread(fd, size - offset, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
    return b"".join(parts).decode("utf-8", "surrogatepass")
