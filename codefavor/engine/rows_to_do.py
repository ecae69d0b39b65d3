"""Which rows of an input are still to be done, and which were edited after they had been run."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import struct
import zlib
from collections.abc import Iterable, Iterator, Sized

import orjson

from codefavor.engine.progress import Progress
from codefavor.engine.shards import Shard
from codefavor.errors import DataError, JournalError
from codefavor.idset import IdSet, id_digest
from codefavor.journal import Journal, read_journal
from codefavor.journal_file import INPUT_BYTES, UNKNOWN_INPUT
from codefavor.records import Row

logger = logging.getLogger(__name__)

_N_SHOWN = 3
# How far a stream is read on, only to say how many rows of it were edited.
_N_LOOKED_AT = 10_000
_KEYS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS


def input_digest(row: Row) -> str:
    """Hex digits of a row's content: 8 of all of it, 4 of the names of its fields, 4 of each field.

    The first tell whether it was edited, the others where: fields count in the order of names.
    """
    names = sorted(row)
    parts = [zlib.crc32(_bytes_of(part)) & 0xFFFF for part in (names, *map(row.get, names))]
    return (_digest(row) + struct.pack(f">{len(parts)}H", *parts)).hex()


def _digest(row: Row) -> bytes:
    """The first part of `input_digest`, which is all that a resumed row costs."""
    return zlib.crc32(_bytes_of(row)).to_bytes(INPUT_BYTES, "big")


def _bytes_of(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=_KEYS)
    except TypeError:
        # What orjson refuses (halves of surrogate pairs, integers above 64 bits), or no JSON.
        return json.dumps(value, sort_keys=True, default=repr).encode("ascii")


class RowsToDo:
    """The rows of an input that have not ended, one after the other.

    Rows that are passed over are counted and shown as progress. A row that has ended and was
    edited since is an error that says what changed, before anything is asked where the input is
    a sequence; with `rerun_changed` it is to be done again. Rows of other shards than `shard` are
    as if they were not there.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        journal: Journal,
        progress: Progress,
        *,
        retry_errors: bool,
        rerun_changed: bool,
        shard: Shard | None = None,
    ) -> None:
        self.n_resumed = self.n_old_errors = self.n_duplicates = 0
        self._source = rows
        self._rows: Iterator[Row] = iter(rows)
        self._journal, self._progress = journal, progress
        self._seen = journal.input_ids = IdSet()
        self._retry_errors, self._rerun_changed = retry_errors, rerun_changed
        self._n_read = 0
        self._shard = shard

    def total(self) -> int | None:
        """How many rows there are, done or not; None for a stream."""
        if self._shard is not None:
            return self._shard.count(self._source)
        return len(self._source) if isinstance(self._source, Sized) else None

    def check(self) -> None:
        """Raise JournalError if rows were edited since they ended; a stream is not read for it."""
        if isinstance(self._source, Sized) and not self._rerun_changed:
            self._raise_if_edited(self._source)

    async def next(self) -> tuple[Row, str] | None:
        """The next row to do and its digest; None after the last.

        Raises DataError for a row without an id, JournalError for one that was edited.
        """
        for row in self._rows:
            self._n_read += 1
            row_id = row.get("id")
            if not isinstance(row_id, str) or not row_id:
                raise DataError(
                    f"row {self._n_read} of the input has no 'id' (a non-empty string); its "
                    f"fields are {', '.join(sorted(row)) or 'none'}"
                )
            digest = id_digest(row_id.encode("utf-8", "replace"))
            if self._shard is not None and not self._shard.has(row_id):
                pass
            elif not self._seen.add_digest(digest):
                logger.warning("the id %s occurs again in the input; its first row counts", row_id)
                self.n_duplicates += 1
                self._progress.advance()
            elif (noted := self._journal.input_noted(digest)) is None:
                return row, input_digest(row)
            else:
                is_error = self._journal.is_error(row_id)
                if is_error and self._retry_errors:
                    return row, input_digest(row)
                if noted not in (UNKNOWN_INPUT, _digest(row)):
                    if self._rerun_changed:
                        return row, input_digest(row)
                    rest = itertools.islice(self._rows, _N_LOOKED_AT)
                    self._raise_if_edited(itertools.chain([row], rest))
                self.n_old_errors += is_error
                self.n_resumed += 1
                self._progress.advance()
            if self._n_read % 1000 == 0:
                await asyncio.sleep(0)
        return None

    def _raise_if_edited(self, rows: Iterable[Row]) -> None:
        n_edited = 0
        shown: dict[str, Row] = {}
        seen = IdSet(slots=1 << 10)
        for row in rows:
            row_id = row.get("id")
            # Of an id that is there twice the first row counts.
            digest = id_digest(str(row_id).encode("utf-8", "replace"))
            noted = self._journal.input_noted(digest)
            if noted is None or not seen.add_digest(digest):
                continue
            if self._retry_errors and self._journal.is_error(str(row_id)):
                continue
            if noted not in (UNKNOWN_INPUT, _digest(row)):
                n_edited += 1
                if len(shown) < _N_SHOWN:
                    shown[str(row_id)] = row
        if n_edited:
            raise JournalError(self._words(n_edited, shown))

    def _words(self, n_edited: int, shown: dict[str, Row]) -> str:
        old = {
            record["id"]: str(record.get("input"))
            for record in read_journal(self._journal.path)
            if record["id"] in shown
        }
        examples = "; ".join(f"{row_id}: {_edited(old[row_id], shown[row_id])}" for row_id in shown)
        rest = "; ..." if n_edited > len(shown) else ""
        # Of a stream not all was looked at.
        least = "" if isinstance(self._source, Sized) else "at least "
        rows = "1 row of the input was" if n_edited == 1 else f"{n_edited} rows of the input were"
        return (
            f"{self._journal.path}: {least}{rows} edited after an earlier run ({examples}{rest}). "
            "--rerun-changed runs what was edited again (a request that stays as it was is "
            "answered from the cache) and keeps the rest; another output or --fresh starts anew; "
            "with the old input the run goes on"
        )


def _edited(old: str, row: Row) -> str:
    """Which fields of a row are not those of the digest."""
    new, names = input_digest(row), sorted(row)
    if old[8:12] != new[8:12]:
        return f"now has the fields {', '.join(names)}, others than before"
    places = range(12, len(new), 4)
    edited = [
        name for name, at in zip(names, places, strict=True) if old[at : at + 4] != new[at : at + 4]
    ]
    return ", ".join(edited) or "content"
