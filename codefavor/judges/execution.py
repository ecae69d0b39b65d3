"""The test run as judge: the program that passes more of the tests is better."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from codefavor.backends.microbatch import gather_all
from codefavor.errors import SandboxError
from codefavor.records import Comparison, Execution, Problem, Verdict, canonical_json
from codefavor.sandbox import SandboxPool


class ExecutionJudge:
    """Runs both programs against the problem's tests.

    `problems` gives the problem of a comparison by its id or by its instruction; `limits` are
    the sandbox's. Passing beats failing; between two failures the larger share of passed
    asserts wins; equal results tie. Without tests, or where a run is no evidence (its tests are
    at fault, the machine was too slow), it is undecided. Each program of a problem runs once,
    however often it is compared.
    """

    def __init__(
        self, problems: Mapping[str, Problem], pool: SandboxPool, limits: Any = None
    ) -> None:
        self.name = "execution"
        self._problems = problems
        self._pool = pool
        self._limits = limits
        self._runs: dict[tuple[str, str, str, str], asyncio.Task[Execution]] = {}

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison. Raises SandboxError where the sandbox failed."""
        return await gather_all(self._compare_one(one) for one in comparisons)

    async def _compare_one(self, comparison: Comparison) -> Verdict:
        problem = self._problems.get(comparison.id) or self._problems.get(comparison.instruction)
        if problem is None or not problem.tests.strip():
            return Verdict("undecided", None, canonical_json({"reason": "no tests"}))
        codes = (comparison.code_a, comparison.code_b)
        runs = await asyncio.gather(*(self._run(code, problem) for code in codes))
        raw = canonical_json([_told(run) for run in runs])
        if any(run.no_evidence for run in runs):
            return Verdict("undecided", None, raw)
        score_a, score_b = (_score(run) for run in runs)
        if score_a == score_b:
            return Verdict("tie", None, raw)
        return Verdict("A" if score_a > score_b else "B", None, raw)

    async def _run(self, code: str, problem: Problem) -> Execution:
        key = (code, problem.tests, problem.entry_point, problem.setup)
        if key not in self._runs:
            self._runs[key] = asyncio.ensure_future(
                self._pool.run_async(
                    code,
                    problem.tests,
                    self._limits,
                    entry_point=problem.entry_point,
                    setup=problem.setup,
                )
            )
        execution = await self._runs[key]
        if execution.outcome == "infra_error":
            # Not kept: when the row is tried again, the sandbox may work.
            self._runs.pop(key, None)
            raise SandboxError(execution.error)
        return execution


def _told(run: Execution) -> dict[str, Any]:
    return {name: getattr(run, name) for name in ("outcome", "passed", "total", "error")}


def _score(run: Execution) -> tuple[bool, float]:
    return run.is_evidence_of_pass, run.share_of_checks
