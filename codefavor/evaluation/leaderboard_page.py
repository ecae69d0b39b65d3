"""The leaderboard as one HTML file that needs no network, light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from codefavor.evaluation.leaderboard import (
    OVERALL,
    Cell,
    Entry,
    agreement,
    groups_of,
    paired_tests,
    percent,
)
from codefavor.records import Row


def leaderboard_html(
    entries: Sequence[Entry],
    records: Mapping[str, Sequence[Row]] | None = None,
    *,
    title: str = "Judges compared",
    seed: int = 0,
) -> str:
    """The page. `records` holds stored rows by judge name, for agreement and paired tests."""
    ordered = sorted(entries, key=lambda entry: -_sort_value(entry))
    parts = [
        f"<h1>{escape(title)}</h1>",
        "<p>Accuracy in percent. Lines in italics are numbers that others published under their "
        "own protocol; they are not results of this project.</p>",
        _section("Table", _table(ordered), "Click a column to sort by it."),
        _section(
            "Accuracy with intervals",
            _forest(ordered),
            "95 % intervals resample whole problems; ours are over all pairs, published ones the "
            "mean of three aspects. The thick line marks 50 %: chance.",
        ),
        _section("Groups", _radar([e for e in ordered if e.kind == "result"]), ""),
        _section("Cost against accuracy", _costs(ordered), "Only judges whose price is known."),
        _section(
            "Robustness",
            _heat_map(ordered),
            "Accuracy after an attack that keeps the meaning of a program; drop in parentheses.",
        ),
    ]
    if records and len(records) > 1:
        parts.append(
            _section("Agreement", _agreement(records), "Share of common pairs scored alike.")
        )
        parts.append(_section("Paired tests", _tests(records, seed), "Holm over all tests."))
    return _page(title, "\n".join(part for part in parts if part))


def _page(title: str, body: str) -> str:
    css = _asset("report.css") + _asset("leaderboard.css")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style></head>"
        f"<body><main>{body}</main><script>{_asset('leaderboard.js')}</script></body></html>\n"
    )


def _asset(name: str) -> str:
    return (files("codefavor.evaluation") / "templates" / name).read_text(encoding="utf-8")


def _section(title: str, content: str, note: str) -> str:
    if not content:
        return ""
    key = f'<p class="key">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{content}{key}</section>"


def _sort_value(entry: Entry) -> float:
    for name in ("average", OVERALL):
        if name in entry.cells and entry.cells[name].accuracy is not None:
            return entry.cells[name].accuracy or 0.0
    return 0.0


def _table(entries: Sequence[Entry]) -> str:
    groups = groups_of(entries)
    shares = ("length_controlled", "style_controlled", "consistency", "position_bias")
    counts = ("n", "n_error", "n_undecided")
    names = ["judge", "benchmark", "protocol", *groups, "gain over trivial", *shares, *counts]
    names += ["ece", "brier"]
    head = "".join(f'<th data-sort scope="col">{escape(n.replace("_", " "))}</th>' for n in names)
    rows = []
    for entry in entries:
        cells = [f"<td>{escape(one)}</td>" for one in (entry.name, entry.benchmark, entry.protocol)]
        cells += [_number(entry.cells.get(group, Cell(None)).accuracy) for group in groups]
        cells.append(_number(entry.gain.get("mean"), str(entry.gain.get("against", ""))))
        cells += [_number(entry.measures.get(name)) for name in shares]
        for name in counts:
            value = entry.measures.get(name)
            cells.append(f"<td>{'-' if value is None else value}</td>")
        cells += [_number(entry.measures.get(name)) for name in ("ece", "brier")]
        hint = f' title="{escape(entry.source, quote=True)}"' if entry.source else ""
        rows.append(f'<tr class="{entry.kind}"{hint}>{"".join(cells)}</tr>')
    return _board(f"<tr>{head}</tr>", "".join(rows))


def _board(head: str, rows: str) -> str:
    table = f'<table class="board"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _number(value: float | None, hint: str = "") -> str:
    sort = "" if value is None else f' data-value="{value}"'
    title = f' title="against {escape(hint, quote=True)}"' if hint else ""
    return f"<td{sort}{title}>{percent(value)}</td>"


def _forest(entries: Sequence[Entry]) -> str:
    known = [(e, e.cells[OVERALL]) for e in entries if OVERALL in e.cells]
    known += [
        (e, e.cells["average"]) for e in entries if OVERALL not in e.cells and "average" in e.cells
    ]
    shown = [(entry, cell) for entry, cell in known if cell.accuracy is not None]
    if not shown:
        return ""

    def x(value: float) -> float:
        return 330 + 420 * value

    lines = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        width = 2 if tick == 0.5 else 1
        bottom = 24 + 24 * len(shown)
        lines.append(
            f'<line class="grid" stroke-width="{width}" '
            f'x1="{x(tick)}" x2="{x(tick)}" y1="20" y2="{bottom}"/>'
        )
        lines.append(
            f'<text class="soft" x="{x(tick)}" y="14" text-anchor="middle">{tick:.0%}</text>'
        )
    for number, (entry, cell) in enumerate(shown):
        y = 36 + 24 * number
        mark, line = ("ref", "refline") if entry.kind == "reference" else ("mark", "line")
        label = entry.name if len(entry.name) <= 46 else entry.name[:45] + "…"
        lines.append(f'<text x="0" y="{y + 4}">{escape(label)}</text>')
        if cell.low is not None and cell.high is not None:
            lines.append(
                f'<line class="{line}" y1="{y}" y2="{y}" '
                f'x1="{x(cell.low):.1f}" x2="{x(cell.high):.1f}"/>'
            )
        lines.append(f'<circle class="{mark}" r="4" cx="{x(cell.accuracy or 0):.1f}" cy="{y}"/>')
        lines.append(f'<text class="soft" x="770" y="{y + 4}">{percent(cell.accuracy)}</text>')
    return _svg(820, 40 + 24 * len(shown), "Accuracy of each judge", lines)


def _radar(entries: Sequence[Entry]) -> str:
    skip = {OVERALL, "average", "average_of_four"}
    axes = [name for name in groups_of(entries) if name not in skip]
    if len(axes) < 3:
        return ""

    def point(axis: int, value: float) -> str:
        angle = 2 * math.pi * axis / len(axes) - math.pi / 2
        return (
            f"{150 + 110 * value * math.cos(angle):.1f},{150 + 110 * value * math.sin(angle):.1f}"
        )

    plots = []
    for entry in entries[:8]:
        values = [entry.cells.get(name, Cell(None)).accuracy or 0.0 for name in axes]
        rings = [
            f'<polygon fill="none" class="grid" points="{ring}"/>'
            for ring in (" ".join(point(i, r) for i in range(len(axes))) for r in (0.5, 1.0))
        ]
        outline = " ".join(point(i, value) for i, value in enumerate(values))
        labels = []
        for index, name in enumerate(axes):
            left, top = point(index, 1.18).split(",")
            text = f"{escape(name)} {percent(values[index])}"
            labels.append(
                f'<text class="soft" x="{left}" y="{top}" text-anchor="middle">{text}</text>'
            )
        caption = f'<text x="150" y="312" text-anchor="middle">{escape(entry.name[:44])}</text>'
        shape = f'<polygon class="line" points="{outline}"/>'
        plots.append(
            _svg(
                300, 320, f"Accuracy by group: {entry.name}", [*rings, shape, *labels, caption], 300
            )
        )
    return "".join(plots)


def _costs(entries: Sequence[Entry]) -> str:
    shown = [(e, e.usd, e.cells[OVERALL].accuracy) for e in entries if e.usd and OVERALL in e.cells]
    if not shown:
        return ""
    top = max(usd for _, usd, _ in shown)
    marks = [f'<line class="grid" x1="40" x2="760" y1="{y}" y2="{y}"/>' for y in (30, 130, 230)]
    for entry, usd, accuracy in shown:
        x, y = 40 + 600 * usd / top, 230 - 200 * (accuracy or 0)
        marks.append(f'<circle class="mark" r="5" cx="{x:.1f}" cy="{y:.1f}"/>')
        marks.append(
            f'<text x="{x + 9:.1f}" y="{y + 4:.1f}">{escape(entry.name)} (${usd:.2f})</text>'
        )
    return _svg(820, 250, "Cost against accuracy", marks)


def _heat_map(entries: Sequence[Entry]) -> str:
    attacked = [entry for entry in entries if entry.robustness]
    if not attacked:
        return ""
    kinds = list(dict.fromkeys((e.robustness["attack"], e.robustness["side"]) for e in attacked))
    found = {(e.name, e.robustness["attack"], e.robustness["side"]): e.robustness for e in attacked}
    head = "".join(f"<th>{escape(attack)}<br>on the {side}</th>" for attack, side in kinds)
    rows = []
    for name in dict.fromkeys(entry.name for entry in attacked):
        cells = []
        for attack, side in kinds:
            one = found.get((name, attack, side))
            if one is None:
                cells.append("<td>-</td>")
                continue
            drop = one["drop"]["mean"] or 0.0
            share = min(100, max(0, round(300 * drop)))
            colour = f"background: color-mix(in srgb, var(--gone-mark) {share}%, transparent)"
            text = f"{percent(one['accuracy_after'])} ({percent(-drop)})"
            cells.append(f'<td class="heat" style="{colour}">{text}</td>')
        rows.append(f"<tr><td>{escape(name)}</td>{''.join(cells)}</tr>")
    return _board(f"<tr><th>judge</th>{head}</tr>", "".join(rows))


def _agreement(records: Mapping[str, Sequence[Row]]) -> str:
    table, names = agreement(records), list(records)
    rows = []
    for first in names:
        cells = []
        for second in names:
            one = table.get((first, second)) or table.get((second, first))
            cells.append(
                "<td>-</td>" if one is None else f'<td title="n = {one[1]}">{percent(one[0])}</td>'
            )
        rows.append(f"<tr><td>{escape(first)}</td>{''.join(cells)}</tr>")
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return _board(f"<tr><th></th>{head}</tr>", "".join(rows))


def _tests(records: Mapping[str, Sequence[Row]], seed: int) -> str:
    names = (
        "judge",
        "against",
        "gain",
        "95 % interval",
        "n",
        "McNemar p",
        "Holm",
        "permutation p",
        "Holm",
    )
    rows = []
    for test in paired_tests(records, seed=seed):
        gain = test["gain"]
        values = [
            escape(test["system"]),
            escape(test["against"]),
            percent(gain["mean"]),
            f"{percent(gain['low'])} to {percent(gain['high'])}",
            str(test["n"]),
            *(f"{test[key]:.2g}" for key in ("p_mcnemar", "p_mcnemar_holm")),
            *(f"{test[key]:.2g}" for key in ("p_permutation", "p_permutation_holm")),
        ]
        rows.append("<tr>" + "".join(f"<td>{value}</td>" for value in values) + "</tr>")
    head = "".join(f"<th>{name}</th>" for name in names)
    return _board(f"<tr>{head}</tr>", "".join(rows))


def _svg(
    width: int, height: int, label: str, parts: Sequence[str], shown: int | None = None
) -> str:
    size = f'width="{shown}"' if shown else 'width="100%"'
    return (
        f'<svg role="img" aria-label="{escape(label, quote=True)}" {size} '
        f'viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'
    )
