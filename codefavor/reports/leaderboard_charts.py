"""The plots of the leaderboard as inline SVG that follows the theme. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from codefavor.records import Row
from codefavor.reports.leaderboard import OVERALL, Cell, Entry, groups_of, percent

# Means over groups are no axes of a radar: they repeat what its other axes show.
_NO_AXES = frozenset({OVERALL, "average", "average_of_four"})
_LABEL_WIDTH = 330
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

    def x(value: float) -> float:
        return _LABEL_WIDTH + 420 * value

    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        kind = "grid chance" if tick == 0.5 else "grid"
        bottom = 24 + 24 * len(shown)
        parts.append(
            f'<line class="{kind}" '
            f'x1="{x(tick)}" x2="{x(tick)}" y1="20" y2="{bottom}"/>'
            f'<text class="soft" x="{x(tick)}" y="14" text-anchor="middle">{tick:.0%}</text>'
        )
    for number, (entry, cell) in enumerate(shown):
        y = 36 + 24 * number
        mark, line = ("ref", "refline") if entry.kind == "reference" else ("mark", "line")
        parts.append(f'<text x="0" y="{y + 4}">{escape(shorten(entry.label))}</text>')
        if cell.low is not None and cell.high is not None:
            parts.append(
                f'<line class="{line}" y1="{y}" y2="{y}" '
                f'x1="{x(cell.low):.1f}" x2="{x(cell.high):.1f}"/>'
            )
        parts.append(f'<circle class="{mark}" r="4" cx="{x(cell.accuracy or 0):.1f}" cy="{y}"/>')
        parts.append(f'<text class="soft" x="770" y="{y + 4}">{percent(cell.accuracy)}</text>')
    return svg(820, 40 + 24 * len(shown), "Accuracy of each judge", parts)


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
    return svg(300, 300, f"Accuracy by group: {entry.label}", parts, shown=300)


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
    return svg(840, max(276, int(below) + 12), title, parts)


def reliability(name: str, metrics: Row) -> str:
    """Stated probability of A against how often A was right; None where nothing is stated."""
    bins = [one for one in metrics["bins"] if one["n"]]
    if not bins:
        return ""

    def x(value: float) -> float:
        return 40 + 200 * value

    def y(value: float) -> float:
        return 220 - 200 * value

    most = max(one["n"] for one in bins)
    parts = [
        f'<line class="grid" x1="{x(0)}" x2="{x(1)}" y1="{y(0)}" y2="{y(1)}"/>',
        f'<rect class="frame" x="{x(0)}" y="{y(1)}" width="200" height="200"/>',
    ]
    for share in (0, 0.5, 1):
        parts.append(
            f'<text class="soft" x="34" y="{y(share) + 4}" text-anchor="end">{share:g}</text>'
            f'<text class="soft" x="{x(share)}" y="236" text-anchor="middle">{share:g}</text>'
        )
    for one in bins:
        radius = 2 + 6 * math.sqrt(one["n"] / most)
        parts.append(
            f'<circle class="mark" r="{radius:.1f}" cx="{x(one["mean_forecast"]):.1f}" '
            f'cy="{y(one["mean_outcome"]):.1f}"><title>{one["n"]} verdicts</title></circle>'
        )
    ece, brier = metrics["ece"], metrics["brier"]
    parts.append(f'<text x="140" y="258" text-anchor="middle">{escape(shorten(name, 34))}</text>')
    parts.append(
        f'<text class="soft" x="140" y="274" text-anchor="middle">'
        f"ECE {ece:.3f}, Brier {brier:.3f}</text>"
    )
    return svg(260, 282, f"Reliability of {name}", parts, shown=260)


def shorten(text: str, length: int = 46) -> str:
    """The text, cut with an ellipsis where it is too long for its place."""
    return text if len(text) <= length else text[: length - 1] + "…"


def svg(width: int, height: int, label: str, parts: Sequence[str], shown: int | None = None) -> str:
    """A figure with an accessible name; it fills its column unless `shown` pixels are given."""
    size = f'width="{shown}"' if shown else 'width="100%"'
    return (
        f'<svg role="img" aria-label="{escape(label, quote=True)}" {size} '
        f'viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'
    )
