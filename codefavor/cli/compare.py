"""`codefavor compare`: results of one benchmark against the first of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli.engine_options import Seed
from codefavor.cli.option_groups import check_page
from codefavor.evaluation.compare import (
    compare_results,
    comparison_rows,
    comparison_text,
    read_contender,
)
from codefavor.records import write_text
from codefavor.reports.compare_page import compare_html


def command(
    results: Annotated[
        list[Path],
        typer.Argument(help="Result files of `codefavor evaluate`; the first is the baseline."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML page to write; its .json goes beside it.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Differences of models or judges with intervals, tests, and what moved where."""
    if out is not None:
        check_page(out)
    contenders = [read_contender(path) for path in results]
    names = [one.name for one in contenders]
    if len(set(names)) < len(names):
        contenders = [read_contender(path, f"{one.name} ({path.stem})")
                      for path, one in zip(results, contenders, strict=True)]  # fmt: skip
    found = compare_results(contenders, seed=seed)
    typer.echo(comparison_text(found))
    if out is not None:
        write_text(out, [compare_html(found)])
        rows = json.dumps(comparison_rows(found), indent=1, ensure_ascii=False)
        write_text(out.with_suffix(".json"), [rows + "\n"])
        typer.echo(out)
