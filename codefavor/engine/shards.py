"""A run in parts that know nothing of each other: which rows are whose, and all parts as one.

A shard keeps its journal in `shards/I-of-N` beside the place of the whole run's. Which shard a row
belongs to hangs on its id alone, so that what is made of a row (an answer that is judged next) is
of the same shard.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterable, Iterator, Sized
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codefavor.engine.ledger import ledgers_of
from codefavor.errors import ConfigError
from codefavor.idset import id_digest
from codefavor.journal import own_records
from codefavor.journal_manifest import read_shard_note
from codefavor.records import Row

FOLDER = "shards"
_NAME = re.compile(r"(\d+)-of-(\d+)")
_WORD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Shard:
    """The part `index` (from 0) of `n`; `ALL_SHARDS` are all of them, run before."""

    index: int
    n: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From `3/8`, or `all`. Raises ConfigError for anything else."""
        if text == "all":
            return ALL_SHARDS
        found = _WORD.fullmatch(text)
        if found is None or int(found[1]) >= int(found[2]):
            raise ConfigError(f"--shard {text}: expected I/N, from 0/N to N-1/N, such as 0/8")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.n}" if self.n else "all"

    @classmethod
    def of(cls, row_id: object, n: int) -> Shard:
        """The one of n shards that has the row of this id."""
        return cls(_index_of(row_id, n), n)

    def has(self, row_id: object) -> bool:
        """Whether the row of this id is of this shard."""
        return _index_of(row_id, self.n) == self.index

    def folder(self, base: Path) -> Path:
        """Where this shard keeps what the whole run keeps in `base`."""
        return base / FOLDER / f"{self.index}-of-{self.n}" if self.n else base

    def place(self, out: Path) -> Path:
        """The file of this shard for a file of the whole run."""
        return self.folder(out.parent) / out.name

    def whole(self, path: Path) -> Path | None:
        """The whole run's file for a file of this shard; None for one that lies elsewhere."""
        for folder in path.parents:
            if (folder.parent.name, folder.name) == (FOLDER, f"{self.index}-of-{self.n}"):
                return folder.parent.parent / path.relative_to(folder)
        return None

    def count(self, rows: Iterable[Row]) -> int | None:
        """How many of these rows are of this shard; None for a stream."""
        return sum(self.has(row.get("id")) for row in rows) if isinstance(rows, Sized) else None


def _index_of(row_id: object, n: int) -> int:
    # Not the bytes by which an IdSet places an id: those of one shard would crowd there.
    digest = id_digest(str(row_id).encode("utf-8", "replace"))
    return int.from_bytes(digest[8:], "little") % n


ALL_SHARDS = Shard(0, 0)


def shard_journals(journal: Path) -> Iterator[tuple[Shard, Path]]:
    """The journals of all shards of the run with this journal, by their folders.

    One that says of no shard to be of it was refused before it began.
    """
    # Of a result's journal, the shards lie beside the result.
    for base in (journal.parent, journal.parent.parent):
        if not (base / FOLDER).is_dir():
            continue
        for folder in sorted((base / FOLDER).iterdir()):
            found = _NAME.fullmatch(folder.name)
            path = folder / journal.relative_to(base)
            if found is not None and path.is_file() and read_shard_note(path)[0]:
                yield Shard(int(found[1]), int(found[2])), path


def refuse_other_divisions(journal: Path, shard: Shard) -> None:
    """Raise ConfigError where shards of another number lie beside this one: each row is of both."""
    name = shard.folder(Path()).name
    folder = next((one for one in journal.parents if one.name == name), None)
    if folder is None or folder.parent.name != FOLDER:
        return
    whole = folder.parent.parent / journal.relative_to(folder)
    for other, path in shard_journals(whole):
        if other.n != shard.n:
            raise ConfigError(
                f"--shard {shard}: {path} is of a division into {other.n} of this output, whose "
                f"rows would be run again; go on with I/{other.n}, or move the folders of that "
                f"division out of {FOLDER}"
            )


def refuse_shards(journal: Path, done: Container[str] = (), *, is_merged: bool = False) -> None:
    """Raise ConfigError where shards of a run have what it would ask, and pay, again.

    It has the rows `done`, and their costs where shards were merged into it.
    """
    for shard, path in shard_journals(journal):
        has_costs = not is_merged and any(one.stat().st_size for one in ledgers_of(path))
        if has_costs or any(one["id"] not in done for one in own_records(path)):
            raise ConfigError(
                f"{path}: is of shard {shard} of this output, whose rows would be run, and paid "
                f"for, again, beside its budget; go on with --shard I/{shard.n} (or --ray), then "
                f"merge-shards, or name another output (to start anew, move {FOLDER} away)"
            )


def refuse_anew(shard: Shard | None, journals: Iterable[Path]) -> None:
    """Raise ConfigError where a run would be refused once it had forgotten these journals."""
    for journal in journals:
        if shard is None:
            refuse_shards(journal)
        elif shard != ALL_SHARDS:
            refuse_other_divisions(journal, shard)


@cache
def code_sha256() -> str:
    """The digest of this package's source: what `__version__` says between releases."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix != ".pyc" and "_shipped" not in path.parts:
            digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
