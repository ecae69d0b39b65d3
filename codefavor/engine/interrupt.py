"""Running async work from code that is not, so that Ctrl-C and SIGTERM lose no paid answer."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# A terminal sends the first; Slurm, Kubernetes and spot machines the second, before they kill.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_interruptibly(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """The result of `work`, which is to end soon, and whole, once its event is set.

    The first signal sets the event, a second one cancels; both raise KeyboardInterrupt.
    """
    loop = asyncio.new_event_loop()
    interrupted = asyncio.Event()
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in _SIGNALS} if in_main_thread else {}

    async def main() -> T:
        task = asyncio.current_task()

        def on_signal() -> None:
            if interrupted.is_set() and task is not None:
                task.cancel()
            interrupted.set()

        for number in before:
            loop.add_signal_handler(number, on_signal)
        return await work(interrupted)

    try:
        result = loop.run_until_complete(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
        _cancel_all(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    if interrupted.is_set():
        raise KeyboardInterrupt
    return result


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """End what a step left waiting (a judge's batcher serves for as long as its loop lives)."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        # Of nothing, gather would make a future of another loop than this one.
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
