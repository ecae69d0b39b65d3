"""How fast a server may be asked: fixed caps per minute, and a concurrency found by trying."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from codefavor.engine.clock import Clock
from codefavor.errors import ConfigError


class SharedCaps(Protocol):
    """Who holds the caps of several processes: what a `RateLimiter` does, for all of them."""

    async def take(self, input_tokens: float, output_tokens: float) -> int:
        """Return when a request of this size may be sent; a number to hand to `settle`."""
        ...

    def settle(self, permit: int, input_tokens: int, output_tokens: int) -> None:
        """Say what the request really took."""
        ...

    def hold(self, seconds: float) -> None:
        """Let nobody start for so long."""
        ...


class Said(NamedTuple):
    """What a process tells of one model since it asked for places last."""

    in_flight: int
    waiting: int
    n_succeeded: int
    # The round in which the last overloaded request had started.
    overloaded_in: int | None


class Places(NamedTuple):
    """How many requests of a process may be in flight, and the round of those that start now."""

    n: int
    round: int


class SharedPlaces(Protocol):
    """Who lends the places of a run to its processes."""

    async def places(self, model: str, cap: int, start: int | None, said: Said) -> Places:
        """The places that this process has from now on; `cap` is for all, to begin at `start`."""
        ...


@dataclass(frozen=True)
class Limits:
    """Caps of one run. None means: no cap of that kind.

    In no span of 60 seconds do more requests reach the server, or ask for more tokens, than the
    caps say (output counts as `max_tokens` until the answer shows what it was). `max_attempts`
    bounds how often one request is sent. A server that wants a pause longer than `max_pause_s`
    stops the run instead. With `shared` the caps are held there, for other processes too; `places`
    says the same of the requests in flight. Of a cap that is one of `n_parts`, held by processes
    that know nothing of each other, no request may take more: each would send such a one at once.
    """

    requests_per_min: int | None = None
    input_tokens_per_min: int | None = None
    output_tokens_per_min: int | None = None
    max_attempts: int = 8
    backoff_s: float = 0.5
    max_backoff_s: float = 60.0
    max_pause_s: float = 900.0
    shared: SharedCaps | None = None
    places: SharedPlaces | None = None
    n_parts: int = 1

    def __post_init__(self) -> None:
        for name in ("requests_per_min", "input_tokens_per_min", "output_tokens_per_min"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1; found {value}")
        if not self.max_pause_s >= 0:
            raise ConfigError(f"max_pause_s must be at least 0; found {self.max_pause_s}")
        if self.max_attempts < 1:
            raise ConfigError(f"max_attempts must be at least 1; found {self.max_attempts}")


# A cap is for the server's minute, which begins when a request arrives. The first requests of a
# run arrive late, their connections being made; what is taken counts two seconds longer.
SPAN_S = 62.0


class _Taken:
    """What was taken within a tenth of a second; it counts from the last of its moments."""

    __slots__ = ("amount", "at", "since")

    def __init__(self, at: float, amount: float) -> None:
        self.since = self.at = at
        self.amount = amount


class MinuteCap:
    """A hard cap on an amount in any `SPAN_S`, spread evenly with bursts of about a second.

    What was taken in the last minute is remembered: the usual token bucket alone lets its burst
    through on top of the cap. Moments closer than a tenth of a second are remembered as the
    last of them, so that memory does not grow with the speed. An amount above the cap may go
    when nothing else did.
    """

    _TOGETHER_S = 0.1

    def __init__(self, cap: int, now: float) -> None:
        self.cap = cap
        self._taken: deque[_Taken] = deque()
        self._used = 0.0
        self._even_time = now - 1.0

    def wait_s(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be taken; 0 if now."""
        if self._taken and self._taken[0].at <= now - SPAN_S:
            self._forget(now)
        wait = self._even_time - now if self._even_time > now else 0.0
        excess = self._used + (amount if amount < self.cap else self.cap) - self.cap
        if excess <= 0:
            return wait
        for taken in self._taken:
            if excess <= 0:
                break
            excess -= taken.amount
            wait = max(wait, taken.at + SPAN_S - now)
        return wait

    def take(self, amount: float, now: float) -> _Taken:
        """Take the amount; hand the result to `correct` once the real amount is known."""
        last = self._taken[-1] if self._taken else None
        if last is not None and now - last.since < self._TOGETHER_S:
            last.at = now
            last.amount += amount
        else:
            last = _Taken(now, amount)
            self._taken.append(last)
        self._used += amount
        burst = now - 1.0
        even_time = self._even_time if self._even_time > burst else burst
        self._even_time = even_time + amount * SPAN_S / self.cap
        return last

    def correct(self, taken: _Taken, change: float, now: float) -> None:
        """Say how much more (or less) than the amount taken was really used."""
        self._even_time += change * SPAN_S / self.cap
        if taken.at > now - SPAN_S:
            self._used += change
            taken.amount += change

    def _forget(self, now: float) -> None:
        while self._taken and self._taken[0].at <= now - SPAN_S:
            self._used -= self._taken.popleft().amount


class ConcurrencyLimiter:
    """How many requests may be in flight: grows while all goes well, shrinks when told.

    Until the first sign of overload each success adds one (doubling per round trip); after
    it, a whole round of successes adds one. Overload multiplies the width by 0.7, at most
    once for requests that were in flight together.
    """

    def __init__(self, cap: int, clock: Clock, *, start: int | None = None) -> None:
        self.cap = cap
        self.width = float(min(cap, start or cap))
        self.in_flight = 0
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._slow_start = True
        self.round = 0

    async def enter(self) -> int:
        """Wait for a place; returns the round number to hand to `overloaded`."""
        while self._waiting or self.in_flight >= int(self.width):
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.in_flight -= 1
                    self._wake()
                raise
            return self.round
        self.in_flight += 1
        return self.round

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._wake()

    def succeeded(self) -> None:
        """Widen: one per success at first, one per round of successes later."""
        if self.width < self.cap:
            step = 1.0 if self._slow_start else 1.0 / self.width
            self.width = min(float(self.cap), self.width + step)
            self._wake()

    def overloaded(self, started_in_round: int) -> None:
        """Narrow, unless the request started before the last narrowing."""
        self._slow_start = False
        if started_in_round == self.round:
            self.round += 1
            self.width = max(1.0, self.width * 0.7)

    def open_wide(self) -> None:
        """Let everyone in who waits: the run is ending and nothing more will be sent."""
        self.width = float(sys.maxsize)
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self.in_flight < int(self.width):
            place = self._waiting.popleft()
            if not place.done():
                # The place is taken here, so that nobody overtakes the one who is woken.
                self.in_flight += 1
                place.set_result(None)


# What one request was allowed to take of each cap: kind, cap, note and amount.
_Taking = list[tuple[str, MinuteCap, _Taken, float]]


@dataclass(frozen=True, slots=True)
class Permit:
    """What one request was allowed to take here, and its number where caps are shared."""

    taken: _Taking
    shared: int = 0


class RateLimiter:
    """All caps of one run together, and the pauses that its server asks for."""

    def __init__(
        self, limits: Limits, clock: Clock, sleep: Callable[[float], Awaitable[None]] | None = None
    ) -> None:
        self._sleep = sleep or clock.sleep
        wanted = {
            "requests": limits.requests_per_min,
            "input": limits.input_tokens_per_min,
            "output": limits.output_tokens_per_min,
        }
        self._turn = asyncio.Lock()
        self._clock = clock
        self._held_until = now = clock.monotonic()
        self._shared, self._n_parts = limits.shared, limits.n_parts
        own = {} if self._shared is not None else wanted
        self._caps = [(kind, MinuteCap(cap, now)) for kind, cap in own.items() if cap]

    def hold(self, seconds: float) -> float:
        """Let nothing start for so long; by how much that is longer than before."""
        before = max(self._held_until, self._clock.monotonic())
        self._held_until = max(before, self._clock.monotonic() + seconds)
        if self._shared is not None:
            self._shared.hold(seconds)
        return self._held_until - before

    async def take(self, input_tokens: float, output_tokens: float) -> Permit:
        """Return when a request of this forecast size may be sent, in the order of asking.

        Raises ConfigError for one that is larger than this process's part of a cap.
        """
        shared = 0
        if self._shared is not None:
            shared = await self._shared.take(input_tokens, output_tokens)
        amounts = {"requests": 1.0, "input": input_tokens, "output": output_tokens}
        self._refuse_larger_than_a_part(amounts)
        # Nobody waits: the lock, which only keeps the order, would cost more than the caps.
        now = self._clock.monotonic()
        if not self._turn.locked() and self._wait_s(amounts, now) <= 0:
            return Permit(self._take(amounts, now), shared)
        async with self._turn:
            while (wait := self._wait_s(amounts, now := self._clock.monotonic())) > 0:
                await self._sleep(wait)
            return Permit(self._take(amounts, now), shared)

    def settle(self, permit: Permit, input_tokens: int, output_tokens: int) -> None:
        """Replace the forecast amounts of a request by those it really took."""
        real, now = {"input": input_tokens, "output": output_tokens}, self._clock.monotonic()
        if self._shared is not None:
            self._shared.settle(permit.shared, input_tokens, output_tokens)
        for kind, cap, taken, amount in permit.taken:
            if kind in real:
                cap.correct(taken, real[kind] - amount, now)

    def _refuse_larger_than_a_part(self, amounts: dict[str, float]) -> None:
        for kind, cap in self._caps:
            if self._n_parts > 1 and amounts[kind] > cap.cap:
                raise ConfigError(
                    f"a request may take {amounts[kind]:.0f} {kind} tokens, and this one of "
                    f"{self._n_parts} shards has {cap.cap} of the --{kind}-tokens-per-min of all; "
                    "divide into fewer shards, raise the cap, or use --ray, where all share it"
                )

    def _wait_s(self, amounts: dict[str, float], now: float) -> float:
        wait = self._held_until - now
        for kind, cap in self._caps:
            longer = cap.wait_s(amounts[kind], now)
            wait = longer if longer > wait else wait
        return wait

    def _take(self, amounts: dict[str, float], now: float) -> _Taking:
        return [
            (kind, cap, cap.take(amounts[kind], now), amounts[kind]) for kind, cap in self._caps
        ]
