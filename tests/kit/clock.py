"""A clock whose time passes only when everybody waits, so that minutes take no time."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from codefavor.engine.clock import Clock


class VirtualClock(Clock):
    """Sleeping returns at once in real time; `now` jumps to the earliest moment waited for."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._mover: asyncio.Task[None] | None = None

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), future))
        if self._mover is None or self._mover.done():
            self._mover = asyncio.get_running_loop().create_task(self._move())
        await future

    async def _move(self) -> None:
        while self._sleepers:
            # Everything that can run without waiting runs first.
            for _ in range(50):
                await asyncio.sleep(0)
            when, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self.now = max(self.now, when)
                future.set_result(None)
