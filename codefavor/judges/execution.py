"""The test run as judge: the program that passes more of the tests is better."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from codefavor.records import Comparison, Execution, Problem, Verdict, canonical_json


class RunsTests(Protocol):
    """What this judge needs of a sandbox pool."""

    async def run_async(
        self, code: str, tests: str, limits: Any = None, *, entry_point: str = ""
    ) -> Execution: ...


class ExecutionJudge:
    """Runs both programs against the problem's tests.

    `problems` gives the problem of a comparison by its id or by its instruction. Passing beats
    failing; between two failures the larger share of passed asserts wins; equal results tie.
    Without tests, or where the tests themselves are at fault, it is undecided.
    """

    def __init__(self, problems: Mapping[str, Problem], pool: RunsTests) -> None:
        self.name = "execution"
        self._problems = problems
        self._pool = pool

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison. Raises SandboxError where the sandbox failed."""
        return list(await asyncio.gather(*(self._compare_one(one) for one in comparisons)))

    async def _compare_one(self, comparison: Comparison) -> Verdict:
        problem = self._problems.get(comparison.id) or self._problems.get(comparison.instruction)
        if problem is None or not problem.tests.strip():
            return Verdict("undecided", None, canonical_json({"reason": "no tests"}))
        runs = await asyncio.gather(
            *(
                self._pool.run_async(code, problem.tests, entry_point=problem.entry_point)
                for code in (comparison.code_a, comparison.code_b)
            )
        )
        raw = canonical_json(
            [
                {
                    "outcome": run.outcome,
                    "passed": run.passed,
                    "total": run.total,
                    "error": run.error,
                }
                for run in runs
            ]
        )
        score_a, score_b = (_score(run) for run in runs)
        if score_a == score_b:
            return Verdict("tie", None, raw)
        return Verdict("A" if score_a > score_b else "B", None, raw)


def _score(run: Execution) -> tuple[bool, float]:
    return run.is_pass, run.passed / run.total if run.total else 0.0
