"""Many results as one table: entries, paired tests, agreement, and plain-text forms. Pure."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.errors import DataError
from codefavor.evaluation.result_text import percent
from codefavor.records import Row
from codefavor.statistics.intervals import holm
from codefavor.statistics.metrics import compare_systems, judged_pairs
from codefavor.text import escape_markdown

OVERALL = "all"
# Columns of a table of published numbers that are no accuracies.
_NO_GROUPS = frozenset({"model", "source", "normalised_cost"})
_MEASURES = (
    "n", "n_error", "n_undecided", "n_second_questions", "consistency", "position_bias", "ece",
    "brier",
)  # fmt: skip
# Dollars for 1,000 pairs in the orders asked, by the tokens of all replies.
USD = "usd_per_1000_pairs"


class Share(NamedTuple):
    """An accuracy as a fraction with its interval; the ends are None where none is known."""

    accuracy: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Entry:
    """One line of a leaderboard.

    `kind` is "result" (ours, from a result file) or "reference" (published by others, marked as
    such; `source` says where). `shares` holds the accuracies by group; `measures` the other
    numbers, as in `Metrics`. `label` tells lines of one name apart (see `with_labels`).
    """

    name: str
    benchmark: str
    kind: str
    protocol: str
    shares: dict[str, Share]
    measures: Row = field(default_factory=dict)
    gain: Row = field(default_factory=dict)
    robustness: Row = field(default_factory=dict)
    usage: Row = field(default_factory=dict)
    bins: list[Row] = field(default_factory=list)
    source: str = ""
    label: str = ""
    license: str = ""
    subgroups: dict[str, dict[str, Share]] = field(default_factory=dict)

    @property
    def is_attacked(self) -> bool:
        """Whether the pairs were changed by an attack: shown in the heat map, not in the table."""
        return bool(self.measures.get("attack"))


def entry_of(result: Row) -> Entry:
    """The line of one result file."""
    metrics = result["metrics"]
    shares = {OVERALL: _share_of(metrics["overall"])}
    shares |= {name: _share_of(one) for name, one in metrics["by_level"].items()}
    for name, value in result.get("averages", {}).items():
        shares[name] = Share(value)
    measures = {name: metrics["overall"].get(name) for name in _MEASURES}
    measures["n_error"] = metrics["overall"]["n_error"] + metrics["overall"]["n_missing"]
    measures[USD] = _usd_per_1000(result.get("usage", {}), measures["n"])
    measures["attack"] = result["settings"].get("attack", "")
    for name in ("length_controlled", "style_controlled"):
        measures[name] = result.get(name, {}).get("accuracy")
    rest = result.get("without_defects", {}).get("overall", {})
    measures["without_defects"], measures["n_without_defects"] = rest.get("accuracy"), rest.get("n")
    gain = dict(result.get("best_trivial", {}).get("gain", {}))
    if gain:
        gain["against"] = result["best_trivial"]["name"]
    return Entry(
        name=result["judge"]["name"],
        benchmark=result["benchmark"],
        kind="result",
        protocol=protocol_text(result["settings"]),
        shares=shares,
        measures=measures,
        gain=gain,
        robustness=dict(result.get("robustness", {})),
        usage=dict(result.get("usage", {})),
        bins=metrics["overall"].get("bins", []),
        license=result.get("license", ""),
        subgroups={
            name: {value: _share_of(one) for value, one in groups.items()}
            for name, groups in result.get("subgroups", {}).items()
        },
    )


def _usd_per_1000(usage: Row, n: int) -> float | None:
    """None where the price is unknown, and for judges that no server is paid for."""
    usd, n_priced = usage.get("usd"), usage.get("n_priced", n)
    return 1000 * usd / n_priced if usd and n_priced else None


def protocol_text(settings: Row) -> str:
    """How the pairs were asked, in a few words."""
    orders = settings.get("orders", "both")
    parts = [str(settings["protocol"])]
    if (settings["protocol"] == "paper") == (orders == "both"):
        parts.append(f"{orders} order{'s' if orders == 'both' else ''}")
    if settings.get("comments") == "keep":
        parts.append("comments kept")
    if "sample" in settings:
        parts.append(f"{settings['sample']} pairs by hash, seed {settings['seed']}")
    if "limit" in settings:
        parts.append(f"the first {settings['limit']} pairs")
    if "attack" in settings:
        parts.append(f"{settings['attack']} on {settings['attack_side']}")
    return ", ".join(parts)


def with_labels(entries: Sequence[Entry]) -> list[Entry]:
    """The entries with a label each that no other of the same benchmark has."""
    names = Counter((entry.benchmark, entry.name) for entry in entries)
    plain = Counter((entry.benchmark, entry.name) for entry in entries if not entry.is_attacked)
    taken: Counter[tuple[str, str]] = Counter()
    labelled = []
    for entry in entries:
        key = entry.benchmark, entry.name
        is_alone = (names if entry.is_attacked else plain)[key] == 1
        label = entry.name if is_alone else f"{entry.name} ({entry.protocol})"
        taken[entry.benchmark, label] += 1
        number = taken[entry.benchmark, label]
        labelled.append(replace(entry, label=label if number == 1 else f"{label} #{number}"))
    return labelled


def read_references(path: Path, benchmark: str) -> list[Entry]:
    """The lines of a table of published numbers (CSV: model, groups in percent, source).

    Columns that end in `_half_undecided` are not accuracies and are left out.
    """
    entries = []
    for number, row in _reference_rows(path):
        shares = {
            name: Share(_reference_number(path, number, name, text) / 100)
            for name, text in row.items()
            if text and name not in _NO_GROUPS and not name.endswith("_half_undecided")
        }
        entries.append(
            Entry(
                row["model"], benchmark, "reference", "as published", shares, source=row["source"]
            )
        )
    return entries


def read_costs(path: Path) -> list[tuple[str, float, float]]:
    """Model, cost and accuracy (a fraction) of a table of published costs (CSV)."""
    return [
        (
            row["model"],
            _reference_number(path, number, "normalised_cost", row.get("normalised_cost", "")),
            _reference_number(path, number, "average", row.get("average", "")) / 100,
        )
        for number, row in _reference_rows(path)
    ]


def _reference_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            rows = list(enumerate(csv.DictReader(handle), start=2))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    for number, row in rows:
        if not row.get("model") or not row.get("source"):
            raise DataError(f"{path}:{number}: a reference needs the columns 'model' and 'source'")
    return rows


def _reference_number(path: Path, number: int, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise DataError(f"{path}:{number}: {name!r} is {text!r}, not a number") from error


def groups_of(entries: Iterable[Entry]) -> list[str]:
    """All groups that occur, the overall one first, in order of appearance."""
    names = dict.fromkeys(name for entry in entries for name in entry.shares)
    return sorted(names, key=lambda name: name != OVERALL)


def agreement(records: Mapping[str, Iterable[Row]]) -> dict[tuple[str, str], tuple[float, int]]:
    """For each two judges the share of common pairs on which they score alike, and their number."""
    scores = {
        name: {pair.id: pair.score for pair in judged_pairs(rows)} for name, rows in records.items()
    }
    table: dict[tuple[str, str], tuple[float, int]] = {}
    for first, second in itertools.combinations(scores, 2):
        common = scores[first].keys() & scores[second].keys()
        same = sum(scores[first][key] == scores[second][key] for key in common)
        table[first, second] = (same / len(common) if common else 0.0, len(common))
    return table


def paired_tests(
    records: Mapping[str, Sequence[Row]], *, seed: int = 0, n_resamples: int = 10_000
) -> list[Row]:
    """Every two judges compared on their common pairs, with Holm's correction over all tests.

    Two that have no pair in common are there with `n` 0 alone, and count in no correction.
    """
    rows: list[Row] = []
    for first, second in itertools.combinations(records, 2):
        try:
            gain = compare_systems(
                records[first], records[second], seed=seed, n_resamples=n_resamples
            )
        except DataError:
            rows.append({"system": first, "against": second, "n": 0})
        else:
            rows.append({"system": first, "against": second, **gain.to_row()})
    tests = [row for row in rows if row["n"]]
    for name in ("p_mcnemar", "p_permutation"):
        adjusted = holm([test[name] for test in tests])
        for test, value in zip(tests, adjusted, strict=True):
            test[f"{name}_holm"] = value
    return rows


def to_rows(entries: Sequence[Entry]) -> tuple[list[str], list[list[Any]]]:
    """Header and lines of the table; accuracies are fractions, None where not measured."""
    groups = groups_of(entries)
    measures = ["length_controlled", "style_controlled", "without_defects", *_MEASURES, USD]
    header = ["judge", "kind", "protocol", *groups, "low", "high", *measures, "source"]
    lines = []
    for entry in entries:
        overall = entry.shares.get(OVERALL, Share(None))
        cells = [entry.shares[g].accuracy if g in entry.shares else None for g in groups]
        rest = [entry.measures.get(name) for name in measures]
        head = [entry.label or entry.name, entry.kind, entry.protocol]
        lines.append([*head, *cells, overall.low, overall.high, *rest, entry.source])
    return header, lines


def to_csv(entries: Sequence[Entry]) -> str:
    """The table as CSV; shares are fractions."""
    header, lines = to_rows(entries)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if value is None else value for value in line] for line in lines)
    return out.getvalue()


def to_markdown(entries: Sequence[Entry]) -> str:
    """The accuracies in percent, as a Markdown table; references in italics."""
    header, *lines = _percent_table(entries, "*{}*".format, escape_markdown)
    rows = [header, ["---", *("---:" for _ in header[1:])], *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def to_latex(entries: Sequence[Entry]) -> str:
    """The accuracies in percent, as a LaTeX tabular; references in italics."""
    table = _percent_table(entries, r"\textit{{{}}}".format, _escape_latex)
    head, *rows = (" & ".join(row) + " \\\\\n" for row in table)
    columns = "l" + "r" * (len(table[0]) - 1)
    begin, end = f"\\begin{{tabular}}{{{columns}}}\n\\hline\n", "\\hline\n\\end{tabular}\n"
    return f"{begin}{head}\\hline\n{''.join(rows)}{end}"


def _percent_table(
    entries: Sequence[Entry],
    italic: Callable[[str], str],
    escape: Callable[[str], str],
) -> list[list[str]]:
    """The head and a line for each entry."""
    groups = groups_of(entries)
    table = [[escape(name) for name in ("judge", *groups, "n", "errors")]]
    for entry in entries:
        name = escape(entry.label or entry.name)
        texts = [italic(name) if entry.kind == "reference" else name]
        for group in groups:
            share = entry.shares.get(group, Share(None))
            text = escape(percent(share.accuracy))
            if share.low is not None and share.high is not None:
                text += f" [{escape(percent(share.low))}, {escape(percent(share.high))}]"
            texts.append(text)
        counts = (entry.measures.get(name) for name in ("n", "n_error"))
        table.append([*texts, *("-" if count is None else str(count) for count in counts)])
    return table


def _share_of(metrics: Row) -> Share:
    return Share(metrics["accuracy"], metrics["interval"]["low"], metrics["interval"]["high"])


def _escape_latex(text: str) -> str:
    # Brackets at the start of a line would be an argument of the line end before them.
    special = {
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "[": "{[}"},
    }
    line = " ".join(text.split())
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in line)
