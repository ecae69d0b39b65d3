"""Preference pairs from test runs: a program that passes against one that fails.

A pair rests on two executions of the same problem's tests; a run that is evidence for nothing
(`Execution.no_evidence`) is counted instead.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from codefavor.pairs.strategies import Choice, Couple, Scored, distinct
from codefavor.records import Execution, Preference, Problem, Row, content_id

CRITERIA = "correctness"
NOT_VALID = "problem whose tests a model wrote and nothing validated (codefavor pair check-tests)"


class Pairing(NamedTuple):
    """The pairs and, by reason, how many scored programs or problems gave none."""

    pairs: list[Preference]
    reasons: Counter[str]


def pair_by_execution(
    problems: Mapping[str, Problem],
    scored: Iterable[Row],
    *,
    seed: int = 0,
    choice: Choice | None = None,
) -> Pairing:
    """Pairs of a better and a worse program of one problem and one level.

    Each row of `scored` has `problem_id`, `code`, `level`, `kind` and an `execution`. At level
    "samples" both sides are a model's, as `choice` says (None: every passing one against every
    failing one, whether alike or not); at every other level the chosen side is
    the reference (level "reference"), and the rejected one fails. Never mixes problems.
    """
    reasons: Counter[str] = Counter()
    by_problem: dict[str, list[Scored]] = {}
    seen: set[tuple[str, str, str]] = set()
    for row in scored:
        execution = Execution.from_row(row["execution"], f"program {row.get('id', '')}")
        program = (row["problem_id"], row["level"], row["code"])
        if program in seen:
            reasons[f"{row['level']}: the same program again"] += 1
        elif execution.no_evidence:
            reasons[f"not evidence: {execution.no_evidence}"] += 1
        else:
            by_problem.setdefault(row["problem_id"], []).append(Scored(row, execution))
        seen.add(program)
    pairs: list[Preference] = []
    for problem_id, programs in by_problem.items():
        problem = problems[problem_id]
        if not problem.may_label:
            reasons[NOT_VALID] += 1
            continue
        for level in sorted({one.row["level"] for one in programs} - {"reference"}):
            own = [one for one in programs if one.row["level"] == level]
            if level == "samples":
                couples = _of_samples(own, reasons, choice)
            else:
                couples = _of_references(programs, own, reasons, level)
            random.Random(content_id(seed, problem.id, level)).shuffle(couples)
            pairs += [_pair(problem, level, good, bad) for good, bad in couples]
    return Pairing(pairs, +reasons)


def _of_samples(
    own: Sequence[Scored], reasons: Counter[str], choice: Choice | None
) -> list[Couple]:
    programs, n_alike = (own, 0) if choice is None else distinct(own)
    if n_alike:
        reasons["samples: the same program as another but for comments and layout"] += n_alike
    if choice is not None and choice.same_author:
        n_unnamed = sum(not one.author for one in programs)
        reasons["samples: no model named, so of no author that is known"] += n_unnamed
    couples = (choice or Choice()).couples(programs)
    if not couples:
        # Where the better side may fail, no passing program is needed.
        may_fail = choice is not None and choice.may_fail
        lack = "a couple of this strategy" if may_fail else _lack(programs)
        reasons[f"samples: problem without {lack}"] += 1
    return couples


def _of_references(
    programs: Sequence[Scored], own: Sequence[Scored], reasons: Counter[str], level: str
) -> list[Couple]:
    references = [one for one in programs if one.row["level"] == "reference" and one.passes]
    failing = [one for one in own if not one.passes]
    if survivors := len(own) - len(failing):
        reasons[f"{level}: passes the tests, so it is not a wrong program"] += survivors
    if not references or not failing:
        reasons[f"{level}: problem without {_lack([*references, *failing])}"] += 1
    return [(good, bad) for good in references for bad in failing]


def _lack(programs: Sequence[Scored]) -> str:
    """What a problem lacks to make a pair."""
    if not any(one.passes for one in programs):
        return "passing"
    return "failing" if all(one.passes for one in programs) else "a couple of this strategy"


def _pair(problem: Problem, level: str, good: Scored, bad: Scored) -> Preference:
    (chosen, chosen_run), (rejected, rejected_run) = good, bad
    return Preference(
        id=content_id(problem.id, chosen["code"], rejected["code"]),
        instruction=problem.instruction,
        chosen=chosen["code"],
        rejected=rejected["code"],
        criteria=CRITERIA,
        feedback=rejected_run.error or rejected_run.failed_assert,
        evidence={
            "chosen": chosen_run.to_row(),
            "rejected": rejected_run.to_row(),
            "tests": problem.tests_evidence,
        },
        source="tests",
        level=level,
        problem_id=problem.id,
        language=problem.language,
        license=problem.license,
        meta={
            "chosen_kind": chosen["kind"],
            "rejected_kind": rejected["kind"],
            **({"rejected_failure": bad.kind} if "failure" in rejected else {}),
        },
    )
