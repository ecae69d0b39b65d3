"""What a test run may decide, and what it must leave open."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codefavor.errors import SandboxError
from codefavor.judges.execution import ExecutionJudge
from codefavor.records import Comparison, Execution, Problem, Verdict

PASSED = Execution("passed", passed=3, total=3)
NO_EVIDENCE = {
    "the tests are at fault": Execution("test_error", error="NameError in the tests"),
    "the program broke out": Execution("sandbox_violation", passed=3, total=3),
    "the machine was busy": Execution("timeout", passed=2, total=3, error="wall time 10 s"),
    "the verdict could be forged": Execution("passed", passed=3, total=3, trust="in_process"),
}


class Pool:
    """Gives each program the run that is named after it."""

    def __init__(self, **runs: Execution) -> None:
        self.runs = runs
        self.asked: list[str] = []

    async def run_async(
        self, code: str, tests: str, limits: Any = None, **options: Any
    ) -> Execution:
        self.asked.append(code)
        return self.runs[code]


async def verdict_of(pool: Pool, a: str, b: str, tests: str = "assert True") -> Verdict:
    problems = {"p": Problem("p", "Do it.", tests=tests, entry_point="f")}
    judge = ExecutionJudge(problems, pool)
    (verdict,) = await judge.compare([Comparison("Do it.", a, b, id="p")])
    return verdict


@pytest.mark.parametrize("run", NO_EVIDENCE.values(), ids=NO_EVIDENCE)
@pytest.mark.parametrize("side", ["A", "B"])
async def test_a_run_that_is_no_evidence_decides_nothing(run: Execution, side: str) -> None:
    failed = Execution("wrong_output", passed=1, total=3)
    for other in (PASSED, failed):
        pool = Pool(odd=run, other=other)
        shown = ("odd", "other") if side == "A" else ("other", "odd")
        verdict = await verdict_of(pool, *shown)
        assert verdict.choice == "undecided"
        assert run.outcome in verdict.raw


async def test_a_programs_own_time_limit_is_evidence() -> None:
    slow = Execution("timeout", passed=0, total=3, error="CPU time 10 s")
    assert (await verdict_of(Pool(slow=slow, good=PASSED), "slow", "good")).choice == "B"


@pytest.mark.parametrize("tests", ["", " \n"])
async def test_without_tests_nothing_runs_and_nothing_is_decided(tests: str) -> None:
    pool = Pool(a=PASSED, b=PASSED)
    verdict = await verdict_of(pool, "a", "b", tests)
    assert (verdict.choice, pool.asked) == ("undecided", [])
    assert json.loads(verdict.raw) == {"reason": "no tests"}


async def test_passing_all_beats_any_share_and_equal_runs_tie() -> None:
    # Two of two asserts reached, all held, but the program died afterwards.
    died = Execution("exception", passed=2, total=2)
    half, third = Execution("wrong_output", 1, 2), Execution("wrong_output", 1, 3)
    pool = Pool(died=died, good=PASSED, half=half, third=third, none=Execution("exception"))
    for a, b, choice in [
        ("good", "died", "A"), ("died", "good", "B"), ("half", "third", "A"),
        ("third", "half", "B"), ("none", "third", "B"), ("good", "good", "tie"),
    ]:  # fmt: skip
        assert (await verdict_of(pool, a, b)).choice == choice, (a, b)


async def test_a_dead_sandbox_is_an_error_and_the_program_runs_again_later() -> None:
    pool = Pool(a=Execution("infra_error", error="the pool died"), b=PASSED)
    judge = ExecutionJudge(
        {"Do it.": Problem("p", "Do it.", tests="assert True", entry_point="f")}, pool
    )
    comparison = Comparison("Do it.", "a", "b")
    with pytest.raises(SandboxError, match="the pool died"):
        await judge.compare([comparison])
    pool.runs["a"] = Execution("wrong_output", 0, 3)
    assert [one.choice for one in await judge.compare([comparison])] == ["B"]
    # The other program's run was kept.
    assert pool.asked.count("a") == 2
    assert pool.asked.count("b") == 1
