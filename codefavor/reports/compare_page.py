"""The comparison of results as a page: differences, tests, what moved where, both programs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from codefavor.evaluation.compare import Comparison, Contender, programs_of
from codefavor.records import Row
from codefavor.reports.charts import Axis, Board, Cell, Line, nice_axis, percent, points
from codefavor.reports.page import p_value, render_page
from codefavor.result_file import ITEM_FORMAT, MODEL_FORMAT
from codefavor.statistics.paired import PairedTest


def compare_html(comparisons: Sequence[Comparison], *, n_shown: int = 40) -> str:
    """A page that needs no network; of the items won and lost at most `n_shown` each."""
    base = comparisons[0].b
    shown = {name for one in comparisons for name in [*one.won[:n_shown], *one.lost[:n_shown]]}
    contenders = [base, *(one.a for one in comparisons)]
    kind = _KINDS.get(base.result["format"], "pairs")
    programs = {one.name: _written(one, list(shown)) for one in contenders}
    axis = _axis([test for one in comparisons for test in one.tests])
    sections = [
        {
            "name": one.a.name,
            "tests": _tests(one.tests),
            "without_overlap": one.without_overlap,
            "forest": _forest(one.tests),
            "moves": _moves(one),
            "n_failed": (one.a.n_failed, one.b.n_failed),
            "sides": [
                ("won", len(one.won), _items(one.won[:n_shown], one, programs)),
                ("lost", len(one.lost), _items(one.lost[:n_shown], one, programs)),
            ],
        }
        for one in comparisons
    ]
    names = ", ".join(one.a.name for one in comparisons)
    return render_page(
        "compare.html.j2",
        title=f"{base.result['benchmark']}: {names} against {base.name}",
        base=base.name,
        settings=", ".join(f"{k} {v}" for k, v in base.result.get("settings", {}).items()),
        sections=sections,
        axis=axis,
        kind=kind,
        has_parts=kind == "problems" and "score" in base.scores,
    )


_SAME = "background: var(--panel)"
# What the items of a result are called, by its format; the items of judges are pairs.
_KINDS = {MODEL_FORMAT: "problems", ITEM_FORMAT: "items"}


def _written(one: Contender, names: Sequence[str]) -> dict[str, Row]:
    """What a model wrote for these items, as a program with its outcome or as a text."""
    if one.result["format"] == MODEL_FORMAT:
        return programs_of(one, names)
    items = one.result.get("items", {})
    return {
        name: {"code": items[name]["text"], "outcome": "", "error": ""}
        for name in names
        if "text" in items.get(name, {})
    }


def _axis(tests: Sequence[PairedTest]) -> Axis:
    """Points of difference, 0 among them."""
    ends = [end for one in tests for end in (one.gain.interval.low, one.gain.interval.high)]
    return nice_axis([0.0, *(100 * end for end in ends)], "points")


def _tests(tests: Sequence[PairedTest]) -> Board:
    head = [
        "measure", "mean", "baseline", "difference", "95 % interval", "permutation", "Holm",
        "McNemar", "paired t", "effect size d", "detectable",
    ]  # fmt: skip
    return Board(head, [Line(one.measure, _cells(one)) for one in tests])


def _cells(test: PairedTest) -> list[Cell]:
    gain, interval = test.gain, test.gain.interval
    has_mcnemar = not math.isnan(gain.p_mcnemar)
    mcnemar = Cell(_p(gain.p_mcnemar), below=f"{gain.n_only_a} to {gain.n_only_b}")
    effect = "–" if test.effect is None else points(test.effect / 100, 2)
    return [
        Cell(percent(test.mean_a)),
        Cell(percent(test.mean_b)),
        Cell(points(interval.mean)),
        Cell(f"{points(interval.low)} to {points(interval.high)}"),
        Cell(_p(gain.p_permutation)),
        Cell(_p(test.p_holm)),
        mcnemar if has_mcnemar else Cell("–"),
        Cell("–" if test.p_t is None else _p(test.p_t)),
        Cell(effect),
        Cell("–" if test.detectable is None else f"{100 * test.detectable:.1f}"),
    ]


def _p(value: float) -> str:
    return f"p {p_value(value)}"


def _forest(tests: Sequence[PairedTest]) -> list[Row]:
    return [
        {
            "name": one.measure,
            "mean": 100 * one.gain.interval.mean,
            "low": 100 * one.gain.interval.low,
            "high": 100 * one.gain.interval.high,
            "text": points(one.gain.interval.mean),
        }
        for one in tests
    ]


def _moves(one: Comparison) -> Board:
    """Samples by what they ended as: of the baseline down, of the other across."""
    kinds = sorted({kind for pair in one.moves for kind in pair}, key=lambda k: (k != "passed", k))
    rows = []
    for before in kinds:
        counts = [one.moves[before, after] for after in kinds]
        cells = [
            Cell(str(n) if n else "", style=_SAME if before == after else "")
            for n, after in zip(counts, kinds, strict=True)
        ]
        if sum(counts):
            rows.append(Line(before.replace("_", " "), [*cells, Cell(str(sum(counts)))]))
    return Board([f"{one.b.name} ↓", *(k.replace("_", " ") for k in kinds), "all"], rows)


def _items(names: Sequence[str], one: Comparison, programs: dict[str, dict[str, Row]]) -> list[Row]:
    return [
        {
            "id": name,
            "rates": [_rate(side, name) for side in (one.a, one.b)],
            "programs": [
                {"by": side.name, **programs[side.name][name]}
                for side in (one.a, one.b)
                if name in programs.get(side.name, {})
            ],
        }
        for name in names
    ]


def _rate(side: Contender, name: str) -> str:
    return percent(next(iter(side.scores.values()))[name], 0)
