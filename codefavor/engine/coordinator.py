"""What the processes of one run share: budget, caps, progress. One holds it, the others ask.

A part of the budget that a process was lent and has not used comes back when it ends, and when it
is lost: whoever takes up its work says what its ledger has, which is what it had used at most.
Until then it counts as spent, and nobody waits for it: those who wait may hold the room that its
work needs.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Mapping
from typing import Any

from codefavor.engine.budget import Amount, Budget, Caps, Loan
from codefavor.engine.clock import Clock
from codefavor.engine.limits import Limits, Permit, Places, RateLimiter, Said
from codefavor.engine.places import LOST_S, PlaceLender

# A process is lent so much at once: an eighth of its even part of the budget.
_PARTS = 8


class Coordinator:
    """Lends the budget, lets requests pass, and adds up how far the shards are.

    `spent` is what each ledger of the run came to before; `n_at_once` processes run at a time.
    """

    def __init__(
        self,
        budget: Budget | None,
        limits: Limits,
        n_at_once: int,
        spent: Mapping[str, Amount],
        clock: Clock | None = None,
    ) -> None:
        self._budget, self._clock = budget or Budget(), clock or Clock()
        self._chunk = [(cap or 0) / (n_at_once * _PARTS) for cap in self._caps()]
        # What each ledger may come to, and what those who took it up found in it.
        self._lent: dict[str, Amount] = dict(spent)
        self._found: dict[str, set[Amount]] = {}
        self._lost: list[Amount] = []
        # By ledger, the shard whose process may have some of it left, or in flight.
        self._busy: dict[str, int] = {}
        self._heard_at: dict[int, float] = {}
        self._limiter: RateLimiter | None = None
        self._limits = limits
        self._permits: dict[int, Permit] = {}
        self._numbers = itertools.count(1)
        self._begun: Counter[int] = Counter()
        self._places: dict[str, PlaceLender] = {}
        self._ending = asyncio.Event()
        self._shards: dict[int, tuple[int, int | None, dict[str, Any]]] = {}

    async def begin(self, shard: int) -> int:
        """Note that a process takes up a shard; how often that had happened before.

        The places of the process that had it before, which is lost, are free again.
        """
        self._begun[shard] += 1
        self._free_places(shard)
        await self.here(shard)
        return self._begun[shard] - 1

    async def here(self, shard: int) -> None:
        """Note that the process of a shard is there; it says so now and then."""
        self._heard_at[shard] = self._clock.monotonic()

    async def lend(
        self,
        shard: int,
        ledger: str,
        used: Amount,
        needed: Amount,
        is_first: bool,
        *,
        n_reserved: int = 0,
    ) -> Loan:
        """What a ledger may come to from now on, if it may use so much more.

        `is_first` is said by a process that asks for this ledger for the first time: what another
        had been lent before is free again, unless that one had found the ledger as it is now.
        More may come as long as requests are in flight in this process, or another has something
        left: until each has asked for more in vain and has none in flight, or is lost.
        """
        await self.here(shard)
        if is_first:
            self._take_over(ledger, used)
        self._lent[ledger] = used
        free, caps = self._free_for(ledger), self._caps()
        lent: list[Any] = [None, None]
        for i, cap in enumerate(caps):
            wanted = used[i] + needed[i]
            if cap is not None and wanted > free[i]:
                self._busy.pop(ledger, None)
                if n_reserved:
                    self._busy[ledger] = shard
                return self._no_loan()
            most = wanted if cap is None else min(free[i], wanted + self._chunk[i])
            lent[i] = (float, int)[i](most)
        self._lent[ledger] = lent[0], lent[1]
        self._busy[ledger] = shard
        usd, tokens = caps
        return Loan((None if usd is None else lent[0], None if tokens is None else lent[1]))

    async def give_back(self, ledger: str, used: Amount) -> None:
        """Say what a ledger came to at the end of a process; the rest is free again."""
        self._lent[ledger] = used
        self._busy.pop(ledger, None)

    async def take(self, input_tokens: float, output_tokens: float) -> int:
        """Return when a request of this size may be sent by anybody."""
        if self._limiter is None:
            self._limiter = RateLimiter(self._limits, self._clock)
        number = next(self._numbers)
        self._permits[number] = await self._limiter.take(input_tokens, output_tokens)
        return number

    async def settle(self, permit: int, input_tokens: int, output_tokens: int) -> None:
        """Correct what a request was thought to take by what it took."""
        taken = self._permits.pop(permit, None)
        if taken is not None and self._limiter is not None:
            self._limiter.settle(taken, input_tokens, output_tokens)

    async def hold(self, seconds: float) -> None:
        """Let nothing pass for so long."""
        if self._limiter is not None:
            self._limiter.hold(seconds)

    async def places(
        self, shard: int, model: str, cap: int, start: int | None, said: Said
    ) -> Places:
        """How many requests a shard may have in flight; `cap` and `start` are for all of them."""
        if model not in self._places:
            self._places[model] = PlaceLender(cap, start, self._clock)
        return self._places[model].ask(shard, said)

    async def leave(self, shard: int) -> None:
        """Take back the places of a shard that has ended.

        As there is room for another now, those that are lost have time to be taken up again.
        """
        self._free_places(shard)
        # Also of ledgers for which only a process of it that was lost had asked.
        self._busy = {ledger: one for ledger, one in self._busy.items() if one != shard}
        for other in self._busy.values():
            await self.here(other)

    async def end(self) -> None:
        """Tell all who wait for it that the run is to end."""
        self._ending.set()

    async def ended(self) -> None:
        """Return when the run is to end."""
        await self._ending.wait()

    async def note(self, shard: int, n: int, total: int | None, fields: dict[str, Any]) -> None:
        """How far a shard is: rows that have ended, of how many, and sums of its run."""
        self._shards[shard] = n, total, fields

    async def progress(self) -> dict[str, Any]:
        """The sums of all shards: rows ended, processes lost, and what the shards add up to."""
        sums: Counter[str] = Counter()
        for _, _, fields in self._shards.values():
            sums.update({name: one for name, one in fields.items() if one is not None})
        return {
            "n": sum(n for n, _, _ in self._shards.values()),
            "restarts": sum(self._begun.values()) - len(self._begun),
            "fields": dict(sums),
        }

    def _caps(self) -> Caps:
        return self._budget.usd, self._budget.tokens

    def _free_places(self, shard: int) -> None:
        for lender in self._places.values():
            lender.forget(shard)

    def _no_loan(self) -> Loan:
        """Whether those who have something left may give it back, and how many are lost."""
        lost = self._clock.monotonic() - LOST_S
        n_lost = sum(self._heard_at[shard] < lost for shard in self._busy.values())
        return Loan(None, may_come=len(self._busy) > n_lost, n_lost=n_lost)

    def _take_over(self, ledger: str, used: Amount) -> None:
        found = self._found.setdefault(ledger, set())
        if used in found:
            # It may be an old one, sent along: what was lent since may have gone with its storage.
            usd, tokens = self._lent[ledger]
            self._lost.append((usd - used[0], tokens - used[1]))
        found.add(used)
        self._lent[ledger] = used

    def _free_for(self, ledger: str) -> list[float]:
        others = [lent for name, lent in self._lent.items() if name != ledger] + self._lost
        return [(cap or 0) - sum(one[i] for one in others) for i, cap in enumerate(self._caps())]
