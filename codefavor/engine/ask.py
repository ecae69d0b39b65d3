"""How one request gets its answer: cache, budget, caps, sending, retrying, giving up."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from codefavor.backends.base import Backend, Request, Response
from codefavor.engine.budget import BudgetTracker, MoreMayComeError, TokenForecast, is_counted
from codefavor.engine.cache import ResponseCache, response_key, unusable_reason
from codefavor.engine.clock import Clock
from codefavor.engine.health import RequestHealth, RunStopped
from codefavor.engine.limits import ConcurrencyLimiter, Limits, RateLimiter
from codefavor.engine.places import LentConcurrency
from codefavor.engine.progress import duration
from codefavor.errors import BackendError, JournalError, Unwinding

logger = logging.getLogger(__name__)

OVERLOAD_REASONS = frozenset({"rate_limited", "overloaded"})
# Shorter pauses are part of asking fast; longer ones leave a user wondering.
_ANNOUNCED_PAUSE_S = 5.0
# With a 200 and a bill: the server says that it failed in the middle of an answer.
_FAILED_FINISHES = frozenset({"other:error", "other:abort", "other:insufficient_system_resource"})


class RunEnding(Unwinding):
    """Unwinds the rows in progress when the run ends early; they stay to be done."""


class RowPending(Unwinding):
    """Unwinds a row whose question has been put aside (batch mode); it stays to be done."""


class ModelClient:
    """Asks one backend for one run. Identical repeatable requests in flight are sent once."""

    def __init__(
        self,
        backend: Backend,
        *,
        limits: Limits,
        budget: BudgetTracker,
        cache: ResponseCache | None,
        clock: Clock,
        seed: int,
        max_concurrency: int,
        report: Callable[[str], None] = logger.warning,
    ) -> None:
        self.backend = backend
        self.budget = budget
        self.n_sent = self.n_cached = 0
        self._limits = limits
        self._cache = cache
        self._clock = clock
        self._seed = seed
        self._rng = random.Random(seed)
        self._in_flight = _in_flight(backend, limits, max_concurrency, clock)
        self._rate_limiter = RateLimiter(limits, clock, self._pause)
        self._forecast = TokenForecast()
        self._health = RequestHealth()
        self._report = report
        self._identity = backend.identity
        if cache is not None:
            cache.reserve(max_concurrency)
        self._same: dict[bytes, asyncio.Future[Response]] = {}
        self._ending = asyncio.Event()
        # Why nothing more may be asked, though answers in flight still end their rows.
        self._must_stop: JournalError | RunStopped | None = None

    async def ask(self, request: Request, row_id: str, occurrence: int) -> Response:
        """The answer to one request, from the store if it was paid for before.

        Raises BackendError if this request failed for good, BudgetError, RunStopped, RunEnding,
        and JournalError once an answer could not be kept.
        """
        key = response_key(self._identity, request, self._seed, row_id, occurrence)
        while key in self._same:
            # Shielded: the one who waits may be cancelled without cancelling the one who asks.
            return await asyncio.shield(self._same[key])
        if self._cache is not None:
            kept = self._cache.get(key)
            if kept is not None:
                self.n_cached += 1
                return kept
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._same[key] = future
        try:
            response = await self._send_until_answered(request)
            if self._cache is not None:
                await self._keep(self._cache, key, response)
            future.set_result(response)
            return response
        except BaseException as error:
            # Whatever it was, those who wait for the same answer must learn of it.
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
                future.exception()  # read here, so that nobody waiting for it is no warning
            raise
        finally:
            del self._same[key]

    def end(self) -> None:
        """Send nothing more: answers in flight still arrive, everything else unwinds."""
        self._ending.set()
        self._in_flight.open_wide()

    async def _keep(self, cache: ResponseCache, key: bytes, response: Response) -> None:
        # This answer is paid for and may still end its row; the next question is not asked.
        try:
            await cache.keep(key, response, self._identity)
        except JournalError as error:
            self._must_stop = self._must_stop or error
        if cache.is_disk_full and self._must_stop is None:
            self._must_stop = JournalError(
                f"{cache.path}: the disk is full; free some space and run the same command "
                "again, no response is lost"
            )

    async def _send_until_answered(self, request: Request) -> Response:
        attempt = 0
        while True:
            attempt += 1
            round_number = await self._in_flight.enter()
            try:
                response = await self._send_once(request)
            except MoreMayComeError:
                # Without its place, which the one who has the rest of the budget may need.
                attempt -= 1
                pause = self.budget.look_again(self._stop_if_ending)
            except BackendError as error:
                self._note_failure(error, round_number)
                if not error.retryable or attempt >= self._limits.max_attempts:
                    raise
                pause = self._pause(self._wait_s(error, attempt))
            else:
                self._note_success(response)
                return response
            finally:
                self._in_flight.leave()
            await pause

    async def _send_once(self, request: Request) -> Response:
        self._stop_if_ending()
        reservation = await self.budget.reserve(self._forecast.at_most(request))
        ledger = self.budget.ledger
        try:
            likely = self._forecast.likely(request)
            permit = await self._rate_limiter.take(likely.input_tokens, likely.output_tokens)
            self._stop_if_ending()
            ledger.announce(reservation)
            self.n_sent += 1
            response = await self.backend.generate(request)
        except BackendError as error:
            if error.may_be_paid:
                ledger.leave_unsettled(reservation)
            else:
                ledger.release(reservation)
            raise
        except BaseException:
            # Cancelled, or a defect of ours: if it was sent, the server may have answered.
            ledger.leave_unsettled(reservation)
            raise
        usage = response.usage
        if is_counted(response):
            self.budget.settle(reservation, usage)
            self._rate_limiter.settle(permit, usage.input_tokens, usage.output_tokens)
            self._forecast.learn(request, usage)
        else:
            # The server does not count, which does not make its answers free.
            ledger.leave_unsettled(reservation)
        if response.finish_reason in _FAILED_FINISHES and (reason := unusable_reason(response)):
            raise failed_answer(response, reason)
        return response

    def _note_success(self, response: Response) -> None:
        self._health.note_success()
        self._in_flight.succeeded()
        if response.pause_s > 0:
            self._must_stop = self._must_stop or self._wait_for_server(response.pause_s)

    def _note_failure(self, error: BackendError, round_number: int) -> None:
        """Adapt the speed; raise RunStopped when asking on is pointless."""
        if error.reason in OVERLOAD_REASONS:
            self._in_flight.overloaded(round_number)
        try:
            if error.retryable and error.retry_after_s:
                too_long = self._wait_for_server(error.retry_after_s)
                if too_long is not None:
                    raise too_long from error
            self._health.note_failure(error)
        except RunStopped:
            # At once: those who wait for this one's place must not send the same again.
            self.end()
            raise

    def _wait_for_server(self, seconds: float) -> RunStopped | None:
        """Send nothing for so long; an error if that is longer than this run may wait."""
        name = self.backend.spec
        longest = self._limits.max_pause_s
        if seconds > longest:
            return RunStopped(
                f"{name} asks for a pause of {duration(seconds)}, longer than this run waits "
                f"({duration(longest)}; --max-pause SECONDS allows more); what is done is kept, "
                "the same command goes on later"
            )
        longer_by = self._rate_limiter.hold(seconds)
        if longer_by >= _ANNOUNCED_PAUSE_S:
            self._report(f"{name} asks for a pause: nothing is sent for {duration(seconds)}")
        return None

    def _wait_s(self, error: BackendError, attempt: int) -> float:
        """The server's own wish plus up to a tenth, else exponential with full jitter."""
        if error.retry_after_s is not None:
            return error.retry_after_s * (1 + 0.1 * self._rng.random())
        longest = min(self._limits.max_backoff_s, self._limits.backoff_s * 2.0 ** (attempt - 1))
        return longest * self._rng.random()

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the run ends first."""
        self._stop_if_ending()
        await self._clock.sleep_unless(seconds, self._ending)
        self._stop_if_ending()

    def _stop_if_ending(self) -> None:
        if self._must_stop is not None:
            raise self._must_stop
        if self._ending.is_set():
            raise RunEnding


def _in_flight(backend: Backend, limits: Limits, cap: int, clock: Clock) -> ConcurrencyLimiter:
    """How many requests may be in flight; of a server that others ask too, they lend a part."""
    start = backend.start_concurrency
    if limits.places is None or backend.is_in_process:
        return ConcurrencyLimiter(cap, clock, start=start)
    return LentConcurrency(limits.places, backend.spec, cap, clock, start=start)


def failed_answer(response: Response, reason: str) -> BackendError:
    """The error of an answer that cannot be used; worth a retry where the server failed in it."""
    return BackendError(
        f"the answer is unusable (finish reason {response.finish_reason})",
        retryable=response.finish_reason in _FAILED_FINISHES,
        reason=reason,
    )
