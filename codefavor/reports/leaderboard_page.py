"""The leaderboard as one HTML file that needs no network, light and dark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from markupsafe import Markup

from codefavor.evaluation.result_text import percent
from codefavor.records import Row
from codefavor.reports.leaderboard import (
    USD,
    Cell,
    Entry,
    agreement,
    groups_of,
    paired_tests,
    with_labels,
)
from codefavor.reports.leaderboard_charts import (
    CostPoint,
    cost_plot,
    forest,
    headline_cell,
    radars,
    reliability,
)
from codefavor.reports.leaderboard_items import board_items, defects_of
from codefavor.reports.page import render_page
from codefavor.reports.pair_view import browser_data

Records = Mapping[str, Sequence[Row]]
# By benchmark and label: a judge has the same name on several benchmarks.
BoardRecords = Mapping[tuple[str, str], Sequence[Row]]

_SHARES = ("length_controlled", "style_controlled", "without_defects")
_RATES = ("consistency", "position_bias")
_COUNTS = ("n", "n_error", "n_undecided")
_SCORES = ("ece", "brier")
_HEADS = {
    "length_controlled": "length-controlled",
    "style_controlled": "style-controlled",
    "without_defects": "without defects",
    "position_bias": "A-bias",
    "n_error": "errors",
    "n_undecided": "undecided",
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
    seed: int = 0,
) -> str:
    """The page, a part for each benchmark.

    `records` holds stored rows by an entry's benchmark and label (see `with_labels`), for
    agreement, paired tests and the browser; `items` are the pairs with their texts, without
    which the browser shows verdicts and replies alone. `costs` are published ones, shown as such.
    """
    labelled = with_labels(entries)
    known = records or {}
    names = dict.fromkeys(entry.benchmark for entry in labelled)
    parts = []
    for name in names:
        own = [entry for entry in labelled if entry.benchmark == name]
        rows = {e.label: known[name, e.label] for e in _with_rows(own, known)}
        parts.append(_benchmark(name, own, rows, seed))
    parts.append(_section("Published cost", cost_plot(costs, "Published cost", _RELATIVE), _PAPER))
    browser, n_items = _browser(labelled, known, items)
    return render_page(
        "leaderboard.html.j2",
        title=title,
        benchmarks=[(name, _anchor(name)) for name in names],
        body=Markup("\n".join(part for part in parts if part)),
        browser=browser,
        n_items=n_items,
        has_codes=bool(items),
    )


_RELATIVE = "cost, the 12B classifier being 1"
_PAPER = "As published, by their own reckoning of inference alone; no result of this project."


def _benchmark(name: str, entries: Sequence[Entry], records: Records, seed: int) -> str:
    """Everything about one benchmark."""
    ordered = sorted(entries, key=lambda entry: -(headline_cell(entry).accuracy or 0.0))
    shown = [entry for entry in ordered if not entry.is_attacked]
    ours = [entry for entry in shown if entry.kind == "result"]
    licences = "; ".join(sorted({entry.license for entry in ours if entry.license}))
    note = f"Licence of the pairs: {escape(licences)}." if licences else "Published numbers only."
    parts = [
        f'<section id="{_anchor(name)}"><h2>{escape(name)}</h2><p>{note}</p></section>',
        _section("Table", _table(shown), _TABLE_NOTE),
        _section("Accuracy with intervals", forest(shown), _FOREST_NOTE),
        _section("Groups", radars(ours), "The rings are 50 % (inner) and 100 %."),
        _section("Subgroups", _subgroups(ours), "Accuracy in percent; hover for the interval."),
        _section("Time and cost", _costs(ours), _COST_NOTE),
        _section("Calibration", _reliabilities(ours), _RELIABILITY_NOTE),
        _section("Robustness", _heat_map(ordered), _HEAT_NOTE),
    ]
    if len(records) > 1:
        parts.append(_section("Agreement", _agreement(records), _AGREEMENT_NOTE))
        parts.append(_section("Paired tests", _tests(records, seed), _TESTS_NOTE))
    parts.append(_section("Pairs of known defects", _defects(records), _DEFECT_NOTE))
    return "\n".join(part for part in parts if part)


_TABLE_NOTE = (
    "Accuracy in percent over both orders, unless the protocol says otherwise. Click a column to "
    "sort by it. Lines in italics were published by others under their own protocol; they are no "
    "results of this project."
)
_FOREST_NOTE = (
    "95 % intervals resample whole problems; ours are over all pairs, published ones (without "
    "interval) the mean of three aspects. The broken line marks 50 %: chance."
)
_COST_NOTE = (
    "CPU seconds of this process a pair, on the machine of the run, where the run measured them; "
    "dollars for 1,000 pairs in the orders asked, by the tokens of the replies, where the backend "
    "has a price."
)
_RELIABILITY_NOTE = (
    "Stated probability of A (across) against how often A was the better program (up); the "
    "diagonal is perfect. Larger marks hold more verdicts."
)
_HEAT_NOTE = (
    "Accuracy after an attack that keeps the meaning of a program, change in parentheses; "
    "hover for n and the share of flipped pairs."
)
_AGREEMENT_NOTE = "Share of common pairs scored alike; hover for their number."
_TESTS_NOTE = (
    "Gain in points of accuracy on the pairs both judged, its interval resampling whole problems; "
    "Holm's correction is over all tests of this table."
)
_DEFECT_NOTE = "Their labels are not supported by their own tests; see the column in the table."


def _anchor(name: str) -> str:
    return "b-" + re.sub(r"[^a-z0-9]+", "-", name.lower())


def _section(title: str, content: str, note: str) -> str:
    if not content:
        return ""
    key = f'<p class="key">{escape(note)}</p>' if note else ""
    return f'<section class="part"><h3>{escape(title)}</h3>{content}{key}</section>'


def _table(entries: Sequence[Entry]) -> str:
    groups = groups_of(entries)
    measured = [
        name
        for name in (*_SHARES, *_RATES, *_COUNTS, *_SCORES, USD)
        if any(entry.measures.get(name) is not None for entry in entries)
    ]
    names = ["judge", "protocol", *groups, "gain over trivial"]
    names += [_HEADS.get(name, name) for name in measured]
    head = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{escape(n.replace("_", " "))}'
        "</button></th>"
        for n in names
    )
    rows = []
    for entry in entries:
        cells = [f'<th scope="row">{escape(entry.name)}</th><td>{escape(entry.protocol)}</td>']
        cells += [_cell(entry.cells.get(group, Cell(None))) for group in groups]
        cells.append(_number(entry.gain.get("mean"), str(entry.gain.get("against", ""))))
        for name in measured:
            cells.append(_measure(name, entry.measures.get(name)))
        hint = f' title="{escape(entry.source, quote=True)}"' if entry.source else ""
        rows.append(f'<tr class="{entry.kind}"{hint}>{"".join(cells)}</tr>')
    return _board(f"<tr>{head}</tr>", "".join(rows), "sortable")


def _subgroups(entries: Sequence[Entry]) -> str:
    """Judge by group, a part of the head for each field that makes groups."""
    groups: dict[str, dict[str, None]] = {}
    for entry in entries:
        for name, cells_of in entry.subgroups.items():
            groups.setdefault(name, {}).update(dict.fromkeys(cells_of))
    columns = [(name, value) for name, values in groups.items() for value in values]
    if not columns:
        return ""
    head = "".join(
        f"<th>{escape(name.replace('_', ' '))}<br>{escape(value)}</th>" for name, value in columns
    )
    rows = []
    for entry in entries:
        cells = [
            _cell(entry.subgroups.get(name, {}).get(value, Cell(None))) for name, value in columns
        ]
        rows.append(f'<tr><th scope="row">{escape(entry.label)}</th>{"".join(cells)}</tr>')
    return _board(f"<tr><th>judge</th>{head}</tr>", "".join(rows))


def _board(head: str, rows: str, kind: str = "") -> str:
    table = f'<table class="board {kind}"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return f'<div class="wide" tabindex="0" role="region" aria-label="Table">{table}</div>'


def _cell(cell: Cell) -> str:
    if cell.low is None or cell.high is None:
        return _number(cell.accuracy)
    interval = f"95 % interval {percent(cell.low)} to {percent(cell.high)}"
    return f'<td data-value="{cell.accuracy}" title="{interval}">{percent(cell.accuracy)}</td>'


def _measure(name: str, value: float | None) -> str:
    if value is not None and name == USD:
        return f'<td data-value="{value}">{value:.3g}</td>'
    if name in _COUNTS:
        return f"<td>{'-' if value is None else value}</td>"
    return _number(value)


def _number(value: float | None, against: str = "") -> str:
    sort = "" if value is None else f' data-value="{value}"'
    title = f' title="against {escape(against, quote=True)}"' if against else ""
    return f"<td{sort}{title}>{percent(value)}</td>"


def _costs(entries: Sequence[Entry]) -> str:
    times, prices = [], []
    for entry in entries:
        accuracy = headline_cell(entry).accuracy
        n, usd = entry.usage.get("n_timed"), entry.measures.get(USD)
        if accuracy is None:
            continue
        if n and entry.usage.get("cpu_s"):
            seconds = entry.usage["cpu_s"] / n
            times.append(CostPoint(entry.label, entry.kind, seconds, accuracy))
        if usd:
            prices.append(CostPoint(entry.label, entry.kind, usd, accuracy))
    by_time = cost_plot(times, "Time against accuracy", "CPU seconds a pair")
    return by_time + cost_plot(prices, "Cost against accuracy", "dollars for 1,000 pairs")


def _reliabilities(entries: Sequence[Entry]) -> str:
    plots = [
        reliability(entry.label, {"bins": entry.bins, **entry.measures})
        for entry in entries
        if entry.measures.get("ece") is not None
    ]
    return f'<div class="radars">{"".join(plots)}</div>' if any(plots) else ""


def _heat_map(entries: Sequence[Entry]) -> str:
    attacked = [entry for entry in entries if entry.robustness]
    if not attacked:
        return ""
    kinds = list(dict.fromkeys((e.robustness["attack"], e.robustness["side"]) for e in attacked))
    kinds.sort(key=lambda kind: kind[1], reverse=True)
    found = {(e.name, e.robustness["attack"], e.robustness["side"]): e.robustness for e in attacked}
    head = "".join(f"<th>{escape(attack)}<br>on the {side}</th>" for attack, side in kinds)
    rows = []
    for name in dict.fromkeys(entry.name for entry in attacked):
        cells = [_heat_cell(found.get((name, attack, side))) for attack, side in kinds]
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    return _board(f"<tr><th>judge</th>{head}</tr>", "".join(rows))


def _heat_cell(one: Row | None) -> str:
    if one is None:
        return "<td>-</td>"
    drop = one["drop"]["mean"] or 0.0
    tone = "--gone-mark" if drop > 0 else "--came-mark"
    share = min(100, round(300 * abs(drop)))
    colour = f"background: color-mix(in srgb, var({tone}) {share}%, transparent)"
    interval = (
        f"{percent(-_or_zero(one['drop']['high']))} to {percent(-_or_zero(one['drop']['low']))}"
    )
    hint = (
        f"n = {one['n']}, {percent(one['accuracy_before'])} before, change {interval} "
        f"(95 % interval), {percent(one['flip_rate'])} flipped"
    )
    text = f"{percent(one['accuracy_after'])} ({-100 * drop:+.1f})"
    return f'<td class="heat" style="{colour}" title="{hint}">{text}</td>'


def _or_zero(value: float | None) -> float:
    return 0.0 if value is None else value


def _agreement(records: Records) -> str:
    table, names = agreement(records), list(records)
    rows = []
    for first in names:
        cells = []
        for second in names:
            one = table.get((first, second)) or table.get((second, first))
            cells.append(
                "<td>-</td>" if one is None else f'<td title="n = {one[1]}">{percent(one[0])}</td>'
            )
        rows.append(f'<tr><th scope="row">{escape(first)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th class="turned">{escape(name)}</th>' for name in names)
    return _board(f"<tr><th></th>{head}</tr>", "".join(rows))


def _tests(records: Records, seed: int) -> str:
    names = ["judge", "against", "gain", "95 % interval", "n", "McNemar p", "Holm"]
    names += ["permutation p", "Holm"]
    rows = []
    for test in paired_tests(records, seed=seed):
        gain = test["gain"]
        values = [
            escape(test["against"]),
            f"{100 * gain['mean']:+.1f}",
            f"{percent(gain['low'])} to {percent(gain['high'])}",
            str(test["n"]),
            *(f"{test[key]:.2g}" for key in ("p_mcnemar", "p_mcnemar_holm")),
            *(f"{test[key]:.2g}" for key in ("p_permutation", "p_permutation_holm")),
        ]
        first = f'<th scope="row">{escape(test["system"])}</th>'
        rows.append(f"<tr>{first}" + "".join(f"<td>{value}</td>" for value in values) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in names)
    return _board(f"<tr>{head}</tr>", "".join(rows)) if rows else ""


def _defects(records: Records) -> str:
    found = defects_of(records)
    rows = "".join(
        f'<tr><th scope="row">{escape(task)}</th><td>{escape(why)}</td><td>{n}</td></tr>'
        for task, why, n in found
    )
    head = "<tr><th>task</th><th>what is wrong</th><th>pairs</th></tr>"
    return _board(head, rows) if rows else ""


def _with_rows(entries: Sequence[Entry], records: BoardRecords) -> list[Entry]:
    return [e for e in entries if (e.benchmark, e.label) in records and not e.is_attacked]


def _browser(
    entries: Sequence[Entry], records: BoardRecords, items: Sequence[Row]
) -> tuple[Markup | None, int]:
    """The browser's data and how many pairs it holds; None where there are no stored rows."""
    rows: dict[str, list[Row]] = {}
    for entry in _with_rows(entries, records):
        rows.setdefault(entry.label, []).extend(records[entry.benchmark, entry.label])
    plain = list(rows)
    shown = board_items(rows, items)
    if not shown:
        return None, 0
    first, second = plain[0], plain[1] if len(plain) > 1 else None
    return browser_data(shown, systems=plain, trained=first, against=second), len(shown)
