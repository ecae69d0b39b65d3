"""Time as a value that is passed in, so that waiting can be tested without waiting."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The time of this machine. The engine never uses the wall clock, which can jump."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after at least this many seconds."""
        await asyncio.sleep(seconds)

    async def sleep_unless(self, seconds: float, event: asyncio.Event) -> None:
        """`sleep`, or less once the event is set."""
        tasks = [asyncio.ensure_future(one) for one in (self.sleep(seconds), event.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
