"""The tests' process: it judges one program after another, while nothing can stick to it.

It goes on only after tests that leave nothing behind (`lane.Lane.may_share`), and ends itself
after the first conversation in which anything but plain data crossed, or that broke. So no run
finds anything of an earlier one here, neither of its tests nor of its program.
"""

from __future__ import annotations

import _socket
import gc
import json
import os
import resource
import sys
from functools import lru_cache
from typing import Any, NoReturn

from codefavor.sandbox import tests_run
from codefavor.sandbox.wire import Channel

STAYS, ENDS = b"stays", b"ends"
_MOST_JOBS, _MOST_GROWTH = 500, 48 << 10
_MOST_PLANS = 64
_COLLECT_EVERY = 16


def serve_jobs(control_fd: int) -> NoReturn:
    """Judge what arrives on the control socket until it closes or a job leaves a trace."""
    tests_run.prepare_process()
    control = _socket.socket(fileno=control_fd)
    # Rewritten tests by their text: candidates of one problem come in a row.
    find_plan = lru_cache(_MOST_PLANS)(lambda source: tests_run.make_plan(**json.loads(source)))
    first_bytes = _peak_kib()
    for count in range(1, _MOST_JOBS + 1):
        data, descriptors = receive(control)
        if not data:
            break
        job = json.loads(data)
        stays = _serve(job, descriptors, find_plan) and job["may_share"] and count < _MOST_JOBS
        word = STAYS if stays and _peak_kib() <= first_bytes + _MOST_GROWTH else ENDS
        control.send(word)
        if word == ENDS:
            break
        if count % _COLLECT_EVERY == 0:
            gc.collect()
    os._exit(0)


def _serve(job: dict[str, Any], descriptors: list[int], find_plan: Any) -> bool:
    channel_fd, source_fd, verdict_fd = descriptors
    try:
        _limit_cpu(job["cpu_s"])
        before = _surroundings()
        channel = Channel(channel_fd, job["reply_bytes"])
        stays = tests_run.judge_source(read_all(source_fd), find_plan, channel, verdict_fd)
        stays = stays and _surroundings() == before
        # Something of this run that lives on, a suspended generator say, must not speak into
        # the channel of the next, which may get the same number.
        channel.forget()
    finally:
        for fd in descriptors:
            os.close(fd)
    return stays


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
