"""The plots of the leaderboard as inline SVG that follows the theme. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from markupsafe import Markup

from codefavor.evaluation.result_text import percent
from codefavor.records import Row
from codefavor.reports.charts import (
    Axis,
    Point,
    Series,
    axis_strip,
    figure,
    interval_strip,
    plot,
    share_axis,
    shorten,
)
from codefavor.reports.leaderboard import OVERALL, Cell, Entry, groups_of

# Means over groups are no axes of a radar: they repeat what its other axes show.
_NO_AXES = frozenset({OVERALL, "average", "average_of_four"})
# How the kit marks ours and what others published.
_MARKS = {"result": "trained", "reference": "baseline"}
_MAX_RADARS = 12


def headline_cell(entry: Entry) -> Cell:
    """The accuracy that a line is ranked by: the mean of the verifiable aspects, else all pairs."""
    for name in ("average", OVERALL):
        cell = entry.cells.get(name)
        if cell is not None and cell.accuracy is not None:
            return cell
    return Cell(None)


def forest(entries: Sequence[Entry]) -> str:
    """Each judge's accuracy with its interval where one is known; chance is marked."""
    shown = [
        (entry, entry.cells[OVERALL] if OVERALL in entry.cells else headline_cell(entry))
        for entry in entries
    ]
    shown = [(entry, cell) for entry, cell in shown if cell.accuracy is not None]
    if not shown:
        return ""

    values = [
        value
        for _, cell in shown
        for value in (cell.accuracy, cell.low, cell.high)
        if value is not None
    ]
    axis = share_axis(values, "accuracy")
    rows = Markup("").join(
        Markup(
            '<tr class="row-{kind}"><th scope="row">{name}</th><td class="strip-cell">{strip}</td>'
            "<td>{share}</td></tr>"
        ).format(
            kind=entry.kind,
            name=shorten(entry.label),
            strip=interval_strip(
                _MARKS[entry.kind],
                cell.accuracy,
                (cell.low, cell.high),
                axis,
                title=f"{entry.label}: {percent(cell.accuracy)}",
            ),
            share=percent(cell.accuracy),
        )
        for entry, cell in shown
    )
    return Markup(
        '<table class="forest compact"><tbody>{rows}</tbody><tfoot><tr aria-hidden="true"><td></td>'
        '<td class="strip-cell">{axis}</td><td></td></tr></tfoot></table>'
    ).format(rows=rows, axis=axis_strip(axis))


def radars(entries: Sequence[Entry]) -> str:
    """One small radar for each judge over the groups that every one of them has."""
    axes = [name for name in groups_of(entries) if name not in _NO_AXES]
    axes = [name for name in axes if all(name in entry.cells for entry in entries)]
    if len(axes) < 3:
        return ""
    plots = [_radar(entry, axes) for entry in entries[:_MAX_RADARS]]
    return f'<div class="radars">{"".join(plots)}</div>'


def _radar(entry: Entry, axes: Sequence[str]) -> str:
    def point(axis: int, value: float) -> tuple[float, float]:
        angle = 2 * math.pi * axis / len(axes) - math.pi / 2
        return 150 + 88 * value * math.cos(angle), 140 + 88 * value * math.sin(angle)

    def path(values: Sequence[float]) -> str:
        return " ".join("{:.1f},{:.1f}".format(*point(i, v)) for i, v in enumerate(values))

    values = [entry.cells[name].accuracy or 0.0 for name in axes]
    parts = [
        f'<polygon fill="none" class="grid" points="{path([ring] * len(axes))}"/>'
        for ring in (0.5, 1.0)
    ]
    parts.append(f'<polygon class="line area" points="{path(values)}"/>')
    for index, name in enumerate(axes):
        left, top = point(index, 1.16)
        anchor = "middle"
        if abs(left - 150) >= 8:
            # At the edge and above the axis: the next figure's names must not be met.
            anchor, left, top = ("end", 300, top - 12) if left > 150 else ("start", 0, top - 12)
        parts.append(
            f'<text class="soft" x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">'
            f"{escape(name)} {percent(values[index])}</text>"
        )
    caption = escape(shorten(entry.label, 40))
    parts.append(f'<text x="150" y="288" text-anchor="middle">{caption}</text>')
    return figure(300, 300, f"Accuracy by group: {entry.label}", parts, shown=300)


class CostPoint(NamedTuple):
    """What a judge cost and how often it was right; `kind` as in `Entry`."""

    label: str
    kind: str
    cost: float
    accuracy: float


def cost_plot(points: Sequence[CostPoint], title: str, unit: str) -> str:
    """Accuracy against cost on a logarithmic axis; points that cost nothing are left out."""
    shown = sorted((point for point in points if point.cost > 0), key=lambda one: -one.accuracy)
    if not shown:
        return ""
    low = math.floor(math.log10(min(point.cost for point in shown)))
    high = max(low + 1, math.ceil(math.log10(max(point.cost for point in shown))))

    def x(cost: float) -> float:
        return 44 + 440 * (math.log10(cost) - low) / (high - low)

    def y(accuracy: float) -> float:
        return 230 - 200 * accuracy

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line class="grid" x1="44" x2="484" y1="{y(share)}" y2="{y(share)}"/>'
            f'<text class="soft" x="36" y="{y(share) + 4}" text-anchor="end">{share:.0%}</text>'
        )
    for power in range(low, high + 1):
        parts.append(
            f'<text class="soft" x="{x(10.0**power):.1f}" y="250" text-anchor="middle">'
            f"{10.0**power:g}</text>"
        )
    parts.append(f'<text class="soft" x="484" y="268" text-anchor="end">{escape(unit)}</text>')
    below = 24.0
    for point in shown:
        left, top = x(point.cost), y(point.accuracy)
        # Names stand in a column of their own, in the order of height, so that none overlap.
        below = max(below + 16, top)
        mark = "ref" if point.kind == "reference" else "mark"
        bend = f"{left:.1f},{top:.1f} 496,{below:.1f} 504,{below:.1f}"
        parts.append(
            f'<polyline class="lead" points="{bend}"/>'
            f'<circle class="{mark}" r="5" cx="{left:.1f}" cy="{top:.1f}"/>'
            f'<text x="508" y="{below + 4:.1f}">{escape(shorten(point.label, 40))} '
            f'<tspan class="soft">{percent(point.accuracy)}, {point.cost:.3g}</tspan></text>'
        )
    return figure(840, max(276, int(below) + 12), title, parts)


def reliability(name: str, metrics: Row) -> str:
    """Stated probability of A against how often A was right; None where nothing is stated."""
    bins = [one for one in metrics["bins"] if one["n"]]
    if not bins:
        return ""

    most = max(one["n"] for one in bins)
    points = [
        Point(
            one["mean_forecast"],
            one["mean_outcome"],
            f"{one['n']} verdicts",
            0.5 + math.sqrt(one["n"] / most),
        )
        for one in bins
    ]
    ticks = [(share, f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1)]
    drawn = plot(
        f"Reliability of {name}",
        [Series(name, "baseline", points, is_line=False)],
        Axis(0, 1, ticks, "stated probability of A"),
        Axis(0, 1, ticks, "A was right"),
        diagonal=True,
    )
    return Markup("<figure>{drawn}<figcaption>{name}<br>{numbers}</figcaption></figure>").format(
        drawn=drawn,
        name=shorten(name, 34),
        numbers=f"ECE {metrics['ece']:.3f}, Brier {metrics['brier']:.3f}",
    )
