"""What a run's facts are concluded to be, without running anything."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from codefavor.sandbox import Limits, SandboxPool
from codefavor.sandbox.conclude import KILLED, conclude
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
    run = conclude(_report(number, cpu_s, {**_GONE, "checks": [True]}), _LIMITS, "L3", "split")
    assert run.outcome == outcome
    assert not run.no_evidence


def test_a_wrong_answer_before_the_limit_stays_one_however_the_limit_came() -> None:
    first = {"first": "wrong_output", "first_error": "f(1): 2 == 3 does not hold"}
    verdict = {**_GONE, **first, "checks": [True, False]}
    run = conclude(_report(signal.SIGKILL, 19.6, verdict), _LIMITS, "L3", "split")
    assert (run.outcome, run.error) == ("wrong_output", first["first_error"])
    died = conclude(_report(signal.SIGKILL, 0.1, verdict), _LIMITS, "L3", "split")
    assert died.outcome == "runtime_error"


def test_a_death_beside_its_tests_is_no_fault_of_the_sandbox() -> None:
    report = _report(signal.SIGKILL, 19.6, None)
    report.facts.update(tests_status=int(signal.SIGKILL), tests_cpu=0.0)
    assert conclude(report, _LIMITS, "L3", "together").outcome == "timeout"
    report.facts["program_cpu"] = 0.1
    killed = conclude(report, _LIMITS, "L3", "together")
    # The pool runs it again: the system may have been short of memory.
    assert (killed.outcome, killed.error, killed.no_evidence) == (
        "runtime_error",
        KILLED,
        "together",
    )


@pytest.mark.parametrize("status", [int(signal.SIGSEGV), int(signal.SIGABRT), 1 << 8])
def test_a_death_of_the_tests_says_nothing_and_may_be_by_the_program(status: int) -> None:
    report = _report(0, 0.1, None)
    report.facts.update(tests_status=status)
    run = conclude(report, _LIMITS, "L3", "split")
    assert (run.outcome, run.no_evidence) == ("unsupported", "unsupported")
    assert "or of what the program sent" in run.error


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


_OK = {"outcome": "passed", "error": "", "checks": "Aw==", "total": 1}
_FORGED = {
    "nothing": b"",
    "empty": b"{}",
    "no object": b"[1]",
    "no text": b"\xff\xfe{",
    "deep": b"[" * 60_000,
    "a long number": b'{"outcome": "passed", "total": ' + b"9" * 5_000 + b"}",
    "an infinite number": b'{"outcome": "passed", "checks": "Aw==", "total": 1e999}',
    "no number": b'{"outcome": "passed", "checks": "Aw==", "total": 1, "own_s": NaN}',
    **{
        repr(change): json.dumps({**_OK, **change}).encode()
        for change in (
            {"outcome": "banana"}, {"outcome": "infra_error"}, {"outcome": "no_code"},
            {"outcome": "timeout", "error": "the wall time ran out"}, {"outcome": None},
            {"checks": ""}, {"checks": "Ag=="}, {"total": 2}, {"total": 0},
            {"total": "x"}, {"total": -5}, {"total": 1.5}, {"total": 10**400}, {"total": [1]},
            {"checks": 5}, {"checks": "\u00e9"}, {"checks": "A"}, {"error": 5},
            {"cases": 5}, {"cases": [[1]]}, {"cases": [["a", "b"]]}, {"cases": [[1, -5]]},
            {"cases": [[10**400, 1]]}, {"own_s": "x"}, {"outcome": "gone", "first": [1]},
            {"outcome": "gone", "first": "wrong_output", "first_error": {}},
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("written", _FORGED.values(), ids=_FORGED.keys())
def test_what_is_no_verdict_is_the_end_of_the_program(
    both_lanes: SandboxPool, written: bytes
) -> None:
    code = f"import os\nfor n in range(3, 64):\n    try: os.write(n, {written!r})\n"
    code += "    except OSError: pass\nos._exit(0)\n"
    run = both_lanes.run(code, "def test_f(tmp_path):\n    assert f(2) == 4\n")
    assert (run.outcome, run.no_evidence) == ("runtime_error", ""), run.error
    assert (run.passed, run.total) == (0, 0)


def test_a_case_cannot_cost_more_than_a_process_can(pools: dict[str, SandboxPool]) -> None:
    code = "import resource\nprint(1)\nresource.getrusage = lambda who: Cost()\n"
    code += "class Cost:\n    ru_utime, ru_stime, ru_maxrss = 0.0, 0.0, 10**400\n"
    run = pools["L2"].run(code, '{"cases": [{"input": "", "output": "1"}]}')
    assert (run.outcome, run.cases) == ("runtime_error", ()), run.error
