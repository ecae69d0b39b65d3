"""Which lane a text needs, read before anything runs."""

from __future__ import annotations

import gc
import json
import tracemalloc
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.errors import DataError
from codefavor.sandbox import choose_lane

_LOOP = "rs = {}\nfor x in (1, 2):\n"
_HELPER = "def run(x):\n    return f(x)\n"
_SAME = "def same(a, b):\n    assert a == b\n"
_CASE = "import unittest\nclass T(unittest.TestCase):\n"


@pytest.mark.parametrize(
    ("tests", "entry_point"),
    [
        ("assert f(1) == 2", "f"),
        ("i = 0\nwhile i < 5:\n    assert f(i) == i * i\n    i += 1", "f"),
        ("s = 'abc'\nfor c in s:\n    assert f(s, c)", "f"),
        ("assert f(1) == 2", ""),
        ("def check(candidate):\n    assert candidate(1) == 2\ncheck(f)", "f"),
        ("from solution import f, g\nassert g(f(1)) == 2", "f"),
        ("import math\nassert math.isclose(f(1), 2)", "f"),
        ("import pytest\n@pytest.mark.parametrize('a', [1])\ndef test_f(a):\n    assert f(a)", "f"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n"
         "        self.assertEqual(f(1), 2)\nif __name__ == '__main__':\n    unittest.main()", "f"),
        ("import pytest\ndef test_f():\n    with pytest.raises(ValueError):\n        f(1)", "f"),
        ("R = 'def g(x): return x'\nns = {}\nexec(R, ns)\nassert f(1) == ns['g'](1)", "f"),
        ("def same(a, b):\n    if a != b:\n        assert abs(a - b) < 1e-6\n    else:\n"
         "        assert a == b\nsame(f(1), 1.0)", "f"),
        ("s = Stack()\ns.push(1)\nassert s.pop() == 1", "Stack"),
        ("try:\n    f(1)\n    assert False\nexcept TooBig:\n    pass", "f"),
        ('{"cases": [{"input": "1", "output": "2"}]}', ""),
    ],
    ids=str,
)  # fmt: skip
def test_plain_tests_are_split(tests: str, entry_point: str) -> None:
    lane = choose_lane(tests, entry_point)
    assert lane.name == "split", lane.reason


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        ("def test_f(tmp_path):\n    assert f(tmp_path)", "fixture tmp_path"),
        ("from unittest import mock\nassert f(mock.Mock())", "mock"),
        ("import os\nassert f(os.environ)", "import os"),
        ("import random\nrandom.seed(1)\nassert f()", "seed"),
        ("import sys\nsys.path.insert(0, '.')\nassert f()", "sys."),
        ("exec(f(1))\nassert f(2)", "not their own"),
        ("class Node:\n    pass\nassert f(Node())", "class Node"),
        ("async def test_f():\n    assert await f()", "coroutines"),
        ("assert celsius(32) == 0\nassert f(1) == 2", "neither defined nor imported"),
        ("from solution import f\nassert close(f(2), 4)", "neither defined nor imported"),
        ("code = ''\ncode = f(1)\nexec(code, {})\nassert f(2)", "not their own"),
        ("run = exec\nrun(f(1))\nassert f(2)", "not their own"),
        ("import numpy as np\nassert np.testing.measure(f(1)) < 1", "numpy.testing.measure"),
        ("import random as r\nr.seed(1)\nassert f()", "seed"),
        ("from deepdiff import DeepDiff\nassert DeepDiff(f(1), 2) == {}", "not installed"),
        ("try:\n    assert f(2) == 4\nexcept AssertionError:\n    assert f(2) == 5", "catch"),
        ("assert isclose_to(f(2), 4)", "neither defined nor imported"),
        ("x = f(2)\nassert near(x, 4)", "neither defined nor imported"),
        ("assert f(1) == WANT and WANT == f(2)", "neither defined nor imported"),
        ("def input(p=''):\n    return '4'\nassert f() == 5", "builtin input"),
        ("def test_f():\n    f(1)", "no check"),
        ("import pytest\n@pytest.mark.skip\ndef test_f():\n    assert f(1)", "pytest.mark.skip"),
        ("assert f.__code__.co_argcount == 1", "__code__"),
        ("import decimal\ndecimal.getcontext().prec = 3\nassert f()", "decimal.getcontext"),
        ("assert ('{}' + f(1)).format(2) == '2'", "format"),
        ("try:\n    f(1)\nexcept ValueError as e:\n    code = e.args\nassert code", "holds"),
        (
            "import pytest\ndef test_f():\n    with pytest.raises(E) as c:\n        f(1)\n"
            "    assert c.value == E(1)",
            "holds",
        ),
        (
            "import pytest\ndef test_f():\n    with pytest.raises(StopIteration):\n        f(1)",
            "StopIteration",
        ),
        ("import pytest\ndef test_f():\n    with f(1), pytest.raises(E):\n        pass", "context"),
        (
            "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        try:\n"
            "            f(1)\n        except E:\n            self.fail('no')",
            "no check",
        ),
        ("def test_f():\n    assert f(1)\nfor t in [test_f]:\n    t()", "runner of its own"),
        ("import numpy as np\nassert f(np.array([1])).flags.owndata", "memory of arrays"),
        ("for x in (1, 2):\n    if f(x):\n        assert f(x) == x", "leave out"),
        ("got = f(1)\nif got:\n    assert got == 1", "leave out"),
        ("a = f(1)\nb = a\nif b:\n    assert b == 1\nelse:\n    assert not b", "leave out"),
        (
            "def same(a, b):\n    if a is None:\n        return\n    assert a == b\nsame(f(1), 1)",
            "leave out",
        ),
        # What stands between the answer and the branch: a list, a helper, a method, a default.
        (
            f"{_LOOP}    rs.append(f(x))\nfor r in rs:\n    if r:\n        assert r == 1",
            "leave out",
        ),
        (f"{_LOOP}    rs.setdefault(x, f(x))\nif rs:\n    assert rs", "leave out"),
        (f"{_HELPER}r = run(1)\nif r:\n    assert r == 1", "leave out"),
        (
            f"{_HELPER}for x in (1, 2):\n    try:\n        r = run(x)\n    except ValueError:\n"
            "        continue\n    assert r == x",
            "leave out",
        ),
        ("def go(x, fn=f):\n    return fn(x)\nr = go(1)\nif r:\n    assert r", "leave out"),
        (
            "class TestF:\n    def go(self, x):\n        return f(x)\n    def test_f(self):\n"
            "        r = self.go(1)\n        if r:\n            assert r == 1",
            "leave out",
        ),
        (f"{_SAME}r = f(1)\nr is None or same(r, 1)", "leave out"),
        (f"{_SAME}r = f(1)\nsame(r, 1) if r else None", "leave out"),
    ],
    ids=lambda value: value[:40],
)
def test_what_needs_the_program_beside_it_is_together(tests: str, reason: str) -> None:
    lane = choose_lane(tests, "f")
    assert (lane.name, reason in lane.reason) == ("together", True), lane


@pytest.mark.parametrize(
    ("tests", "may_share"),
    [
        ("assert f(1) == 2", True),
        ("import math\nassert f(1) == math.pi", True),
        ("import numpy as np\nassert f(np.array([1])) == 2", False),
        ("import copy\ncopy.x = 1\nassert f(1)", False),
        ("g = lambda x: x\nassert f(g) == 2", False),
    ],
)
def test_only_tests_that_leave_nothing_share_a_process(tests: str, may_share: bool) -> None:
    assert choose_lane(tests, "f").may_share is may_share


_CHOSEN = {
    "a global that a helper sets": (
        "ok = True\ndef put(r):\n    global ok\n    ok = r\ndef check(candidate):\n"
        "    for x, y in [(1, 2), (2, 4)]:\n        put(candidate(x) == y)\n"
        "        if not ok:\n            continue\n        assert candidate(x) == y\n"),
    "which function is called": (
        "def good(x, y):\n    assert x == y\ndef skip(x, y):\n    pass\n"
        "def check(candidate):\n    for x, y in [(1, 2), (2, 4)]:\n"
        "        {True: good, False: skip}[candidate(x) == y](candidate(x), y)\n"),
    "a slice of what is looped over": (
        "cases = [(0, 1), (1, 2), (2, 3)]\ndef check(candidate):\n"
        "    for x, y in cases[:candidate(0)]:\n        assert candidate(x) == y\n"),
    "how long a loop goes on": (
        "def check(candidate):\n    i = 0\n    while i < 3:\n"
        "        assert candidate(0) == 1\n        i = i + candidate(i + 1)\n"),
    "a branch around a helper": f"{_SAME}r = f(1)\nif r:\n    same(r, 1)",
    "a branch around a helper of a helper": (
        f"{_SAME}def run(x):\n    same(f(x), x)\nif f(1):\n    run(1)"),
    "a branch around a method": (
        f"{_CASE}    def same(self, a, b):\n        self.assertEqual(a, b)\n"
        "    def test_a(self):\n        r = f(1)\n        if r:\n            self.same(r, 1)"),
    "a branch around a lambda": (
        f"{_CASE}    def test_a(self):\n        eq = lambda a, b: self.assertEqual(a, b)\n"
        "        if f(1):\n            eq(f(1), 1)"),
    "a loop around a helper": f"{_SAME}while f(1):\n    same(f(2), 2)",
    "`and` before an assert method": (
        f"{_CASE}    def test_a(self):\n        f(1) and self.assertEqual(f(1), 1)"),
    "`if ... else` around an assert method": (
        f"{_CASE}    def test_a(self):\n        self.assertEqual(f(1), 1) if f(1) else None"),
    "a branch around an assert function by another name": (
        "from numpy.testing import assert_equal as eq\nassert f(2) == 2\nif f(1):\n"
        "    eq(f(1), 1)"),
    "a condition of a comprehension": (
        f"{_CASE}    def test_a(self):\n"
        "        [self.assertEqual(f(x), x) for x in (1, 2) if f(x)]"),
    "a condition on an argument by its name": (
        "def same(*, got, want):\n    if got:\n        assert got == want\nsame(got=f(1), want=1)"),
    "a condition on starred arguments": (
        "def same(*pair):\n    got, want = pair\n    if got:\n        assert got == want\n"
        "same(f(1), 1)"),
    "a condition on a default": (
        "def same(x, ok=f(2)):\n    if ok:\n        assert f(x) == x\nsame(1)"),
    "which of two functions": f"{_SAME}todo = same if f(1) else print\ntodo(f(1), 1)",
    "a function out of a table": (
        f"{_SAME}todo = {{True: same, False: print}}[f(1) is None]\ntodo(f(1), 1)"),
    "a list that the program changes": "xs = [2, 1]\nf(xs)\nif xs:\n    assert xs == [1, 2]",
    "a list that the program changes, and goes on": (
        "for n in (1, 2):\n    out = list((n, 1))\n    f(out)\n    if not out:\n        continue\n"
        "    assert out == [1, n]"),
    "a list that a loop empties": (
        "out = []\nf(1, out)\nwhile out:\n    assert out.pop() == 1\nassert f(2, out) is None"),
    "a flag that a handler sets": (
        "for x in (1, 2):\n    failed = False\n    try:\n        r = f(x)\n    except ValueError:\n"
        "        failed = True\n    if not failed:\n        assert r == x"),
    "a flag that a branch sets": (
        "n = 0\nif f(1):\n    n = 1\nif n:\n    assert f(2) == 2\nassert f(3) == 3"),
    "what a callback was told": (
        "got = None\ndef tell(r):\n    global got\n    got = r\nf(1, tell)\nif got:\n"
        "    assert got == 1"),
    "a table that the program made": (
        "import pytest\n@pytest.mark.parametrize('x', f(0))\ndef test_a(x):\n    assert f(x) == x"),
    "the text of an exception that is waited for": (
        f"import pytest\n{_SAME}with pytest.raises(ValueError) as info:\n    f(0)\n"
        "if 'no' in str(info.value):\n    same(f(1), 1)"),
    "the text of an exception that is caught": (
        f"{_SAME}try:\n    f(0)\nexcept ValueError as e:\n    if 'no' in str(e):\n"
        "        same(f(1), 1)"),
    "which of two exceptions comes": (
        f"{_SAME}try:\n    f(0)\nexcept ValueError:\n    same(f(1), 1)\nexcept TypeError:\n"
        "    pass"),
    "a helper that is handed the program": (
        "def go(c, x):\n    assert c(0) == 1\n"
        "    return x < 3 and go(c, x + 1) if c(x) == x + 1 else None\n"
        "def check(candidate):\n    go(candidate, 0)\n"),
}  # fmt: skip


@pytest.mark.parametrize("tests", _CHOSEN.values(), ids=_CHOSEN.keys())
def test_what_the_answer_chooses_is_not_for_the_split_lane(tests: str) -> None:
    lane = choose_lane(tests, "f")
    assert (lane.name, "may leave out" in lane.reason) == ("together", True), lane


_IN_TEST = f"import pytest\n{_SAME}def run(x, want):\n    same(f(x), want)\ndef test_a():\n    "
_CAUGHT = {
    "raises": "with pytest.raises(ValueError):\n        run(-1, None)",
    "raises, a nested function": (
        "def bad():\n        assert f(2) == 5\n    with pytest.raises(AssertionError):\n"
        "        bad()"),
    "raises, called": "pytest.raises(AssertionError, run, 2, 5)",
    "raises, a lambda": "pytest.raises(ValueError, lambda: run(-1, None))",
    "try": "try:\n        run(2, 5)\n    except AssertionError:\n        run(2, 4)",
    "else of a try": "try:\n        r = f(2)\n    except ValueError:\n        pass\n    else:\n"
    "        same(r, 4)",
    "a variable": "fn = run\n    try:\n        fn(2, 5)\n    except AssertionError:\n        pass",
    "one of a list": (
        "todo = []\n    todo.append((run, 5))\n    for fn, want in todo:\n        try:\n"
        "            fn(2, want)\n        except AssertionError:\n            pass"),
    "one of several": (
        "for fn in (run, print):\n        try:\n            fn(2, 5)\n"
        "        except AssertionError:\n            pass"),
    "a parameter": (
        "def fails(fn, *given):\n        try:\n            fn(*given)\n"
        "        except AssertionError:\n            return True\n    assert fails(run, 2, 5)"),
    "a method": (
        f"pass\n{_CASE}    def same(self, a, b):\n        self.assertEqual(a, b)\n"
        "    def test_b(self):\n        self.assertRaises(AssertionError, self.same, f(2), 5)"),
}  # fmt: skip


@pytest.mark.parametrize("tests", _CAUGHT.values(), ids=_CAUGHT.keys())
def test_a_helper_whose_failure_is_caught_is_not_for_the_split_lane(tests: str) -> None:
    lane = choose_lane(f"{_IN_TEST}run(2, 4)\n    {tests}", "f")
    assert (lane.name, "the tests catch" in lane.reason) == ("together", True), lane


@pytest.mark.parametrize(
    "tests",
    [
        f"{_IN_TEST}run(2, 4)\n    with pytest.raises(ValueError):\n        f(-1)",
        f"{_IN_TEST}for x in range(20):\n        if x % 2:\n            run(x, 1)\n"
        "        else:\n            run(x, 0)",
        f"{_IN_TEST}try:\n        run(2, 4)\n    except ValueError:\n        pytest.fail('no')",
        f"{_IN_TEST}xs = [3, 1]\n    run(xs, [1, 3])\n    for n in (1, 2):\n        if n > 1:\n"
        "            run([n], [n])",
        "def near(a, b, places=None):\n    if places is None:\n        assert a == b\n    else:\n"
        "        assert round(a - b, places) == 0\nnear(f(1), 1)\nnear(f(2), 1.41, places=2)",
        "import unittest\nclass T(unittest.TestCase):\n    def look(self, x, y):\n"
        "        self.assertEqual(f(x), y)\n    def test_f(self):\n        self.look(1, 2)\n",
        "def check(candidate):\n    for seed in (1, 2):\n        assert candidate(seed) == 3\n",
        "def look(seed, y):\n    assert f(seed) == y\nlook(1, 2)\n",
    ],
)
def test_a_helper_method_and_a_name_like_that_of_a_library_are_plain(tests: str) -> None:
    assert choose_lane(tests, "f").name == "split", choose_lane(tests, "f")
    assert choose_lane(f"from random import seed\nseed(1)\n{tests}", "f").name == "together"


def test_a_builtin_that_may_be_the_program_is_no_tool_of_the_tests() -> None:
    assert choose_lane("assert sum([1, 2]) == 3", "sum").name == "split"
    lane = choose_lane("assert abs(abs(-3) - 3) < 1e-9", "abs")
    assert (lane.name, "the builtin" in lane.reason) == ("together", True)


CASES = [{"input": "", "output": ""}]


def test_explain_knows_the_setup_and_refuses_what_does_not_parse(tmp_path: Path) -> None:
    tests, setup = tmp_path / "tests.py", tmp_path / "setup.py"
    tests.write_text("assert f(Node(3)) == 3\n")
    setup.write_text("class Node:\n    pass\n")
    command = ["sandbox", "explain", str(tests), "--entry-point", "f"]
    runner = CliRunner()
    assert "1 together" in runner.invoke(app, command).output
    assert "1 split" in runner.invoke(app, [*command, "--setup", str(setup)]).output
    checker = "def check(input, output, expected):\n    return open(output)"
    tests.write_text(json.dumps({"cases": CASES, "compare": "checker", "checker": checker}))
    assert "the checker may not use this: the tests use open" in runner.invoke(app, command).output
    tests.write_text("assert f(\n")
    result = runner.invoke(app, command)
    assert isinstance(result.exception, DataError)
    assert "do not parse" in str(result.exception)


def test_the_texts_of_tests_are_not_kept():
    # Each suite of a reward is another text: 4,096 of them would be held otherwise.
    texts = ["assert f(1) == 2  # " + "x" * 50_000 + str(n) for n in range(40)]
    for text in texts:
        choose_lane(text)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for n in range(40):
        choose_lane("assert f(1) == 3  # " + "x" * 50_000 + str(n))
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept < 500_000
