"""Charts as inline SVG: percent coordinates and CSS variables, so they fit any width and theme.

Every function returns escaped markup. Shape and text carry what colour carries too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

NOT_MEASURED = "not measured"
Interval = tuple[float | None, float | None]
_MARKS = {
    "trained": Markup('<path d="M0-6.5 6.5 0 0 6.5-6.5 0Z"/>'),
    "untrained": Markup('<rect x="-4.5" y="-4.5" width="9" height="9"/>'),
    "baseline": Markup('<circle r="4.5"/>'),
}


class Point(NamedTuple):
    """One point of a chart in data coordinates; `note` is what a reader may ask of it.

    `size` scales its mark.
    """

    x: float
    y: float
    note: str = ""
    size: float = 1.0


class Series(NamedTuple):
    """A named line or set of points; `kind` picks mark and colour (trained, untrained, ...)."""

    name: str
    kind: str
    points: Sequence[Point]
    is_line: bool = True


class Axis(NamedTuple):
    """The range of one axis, its ticks (value, label) and what it shows."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    label: str

    def place(self, value: float) -> float:
        """Where a value stands, in percent of the axis."""
        span = self.high - self.low
        return 100.0 * (value - self.low) / span if span else 50.0


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1] as percent; None is "not measured"."""
    return NOT_MEASURED if share is None else f"{100 * share:.{digits}f}%"


def points(gain: float | None, digits: int = 1) -> str:
    """A difference of shares as signed percentage points, with a true minus sign."""
    if gain is None:
        return NOT_MEASURED
    text = f"{100 * gain:+.{digits}f}"
    return text.replace("-", "−")


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


def share_axis(
    shares: Sequence[float], label: str, *, include: float = 0.5, max_steps: int = 6
) -> Axis:
    """A percent axis over the shares and `include`, in steps of 5, 10 or 20 points."""
    known = [*shares, include]
    low = max(0, math.floor(20 * (min(known) - 0.01))) * 5
    high = min(100, math.ceil(20 * (max(known) + 0.01)) * 5)
    step = next(s for s in (5, 10, 20) if high - low <= s * max_steps or s == 20)
    low -= low % step
    ticks = [(tick / 100, f"{tick}%") for tick in range(low, high + 1, step)]
    return Axis(low / 100, high / 100, ticks, label)


def interval_strip(
    kind: str, value: float | None, interval: Interval, axis: Axis, *, title: str
) -> Markup:
    """One row of a forest plot: the mark with its interval, over the grid of the axis."""
    parts = [_grid_lines(axis)]
    if value is not None:
        low, high = interval
        if low is not None and high is not None:
            a, b = axis.place(low), axis.place(high)
            parts.append(
                Markup(
                    '<g class="whisker"><line x1="{a:.2f}%" x2="{b:.2f}%" y1="14" y2="14"/>'
                    '<line x1="{a:.2f}%" x2="{a:.2f}%" y1="9" y2="19"/>'
                    '<line x1="{b:.2f}%" x2="{b:.2f}%" y1="9" y2="19"/></g>'
                ).format(a=a, b=b)
            )
        parts.append(_mark(kind, axis.place(value), "14"))
    return Markup(
        '<svg class="strip kind-{kind}" width="100%" height="28" role="img">'
        "<title>{title}</title>{body}</svg>"
    ).format(kind=_safe_kind(kind), title=title, body=Markup("").join(parts))


def axis_strip(axis: Axis, every: int = 1) -> Markup:
    """The tick labels below a forest plot; `every` 2 names every second tick."""
    labels = Markup("").join(
        Markup('<text x="{x:.2f}%" y="12" text-anchor="{anchor}">{label}</text>').format(
            x=axis.place(value), anchor=_anchor(axis.place(value)), label=label
        )
        for value, label in axis.ticks[::every]
    )
    return Markup(
        '<svg class="strip axis" width="100%" height="18" aria-hidden="true">{labels}</svg>'
    ).format(labels=labels)


def _anchor(place: float) -> str:
    return "start" if place < 3 else "end" if place > 97 else "middle"


def _grid_lines(axis: Axis) -> Markup:
    lines = [
        Markup('<line x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"{chance}/>').format(
            x=axis.place(value),
            chance=Markup(' class="chance"') if abs(value - 0.5) < 1e-9 else Markup(""),
        )
        for value, _ in axis.ticks
    ]
    return Markup('<g class="grid">{lines}</g>').format(lines=Markup("").join(lines))


def _safe_kind(kind: str) -> str:
    return kind if kind in _MARKS else "baseline"


def _mark(kind: str, x: float, y: str, note: str = "", size: float = 1.0) -> Markup:
    """A mark at a place given in percent: a nested svg, because a path knows no percent."""
    title = Markup("<title>{note}</title>").format(note=note) if note else Markup("")
    shape = _MARKS[_safe_kind(kind)]
    if size != 1:
        shape = Markup('<g transform="scale({size:.2f})">{shape}</g>').format(
            size=size, shape=shape
        )
    return Markup(
        '<svg class="mark kind-{kind}" x="{x:.2f}%" y="{y}" overflow="visible">{title}{shape}</svg>'
    ).format(kind=_safe_kind(kind), x=x, y=y, title=title, shape=shape)


def stacked_bar(segments: Sequence[tuple[str, int]], total: int, title: str) -> Markup:
    """One bar of 100 %: a segment for each (class name, count), in the given order."""
    x = 0.0
    parts: list[Markup] = []
    for name, count in segments:
        width = 100.0 * count / total if total else 0.0
        if count:
            parts.append(
                Markup(
                    '<rect class="fill-{name}" x="{x:.3f}%" width="{w:.3f}%" height="20"/>'
                ).format(name=name, x=x, w=width)
            )
        x += width
    return Markup(
        '<svg class="bar" width="100%" height="20" role="img"><title>{title}</title>{parts}</svg>'
    ).format(title=title, parts=Markup("").join(parts))


def plot(
    title: str, series: Sequence[Series], x_axis: Axis, y_axis: Axis, *, diagonal: bool = False
) -> Markup:
    """Lines or points over two axes, with a legend when there is more than one series."""
    body = [_frame(x_axis, y_axis)]
    if diagonal:
        low, high = max(x_axis.low, y_axis.low), min(x_axis.high, y_axis.high)
        body.append(
            Markup(
                '<line class="ideal" x1="{a:.2f}%" y1="{b:.2f}%" x2="{c:.2f}%" y2="{d:.2f}%"/>'
            ).format(
                a=x_axis.place(low),
                b=100 - y_axis.place(low),
                c=x_axis.place(high),
                d=100 - y_axis.place(high),
            )
        )
    for item in series:
        placed = [(x_axis.place(p.x), 100 - y_axis.place(p.y), p.note, p.size) for p in item.points]
        if item.is_line and len(placed) > 1:
            body += [
                Markup(
                    '<line class="line kind-{kind}" x1="{a:.2f}%" y1="{b:.2f}%" '
                    'x2="{c:.2f}%" y2="{d:.2f}%"/>'
                ).format(kind=_safe_kind(item.kind), a=p[0], b=p[1], c=q[0], d=q[1])
                for p, q in itertools.pairwise(placed)
            ]
        # Marks on a long line would hide it.
        marked = placed if len(placed) <= 40 else placed[-1:]
        body += [_mark(item.kind, x, f"{y:.2f}%", note, size) for x, y, note, size in marked]
    return Markup(
        '<div class="plot"><p class="plot-y">{y_label}</p>'
        '<svg class="plot-ys" aria-hidden="true">{y_ticks}</svg>'
        '<svg class="plot-area" role="img"><title>{title}</title><desc>{desc}</desc>{body}</svg>'
        '<svg class="plot-xs" aria-hidden="true">{x_ticks}</svg>'
        '<p class="plot-x">{x_label}</p>{legend}</div>'
    ).format(
        y_label=y_axis.label,
        x_label=x_axis.label,
        y_ticks=_tick_texts(y_axis, is_vertical=True),
        x_ticks=_tick_texts(x_axis, is_vertical=False),
        title=title,
        desc=_description(series),
        body=Markup("").join(body),
        legend=legend([(item.name, item.kind) for item in series]) if len(series) > 1 else "",
    )


def legend(entries: Sequence[tuple[str, str]]) -> Markup:
    """Names with their marks."""
    items = Markup("").join(
        Markup(
            '<li><svg width="14" height="14" viewBox="-7 -7 14 14" class="mark kind-{kind}" '
            'aria-hidden="true">{shape}</svg>{name}</li>'
        ).format(kind=_safe_kind(kind), shape=_MARKS[_safe_kind(kind)], name=name)
        for name, kind in entries
    )
    return Markup('<ul class="legend">{items}</ul>').format(items=items)


def _frame(x_axis: Axis, y_axis: Axis) -> Markup:
    lines = [
        Markup('<line x1="0" x2="100%" y1="{y:.2f}%" y2="{y:.2f}%"/>').format(
            y=100 - y_axis.place(value)
        )
        for value, _ in y_axis.ticks
    ]
    lines += [
        Markup('<line x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="100%"/>').format(x=x_axis.place(value))
        for value, _ in x_axis.ticks
    ]
    return Markup('<g class="grid">{lines}</g>').format(lines=Markup("").join(lines))


def _tick_texts(axis: Axis, *, is_vertical: bool) -> Markup:
    if is_vertical:
        return Markup("").join(
            Markup(
                '<text x="100%" dx="-6" y="{y:.2f}%" dy="4" text-anchor="end">{t}</text>'
            ).format(y=100 - axis.place(value), t=label)
            for value, label in axis.ticks
        )
    return Markup("").join(
        Markup('<text x="{x:.2f}%" y="13" text-anchor="{anchor}">{t}</text>').format(
            x=axis.place(value), anchor=_anchor(axis.place(value)), t=label
        )
        for value, label in axis.ticks
    )


def _description(series: Sequence[Series]) -> str:
    parts = []
    for item in series:
        if item.points:
            first, last = item.points[0], item.points[-1]
            parts.append(
                f"{item.name}: {len(item.points)} points, from {first.y:.3g} at {first.x:.3g} "
                f"to {last.y:.3g} at {last.x:.3g}"
            )
    return "; ".join(parts)


def text_or_dash(value: object) -> Markup:
    """A value as text; None as a dash that is read out as "not measured"."""
    if value is None:
        return Markup('<span class="none" title="{title}">–</span>').format(title=NOT_MEASURED)
    return escape(value)


def figure(
    width: int, height: int, label: str, parts: Sequence[str], shown: int | None = None
) -> str:
    """A drawing in its own coordinates, for what has no axes of percent; `parts` are escaped.

    It fills its column unless `shown` pixels are given.
    """
    size = f'width="{shown}"' if shown else 'width="100%"'
    return (
        f'<svg class="figure" role="img" aria-label="{escape(label)}" {size} '
        f'viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'
    )


def shorten(text: str, length: int = 46) -> str:
    """The text, cut with an ellipsis where it is too long for its place."""
    return text if len(text) <= length else text[: length - 1] + "…"
