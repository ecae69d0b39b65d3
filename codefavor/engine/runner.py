"""The only loop of the project: applies a step to rows and records how each one ended."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codefavor.engine.ask import RowPending, RunEnding
from codefavor.engine.budget import Budget
from codefavor.engine.context import Asks, Clients, Context
from codefavor.engine.counts import Counts, by_number
from codefavor.engine.health import RowHealth, RunStopped, StopRule
from codefavor.engine.interrupt import run_interruptibly
from codefavor.engine.ledger import Ledger, Spent, has_merged, ledger_path
from codefavor.engine.limits import Limits
from codefavor.engine.merge_shards import merge_shards
from codefavor.engine.progress import Progress
from codefavor.engine.rows_to_do import RowsToDo
from codefavor.engine.shards import (
    ALL_SHARDS,
    Shard,
    code_sha256,
    refuse_other_divisions,
    refuse_shards,
)
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
from codefavor.journal import Journal, own_records
from codefavor.journal_manifest import note_shard
from codefavor.records import Row
from codefavor.redaction import redact

logger = logging.getLogger(__name__)

Step = Callable[[Row, Context], Awaitable[Row]]
# These say that the run as a whole cannot go on; the rows in progress stay to be done.
ENDS_RUN = (BudgetError, RunStopped, JournalError, ConfigError, MissingPackageError)


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
    shard: Shard | None = None,
) -> Counts:
    """Apply `step` to each row that has not ended yet; each ends as exactly one record.

    Rows are read as they are needed: at most `concurrency` are in memory. An exception in a
    step ends its row as an error; with `retry_errors`, rows that ended so run again, with
    `rerun_changed` those that were edited since they ended. Setting `interrupted` lets what is in
    flight arrive and then returns. With `put_aside` questions go there, not to the backend; rows
    that it leaves open (RowPending) stay to be done. `useless` says why a result is none, for the
    stop rule. Of a `shard`, others' rows are passed over; `ALL_SHARDS` takes their records.

    Raises BudgetError or RunStopped after what was in flight has been recorded; the same call
    continues from there. Raises DataError for a row without an id, and JournalError for rows
    that were edited since they ended, which says how to go on. Raises ConfigError for a shard of
    another division than what lies beside it, and for a run without `shard` beside shards of it
    that are not merged.
    """
    if concurrency < 1:
        raise ConfigError(f"concurrency must be at least 1; found {concurrency}")
    progress = progress or Progress()
    if shard == ALL_SHARDS:
        return await merge_shards(rows, journal, context=context, progress=progress, label=label)
    _look_beside(journal, shard)
    ledger = Ledger(ledger_path(journal.path))
    asking: dict[str, Any] = {"budget": budget, "limits": limits, "report": progress.say}
    asking["max_concurrency"] = concurrency
    try:
        is_asked = put_aside is None and context.backend is not None
        clients = Clients(context, ledger, **asking) if is_asked else None
        again: dict[str, Any] = {"retry_errors": retry_errors, "rerun_changed": rerun_changed}
        to_do = RowsToDo(rows, journal, progress, shard=shard, **again)
        health, useless = RowHealth(stop_rule or StopRule()), useless or (lambda row: "")
        context = context.asking(put_aside or clients)
        loop = _Loop(step, to_do, journal, context, clients, progress, health, useless)
        await loop.work(concurrency, label, to_do.total(), interrupted)
        return replace(loop.counts(), shard=str(shard or ""))
    finally:
        ledger.close()
        for backend in (context.backend, *context.others):
            if backend is not None:
                await backend.release()


def _look_beside(journal: Journal, shard: Shard | None) -> None:
    """What other parts of the output have must not be paid again. Raises ConfigError."""
    if shard is None:
        try:
            refuse_shards(journal.path, journal.done_ids(), is_merged=has_merged(journal.path))
        except ConfigError:
            journal.discard_if_empty()
            raise
        return
    refuse_other_divisions(journal.path, shard)
    note_shard(journal.path, str(shard), code_sha256())
    _warn_of_plain_rows(shard, journal.path)


def _warn_of_plain_rows(shard: Shard, journal: Path) -> None:
    """Say that rows of a run without shards count for nothing here."""
    whole = shard.whole(journal)
    if whole is not None and whole.is_file() and any(own_records(whole)):
        logger.warning(
            "%s holds rows of a run without --shard; their part in shard %s is run, and paid for, "
            "again (go on without --shard, or name another output)",
            whole,
            shard,
        )


def run_sync(step: Step, rows: Iterable[Row], journal: Journal, **options: Any) -> Counts:
    """`run` from code that is not async; takes the same options.

    The first Ctrl-C or SIGTERM waits for the answers in flight, which are paid for, records them
    and raises KeyboardInterrupt; a second one does not wait.
    """
    return run_interruptibly(
        lambda interrupted: run(step, rows, journal, interrupted=interrupted, **options)
    )


@dataclass
class _Loop:
    """One run: workers that pull from one iterator and write to one journal."""

    step: Step
    rows: RowsToDo
    journal: Journal
    context: Context
    clients: Clients | None
    progress: Progress
    health: RowHealth
    useless: Callable[[Row], str]
    ended: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    ending: BaseException | None = None
    is_ending: bool = False

    async def work(
        self, concurrency: int, label: str, total: int | None, interrupted: asyncio.Event | None
    ) -> None:
        """Run the workers to the end, or to the first error that ends the run."""
        self.rows.check()
        self.progress.start(label, total)
        watcher = asyncio.ensure_future(self._watch(interrupted)) if interrupted else None
        workers = [asyncio.ensure_future(self._worker()) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in (*workers, *([watcher] if watcher else [])):
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            self.progress.finish()
        if self.ending is not None:
            raise self.ending

    def counts(self) -> Counts:
        """The sums so far."""
        clients = self.clients.all() if self.clients else []
        spent = self.clients.ledger.spent if self.clients else Spent()
        rows = self.rows
        return Counts(
            n=sum(self.ended.values()) + rows.n_resumed + rows.n_duplicates,
            n_ok=self.ended["ok"],
            n_rejected=self.ended["rejected"],
            n_error=self.ended["error"],
            n_resumed=rows.n_resumed,
            n_old_errors=rows.n_old_errors,
            n_duplicates=rows.n_duplicates,
            n_pending=self.ended["pending"],
            reasons=by_number(self.reasons),
            n_requests=sum(one.n_sent for one in clients),
            n_cached=sum(one.n_cached for one in clients),
            input_tokens=spent.usage.input_tokens,
            output_tokens=spent.usage.output_tokens,
            usd=self.clients.usd if self.clients else 0.0,
            n_unsettled=spent.n_unsettled,
            unsettled_usd=spent.unsettled_usd,
            unsettled_tokens=spent.unsettled_tokens,
        )

    async def _worker(self) -> None:
        while not self.is_ending:
            try:
                found = await self.rows.next()
                if found is None:
                    return
                row, digest = found
                record = await self._end_of(row)
                record["input"] = digest
                self.journal.append(record)
            except RunEnding:
                return
            except RowPending:
                self.ended["pending"] += 1
                self.progress.advance(1)
                continue
            except ENDS_RUN as error:
                self._end(error)
                return
            self._note(record)

    async def _end_of(self, row: Row) -> Row:
        context = self.context.for_row(row["id"])
        record = await self._outcome(row, context)
        n_responses, n_cached = context.n_responses
        if n_responses:
            record["n_responses"], record["n_cached"] = n_responses, n_cached
        if record["status"] != "ok" and context.used:
            # Paid for, though there is no result that could say so.
            record["usage"] = {spec: one.to_row() for spec, one in context.used.items()}
        return record

    async def _outcome(self, row: Row, context: Context) -> Row:
        row_id: str = row["id"]
        try:
            result = await self.step(row, context)
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
        except (RunEnding, RowPending, *ENDS_RUN):
            raise
        except Exception as error:
            # Broad on purpose: one failing row, however it fails, must not take others along.
            logger.debug("row %s failed", row_id, exc_info=True)
            return _record(row_id, "error", type(error).__name__, str(error))
        return {"id": row_id, "status": "ok", "reason": "", "row": result}

    def _note(self, record: Row) -> None:
        """Count the record, show it, and end the run if too many fail."""
        status, reason = record["status"], record["reason"]
        self.ended[status] += 1
        if status != "ok":
            self.reasons[reason] += 1
        self.progress.advance(1, **self._fields())
        useless = self.useless(record["row"]) if status == "ok" else ""
        stopped = self.health.note(record, useless)
        if stopped is None and (without := self.health.without_result()):
            has_asked = self.clients is not None and any(one.n_sent for one in self.clients.all())
            stopped = without if has_asked else None
        if stopped is not None:
            self._end(stopped)

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for kind in ("rejected", "error"):
            # Not ended[kind]: what a Counter does not hold is an error caught inside it.
            if n := self.ended.get(kind):
                fields[kind] = n
        if self.clients is not None:
            spent = self.clients.ledger.spent.usage
            fields["tokens"] = spent.input_tokens + spent.output_tokens
            fields["usd"] = self.clients.usd
        return fields

    def _end(self, error: BaseException | None) -> None:
        """Start nothing more; the first error is the one the run ends with."""
        self.ending = self.ending or error
        self.is_ending = True
        if self.clients is not None:
            self.clients.end()

    async def _watch(self, interrupted: asyncio.Event) -> None:
        await interrupted.wait()
        self.progress.say(
            "ending: waiting for the answers in flight, which are paid for (once more ends at once)"
        )
        self._end(None)


def _record(row_id: str, status: str, reason: str, detail: str) -> Row:
    record: Row = {"id": row_id, "status": status, "reason": reason, "row": None}
    if detail:
        record["detail"] = redact(detail)
    return record
