"""Runs a suite on one program after another, each in a fork; sent into the jail as a code object.

`serve` runs in a process of the jail that may still fork, and executes nothing but this project's
own code: it never reads a program. A fork reads its own one, closes everything else, gives up the
system calls that are refused, and only then runs what is not ours. It ends before the next one
starts, and what it left in its folder is removed: nothing of it is there for the next.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import marshal
import os
import resource
import select
import signal
from collections.abc import Callable
from typing import Any, NoReturn

Main = Callable[[dict[str, Any]], str]
_REPLY_FD = 3
_LONGEST = 1500
_LATE = 3


def serve(main: Main, payload: dict[str, Any], given: dict[str, Any]) -> NoReturn:
    """Run the parts at `places` until one does not end well; write how each ended.

    `given` is what `SandboxPool.run_family` gives to a text.
    """
    places, wall_s = payload.pop("places"), payload.pop("wall_s")
    folder = os.open(os.curdir, os.O_RDONLY | os.O_DIRECTORY)
    # The collector must not touch (and so copy) the pages that all forks share.
    gc.collect()
    gc.freeze()
    found = []
    for place in places:
        os.utime(folder, (0, 0))
        found.append(_part(main, payload, given, place, wall_s))
        os.fchmod(folder, 0o700)
        given["empty"](folder)
        if found[-1][1]:
            break
    said = {"outcome": "test_error", "error": json.dumps(found)}
    os.write(given["out"], json.dumps(said).encode())
    os._exit(0)


def _part(
    main: Main, payload: dict[str, Any], given: dict[str, Any], place: list[int], wall_s: float
) -> list[Any]:
    """What it said, its status, CPU seconds and KiB, and whether its wall time ran out."""
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    size, offset = place
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        try:
            part = os.pread(given["parts"], size, offset)
            _live(main, payload, part, lambda: given["seal"](parent), write)
        finally:
            os._exit(70)
    os.close(write)
    pidfd = os.pidfd_open(pid)
    has_ended = bool(select.select([pidfd], [], [], wall_s)[0])
    if not has_ended:
        os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    said = b""
    with contextlib.suppress(BlockingIOError):
        said = os.read(read, _LONGEST)
    os.close(read)
    os.close(pidfd)
    text = said.decode("ascii", "replace")
    text = text if text.isascii() and text.isprintable() else ""
    return [text, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, not has_ended]


def _live(
    main: Main, payload: dict[str, Any], part: bytes, seal: Callable[[], object], write: int
) -> NoReturn:
    """A fork once it has read its part."""
    # An open file is shared with whoever inherited it, and so what can be set of it.
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.dup2(write, _REPLY_FD)
    os.closerange(_REPLY_FD + 1, 256)
    cpu_s = int(payload["seconds"]) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    seal()
    try:
        text = main({**payload, **marshal.loads(base64.b64decode(part))})
    except BaseException as error:  # whatever ended it is the result
        text = json.dumps({"error": f"{type(error).__name__}: {error}"[:200]})
    os.write(_REPLY_FD, text.encode()[:_LONGEST])
    os._exit(_LATE if '"one":["T"' in text else 0)
