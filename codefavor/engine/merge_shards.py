"""What the shards of a run have recorded, taken over in the order of its input."""

from __future__ import annotations

import contextlib
import itertools
import resource
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from codefavor.engine.context import Context
from codefavor.engine.counts import Counts, by_number
from codefavor.engine.ledger import Spent, merge_spent, read_spent
from codefavor.engine.prices import PriceTable
from codefavor.engine.progress import Progress
from codefavor.engine.rows_to_do import RowsToDo
from codefavor.engine.shards import ALL_SHARDS, FOLDER, Shard, code_sha256, shard_journals
from codefavor.errors import JournalError
from codefavor.journal import Journal, own_records, read_journal
from codefavor.journal_manifest import differing_settings, read_shard_note
from codefavor.records import Row

# Where it is set, a merge only names its journal here, and ends as a shard without rows.
named_journals: ContextVar[list[Path] | None] = ContextVar("named_journals", default=None)
_AGAIN = "run it again, then merge-shards"


async def merge_shards(
    rows: Iterable[Row], journal: Journal, *, context: Context, progress: Progress, label: str
) -> Counts:
    """Take the record of every row from the shard that ran it; nothing is run and nobody asked.

    Each merge is made whole: what an earlier one took from shards counts no more, what a plain run
    recorded stays. The journal changes once all is there.

    Raises JournalError for shards that are missing, unfinished or doubled, that were made under
    other settings, by other code or from other rows.
    """
    if (named := named_journals.get()) is not None:
        named.append(journal.path)
        return Counts(shard="none")
    try:
        return await _merge(rows, journal, context, progress, label)
    except BaseException:  # whatever ended it, an interrupt too
        journal.discard_if_empty()
        raise


async def _merge(
    rows: Iterable[Row], journal: Journal, context: Context, progress: Progress, label: str
) -> Counts:
    shards = _checked(journal.path)
    ended, reasons, n_cached = Counter[str](), Counter[str](), 0
    with _made_anew(journal) as whole:
        to_do = RowsToDo(rows, whole, progress, retry_errors=True, rerun_changed=True)
        records = _Records(shards, max(one.n for one in shards))
        progress.start(f"{label} (merging)", to_do.total())
        with contextlib.closing(records):
            while (found := await to_do.next()) is not None:
                row, digest = found
                record = records.take(row["id"], digest)
                whole.append(record)
                ended[record["status"]] += 1
                reasons[record["reason"]] += record["status"] != "ok"
                n_cached += record.get("n_cached", 0)
                progress.advance(1)
            records.check_rest(whole)
    n_requests = merge_spent(journal.path, shards.values())
    progress.finish()
    spent = read_spent(journal.path) or Spent()
    return Counts(
        n=ended.total() + to_do.n_resumed + to_do.n_duplicates,
        n_ok=ended["ok"],
        n_rejected=ended["rejected"],
        n_error=ended["error"],
        n_resumed=to_do.n_resumed,
        n_duplicates=to_do.n_duplicates,
        reasons=by_number(+reasons),
        n_requests=n_requests,
        n_cached=n_cached,
        input_tokens=spent.usage.input_tokens,
        output_tokens=spent.usage.output_tokens,
        usd=spent.usd if _is_priced(context) else None,
        n_unsettled=spent.n_unsettled,
        unsettled_usd=spent.unsettled_usd,
        unsettled_tokens=spent.unsettled_tokens,
        shard=str(ALL_SHARDS),
    )


@contextlib.contextmanager
def _made_anew(journal: Journal) -> Iterator[Journal]:
    """A journal with the plain run's records of `journal`, which takes its place at a good end."""
    path = journal.path
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        with Journal.open(Path(folder) / path.name, {}) as whole:
            for record in own_records(path):
                whole.append(record)
            n_own_bytes = whole.path.stat().st_size
            yield whole
        journal.take_over(whole.path, n_own_bytes)
    journal.input_ids = whole.input_ids


def _is_priced(context: Context) -> bool:
    prices = context.prices or PriceTable.load()
    asked = [one for one in (context.backend, *context.others) if one is not None]
    return all(prices.price(one.spec) is not None for one in asked)


def _checked(journal: Path) -> dict[Shard, Path]:
    """The journals of all shards; raises JournalError unless they are the whole of one run."""
    found = dict(shard_journals(journal))
    if not found:
        raise JournalError(
            f"{journal.name}: no shards to merge; the command with --shard I/N writes them into "
            f"{FOLDER}/I-of-N beside its output"
        )
    divisions = sorted({one.n for one in found})
    if len(divisions) > 1:
        raise JournalError(
            f"{journal.name}: there are shards of {' and of '.join(map(str, divisions))}, which "
            f"hold the same rows twice; move the folders of one division out of {FOLDER}"
        )
    n = divisions[0]
    if missing := [str(one) for one in (Shard(i, n) for i in range(n)) if one not in found]:
        raise JournalError(
            f"{journal.name}: {len(missing)} of {n} shards are missing: {', '.join(missing[:10])}"
            f"{', ...' if len(missing) > 10 else ''}; run them, or bring their folders here"
        )
    for shard, path in sorted(found.items(), key=lambda one: one[0].index):
        _check_one(journal, shard, path)
    return found


def _check_one(journal: Path, shard: Shard, path: Path) -> None:
    name, codes = read_shard_note(path)
    if name != str(shard):
        raise JournalError(f"{path}: is of shard {name or '?'}, in the folder of shard {shard}")
    if others := differing_settings(path, journal):
        raise JournalError(f"shard {shard} was made under other settings: {'; '.join(others)}")
    if codes != [code_sha256()]:
        raise JournalError(
            f"shard {shard} was made by another version of the code: {', '.join(codes)} (here "
            f"{code_sha256()}); merge with that version, or run the shards anew with --fresh"
        )


class _Records:
    """The records of all shards, each file read once from its beginning to its end.

    In memory are those that came before an earlier row's: about as many as were in flight.
    """

    def __init__(self, shards: Mapping[Shard, Path], n: int) -> None:
        self._open_files(len(shards))
        self._shards, self._n = shards, n
        self._files: dict[Shard, Iterator[Row]] = {}
        self._waiting: dict[str, Row] = {}

    def take(self, row_id: str, digest: str) -> Row:
        """The record of a row. Raises JournalError if there is none, or one of another row."""
        record = self._waiting.pop(row_id, None)
        shard = Shard.of(row_id, self._n)
        for one in () if record is not None else self._read(shard):
            if one["id"] == row_id:
                record = one
                break
            self._waiting[one["id"]] = one
        if record is None:
            raise JournalError(
                f"shard {shard} is not finished: it has no record of the row {row_id}; {_AGAIN}"
            )
        if record.get("input") != digest:
            raise JournalError(
                f"shard {shard} was run on another input: its row {row_id} is not the one that is "
                f"here; {_AGAIN}"
            )
        return record

    def check_rest(self, journal: Journal) -> None:
        """Raise JournalError if a shard has rows that the input has not."""
        ids = journal.input_ids or ()
        unread = itertools.chain.from_iterable(map(self._read, self._shards))
        for row_id in itertools.chain(self._waiting, (one["id"] for one in unread)):
            if row_id not in ids:
                raise JournalError(
                    f"shard {Shard.of(row_id, self._n)} was run on another input: it has the row "
                    f"{row_id}, which is not here"
                )

    def close(self) -> None:
        """Close the files."""
        self._files.clear()

    def _read(self, shard: Shard) -> Iterator[Row]:
        if shard not in self._files:
            self._files[shard] = read_journal(self._shards[shard])
        return self._files[shard]

    def _open_files(self, n: int) -> None:
        """Let this process have all journals open at once, as far as the system allows."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if n + 100 > soft != resource.RLIM_INFINITY:
            most = n + 100 if hard == resource.RLIM_INFINITY else min(n + 100, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft), hard))
