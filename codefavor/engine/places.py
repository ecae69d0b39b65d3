"""How many requests may be in flight, where several processes ask one server.

Whoever runs them (`PlaceLender`) holds one width for all, which grows and shrinks with what they
tell; each process (`LentConcurrency`) is lent a part of it, as large as it can use and the others
leave.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from codefavor.engine.clock import Clock
from codefavor.engine.limits import ConcurrencyLimiter, Places, Said, SharedPlaces

# How often a process asks: where requests wait for a place, and else.
_SHORT_S = 0.2
_USUAL_S = 1.0
# A process that was not heard of for so long is lost: its places are free again.
LOST_S = 30.0


@dataclass
class _Holder:
    """A process that has places: how many, how many it could use, when it was last heard of."""

    lent: int
    wanted: int
    heard_at: float


class PlaceLender:
    """One width for all processes that ask one model. What is lent is never more than it."""

    def __init__(self, cap: int, start: int | None, clock: Clock) -> None:
        self._limiter = ConcurrencyLimiter(cap, clock, start=start)
        self._clock = clock
        self._holders: dict[int, _Holder] = {}

    def ask(self, holder: int, said: Said) -> Places:
        """What a process may have in flight, after what it tells has been taken to heart."""
        now = self._clock.monotonic()
        for lost in [n for n, one in self._holders.items() if one.heard_at < now - LOST_S]:
            self.forget(lost)
        for _ in range(said.n_succeeded):
            self._limiter.succeeded()
        if said.overloaded_in is not None:
            self._limiter.overloaded(said.overloaded_in)
        self.forget(holder)
        free = int(self._limiter.width) - sum(one.lent for one in self._holders.values())
        wanted = said.in_flight + said.waiting
        # What is in flight cannot be taken back, even where the width has shrunk.
        lent = max(said.in_flight, min(wanted, free, self._even_part(wanted)))
        if wanted:
            self._holders[holder] = _Holder(lent, wanted, now)
        return Places(lent, self._limiter.round)

    def forget(self, holder: int) -> None:
        """Take all places of a process back: it has ended, or is lost."""
        self._holders.pop(holder, None)

    def _even_part(self, wanted: int) -> int:
        """The most that one may have who wants so much, if nobody is to have less than he could."""
        left = int(self._limiter.width)
        wants = sorted([*(one.wanted for one in self._holders.values()), wanted])
        for n_before, other in enumerate(wants):
            part = -(-left // (len(wants) - n_before))
            if other >= wanted:
                return part
            left -= min(other, part)
        return left


class LentConcurrency(ConcurrencyLimiter):
    """A part of the width that all processes of a run have together.

    It asks for places while requests wait or are in flight, and tells how they ended.
    """

    def __init__(
        self, shared: SharedPlaces, model: str, cap: int, clock: Clock, *, start: int | None
    ) -> None:
        super().__init__(cap, clock)
        self.width = 0.0
        self._shared, self._model, self._start = shared, model, start
        self._n_succeeded = 0
        self._overloaded_in: int | None = None
        self._asker: asyncio.Task[None] | None = None
        self._now = asyncio.Event()
        self._is_open = False

    async def enter(self) -> int:
        """Wait for a place; returns the round number to hand to `overloaded`."""
        if self._asker is None or self._asker.done():
            self._asker = asyncio.ensure_future(self._ask())
        return await super().enter()

    def succeeded(self) -> None:
        """Count, to be told."""
        self._n_succeeded += 1

    def overloaded(self, started_in_round: int) -> None:
        """Narrow what is lent at once, and tell it."""
        if started_in_round == self.round and self._overloaded_in is None:
            self._overloaded_in = started_in_round
            self.width = max(1.0, self.width * 0.7)
            self._now.set()

    def open_wide(self) -> None:
        """Let everyone in who waits, and ask no more."""
        self._is_open = True
        super().open_wide()

    async def _ask(self) -> None:
        try:
            while await self._ask_once():
                pause = _SHORT_S if self._waiting else _USUAL_S
                await self._clock.sleep_unless(pause, self._now)
        except BaseException as error:
            # Whoever waits for a place must learn that none will come.
            for place in self._waiting:
                if not place.done():
                    place.set_exception(error) if isinstance(error, Exception) else place.cancel()
            raise

    async def _ask_once(self) -> bool:
        """Tell, and take what is lent; whether there is anything more to ask for."""
        n_waiting = sum(not one.done() for one in self._waiting)
        said = Said(self.in_flight, n_waiting, self._n_succeeded, self._overloaded_in)
        self._n_succeeded, self._overloaded_in = 0, None
        self._now.clear()
        lent = await self._shared.places(self._model, self.cap, self._start, said)
        if not self._is_open:
            self.round, self.width = lent.round, float(lent.n)
            self._wake()
        return not self._is_open and bool(said.in_flight or n_waiting)
