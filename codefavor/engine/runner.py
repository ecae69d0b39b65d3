"""The only loop of the project: applies a step to rows and records how each one ended."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sized
from dataclasses import dataclass, field
from typing import Any

from codefavor.engine.ask import Asker, RowPending, RunEnding, RunStopped, describe_reasons
from codefavor.engine.budget import Budget, Ledger, ledger_path
from codefavor.engine.context import Asks, Context, OtherAskers
from codefavor.engine.limits import Limits
from codefavor.engine.progress import NoProgress, Progress
from codefavor.engine.rows_to_do import RowsToDo
from codefavor.errors import (
    BackendError,
    BudgetError,
    ConfigError,
    DataError,
    JournalError,
    MissingPackageError,
    Rejected,
    SandboxError,
)
from codefavor.journal import Journal
from codefavor.records import Row
from codefavor.redaction import redact

logger = logging.getLogger(__name__)

Step = Callable[[Row, Context], Awaitable[Row]]
# These say that the run as a whole cannot go on; the rows in progress stay to be done.
_ENDS_RUN = (BudgetError, RunStopped, JournalError, ConfigError, MissingPackageError)


@dataclass(frozen=True)
class StopRule:
    """Stops a run when too many rows end as errors.

    Looks at the last `window` rows that ended, once at least `min_rows` have.
    """

    max_error_rate: float = 0.5
    min_rows: int = 20
    window: int = 100


@dataclass(frozen=True)
class Counts:
    """How the rows of one call ended.

    n is the sum of ok, rejected, error, resumed, duplicates and pending. `n_resumed` rows had
    ended in an earlier call, `n_old_errors` of them as errors; `n_duplicates` repeat an id of
    this input; `n_pending` wait for a batch. `reasons` counts rejections and errors by reason.
    `n_requests` were sent, `n_from_store` answered from the cache; tokens and dollars are
    those of all calls on this journal (`usd` None: the price is unknown).
    """

    n: int = 0
    n_ok: int = 0
    n_rejected: int = 0
    n_error: int = 0
    n_resumed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    n_old_errors: int = 0
    n_duplicates: int = 0
    n_pending: int = 0
    n_requests: int = 0
    n_from_store: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0


async def run(
    step: Step,
    rows: Iterable[Row],
    journal: Journal,
    *,
    context: Context,
    concurrency: int = 8,
    limits: Limits | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
    retry_errors: bool = False,
    rerun_changed: bool = False,
    stop_rule: StopRule | None = None,
    label: str = "rows",
    interrupted: asyncio.Event | None = None,
    put_aside: Asks | None = None,
) -> Counts:
    """Apply `step` to each row that has not ended yet; each ends as exactly one record.

    Rows are read as they are needed: at most `concurrency` are in memory. An exception in a
    step ends its row as an error; with `retry_errors`, rows that ended so run again, with
    `rerun_changed` those that were edited since they ended. Setting
    `interrupted` lets what is in flight arrive and then returns. With `put_aside` questions go
    there instead of to the backend, and rows that it leaves open (RowPending) stay to be done.

    Raises BudgetError or RunStopped after what was in flight has been recorded; the same call
    continues from there. Raises DataError for a row without an id, and JournalError for rows
    that were edited since they ended, which says how to go on.
    """
    if concurrency < 1:
        raise ConfigError(f"concurrency must be at least 1; found {concurrency}")
    ledger = Ledger(ledger_path(journal.path))
    try:
        asker = None
        if put_aside is None:
            asker = context.make_asker(
                limits=limits, budget=budget, ledger=ledger, max_concurrency=concurrency
            )
        others = OtherAskers.of(context, asker, limits, budget, concurrency)
        loop = _Loop(
            step,
            rows,
            journal,
            context=context.with_asker(put_aside or asker, others),
            asker=asker,
            others=others,
            progress=progress or NoProgress(),
            retry_errors=retry_errors,
            rerun_changed=rerun_changed,
            stop_rule=stop_rule or StopRule(),
        )
        await loop.work(concurrency, label, interrupted)
        return loop.counts()
    finally:
        ledger.close()
        for backend in (context.backend, *context.others):
            if backend is not None:
                await backend.release()


def run_sync(step: Step, rows: Iterable[Row], journal: Journal, **options: Any) -> Counts:
    """`run` from code that is not async; takes the same options.

    The first Ctrl-C waits for the answers in flight, which are paid for, records them and
    raises KeyboardInterrupt; a second one does not wait.
    """
    loop = asyncio.new_event_loop()
    interrupted = asyncio.Event()
    in_main_thread = threading.current_thread() is threading.main_thread()

    async def main() -> Counts:
        task = asyncio.current_task()

        def on_interrupt() -> None:
            if interrupted.is_set() and task is not None:
                task.cancel()
            interrupted.set()

        if in_main_thread:
            loop.add_signal_handler(signal.SIGINT, on_interrupt)
        return await run(step, rows, journal, interrupted=interrupted, **options)

    try:
        counts = loop.run_until_complete(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        if in_main_thread:
            loop.remove_signal_handler(signal.SIGINT)
        _cancel_all(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    if interrupted.is_set():
        raise KeyboardInterrupt
    return counts


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    """End what a step left waiting (a judge's batcher serves for as long as its loop lives)."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        # Of nothing, gather would make a future of another loop than this one.
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


class _Loop:
    """One run: workers that pull from one iterator and write to one journal."""

    def __init__(
        self,
        step: Step,
        rows: Iterable[Row],
        journal: Journal,
        *,
        context: Context,
        asker: Asker | None,
        others: OtherAskers | None,
        progress: Progress,
        retry_errors: bool,
        rerun_changed: bool,
        stop_rule: StopRule,
    ) -> None:
        self._stop_rule = stop_rule
        self._step = step
        self._total = len(rows) if isinstance(rows, Sized) else None
        self._journal = journal
        self._rows = RowsToDo(
            rows,
            journal,
            retry_errors=retry_errors,
            rerun_changed=rerun_changed,
            skipped=self._skip,
        )
        self._context = context
        self._asker = asker
        self._others = others
        self._progress = progress
        self._ended: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._recent: deque[str] = deque()
        self._ending: BaseException | None = None
        self._is_ending = False

    async def work(self, concurrency: int, label: str, interrupted: asyncio.Event | None) -> None:
        """Run the workers to the end, or to the first error that ends the run."""
        self._rows.check()
        self._progress.start(label, self._total)
        watcher = asyncio.ensure_future(self._watch(interrupted)) if interrupted else None
        workers = [asyncio.ensure_future(self._worker()) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in (*workers, *([watcher] if watcher else [])):
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self._progress.finish()
        if self._ending is not None:
            raise self._ending

    def counts(self) -> Counts:
        """The sums so far."""
        askers = self._askers()
        spent = askers[0].purse.ledger.usage if askers else None
        return Counts(
            n=sum(self._ended.values()),
            n_ok=self._ended["ok"],
            n_rejected=self._ended["rejected"],
            n_error=self._ended["error"],
            n_resumed=self._ended["resumed"],
            n_old_errors=self._rows.n_old_errors,
            n_duplicates=self._ended["duplicate"],
            n_pending=self._ended["pending"],
            reasons=dict(self._reasons.most_common()),
            n_requests=sum(one.tally.n_sent for one in askers),
            n_from_store=sum(one.tally.n_from_store for one in askers),
            input_tokens=spent.input_tokens if spent else 0,
            output_tokens=spent.output_tokens if spent else 0,
            usd=self._usd(),
        )

    def _askers(self) -> list[Asker]:
        if self._asker is None:
            return []
        return [self._asker, *(self._others.all() if self._others else [])]

    def _usd(self) -> float | None:
        """What was paid; None if the price of any model that was asked is unknown."""
        purses = [asker.purse for asker in self._askers()]
        if not all(purse.is_price_known for purse in purses):
            return None
        return purses[0].ledger.usd if purses else 0.0

    async def _worker(self) -> None:
        while not self._is_ending:
            try:
                found = await self._rows.next()
                if found is None:
                    return
                row, digest = found
                record = await self._end_of(row)
                record["input"] = digest
                self._journal.append(record)
            except RunEnding:
                return
            except RowPending:
                self._skip("pending")
                continue
            except _ENDS_RUN as error:
                self._end(error)
                return
            self._note(record)

    async def _end_of(self, row: Row) -> Row:
        context = self._context.for_row(row["id"])
        record = await self._outcome(row, context)
        n_responses, n_cached = context.n_responses
        if n_responses:
            record["n_responses"], record["n_cached"] = n_responses, n_cached
        return record

    async def _outcome(self, row: Row, context: Context) -> Row:
        row_id: str = row["id"]
        try:
            result = await self._step(row, context)
        except Rejected as error:
            return {
                **_record(row_id, "rejected", error.reason, error.detail),
                "row": error.row,
            }
        except BackendError as error:
            return _record(row_id, "error", error.reason, str(error))
        except SandboxError as error:
            return _record(row_id, "error", "sandbox_error", str(error))
        except DataError as error:
            return _record(row_id, "error", "bad_row", str(error))
        except (RunEnding, RowPending, *_ENDS_RUN):
            raise
        except Exception as error:
            # Broad on purpose: one failing row, however it fails, must not take others along.
            logger.debug("row %s failed", row_id, exc_info=True)
            return _record(row_id, "error", type(error).__name__, str(error))
        return {"id": row_id, "status": "ok", "reason": "", "row": result}

    def _skip(self, kind: str) -> None:
        self._ended[kind] += 1
        self._progress.advance(1)

    def _note(self, record: Row) -> None:
        """Count the record, show it, and end the run if too many fail."""
        status, reason = record["status"], record["reason"]
        self._ended[status] += 1
        if status != "ok":
            self._reasons[reason] += 1
            self._examples.setdefault(reason, f"row {record['id']}: {record.get('detail', '')}")
        self._progress.advance(1, **self._fields())
        self._recent.append(reason if status == "error" else "")
        if len(self._recent) > self._stop_rule.window:
            self._recent.popleft()
        self._check_health()

    def _check_health(self) -> None:
        n_recent = len(self._recent)
        if not self._recent[-1] or n_recent < self._stop_rule.min_rows:
            return
        errors = Counter(reason for reason in self._recent if reason)
        n_errors = sum(errors.values())
        if n_errors > self._stop_rule.max_error_rate * n_recent:
            self._end(
                RunStopped(
                    f"{n_errors} of the last {n_recent} rows failed, so the run stopped: "
                    f"{describe_reasons(errors, self._examples)}; what is done is kept, and "
                    "--retry-errors runs again what failed"
                )
            )

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for kind in ("rejected", "error"):
            if self._ended[kind]:
                fields[kind] = self._ended[kind]
        if self._asker is not None:
            spent = self._asker.purse.ledger.usage
            fields["tokens"] = spent.input_tokens + spent.output_tokens
            fields["usd"] = self._usd()
        return fields

    def _end(self, error: BaseException | None) -> None:
        """Start nothing more; the first error is the one the run ends with."""
        self._ending = self._ending or error
        self._is_ending = True
        for asker in self._askers():
            asker.end()

    async def _watch(self, interrupted: asyncio.Event) -> None:
        await interrupted.wait()
        self._end(None)


def _record(row_id: str, status: str, reason: str, detail: str) -> Row:
    record: Row = {"id": row_id, "status": status, "reason": reason, "row": None}
    if detail:
        record["detail"] = redact(detail)
    return record
