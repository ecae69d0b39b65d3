"""The self-contained HTML report of a demo run.

A report is one file that needs no network and shows the numbers it is given, never more: a
value that is None is "not measured". All data is escaped, so a program is shown and never run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from codefavor.errors import DataError
from codefavor.records import Row
from codefavor.reports import charts
from codefavor.reports.charts import Axis, Point, Series, nice_axis, percent, share_axis
from codefavor.reports.page import render_page
from codefavor.reports.pair_view import browser_data

REQUIRED = ("title", "created", "headline", "systems", "items")
LEVELS = ("reference", "easy", "medium", "hard", "samples")
_HEADLINE = ("trained", "against", "gain", "low", "high", "p", "n_pairs", "n_problems")
_FIELDS = {
    "systems": (
        "kind", "n", "n_error", "n_undecided", "accuracy", "low", "high", "consistency",
        "position_bias", "tie_rate", "ece", "brier",
    ),
    "gains": ("against", "gain", "low", "high", "p", "b", "c"),
    "stages": ("seconds", "resumed", "note"),
    "funnel": ("note",),
    "pairs": ("split", "level", "n", "n_problems", "shorter", "longer"),
    "checks": ("ok", "detail"),
}  # fmt: skip
# The outcomes that the bars keep apart; each has its own pattern.
_OUTCOME_CLASSES = {
    "passed": "passed",
    "wrong_output": "wrong",
    "runtime_error": "error",
    "timeout": "timeout",
    "syntax_error": "syntax",
}


def render_demo_report(report: Mapping[str, Any]) -> str:
    """The page of a demo run. Raises DataError for a mapping without the required keys."""
    for name in REQUIRED:
        if report.get(name) is None:
            raise DataError(f"a demo report needs the key {name!r}; found {', '.join(report)}")
    report = _with_defaults(report)
    headline, systems = report["headline"], report["systems"]
    browser = _browser(
        report["items"],
        systems=[system["name"] for system in systems],
        trained=headline.get("trained"),
        against=headline.get("against"),
    )
    focus = {headline["trained"], headline["against"]}
    by_name = {system["name"]: system for system in systems}
    return render_page(
        "demo.html.j2",
        report=report,
        headline=headline,
        trained=by_name.get(headline.get("trained"), {}),
        against=by_name.get(headline.get("against"), {}),
        forest=forest(systems),
        levels=_level_forests(systems),
        funnel_top=max([int(step["n"]) for step in report.get("funnel") or ()] or [1]),
        outcomes=_outcomes(report.get("outcomes") or {}),
        curves=training_curves((report.get("training") or {}).get("points") or ()),
        reliability=reliability(
            [s for s in systems if s["name"] in focus or s["kind"] == "trained"]
        ),
        browser=browser,
        n_items=len(report["items"]),
    )


def _browser(items: Sequence[Mapping[str, Any]], **names: Any) -> Markup:
    for number, item in enumerate(items, start=1):
        for key in ("id", "instruction", "chosen", "rejected"):
            if not isinstance(item.get(key), str):
                raise DataError(f"item {number} of the report needs the text {key!r}")
    try:
        return browser_data(items, **names)
    except ValueError as error:
        raise DataError(f"the items of the report are not plain JSON: {error}") from error


def _with_defaults(report: Mapping[str, Any]) -> Row:
    """The report with every optional part present, empty where it was not made."""
    empty: Row = {
        "settings": {}, "versions": {}, "machine": {}, "stages": [], "funnel": [], "outcomes": {},
        "pairs": [], "checks": [], "rejections": {}, "training": {}, "gains": [],
        "codeprefbench": None,
    }  # fmt: skip
    filled = {**empty, **{key: value for key, value in report.items() if value is not None}}
    for name, fields in _FIELDS.items():
        filled[name] = [{**dict.fromkeys(fields), **row} for row in filled[name]]
    filled["headline"] = {**dict.fromkeys(_HEADLINE), **filled["headline"]}
    return filled


def forest(systems: Sequence[Mapping[str, Any]], axis: Axis | None = None) -> Row:
    """The rows of a forest plot, best last of each kind, and its axis (by default, their own)."""
    order = {"baseline": 0, "untrained": 1, "trained": 2}
    ranked = sorted(
        systems, key=lambda s: (order.get(s.get("kind", ""), 0), s.get("accuracy") or 0.0)
    )
    own_axis = axis is None
    axis = axis or _axis_of(systems)
    rows = [
        {
            **system,
            "strip": charts.interval_strip(
                system.get("kind", ""),
                system.get("accuracy"),
                (system.get("low"), system.get("high")),
                axis,
                title=_interval_title(system),
            ),
        }
        for system in ranked
    ]
    labelled = 1 if own_axis else 2
    return {"rows": rows, "axis": charts.axis_strip(axis, labelled)}


def _axis_of(rows: Sequence[Mapping[str, Any]], max_steps: int = 6) -> Axis:
    known = [
        row[name]
        for row in rows
        for name in ("accuracy", "low", "high")
        if row.get(name) is not None
    ]
    return share_axis(known, "accuracy on held-out pairs", max_steps=max_steps)


def _level_forests(systems: Sequence[Mapping[str, Any]]) -> list[tuple[str, Row]]:
    """One forest a level, all on one axis, so that they can be compared by eye."""
    by_level = {level: _of_level(systems, level) for level in _levels_of(systems)}
    axis = _axis_of([row for rows in by_level.values() for row in rows], max_steps=4)
    return [(level, forest(rows, axis)) for level, rows in by_level.items()]


def _interval_title(system: Mapping[str, Any]) -> str:
    return (
        f"{system['name']}: {percent(system.get('accuracy'))}, 95% interval "
        f"{percent(system.get('low'))} to {percent(system.get('high'))}, n = {system.get('n')}"
    )


_MISSING_CELL: Row = {"n": None, "accuracy": None, "low": None, "high": None}


def _levels_of(systems: Sequence[Mapping[str, Any]]) -> list[str]:
    found = {level for system in systems for level in system.get("by_level") or {}}
    return [level for level in LEVELS if level in found] + sorted(found - set(LEVELS))


def _of_level(systems: Sequence[Mapping[str, Any]], level: str) -> list[Row]:
    return [
        {
            "name": system["name"],
            "kind": system["kind"],
            **_MISSING_CELL,
            **system["by_level"][level],
        }
        for system in systems
        if level in (system.get("by_level") or {})
    ]


def _outcomes(outcomes: Mapping[str, Mapping[str, int]]) -> Row:
    """Per level the bar's segments and every count; the columns are the outcomes seen."""
    names = {name for counts in outcomes.values() for name in counts}
    known = [name for name in _OUTCOME_CLASSES if name in names]
    columns = known + sorted(names - set(known))
    rows = []
    for level in [*filter(outcomes.__contains__, LEVELS), *sorted(set(outcomes) - set(LEVELS))]:
        counts = outcomes[level]
        segments = [(outcome_class(name), int(counts.get(name, 0))) for name in columns]
        total = sum(int(count) for count in counts.values())
        rows.append({"level": level, "counts": counts, "segments": segments, "total": total})
    return {"columns": [(name, outcome_class(name)) for name in columns], "rows": rows}


def outcome_class(outcome: str) -> str:
    """The pattern of an outcome in bars and tables."""
    return _OUTCOME_CLASSES.get(outcome, "other")


def training_curves(rows: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """One chart for each measured quantity of the training log, over the step."""
    found = []
    for key, label in (("loss", "loss"), ("margin", "reward margin"), ("accuracy", "accuracy")):
        line = [
            Point(float(row["step"]), float(row[key]), f"step {row['step']}: {row[key]:.3f}")
            for row in rows
            if row.get(key) is not None
        ]
        if line:
            x_axis = nice_axis([p.x for p in line], "training step", is_whole=True)
            y_axis = nice_axis([p.y for p in line], label)
            series = [Series(label, "trained", line)]
            found.append(charts.plot(f"Training {label} by step", series, x_axis, y_axis))
    return found


def reliability(systems: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Stated probability against the share that was right, for systems that state one."""
    series = [
        Series(
            system["name"],
            system.get("kind", ""),
            [
                Point(
                    cell["mean_p"],
                    cell["accuracy"],
                    f"{system['name']}: stated {percent(cell['mean_p'])}, "
                    f"right {percent(cell['accuracy'])}, n = {cell['n']}",
                )
                for cell in system.get("reliability") or ()
                if cell.get("n")
                and cell.get("mean_p") is not None
                and cell.get("accuracy") is not None
            ],
        )
        for system in systems
        if system.get("kind") != "baseline"
    ]
    series = [item for item in series if item.points]
    if not series:
        return None
    ticks = [(tick / 100, f"{tick}%") for tick in range(0, 101, 20)]
    low = min(p.x for item in series for p in item.points)
    x_ticks = [tick for tick in ticks if tick[0] >= 0.4] if low >= 0.4 else ticks
    return charts.plot(
        "Reliability: stated probability against the share that was right",
        series,
        Axis(x_ticks[0][0], 1.0, x_ticks, "stated probability"),
        Axis(0.0, 1.0, ticks, "share that was right"),
        diagonal=True,
    )
