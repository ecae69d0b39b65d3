"""Gathers concurrent single requests into batches for a model that is faster in batches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar, cast

from codefavor.errors import BackendError, Unwinding

T = TypeVar("T")
U = TypeVar("U")


async def gather_all(works: Iterable[Awaitable[T]]) -> list[T]:
    """All results, in order. Raises an error once all have ended: what was paid is kept.

    Of several the first that says most: what ends the whole run before what one request met, and
    that before the mere unwinding of a row, which would hide why it ends.
    """
    found = await asyncio.gather(*works, return_exceptions=True)
    errors = [one for one in found if isinstance(one, BaseException)]
    if errors:
        raise max(errors, key=_weight)
    return cast(list[T], found)


def _weight(error: BaseException) -> int:
    if isinstance(error, Unwinding):
        return 0
    return 1 if isinstance(error, BackendError) else 2


class MicroBatcher(Generic[T, U]):
    """Runs `run_batch` on lists of concurrently submitted items, one batch at a time.

    A batch starts when `max_items` wait, or `max_wait_s` after the first; while a batch runs
    in its worker thread, the next one gathers. `run_batch` returns one result for each item,
    in order; an exception it raises reaches every item of the batch. A result that is itself
    an exception is raised for its item alone.
    """

    def __init__(
        self, run_batch: Callable[[list[T]], list[U]], max_items: int, max_wait_s: float
    ) -> None:
        self._run_batch = run_batch
        self._max_items = max_items
        self._max_wait_s = max_wait_s
        self._waiting: list[tuple[T, asyncio.Future[U]]] = []
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def submit(self, item: T) -> U:
        """The result for one item, after the batch it falls into has run."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            # A batcher outlives event loops: each run of the engine has its own.
            self._waiting, self._full = [], asyncio.Event()
            self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="microbatch")
            self._task = loop.create_task(self._serve())
        future: asyncio.Future[U] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._max_items:
            self._full.set()
        return await future

    async def close(self) -> None:
        """Stop after the batch that runs; items that still wait are cancelled.

        A later `submit` starts it again.
        """
        if self._task is not None and self._task.get_loop() is asyncio.get_running_loop():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None

    async def _serve(self) -> None:
        """Batch after batch, for as long as anything waits."""
        while self._waiting:
            if len(self._waiting) < self._max_items:
                self._full.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self._max_wait_s)
            batch = [pair for pair in self._waiting[: self._max_items] if not pair[1].done()]
            del self._waiting[: self._max_items]
            if batch:
                await self._run(batch)

    async def _run(self, batch: list[tuple[T, asyncio.Future[U]]]) -> None:
        loop = asyncio.get_running_loop()
        items = [item for item, _ in batch]
        try:
            results = await loop.run_in_executor(self._thread, self._run_batch, items)
            if len(results) != len(items):
                raise RuntimeError(f"run_batch returned {len(results)} results, not {len(items)}")
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # whatever failed, every waiting item must hear of it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
