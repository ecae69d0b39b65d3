"""From what the processes did to an Execution: pure functions."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

from codefavor.records import Execution
from codefavor.sandbox.outcome import Limits
from codefavor.sandbox.worker import Report

# The kernel's limit counts clock ticks, 4 % and more ahead of the clock that `program_cpu` is of.
# A program that has spent this share of its time and dies by the limit's signals ran out of it.
_SPENT = 0.9
_OUT_OF_CPU = ("timeout", "the CPU time ran out")
_STOPPED = {
    "wall": ("timeout", "the wall time ran out"),
    "cpu": _OUT_OF_CPU,
    "output": ("output_limit", "the program wrote more than {output_bytes} bytes"),
    "files": ("output_limit", "the program filled its work directory"),
}
# A program that used less than this share of the wall time waited for something; a busy machine
# gives more to one that computes.
_WAITS = 0.02
WAITED = "and it hardly computed"
# By itself, or from outside: a system that is short of memory kills, too.
KILLED = "the program was killed (SIGKILL), and no limit was reached"
_REFUSAL = r"\[Errno (\d+)\] Unknown error \1"


def conclude(report: Report, limits: Limits, level: str, lane: str) -> Execution:
    """The result of one run. Passed only with a whole verdict (`read_verdict`)."""
    facts, verdict = report.facts, report.verdict or {}
    stopped, is_whole = facts["stopped"], bool(verdict) and facts["tests_status"] == 0
    if stopped in ("cpu", "wall") and "first" in verdict:
        outcome, error = verdict["first"], verdict["first_error"]
    elif stopped:
        outcome, error = _STOPPED[stopped]
        error = error.format(output_bytes=limits.output_bytes)
        spent = facts["program_cpu"] + facts["tests_cpu"]
        if stopped == "wall" and spent < _WAITS * facts["seconds"]:
            error = f"{error}, {WAITED}"
        if stopped == "cpu" and lane == "split" and facts["program_cpu"] < limits.cpu_s / 2:
            outcome, error = "unsupported", "the tests used up the CPU time, not the program"
    elif not is_whole and lane == "split":
        outcome, error = _without_verdict(facts, limits)
    elif not is_whole or verdict["outcome"] in ("gone", "bad_frame"):
        outcome, error = _explain_death(facts, limits, verdict)
        if (outcome, error) == _OUT_OF_CPU and "first" in verdict:
            outcome, error = verdict["first"], verdict["first_error"]
    else:
        outcome, error = verdict["outcome"], verdict.get("error", "")
    own_s = verdict.get("own_s", facts["tests_cpu"])
    if outcome in ("timeout", "memory") and lane == "split" and own_s > limits.cpu_s / 4:
        outcome, error = "unsupported", f"what crosses between two processes had a part in: {error}"
    return _execution(report, outcome, error, level, lane)


def _execution(report: Report, outcome: str, error: str, level: str, lane: str) -> Execution:
    verdict = report.verdict or {}
    # The number is each zygote's own, and says nothing to anybody.
    error = re.sub(_REFUSAL, "the jail refused the call", error)
    checks = verdict.get("checks", [])
    total = max(verdict.get("total", 0), len(checks))
    if outcome != "passed" and checks and all(checks):
        total = max(total, len(checks) + 1)  # it ended badly after the last of them
    return Execution(
        outcome=outcome,
        passed=sum(checks),
        total=total,
        error=error[:4000],
        seconds=round(float(report.facts["seconds"]), 6),
        peak_bytes=int(report.facts["peak_bytes"]),
        trust=lane,
        level=level,
        failed_assert=verdict.get("failed_assert", ""),
        asserts=tuple(checks),
        cases=verdict.get("cases", ()),
    )


def _without_verdict(facts: dict[str, Any], limits: Limits) -> tuple[str, str]:
    status = facts["tests_status"]
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == signal.SIGXCPU or (number and facts["tests_cpu"] >= limits.cpu_s):
        return "unsupported", "the tests used up the CPU time, not the program"
    if number == signal.SIGKILL:
        # No limit of ours was reached: the system was short of memory, or somebody did it.
        return "infra_error", "the tests' process was killed from outside"
    how = signal.strsignal(number) if number else f"exit {status >> 8}"
    return (
        "unsupported",
        f"the tests' process died ({how}) of the tests, or of what the program sent",
    )


def _explain_death(
    facts: dict[str, Any], limits: Limits, verdict: dict[str, Any]
) -> tuple[str, str]:
    status = facts["program_status"]
    if verdict.get("outcome") == "bad_frame":
        text = verdict.get("error", "")
        return ("output_limit" if "the limit is" in text else "runtime_error"), text
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGSYS:
            return "sandbox_violation", "the program made a forbidden system call"
        if _is_out_of_cpu(number, facts, limits):
            return _OUT_OF_CPU
        crashed = number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
        if crashed and facts["peak_bytes"] > limits.memory_bytes * 0.9:
            return "memory", f"out of memory ({signal.strsignal(number)})"
        if number == signal.SIGKILL:
            return "runtime_error", KILLED
        return "runtime_error", f"the program died ({signal.strsignal(number)})"
    return "runtime_error", f"the program ended (exit {status >> 8}) before its tests did"


def _is_out_of_cpu(number: int, facts: dict[str, Any], limits: Limits) -> bool:
    """Whether a program's death by this signal was by the limit: it can also kill itself."""
    is_of_limit = number in (signal.SIGXCPU, signal.SIGKILL)
    return is_of_limit and facts["program_cpu"] >= _SPENT * limits.cpu_s
