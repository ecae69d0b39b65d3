"""Pairs of programs that both pass: the one that works or holds less, or that is more secure.

Neither criterion ever stands against correctness: who fails a test, or answers a grown input
otherwise than the reference, is in no pair.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import ConfigError, Rejected
from codefavor.pairs.strategies import Scored, distinct
from codefavor.records import Execution, Preference, Problem, Row, content_id
from codefavor.sandbox import SandboxPool
from codefavor.scoring.findings import Bandit, Finding, badness
from codefavor.scoring.scaled import (
    SCALES,
    Measured,
    Resource,
    measure,
    ratio_of,
    time_contradicts,
)

Criterion = Literal["efficiency", "memory", "security"]
# How a pair says what its rejected program does more.
_TOLD: dict[Resource, str] = {
    "instructions": "executes {:.3g} times the instructions, or more",
    "memory": "holds {:.3g} times the memory at a time, or more",
}
# Who executes less must need no more time; time may rise where memory falls, but not by so much.
_TIMES: dict[Resource, float] = {"instructions": 1.0, "memory": 2.0}


@dataclass(frozen=True)
class Found:
    """A couple of programs by their numbers, how far they are apart, and what shows it."""

    better: int
    worse: int
    distance: float
    evidence: Row
    feedback: str


def passing_rows(problems: Mapping[str, Problem], scored: Iterable[Row]) -> Iterator[Row]:
    """One input row a sampled problem: the programs whose runs are evidence of a pass."""
    by_problem: dict[str, list[Row]] = defaultdict(list)
    sampled = set()
    for row in scored:
        sampled.add(row["problem_id"])
        if Execution.from_row(row["execution"]).is_evidence_of_pass:
            by_problem[row["problem_id"]].append(row)
    for name, problem in problems.items():
        if name not in sampled:
            continue
        programs = [Scored(row, Execution.from_row(row["execution"])) for row in by_problem[name]]
        kept = [one.row for one in distinct(programs)[0]]
        # By content, so that the order of a file decides nothing.
        kept.sort(key=lambda row: content_id(row["code"]))
        yield {"id": name, "problem": problem.to_row(), "programs": kept}


def make_efficiency_step(
    resource: Resource, *, margin: float, most_programs: int, per_problem: int
) -> Step:
    """A step from a row of `passing_rows` to `{"id", "pairs"}`, most different couples first.

    Of more than `most_programs` programs of a problem the first are measured. `margin` is how
    many times what the chosen program needs of the resource the rejected one must need. Rejects
    a problem that gives no pair, with the reason.
    """

    async def find(problem: Problem, codes: list[str], context: Context) -> list[Found]:
        if context.sandbox is None:
            raise ConfigError("measuring programs needs a sandbox in the context")
        return await _by_need(
            context.sandbox, problem, codes, resource, margin=margin, most=per_problem
        )

    criterion: Criterion = "memory" if resource == "memory" else "efficiency"
    return _make_step(criterion, find, most_programs, per_problem)


def make_security_step(
    bandit: Bandit, *, margin: int, most_programs: int, per_problem: int
) -> Step:
    """As `make_efficiency_step`, by what Bandit finds.

    `margin` is how many findings of high or medium severity the rejected program has more.
    """

    async def find(problem: Problem, codes: list[str], context: Context) -> list[Found]:
        return await asyncio.to_thread(_by_findings, bandit, codes, margin)

    return _make_step("security", find, most_programs, per_problem)


Find = Callable[[Problem, list[str], Context], Awaitable[list[Found]]]
# What counts and what is counted live in one process: a program that can reach the counter, or
# works where it does not look, has no count. Words in comments and texts exclude it too.
_REACHES_COUNTER = re.compile(
    r"\b(?:settrace|setprofile|monitoring|tracemalloc|gc|_getframe|ctypes|inspect|threading|_thread"
    r"|concurrent|multiprocessing|exec|eval|compile|__import__|importlib|__builtins__|builtins)\b"
    r"|\b(?:getattr|setattr|vars)\s*\(\s*(?:sys|__)|\bsys\s*\.\s*(?:__dict__|modules)"
)


def _make_step(criterion: Criterion, find: Find, most_programs: int, per_problem: int) -> Step:

    async def step(row: Row, context: Context) -> Row:
        problem = Problem.from_row(row["problem"], f"problem {row['id']}")
        if not problem.may_label:
            raise Rejected("tests_not_validated", "codefavor pair check-tests")
        programs = row["programs"]
        if criterion != "security":
            programs = [one for one in programs if not _REACHES_COUNTER.search(one["code"])]
        programs = programs[:most_programs]
        if len(programs) < 2:
            raise Rejected("fewer_than_two_different_programs_pass")
        codes = [one["code"] for one in programs]
        found = await find(problem, codes, context)
        pairs = [_pair(problem, criterion, programs, one).to_row() for one in found[:per_problem]]
        return {"id": row["id"], "pairs": pairs}

    return step


def pairs_of(row: Row) -> Iterator[Row]:
    """The pairs in one result of the step."""
    yield from row["pairs"]


async def _by_need(
    pool: SandboxPool,
    problem: Problem,
    codes: list[str],
    resource: Resource,
    *,
    margin: float,
    most: int,
) -> list[Found]:
    if not problem.reference.strip():
        raise Rejected("no_reference", "what a program answers on a grown input has to be known")
    measured = await measure(pool, problem, codes, resource)
    if not measured:
        raise Rejected("no_input_grows", "the tests call nothing with literals that can be grown")
    found = []
    for better, worse in itertools.permutations(range(len(codes)), 2):
        ratios = [ratio_of(one, better, worse, SCALES[resource].least) for one in measured]
        if all(one is not None and one >= margin for one in ratios):
            least = min(one for one in ratios if one is not None)
            if math.isinf(least):  # no call is large enough to tell
                continue
            counts = _counts(measured, better, worse)
            evidence: Row = {
                resource: {"method": SCALES[resource].method, "margin": margin, **counts}
            }
            told = f"The rejected program {_TOLD[resource].format(least)}."
            found.append(Found(better, worse, least, evidence, told))
    if not found:
        raise Rejected("no_couple_beyond_the_margin")
    kept: list[Found] = []
    for one in _farthest_first(found):
        if len(kept) == most:
            break
        couple = codes[one.better], codes[one.worse]
        # The first call, in every way that it was grown.
        for grown in [way for way in measured if way.arguments is measured[0].arguments]:
            if await time_contradicts(pool, problem, *couple, grown, times=_TIMES[resource]):
                break
        else:
            kept.append(one)
    if not kept:
        raise Rejected("time_contradicts", "the program that needs less takes longer")
    return kept


def _counts(measured: list[Measured], better: int, worse: int) -> Row:
    """Both programs' counts on each call at each size; the totals of the largest are theirs."""
    sides = {"chosen": better, "rejected": worse}
    grown = [
        {
            "arguments": repr(one.arguments)[:200],
            "growth": one.growth,
            "factors": list(one.factors),
            **{side: list(one.counts[number]) for side, number in sides.items()},
        }
        for one in measured
    ]
    largest = [
        (a, b)
        for one in grown
        for a, b in [
            [pair for pair in zip(one["chosen"], one["rejected"], strict=True) if None not in pair][
                -1
            ]
        ]
    ]
    return {
        "chosen": sum(a for a, _ in largest),
        "rejected": sum(b for _, b in largest),
        "grown": grown,
    }


def _farthest_first(found: list[Found]) -> list[Found]:
    return sorted(found, key=lambda one: (-one.distance, one.better, one.worse))


def _by_findings(bandit: Bandit, codes: list[str], margin: int) -> list[Found]:
    findings = {n: rows for n, code in enumerate(codes) if (rows := bandit.find(code)) is not None}
    if len(findings) < 2:
        raise Rejected("fewer_than_two_read_by_bandit")
    found = []
    for better, worse in itertools.permutations(findings, 2):
        good, bad = badness(findings[better]), badness(findings[worse])
        # Nothing more of any severity, and less of high or medium: Bandit's low ones (an assert,
        # an import, `except: pass`, a random number) make a program no less secure.
        is_less = all(a <= b for a, b in zip(good, bad, strict=True))
        if is_less and sum(bad[:2]) - sum(good[:2]) >= margin:
            distance = sum(
                (b - a) * weight for a, b, weight in zip(good, bad, (100, 10, 1), strict=True)
            )
            sides = _sides(bandit, findings[better], findings[worse])
            evidence = {"findings": {**sides, "margin": margin}}
            told = "; ".join(dict.fromkeys(one.text for one in findings[worse]))
            found.append(Found(better, worse, float(distance), evidence, told))
    if not found:
        raise Rejected("no_couple_differs_in_findings", "by --margin, in high or medium")
    return _farthest_first(found)


def _sides(bandit: Bandit, good: list[Finding], bad: list[Finding]) -> Row:
    return {
        "bandit": bandit.version,
        "chosen": [one.to_row() for one in good],
        "rejected": [one.to_row() for one in bad],
    }


def _pair(problem: Problem, criterion: Criterion, programs: list[Row], found: Found) -> Preference:
    good, bad = programs[found.better], programs[found.worse]
    return Preference(
        id=content_id(problem.id, criterion, good["code"], bad["code"]),
        instruction=problem.instruction,
        chosen=good["code"],
        rejected=bad["code"],
        criteria=criterion,
        feedback=found.feedback,
        evidence={
            "chosen": good["execution"],
            "rejected": bad["execution"],
            "tests": {**problem.tests_evidence, "text": problem.tests},
            **found.evidence,
        },
        source="tests",
        level="samples",
        problem_id=problem.id,
        language=problem.language,
        license=problem.license,
        meta={"aspect": "efficiency" if criterion == "memory" else criterion},
    )
