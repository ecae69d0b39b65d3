"""Scored completions as `pair` reads them: what `score` and `evaluate` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from codefavor.errors import DataError
from codefavor.records import Problem, Row, read_rows
from codefavor.scoring.by_tests import digest_of_tests

_DIGEST = "tests_sha256"


def scored_rows(path: Path, known: Mapping[str, Problem], problems: str) -> Iterator[Row]:
    """Completions with their `execution`, from a file of `score`, its journal or the rows of a
    result of `evaluate`; `known` are the problems by id, of the set or file `problems`.

    Raises DataError, naming file and line, for other rows, for problems that are not known, and
    for runs of other tests than theirs.
    """

    @cache
    def wanted(name: str) -> str:
        return digest_of_tests(known[name].to_row())

    for where, row in read_rows(path):
        for one in _samples_in(row):
            scored = _scored_row(one, where)
            name = scored["problem_id"]
            if name not in known:
                raise DataError(f"{where}: unknown problem {name!r}; see --problems")
            if scored.get(_DIGEST) != wanted(name):
                raise DataError(_of_other_tests(where, scored, wanted(name), problems))
            yield scored


def _of_other_tests(where: str, row: Row, wanted: str, problems: str) -> str:
    name, found = row["problem_id"], row.get(_DIGEST)
    if found is None:
        return (
            f"{where}: the row of {name!r} does not say by which tests it was scored ({_DIGEST!r}; "
            f"those of {problems} are {wanted}), as older rows do not. `codefavor score` runs the "
            "programs again; those of an evaluation are written by the same `codefavor evaluate` "
            "with --export, which asks for none of them again"
        )
    return (
        f"{where}: {name!r} was scored by the tests {found}, and those of {problems} are {wanted}: "
        "what a program did in other tests labels nothing in these. Give the --problems that it "
        f"was scored with, or score it by these: `codefavor score ... --problems {problems}`, or "
        "`codefavor evaluate` with --rerun-changed where they were edited"
    )


def _samples_in(row: Row) -> list[Row]:
    """The row itself, or the samples in a record of `codefavor evaluate`; none of a failed one."""
    inner = row.get("row") if "status" in row else None
    if inner and "completions" in inner:
        return [{**one, _DIGEST: inner.get(_DIGEST)} for one in inner["completions"]]
    return [row] if row.get("status", "ok") == "ok" else []


def _scored_row(row: Row, where: str) -> Row:
    # A journal of `codefavor score` holds the scored row inside its record.
    inner = row["row"] if row.get("status") == "ok" else row
    for name in ("problem_id", "code", "execution"):
        if not isinstance(inner, dict) or name not in inner:
            raise DataError(f"{where}: a scored completion needs the field {name!r}")
    return {"level": "samples", "kind": "completion", **inner}
