"""Batch mode: the same steps and the same journal, with questions answered in batch jobs.

A step is run until it asks something that has not been answered yet; the question goes into
the next job and the row waits. When jobs are done, their answers are kept like any other
answers, and the rows run again from their beginning, with everything asked before at hand.
So a step with three questions takes three rounds of jobs, and needs no code of its own.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from codefavor.backends.base import Backend, Request, Response
from codefavor.backends.batch_service import BatchService
from codefavor.engine.ask import RowPending, failed_answer
from codefavor.engine.batch_jobs import Job, JobWriter, State, requests_of
from codefavor.engine.budget import Budget, BudgetTracker, TokenForecast, is_counted
from codefavor.engine.cache import ResponseCache, response_key, unusable_reason
from codefavor.engine.context import Context
from codefavor.engine.counts import Counts, by_number
from codefavor.engine.health import RunStopped
from codefavor.engine.ledger import Ledger, Spent, ledger_path, read_spent
from codefavor.engine.limits import Limits
from codefavor.engine.prices import PriceTable
from codefavor.engine.runner import Step, run
from codefavor.engine.shards import Shard
from codefavor.errors import BackendError, ConfigError, Rejected
from codefavor.journal import Journal
from codefavor.records import Row

logger = logging.getLogger(__name__)


class BatchRun:
    """One run in batch mode; its files live in a folder beside the journal."""

    def __init__(
        self,
        step: Step,
        rows: Callable[[], Iterable[Row]],
        journal: Journal,
        service: BatchService,
        *,
        context: Context,
        budget: Budget | None = None,
        limits: Limits | None = None,
        poll_s: float = 60.0,
        max_attempts: int = 3,
        retry_errors: bool = False,
        rerun_changed: bool = False,
        concurrency: int = 64,
        shard: Shard | None = None,
        report: Callable[[str], None] = logger.info,
    ) -> None:
        if context.cache is None or context.backend is None:
            raise ConfigError("batch mode needs a backend and a cache of responses")
        self._step, self._rows, self._journal = step, rows, journal
        self._service, self._context = service, context
        self._backend: Backend = context.backend
        self._cache: ResponseCache = context.cache
        self._budget, self._limits = budget or Budget(), limits
        price = (context.prices or PriceTable.load()).price(self._backend.spec)
        # Of a token in batch mode; None if it is unknown.
        self._price = None if price is None else price.in_batch()
        self._poll_s, self._max_attempts = poll_s, max_attempts
        self._report, self._reported = report, ""
        self._retry_errors = retry_errors
        self._options: dict[str, Any] = {"concurrency": concurrency, "shard": shard}
        self._options["rerun_changed"] = rerun_changed
        self.folder = journal.path.with_name(journal.path.name + ".batch")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state = State.load(self.folder, self._cache.newest())
        self._passes: list[Counts] = []
        self._writer: JobWriter | None = None
        self._collected: set[str] = set()
        self._kept: set[str] = set()
        if retry_errors:
            self._state.failures.clear()
            self._state.attempts.clear()

    async def run(self, *, wait: bool = True, interrupted: asyncio.Event | None = None) -> Counts:
        """Submit, wait and collect until no row waits any more.

        With `wait` False, or once `interrupted` is set, it returns as soon as it would have to
        wait: run it again later.
        Raises BudgetError when the next requests do not fit into the budget.
        """
        self._interrupted = interrupted or asyncio.Event()
        ledger = Ledger(ledger_path(self._journal.path))
        try:
            self._tracker = BudgetTracker(self._budget, self._price, ledger, self._backend.spec)
            counts = await self._rounds(wait=wait)
        finally:
            ledger.close()
        # What the jobs came to; a run in itself only knows what it sends one by one.
        spent = read_spent(self._journal.path) or Spent()
        n_ok, n_rejected, n_error = (
            sum(getattr(one, name) for one in self._passes)
            for name in ("n_ok", "n_rejected", "n_error")
        )
        n_before = n_ok + n_rejected + n_error - counts.n_ok - counts.n_rejected - counts.n_error
        reasons = sum((Counter(one.reasons) for one in self._passes), Counter[str]())
        return dataclasses.replace(
            counts,
            n_ok=n_ok,
            n_rejected=n_rejected,
            n_error=n_error,
            n_resumed=counts.n_resumed - n_before,
            n_old_errors=counts.n_old_errors - (n_error - counts.n_error),
            reasons=by_number(reasons),
            n_requests=counts.n_requests + len(self._collected),
            n_cached=len(self._kept),
            input_tokens=spent.usage.input_tokens,
            output_tokens=spent.usage.output_tokens,
            usd=None if self._price is None else spent.usd,
            n_unsettled=spent.n_unsettled,
            unsettled_usd=spent.unsettled_usd,
            unsettled_tokens=spent.unsettled_tokens,
        )

    async def _rounds(self, *, wait: bool) -> Counts:
        while True:
            if not await self._submit_open_jobs(wait=wait) or not await self._collect_finished(
                wait=wait
            ):
                return await self._pass()
            self._writer = writer = JobWriter(self.folder, self._service, self._tracker)
            try:
                counts = await self._pass()
            finally:
                self._writer = None
                writer.close()
            if not counts.n_pending:
                return counts
            if 0 < writer.n_written < self._service.min_requests and not writer.budget_error:
                writer.discard()
                return await self._ask_online(writer.n_written)
            writer.sync()
            self._state.jobs.extend(writer.jobs)
            self._save_state()
            if not writer.n_written:
                raise writer.budget_error or RunStopped(
                    f"{counts.n_pending} rows wait for answers that no job holds"
                )

    async def _pass(self) -> Counts:
        """Run every row that has not ended as far as the answers at hand take it."""
        is_retry = self._retry_errors and self._writer is not None
        return await self._run(retry_errors=is_retry, put_aside=self)

    async def _run(self, **options: Any) -> Counts:
        counts = await run(
            self._step,
            self._rows(),
            self._journal,
            context=self._context,
            **self._options,
            **options,
        )
        self._passes.append(counts)
        return counts

    async def _ask_online(self, n_requests: int) -> Counts:
        self._report(
            f"{n_requests} requests are too few for a job (at least "
            f"{self._service.min_requests}); they are asked one by one at the full price"
        )
        return await self._run(
            budget=self._budget,
            limits=self._limits,
            retry_errors=self._retry_errors,
            interrupted=self._interrupted,
        )

    async def _submit_open_jobs(self, *, wait: bool) -> bool:
        """Whether all are submitted; without waiting, a service that fails is left for later."""
        for job in self._state.jobs:
            attempt = 0
            while not job.id:
                attempt += 1
                try:
                    job.id = await self._service.submit(self.folder / job.file, job.token)
                except BackendError as error:
                    if not error.retryable or (wait and attempt >= self._max_attempts):
                        raise
                    self._tell(f"the job cannot be started yet: {error}")
                    if not wait:
                        return False
                    await self._pause()
                self._save_state()
        return True

    async def _collect_finished(self, *, wait: bool) -> bool:
        """Collect what is done; returns whether nothing is running any more."""
        while True:
            for job in self._running():
                try:
                    await self._look_at(job)
                except BackendError as error:
                    if not error.retryable:
                        raise
                    # The job goes on without being watched, for hours if need be.
                    again = "asked again until it answers" if wait else "run the same command again"
                    self._tell(f"batch job {job.id}: {error}; {again}")
            if not self._running():
                return True
            if not wait or self._interrupted.is_set():
                return False
            await self._pause()

    async def _look_at(self, job: Job) -> None:
        status, words = await self._service.status(job.id)
        self._tell(f"batch job {job.id}: {words}")
        if status == "running":
            return
        if status == "failed":
            job.is_collected = True
            self._save_state()
            raise RunStopped(f"the batch service refused job {job.id}: {words}")
        file = await self._service.collect(job.id, self.folder)
        self._take_results(job, file, words)
        job.is_collected = True
        self._save_state()

    async def _pause(self) -> None:
        """Until the next look, or until the run is interrupted."""
        await self._context.clock.sleep_unless(self._poll_s, self._interrupted)

    def _tell(self, words: str) -> None:
        """Say what has changed: the same words every minute for a day help nobody."""
        if words != self._reported:
            self._reported = words
            self._report(words)

    def _running(self) -> list[Job]:
        return [job for job in self._state.jobs if not job.is_collected]

    def _take_results(self, job: Job, file: Path, words: str) -> None:
        """Keep the answers; note the failures, final once they were tried often enough."""
        requests = requests_of(self.folder, job)
        missing = set(requests)
        for key, outcome in self._service.results(file, requests):
            if key not in missing:
                continue
            missing.discard(key)
            if isinstance(outcome, Response):
                if self._cache.get(bytes.fromhex(key)) is None:
                    self._collected.add(key)
                    self._book(requests[key], outcome)
                    self._cache.put(bytes.fromhex(key), outcome, self._backend.identity)
                if reason := unusable_reason(outcome):
                    self._note_failure(key, failed_answer(outcome, reason))
            else:
                if outcome.may_be_paid:
                    self._book(requests[key], None)
                self._note_failure(key, outcome)
        for key in missing:
            self._note_failure(
                key, BackendError(f"no result ({words})", retryable=True, reason="batch_expired")
            )

    def _book(self, request: Request, response: Response | None) -> None:
        """Count what the server says this took; the most it may have taken where it does not."""
        budget, ledger = self._tracker, self._tracker.ledger
        if response is not None and is_counted(response):
            ledger.add(response.usage, budget.cost(response.usage))
            return
        most = TokenForecast().at_most(request)
        lost = ledger.reserve(most, budget.cost(most))
        ledger.announce(lost)
        ledger.leave_unsettled(lost)

    def _note_failure(self, key: str, error: BackendError) -> None:
        attempts = self._state.attempts[key] = self._state.attempts.get(key, 0) + 1
        if not error.retryable or attempts >= self._max_attempts:
            self._state.failures[key] = (error.reason, str(error))

    def _save_state(self) -> None:
        self._state.save(self.folder)

    async def ask(
        self, backend: Backend, request: Request, row_id: str, occurrence: int
    ) -> Response:
        """The cached answer; anything else goes into the next job.

        Raises Rejected or BackendError for a final failure, RowPending for a question put aside.
        """
        identity = self._backend.identity
        raw_key = response_key(identity, request, self._context.seed, row_id, occurrence)
        kept = self._cache.get(raw_key, since=self._state.since)
        key = raw_key.hex()
        if kept is not None:
            if kept.is_cached:
                self._kept.add(key)
            return kept
        if (failure := self._state.failures.get(key)) is not None:
            if failure[0] == "filtered_answer":
                raise Rejected(*failure)
            raise BackendError(failure[1], reason=failure[0])
        if self._writer is not None:
            self._writer.add(key, request)
        raise RowPending
