"""Scoring test suites on the programs of their problems: a step for the runner, and its summary."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from codefavor.errors import Rejected
from codefavor.records import Problem, Row, content_id
from codefavor.sandbox import SandboxPool
from codefavor.scoring.suite_quality import SuiteQuality, quality_of
from codefavor.scoring.suite_runs import LETTERS, SuiteRunner
from codefavor.scoring.suite_target import N_MUTANTS, Target, make_target

if TYPE_CHECKING:
    from codefavor.engine.context import Context
    from codefavor.engine.runner import Step

_MOST_TARGETS = 512


class SuiteScorer:
    """Measures suites in one pool; each problem's programs are made and verified once.

    `pool` must accept the together lane. `known_wrong` holds wrong programs that somebody wrote,
    by problem id. Thread-safe; use as a context manager (the pool stays its owner's).
    """

    def __init__(
        self,
        pool: SandboxPool,
        *,
        n_mutants: int = N_MUTANTS,
        known_wrong: Mapping[str, Sequence[str]] | None = None,
        seed: int = 0,
    ) -> None:
        self._pool, self._runner = pool, SuiteRunner(pool)
        self._n_mutants, self._seed = n_mutants, seed
        self._known_wrong = known_wrong or {}
        self._targets: OrderedDict[str, Future[Target]] = OrderedDict()
        self._lock = threading.Lock()

    def __enter__(self) -> SuiteScorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started for this object alone."""
        self._runner.close()

    def target_of(self, problem: Problem) -> Target:
        """The programs of a problem. Raises what `make_target` raises, each time it is asked."""
        key = content_id(problem.id, problem.reference, problem.tests, problem.setup)
        with self._lock:
            known = self._targets.get(key)
            if known is None:
                mine = self._targets[key] = Future[Target]()
                if len(self._targets) > _MOST_TARGETS:
                    self._targets.popitem(last=False)
        if known is not None:
            return known.result()
        wrong = self._known_wrong.get(problem.id, ())
        try:
            target = make_target(
                problem, self._pool, n_mutants=self._n_mutants, known_wrong=wrong, seed=self._seed
            )
            mine.set_result(target)
        except BaseException as error:  # whoever waits for the same problem must hear of it too
            mine.set_exception(error)
            if not isinstance(error, Rejected):
                with self._lock:
                    self._targets.pop(key, None)
        return mine.result()

    def quality(self, suite: str, problem: Problem) -> SuiteQuality:
        """Measure one suite. Raises Rejected for a problem on which none can be measured."""
        return quality_of(suite, self.target_of(problem), self._runner, seed=self._seed)


def missed_programs(target: Target, quality: SuiteQuality) -> list[Row]:
    """The wrong programs that a suite let pass, each with `why`: its line never ran, no check of
    its answers saw it, or the suite failed it for no reason of the program's.
    """
    unreached = set(quality.unreached)
    rows = []
    for n in quality.missed:
        wrong, letter = target.wrong[n], quality.ends[n]
        lines = changed_lines(target.right, wrong.code)
        if letter != "P":
            why = f"{LETTERS[letter]}, which is no reason of the program's"
        elif lines and lines <= unreached:
            why = f"line {min(lines)} never ran"
        elif lines:
            why = f"line {min(lines)} ran, and no check saw the difference"
        else:
            why = "no check saw the difference"
        rows.append({**vars(wrong), "why": why})
    return rows


def changed_lines(right: str, wrong: str) -> set[int]:
    """The lines of the right program, from 1, that are others or gone in the wrong one."""
    a, b = right.splitlines(), wrong.splitlines()
    changes = SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes()
    found: set[int] = set()
    for tag, first, last, _, _ in changes:
        if tag != "equal":
            # Lines that came in stand behind one that is the right program's.
            found.update(range(first + 1, max(last, first + 1) + 1))
    return {line for line in found if line <= len(a)}


def score_suites(scorer: SuiteScorer, problems: Mapping[str, Problem]) -> Step:
    """A step from {"id", "completion"} to the completion's row with "quality"."""

    async def step(row: Row, context: Context) -> Row:
        completion = row["completion"]
        problem = problems[completion["problem_id"]]
        quality = await asyncio.to_thread(scorer.quality, completion["code"], problem)
        target = scorer.target_of(problem)
        missed = missed_programs(target, quality)
        n_left = target.n_known_left_out
        return {
            **completion,
            "quality": quality.to_row(),
            "missed_programs": missed,
            **({"known_wrong_left_out": n_left} if n_left else {}),
        }

    return step


def problems_with_suites(
    rows: Iterable[Row], problems: Mapping[str, Problem], threshold: float
) -> list[Row]:
    """Problem rows whose tests are the best suite of theirs at or above the threshold.

    They are a model's tests: they label only where the problem's own tests showed the wrong
    programs to be wrong (`tests_checked`, which also holds the score). The id says that the tests
    are others.
    """
    best: dict[str, Row] = {}
    for row in rows:
        score = row["quality"]["score"]
        known = best.get(row["problem_id"])
        if score >= threshold and (known is None or score > known["quality"]["score"]):
            best[row["problem_id"]] = row
    return [
        {
            **problems[name].to_row(),
            "id": f"{name}/suite",
            "tests": row["code"],
            "tests_by": "model",
            "tests_checked": {
                "is_valid": row["quality"]["trust"] == "tests",
                "why": "" if row["quality"]["trust"] == "tests" else "wrong_programs_unverified",
                "suite_score": row["quality"]["score"],
            },
        }
        for name, row in best.items()
    ]


def summarize_suites(rows: Iterable[Row], threshold: float) -> dict[str, Any]:
    """Mean of the score and of each part, share at or above the threshold, counts of defects."""
    qualities = [row["quality"] for row in rows]
    n = len(qualities)
    parts: dict[str, list[float]] = {}
    for quality in qualities:
        for name, value in quality["parts"].items():
            parts.setdefault(name, []).append(value)
    return {
        "n": n,
        "score": sum(q["score"] for q in qualities) / n if n else 0.0,
        "threshold": threshold,
        "share_above": sum(q["score"] >= threshold for q in qualities) / n if n else 0.0,
        "parts": {name: sum(values) / len(values) for name, values in parts.items()},
        "defects": dict(Counter(q["defect"] for q in qualities if q["defect"]).most_common()),
        "engines": dict(Counter(q["engine"] for q in qualities if q["engine"])),
        "trust": dict(Counter(q["trust"] for q in qualities)),
    }
