"""`codefavor report`: HTML pages that need no network, from a demo's run, rows or results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli.option_groups import check_page, refuse
from codefavor.errors import ConfigError, DataError, MissingPackageError
from codefavor.evaluation.suite import load_task, task_of
from codefavor.evaluation.test_writing import BENCHMARK
from codefavor.journal import read_journal
from codefavor.records import Row, write_text
from codefavor.reports.data_browser import render_data_report
from codefavor.reports.demo_report import build_report, demo_html, summary
from codefavor.reports.leaderboard import (
    entry_of,
    read_costs,
    read_references,
    to_csv,
    to_latex,
    to_markdown,
    with_labels,
)
from codefavor.reports.leaderboard_charts import CostPoint
from codefavor.reports.leaderboard_page import leaderboard_html
from codefavor.reports.suite_page import suites_html
from codefavor.result_file import MODEL_FORMAT, read_result, rows_path
from codefavor.settings import data_folder

app = typer.Typer(no_args_is_help=True, help="Write HTML reports.")

Out = Annotated[
    Path, typer.Option("--out", dir_okay=False, help="HTML file to write (whole or not at all).")
]


@app.command()
def demo(
    run: Annotated[Path, typer.Argument(help="The folder of a run of `codefavor demo`.")],
    out: Annotated[
        Path, typer.Option("--out", dir_okay=False, help="HTML file; report.json goes beside it.")
    ],
) -> None:
    """The result of a demo run: accuracy, data, training, and the browser of pairs."""
    check_page(out)
    report = build_report(run)
    page = demo_html(report)
    write_text(out.with_name("report.json"), [json.dumps(report, indent=1)])
    write_text(out, [page])
    for line in summary(report):
        typer.echo(line)
    typer.echo(str(out.resolve()))


@app.command()
def data(
    files: Annotated[
        list[Path], typer.Argument(help="JSONL of preference rows, or journals (*.journal).")
    ],
    out: Out,
    title: Annotated[str, typer.Option(help="Heading; by default the names of the files.")] = "",
) -> None:
    """A browser of any rows: filters, search, both programs side by side, what was rejected."""
    check_page(out)
    _write(out, render_data_report(files, title or ", ".join(path.name for path in files)))


@app.command()
def leaderboard(
    results: Annotated[list[Path], typer.Argument(help="Result files of `codefavor evaluate`.")],
    out: Out,
    references: Annotated[
        Path | None, typer.Option(help="CSV of published numbers, shown as such.")
    ] = None,
    benchmark: Annotated[str, typer.Option(help="Which benchmark of the CSV.")] = "codeprefbench",
    costs: Annotated[Path | None, typer.Option(help="CSV of published costs, shown as such.")] = (
        None
    ),
    data: Annotated[
        Path | None, typer.Option(help="File of pairs that `evaluate pairs` was given, for texts.")
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "Judges compared",
) -> None:
    """One page of all judges with every pair and reply; the table also as .md, .tex and .csv.

    The rows are read from the folder `rows` beside each result, the texts of the pairs from
    CODEFAVOR_DATA (or --data): without them the page shows verdicts and replies alone.
    """
    refuse({"benchmark"}, "belongs to --references, which is not given", unless=references)
    check_page(out)
    found = [(path, read_result(path)) for path in results]
    entries = with_labels([entry_of(result) for _, result in found])
    records = {
        (entry.benchmark, entry.label): list(read_journal(rows_path(path)))
        for (path, _), entry in zip(found, entries, strict=True)
        if rows_path(path).is_file() and not entry.is_attacked
    }
    texts = _texts([result for _, result in found], data)
    if references is not None:
        entries += read_references(references, benchmark)
    prices = [
        CostPoint(model, "reference", cost, accuracy)
        for model, cost, accuracy in (read_costs(costs) if costs is not None else [])
    ]
    page = leaderboard_html(entries, records, items=texts, costs=prices, title=title)
    _write(out, page)
    table = [entry for entry in with_labels(entries) if not entry.is_attacked]
    for suffix, text in ((".md", to_markdown), (".tex", to_latex), (".csv", to_csv)):
        _write(out.with_suffix(suffix), text(table))


@app.command()
def suites(
    result: Annotated[Path, typer.Argument(help="A result of `evaluate test-writing`.")],
    out: Out,
    title: Annotated[str, typer.Option(help="Heading of the page.")] = "",
) -> None:
    """The test suites of a model, problem by problem: what each catches, what it misses and why.

    The suites are read from the folder `rows` beside the result.
    """
    check_page(out)
    found = read_result(result, (MODEL_FORMAT,))
    if found.get("benchmark") != BENCHMARK:
        raise DataError(f"{result}: a result of {found.get('benchmark')}, not of {BENCHMARK}")
    rows = rows_path(result)
    if not rows.is_file():
        raise DataError(f"{rows}: no such file; the suites of {result} are read from it")
    _write(out, suites_html(found, read_journal(rows), title))


def _texts(results: Sequence[Row], data: Path | None) -> list[Row]:
    """The pairs of all plain results, where their data is at hand; says where it is not."""
    items: dict[str, Row] = {}
    tried = set()
    for result in results:
        try:
            task = task_of(result, data_dir=data_folder())
            # All pairs of a benchmark, whichever of them a run was limited to.
            task = replace(
                task,
                data=data if task.benchmark == "pairs" else None,
                limit=None,
                sample=None,
                attack="",
                protocol="both-orders",
                orders=None,
            )
            if task not in tried:
                tried.add(task)
                items |= {item["id"]: item for item in load_task(task)}
        except (ConfigError, DataError, MissingPackageError) as error:
            typer.echo(f"the page shows no programs of {result['benchmark']}: {error}", err=True)
    return list(items.values())


def _write(out: Path, page: str) -> None:
    write_text(out, [page])
    typer.echo(str(out))
