"""Preference pairs from test runs: a program that passes against one that fails.

A pair rests on two executions of the same problem's tests; a run that is evidence for nothing
(`Execution.no_evidence`) is counted instead.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from codefavor.records import Execution, Preference, Problem, Row, content_id

CRITERIA = "correctness"


class Pairing(NamedTuple):
    """The pairs and, by reason, how many scored programs or problems gave none."""

    pairs: list[Preference]
    reasons: Counter[str]


def pair_by_execution(
    problems: Mapping[str, Problem], scored: Iterable[Row], *, seed: int = 0
) -> Pairing:
    """Every pair of a passing and a failing program of one problem and one level.

    Each row of `scored` has `problem_id`, `code`, `level`, `kind` and an `execution`. The
    reference (level "reference") is the chosen side of every level but "samples", where both
    sides are a model's. Never mixes problems; never takes a failing program as chosen.
    """
    reasons: Counter[str] = Counter()
    by_problem: dict[str, list[tuple[Row, Execution]]] = {}
    seen: set[tuple[str, str, str]] = set()
    for row in scored:
        execution = Execution.from_row(row["execution"], f"program {row.get('id', '')}")
        program = (row["problem_id"], row["level"], row["code"])
        if program in seen:
            reasons[f"{row['level']}: the same program again"] += 1
        elif execution.no_evidence:
            reasons[f"not evidence: {execution.no_evidence}"] += 1
        else:
            by_problem.setdefault(row["problem_id"], []).append((row, execution))
        seen.add(program)
    pairs: list[Preference] = []
    for problem_id, programs in by_problem.items():
        found = _pairs_of(problems[problem_id], programs, reasons, seed)
        pairs.extend(found)
    return Pairing(pairs, reasons)


def _pairs_of(
    problem: Problem,
    programs: Sequence[tuple[Row, Execution]],
    reasons: Counter[str],
    seed: int,
) -> list[Preference]:
    right = [(row, e) for row, e in programs if e.is_evidence_of_pass]
    references = [(row, e) for row, e in right if row["level"] == "reference"]
    pairs: list[Preference] = []
    for level in sorted({row["level"] for row, _ in programs} - {"reference"}):
        own = [(row, e) for row, e in programs if row["level"] == level]
        passing = [(row, e) for row, e in own if e.is_evidence_of_pass]
        failing = [(row, e) for row, e in own if not e.is_evidence_of_pass]
        passing = passing if level == "samples" else references
        survivors = len(own) - len(failing)
        if level != "samples" and survivors:
            reasons[f"{level}: passes the tests, so it is not a wrong program"] += survivors
        if not passing or not failing:
            reasons[f"{level}: problem without {'passing' if not passing else 'failing'}"] += 1
            continue
        couples = [(good, bad) for good in passing for bad in failing]
        random.Random(content_id(seed, problem.id, level)).shuffle(couples)
        pairs += [_pair(problem, level, good, bad) for good, bad in couples]
    return pairs


def _pair(
    problem: Problem, level: str, good: tuple[Row, Execution], bad: tuple[Row, Execution]
) -> Preference:
    (chosen, chosen_run), (rejected, rejected_run) = good, bad
    return Preference(
        id=content_id(problem.id, chosen["code"], rejected["code"]),
        instruction=problem.instruction,
        chosen=chosen["code"],
        rejected=rejected["code"],
        criteria=CRITERIA,
        feedback=rejected_run.error or rejected_run.failed_assert,
        evidence={"chosen": chosen_run.to_row(), "rejected": rejected_run.to_row()},
        source="tests",
        level=level,
        problem_id=problem.id,
        language=problem.language,
        license=problem.license,
        meta={"chosen_kind": chosen["kind"], "rejected_kind": rejected["kind"]},
    )
