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
from typing import Literal

from codefavor.engine.context import Context
from codefavor.engine.counts import Counts
from codefavor.engine.progress import Progress
from codefavor.engine.runner import run_sync
from codefavor.errors import DataError
from codefavor.journal import Journal
from codefavor.pairs.balance import balance_by_length, shorter_accuracy
from codefavor.pairs.by_execution import pair_by_execution
from codefavor.pairs.number_cues import number_accuracies
from codefavor.pairs.opposite_edits import draw_of_opposites, token_judge
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
from codefavor.scoring.candidates import Candidate, candidates_of, hallucinated_of
from codefavor.scoring.failure_classes import failure_of
from codefavor.scoring.hallucinations import EASY, FLAWS
from codefavor.scoring.mutants import print_code
from codefavor.statistics.intervals import wilson_interval
from codefavor.statistics.metrics import level_order

# A reference ends in milliseconds; what needs more is a mutant that loops for ever.
PROGRAM_LIMITS = Limits(cpu_s=1.0, wall_s=20.0)
Kind = Literal["mistakes", "hallucinations"]
SUMMARY_NAME = "summary.json"
REFERENCE_FAILS = "problem whose reference does not pass its tests here"


def candidate_rows(
    problems: Sequence[Problem], *, per_level: int, seed: int, kind: Kind = "mistakes"
) -> list[Row]:
    """The reference of each problem and up to `per_level` wrong programs a level.

    Of the kind "mistakes" these are mutants, hollow programs and the solutions of others, of
    "hallucinations" programs that use what does not exist or do what was not asked.

    Only problems of the same split lend their solutions, or they would leak across it.
    """
    if kind == "hallucinations":
        found = hallucinated_of(problems, per_level=per_level, seed=seed)
        return [candidate.to_row() for candidate in found]
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
    kind: Kind = "mistakes",
    progress: Progress | None = None,
) -> Counts:
    """Run all `candidate_rows` against their problems' tests, resumable.

    What the sandbox could not run before is tried again: a program that is missing, a reference
    above all, makes other pairs.
    """
    rows = candidate_rows(problems, per_level=per_level, seed=seed, kind=kind)
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
        return run_sync(
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
            retry_errors=True,
        )


def of_right_references(programs: Sequence[Row]) -> tuple[list[Row], Counter[str]]:
    """The programs without those of problems whose reference does not pass its tests here.

    What such tests say of a mutant proves nothing. Also how many problems are left out, by what
    their reference ended as. A model's samples stay: their pairs rest on no reference.
    """
    failed: dict[str, str] = {}
    for row in programs:
        execution = Execution.from_row(row["execution"])
        if row["level"] == "reference" and not execution.is_evidence_of_pass:
            failed[row["problem_id"]] = execution.no_evidence or execution.outcome
    kept = [row for row in programs if row["level"] == "samples" or row["problem_id"] not in failed]
    return kept, Counter(f"{REFERENCE_FAILS}: {reason}" for reason in failed.values())


def stated_failures(programs: Iterable[Row]) -> tuple[list[Row], Counter[str]]:
    """The programs without those that fail otherwise than a hallucination of their kind does.

    Also why programs were left out, by kind and what their run showed instead. Those that pass
    stay: pairing counts them. What each one failed with is noted in its field `failure`.
    """
    kept: list[Row] = []
    reasons: Counter[str] = Counter()
    for row in programs:
        execution = Execution.from_row(row["execution"])
        found = failure_of(execution, row["code"])
        flaw = FLAWS.get(row["kind"])
        if found is None or flaw is None:
            kept.append(row)
        elif found.kind in flaw.failures:
            kept.append({**row, "failure": found.kind})
        else:
            reasons[f"{row['kind']}: fails by {found.kind} instead"] += 1
    return kept, reasons


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

    Hallucinations above the easy level are also balanced in which way their edits go, in the size
    of their numbers and in those of the task. The summary holds the counts from problems to pairs
    kept, outcomes by level, reasons of what gave no pair and of what balancing dropped, and for
    each split and level what length and numbers alone are worth.
    """
    usable, failed_references = of_right_references(programs)
    stated, other_failures = stated_failures(usable)
    pairing = pair_by_execution({p.id: p for p in problems}, stated, seed=seed)
    pairing.reasons.update(other_failures + failed_references)
    # Opposite edits are sought in all splits: one says nothing of another problem's answer.
    edits = draw_of_opposites(
        [pair for pair in pairing.pairs if _has_opposites(pair)],
        per_problem=per_problem,
        seed=seed,
    )
    others = [pair for pair in pairing.pairs if not _has_opposites(pair)]
    kept: dict[str, list[Preference]] = {}
    for split in SPLITS:
        kept[split] = balance_by_length(
            [pair for pair in others if split_of(pair.problem_id) == split],
            per_problem=per_problem,
            group_of=lambda pair: pair.level,
            seed=seed,
        )
        kept[split] += [pair for pair in edits if split_of(pair.problem_id) == split]
        write_rows(folder / f"{split}.jsonl", (pair.to_row() for pair in kept[split]))
    summary = {
        "n_problems": len(problems),
        "n_pairs": len(pairing.pairs),
        "n_kept": {split: len(pairs) for split, pairs in kept.items()},
        "outcomes": _outcomes(programs),
        "n_failed": sum(
            not Execution.from_row(row["execution"]).is_evidence_of_pass for row in usable
        ),
        "kinds": dict(
            Counter(pair.meta["rejected_kind"] for pairs in kept.values() for pair in pairs)
        ),
        "rejected": dict(sorted(pairing.reasons.items())),
        "balanced_away": _balanced_away(pairing.pairs, kept.values()),
        "token_judge": _token_judge(edits),
        "balance": [row for split, pairs in kept.items() for row in _balance(split, pairs)],
    }
    write_text(folder / SUMMARY_NAME, [json.dumps(summary, indent=1) + "\n"])
    return summary


def _has_opposites(pair: Preference) -> bool:
    return pair.level != EASY and pair.meta["rejected_kind"] in FLAWS


def _token_judge(pairs: Iterable[Preference]) -> Row:
    """By level, what a judge of the tokens that differ gets right."""
    by_level: dict[str, list[Preference]] = {}
    for pair in sorted(pairs, key=lambda pair: level_order(pair.level)):
        by_level.setdefault(pair.level, []).append(pair)
    return {
        level: {"n": len(own), "right": wilson_interval(token_judge(own), len(own)).to_row()}
        for level, own in by_level.items()
    }


def _balanced_away(pairs: Iterable[Preference], kept: Iterable[list[Preference]]) -> dict[str, int]:
    """By level, how many pairs were dropped: beyond those kept of a problem, of other lengths, or
    (of hallucinations above the easy level) of an edit whose opposite is kept, or was used up."""
    lost = Counter(pair.level for pair in pairs)
    lost.subtract(pair.level for own in kept for pair in own)
    return {level: lost[level] for level in sorted(lost, key=level_order)}


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
            **number_accuracies(group),
        }
        for level, group in groups.items()
    ]
