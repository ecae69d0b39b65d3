"""Answers of a program that knows the protocol: none can be sent ahead, and none ends a failure."""

from __future__ import annotations

import json

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


_NEAR = "return not abs({0} - {1}) > 1e-6"
_CHECKERS = {
    "complex": (_NEAR.format("complex(output)", "complex(expected)"), ["nanj", "1e999j"]),
    "Decimal": ("d = Decimal(output) - Decimal(expected)\n"
                "    return not d > 1 and not d < -1", ["I_nf", "nan"]),
    "a unit": (_NEAR.format("float(output.strip().rstrip('ms'))", "float(expected)"),
               ["nanm", "1e999s"]),
    "commas": (_NEAR.format("float(output.replace(',', ''))", "float(expected)"), ["1e9,99i,nf",
               "na,n"]),
    "found": ("import re\n    return all(not abs(a - 3) > 1e-6 for a in "
              "map(float, re.findall(r'[\\w.]+', output)))", ["nan"]),
    "json": ("import json\n    return not abs(float(json.loads(output)[0]) - 3) > 1e-6",
             ['["\\u006ean"]']),
    "squares": ("a, b = float(output), float(expected)\n"
                "    return (a - b) ** 2 <= 1e-9 * max(1, a * a)", ["1e200", "-1e300"]),
}  # fmt: skip


@pytest.mark.parametrize("style", _CHECKERS)
def test_no_number_at_infinity_passes_a_checker(pools: dict[str, SandboxPool], style: str) -> None:
    body, printed = _CHECKERS[style]
    head = "from decimal import Decimal\n" if style == "Decimal" else ""
    checker = f"{head}def check(input, output, expected):\n    {body}"
    spec = {"cases": [{"input": "", "output": "3"}], "compare": "checker", "checker": checker}
    for text in printed:
        result = pools["L2"].run(f"print({text!r})", json.dumps(spec))
        assert not result.is_evidence_of_pass, (text, result)
        assert result.outcome in ("unsupported", "wrong_output"), (text, result)


def test_a_checker_sees_the_floats_that_it_means(pools: dict[str, SandboxPool]) -> None:
    checker = (
        "def check(input, output, expected):\n    values = list(map(float, output.split()))\n"
        "    return isinstance(values[0], float) and values[0] == 3.0"
    )
    spec = {"cases": [{"input": "", "output": "3"}], "compare": "checker", "checker": checker}
    for text, outcome in (("3.0 1e70", "passed"), ("3.5 1", "wrong_output")):
        assert pools["L2"].run(f"print({text!r})", json.dumps(spec)).outcome == outcome


@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "signal.raise_signal(signal.SIGABRT)",
        "signal.pthread_kill(threading.get_ident(), signal.SIGHUP)",
        "signal.setitimer(signal.ITIMER_REAL, .05); time.sleep(.2)",
    ],
)
def test_a_program_that_dies_of_a_signal_on_the_desk_passes_nowhere(
    pool: SandboxPool, end: str
) -> None:
    program = f"import os, signal, threading, time\ndef f(x):\n    {end}\n    return x * x\n"
    script = f"import os, signal, threading, time\nprint(9)\nsys = 1\n{end}\n"
    assert not pool.run(program, _ONE, entry_point="f").is_evidence_of_pass
    spec = {"cases": [{"input": "", "output": "9"}]}
    assert not pool.run(script, json.dumps(spec)).is_evidence_of_pass


@pytest.mark.parametrize("printed", ["inf", "1e999", "9" * 400])
def test_what_is_infinite_as_a_float_is_near_nothing(
    pools: dict[str, SandboxPool], printed: str
) -> None:
    spec = {"cases": [{"input": "", "output": "1" + "0" * 400}], "compare": "float:1e-6"}
    for text, outcome in ((printed, "wrong_output"), ("1" + "0" * 400, "passed")):
        assert pools["L2"].run(f"print({text!r})", json.dumps(spec)).outcome == outcome


def test_a_checker_cannot_catch_what_it_may_not_read(pools: dict[str, SandboxPool]) -> None:
    checker = (
        "def check(input, output, expected):\n    try:\n"
        "        ok = abs(float(output) - float(expected)) < 1e-6\n"
        "    except:\n        ok = True\n    return ok"
    )
    spec = {"cases": [{"input": "", "output": "3"}], "compare": "checker", "checker": checker}
    for text, outcome in (("nan", "unsupported"), ("3", "passed"), ("4", "wrong_output")):
        assert pools["L2"].run(f"print({text!r})", json.dumps(spec)).outcome == outcome


def test_cases_of_standard_input_never_run_as_python(both_lanes: SandboxPool) -> None:
    checker = "def check(input, output, expected):\n    return float(output) < float('inf')"
    spec = {"cases": [{"input": "3", "output": "3"}], "compare": "checker", "checker": checker}
    result = both_lanes.run("print(int(input()))", json.dumps(spec))
    assert (result.outcome, result.trust) == ("unsupported", "split"), result
