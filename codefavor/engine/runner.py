"""The only loop of the project: applies a step to rows and records how each one ended."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sized
from dataclasses import dataclass, field
from typing import Any

from codefavor.engine.ask import ModelClient, RowPending, RunEnding
from codefavor.engine.budget import Budget
from codefavor.engine.context import Asks, Context, OtherClients
from codefavor.engine.health import RowHealth, RunStopped, StopRule
from codefavor.engine.interrupt import run_interruptibly
from codefavor.engine.ledger import Ledger, Spent, ledger_path
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
class Counts:
    """How the rows of one call ended.

    n is the sum of ok, rejected, error, resumed, duplicates and pending. `n_resumed` rows had
    ended in an earlier call, `n_old_errors` of them as errors; `n_duplicates` repeat an id of
    this input; `n_pending` wait for a batch. `reasons` counts rejections and errors by reason.
    `n_requests` were sent, `n_from_store` answered from the cache; tokens and dollars are
    those of all calls on this journal (`usd` None: the price is unknown). `n_unsettled` requests
    have no known cost (timeouts, kills, unreadable answers): at most `unsettled_usd` in all.
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
    n_unsettled: int = 0
    unsettled_usd: float = 0.0


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
    useless: Callable[[Row], str] | None = None,
) -> Counts:
    """Apply `step` to each row that has not ended yet; each ends as exactly one record.

    Rows are read as they are needed: at most `concurrency` are in memory. An exception in a
    step ends its row as an error; with `retry_errors`, rows that ended so run again, with
    `rerun_changed` those that were edited since they ended. Setting
    `interrupted` lets what is in flight arrive and then returns. With `put_aside` questions go
    there instead of to the backend, and rows that it leaves open (RowPending) stay to be done.
    `useless` says why a result is none all the same ("" for a good one), for the stop rule.

    Raises BudgetError or RunStopped after what was in flight has been recorded; the same call
    continues from there. Raises DataError for a row without an id, and JournalError for rows
    that were edited since they ended, which says how to go on.
    """
    if concurrency < 1:
        raise ConfigError(f"concurrency must be at least 1; found {concurrency}")
    progress = progress or NoProgress()
    asking: dict[str, Any] = {"limits": limits, "budget": budget, "report": progress.say}
    asking["max_concurrency"] = concurrency
    ledger = Ledger(ledger_path(journal.path))
    try:
        client = None if put_aside else context.make_client(ledger=ledger, **asking)
        others = OtherClients.of(context, client, **asking)
        loop = _Loop(
            step,
            rows,
            journal,
            context=context.with_client(put_aside or client, others),
            client=client,
            others=others,
            progress=progress,
            retry_errors=retry_errors,
            rerun_changed=rerun_changed,
            health=RowHealth(stop_rule or StopRule()),
            useless=useless or (lambda row: ""),
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

    The first Ctrl-C or SIGTERM waits for the answers in flight, which are paid for, records them
    and raises KeyboardInterrupt; a second one does not wait.
    """
    return run_interruptibly(
        lambda interrupted: run(step, rows, journal, interrupted=interrupted, **options)
    )


class _Loop:
    """One run: workers that pull from one iterator and write to one journal."""

    def __init__(
        self,
        step: Step,
        rows: Iterable[Row],
        journal: Journal,
        *,
        context: Context,
        client: ModelClient | None,
        others: OtherClients | None,
        progress: Progress,
        retry_errors: bool,
        rerun_changed: bool,
        health: RowHealth,
        useless: Callable[[Row], str],
    ) -> None:
        self._health = health
        self._useless = useless
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
        self._client = client
        self._others = others
        self._progress = progress
        self._ended: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
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
        clients = self._clients()
        spent = clients[0].budget.ledger.spent if clients else Spent()
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
            n_requests=sum(one.counts.n_sent for one in clients),
            n_from_store=sum(one.counts.n_from_store for one in clients),
            input_tokens=spent.usage.input_tokens,
            output_tokens=spent.usage.output_tokens,
            usd=self._usd(),
            n_unsettled=spent.n_unsettled,
            unsettled_usd=spent.unsettled_usd,
        )

    def _clients(self) -> list[ModelClient]:
        if self._client is None:
            return []
        return [self._client, *(self._others.all() if self._others else [])]

    def _usd(self) -> float | None:
        """What was paid; None if the price of any model that was asked is unknown."""
        budgets = [client.budget for client in self._clients()]
        if not all(budget.is_price_known for budget in budgets):
            return None
        return budgets[0].ledger.spent.usd if budgets else 0.0

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
        self._progress.advance(1, **self._fields())
        useless = self._useless(record["row"]) if status == "ok" else ""
        stopped = self._health.note(record, useless)
        if stopped is None and any(client.counts.n_sent for client in self._clients()):
            stopped = self._health.without_result()
        if stopped is not None:
            self._end(stopped)

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for kind in ("rejected", "error"):
            if self._ended[kind]:
                fields[kind] = self._ended[kind]
        if self._client is not None:
            spent = self._client.budget.ledger.spent.usage
            fields["tokens"] = spent.input_tokens + spent.output_tokens
            fields["usd"] = self._usd()
        return fields

    def _end(self, error: BaseException | None) -> None:
        """Start nothing more; the first error is the one the run ends with."""
        self._ending = self._ending or error
        self._is_ending = True
        for client in self._clients():
            client.end()

    async def _watch(self, interrupted: asyncio.Event) -> None:
        await interrupted.wait()
        self._progress.say(
            "ending: waiting for the answers in flight, which are paid for (once more ends at once)"
        )
        self._end(None)


def _record(row_id: str, status: str, reason: str, detail: str) -> Row:
    record: Row = {"id": row_id, "status": status, "reason": reason, "row": None}
    if detail:
        record["detail"] = redact(detail)
    return record
