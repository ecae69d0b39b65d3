"""What `codefavor convert` reads: pairs in any published form, or problems, bad rows counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from codefavor.audits.benchmark_rows import without_benchmark
from codefavor.errors import DataError
from codefavor.journal_manifest import noted_together
from codefavor.pairs.published_forms import LABELLED_FORM
from codefavor.pairs.published_rows import (
    BAD_VALUE,
    ONE_LABEL,
    Reading,
    read_published,
    refuse_many,
)
from codefavor.pairs.split import split_of
from codefavor.records import Problem, Row, read_rows
from codefavor.scoring.provenance import rests_on_together, with_evidence
from codefavor.settings import data_folder
from codefavor.sources.row_files import read_any_rows

MAX_LISTED = 20


class Inputs(NamedTuple):
    """What is read, and what of it is taken."""

    inputs: Sequence[Path]
    max_error_rate: float
    format_name: str
    split: str
    evidence: str


def read_problems(reading: Inputs) -> tuple[list[Problem], Counter[str]]:
    """The problems of the split, and what was left out by reason."""
    given: list[Problem] = []
    rejected: Counter[str] = Counter()
    for path in reading.inputs:
        unreadable, n_before = [], len(given)
        for where, row in read_rows(path):
            try:
                given.append(Problem.from_row(row, where))
            except DataError as error:
                unreadable.append(str(error))
        refuse_many(unreadable, len(given) - n_before, reading.max_error_rate)
        _say_unreadable(unreadable)
        rejected[BAD_VALUE] += len(unreadable)
    problems, refused = without_benchmark(given, data_folder())
    _say_refused(refused)
    rejected["benchmark_row"] = refused.total()
    kept = [one for one in problems if reading.split in ("all", split_of(one.id))]
    rejected["other_split"] = len(problems) - len(kept)
    return kept, rejected


def read_preferences(asked: Inputs) -> tuple[list[Any], Row, Counter[str]]:
    """The pairs of all inputs (for KTO, labelled answers as they are), how they were read, and
    what was left out by reason; says both on stderr.
    """
    records: list[Any] = []
    shapes: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    not_used: dict[str, list[str]] = {}
    together = 0
    for path in asked.inputs:
        reading = read_published(read_any_rows(path), path.name, asked.max_error_rate)
        pairs, refused = without_benchmark(reading.preferences, data_folder())
        _say_refused(refused)
        rejected["benchmark_row"] += refused.total()
        for shape, n in reading.shapes.items():
            typer.echo(f"{path}: {n} rows read as {shape}", err=True)
        if reading.control:
            typer.echo(
                f"{path}: {len(reading.control)} rows hold special tokens of a chat template in "
                f"their texts, first {reading.control[0]}: a recipe's template writes its own; "
                "take them out",
                err=True,
            )
        if reading.not_used:
            not_used[str(path)] = sorted(reading.not_used)
            typer.echo(f"{path}: not used: {', '.join(not_used[str(path)])}", err=True)
        _say_replaced(path, reading)
        _say_unreadable(reading.unreadable)
        for reason, where in reading.first.items():
            typer.echo(f"{where}: {reason}, the first such row", err=True)
        labelled: list[Any] = []
        if asked.format_name == "kto":
            # Labelled answers need no counterpart here; those of a refused pair go with it.
            gone = {p.id for p in reading.preferences} - {p.id for p in pairs}
            sides = {s for p in reading.preferences if p.id in gone for s in (p.chosen, p.rejected)}
            labelled = [one for one in reading.labelled if one.completion not in sides]
            rejected["benchmark_row"] += len(reading.labelled) - len(labelled)
            # Nothing that we can read backs a lone answer's label.
            records += labelled if asked.evidence == "none" else []
            rejected["weaker_evidence"] += 0 if asked.evidence == "none" else len(labelled)
            paired = [p for p in reading.preferences if p.meta.get("read_as") == LABELLED_FORM]
            rejected["benchmark_row"] -= sum(pair.id in gone for pair in paired)
            pairs = [pair for pair in pairs if pair.meta.get("read_as") != LABELLED_FORM]
            reading.rejected.pop(ONE_LABEL, None)
        pairs, weaker = with_evidence(pairs, asked.evidence)
        rejected["weaker_evidence"] += len(weaker)
        marked = sum(rests_on_together(pair.evidence) for pair in pairs)
        # What `convert` wrote has no evidence in its rows, only a note beside them.
        together += marked or min(noted_together(path), len(pairs) + len(labelled))
        records += pairs
        shapes += reading.shapes
        rejected += reading.rejected
    if together:
        typer.echo(f"{together} pairs rest on tests of the together lane: forgeable", err=True)
    how: Row = {"read_as": dict(shapes), "require_evidence": asked.evidence}
    how |= {"n_together": together} if together else {}
    return records, how | ({"not_used": not_used} if not_used else {}), rejected


def _say_replaced(path: Path, reading: Reading) -> None:
    """Name what was no Unicode, as half of a surrogate pair: reading put U+FFFD in its place."""
    n = sum("\ufffd" in str(one) for one in [*reading.preferences, *reading.labelled])
    if n:
        typer.echo(f"{path}: {n} pairs or answers hold U+FFFD, a character that was lost", err=True)


def _say_unreadable(unreadable: Sequence[str]) -> None:
    for text in unreadable[:MAX_LISTED]:
        # Not the list of all forms with each row.
        typer.echo(f"left out: {text.partition(' (known: ')[0]}", err=True)
    if len(unreadable) > MAX_LISTED:
        typer.echo(f"left out: {len(unreadable) - MAX_LISTED} more rows like these", err=True)


def _say_refused(refused: Counter[str]) -> None:
    for name, n in sorted(refused.items()):
        typer.echo(f"refused: {n} rows of {name}, for evaluation only", err=True)
