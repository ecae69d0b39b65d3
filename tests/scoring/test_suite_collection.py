"""A plain suite is collected as real pytest does it, or runs under real pytest."""

from __future__ import annotations

import random

import pytest

from codefavor.records import Problem
from codefavor.scoring.suite_quality import quality_of
from codefavor.scoring.suite_target import make_target
from codefavor.scoring.suite_text import read_suite

LOW = Problem(
    "low", "", "assert low(1, 2) == 1\nassert low(3, 2) == 2\nassert low(2, 2) == 2", "low",
    reference="def low(x, y):\n    if x < y:\n        return x\n    return y",
)  # fmt: skip
HEAD = "import pytest\nimport unittest\nfrom solution import low\n"
SAME = {
    "a fixture of the class": "class TestLow:\n    @pytest.fixture\n    def top(self):\n"
    "        self.seen = 1\n        return 4\n    def test_it(self, top):\n"
    "        assert low(5, top) == 4 and self.seen and low(1, top) == 1\n",
    "inherited tests": "class Base:\n    top = 2\n    def test_it(self):\n"
    "        assert low(5, self.top) == self.top\n        assert low(1, 2) == 1\n"
    "class TestTwo(Base):\n    pass\nclass TestFour(Base):\n    top = 4\n",
    "a nested class": "class TestLow:\n    class TestAbove:\n        def test_it(self):\n"
    "            assert low(5, 2) == 2\n            assert low(1, 2) == 1\n",
    "static and class methods": "class TestLow:\n    @staticmethod\n    def test_above():\n"
    "        assert low(5, 2) == 2\n    @classmethod\n    def test_below(cls):\n"
    "        assert low(1, 2) == 1\n",
    "marks of a case": "@pytest.mark.parametrize('x, want', [(1, 1), (5, 2),\n"
    "    pytest.param(3, 9, marks=pytest.mark.skip),\n"
    "    pytest.param(3, 8, marks=pytest.mark.xfail)])\n"
    "def test_it(x, want):\n    assert low(x, 2) == want\n",
    "indirect cases": "@pytest.fixture\ndef twice(request):\n    return 2 * request.param\n"
    "@pytest.mark.parametrize('twice', [1, 3], indirect=True)\ndef test_it(twice):\n"
    "    assert low(twice, 4) == (2 if twice == 2 else 4)\n",
    "marks of a class and its base": "@pytest.mark.parametrize('y', [2, 3])\nclass Base:\n"
    "    pass\n@pytest.mark.parametrize('x', [1, 5])\nclass TestLow(Base):\n"
    "    def test_it(self, x, y):\n        assert low(x, y) == (1 if x == 1 else y)\n",
    "a skipped method of a TestCase": "class T(unittest.TestCase):\n    @pytest.mark.skip\n"
    "    def test_a(self):\n        self.assertEqual(low(1, 2), 9)\n    def test_b(self):\n"
    "        self.assertEqual(low(5, 2), 2)\n        self.assertEqual(low(1, 2), 1)\n",
    "setUpClass, once": "class T(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n"
    "        cls.seen = []\n    def test_a(self):\n        self.seen.append(low(1, 2))\n"
    "        self.assertEqual(set(self.seen), {1})\n    def test_b(self):\n"
    "        self.seen.append(low(1, 2))\n        self.assertTrue(0 < len(self.seen) <= 2)\n"
    "        self.assertEqual(low(5, 2), 2)\n"
    "    @classmethod\n    def tearDownClass(cls):\n        assert len(cls.seen) == 2\n",
    "runTest": "class T(unittest.TestCase):\n    def runTest(self):\n"
    "        self.assertEqual(low(5, 2), 2)\n        self.assertEqual(low(1, 2), 1)\n",
    "inherited tests of a TestCase": "class Base(unittest.TestCase):\n    top = 2\n"
    "    def test_it(self):\n        self.assertEqual(low(5, self.top), self.top)\n"
    "class Four(Base):\n    top = 4\n    def test_more(self):\n"
    "        self.assertEqual(low(1, 2), 1)\n",
    "cases of a hook": "def pytest_generate_tests(metafunc):\n"
    "    metafunc.parametrize('x, want', [(1, 1), (5, 2)])\n"
    "def test_it(x, want):\n    assert low(x, 2) == want\n",
    "a path beside its own file": "import os, sys\n"
    "sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\n"
    "def test_it():\n    assert low(5, 2) == 2\n    assert low(1, 2) == 1\n",
    "a test by assignment": "def make(x):\n    def run():\n"
    "        assert low(x, 2) == min(x, 2)\n    return run\ntest_one = make(1)\n"
    "test_five = make(5)\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def target(suite_pool):
    return make_target(LOW, suite_pool, n_mutants=3)


@pytest.mark.parametrize("what", SAME)
def test_a_good_suite_is_measured_as_real_pytest_runs_it(target, what, suite_runner):
    text = HEAD + SAME[what]
    quality = quality_of(text, target, suite_runner)
    assert (quality.defect, quality.detail) == ("", "")
    real = suite_runner._measure(
        "pytest", read_suite(text, target.names, target.imported), target, random.Random(0)
    )
    assert real is not None
    assert quality.ends == "".join(one.letter for one in real.wrong)
    assert (quality.tests, quality.score) == (real.tests, 1.0)


REFUSED = {
    "ids of another number": "@pytest.mark.parametrize('x', [1, 5], ids=['one'])\n"
    "def test_it(x):\n    assert low(x, 2) == min(x, 2)\n",
    "a test that yields": "def test_it():\n    assert low(5, 2) == 2\n    assert low(1, 2) == 1\n"
    "def test_more():\n    yield low(1, 2)\n",
    "a test that returns something": "def test_it():\n    assert low(5, 2) == 2\n    return 1\n",
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_pytest_may_refuse_is_for_pytest_to_say(target, what, suite_runner):
    text = HEAD + REFUSED[what]
    suite = read_suite(text, target.names, target.imported)
    assert not suite.why_pytest
    assert suite_runner._measure("plain", suite, target, random.Random(0)) is None
    assert quality_of(text, target, suite_runner).engine == "pytest"


UNCOLLECTED = {
    "__init__": "class TestLow:\n    def __init__(self):\n        self.top = 2\n"
    "    def test_it(self):\n        assert low(5, self.top) == 2\n",
    "__new__": "class TestLow:\n    def __new__(cls):\n        return object.__new__(cls)\n"
    "    def test_it(self):\n        assert low(5, 2) == 2\n",
}


@pytest.mark.parametrize("method", UNCOLLECTED)
def test_a_class_that_pytest_does_not_collect_holds_no_tests_and_says_why(
    target, method, suite_runner
):
    quality = quality_of(HEAD + UNCOLLECTED[method], target, suite_runner)
    assert quality.defect == "no_tests"
    assert f"it has a {method} constructor" in quality.detail
    # What stands beside it counts.
    text = f"{HEAD}{UNCOLLECTED[method]}def test_other():\n    assert low(1, 2) == 1\n"
    beside = quality_of(text, target, suite_runner)
    assert (beside.defect, beside.tests) == ("", 1)


SET_UP = {
    "setUpClass": "class T(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n"
    "        cls.x = low(1, 2) + 0\n    def test_it(self):\n        self.assertEqual(self.x, 1)\n",
    "a fixture": "@pytest.fixture\ndef x():\n    return low(1, 2) + 0\n"
    "def test_it(x):\n    assert x == 1\n",
}


@pytest.mark.parametrize("where", SET_UP)
def test_an_exception_on_an_answer_is_the_programs_wherever_it_is_asked(
    target, where, suite_runner
):
    suite = read_suite(HEAD + SET_UP[where], target.names, target.imported)
    for runs in (
        suite_runner._measure("plain", suite, target, random.Random(0)),
        suite_runner._measure("pytest", suite, target, random.Random(0)),
    ):
        # The hollow program answers None.
        assert runs is not None and [one.letter for one in runs.hollow] == ["V"]
