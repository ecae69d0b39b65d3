"""Answers of a program that knows the protocol: none can be sent ahead, and none ends a failure."""

from __future__ import annotations

import pytest

from codefavor.sandbox import Limits, SandboxPool

# The program's own end of the conversation.
_LINK = """
import os, sys
frame = getattr(sys, "_get" + "frame")()
while not hasattr(frame.f_locals.get("self"), "channel"):
    frame = getattr(frame, "f_" + "back")
link = frame.f_locals["self"]
def ahead(*values):
    for value in values:
        link.channel.send(["a", True, value, [], []])
        link.channel.send(["a", True, value, [], [], ""])
"""
_FAILS = "def f(x):\n    return 0\n"
_ALIVE = 'vars(type(link))["serve"].__globals__["_OPERATIONS"]["alive"] = lambda target: {}\n'
_ONE = "assert f(3) == 9"
_TWO = "def test_a():\n    assert f(3) == 9\n    assert f(4) == 16\n"


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "import time\ntime.sleep(.1)\nos._exit(3)", "", "x()"]
)
def test_answers_that_are_sent_ahead_are_none(pool: SandboxPool, end: str) -> None:
    old = 'link.channel.send(["a", True, 9, [], []])\n'
    for program in (_LINK + "ahead(None, 9, None)\n" + end, _LINK + old + old + old + end):
        result = pool.run(program, _ONE, entry_point="f")
        assert not result.is_evidence_of_pass, result
        assert (result.passed, result.outcome) == (0, "runtime_error"), result


@pytest.mark.parametrize("answer", ["1 / 0", "[][0]", "link.module.nothing"])
@pytest.mark.parametrize("fail_fast", [False, True])
def test_the_last_answer_takes_no_failure_away(
    pool: SandboxPool, answer: str, fail_fast: bool
) -> None:
    limits = Limits(fail_fast=fail_fast)
    program = _LINK + _ALIVE.format(answer) + _FAILS
    result = pool.run(program, _TWO, limits, entry_point="f")
    assert result.outcome in ("runtime_error", "wrong_output"), result
    assert (result.passed, result.no_evidence, result.failed_assert) == (0, "", _ONE), result
