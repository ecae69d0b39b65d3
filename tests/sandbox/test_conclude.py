"""What a run's facts are concluded to be, without running anything."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from codefavor.sandbox import Limits, SandboxPool
from codefavor.sandbox.checks import packed
from codefavor.sandbox.conclude import conclude
from codefavor.sandbox.worker import Report

_LIMITS = Limits(cpu_s=20.0)
_GONE = {"outcome": "gone", "error": "the program ended before the tests did", "total": 3}


def _report(number: int, cpu_s: float, verdict: dict[str, Any] | None) -> Report:
    facts = {
        "stopped": "", "program_status": int(number), "tests_status": 0, "program_cpu": cpu_s,
        "tests_cpu": 0.1, "peak_bytes": 1 << 20, "infra": "", "seconds": 81.0,
    }  # fmt: skip
    return Report(facts, verdict)


@pytest.mark.parametrize(
    ("number", "cpu_s", "outcome"),
    [
        (signal.SIGKILL, 22.0, "timeout"),
        (signal.SIGKILL, 19.6, "timeout"),
        (signal.SIGXCPU, 18.1, "timeout"),
        # What has computed little was not killed by the limit: a program can kill itself.
        (signal.SIGKILL, 0.1, "runtime_error"),
        (signal.SIGXCPU, 0.1, "runtime_error"),
        (signal.SIGSEGV, 19.6, "runtime_error"),
    ],
)
def test_a_death_near_the_cpu_limit_is_the_limit(number: int, cpu_s: float, outcome: str) -> None:
    run = conclude(
        _report(number, cpu_s, {**_GONE, "checks": packed([True])}), _LIMITS, "L3", "split"
    )
    assert run.outcome == outcome
    assert not run.no_evidence


def test_a_wrong_answer_before_the_limit_stays_one_however_the_limit_came() -> None:
    first = {"first": "wrong_output", "first_error": "f(1): 2 == 3 does not hold"}
    verdict = {**_GONE, **first, "checks": packed([True, False])}
    run = conclude(_report(signal.SIGKILL, 19.6, verdict), _LIMITS, "L3", "split")
    assert (run.outcome, run.error) == ("wrong_output", first["first_error"])
    died = conclude(_report(signal.SIGKILL, 0.1, verdict), _LIMITS, "L3", "split")
    assert died.outcome == "runtime_error"


def test_out_of_cpu_beside_its_tests_is_no_fault_of_the_sandbox() -> None:
    report = _report(signal.SIGKILL, 19.6, None)
    report.facts.update(tests_status=int(signal.SIGKILL), tests_cpu=0.0)
    assert conclude(report, _LIMITS, "L3", "together").outcome == "timeout"
    report.facts["program_cpu"] = 0.1
    assert conclude(report, _LIMITS, "L3", "together").outcome == "infra_error"


def test_a_program_that_kills_itself_has_failed(pools: dict[str, SandboxPool]) -> None:
    code = "import os\ndef f(x):\n    if x == 2:\n        os.kill(os.getpid(), 9)\n    return x\n"
    run = pools["L2"].run(code, "assert f(1) == 1\nassert f(2) == 2", Limits(cpu_s=1.0))
    assert (run.outcome, run.no_evidence) == ("runtime_error", "")


def test_a_program_out_of_cpu_time_after_a_wrong_answer(pools: dict[str, SandboxPool]) -> None:
    code = "def f(x):\n    if x == 2:\n        return sum(range(10**13))\n    return x\n"
    right, wrong = "assert f(1) == 1\nassert f(2) == 2", "assert f(1) == 5\nassert f(2) == 2"
    limits = Limits(cpu_s=0.5, wall_s=60.0)
    assert pools["L2"].run(code, right, limits, entry_point="f").outcome == "timeout"
    assert pools["L2"].run(code, wrong, limits, entry_point="f").outcome == "wrong_output"
