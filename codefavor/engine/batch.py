"""Batch mode: the same steps and the same journal, with questions answered in batch jobs.

A step is run until it asks something that has not been answered yet; the question goes into
the next job and the row waits. When jobs are done, their answers are kept like any other
answers, and the rows run again from their beginning, with everything asked before at hand.
So a step with three questions takes three rounds of jobs, and needs no code of its own.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from codefavor.backends.base import Backend, Request, Response, Usage
from codefavor.engine.answers import AnswerStore, answer_key, unusable_reason
from codefavor.engine.ask import RowPending, RunStopped, failed_answer
from codefavor.engine.budget import Budget, Forecast, Ledger, ledger_path, read_spent
from codefavor.engine.context import Context
from codefavor.engine.limits import Limits
from codefavor.engine.prices import FREE, Price, PriceTable
from codefavor.engine.runner import Counts, Step, run
from codefavor.errors import BackendError, BudgetError, ConfigError, Rejected
from codefavor.journal import Journal
from codefavor.records import Row, write_text

logger = logging.getLogger(__name__)

JobStatus = Literal["running", "done", "failed"]
Outcome = Response | BackendError


class BatchService(Protocol):
    """A service that answers files of requests.

    `submit` is given a token that stays the same when it is called again for the same file
    after a crash, so that a job is never started (and paid) twice. A round of fewer than
    `min_requests` is asked one by one instead, at the full price.
    """

    max_requests: int
    max_bytes: int
    min_requests: int

    def line(self, key: str, request: Request) -> bytes:
        """The line of a request in a job's file, without its line break."""
        ...

    async def submit(self, file: Path, token: str) -> str:
        """Start a job, or find the one that was started with this token; its id."""
        ...

    async def status(self, job: str) -> tuple[JobStatus, str]:
        """How the job is, and the service's own words for it."""
        ...

    def results(self, job: str, requests: Mapping[str, Request]) -> Iterable[tuple[str, Outcome]]:
        """(key, answer or error) of each request of a finished job that has a result."""
        ...

    async def collect(self, job: str, folder: Path) -> None:
        """Fetch what `results` reads."""
        ...


@dataclass
class _Job:
    """A file of requests: `id` is empty until the service has named its job."""

    file: str
    token: str
    id: str = ""
    is_collected: bool = False


@dataclass
class _State:
    """What must survive being closed for a day, kept in `state.json`."""

    jobs: list[_Job] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    since: int = 0  # what came into the cache later was asked by these jobs


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
        report: Callable[[str], None] = logger.info,
    ) -> None:
        if context.answers is None or context.backend is None:
            raise ConfigError("batch mode needs a backend and a cache of responses")
        self._step, self._rows, self._journal = step, rows, journal
        self._service, self._context = service, context
        self._backend: Backend = context.backend
        self._answers: AnswerStore = context.answers
        self._budget, self._limits = budget or Budget(), limits
        self._poll_s, self._max_attempts = poll_s, max_attempts
        self._report, self._reported = report, ""
        self._retry_errors = retry_errors
        self._options: dict[str, Any] = {"concurrency": concurrency, "rerun_changed": rerun_changed}
        self.folder = journal.path.with_name(journal.path.name + ".batch")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state = self._load_state()
        self._passes: list[Counts] = []
        self._collected: set[str] = set()
        self._kept: set[str] = set()
        if retry_errors:
            self._state.failures.clear()
            self._state.attempts.clear()

    async def run(self, *, wait: bool = True) -> Counts:
        """Submit, wait and collect until no row waits any more.

        With `wait` False it returns as soon as it would have to wait: run it again later.
        Raises BudgetError when the next requests do not fit into the budget.
        """
        ledger = Ledger(ledger_path(self._journal.path))
        try:
            counts = await self._rounds(ledger, wait=wait)
        finally:
            ledger.close()
        # What the jobs came to; a run in itself only knows what it sends one by one.
        spent = read_spent(self._journal.path) or (Usage(), 0.0)
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
            reasons=dict(reasons.most_common()),
            n_requests=counts.n_requests + len(self._collected),
            n_from_store=len(self._kept),
            input_tokens=spent[0].input_tokens,
            output_tokens=spent[0].output_tokens,
            usd=None if self.price() is None else spent[1],
        )

    async def _rounds(self, ledger: Ledger, *, wait: bool) -> Counts:
        while True:
            await self._submit_open_jobs()
            if not await self._collect_finished(ledger, wait=wait):
                return await self._pass(None)
            writer = _Writer(self, ledger)
            counts = await self._pass(writer)
            if not counts.n_pending:
                return counts
            if 0 < writer.n_written < self._service.min_requests and not writer.budget_error:
                writer.discard()
                return await self._ask_online(writer.n_written)
            self._state.jobs.extend(writer.finish())
            self._save_state()
            if not writer.n_written:
                raise writer.budget_error or RunStopped(
                    f"{counts.n_pending} rows wait for answers that no job holds"
                )

    def price(self) -> Price | None:
        """The price of a token in batch mode; None if it is unknown."""
        table = self._context.prices or PriceTable.load()
        price = table.price(self._backend.name, self._backend.model)
        return None if price is None else price.in_batch()

    async def _pass(self, writer: _Writer | None) -> Counts:
        """Run every row that has not ended as far as the answers at hand take it."""
        is_retry = self._retry_errors and writer is not None
        return await self._run(retry_errors=is_retry, put_aside=_PutAside(self, writer))

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
            budget=self._budget, limits=self._limits, retry_errors=self._retry_errors
        )

    async def _submit_open_jobs(self) -> None:
        for job in self._state.jobs:
            if not job.id:
                job.id = await self._service.submit(self.folder / job.file, job.token)
                self._save_state()

    async def _collect_finished(self, ledger: Ledger, *, wait: bool) -> bool:
        """Collect what is done; returns whether nothing is running any more."""
        while True:
            for job in self._running():
                status, words = await self._service.status(job.id)
                self._tell(f"batch job {job.id}: {words}")
                if status == "running":
                    continue
                if status == "failed":
                    job.is_collected = True
                    self._save_state()
                    raise RunStopped(f"the batch service refused job {job.id}: {words}")
                await self._service.collect(job.id, self.folder)
                self._take_results(job, ledger, words)
                job.is_collected = True
                self._save_state()
            if not self._running():
                return True
            if not wait:
                return False
            await self._context.clock.sleep(self._poll_s)

    def _tell(self, words: str) -> None:
        """Say what has changed: the same words every minute for a day help nobody."""
        if words != self._reported:
            self._reported = words
            self._report(words)

    def _running(self) -> list[_Job]:
        return [job for job in self._state.jobs if not job.is_collected]

    def _take_results(self, job: _Job, ledger: Ledger, words: str) -> None:
        """Keep the answers; note the failures, final once they were tried often enough."""
        requests = dict(self._requests_of(job))
        price = self.price() or FREE
        missing = set(requests)
        for key, outcome in self._service.results(job.id, requests):
            if key not in missing:
                continue
            missing.discard(key)
            if isinstance(outcome, Response):
                if self._answers.get(bytes.fromhex(key)) is None:
                    self._collected.add(key)
                    ledger.add(outcome.usage, price.cost_usd(outcome.usage))
                    self._answers.put(bytes.fromhex(key), outcome, self._backend.identity)
                if reason := unusable_reason(outcome):
                    self._note_failure(key, failed_answer(outcome, reason))
            else:
                self._note_failure(key, outcome)
        for key in missing:
            self._note_failure(
                key, BackendError(f"no result ({words})", retryable=True, reason="batch_expired")
            )

    def _note_failure(self, key: str, error: BackendError) -> None:
        attempts = self._state.attempts[key] = self._state.attempts.get(key, 0) + 1
        if not error.retryable or attempts >= self._max_attempts:
            self._state.failures[key] = (error.reason, str(error))

    def _requests_of(self, job: _Job) -> Iterator[tuple[str, Request]]:
        with open(self.folder / (job.file + ".requests"), encoding="utf-8") as handle:
            for line in handle:
                row = json.loads(line)
                yield row["key"], Request.from_row(row["request"])

    def _load_state(self) -> _State:
        path = self.folder / "state.json"
        if not path.exists():
            return _State(since=self._answers.newest())
        row = json.loads(path.read_text(encoding="utf-8"))
        failures = {key: (reason, text) for key, (reason, text) in row["failures"].items()}
        jobs = [_Job(**job) for job in row["jobs"]]
        return _State(jobs, row["attempts"], failures, row["since"])

    def _save_state(self) -> None:
        write_text(self.folder / "state.json", [json.dumps(asdict(self._state), indent=1)])


class _PutAside:
    """Answers from what is kept; anything else goes into the next job."""

    def __init__(self, batch: BatchRun, writer: _Writer | None) -> None:
        self._batch = batch
        self._writer = writer
        self._identity = batch._backend.identity

    async def ask(self, request: Request, row_id: str, occurrence: int) -> Response:
        """The cached answer; else raises Rejected, BackendError for a final failure, RowPending."""
        seed = self._batch._context.seed
        raw_key = answer_key(self._identity, request, seed, row_id, occurrence)
        kept = self._batch._answers.get(raw_key, since=self._batch._state.since)
        key = raw_key.hex()
        if kept is not None:
            if kept.is_cached:
                self._batch._kept.add(key)
            return kept
        failure = self._batch._state.failures.get(key)
        if failure is not None and failure[0] == "filtered_answer":
            raise Rejected(*failure)
        if failure is not None:
            raise BackendError(failure[1], retryable=False, reason=failure[0])
        if self._writer is not None:
            self._writer.add(key, request)
        raise RowPending


class _Writer:
    """Writes the files of the next jobs, as far as the budget goes."""

    def __init__(self, batch: BatchRun, ledger: Ledger) -> None:
        self._batch, self._ledger = batch, ledger
        self._service = batch._service
        self._forecast, self._price = Forecast(), batch.price()
        budget = batch._budget
        if budget.usd is not None and self._price is None:
            raise ConfigError("a budget in dollars needs the price of this model (--prices)")
        self._keys: set[str] = set()
        self._tokens, self._usd = 0, 0.0
        self._jobs: list[_Job] = []
        self._n_in_file = self._n_bytes = 0
        self.budget_error: BudgetError | None = None

    @property
    def n_written(self) -> int:
        """How many requests the next jobs hold."""
        return len(self._keys)

    def add(self, key: str, request: Request) -> None:
        """Add a request, unless it is there already or the budget does not allow it."""
        if key in self._keys or not self._fits(request):
            return
        self._keys.add(key)
        line = self._service.line(key, request) + b"\n"
        is_full = self._n_in_file >= self._service.max_requests
        if not self._jobs or is_full or self._n_bytes + len(line) > self._service.max_bytes:
            self._open_file()
        self._n_in_file += 1
        self._n_bytes += len(line)
        job = self._jobs[-1]
        folder = self._batch.folder
        with open(folder / job.file, "ab") as lines:
            lines.write(line)
        note = json.dumps({"key": key, "request": request.to_row()}, ensure_ascii=True)
        with open(folder / (job.file + ".requests"), "a", encoding="utf-8") as notes:
            notes.write(note + "\n")

    def finish(self) -> list[_Job]:
        """The jobs to submit."""
        return self._jobs

    def discard(self) -> None:
        """Remove the files: what is in them is asked in another way."""
        for job in self._jobs:
            for name in (job.file, job.file + ".requests"):
                (self._batch.folder / name).unlink()

    def _open_file(self) -> None:
        token = uuid.uuid4().hex
        self._jobs.append(_Job(f"{token}.jsonl", token))
        self._n_in_file = self._n_bytes = 0

    def _fits(self, request: Request) -> bool:
        forecast = self._forecast.tokens(request)
        tokens = self._tokens + forecast.input_tokens + forecast.output_tokens
        usd = self._usd + (self._price.cost_usd(forecast) if self._price else 0.0)
        spent, budget = self._ledger.usage, self._batch._budget
        n_spent = spent.input_tokens + spent.output_tokens
        too_many = budget.tokens is not None and n_spent + tokens > budget.tokens
        too_dear = budget.usd is not None and self._ledger.usd + usd > budget.usd
        if too_many or too_dear:
            self.budget_error = BudgetError(
                f"the budget is spent: ${self._ledger.usd:.4f} and {n_spent} tokens so far, and "
                "the next batch does not fit; raise the budget and run the same command again"
            )
            return False
        self._tokens, self._usd = tokens, usd
        return True
