"""A model on items that each get scores in [0, 1]: questions, prompts, documents.

One kind of result for TruthfulQA, HaluEval and instruction following. An item that could not be
scored is neither right nor wrong: it is counted with its reason, and the mean of a measure stands
beside what it would be, were all such items at one end of its range.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codefavor.evaluation.result_text import percent
from codefavor.evaluation.results import items_sha256, versions
from codefavor.journal import read_journal
from codefavor.records import Row
from codefavor.result_file import ITEM_FORMAT
from codefavor.statistics.intervals import cluster_bootstrap_interval, share_interval

# Of an item by name; None where there is none. One of several parts has a value for each: the mean
# of the measure is over all parts of all items.
Measures = Mapping[str, float | Sequence[float] | None]
# How the reason ends why an item has some of its judgements and lacks others.
IN_PART = " in part"
# Measures that are no shares are reported as plain means; they are not compared.
PLAIN = frozenset({"words"})
# Between which values a measure that is no share lies: a difference of two cosines.
RANGES = {"embedding margin": (-2.0, 2.0)}


@dataclass
class ItemScores:
    """The measures of all items, and why some have none.

    `clusters` says which items share a question, for intervals; an item that is not in it is a
    cluster of its own. `texts` holds what the model wrote, if it wrote anything. `unjudged` says
    why an item that has an answer has no judgement. `n_parts` are those of an item's measures of
    several parts, for items that lack the measure.
    """

    measures: dict[str, Measures] = field(default_factory=dict)
    clusters: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    unjudged: dict[str, str] = field(default_factory=dict)
    n_parts: dict[str, int] = field(default_factory=dict)


def unscored(path: Path, wanted: Sequence[str]) -> dict[str, str]:
    """Why each wanted item has no answer in a journal; items that have one are left out."""
    reasons = dict.fromkeys(wanted, "missing")
    for record in read_journal(path):
        if record["id"] in reasons:
            if record["status"] == "ok":
                del reasons[record["id"]]
            else:
                reasons[record["id"]] = str(record.get("reason") or record["status"])
    return reasons


def item_result(
    items: Sequence[Row],
    scores: ItemScores,
    *,
    benchmark: str,
    model: Row,
    settings: Row,
    license: str,
    seed: int = 0,
    trivial: Mapping[str, Row] | None = None,
) -> Row:
    """The result file of a model on items; pure."""
    ids = [str(one["id"]) for one in items]
    reasons = {**scores.unjudged, **scores.reasons}
    names = list(dict.fromkeys(name for one in scores.measures.values() for name in one))
    return {
        "format": ITEM_FORMAT,
        "benchmark": benchmark,
        "model": model,
        "settings": settings,
        "items_sha256": items_sha256(items),
        "license": license,
        "versions": versions(),
        "seed": seed,
        "metrics": {
            "n_items": len(ids),
            "unscored": dict(Counter(reasons[one] for one in ids if one in reasons)),
            "measures": {name: _figure(name, ids, scores, seed) for name in names},
        },
        "trivial": dict(trivial or {}),
        "items": {
            one: {
                "measures": dict(scores.measures.get(one, {})),
                "cluster": scores.clusters.get(one, one),
                **({"reason": reasons[one]} if one in reasons else {}),
                **({"text": scores.texts[one]} if one in scores.texts else {}),
            }
            for one in ids
        },
    }


def _figure(name: str, ids: Sequence[str], scores: ItemScores, seed: int) -> Row:
    """Mean and interval over the items that have the measure, and the bounds over all items."""
    values = {
        one: parts
        for one in ids
        if (parts := parts_of(scores.measures.get(one, {}).get(name))) is not None
    }
    # Measures that only some items can have (those with a hallucinated side) name these, as do
    # items without an answer, where it is known which ones they would have.
    able = [
        one
        for one in ids
        if name in scores.measures.get(one, {})
        or (one in scores.reasons and one not in scores.measures)
    ]
    row: Row = {"n": len(values), "n_items": len(able)}
    if not values:
        return {**row, "mean": None}
    flat = [part for parts in values.values() for part in parts]
    total = math.fsum(flat)
    if name in PLAIN:
        return {**row, "mean": total / len(flat)}
    groups = [scores.clusters.get(one, one) for one, parts in values.items() for _ in parts]
    make_interval = cluster_bootstrap_interval if name in RANGES else share_interval
    interval = make_interval(flat, groups, seed=seed)
    low, high = RANGES.get(name, (0.0, 1.0))
    has_parts = any(isinstance(scores.measures[one][name], Sequence) for one in values)
    sizes = scores.n_parts if has_parts else {}
    n_missing = sum(sizes.get(one, 1) for one in able if one not in values)
    n_all = len(flat) + n_missing
    return {
        **row,
        **({"n_parts": len(flat)} if has_parts else {}),
        **interval.to_row(),
        "at_least": (total + low * n_missing) / n_all,
        "at_most": (total + high * n_missing) / n_all,
    }


def parts_of(value: float | Sequence[float] | None) -> list[float] | None:
    """The values of a measure's parts, one where it has none; None without the measure."""
    if value is None:
        return None
    return [float(one) for one in value] if isinstance(value, Sequence) else [float(value)]


def item_text(result: Row) -> str:
    """The result for a terminal, each number with what it rests on; pure."""
    metrics = result["metrics"]
    settings = ", ".join(f"{key} {value}" for key, value in result["settings"].items())
    lines = [
        f"{result['benchmark']}: {result['model']['name']}, {metrics['n_items']} items"
        + (f" ({settings})" if settings else ""),
        f"licence of the items: {result['license']}",
    ]
    for name, one in metrics["measures"].items():
        lines.append(_measure_text(name, one))
    for name, figures in result["trivial"].items():
        parts = ", ".join(f"{key} {100 * value:.1f}" for key, value in figures.items())
        lines.append(f"beside it, {name}: {parts}")
    for ending, meaning in (
        ("", "have no answer or no judgement and are neither right nor wrong"),
        (IN_PART, "lack a part of their judgement"),
    ):
        own = {name: n for name, n in metrics["unscored"].items() if _ending(name) == ending}
        if own:
            reasons = ", ".join(f"{name} {n}" for name, n in own.items())
            lines.append(f"{sum(own.values())} items {meaning}: {reasons}")
    return "\n".join(lines)


def _ending(reason: str) -> str:
    return IN_PART if reason.endswith(IN_PART) else ""


def _measure_text(name: str, one: Row) -> str:
    if one["mean"] is None:
        return f"{name:<22} -     (0 of {one['n_items']} items)"
    if name in PLAIN:
        return f"{name:<22}{one['mean']:>6.1f}   ({one['n']} items)"
    text = (
        f"{name:<22}{100 * one['mean']:>6.1f}   95 % interval {percent(one['low'])} to "
        f"{percent(one['high'])}, {one['n']} of {one['n_items']} items"
        + (f" ({one['n_parts']} parts)" if "n_parts" in one else "")
    )
    if one["n"] < one["n_items"]:
        text += f"; {100 * one['at_least']:.1f} to {100 * one['at_most']:.1f} over all"
    return text
