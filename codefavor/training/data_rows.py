"""The rows of a recipe's data sets: their files, of any form that Axolotl reads, and splits."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codefavor.errors import DataError
from codefavor.records import Row
from codefavor.sources.row_files import read_any_rows
from codefavor.training.check_readers import one_line
from codefavor.training.findings import Sample
from codefavor.training.plan import DATA_SUFFIXES

# So many rows of a file are looked at; a check has to be fast.
N_ROWS = 5000
# What reads a file, by its ending.
FILE_FORMS = {
    "jsonl": ("json",),
    "jsonl.gz": ("json",),
    "json": ("json",),
    "parquet": ("parquet",),
    "csv": ("csv",),
    "arrow": ("arrow",),
    "txt": ("text",),
}


def files_of(entry: Mapping[str, Any], folder: Path) -> list[Path]:
    """The data files here that a data set means."""
    if named := entry.get("data_files"):
        listed = [folder / name for name in ([named] if isinstance(named, str) else named)]
        return [file for file in listed if file.is_file()]
    path = folder / str(entry.get("path") or "")
    if path.is_dir() and entry.get("path"):
        return sorted(file for file in path.rglob("*") if file.name.endswith(DATA_SUFFIXES))
    return [path] if path.is_file() else []


def first_rows(file: Path) -> Sample:
    """The first rows of a data file, read once while it stays the same (its time and size)."""
    stamp = file.stat()
    return _read_first(file, (stamp.st_mtime_ns, stamp.st_size))


def rows_of(file: Path) -> Iterator[tuple[str, Row]]:
    """Each row of a data file of any form that Axolotl reads, with its place.

    Raises DataError for a file that cannot be read, or has no rows.
    """
    form, *_ = FILE_FORMS.get(file.suffix[1:], ("json",))
    if form in {"json", "parquet"}:
        yield from read_any_rows(file)
        return
    from datasets.load import load_dataset

    try:
        rows = load_dataset(form, data_files=str(file), split="train", streaming=True)
        for number, row in enumerate(rows, start=1):
            yield f"{file}:{number}", dict(row)
    except Exception as problem:  # its readers raise whatever they like
        raise DataError(f"{file}: not readable as {form}: {one_line(problem)}") from problem


@functools.lru_cache(maxsize=16)
def _read_first(file: Path, stamp: tuple[int, int]) -> Sample:
    found = []
    for where, row in rows_of(file):
        found.append((where, row))
        if len(found) == N_ROWS:
            break
    return found


def n_rows(file: Path) -> int:
    """How many rows a file has, 0 where it cannot be read (which is told already)."""
    stamp = file.stat()
    return _count(file, (stamp.st_mtime_ns, stamp.st_size))


@functools.lru_cache(maxsize=64)
def _count(file: Path, stamp: tuple[int, int]) -> int:
    if file.suffix == ".jsonl":  # of a large one much faster than reading its rows
        with open(file, "rb") as lines:
            return sum(1 for line in lines if line.strip())
    try:
        return sum(1 for _ in rows_of(file))
    except DataError:
        return 0


def selected_rows(entry: Mapping[str, Any], folder: Path) -> range | None:
    """The rows that the slice of a split takes; None without a slice.

    Where the number of rows is not known, shares are taken of a large set. Raises ValueError for a
    slice that cannot be read.
    """
    split = str(entry.get("split") or "train")
    if "[" not in split:
        return None
    from datasets.arrow_reader import ReadInstruction

    files = files_of(entry, folder)
    total = sum(map(n_rows, files)) if files else 10**7
    try:
        parts = ReadInstruction.from_spec(split).to_absolute({split.partition("[")[0]: total})
    except (AssertionError, KeyError) as problem:
        raise ValueError(str(problem)) from problem
    first, last = parts[0].from_ or 0, parts[0].to
    return range(first, total if last is None else last)


def rows_taken(entry: Mapping[str, Any], folder: Path) -> tuple[float, int]:
    """How many rows a data set gives by its split and shards, and how many its files have.

    0 of 0 where that is not known: no file here, or a split that cannot be read.
    """
    total = sum(map(n_rows, files_of(entry, folder)))
    try:
        rows = selected_rows(entry, folder)
    except ValueError:
        return 0, 0
    if not total and rows is not None and "%" in str(entry.get("split")):
        return len(rows), 10**7  # a share of as many as `selected_rows` takes for granted
    return (total if rows is None else len(rows)) / int(entry.get("shards") or 1), total
