"""The rows of an input, to be gone through more than once: most of them lie in a file, not here."""

from __future__ import annotations

import itertools
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

from codefavor.engine.shards import ALL_SHARDS, Shard
from codefavor.records import Row

_N_IN_MEMORY = 2_000


class StoredRows:
    """Rows that are made once and read as often as wanted, in their order.

    All but the first few lie in a temporary file without a name, which ends with the process. Of
    a `shard` the rows of others are not kept; those without an id are, for the runner to refuse.
    """

    def __init__(self, rows: Iterable[Row], shard: Shard | None = None) -> None:
        # How many there were, those of other shards with them.
        self.n_read = 0
        kept = self._counted(rows)
        if shard is not None and shard != ALL_SHARDS:
            kept = (row for row in kept if not row.get("id") or shard.has(row["id"]))
        self._first = list(itertools.islice(kept, _N_IN_MEMORY))
        self._n_stored = 0
        self._file: IO[bytes] | None = None
        for row in kept:
            if self._file is None:
                # It lives as long as this object does.
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
            pickle.dump(row, self._file, protocol=5)
            self._n_stored += 1
        if self._file is not None:
            self._file.flush()

    def _counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self.n_read += 1
            yield row

    def __len__(self) -> int:
        return len(self._first) + self._n_stored

    def __iter__(self) -> Iterator[Row]:
        yield from self._first
        if self._file is None:
            return
        # Opened anew: each reader has a place of its own.
        with open(f"/proc/self/fd/{self._file.fileno()}", "rb") as handle:
            for _ in range(self._n_stored):
                yield pickle.load(handle)
