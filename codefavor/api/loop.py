"""The event loop of the Python door, on a thread of its own that ends with the process."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from typing import Any, TypeVar

from codefavor.backends import Backend

logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_THREAD = "codefavor"


class _Door:
    """The loop, made when it is first asked for."""

    def __init__(self) -> None:
        # Of one thread again: garbage that is collected meanwhile may need the loop to close.
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                thread = threading.Thread(target=self._loop.run_forever, name=_THREAD, daemon=True)
                thread.start()
            return self._loop

    def start_closing(self, backend: Backend) -> None:
        self._ending.add(task := self.loop().create_task(backend.close()))
        task.add_done_callback(self._ending.discard)


# The last is this process's own. A fork has no thread that runs its parents', and must not close
# them: the file by which they wait is shared.
_doors = [_Door()]
os.register_at_fork(after_in_child=lambda: _doors.append(_Door()))


def on_loop(coroutine: Coroutine[Any, Any, _T], end: Callable[[], object] | None = None) -> _T:
    """The result of a coroutine; an interrupt cancels it.

    With `end`, which is called on the loop, the first interrupt waits for what it leaves in flight.
    """
    loop = _doors[-1].loop()
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        try:
            return future.result()
        except KeyboardInterrupt:
            if end is not None and not future.done():
                logger.warning(
                    "ending: waiting for the answers in flight, which are paid for (once more ends "
                    "at once)"
                )
                loop.call_soon_threadsafe(end)
                wait([future])
            raise
    except BaseException:
        # Whatever ends the wait: nobody waits for the rest.
        future.cancel()
        raise


def close_on_loop(backend: Backend) -> None:
    """Close a backend that was used on the loop."""
    if threading.current_thread().name == _THREAD:
        # Whose garbage is collected there cannot wait for itself.
        _doors[-1].start_closing(backend)
    else:
        on_loop(backend.close())
