"""Time as a value that is passed in, so that waiting can be tested without waiting."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the engine needs of time. It never uses the wall clock, which can jump."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after at least this many seconds."""
        ...


class SystemClock:
    """The time of this machine."""

    # Seconds since some fixed moment.
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait in real time."""
        await asyncio.sleep(seconds)
