"""The check of training pairs against benchmarks as a page: distributions and nearest pairs."""

from __future__ import annotations

from collections.abc import Sequence

from codefavor.audits.contamination_report import contamination_facts
from codefavor.pairs.decontamination import Decontamination, Nearest
from codefavor.reports.charts import Axis, Plot, Point, Series
from codefavor.reports.page import render_page


def contamination_html(found: Decontamination, title: str, *, n_shown: int = 12) -> str:
    """A page that needs no network: the distribution of each benchmark, and the nearest pairs."""
    sections = [
        {
            "name": name,
            "fact": fact,
            "plot": cumulative_plot(name, found.nearest[name], found.limit),
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
        limit=found.limit,
        sections=sections,
    )


def cumulative_plot(name: str, nearest: Sequence[Nearest], limit: float) -> Plot:
    """The share of problems whose nearest row is at most so similar."""
    values = sorted(item.similarity for item in nearest)
    n = max(1, len(values))
    points = [Point(0, 0)]
    for number, value in enumerate(values, start=1):
        # A step: the share jumps where the value is.
        points += [Point(value, points[-1].y), Point(value, number / n)]
    points.append(Point(100, 1.0))
    x_axis = Axis(0, 100, [(v, str(v)) for v in range(0, 101, 10)], "similarity of the nearest row")
    y_axis = Axis(0, 1, [(v / 4, f"{25 * v}%") for v in range(5)], "share of problems at or below")
    bar = Series(f"limit {limit:g}", "untrained", [Point(limit, 0), Point(limit, 1)])
    series = [Series(name, "trained", points), bar]
    return Plot(f"{name}: nearest training row", series, x_axis, y_axis)
