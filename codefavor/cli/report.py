"""`codefavor report`: HTML pages that need no network, from a demo's numbers or rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from codefavor.errors import DataError
from codefavor.evaluation.data_browser import render_data_report
from codefavor.evaluation.leaderboard import (
    entry_of,
    read_references,
    to_csv,
    to_latex,
    to_markdown,
)
from codefavor.evaluation.leaderboard_page import leaderboard_html
from codefavor.evaluation.report import render_demo_report
from codefavor.evaluation.results import read_result
from codefavor.records import write_text

app = typer.Typer(no_args_is_help=True, help="Write HTML reports.")

Out = Annotated[Path, typer.Option("--out", help="HTML file to write (whole or not at all).")]


@app.command()
def demo(
    report: Annotated[Path, typer.Argument(help="The report.json of a demo run.")], out: Out
) -> None:
    """The result of a demo run: accuracy, data, training, and the browser of pairs."""
    _write(out, render_demo_report(_read_object(report)))


@app.command()
def data(
    files: Annotated[
        list[Path], typer.Argument(help="JSONL of preference rows, or journals (*.journal).")
    ],
    out: Out,
    title: Annotated[str, typer.Option(help="Heading; by default the names of the files.")] = "",
) -> None:
    """A browser of any rows: filters, search, both programs side by side, what was rejected."""
    _write(out, render_data_report(files, title or ", ".join(path.name for path in files)))


@app.command()
def leaderboard(
    results: Annotated[list[Path], typer.Argument(help="Result files of `codefavor evaluate`.")],
    out: Out,
    references: Annotated[
        Path | None, typer.Option(help="CSV of published numbers, shown as such.")
    ] = None,
    benchmark: Annotated[str, typer.Option(help="Which benchmark of the CSV.")] = "codeprefbench",
) -> None:
    """One page of all judges: table, forest plot, groups, costs; also as .md, .tex and .csv."""
    found = [read_result(path) for path in results]
    entries = [entry_of(result) for result in found]
    if references is not None:
        entries += read_references(references, benchmark)
    _write(out, leaderboard_html(entries))
    for suffix, text in ((".md", to_markdown), (".tex", to_latex), (".csv", to_csv)):
        _write(out.with_suffix(suffix), text(entries))


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(found).__name__}")
    return found


def _write(out: Path, page: str) -> None:
    write_text(out, [page])
    typer.echo(str(out))
