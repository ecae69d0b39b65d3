"""Whom a run blames, and how much of it was right: each was wrong once, as an outsider found."""

from __future__ import annotations

import json

import pytest

from codefavor.sandbox import Limits, SandboxPool
from codefavor.sandbox.outcome import Job
from codefavor.sandbox.pool import Worker

PASSED, WRONG, UNSUPPORTED = "passed", "wrong_output", "unsupported"

UNIT = """
import enum
class Unit(enum.StrEnum):
    KM = "km"
class Text(str):
    pass
class Odd(Exception):
    pass
def fmt():
    return Text("%Y")
def odd():
    return Odd("x")
def apply(fn, xs):
    return [fn(x) for x in xs]
def safe(fn):
    try:
        return fn()
    except TypeError:
        return "bad"
"""
FROM = "from datetime import date\nfrom solution import Unit, apply, fmt, odd, safe\n"
# An error of the interpreter that one process would not have had: name -> tests.
OF_HANDLES = {
    "a program catches it": "f = fmt()\nassert safe(lambda: date(2020, 1, 2).strftime(f)) == 'bad'",
    "a program catches it, in": "assert safe(lambda: Unit.KM in '3km') == 'bad'",
    "the tests catch it": (
        "def ask():\n    try:\n        return Unit.KM in '3km'\n    except TypeError:\n"
        "        return 'bad'\nassert safe(ask) == 'bad'"
    ),
    "endswith": "assert apply(lambda x: x.endswith(Unit.KM), ['3km']) == [True]",
    "split": "assert apply(lambda x: x.split(Unit.KM), ['3km4']) == [['3', '4']]",
    "replace": "assert apply(lambda x: x.replace(Unit.KM, ''), ['3km']) == ['3']",
    "strftime": "assert apply(lambda d: d.strftime(Unit.KM), [date(2020, 1, 2)]) == ['km']",
    "raise": "def bad():\n    raise odd()\nassert safe(bad) == 'bad'",
    "raise from": "def bad():\n    raise TypeError('x') from odd()\nassert safe(bad) == 'good'",
}
# The same without a callback, where the entry point is the only object: name -> (program, tests).
OF_ENTRY = {
    "a StrEnum": (
        "import enum\nclass D(enum.StrEnum):\n    C = ','\nf = D.C",
        "from solution import f\nassert f in 'a,b'",
    ),
    "a StrEnum that is caught": (
        "import enum\nclass D(enum.StrEnum):\n    C = ','\nf = D.C",
        "from solution import f\ntry:\n    found = f in 'a,b'\nexcept TypeError:\n    found = 3\n"
        "assert found == 3",
    ),
    "a type of numpy's": (
        "f = int",
        "import numpy as np\nfrom solution import f\nassert f(3) == 3\n"
        "assert np.array([1]).astype(f)[0] == 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("tests", OF_HANDLES.values(), ids=OF_HANDLES.keys())
def test_an_error_about_a_handle_never_reaches_the_program(
    pools: dict[str, SandboxPool], tests: str
) -> None:
    result = pools["L2"].run(UNIT, FROM + tests)
    assert result.outcome == UNSUPPORTED, result


@pytest.mark.parametrize(("program", "tests"), OF_ENTRY.values(), ids=OF_ENTRY.keys())
def test_an_error_about_the_entry_point_blames_nobody(
    pools: dict[str, SandboxPool], program: str, tests: str
) -> None:
    result = pools["L2"].run(program, tests, entry_point="f")
    assert result.outcome == UNSUPPORTED, result


def test_other_errors_in_a_callback_still_reach_the_program(pools: dict[str, SandboxPool]) -> None:
    program = "def f(fn):\n    try:\n        return fn(3)\n    except {}:\n        return 'caught'"
    for kind, ask in (("AttributeError", "x.foo"), ("TypeError", "'a' + x"), ("KeyError", "{}[x]")):
        result = pools["L2"].run(program.format(kind), f"assert f(lambda x: {ask}) == 'caught'")
        assert result.outcome == PASSED, result
    result = pools["L2"].run("def f(x):\n    return None", "assert f(1)[0] == 1", entry_point="f")
    assert result.outcome == "runtime_error", result


# Checks in helpers and loops whose rounds the text does not tell: name -> tests.
_SAME = (
    "    assert isinstance(got, list)\n    assert len(got) == len(want)\n"
    "    assert got[0] == want[0]\n    assert got == want\n"
)
FARMS = {
    "a helper in asserts": f"def assert_ok(got, want):\n{_SAME}def test_a():\n"
    + "".join(f"    assert_ok(f([{n}, 1]), [1, {n}])\n" for n in (2, 3, 4, 5)),
    "a helper in several tests": f"def same(got, want):\n{_SAME}"
    + "".join(f"def test_{n}():\n    same(f([{n}, 1]), [1, {n}])\n" for n in (2, 3, 4)),
    "a helper of a class": (
        "import unittest\nclass TestF(unittest.TestCase):\n    def same(self, got, want):\n"
        "        self.assertIsInstance(got, list)\n        self.assertEqual(got, want)\n"
    ) + "".join(f"    def test_{n}(self):\n        self.same(f([{n}, 1]), [1, {n}])\n"
                for n in (2, 3, 4)),
    "a table": (
        "def assertion(got, want):\n    assert got == want\ndef check(candidate):\n"
        "    for n, want in enumerate([[1, k] for k in range(2, 12)], 2):\n"
        "        assertion(candidate([n, 1]), want)\n"
    ),
    "a loop": "n = 2\nwhile n < 9:\n    assert f([n, 1]) == [1, n]\n    n += 1\n",
}  # fmt: skip
_BADLY = ("raise ValueError", "raise AssertionError", "os._exit(0)", "while True: pass", "f(1, 2)")


@pytest.mark.parametrize("tests", FARMS.values(), ids=FARMS.keys())
def test_ending_badly_is_worth_no_more_than_wrong_answers(
    pools: dict[str, SandboxPool], tests: str
) -> None:
    def share(n_right: int, then: str) -> float:
        program = (
            "import os\nn = 0\ndef f(x):\n    global n\n    n += 1\n"
            f"    if n <= {n_right}:\n        return sorted(x)\n    {then}"
        )
        run = pools["L2"].run(program, tests, Limits(cpu_s=0.5, wall_s=30.0), entry_point="f")
        assert not run.is_evidence_of_pass
        return run.share_of_checks

    for n_right in (1, 2):
        wrong = share(n_right, "return [0, 0]")
        assert all(share(n_right, then) <= wrong for then in _BADLY)


def test_a_class_that_pytest_does_not_collect_is_not_run(both_lanes: SandboxPool) -> None:
    tests = (
        "class TestHelper:\n    __test__ = False\n    def test_x(self):\n        assert f(2) == 5\n"
        "def test_y():\n    assert f(2) == 4\n"
    )
    result = both_lanes.run("def f(x):\n    return x * x", tests, entry_point="f")
    assert (result.outcome, result.trust) == (PASSED, "together"), result


@pytest.mark.parametrize("n_checks", [10_000, 20_000, 150_000])
def test_partial_credit_of_any_number_of_checks(
    pools: dict[str, SandboxPool], n_checks: int
) -> None:
    program = "def f(i):\n    return i if i % 2 else 'é' * 300"
    tests = f"for i in range({n_checks}):\n    assert f(i) == i"
    result = pools["L2"].run(program, tests, Limits(cpu_s=60.0, wall_s=300.0), entry_point="f")
    assert (result.passed, result.total) == (n_checks // 2, n_checks)
    assert result.asserts[:4] == (False, True, False, True)
    assert len(result.asserts) == n_checks


@pytest.mark.parametrize(
    ("compare", "expected", "printed"),
    [
        ("float:1e-6", "12", "print('１２')"),
        ("float:1e-6", "3.5", "print('٣.٥')"),
        ("exact", "\ufffd\n", "import sys\nsys.stdout.buffer.write(b'\\xff\\n')"),
        ("tokens", "\ufffd", "import sys\nsys.stdout.buffer.write(b'\\xff\\n')"),
    ],
)
def test_what_is_printed_is_not_what_it_resembles(
    pools: dict[str, SandboxPool], compare: str, expected: str, printed: str
) -> None:
    spec = {"cases": [{"input": "", "output": expected}], "compare": compare}
    result = pools["L2"].run(printed, json.dumps(spec))
    assert result.outcome == WRONG, result


SPAWNS = (
    "import subprocess, sys\nfrom solution import f\ndef test_f():\n"
    "    subprocess.run([sys.executable, '-c', 'pass'])\n    assert f(1) == 1\n"
)


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        ('"""Executes the system\'s Process, by fork."""\ndef f(x):\n    return x', UNSUPPORTED),
        ("def f(x):  # may exec a subprocess\n    return x", UNSUPPORTED),
        ("class DataProcessor:\n    def execute(self): ...\ndef f(x):\n    return x", UNSUPPORTED),
        ("import os\ndef f(x):\n    return os.system('true')", "sandbox_violation"),
        ("import subprocess as s\ndef f(x):\n    return s.run(['true'])", "sandbox_violation"),
        ("from multiprocessing.pool import Pool\ndef f(x):\n    return x", "sandbox_violation"),
    ],
)
def test_the_words_of_a_docstring_start_no_process(
    both_lanes: SandboxPool, program: str, outcome: str
) -> None:
    assert both_lanes.run(program, SPAWNS).outcome == outcome


def test_a_program_killed_from_outside_once_is_not_blamed(
    pools: dict[str, SandboxPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills whom it chooses when memory is short: here the first run's program."""
    ran: list[str] = []
    run = Worker.run

    def run_killed(self: Worker, job: Job, *rest: object) -> object:
        ran.append(job.code)
        end = "import os\nos.kill(os.getpid(), 9)\n" if len(ran) == 1 else ""
        return run(self, Job(**{**vars(job), "code": end + job.code}), *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Worker, "run", run_killed)
    result = pools["L2"].run("def f(x):\n    return x + 41", "assert f(1) == 42", entry_point="f")
    assert (result.outcome, len(ran)) == (PASSED, 2), result


def test_a_program_that_is_killed_each_time_was_not_short_of_memory_once(
    pools: dict[str, SandboxPool],
) -> None:
    program = "import os\ndef f(x):\n    os.kill(os.getpid(), 9)"
    result = pools["L2"].run(program, "assert f(1) == 42", entry_point="f")
    assert (result.outcome, result.no_evidence) == ("runtime_error", "")
    assert "was killed (SIGKILL), and no limit was reached" in result.error
