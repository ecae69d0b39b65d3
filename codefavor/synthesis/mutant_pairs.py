"""Verified mutants as preference pairs, with no model: references against programs made wrong.

A program counts as wrong when its problem's tests fail it; the pairs are levelled, balanced in
length and split by problem.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from codefavor.engine.context import Context
from codefavor.engine.progress import Progress
from codefavor.engine.runner import Counts, run_sync
from codefavor.errors import DataError
from codefavor.journal import Journal, ok_rows
from codefavor.pairs.balance import balance_by_length, shorter_accuracy
from codefavor.pairs.by_execution import pair_by_execution
from codefavor.pairs.split import SPLITS, split_of
from codefavor.records import (
    Execution,
    Preference,
    Problem,
    Row,
    content_id,
    write_rows,
    write_text,
)
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.by_tests import score_completions
from codefavor.scoring.candidates import Candidate, candidates_of
from codefavor.scoring.mutants import print_code
from codefavor.statistics.metrics import level_order

# A reference ends in milliseconds; what needs more is a mutant that loops for ever.
PROGRAM_LIMITS = Limits(cpu_s=1.0, wall_s=20.0)
SUMMARY_NAME = "summary.json"


def candidate_rows(problems: Sequence[Problem], *, per_level: int, seed: int) -> list[Row]:
    """The reference of each problem and up to `per_level` wrong programs a level.

    Only problems of the same split lend their solutions, or they would leak across it.
    """
    lenders: dict[str, list[Problem]] = {}
    for problem in problems:
        lenders.setdefault(split_of(problem.id), []).append(problem)
    return [
        candidate.to_row()
        for problem in problems
        for candidate in candidates_of(
            problem, lenders[split_of(problem.id)], per_level=per_level, seed=seed
        )
    ]


def run_candidates(
    problems: Sequence[Problem],
    journal_path: Path,
    *,
    per_level: int,
    seed: int,
    workers: int,
    level: str,
    progress: Progress | None = None,
) -> Counts:
    """Run all `candidate_rows` against their problems' tests, resumable.

    Raises DataError for references that fail their own tests.
    """
    rows = candidate_rows(problems, per_level=per_level, seed=seed)
    by_id = {problem.id: problem.to_row() for problem in problems}
    manifest = {
        "step": "score_completions",
        "limits": {"cpu_s": PROGRAM_LIMITS.cpu_s, "wall_s": PROGRAM_LIMITS.wall_s},
        "rows": content_id(rows),
    }
    with (
        SandboxPool(workers, required_level=level) as pool,
        Journal.open(journal_path, {**manifest, "sandbox_level": pool.level}) as journal,
    ):
        counts = run_sync(
            score_completions(PROGRAM_LIMITS),
            [
                {"id": row["id"], "completion": row, "problem": by_id[row["problem_id"]]}
                for row in rows
            ],
            journal,
            context=Context(sandbox=pool),
            concurrency=2 * workers,
            progress=progress,
            label="programs",
        )
    failed = [
        row["problem_id"]
        for row in ok_rows(journal_path)
        if row["level"] == "reference"
        and not Execution.from_row(row["execution"]).is_evidence_of_pass
    ]
    if failed:
        raise DataError(f"references that fail their own tests: {', '.join(failed)}")
    return counts


def printed_samples(scored: Iterable[Row]) -> list[Row]:
    """A model's scored completions as programs of the level "samples".

    They go through the printer of all other programs; what does not parse stays as written.
    """
    found = []
    for row in scored:
        code = row["code"]
        with contextlib.suppress(DataError):
            code = print_code(code)
        own = Candidate(row["problem_id"], code, "draft", "samples").to_row()
        found.append({**own, "execution": row["execution"]})
    return found


def write_pairs(
    problems: Sequence[Problem],
    programs: Sequence[Row],
    folder: Path,
    *,
    per_problem: int,
    seed: int,
) -> Row:
    """Pair by execution, balance lengths, write <split>.jsonl and a summary; returns the summary.

    The summary holds the counts from problems to pairs kept, outcomes by level, reasons of what
    gave no pair, and for each split and level what the length alone is worth.
    """
    pairing = pair_by_execution({p.id: p for p in problems}, programs, seed=seed)
    kept: dict[str, list[Preference]] = {}
    for split in SPLITS:
        kept[split] = balance_by_length(
            [pair for pair in pairing.pairs if split_of(pair.problem_id) == split],
            per_problem=per_problem,
            group_of=lambda pair: pair.level,
            seed=seed,
        )
        write_rows(folder / f"{split}.jsonl", (pair.to_row() for pair in kept[split]))
    summary = {
        "n_problems": len(problems),
        "n_pairs": len(pairing.pairs),
        "n_kept": {split: len(pairs) for split, pairs in kept.items()},
        "outcomes": _outcomes(programs),
        "n_failed": sum(
            not Execution.from_row(row["execution"]).is_evidence_of_pass for row in programs
        ),
        "rejected": dict(sorted(pairing.reasons.items())),
        "balance": [row for split, pairs in kept.items() for row in _balance(split, pairs)],
    }
    write_text(folder / SUMMARY_NAME, [json.dumps(summary, indent=1) + "\n"])
    return summary


def _outcomes(programs: Iterable[Row]) -> dict[str, dict[str, int]]:
    """How many programs of each level ended in which outcome."""
    found: dict[str, Counter[str]] = {}
    for row in programs:
        outcome = Execution.from_row(row["execution"]).outcome
        found.setdefault(row["level"], Counter())[outcome] += 1
    return {level: dict(counts.most_common()) for level, counts in found.items()}


def _balance(split: str, pairs: Sequence[Preference]) -> list[Row]:
    groups: dict[str, list[Preference]] = {}
    for pair in sorted(pairs, key=lambda pair: level_order(pair.level)):
        groups.setdefault(pair.level, []).append(pair)
    return [
        {
            "split": split,
            "level": level,
            "n": len(group),
            "n_problems": len({pair.problem_id for pair in group}),
            "shorter": shorter_accuracy(group),
            "longer": 1 - shorter_accuracy(group),
        }
        for level, group in groups.items()
    ]
