"""One judge on one benchmark as one JSON file: what was asked, of what, and what came out."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from codefavor.evaluation.controls import controlled_accuracy, gain_over_best, trivial_records
from codefavor.judges.base import raise_errors
from codefavor.judges.likelihood import verdict_of_totals
from codefavor.judges.llm import reread
from codefavor.records import Row, Verdict, canonical_json, content_id
from codefavor.result_file import FORMAT
from codefavor.statistics.metrics import score

_PACKAGES = ("codefavor", "torch", "transformers", "peft", "openai", "numpy", "scipy")


def result_of(
    records: Sequence[Row],
    items: Sequence[Row],
    *,
    benchmark: str,
    judge: Mapping[str, Any],
    settings: Mapping[str, Any],
    style_records: Sequence[Row] | None = None,
    seed: int = 0,
    n_resamples: int = 10_000,
) -> Row:
    """Everything that a leaderboard needs of one run; pure.

    `judge` and `settings` say what was run. `style_records` are the n-gram classifier's
    verdicts, for style control.
    """
    by_id = {item["id"]: item for item in items}
    known = [record for record in records if record["id"] in by_id]
    options: dict[str, Any] = {"seed": seed, "n_resamples": n_resamples}
    trivial = trivial_records(items)
    row: Row = {
        "format": FORMAT,
        "benchmark": benchmark,
        "judge": dict(judge),
        "settings": dict(settings),
        "items_sha256": items_sha256(items),
        "license": "; ".join(sorted({item.get("license") or "none stated" for item in items})),
        "versions": versions(),
        "seed": seed,
        "metrics": score(known, by_id, **options).to_row(),
        "trivial": {name: score(rows, by_id, **options).to_row() for name, rows in trivial.items()},
    }
    is_judged = any(record.get("status", "ok") == "ok" for record in known)
    if is_judged:
        # A trivial judge is compared with the others.
        others = {name: rows for name, rows in trivial.items() if name != judge.get("kind")}
        best, gain = gain_over_best(known, others, **options)
        row["best_trivial"] = {"name": best, **gain.to_row()}
        cues: dict[str, tuple[str, Sequence[Row]]] = {
            "length_controlled": ("shorter", trivial["shorter"])
        }
        if style_records is not None:
            cues["style_controlled"] = ("n-gram", style_records)
        for name, (cue, verdicts) in cues.items():
            row[name] = controlled_accuracy(known, verdicts, cue, **options).to_row()
    if any(item.get("defect") for item in items):
        sound = {key: item for key, item in by_id.items() if not item.get("defect")}
        rest = [record for record in known if record["id"] in sound]
        row["without_defects"] = score(rest, sound, **options).to_row()
    return row


def rescore(records: Iterable[Row], judge: Mapping[str, Any]) -> list[Row]:
    """The records with every stored reply read again by today's rules; asks nobody.

    `judge` is a result's description: replies of a chat model are parsed by its `mode`, stored
    log-probabilities are read by its `reduction`. Verdicts without a reply stay as they are.
    """
    found = []
    for record in records:
        row = record["row"]
        if row and "verdicts" in row:
            verdicts = {
                order: _reread(Verdict.from_row(one), judge).to_row()
                for order, one in row["verdicts"].items()
            }
            row = {**row, "verdicts": verdicts}
        found.append({**record, "row": row})
    return found


def _reread(verdict: Verdict, judge: Mapping[str, Any]) -> Verdict:
    if judge.get("kind") == "likelihood" and verdict.raw:
        parts = json.loads(verdict.raw)
        return raise_errors(verdict_of_totals(parts, judge.get("reduction", "mean")))
    return reread(verdict, str(judge.get("mode", "")))


def items_sha256(items: Sequence[Row]) -> str:
    """The hash of the judged pairs, in any order."""
    return content_id(*sorted(canonical_json(item) for item in items))


def versions() -> Row:
    """The versions of Python and of the packages that a number may depend on."""
    found: Row = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
