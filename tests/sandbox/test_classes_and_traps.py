"""Names in the bodies of classes, and failures that tests catch: each was judged wrongly once."""

from __future__ import annotations

import json

import pytest

from codefavor.sandbox import SandboxPool, choose_lane
from codefavor.sandbox.lane import TOGETHER
from codefavor.sandbox.outcome import Job, Limits

PASSED, WRONG, ERROR, UNSUPPORTED = "passed", "wrong_output", "runtime_error", "unsupported"
SAME = "def f(x):\n    return x"
CASE = "import unittest\nclass TestF(unittest.TestCase):\n"
PLAIN = "class TestF:\n"
SOLUTION = "class Solution:\n    def g(self, x):\n        return x"
TABLE = (
    "import pytest\nclass TestF:\n"
    "    @pytest.mark.parametrize('got,want', [(f(1), 1), (f(2), 2)])\n"
    "    def test_a(self, got, want):\n        assert got == want"
)
# What a class body, a default, an annotation or a decorator reads:
# name -> (program, tests, entry point, outcome).
IN_CLASSES = {
    "an object of the program": (
        SOLUTION, f"{CASE}    s = Solution()\n    def test_a(self):\n"
        "        self.assertEqual(self.s.g(3), 3)", "Solution", PASSED,
    ),
    "an annotation": (
        SOLUTION, f"{CASE}    def ask(self, s: Solution) -> int:\n        return s.g(1)\n"
        "    def test_a(self):\n        self.assertEqual(self.ask(Solution()), 1)",
        "Solution", PASSED,
    ),
    "a default": (
        SAME, f"{CASE}    def test_a(self, fn=f):\n        self.assertEqual(fn(3), 3)", "f", PASSED,
    ),
    "a table": (SAME, TABLE, "f", PASSED),
    "a table of wrong answers": ("def f(x):\n    return 1", TABLE, "f", WRONG),
    "a library": (
        SAME, f"{PLAIN}    n = math.sqrt(4)\n    def test_a(self):\n        assert f(2) == self.n",
        "f", PASSED,
    ),
    "a check": (
        SAME, f"{PLAIN}    assert f(1) == 1\n    def test_a(self):\n        assert f(2) == 2",
        "f", PASSED,
    ),
    "a name that the class gives another value": (
        SAME, f"{PLAIN}    f = f(3)\n    def test_a(self):\n        assert self.f == f(3)",
        "f", PASSED,
    ),
    "a function called like a builtin": (
        "def sum(xs):\n    return 0",
        f"{PLAIN}    got = sum([1, 2])\n    def test_a(self):\n        assert self.got == 3",
        "sum", WRONG,
    ),
    "a default called like a builtin": (
        "def sorted(xs):\n    return xs",
        f"{PLAIN}    def test_a(self, fn=sorted):\n        assert fn([2, 1]) == [1, 2]",
        "sorted", WRONG,
    ),
    "a builtin that the program should replace": (
        SAME, f"{PLAIN}    got = sum([1, 2])\n    def test_a(self):\n        assert self.got == 3",
        "sum", ERROR,
    ),
    "a function that becomes a method": (
        "def f(*a):\n    return a[-1] if len(a) == 1 else None",
        f"{PLAIN}    fn = f\n    def test_a(self):\n        assert self.fn(1) == 1",
        "f", UNSUPPORTED,
    ),
    "a function that becomes a method later": (
        "def f(*a):\n    return len(a)",
        f"{PLAIN}    def test_a(self):\n        TestF.g = f\n        assert self.g(1) == 1",
        "f", UNSUPPORTED,
    ),
    "a descriptor": (
        "class P:\n    x = 7\n    def __get__(self, one, kind=None):\n        return None",
        f"{PLAIN}    p = P()\n    def test_a(self):\n        assert self.p.x == 7",
        "P", UNSUPPORTED,
    ),
    "a descriptor that is set": (
        "class P:\n    def __set__(self, one, value):\n        raise ValueError",
        f"import pytest\n{PLAIN}    p = P()\n    def test_a(self):\n"
        "        with pytest.raises(ValueError):\n            self.p = 3", "P", UNSUPPORTED,
    ),
    "fewer ids than rows": (
        SAME, "import pytest\n@pytest.mark.parametrize('a', [1, 2], ids=['one'])\n"
        "def test_a(a):\n    assert f(a) == a", "f", UNSUPPORTED,
    ),
    "a lambda": (SAME, "test_a = lambda: f(2) == 2\nassert f(1) == 1", "f", UNSUPPORTED),
    "a lambda of a class": (
        SAME, f"{CASE}    test_a = lambda self: self.assertEqual(f(2), 2)", "f", UNSUPPORTED,
    ),
    "data called like a test": (
        SAME, f"{CASE}    test_cases = [(1, 1), (2, 2)]\n    def test_a(self):\n"
        "        for x, y in self.test_cases:\n            self.assertEqual(f(x), y)", "f", PASSED,
    ),
    "a class called like a test": (
        SAME, f"{CASE}    test_kind = int\n    def test_a(self):\n"
        "        self.assertIsInstance(f(2), self.test_kind)", "f", PASSED,
    ),
    "data of a plain class called like a test": (
        SAME, f"{PLAIN}    test_xs = range(3)\n    def test_a(self):\n"
        "        assert [f(x) for x in self.test_xs] == [0, 1, 2]", "f", PASSED,
    ),
    "an object called like a test": (
        "class S:\n    x = 2", f"{PLAIN}    test_s = S()\n    def test_a(self):\n"
        "        assert self.test_s.x == 2", "S", UNSUPPORTED,
    ),
    "a function of the program called like a test": (
        SAME, "test_f = f\ndef test_a():\n    assert test_f(2) == 2", "f", UNSUPPORTED,
    ),
    "cases beside check(candidate)": (
        SAME, "test_cases = [(1, 1)]\ndef check(candidate):\n    for x, y in test_cases:\n"
        "        assert candidate(x) == y", "f", PASSED,
    ),
    "a trap that no handler catches": (
        SAME, "import pytest\ntry:\n    f(1)\n    pytest.fail('no')\nexcept Exception:\n    pass",
        "f", WRONG,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("program", "tests", "entry_point", "outcome"), IN_CLASSES.values(), ids=IN_CLASSES.keys()
)
def test_what_a_class_of_the_tests_reads_is_the_programs(
    pools: dict[str, SandboxPool], program: str, tests: str, entry_point: str, outcome: str
) -> None:
    result = pools["L2"].run(program, tests, entry_point=entry_point)
    assert result.outcome == outcome, result


TRAPS = {
    "assert False, bare": ("assert False, 'no'", "except:\n        assert True"),
    "assert False": ("assert False, 'no'", "except Exception:\n        pass"),
    "assert False, among others": ("assert 0", "except (KeyError, AssertionError):\n        pass"),
    "assert False, looked at": (
        "assert False", "except Exception as e:\n        assert isinstance(e, Exception)",
    ),
    "assert False, second handler": (
        "assert False", "except KeyError:\n        pass\n    except AssertionError:\n        pass",
    ),
    "raise": ("raise AssertionError('no')", "except Exception:\n        pass"),
    "nested": ("if True:\n            raise AssertionError", "except Exception:\n        pass"),
    "pytest.fail": ("pytest.fail('no')", "except BaseException:\n        pass"),
}  # fmt: skip


@pytest.mark.parametrize(("trap", "handler"), TRAPS.values(), ids=TRAPS.keys())
def test_a_failure_that_the_tests_catch_needs_the_other_lane(trap: str, handler: str) -> None:
    tests = (
        f"import pytest\ndef test_a():\n    try:\n        f('')\n        {trap}\n    {handler}\n"
        "    assert f(1) == 1"
    )
    assert choose_lane(tests, "f").name == TOGETHER


def test_a_failure_that_a_context_manager_takes_needs_the_other_lane() -> None:
    tests = "    with self.assertRaises(Exception):\n            f('')\n            self.fail('no')"
    lane = choose_lane(f"{CASE}    def test_a(self):\n    {tests}", "f")
    assert (lane.name, lane.reason) == (TOGETHER, "a check whose failure the tests catch")


@pytest.mark.parametrize(
    "handler", ["except ValueError:\n    pass", "except Exception:\n    raise"]
)
def test_a_failure_that_the_tests_do_not_catch_is_split(handler: str) -> None:
    assert choose_lane(f"try:\n    f(1)\n    assert False\n{handler}", "f").name == "split"


@pytest.mark.parametrize(
    "asked", ["'s' not in str(e)", "'s' not in f'{e}'", "not isinstance(e, ValueError)"]
)
def test_what_holds_an_exception_is_not_the_exception(asked: str) -> None:
    tests = f"import pytest\nwith pytest.raises(ValueError) as e:\n    f(1)\nassert {asked}"
    assert choose_lane(tests, "f").name == TOGETHER
    assert (
        choose_lane(tests.replace("(e", "(e.value").replace("{e", "{e.value"), "f").name == "split"
    )


@pytest.mark.parametrize("name", ["__new__", "__init__", "__getattr__"])
def test_a_class_with_special_methods_is_pytests_to_read(name: str) -> None:
    tests = (
        f"{PLAIN}    def {name}(self):\n        pass\n    def test_a(self):\n        assert f(1)"
    )
    assert choose_lane(tests, "f").name == TOGETHER


TWO_IS_WRONG = "def f(x):\n    return 0 if x == 2 else x"
HIDDEN = {
    "if": "import os\nassert f(1) == 1\nif os.name:\n    def test_b():\n        assert f(2) == 2",
    "try": (
        "try:\n    import os\nexcept ImportError:\n    pass\nelse:\n"
        "    def test_b():\n        assert f(2) == 2"
    ),
    "a class in if": (
        "import os, unittest\nif os.name:\n    class CaseOfTwo(unittest.TestCase):\n"
        "        def test_b(self):\n            self.assertEqual(f(2), 2)"
    ),
    "a factory": (
        "def make(n):\n    def run():\n        assert f(n) == n\n    return run\n"
        "test_one, test_two = make(1), make(2)"
    ),
    "globals": "def t():\n    assert f(2) == 2\nglobals()['test_t'] = t",
    "type": (
        "import unittest\ndef method(self):\n    self.assertEqual(f(2), 2)\n"
        "TwoCase = type('TwoCase', (unittest.TestCase,), {'test_a': method})"
    ),
}  # fmt: skip


def _together(pool: SandboxPool, program: str, tests: str) -> str:
    return pool._judge(Job(program, tests, "f", "", TOGETHER), Limits(wall_s=60.0)).outcome


@pytest.mark.parametrize("tests", HIDDEN.values(), ids=HIDDEN.keys())
def test_the_together_lane_overlooks_no_test(both_lanes: SandboxPool, tests: str) -> None:
    assert _together(both_lanes, TWO_IS_WRONG, tests) != PASSED
    assert _together(both_lanes, SAME, tests) in (PASSED, UNSUPPORTED)


def test_the_data_of_a_script_are_no_tests(both_lanes: SandboxPool) -> None:
    tests = "from unittest import TestCase\ntest_cases = [1, 2]\nfor n in test_cases:\n"
    assert _together(both_lanes, SAME, f"{tests}    assert f(n) == n") == PASSED
    assert _together(both_lanes, TWO_IS_WRONG, f"{tests}    assert f(n) == n") == WRONG


@pytest.mark.parametrize("lane", ["split", TOGETHER])
def test_classes_run_as_they_stand(both_lanes: SandboxPool, lane: str) -> None:
    program = "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)"
    tests = (
        "import unittest\nclass TestZ(unittest.TestCase):\n    def test_1(self):\n"
        "        self.assertEqual(f(1), 1)\nclass TestA(unittest.TestCase):\n"
        "    def test_1(self):\n        self.assertEqual(f(1), 2)"
    )
    if lane == TOGETHER:
        assert _together(both_lanes, program, tests) == PASSED
    else:
        result = both_lanes.run(program, tests, entry_point="f")
        assert (result.outcome, result.trust) == (PASSED, lane), result


@pytest.mark.parametrize("printed", ["inf", "-Infinity", "1e999", "9" * 400])
def test_an_infinite_number_says_nothing_to_a_checker(
    pools: dict[str, SandboxPool], printed: str
) -> None:
    checker = (
        "def check(input, output, expected):\n    a, b = float(output), float(expected)\n"
        "    return abs(a - b) <= 1e-6 * max(1, abs(a), abs(b))"
    )
    spec = {"cases": [{"input": "", "output": "3"}], "compare": "checker", "checker": checker}
    for program, outcome in ((printed, UNSUPPORTED), ("3.0000001", PASSED), ("4", WRONG)):
        assert pools["L2"].run(f"print({program!r})", json.dumps(spec)).outcome == outcome
