"""What a check of training pairs against benchmarks is told: texts of benchmarks, facts, a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from codefavor.errors import DataError
from codefavor.evaluation.benchmarks import benchmark_names, load_items
from codefavor.evaluation.codeprefbench import find_files, read_tasks
from codefavor.evaluation.report_charts import Axis, Point, Series, plot
from codefavor.evaluation.report_page import render_page
from codefavor.pairs.contamination import Nearest, Text, texts_of
from codefavor.pairs.decontamination import KINDS, Decontamination
from codefavor.records import Row, read_rows
from codefavor.sources.problems import LOCATIONS, load_problems

# What is checked when nothing is named: all that the data folder or the Hub has of these.
USUAL = ("codeprefbench", "humaneval", "humaneval+", "mbpp", "mbpp+", "humanevalpack",
         "humanevalpack-js")  # fmt: skip


def benchmark_texts(name: str, data_dir: Path | None = None) -> list[Text]:
    """The instructions and programs of a benchmark: each program is a text of its own.

    `name` is CodePrefBench, a set of problems, a benchmark of pairs, or a JSONL file of yours
    with `instruction` and any of `code`, `reference`, `chosen`, `rejected`, `prompt`. Raises
    DataError if it is not here, saying how to get it.
    """
    if name == "codeprefbench":
        items = read_tasks(find_files([data_dir] if data_dir else []), comments="kept")
        return [text for item in items for text in _of_row(item, item["task_id"])]
    if name in LOCATIONS or name == "starter":
        return texts_of(load_problems(name, data_dir=data_dir))
    if name in benchmark_names():
        items = load_items(name, data_dir=data_dir)
        return [text for item in items for text in _of_row(item, item["problem_id"])]
    path = Path(name)
    if not path.is_file():
        known = ", ".join(["codeprefbench", "starter", *LOCATIONS, *benchmark_names()])
        raise DataError(f"unknown benchmark {name!r}: no such file, and the known ones are {known}")
    return [text for where, row in read_rows(path) for text in _own(row, where)]


_CODES = ("code", "reference", "chosen", "rejected", "prompt")


def _of_row(row: Row, name: str) -> list[Text]:
    language = str(row.get("language") or "python")
    instruction = str(row.get("instruction") or "")
    codes = [str(row[key]) for key in _CODES if row.get(key)]
    # The instruction goes with the first program only: it is one text.
    return [
        Text(name, instruction if number == 0 else "", code, language)
        for number, code in enumerate(codes or [""])
    ]


def _own(row: Row, where: str) -> list[Text]:
    if not any(isinstance(row.get(key), str) for key in (*_CODES, "instruction")):
        raise DataError(
            f"{where}: nothing to compare; needed is 'instruction' or one of {', '.join(_CODES)}, "
            f"found {', '.join(sorted(row))}"
        )
    return _of_row(row, str(row.get("id") or row.get("task_id") or where))


def contamination_facts(found: Decontamination) -> dict[str, str]:
    """One sentence a benchmark, for a card or a table."""
    counts = found.counts()
    facts: dict[str, str] = {}
    for name, nearest in found.nearest.items():
        rows = len({f.row_id for f in found.findings if f.benchmark == name})
        kinds = ", ".join(f"{counts[name, kind]} by {kind}" for kind in KINDS if counts[name, kind])
        facts[name] = (
            f"{found.share_over(name):.1%} of {len(nearest)} snippets have a row at least "
            f"{found.limits.code:g} of 100 alike; {rows} of {found.n_rows} rows like it"
            + (f" ({kinds})" if kinds else "")
        )
    return facts


def contamination_html(found: Decontamination, title: str, *, n_shown: int = 12) -> str:
    """A page that needs no network: the distribution of each benchmark, and the nearest pairs."""
    floor = min(found.limits.floor, found.limits.code)
    sections = [
        {
            "name": name,
            "fact": fact,
            "plot": cumulative_plot(name, found.nearest[name], floor, found.limits.code),
            "n_short": found.n_short[name],
            "nearest": found.nearest[name][:n_shown],
        }
        for name, fact in contamination_facts(found).items()
    ]
    return render_page(
        "contamination.html.j2",
        title=title,
        n_rows=found.n_rows,
        n_removed=len(found.removed),
        limits=found.limits,
        floor=floor,
        sections=sections,
    )


def cumulative_plot(name: str, nearest: Sequence[Nearest], floor: float, limit: float) -> str:
    """The share of snippets whose nearest row is at most so similar, as inline SVG.

    Values below `floor` are lower bounds: the curve begins there.
    """
    values = sorted(item.similarity for item in nearest)
    n = max(1, len(values))
    low = 10 * int(floor // 10)
    points = [Point(low, sum(value < low for value in values) / n)]
    for number, value in enumerate(values, start=1):
        if value >= low:
            # A step: the share jumps where the value is.
            points.append(Point(value, points[-1].y))
            points.append(Point(value, number / n))
    points.append(Point(100, 1.0))
    x_axis = Axis(
        low, 100, [(v, str(v)) for v in range(low, 101, 10)], "similarity of the nearest row"
    )
    y_axis = Axis(0, 1, [(v / 4, f"{25 * v}%") for v in range(5)], "share of snippets at or below")
    bar = Series(f"limit {limit:g}", "untrained", [Point(limit, 0), Point(limit, 1)])
    return plot(
        f"{name}: nearest training row", [Series(name, "trained", points), bar], x_axis, y_axis
    )


def table_rows(found: Decontamination) -> list[Mapping[str, str]]:
    """The lines of the command's table: benchmark, snippets, share over the limit, rows."""
    return [
        {
            "benchmark": name,
            "snippets": str(len(nearest)),
            "short": str(found.n_short[name]),
            "over": f"{found.share_over(name):.1%}",
            "highest": f"{nearest[0].similarity:.0f}" if nearest else "-",
            "rows": str(len({f.row_id for f in found.findings if f.benchmark == name})),
        }
        for name, nearest in found.nearest.items()
    ]
