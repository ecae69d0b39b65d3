"""`codefavor convert`: preference pairs (or problems) to the rows that a recipe trains on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from codefavor.errors import ConfigError, DataError
from codefavor.records import Preference, Problem, read_records, write_rows
from codefavor.training.curriculum import curriculum_of_row, order_by_curriculum
from codefavor.training.formats import FORMATS, FormatOptions, convert, get_format
from codefavor.training.recipes import load_yaml


def command(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="JSONL of preferences; for the format grpo, of problems."),
    ],
    format_name: Annotated[
        str, typer.Option("--format", help=f"One of: {', '.join(sorted(FORMATS))}.")
    ],
    out: Annotated[Path, typer.Option("--out", help="JSONL to write (whole or not at all).")],
    order: Annotated[
        str,
        typer.Option(help="Pairwise formats: both orders of each pair, or one at random."),
    ] = "both",
    system: Annotated[
        str,
        typer.Option(help="'empty' system message, or 'none' (Gemma, Mistral, Llama-3, Qwen)."),
    ] = "empty",
    seed: Annotated[int, typer.Option(help="Draws the order, and shuffles KTO rows.")] = 0,
    curriculum: Annotated[
        Path | None, typer.Option(help="YAML of stages: {level: share}; rows in that order.")
    ] = None,
) -> None:
    """Write the rows of one training format."""
    form = get_format(format_name)
    if curriculum is not None and form.reads is Problem:
        raise ConfigError(f"--curriculum orders preference pairs; {format_name} reads problems")
    options = FormatOptions(order=_order(order), system=_system(system), seed=seed)
    if form.reads is Problem:
        problems = [record for path in inputs for record in read_records(path, Problem)]
        result = convert(problems, format_name, options)
    else:
        preferences = [record for path in inputs for record in read_records(path, Preference)]
        if curriculum is not None:
            preferences = order_by_curriculum(preferences, curriculum_of_row(load_yaml(curriculum)))
        is_staged = curriculum is not None
        result = convert(preferences, format_name, options, keep_repeats=is_staged)
    if not result.rows:
        raise DataError(
            f"{', '.join(map(str, inputs))}: none of the {result.n_records} records gives a row "
            f"of the format {format_name}: {_counts(dict(result.rejected))}"
        )
    write_rows(out, result.rows)
    typer.echo(
        f"{format_name}: {len(result.rows)} rows from {result.n_records} records "
        f"({_counts(dict(result.rejected))}, {result.n_duplicates} duplicate rows) -> {out}"
    )


def _counts(rejected: dict[str, int]) -> str:
    if not rejected:
        return "0 rejected"
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(rejected.items()))
    return f"{sum(rejected.values())} rejected: {reasons}"


def _order(value: str) -> Literal["both", "random"]:
    if value == "both":
        return "both"
    if value == "random":
        return "random"
    raise ConfigError(f"--order is {value!r}; expected both or random")


def _system(value: str) -> Literal["empty", "none"]:
    if value == "empty":
        return "empty"
    if value == "none":
        return "none"
    raise ConfigError(f"--system is {value!r}; expected empty or none")
