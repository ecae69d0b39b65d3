"""What charts and tables show, as values; `templates/charts.html.j2` draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

NOT_MEASURED = "not measured"


class Point(NamedTuple):
    """One point of a chart in data coordinates; `note` is what a reader may ask of it.

    `size` scales its mark, `label` stands beside it.
    """

    x: float
    y: float
    note: str = ""
    size: float = 1.0
    label: str = ""


class Series(NamedTuple):
    """A named line or set of points; `kind` picks mark and colour (trained, untrained, ...)."""

    name: str
    kind: str
    points: Sequence[Point]
    is_line: bool = True

    @property
    def summary(self) -> str:
        """What a reader hears who cannot see it."""
        if not self.points:
            return self.name
        first, last = self.points[0], self.points[-1]
        return (
            f"{self.name}: {len(self.points)} points, from {first.y:.3g} at {first.x:.3g} "
            f"to {last.y:.3g} at {last.x:.3g}"
        )


class Axis(NamedTuple):
    """The range of one axis, its ticks (value, label), what it shows, and whether 1/2 is chance.

    On a logarithmic one every value is above 0.
    """

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    label: str
    chance: bool = False
    is_log: bool = False

    def place(self, value: float) -> float:
        """Where a value stands, in percent of the axis."""
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = math.log10(value), math.log10(low), math.log10(high)
        return 100.0 * (value - low) / (high - low) if high > low else 50.0


class Plot(NamedTuple):
    """Lines or points over two axes; `has_diagonal` draws where both are equal."""

    title: str
    series: Sequence[Series]
    x: Axis
    y: Axis
    has_diagonal: bool = False

    @property
    def ideal(self) -> tuple[Point, Point] | None:
        """The ends of the diagonal."""
        low, high = max(self.x.low, self.y.low), min(self.x.high, self.y.high)
        return (Point(low, low), Point(high, high)) if self.has_diagonal else None


class Cell(NamedTuple):
    """A cell of a table: its text, what it is sorted by, what stands below in small, its style."""

    text: str
    value: float | None = None
    below: str = ""
    style: str = ""


class Line(NamedTuple):
    """A row of a table; `hint` is what hovering shows."""

    name: str
    cells: Sequence[Cell]
    kind: str = ""
    hint: str = ""


class Board(NamedTuple):
    """A table; without rows nothing is drawn."""

    head: Sequence[str]
    rows: Sequence[Line]


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1] as percent; None is "not measured"."""
    return NOT_MEASURED if share is None else f"{100 * share:.{digits}f}%"


def points(gain: float | None, digits: int = 1) -> str:
    """A difference of shares as signed percentage points, with a true minus sign."""
    return NOT_MEASURED if gain is None else f"{100 * gain:+.{digits}f}".replace("-", "−")


def nice_axis(
    values: Sequence[float], label: str, *, n_ticks: int = 5, is_whole: bool = False
) -> Axis:
    """An axis over the values with round (or whole) ticks; a single value gets room around it."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if low == high:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / max(1, n_ticks - 1)
    rough = max(rough, 1.0) if is_whole else rough
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = len(f"{step:.10f}".rstrip("0").partition(".")[2])
    ticks = [(i * step, f"{i * step:.{digits}f}") for i in range(first, last + 1)]
    return Axis(first * step, last * step, ticks, label)


def share_axis(shares: Sequence[float | None], label: str, *, max_steps: int = 6) -> Axis:
    """A percent axis over the known shares and chance, in steps of 5, 10 or 20 points."""
    known = [0.5, *(share for share in shares if share is not None)]
    low = max(0, math.floor(20 * (min(known) - 0.01))) * 5
    high = min(100, math.ceil(20 * (max(known) + 0.01)) * 5)
    step = next(s for s in (5, 10, 20) if high - low <= s * max_steps or s == 20)
    low -= low % step
    ticks = [(tick / 100, f"{tick}%") for tick in range(low, high + 1, step)]
    return Axis(low / 100, high / 100, ticks, label, chance=True)


def shorten(text: str, length: int = 46) -> str:
    """The text, cut with an ellipsis where it is too long for its place."""
    return text if len(text) <= length else text[: length - 1] + "…"
