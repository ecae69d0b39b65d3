"""Hostile and odd suites: each has a named reason, and the sandbox's own failure is never a 0."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from codefavor.errors import Rejected, SandboxError
from codefavor.records import Execution, Problem
from codefavor.scoring.by_suites import SuiteScorer
from codefavor.scoring.suite_quality import quality_of
from codefavor.scoring.suite_runs import SuiteRunner
from codefavor.scoring.suite_target import Wrong, branches_of, lines_of, make_target
from codefavor.scoring.suite_text import read_suite

REFERENCE = '''
def clamp(x, low, high):
    """Puts x into the range."""
    if low > high:
        raise ValueError("low is above high")
    if x < low:
        return low
    if x > high:
        return high
    return x
'''
CHECKS = """
assert clamp(1, 2, 4) == 2 and clamp(3, 2, 4) == 3 and clamp(5, 2, 4) == 4
assert clamp(7, 5, 5) == 5
try:
    clamp(1, 3, 2)
    assert False
except ValueError:
    pass
"""
CLAMP = Problem("clamp", "", CHECKS, "clamp", reference=REFERENCE)
IMPORT = "from solution import clamp\n"
HOLDS = "    assert clamp(1, 2, 4) == 2 and clamp(5, 2, 4) == 4\n"


@pytest.fixture(scope="module")
def pool(suite_pool):
    return suite_pool


@pytest.fixture(scope="module")
def scorer(pool):
    with SuiteScorer(pool, n_mutants=3) as scorer:
        yield scorer


BAD = {
    "endless": IMPORT
    + "import itertools\ndef test_it():\n"
    + HOLDS
    + "    sum(itertools.repeat(1))\n",
    "too_large": "# " + "x" * 10_000_000,
    "tests_another_function": "def test_it():\n    assert sorted([2, 1]) == [1, 2]\n",
    "ends_the_run": IMPORT
    + "import pytest\ndef test_it():\n"
    + HOLDS
    + "    pytest.exit('done')\n",
    "starts_processes": IMPORT + "import subprocess\ndef test_it():\n" + HOLDS,
    "uses_network": IMPORT + "import socket\ndef test_it():\n" + HOLDS,
    "writes_files": IMPORT + "def test_it():\n" + HOLDS + "    open('x', 'w').write('1')\n",
    "patches_the_recorder": IMPORT
    + "import unittest\nunittest.TestCase.assertEqual = print\ndef test_it():\n"
    + HOLDS,
    "fails_to_load": IMPORT + "def test_it():\n    no_such_name()\n" + HOLDS,
    "nothing_ran": IMPORT + "import pytest\n@pytest.mark.skip\ndef test_it():\n" + HOLDS,
    "fails_right_program": IMPORT + "def test_it():\n    assert clamp.__doc__\n" + HOLDS,
}
HIDDEN = {
    "ends_the_run": "    getattr(__import__('os'), '_ex' + 'it')(0)\n",
    "starts_processes": "    __import__('sub' + 'process').run(['ls'])\n",
    "uses_network": "    __import__('so' + 'cket').socket()\n",
    "reads_source": "    assert getattr(clamp, '__co' + 'de__')\n",
    "writes_files": "    __import__('os').mkdir('here')\n",
}


ENDS = {
    "pytest.exit by its name": "from pytest import exit\ndef test_it():\n"
    + HOLDS
    + "    exit('x')\n",
    "sys.exit while it loads": "import sys\ndef test_it():\n" + HOLDS + "sys.exit(0)\n",
    "an interrupt": "def test_it():\n" + HOLDS + "    raise KeyboardInterrupt\n",
    "a signal": "import os, signal\ndef test_it():\n"
    + HOLDS
    + "    os.kill(os.getpid(), signal.SIGKILL)\n",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_suite_ends_the_run_by(scorer, how):
    assert scorer.quality(IMPORT + ENDS[how], CLAMP).defect == "ends_the_run"


def test_a_pool_of_processes_starts_processes(scorer):
    text = "from concurrent.futures import ProcessPoolExecutor as P\ndef test_it():\n" + HOLDS
    assert scorer.quality(IMPORT + text, CLAMP).defect == "starts_processes"


@pytest.mark.parametrize("reason", BAD)
def test_what_a_suite_must_not_do_has_a_name(scorer, reason):
    quality = scorer.quality(BAD[reason], CLAMP)
    assert (quality.score, quality.defect) == (0.0, reason)


@pytest.mark.parametrize("reason", HIDDEN)
def test_what_the_text_hides_is_seen_while_it_runs(scorer, reason):
    quality = scorer.quality(IMPORT + "def test_it():\n" + HOLDS + HIDDEN[reason], CLAMP)
    assert (quality.score, quality.defect) == (0.0, reason)


LOOPS = {
    "asyncio.run": "import asyncio\ndef test_it():\n    async def go():\n"
    "        return clamp(1, 2, 4)\n    assert asyncio.run(go()) == 2\n" + HOLDS,
    "a TestCase": "import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n"
    "    async def test_it(self):\n        self.assertEqual(clamp(1, 2, 4), 2)\n",
    "a mark": "import pytest\n@pytest.mark.asyncio\nasync def test_it():\n" + HOLDS,
}


@pytest.mark.parametrize("how", LOOPS)
def test_an_event_loop_is_no_network(scorer, how):
    quality = scorer.quality(IMPORT + LOOPS[how], CLAMP)
    assert quality.defect == "" and quality.score > 0


CHECKS_BY = {
    "an if that raises": "def test_it():\n    if clamp(1, 2, 4) != 2:\n"
    "        raise AssertionError('not 2')\n",
    "an if that fails": "import pytest\ndef test_it():\n    for x in (0, 1):\n"
    "        if clamp(x, 2, 4) != 2:\n            pytest.fail(f'{x}')\n",
    "an else that fails": "import pytest\ndef test_it():\n    if clamp(1, 2, 4) == 2:\n"
    "        pass\n    else:\n        pytest.fail()\n",
    "a comprehension": "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n"
    "        [self.assertEqual(clamp(x, 2, 4), 2) for x in (0, 1)]\n",
}


@pytest.mark.parametrize("how", CHECKS_BY)
def test_a_suite_checks_by(scorer, how):
    quality = scorer.quality(IMPORT + CHECKS_BY[how], CLAMP)
    assert quality.defect == "" and quality.score > 0 and quality.checks == 1


OFFLINE = {
    "from urllib.parse import parse_qs": "",
    "import urllib.parse": "",
    "from urllib import parse": "",
    "from http import HTTPStatus": "",
    "from http import HTTPStatus, client": "uses_network",
    "import http": "uses_network",
    "from urllib.request import urlopen": "uses_network",
}


@pytest.mark.parametrize("line", OFFLINE)
def test_only_what_may_open_sockets_is_network(line):
    text = f"{line}\n{IMPORT}def test_it():\n{HOLDS}"
    suite = read_suite(text, frozenset(["clamp"]), frozenset())
    assert suite.defect == OFFLINE[line]


def test_a_suite_that_leaves_by_an_exception_is_said_to_end_the_run(scorer):
    text = IMPORT + "import sys\ndef test_it():\n" + HOLDS + "    sys.exit(0)\n"
    assert scorer.quality(text, CLAMP).defect == "ends_the_run"


def test_folders_for_temporary_files_may_be_written(scorer):
    text = IMPORT + "def test_it(tmp_path):\n    (tmp_path / 'x').mkdir()\n" + HOLDS
    text += "    (tmp_path / 'x' / 'y').write_text('1')\n    (tmp_path / 'x' / 'y').unlink()\n"
    quality = scorer.quality(text, CLAMP)
    assert quality.defect == "" and quality.engine == "pytest"


def test_a_suite_that_sleeps_earns_half(scorer):
    plain = scorer.quality(IMPORT + "def test_it():\n" + HOLDS, CLAMP)
    text = IMPORT + "import time\ndef test_it():\n    time.sleep(0.001)\n" + HOLDS
    assert scorer.quality(text, CLAMP).score == plain.score / 2 > 0


CLOSED = {
    "frames of an exception": "def test_it():\n    try:\n        clamp(1, 3, 2)\n"
    "    except ValueError as e:\n        assert e.tb.tb_next.tb_lineno\n",
    "a module in a module": "import statistics\ndef test_it():\n    assert statistics.sys\n",
    "a library that is changed": "import math\ndef test_it():\n    math.seen = 1\n",
    "a format": "def test_it():\n    assert '{0.__name__}'.format(clamp)\n",
    "getattr": "def test_it():\n    assert getattr(clamp, 'x', 1)\n",
    "a module by another name": "import string\ndef test_it():\n    s = string\n    s.n = 1\n",
    "a module that is handed on": "import json\ndef test_it():\n    keep(json)\n",
    "a table of a module": "import copy\ndef test_it():\n"
    "    copy.dispatch_table.setdefault('n', [])\n",
    "a table by its name": "from copy import dispatch_table\ndef test_it():\n"
    "    dispatch_table.setdefault('n', [])\n",
    "a table of a module in a module": "import json\ndef test_it():\n"
    "    json.decoder.BACKSLASH['n'] = 1\n",
    "a formatter": "import string\ndef test_it():\n"
    "    string.Formatter().get_field('0.x', (clamp,), {})\n",
    "a formatter by its name": "from string import Formatter as F\ndef test_it():\n"
    "    F().get_field('0.x', (clamp,), {})\n",
    "an attribute in a pattern": "def test_it():\n    match clamp:\n"
    "        case object_(_x=c):\n            pass\n",
    "a format in a pattern": "def test_it():\n    match '{0.x}':\n"
    "        case str(format=f):\n            f(clamp)\n",
    "a class by another name": "from collections import Counter\ndef test_it():\n"
    "    c = Counter\n    c.n = 1\n",
    "a class as self": "from collections import Counter\nclass Put:\n"
    "    def put(self):\n        self.n = 1\ndef test_it():\n    Put.put(Counter)\n",
    "the class of an object": "def test_it():\n    type(clamp).n = 1\n",
    "a decorator that sets": "from collections import Counter\nfrom typing import final\n"
    "def test_it():\n    final(Counter)\n",
    "the overloads of a function": "import typing\ndef test_it():\n"
    "    assert not typing.get_overloads(test_it)\n",
    "what the program imported": "import solution\ndef test_it():\n    assert solution.heapq\n",
}


@pytest.mark.parametrize("what", CLOSED)
def test_a_suite_that_may_look_or_remember_has_a_process_for_each_program(what):
    suite = read_suite(IMPORT + CLOSED[what], frozenset(["clamp"]), frozenset(["heapq"]))
    assert not suite.is_closed, what


SOURCE = {
    "a pattern": "F = type(clamp)\ndef test_it():\n    match clamp:\n"
    "        case F(__code__=c):\n            assert c\n",
    "a field": "import string\ndef test_it():\n"
    "    assert string.Formatter().vformat('{0.__code__.co_consts}', (clamp,), {})\n",
}


@pytest.mark.parametrize("what", SOURCE)
def test_the_source_may_not_be_read_through(what):
    suite = read_suite(IMPORT + SOURCE[what], frozenset(["clamp"]), frozenset())
    assert suite.defect == "reads_source", what


PLAIN = {
    "calls and constants": "import math, datetime as dt\ndef test_it():\n"
    "    assert math.floor(math.pi) == 3 and dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)\n",
    "classes": "import json\nfrom collections import Counter, defaultdict\nimport pytest\n"
    "from typing import List, Optional\nfrom decimal import Decimal, ROUND_HALF_UP\n"
    "def test_it(x: Optional[List[int]] = None):\n    assert isinstance(Counter(), Counter)\n"
    "    with pytest.raises((ValueError, json.JSONDecodeError)):\n        clamp(1, 3, 2)\n"
    "    assert map(Decimal, defaultdict(list)) and ROUND_HALF_UP\n",
    "attributes of own objects": "import unittest\nfrom decimal import Decimal\n"
    "class Box:\n    pass\nclass T(unittest.TestCase):\n    def setUp(self):\n"
    "        self.x = Decimal(1)\n    def test_it(self):\n        box = Box()\n"
    "        box.x = clamp(self.x, 1, 2)\n        self.assertIsInstance(box.x, Decimal)\n"
    "if __name__ == '__main__':\n    unittest.main()\n",
}


@pytest.mark.parametrize("what", PLAIN)
def test_a_suite_that_cannot_remember_is_closed(what):
    suite = read_suite(IMPORT + PLAIN[what], frozenset(["clamp"]), frozenset())
    assert suite.why_open == "", what


def test_a_closed_suite_runs_as_real_pytest_would_run_it(pool):
    text = (
        "import pytest\nfrom solution import clamp\n"
        "@pytest.fixture\ndef top():\n    yield 4\n"
        "@pytest.mark.parametrize('x, want', [(1, 2), (3, 3), pytest.param(5, 4, id='above')])\n"
        "def test_values(x, want, top):\n    assert clamp(x, 2, top) == want\n"
        "class TestMore:\n    def test_raises(self):\n"
        "        with pytest.raises(ValueError):\n            clamp(1, 3, 2)\n"
    )
    target = make_target(CLAMP, pool, n_mutants=4)
    suite = read_suite(text, target.names, target.imported)
    runner = SuiteRunner(pool)
    fast = runner._closed(suite, target, random.Random(0))
    real = runner._open(suite, target, random.Random(0))
    assert fast is not None and suite.is_closed
    for name in ("wrong", "hollow", "twins"):
        ends = [[one.letter for one in getattr(runs, name)] for runs in (fast, real)]
        assert ends[0] == ends[1], name
    assert (fast.tests, fast.reached, fast.lines, fast.branches) == (
        real.tests, real.reached, real.lines, real.branches,
    )  # fmt: skip
    assert fast.tests == 4
    assert fast.lines == len(target.lines)


def test_an_import_error_kills_nothing(pool):
    text = (
        IMPORT + "def test_it():\n    value = clamp(1, 2, 4)\n    if value != 2:\n"
        "        raise ImportError('no such module')\n    assert clamp(5, 2, 4)\n"
    )
    with SuiteScorer(pool) as scorer:
        quality = scorer.quality(text, CLAMP)
    assert "E" in quality.ends
    assert quality.parts["kills"] < 1 and quality.parts["right_reason"] < 1


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("no_function", {"reference": "x = 1"}),
        ("right_program_does_not_parse", {"reference": "def clamp(:"}),
        ("right_program_is_wrong", {"tests": "assert clamp(1, 2, 4) == 7"}),
    ],
)
def test_a_problem_on_which_nothing_can_be_measured_is_rejected(pool, reason, change):
    fields = {**CLAMP.to_row(), **change}
    with pytest.raises(Rejected) as error:
        make_target(Problem.from_row(fields), pool)
    assert error.value.reason == reason


def test_a_broken_sandbox_is_an_error_and_no_score(pool):
    target = make_target(CLAMP, pool, n_mutants=2)

    class Broken:
        level = "L3"

        def run(self, *args, **kwargs):
            return Execution(outcome="infra_error", error="worker gone")

    suite = read_suite(IMPORT + "def test_it():\n" + HOLDS, target.names, target.imported)
    with pytest.raises(SandboxError, match="worker gone"):
        SuiteRunner(Broken()).run(suite, target, random.Random(0))  # type: ignore[arg-type]


def test_equivalent_mutants_are_left_out_by_evidence(pool):
    target = make_target(CLAMP, pool, n_mutants=100)
    assert target.trust == "tests" and target.n_unproven > 0
    # `x <= low` gives the same: no test can tell.
    assert not any("x <= low" in one.code for one in target.wrong)
    without = make_target(Problem("p", "", "", "clamp", reference=REFERENCE), pool, n_mutants=100)
    assert without.trust == "unverified" and any("x <= low" in one.code for one in without.wrong)


def test_lines_and_branches_are_counted_as_coverage_counts_them():
    code = "def f(x):\n    for y in x:\n        if y:\n            return y\n    while True: pass"
    assert lines_of(code) == [1, 2, 3, 4, 5]
    assert [tuple(one) for one in branches_of(code)] == [
        (2, 3, False), (2, 3, True), (3, 4, False), (3, 4, True),
    ]  # fmt: skip


SLOW = "def clamp(x, low, high):\n    sum(range(20_000_000))\n" + REFERENCE.partition('"""\n')[2]
DEAF = "def test_it():\n    try:\n        clamp(3, 2, 4)\n    except:\n"
ENDLESS = "def clamp(x, low, high):\n    while True:\n        x = x\n"


def test_a_program_that_is_slow_but_ends_is_not_caught_for_its_time(pool):
    # Nor is one that a busy machine makes slow.
    target = replace(make_target(CLAMP, pool, n_mutants=1), wrong=(Wrong(SLOW, "known"),))
    suite = IMPORT + "def test_it():\n" + HOLDS
    assert quality_of(suite, target, SuiteRunner(pool)).ends == "P"
    # It waits for any exception, so that it meets the one that ends it.
    deaf = (
        IMPORT + "def test_it():\n    try:\n        clamp(3, 2, 4)\n    except:\n        assert 0\n"
    )
    assert quality_of(deaf, target, SuiteRunner(pool)).ends == "P"


def test_a_program_that_does_not_end_is_caught(pool):
    target = replace(make_target(CLAMP, pool, n_mutants=1), wrong=(Wrong(ENDLESS, "known"),))
    deaf = (
        IMPORT
        + "def test_it():\n    try:\n        clamp(3, 2, 4)\n    except:\n        pass\n"
        + HOLDS
    )
    for suite in (deaf, IMPORT + "def test_it():\n" + HOLDS):
        assert quality_of(suite, target, SuiteRunner(pool)).ends == "T"


def test_what_a_suite_draws_is_the_same_in_every_run(pool):
    target = make_target(CLAMP, pool, n_mutants=24)
    suite = "import random\n" + IMPORT + (
        "def test_it():\n    x = random.randint(0, 9)\n"
        "    assert clamp(x, 3, 6) == sorted([3, x, 6])[1]\n"
    )  # fmt: skip
    found = {quality_of(suite, target, SuiteRunner(pool)).ends for _ in range(4)}
    assert len(found) == 1


def test_wall_time_that_runs_out_on_a_busy_machine_is_no_verdict(pool):
    target = make_target(CLAMP, pool, n_mutants=2)
    walls = []

    class Busy:
        level = "L3"

        def run(self, code, tests, limits):
            walls.append(limits.wall_s)
            return Execution(outcome="timeout", error="the wall time ran out")

    suite = read_suite(IMPORT + "def test_it():\n" + HOLDS, target.names, target.imported)
    with pytest.raises(SandboxError, match="too busy"):
        SuiteRunner(Busy()).run(suite, target, random.Random(0))  # type: ignore[arg-type]
    assert walls[1] > walls[0]


def test_known_wrong_programs_have_a_part_of_their_own(pool):
    target = make_target(CLAMP, pool, n_mutants=6)
    same = "def clamp(x, low, high):\n    return 2 if x < 2 else 4 if x > 4 else -1"
    target = replace(target, wrong=(*target.wrong, Wrong(same, "known")))
    quality = quality_of(IMPORT + "def test_it():\n" + HOLDS, target, SuiteRunner(pool))
    kills = quality.parts["kills"]
    assert quality.parts["catches_known"] == 0.0 < kills
    assert quality.score == pytest.approx(kills * 6 / 7)
