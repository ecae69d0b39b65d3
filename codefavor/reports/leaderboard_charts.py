"""The plots of the leaderboard as values that the kit draws. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from codefavor.evaluation.result_text import percent
from codefavor.reports.charts import Axis, Board, Cell, Line, Plot, Point, Series, shorten
from codefavor.reports.leaderboard import OVERALL, Entry, Share, groups_of

# Means over groups are no axes of a radar: they repeat what its other axes show.
_NO_AXES = frozenset({OVERALL, "average", "average_of_four"})
# How the kit marks ours and what others published.
MARKS = {"result": "trained", "reference": "baseline"}
_MAX_RADARS = 12
_QUARTERS = [(share, f"{share:g}") for share in (0, 0.25, 0.5, 0.75, 1)]


def headline_share(entry: Entry) -> Share:
    """The accuracy that a line is ranked by: the mean of the verifiable aspects, else all pairs."""
    for name in ("average", OVERALL):
        share = entry.shares.get(name)
        if share is not None and share.accuracy is not None:
            return share
    return Share(None)


class Radar(NamedTuple):
    """A polygon over its rings, in a square of 300; `names` are (x, y, anchor, text)."""

    title: str
    caption: str
    rings: list[str]
    shape: str
    names: list[tuple[float, float, str, str]]


def radars(entries: Sequence[Entry]) -> list[Radar]:
    """One small radar for each judge over the groups that every one of them has."""
    axes = [name for name in groups_of(entries) if name not in _NO_AXES]
    axes = [name for name in axes if all(name in entry.shares for entry in entries)]
    return [_radar(entry, axes) for entry in entries[:_MAX_RADARS]] if len(axes) >= 3 else []


def _radar(entry: Entry, axes: Sequence[str]) -> Radar:
    def point(axis: int, value: float) -> tuple[float, float]:
        angle = 2 * math.pi * axis / len(axes) - math.pi / 2
        return 150 + 88 * value * math.cos(angle), 140 + 88 * value * math.sin(angle)

    def path(values: Sequence[float]) -> str:
        return " ".join("{:.1f},{:.1f}".format(*point(i, v)) for i, v in enumerate(values))

    values = [entry.shares[name].accuracy or 0.0 for name in axes]
    names = []
    for index, name in enumerate(axes):
        left, top = point(index, 1.16)
        anchor = "middle"
        if abs(left - 150) >= 8:
            # At the edge and above the axis: the next figure's names must not be met.
            anchor, left, top = ("end", 300, top - 12) if left > 150 else ("start", 0, top - 12)
        names.append((left, top, anchor, f"{name} {percent(values[index])}"))
    return Radar(
        f"Accuracy by group: {entry.label}",
        shorten(entry.label, 40),
        [path([ring] * len(axes)) for ring in (0.5, 1.0)],
        path(values),
        names,
    )


class CostPoint(NamedTuple):
    """What a judge cost and how often it was right; `kind` as in `Entry`."""

    label: str
    kind: str
    cost: float
    accuracy: float


class CostChart(NamedTuple):
    """The plot, and the table whose numbers its marks carry."""

    plot: Plot
    board: Board


def cost_chart(points: Sequence[CostPoint], title: str, unit: str) -> CostChart | None:
    """Accuracy against cost on a logarithmic axis; points that cost nothing are left out."""
    shown = sorted((point for point in points if point.cost > 0), key=lambda one: -one.accuracy)
    if not shown:
        return None
    costs = [math.log10(point.cost) for point in shown]
    low = math.floor(min(costs))
    high = max(low + 1, math.ceil(max(costs)))
    powers = [(10.0**power, f"{10.0**power:g}") for power in range(low, high + 1)]
    x_axis = Axis(powers[0][0], powers[-1][0], powers, unit, is_log=True)
    shares = [(share, f"{share:.0%}") for share, _ in _QUARTERS]
    numbered = list(enumerate(shown, start=1))
    series = [
        Series(
            name,
            MARKS[kind],
            [
                Point(point.cost, point.accuracy, point.label, label=str(number))
                for number, point in numbered
                if point.kind == kind
            ],
            is_line=False,
        )
        for kind, name in (("result", "measured here"), ("reference", "published"))
    ]
    rows = [
        Line(
            f"{number}. {point.label}",
            [Cell(percent(point.accuracy)), Cell(f"{point.cost:.3g}")],
            point.kind,
        )
        for number, point in numbered
    ]
    drawn = [one for one in series if one.points]
    plot = Plot(title, drawn, x_axis, Axis(0, 1, shares, "accuracy"))
    return CostChart(plot, Board(["judge", "accuracy", unit], rows))


class Reliability(NamedTuple):
    """Stated probability of A against how often A was right, and what stands below."""

    plot: Plot
    name: str
    numbers: str


def reliability(entry: Entry) -> Reliability | None:
    """None where no probability was stated."""
    bins = [one for one in entry.bins if one["n"]]
    if not bins:
        return None
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
    plot = Plot(
        f"Reliability of {entry.label}",
        [Series(entry.label, "baseline", points, is_line=False)],
        Axis(0, 1, _QUARTERS, "stated probability of A"),
        Axis(0, 1, _QUARTERS, "A was right"),
        has_diagonal=True,
    )
    numbers = f"ECE {entry.measures['ece']:.3f}, Brier {entry.measures['brier']:.3f}"
    return Reliability(plot, shorten(entry.label, 34), numbers)
