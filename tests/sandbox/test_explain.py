"""`explain` says of tests that no program can pass that they are so, and why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codefavor.sandbox import SandboxPool, choose_lane
from codefavor.sandbox.lane import DO_NOT_PARSE, NO_PROGRAM

CASE = {"input": "", "output": "1"}


def _tests(compare: str, checker: str | None = None) -> str:
    spec: dict[str, Any] = {"cases": [CASE], "compare": compare}
    return json.dumps(spec if checker is None else {**spec, "checker": checker})


def _checker(body: str, head: str = "") -> str:
    return _tests("checker", f"{head}def check(input, output, expected):\n    {body}\n")


@pytest.mark.parametrize(
    "tests",
    [
        _checker("return json.loads(output) == 1", "import json\n"),
        _checker("return D(output) == 1", "from json import loads as D\n"),
        _checker("from decimal import Decimal\n    return Decimal(output) == 1"),
        _checker("return decimal.Decimal(output) == 1", "import decimal\n"),
        _checker("return complex(output) == 1"),
        _checker("return os.path.exists(output)", "import os\n"),
        _checker("return ("),
        "x = f(1)\n",
        "def check(candidate):\n    candidate(1) == 2\n",
    ],
)
def test_what_no_program_passes_is_said_before_it_runs(
    pools: dict[str, SandboxPool], tests: str
) -> None:
    assert NO_PROGRAM in choose_lane(tests, "f").reason
    run = pools["L2"].run("def f(x):\n    return 2\nprint(1)\n", tests, entry_point="f")
    assert run.outcome in ("unsupported", "test_error"), run


@pytest.mark.parametrize(
    "tests",
    [_tests("checker"), _tests("checker", None), _tests("float:2"), _tests("float:-1"),
     _tests("float:1e6"), _tests("float:"), _tests("float:1.2.3"), "[" * 100_000,
     '{"cases": ' + "[" * 100_000, r'{"cases": [{"input": "\ud800", "output": "1"}]}'],
)  # fmt: skip
def test_what_cannot_be_read_is_said_before_it_runs(
    pools: dict[str, SandboxPool], tests: str
) -> None:
    assert choose_lane(tests, "f").reason.startswith(DO_NOT_PARSE)
    assert pools["L2"].run("print(1)", tests).outcome == "test_error"


@pytest.mark.parametrize(
    "tests",
    [
        _tests("float:1e-6", "import os\ndef check(input, output, expected):\n    return 1\n"),
        _tests("float:0"), _tests("float:0.01"), _tests("float:1.5e-3"),
        _checker("return 1 if int(output) == int(expected) else 0"),
        _checker("return Fraction(output) == 1", "from fractions import Fraction\n"),
        _checker("return Decimal(output) == 1", "from decimal import Decimal\n"),
    ],
)  # fmt: skip
def test_what_can_be_passed_is_passed_and_failed(pools: dict[str, SandboxPool], tests: str) -> None:
    assert choose_lane(tests).reason == "inputs and outputs as text"
    assert pools["L2"].run("print(1)", tests).outcome == "passed"
    assert pools["L2"].run("print(2)", tests).outcome == "wrong_output"


def test_a_default_factory_that_is_none_is_no_bad_answer(pools: dict[str, SandboxPool]) -> None:
    code = (
        "from collections import defaultdict\ndef f(x):\n    d = defaultdict(int, {1: x})\n"
        "    d.default_factory = 0\n    return d\n"
    )
    run = pools["L2"].run(code, "assert f(2)[1] == 2", entry_point="f")
    assert run.outcome in ("passed", "unsupported"), run
