"""The leaderboard as one HTML file that needs no network, light and dark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from codefavor.evaluation.result_text import percent
from codefavor.records import Row
from codefavor.reports.charts import Board, Cell, Line, share_axis, shorten
from codefavor.reports.leaderboard import (
    OVERALL,
    USD,
    Entry,
    Share,
    agreement,
    groups_of,
    paired_tests,
    with_labels,
)
from codefavor.reports.leaderboard_charts import (
    MARKS,
    CostPoint,
    cost_chart,
    headline_share,
    radars,
    reliability,
)
from codefavor.reports.leaderboard_items import board_items, defects_of
from codefavor.reports.page import render_page
from codefavor.reports.pair_view import browser_data

Records = Mapping[str, Sequence[Row]]
# By benchmark and label: a judge has the same name on several benchmarks.
BoardRecords = Mapping[tuple[str, str], Sequence[Row]]

_COUNTS = ("n", "n_error", "n_undecided", "n_second_questions")
# The measures that make columns where any judge has them, and their heads.
_HEADS = {
    "length_controlled": "length-controlled",
    "style_controlled": "style-controlled",
    "without_defects": "without defects",
    "consistency": "consistency",
    "position_bias": "A-bias",
    "n": "n",
    "n_error": "errors",
    "n_undecided": "undecided",
    "n_second_questions": "second questions",
    "ece": "ECE",
    "brier": "Brier",
    USD: "dollars for 1,000 pairs",
}


def leaderboard_html(
    entries: Sequence[Entry],
    records: BoardRecords | None = None,
    *,
    items: Sequence[Row] = (),
    costs: Sequence[CostPoint] = (),
    title: str = "Judges compared",
) -> str:
    """The page, a part for each benchmark.

    `records` holds stored rows by an entry's benchmark and label (see `with_labels`), for
    agreement, paired tests and the browser; `items` are the pairs with their texts, without
    which the browser shows verdicts and replies alone. `costs` are published ones, shown as such.
    """
    labelled = with_labels(entries)
    known = records or {}
    names = dict.fromkeys(entry.benchmark for entry in labelled)
    benchmarks = []
    for name in names:
        own = [entry for entry in labelled if entry.benchmark == name]
        rows = {e.label: known[name, e.label] for e in _with_rows(own, known)}
        benchmarks.append(_benchmark(name, own, rows))
    browser, n_items = _browser(labelled, known, items)
    return render_page(
        "leaderboard.html.j2",
        title=title,
        benchmarks=benchmarks,
        published=cost_chart(costs, "Published cost", "cost, the 12B classifier being 1"),
        browser=browser,
        n_items=n_items,
        has_codes=bool(items),
    )


def _benchmark(name: str, entries: Sequence[Entry], records: Records) -> Row:
    """Everything about one benchmark, as the template names it."""
    ordered = sorted(entries, key=lambda entry: -(headline_share(entry).accuracy or 0.0))
    shown = [entry for entry in ordered if not entry.is_attacked]
    ours = [entry for entry in shown if entry.kind == "result"]
    several = records if len(records) > 1 else {}
    return {
        "name": name,
        "anchor": "b-" + re.sub(r"[^a-z0-9]+", "-", name.lower()),
        "licences": "; ".join(sorted({entry.license for entry in ours if entry.license})),
        "table": _table(shown),
        "forest": _forest(shown),
        "radars": radars(ours),
        "subgroups": _subgroups(ours),
        "costs": _costs(ours),
        "reliabilities": [one for entry in ours if (one := reliability(entry))],
        "heat_map": _heat_map(ordered),
        "agreement": _agreement(several),
        "tests": _tests(several),
        "defects": Board(
            ["task", "what is wrong", "pairs"],
            [Line(task, [Cell(why), Cell(str(n))]) for task, why, n in defects_of(records)],
        ),
    }


def _forest(entries: Sequence[Entry]) -> Row | None:
    """Each judge's accuracy with its interval where one is known, over one axis."""
    found = [(entry, entry.shares.get(OVERALL) or headline_share(entry)) for entry in entries]
    found = [(entry, share) for entry, share in found if share.accuracy is not None]
    # By what is drawn, which is not what the table is ranked by.
    found.sort(key=lambda one: -(one[1].accuracy or 0.0))
    if not found:
        return None
    rows = [
        {
            "kind": entry.kind,
            "mark": MARKS[entry.kind],
            "name": shorten(entry.label),
            "share": share,
            "text": " ".join([percent(share.accuracy), _interval(share, "[{}, {}]")]).strip(),
        }
        for entry, share in found
    ]
    return {"rows": rows, "axis": share_axis([v for _, share in found for v in share], "accuracy")}


def _table(entries: Sequence[Entry]) -> Board:
    groups = groups_of(entries)
    measured = [
        name for name in _HEADS if any(entry.measures.get(name) is not None for entry in entries)
    ]
    counts = [name for name in _COUNTS[:3] if name in measured]
    rest = [name for name in measured if name not in counts]
    # How many pairs stand before what they gave: a wide table is read from the left.
    head = ["judge", "protocol", *(_HEADS[name] for name in counts), *groups]
    head += ["gain over trivial", *(_HEADS[name] for name in rest)]
    rows = []
    for entry in entries:
        against = f"against {entry.gain['against']}" if "against" in entry.gain else ""
        cells = [
            Cell(entry.protocol),
            *(_measure(name, entry.measures.get(name)) for name in counts),
            *(_share(entry.shares.get(group, Share(None))) for group in groups),
            _number(entry.gain.get("mean"), against),
            *(_measure(name, entry.measures.get(name)) for name in rest),
        ]
        rows.append(Line(entry.name, cells, entry.kind, entry.source))
    return Board([name.replace("_", " ") for name in head], rows)


def _subgroups(entries: Sequence[Entry]) -> Board:
    """Judge by group, a part of the head for each field that makes groups."""
    groups: dict[str, dict[str, None]] = {}
    for entry in entries:
        for name, shares in entry.subgroups.items():
            groups.setdefault(name, {}).update(dict.fromkeys(shares))
    columns = [(name, value) for name, values in groups.items() for value in values]
    head = ["judge", *(f"{name.replace('_', ' ')}\n{value}" for name, value in columns)]
    rows = []
    for entry in entries if columns else ():
        found = [entry.subgroups.get(name, {}).get(value, Share(None)) for name, value in columns]
        rows.append(Line(entry.label, [_share(share) for share in found]))
    return Board(head, rows)


def _share(share: Share) -> Cell:
    return _number(share.accuracy, _interval(share))


def _interval(share: Share, form: str = "{} to {}") -> str:
    """The ends of an interval in percent; "" where none is known."""
    if share.low is None or share.high is None:
        return ""
    return form.format(percent(share.low), percent(share.high))


def _number(value: float | None, below: str = "") -> Cell:
    return Cell(percent(value), value, below)


def _measure(name: str, value: float | None) -> Cell:
    if value is not None and name == USD:
        return Cell(f"{value:.3g}", value)
    if name in _COUNTS:
        return Cell("-" if value is None else str(value))
    return _number(value)


def _costs(entries: Sequence[Entry]) -> list[object]:
    times, prices = [], []
    for entry in entries:
        accuracy = headline_share(entry).accuracy
        n, usd = entry.usage.get("n_timed"), entry.measures.get(USD)
        if accuracy is None:
            continue
        if n and entry.usage.get("cpu_s"):
            seconds = entry.usage["cpu_s"] / n
            times.append(CostPoint(entry.label, entry.kind, seconds, accuracy))
        if usd:
            prices.append(CostPoint(entry.label, entry.kind, usd, accuracy))
    charts = (
        cost_chart(times, "Time against accuracy", "CPU seconds a pair"),
        cost_chart(prices, "Cost against accuracy", "dollars for 1,000 pairs"),
    )
    return [chart for chart in charts if chart]


def _heat_map(entries: Sequence[Entry]) -> Board:
    attacked = [entry for entry in entries if entry.robustness]
    found = {(e.name, e.robustness["attack"], e.robustness["side"]): e.robustness for e in attacked}
    kinds = list(dict.fromkeys((attack, side) for _, attack, side in found))
    kinds.sort(key=lambda kind: kind[1], reverse=True)
    return Board(
        ["judge", *(f"{attack}\non the {side}" for attack, side in kinds)],
        [
            Line(name, [_heat_cell(found.get((name, *kind))) for kind in kinds])
            for name in dict.fromkeys(entry.name for entry in attacked)
        ],
    )


def _heat_cell(one: Row | None) -> Cell:
    if one is None:
        return Cell("-")
    drop, low, high = (one["drop"][name] or 0.0 for name in ("mean", "low", "high"))
    tone = "--gone-mark" if drop > 0 else "--came-mark"
    share = min(100, round(300 * abs(drop)))
    below = (
        f"{percent(-high)} to {percent(-low)}; n = {one['n']}, "
        f"{percent(one['accuracy_before'])} before, {percent(one['flip_rate'])} flipped"
    )
    return Cell(
        f"{percent(one['accuracy_after'])} ({-100 * drop:+.1f})",
        below=below,
        style=f"background: color-mix(in srgb, var({tone}) {share}%, transparent)",
    )


def _agreement(records: Records) -> Board:
    table = agreement(records)

    def cell(first: str, second: str) -> Cell:
        one = table.get((first, second)) or table.get((second, first))
        return Cell("-") if one is None else Cell(percent(one[0]), below=f"n = {one[1]}")

    rows = [Line(first, [cell(first, second) for second in records]) for first in records]
    return Board(["", *records], rows)


def _tests(records: Records) -> Board:
    head = ["judge", "against", "gain", "95 % interval", "n", "McNemar p", "Holm", "permutation p"]
    rows = []
    for test in paired_tests(records):
        if not test["n"]:
            nothing = [test["against"], "-", "no pair in common", "0", *["-"] * 4]
            rows.append(Line(test["system"], [Cell(text) for text in nothing]))
            continue
        gain = test["gain"]
        texts = [
            test["against"],
            f"{100 * gain['mean']:+.1f}",
            f"{percent(gain['low'])} to {percent(gain['high'])}",
            str(test["n"]),
            *(f"{test[f'p_{name}']:.2g}" for name in ("mcnemar", "mcnemar_holm")),
            *(f"{test[f'p_{name}']:.2g}" for name in ("permutation", "permutation_holm")),
        ]
        rows.append(Line(test["system"], [Cell(text) for text in texts]))
    return Board([*head, "Holm"], rows)


def _with_rows(entries: Sequence[Entry], records: BoardRecords) -> list[Entry]:
    return [e for e in entries if (e.benchmark, e.label) in records and not e.is_attacked]


def _browser(
    entries: Sequence[Entry], records: BoardRecords, items: Sequence[Row]
) -> tuple[Markup | None, int]:
    """The browser's data and how many pairs it holds; None where there are no stored rows."""
    rows: dict[str, list[Row]] = {}
    for entry in _with_rows(entries, records):
        rows.setdefault(entry.label, []).extend(records[entry.benchmark, entry.label])
    shown = board_items(rows, items)
    if not shown:
        return None, 0
    first, second = [*rows, None][:2]
    return browser_data(shown, systems=list(rows), trained=first, against=second), len(shown)
