"""How one request gets its answer: cache, budget, caps, sending, retrying, giving up."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

from codefavor.backends.base import Backend, Request, Response
from codefavor.engine.answers import AnswerStore, answer_key, unusable_reason
from codefavor.engine.budget import Forecast, Purse
from codefavor.engine.clock import Clock
from codefavor.engine.limits import AdaptiveGate, Limits, Pacer
from codefavor.errors import BackendError, CodefavorError, JournalError

# What no later request of the same run can escape: the key, the model, the account, the form,
# the address.
FATAL_REASONS = frozenset(
    {"auth", "unknown_model", "no_credit", "unsupported", "certificate", "redirect"}
)
OVERLOAD_REASONS = frozenset({"rate_limited", "overloaded"})
# With a 200 and a bill: the server says that it failed in the middle of an answer.
_FAILED_FINISHES = frozenset({"other:error", "other:abort", "other:insufficient_system_resource"})
_MAX_FATAL_IN_A_ROW = 3
_MAX_FAILURES_WITHOUT_SUCCESS = 40


class RunStopped(CodefavorError):
    """A run that cannot succeed, or fails too often, was stopped; what is done is kept."""


class RunEnding(Exception):
    """Unwinds the rows in progress when the run ends early; they stay to be done."""


class RowPending(Exception):
    """Unwinds a row whose question has been put aside (batch mode); it stays to be done."""


@dataclass
class Tally:
    """What the asking of one run amounted to so far."""

    n_sent: int = 0
    n_retries: int = 0
    n_from_store: int = 0


class Asker:
    """Asks one backend for one run. Identical repeatable requests in flight are sent once."""

    def __init__(
        self,
        backend: Backend,
        *,
        limits: Limits,
        purse: Purse,
        answers: AnswerStore | None,
        clock: Clock,
        seed: int,
        max_concurrency: int,
    ) -> None:
        self.backend = backend
        self.purse = purse
        self.tally = Tally()
        self._limits = limits
        self._answers = answers
        self._clock = clock
        self._seed = seed
        self._rng = random.Random(seed)
        self._gate = AdaptiveGate(max_concurrency, clock, start=backend.start_concurrency)
        self._pacer = Pacer(limits, clock, self._pause)
        self._forecast = Forecast()
        self._identity = backend.identity
        if answers is not None:
            answers.reserve(max_concurrency)
        self._same: dict[bytes, asyncio.Future[Response]] = {}
        self._ending = asyncio.Event()
        self._cannot_keep: JournalError | None = None
        self._has_succeeded = False
        self._fatal_in_a_row = 0
        self._failures: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    async def ask(self, request: Request, row_id: str, occurrence: int) -> Response:
        """The answer to one request, from the store if it was paid for before.

        Raises BackendError if this request failed for good, BudgetError, RunStopped, RunEnding,
        and JournalError once an answer could not be kept.
        """
        key = answer_key(self._identity, request, self._seed, row_id, occurrence)
        while key in self._same:
            # Shielded: the one who waits may be cancelled without cancelling the one who asks.
            return await asyncio.shield(self._same[key])
        if self._answers is not None:
            kept = self._answers.get(key)
            if kept is not None:
                self.tally.n_from_store += 1
                return kept
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._same[key] = future
        try:
            response = await self._send_until_answered(request)
            if self._answers is not None:
                await self._keep(self._answers, key, response)
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
        self._gate.open_wide()

    async def _keep(self, answers: AnswerStore, key: bytes, response: Response) -> None:
        # This answer is paid for and may still end its row; the next question is not asked.
        try:
            await answers.keep(key, response, self._identity)
        except JournalError as error:
            self._cannot_keep = error
        if answers.is_disk_full and self._cannot_keep is None:
            self._cannot_keep = JournalError(
                f"{answers.path}: the disk is full; free some space and run the same command "
                "again, no response is lost"
            )

    async def _send_until_answered(self, request: Request) -> Response:
        attempt = 0
        while True:
            attempt += 1
            round_number = await self._gate.enter()
            try:
                response = await self._send_once(request)
            except BackendError as error:
                self._note_failure(error, round_number)
                if not self._may_retry(error, attempt):
                    raise
                wait = self._wait_s(error, attempt)
            else:
                self._note_success(response)
                return response
            finally:
                self._gate.leave()
            self.tally.n_retries += 1
            await self._pause(wait)

    async def _send_once(self, request: Request) -> Response:
        self._stop_if_ending()
        if self._cannot_keep is not None:
            raise self._cannot_keep
        while (held := self._gate.held_s()) > 0:
            await self._pause(held)
        forecast = self._forecast.tokens(request)
        permission = await self._pacer.take(forecast.input_tokens, forecast.output_tokens)
        reservation = await self.purse.reserve(forecast)
        usage = None
        try:
            self._stop_if_ending()
            self.tally.n_sent += 1
            response = await self.backend.generate(request)
            usage = response.usage
        finally:
            self.purse.settle(reservation, usage)
        permission.settle(usage.input_tokens, usage.output_tokens)
        self._forecast.learn(request, usage)
        if response.finish_reason in _FAILED_FINISHES and (reason := unusable_reason(response)):
            raise failed_answer(response, reason)
        return response

    def _note_success(self, response: Response) -> None:
        self._has_succeeded = True
        self._fatal_in_a_row = 0
        self._gate.succeeded()
        if response.hold_s > 0:
            self._gate.hold(min(response.hold_s, self._limits.max_retry_after_s))

    def _note_failure(self, error: BackendError, round_number: int) -> None:
        """Adapt the speed; raise RunStopped when asking on is pointless."""
        if error.reason in OVERLOAD_REASONS:
            self._gate.overloaded(round_number)
            if error.retry_after_s is not None and error.retry_after_s > 0:
                self._gate.hold(min(error.retry_after_s, self._limits.max_retry_after_s))
        self._failures[error.reason] += 1
        self._examples.setdefault(error.reason, str(error))
        if error.reason in FATAL_REASONS:
            self._fatal_in_a_row += 1
            if not self._has_succeeded or self._fatal_in_a_row >= _MAX_FATAL_IN_A_ROW:
                # At once: those who wait for this one's place must not send the same again.
                self.end()
                raise RunStopped(
                    f"{error}; no other request would fare better, so the run stopped"
                ) from error
        elif not self._has_succeeded and error.reason != "rate_limited":
            n_failures = sum(self._failures.values()) - self._failures["rate_limited"]
            if n_failures >= _MAX_FAILURES_WITHOUT_SUCCESS:
                self.end()
                raise RunStopped(
                    f"none of the first {n_failures} requests succeeded: "
                    f"{describe_reasons(self._failures, self._examples)}"
                ) from error

    def _may_retry(self, error: BackendError, attempt: int) -> bool:
        if not error.retryable or attempt >= self._limits.max_attempts:
            return False
        return (error.retry_after_s or 0.0) <= self._limits.max_retry_after_s

    def _wait_s(self, error: BackendError, attempt: int) -> float:
        """The server's own wish plus up to a tenth, else exponential with full jitter."""
        if error.retry_after_s is not None:
            return error.retry_after_s * (1 + 0.1 * self._rng.random())
        longest = min(self._limits.max_backoff_s, self._limits.backoff_s * 2.0 ** (attempt - 1))
        return longest * self._rng.random()

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the run ends first."""
        self._stop_if_ending()
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait((sleep, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            ending.cancel()
        self._stop_if_ending()

    def _stop_if_ending(self) -> None:
        if self._ending.is_set():
            raise RunEnding


def failed_answer(response: Response, reason: str) -> BackendError:
    """The error of an answer that cannot be used; worth a retry where the server failed in it."""
    return BackendError(
        f"the answer is unusable (finish reason {response.finish_reason})",
        retryable=response.finish_reason in _FAILED_FINISHES,
        reason=reason,
    )


def describe_reasons(reasons: Counter[str], examples: dict[str, str]) -> str:
    """The commonest reasons, most frequent first, with one example each."""
    parts = [
        f"{count} x {reason} (for example: {examples.get(reason, '')[:300]})"
        for reason, count in reasons.most_common(3)
    ]
    rest = sum(reasons.values()) - sum(count for _, count in reasons.most_common(3))
    return "; ".join(parts) + (f"; {rest} others" if rest else "")
