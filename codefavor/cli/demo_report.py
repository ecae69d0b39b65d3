"""The demo's numbers as one mapping, the source of both report.json and report.html."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codefavor import __version__
from codefavor.benchmarks.pairs_benchmark import items_of
from codefavor.cli.demo_data import LEVELS, balance_rows, outcomes_of, read_pairs
from codefavor.cli.demo_judge import JudgeSettings, method_of
from codefavor.cli.demo_workspace import Workspace
from codefavor.journal import read_journal
from codefavor.pairs.split import SPLITS
from codefavor.records import Preference, Problem, Row, read_records, read_rows
from codefavor.statistics.intervals import none_if_nan
from codefavor.statistics.metrics import Metrics, compare_systems, judged_pairs, score
from codefavor.training.runcard import read_metrics

# In the order of the report; the file names are those of `demo_judge.judge_set`.
SYSTEMS = (
    ("random", "baseline", "random"),
    ("shorter", "baseline", "the shorter one"),
    ("longer", "baseline", "the longer one"),
    ("prompted", "untrained", "untrained, A/B prompting"),
    ("untrained-sum", "untrained", "untrained, likelihood of the whole"),
    ("untrained", "untrained", "untrained, likelihood per token"),
    ("trained", "trained", "trained"),
)
PACKAGES = ("torch", "transformers", "axolotl", "trl", "peft", "accelerate")


def build_report(
    workspace: Workspace, settings: JudgeSettings, created: str, bench_note: str | None
) -> Row:
    """The whole report; every number is computed from the files of the workspace."""
    pairs = read_pairs(workspace.path("pairs", f"{settings.split}.jsonl"))
    items = {item["id"]: item for item in items_of(pairs)}
    records = _judged(workspace, "held-out")
    systems = [
        _system(name, kind, records[file], items, file == "prompted")
        for file, kind, name in SYSTEMS
        if file in records
    ]
    gains = _gains(records)
    return {
        "title": "CodeFavor demo",
        "created": created,
        "headline": _headline(gains, systems, pairs),
        "settings": {
            "recipe": _recipe_name(settings.recipe),
            "split": settings.split,
            "seed": settings.seed,
            "training seed": settings.train_seed,
            "training rows (at most)": settings.max_rows,
        },
        "versions": {"codefavor": __version__, **_versions()},
        "machine": _machine(workspace),
        "stages": [time.to_row() for time in workspace.times],
        "funnel": _funnel(workspace, settings),
        "outcomes": outcomes_of([workspace.path("programs.jsonl"), _draft_runs(workspace)]),
        "pairs": balance_rows(workspace.path("pairs")),
        "checks": _checks(workspace),
        "rejections": {
            row["reason"]: row["n"] for row in _rows(workspace.path("pairs", "rejections.jsonl"))
        },
        "training": _training(workspace, settings),
        "systems": systems,
        "gains": gains,
        "codeprefbench": _bench(workspace, bench_note),
        "items": _items(workspace, pairs, records),
    }


def _rows(path: Path) -> list[Row]:
    """The rows of a file that may be empty or absent."""
    if not path.is_file() or not path.stat().st_size:
        return []
    return [row for _, row in read_rows(path)]


def _draft_runs(workspace: Workspace) -> Path:
    return workspace.path("draft_runs.jsonl")


def _judged(workspace: Workspace, name: str) -> dict[str, list[Row]]:
    folder = workspace.path("judged", name)
    return {
        file: list(read_journal(folder / f"{file}.jsonl"))
        for file, _, _ in SYSTEMS
        if (folder / f"{file}.jsonl").is_file()
    }


def _system(
    name: str, kind: str, records: Sequence[Row], items: Mapping[str, Row], is_part: bool
) -> Row:
    """One system's row; a system asked about a part of the pairs is scored on that part."""
    asked = {r["id"] for r in records}
    expected = {key: item for key, item in items.items() if not is_part or key in asked}
    metrics = score(records, expected)
    whole = metrics.overall
    return {
        "name": name,
        "kind": kind,
        **_accuracy(whole),
        "consistency": whole.consistency,
        "position_bias": whole.position_bias,
        "tie_rate": whole.tie_rate,
        "ece": whole.ece,
        "brier": whole.brier,
        "by_level": {level: _accuracy(part) for level, part in metrics.by_level.items()},
        "reliability": [
            {
                "low": one.low,
                "high": one.high,
                "n": one.n,
                "mean_p": one.mean_forecast,
                "accuracy": one.mean_outcome,
            }
            for one in whole.bins
            if one.n
        ],
    }


def _accuracy(metrics: Metrics) -> Row:
    return {
        "n": metrics.n,
        "n_error": metrics.n_error + metrics.n_missing,
        "n_undecided": metrics.n_undecided,
        "accuracy": none_if_nan(metrics.accuracy),
        "low": none_if_nan(metrics.interval.low),
        "high": none_if_nan(metrics.interval.high),
    }


def _gains(records: Mapping[str, list[Row]]) -> list[Row]:
    """The trained judge against each other system, on the pairs that both judged."""
    gains = []
    for file, kind, name in SYSTEMS:
        if file in records and file != "trained":
            gain = compare_systems(records["trained"], records[file])
            gains.append(
                {
                    "system": "trained",
                    "against": name,
                    "against_kind": kind,
                    "n": gain.n,
                    "n_problems": gain.n_clusters,
                    "gain": none_if_nan(gain.interval.mean),
                    "low": none_if_nan(gain.interval.low),
                    "high": none_if_nan(gain.interval.high),
                    "p": gain.p_mcnemar,
                    "p_permutation": gain.p_permutation,
                    "b": gain.n_only_a,
                    "c": gain.n_only_b,
                }
            )
    return gains


def _headline(gains: Sequence[Row], systems: Sequence[Row], pairs: Sequence[Preference]) -> Row:
    """The trained judge against the best of the others that judged the same pairs."""
    accuracy = {system["name"]: system["accuracy"] for system in systems}
    complete = [gain for gain in gains if gain["n"] == len(pairs)]
    best = max(complete, key=lambda gain: float(accuracy[gain["against"]]))
    return {
        "trained": "trained",
        "accuracy": accuracy["trained"],
        "against": best["against"],
        "against_accuracy": accuracy[best["against"]],
        **{key: best[key] for key in ("gain", "low", "high", "p")},
        "n_pairs": best["n"],
        "n_problems": best["n_problems"],
    }


def _recipe_name(recipe: Path) -> str:
    """As it stands in the repository: the report is read on other machines."""
    return "/".join(recipe.parts[-3:])


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _machine(workspace: Workspace) -> Row:
    manifest = json.loads(
        workspace.path("programs.jsonl.manifest.json").read_text(encoding="utf-8")
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "sandbox_level": manifest["sandbox_level"],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _funnel(workspace: Workspace, settings: JudgeSettings) -> list[Row]:
    problems = read_records(workspace.path("problems.jsonl"), Problem)
    outcomes = outcomes_of([workspace.path("programs.jsonl"), _draft_runs(workspace)])
    run = sum(sum(counts.values()) for counts in outcomes.values())
    wrong = sum(
        n
        for level, counts in outcomes.items()
        for outcome, n in counts.items()
        if outcome != "passed"
    )
    kept = {split: len(read_pairs(workspace.path("pairs", f"{split}.jsonl"))) for split in SPLITS}
    n_all = int(workspace.path("pairs", "all_pairs.txt").read_text(encoding="utf-8"))
    rows = len(list(_rows(next(workspace.path("data").glob("train.*.jsonl")))))
    drafts = sum(outcomes.get("samples", {}).values())
    passed = outcomes.get("samples", {}).get("passed", 0)
    return [
        {"name": "problems", "n": len(problems), "note": "each with a reference and tests"},
        {
            "name": "programs run",
            "n": run,
            "note": f"of them {drafts} drafts of the model, {passed} of which pass",
        },
        {"name": "programs that fail", "n": wrong, "note": "proven by their problem's tests"},
        {"name": "pairs", "n": n_all, "note": "one passes, one fails, same problem and level"},
        {
            "name": "pairs kept",
            "n": sum(kept.values()),
            "note": "lengths balanced: " + ", ".join(f"{n} {split}" for split, n in kept.items()),
        },
        {"name": "training rows", "n": rows, "note": f"{method_of(settings.recipe)}, train split"},
        {"name": "judged pairs", "n": kept[settings.split], "note": f"{settings.split} split"},
    ]


def _checks(workspace: Workspace) -> list[Row]:
    checks: list[Row] = json.loads(workspace.path("checks.json").read_text(encoding="utf-8"))
    for row in balance_rows(workspace.path("pairs")):
        distance = abs(row["shorter"] - 0.5)
        # One pair of few is more than 3 points: there the balance is as near as it can be.
        is_ok = distance <= max(0.03, 0.5 / row["n"])
        checks.append(
            {
                "name": f"length says nothing: {row['split']}, {row['level']}",
                "ok": is_ok,
                "detail": f"'shorter' is right in {row['shorter']:.1%} of {row['n']} pairs",
            }
        )
    return checks


def _training(workspace: Workspace, settings: JudgeSettings) -> Row:
    points = []
    seconds = None
    for row in read_metrics(workspace.path("train")):
        if "train_runtime" in row:
            seconds = row["train_runtime"]
        elif "loss" in row:
            points.append(
                {
                    "step": row["step"],
                    "loss": row["loss"],
                    "margin": row.get("rewards/margins"),
                    "accuracy": row.get("rewards/accuracies"),
                    "logps_chosen": row.get("logps/chosen"),
                }
            )
    return {
        "recipe": _recipe_name(settings.recipe),
        "method": method_of(settings.recipe),
        "rows": len(_rows(next(workspace.path("data").glob("train.*.jsonl")))),
        "seconds": seconds,
        "points": points,
    }


def _bench(workspace: Workspace, note: str | None) -> Row | None:
    records = _judged(workspace, "codeprefbench")
    if note is not None or "trained" not in records:
        return {"note": note or "", "systems": []} if note else None
    systems = []
    for file, _, name in SYSTEMS:
        if file in records:
            by_aspect = score(records[file]).by_level
            n_error = sum(record["status"] != "ok" for record in records[file])
            systems.append(
                {
                    "name": name,
                    "n_error": n_error,
                    "by_aspect": {aspect: _accuracy(part) for aspect, part in by_aspect.items()},
                }
            )
    return {"note": "a seeded sample of each aspect, both orders", "systems": systems}


def _items(
    workspace: Workspace, pairs: Sequence[Preference], records: Mapping[str, list[Row]]
) -> list[Row]:
    problems = {p.id: p for p in read_records(workspace.path("problems.jsonl"), Problem)}
    scores = {
        name: {pair.id: pair for pair in judged_pairs(records[file])}
        for file, _, name in SYSTEMS
        if file in records
    }
    items = []
    for pair in sorted(pairs, key=lambda pair: (LEVELS.index(pair.level), pair.problem_id)):
        problem = problems[pair.problem_id]
        chosen, rejected = pair.evidence["chosen"], pair.evidence["rejected"]
        items.append(
            {
                "id": pair.id,
                "problem_id": pair.problem_id,
                "topic": problem.topic,
                "difficulty": problem.difficulty,
                "level": pair.level,
                "instruction": pair.instruction,
                "chosen": pair.chosen,
                "rejected": pair.rejected,
                "kind": pair.meta["rejected_kind"],
                "chosen_run": f"{chosen['passed']}/{chosen['total']}",
                "rejected_run": f"{rejected['passed']}/{rejected['total']}",
                "rejected_outcome": rejected["outcome"],
                "failed_assert": rejected["failed_assert"],
                "error": rejected["error"],
                "verdicts": {
                    name: _verdict(known[pair.id])
                    for name, known in scores.items()
                    if pair.id in known
                },
            }
        )
    return items


def _verdict(judged: Any) -> Row:
    """Its score, and the mean probability that the judge gave to the chosen program."""
    chosen = [
        verdict.p_a if order == "chosen_first" else 1 - verdict.p_a
        for order, verdict in judged.verdicts.items()
        if verdict.p_a is not None
    ]
    return {"score": judged.score, "p": sum(chosen) / len(chosen) if chosen else None}
