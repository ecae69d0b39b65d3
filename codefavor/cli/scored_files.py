"""Scored completions as `pair` reads them: what `score` and `evaluate` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from codefavor.errors import DataError
from codefavor.records import Row, read_rows


def scored_rows(path: Path, known: set[str]) -> Iterator[Row]:
    """Completions with their `execution`, from a file of `score`, its journal or the rows of a
    result of `evaluate`.

    Raises DataError, naming file and line, for other rows and for problems that are not `known`.
    """
    for where, row in read_rows(path):
        for one in _samples_in(row):
            yield _scored_row(one, where, known)


def _samples_in(row: Row) -> list[Row]:
    """The row itself, or the samples in a record of `codefavor evaluate`; none of a failed one."""
    inner = row.get("row") if "status" in row else None
    if inner and "completions" in inner:
        return list(inner["completions"])
    return [row] if row.get("status", "ok") == "ok" else []


def _scored_row(row: Row, where: str, known: set[str]) -> Row:
    # A journal of `codefavor score` holds the scored row inside its record.
    inner = row["row"] if row.get("status") == "ok" else row
    for name in ("problem_id", "code", "execution"):
        if not isinstance(inner, dict) or name not in inner:
            raise DataError(f"{where}: a scored completion needs the field {name!r}")
    if inner["problem_id"] not in known:
        raise DataError(f"{where}: unknown problem {inner['problem_id']!r}; see --problems")
    return {"level": "samples", "kind": "completion", **inner}
