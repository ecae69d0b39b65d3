"""Hostile and odd suites: each has a named reason, and the sandbox's own failure is never a 0."""

from __future__ import annotations

import random
import textwrap
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
    "starts_processes": IMPORT
    + "import subprocess\ndef test_it():\n"
    + HOLDS
    + "    subprocess.run(['ls'])\n",
    "uses_network": IMPORT + "import socket\ndef test_it():\n" + HOLDS + "    socket.socket()\n",
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
    text += "    with P(1) as pool:\n        assert pool.submit(abs, -1).result() == 1\n"
    assert scorer.quality(IMPORT + text, CLAMP).defect == "starts_processes"


@pytest.mark.parametrize("reason", BAD)
def test_what_a_suite_must_not_do_has_a_name(scorer, reason):
    quality = scorer.quality(BAD[reason], CLAMP)
    assert (quality.score, quality.defect) == (0.0, reason)


def test_the_bytecode_is_not_read_through_the_frames_of_an_exception(scorer):
    text = "def code_of():\n    try:\n        clamp(None, 1, 2)\n    except TypeError as e:\n"
    text += "        trace = getattr(e, '__trace' + 'back__')\n"
    text += "        while getattr(trace, 'tb_' + 'next'):\n"
    text += "            trace = getattr(trace, 'tb_' + 'next')\n"
    text += "        return getattr(getattr(trace, 'tb_' + 'frame'), 'f_' + 'code')\n"
    text += "def test_it():\n    assert code_of()\n" + HOLDS
    quality = scorer.quality(IMPORT + text, CLAMP)
    assert (quality.score, quality.defect) == (0.0, "reads_source")


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
    "an if that raises another exception": "def test_it():\n    if clamp(1, 2, 4) != 2:\n"
    "        raise Exception('not 2')\n",
    "an if that fails": "import pytest\ndef test_it():\n    for x in (0, 1):\n"
    "        if clamp(x, 2, 4) != 2:\n            pytest.fail(f'{x}')\n",
    "an else that fails": "import pytest\ndef test_it():\n    if clamp(1, 2, 4) == 2:\n"
    "        pass\n    else:\n        pytest.fail()\n",
    "a warning": "import pytest, warnings\ndef test_it():\n"
    "    with pytest.warns(UserWarning):\n        if clamp(1, 2, 4) < clamp(5, 2, 4):\n"
    "            warnings.warn('x')\n",
    "a deprecation": "import pytest, warnings\ndef test_it():\n"
    "    with pytest.deprecated_call():\n"
    "        if clamp(1, 2, 4) < clamp(5, 2, 4):\n"
    "            warnings.warn('x', DeprecationWarning)\n",
    "assertWarns": "import unittest, warnings\nclass T(unittest.TestCase):\n"
    "    def test_it(self):\n        with self.assertWarns(UserWarning):\n"
    "            if clamp(1, 2, 4) < clamp(5, 2, 4):\n                warnings.warn('x')\n",
    "what follows where no exception came": "import pytest\ndef test_it():\n    try:\n"
    "        clamp(1, 3, 2)\n    except ValueError:\n        pass\n    else:\n"
    "        pytest.fail('none')\n",
    "what follows an exception that is waited for": "import pytest\ndef test_it():\n    try:\n"
    "        clamp(1, 3, 2)\n        pytest.fail('none')\n    except ValueError:\n"
    "        pass\n",
    "what is returned": "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n"
    "        return self.assertEqual(clamp(1, 2, 4), 2)\n",
    "a comprehension": "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n"
    "        [self.assertEqual(clamp(x, 2, 4), 2) for x in (0, 1)]\n",
}


@pytest.mark.parametrize("how", CHECKS_BY)
@pytest.mark.parametrize("line", [IMPORT, "from .solution import clamp\n"])
def test_a_suite_checks_by(scorer, how, line):
    quality = scorer.quality(line + CHECKS_BY[how], CLAMP)
    assert (quality.defect, quality.checks) == ("", 1)


UNUSED = {
    "a builtin": "import builtins\nread, builtins.input = builtins.input, lambda _: '1'\n"
    "assert clamp(int(input('')), 2, 4) == 2\nbuiltins.input = read\n",
    "network modules": "import http.client, socket, urllib.request\n",
    "a patched process": "import subprocess\nfrom unittest.mock import patch\n"
    "with patch('subprocess.run') as run:\n    subprocess.run(['ls'])\n",
    "a signature": "import inspect\nassert list(inspect.signature(clamp).parameters)[0] == 'x'\n"
    "assert not inspect.iscoroutinefunction(clamp)\n",
    "a method abort": "class Job:\n    def abort(self):\n        self.x = 1\nJob().abort()\n",
    "a temporary folder": "import os, tempfile\nwith tempfile.TemporaryDirectory() as d:\n"
    "    with open(os.path.join(d, 'solution.py'), 'w') as f:\n        f.write('1')\n"
    "    assert open(os.path.join(d, 'solution.py')).read() == '1'\n",
    "a temporary folder that is removed": "import shutil, tempfile\nd = tempfile.mkdtemp()\n"
    "open(d + '/x', 'w').close()\nshutil.rmtree(d)\n",
    "relative names elsewhere": "import os, tempfile\nhere = os.getcwd()\n"
    "os.chdir(tempfile.mkdtemp())\nopen('x', 'w').close()\nos.mkdir('y')\nos.rmdir('y')\n"
    "os.chdir(here)\n",
}


@pytest.mark.parametrize("what", UNUSED)
def test_what_does_no_harm_is_no_defect(scorer, what):
    text = IMPORT + "def test_it():\n" + HOLDS
    quality = scorer.quality(text + textwrap.indent(UNUSED[what], "    "), CLAMP)
    assert (quality.defect, quality.detail) == ("", "") and quality.score > 0


@pytest.mark.parametrize("fixture", ["tmpdir", "cache", "record_property", "tmp_path", "capsys"])
def test_the_fixtures_of_pytest_are_there(scorer, fixture):
    quality = scorer.quality(f"{IMPORT}def test_it({fixture}):\n{HOLDS}", CLAMP)
    assert (quality.defect, quality.detail) == ("", "") and quality.score > 0


def test_a_test_marked_for_anyio_runs(scorer):
    text = "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    text += "@pytest.mark.anyio\nasync def test_it():\n" + HOLDS
    quality = scorer.quality(IMPORT + text, CLAMP)
    assert (quality.defect, quality.detail) == ("", "") and quality.score > 0


_SAME = (
    "class M(type):\n    def __eq__(self, other):\n        return True\n"
    "    def __hash__(self):\n        return 7\n"
)
REMEMBERS = {
    "typing": "import typing\n" + _SAME + "class A(metaclass=M):\n    log = []\n"
    "def seen():\n    log = typing.get_args(typing.List[A])[0].log\n    log.append(1)\n"
    "    return len(log)\n",
    "re": "import re\n" + _SAME + "class S(str, metaclass=M):\n    log = []\n"
    "def seen():\n    log = re.compile(S('abc')).pattern.log\n    log.append(1)\n"
    "    return len(log)\n",
    "a mark": "import pytest\nfrom collections import Counter\ndef seen():\n"
    "    try:\n        n = len(Counter.pytestmark)\n    except AttributeError:\n        n = 0\n"
    "    pytest.mark.seen(Counter)\n    return n + 1\n",
}


@pytest.mark.parametrize("how", REMEMBERS)
def test_nothing_is_left_of_an_earlier_run(scorer, how):
    # Where runs were counted, such a suite would never need to look at an answer.
    text = IMPORT + REMEMBERS[how] + "def test_it():\n    callable(clamp)\n    assert seen() <= 4\n"
    assert (scorer.quality(text, CLAMP).score, scorer.quality(text, CLAMP).defect) == (0, "vacuous")


CHANCE = {
    "os": "import os\ndef chance():\n    return os.urandom(1)[0]\n",
    "secrets": "import secrets\ndef chance():\n    return secrets.randbelow(256)\n",
    "SystemRandom": "import random\ndef chance():\n"
    "    return random.SystemRandom().randrange(256)\n",
    "time_ns": "import time\ndef chance():\n    return time.time_ns() // 100\n",
    "now": "from datetime import datetime\ndef chance():\n    return datetime.now().microsecond\n",
    "a name for a file": "import tempfile\ndef chance():\n    return ord(tempfile.mktemp()[-1])\n",
    "an address": "def chance():\n    return hash(object()) // 16\n",
}


@pytest.mark.parametrize("what", CHANCE)
def test_a_suite_that_hangs_on_chance_is_flaky(scorer, what):
    text = IMPORT + CHANCE[what] + "def test_it():\n" + HOLDS + "    assert chance() % 4\n"
    quality = scorer.quality(text, CLAMP)
    assert quality.score == 0
    assert quality.defect in ("flaky", "fails_right_program")


def test_a_suite_that_hangs_on_the_seed_of_hashes_is_flaky_whatever_its_text_says(scorer):
    text = IMPORT + "def test_it():\n" + HOLDS + "    names = dict.fromkeys('vwxyz').keys()\n"
    text += "    order = ''.join(names & names)\n    assert order == '{}', order\n"
    # It learns the order under the first seed.
    order = scorer.quality(text.format("?"), CLAMP).detail.rpartition(" ")[2]
    assert sorted(order) == list("vwxyz")
    assert scorer.quality(text.format(order), CLAMP).defect == "flaky"


def test_a_suite_that_leaves_by_an_exception_is_said_to_end_the_run(scorer):
    text = IMPORT + "import sys\ndef test_it():\n" + HOLDS + "    sys.exit(0)\n"
    assert scorer.quality(text, CLAMP).defect == "ends_the_run"


ENDS_OK = {
    "empty": ("", 1.0),
    "tests_another_function": ("def test_it():\n    assert 1 == 2\n", 0.0),
    "no_tests": ("import helpers\nhelpers.clamp(1, 2, 4).foo\n", 0.0),
    "patches_the_recorder": (IMPORT + "import unittest\nunittest.TestCase.fail = print\n"
    "def test_it():\n" + HOLDS, 1.0),
    "nothing_ran": (BAD["nothing_ran"], 1.0),
    "does_not_parse": ("def (:", 0.0),
    "too_large": (BAD["too_large"], 0.0),
}  # fmt: skip


@pytest.mark.parametrize("defect", ENDS_OK)
def test_whether_a_suite_ends_ok_is_what_its_run_on_the_right_program_shows(scorer, defect):
    text, is_ok = ENDS_OK[defect]
    quality = scorer.quality(text, CLAMP)
    assert (quality.defect, quality.seed_metric) == (defect, is_ok)


def test_folders_for_temporary_files_may_be_written(scorer):
    text = IMPORT + "def test_it(tmp_path):\n    (tmp_path / 'x').mkdir()\n" + HOLDS
    text += "    (tmp_path / 'x' / 'y').write_text('1')\n    (tmp_path / 'x' / 'y').unlink()\n"
    quality = scorer.quality(text, CLAMP)
    assert quality.defect == "" and quality.engine == "pytest"


MESSAGES = {
    "a place": ("        raise ValueError('bad base %d' % low)", "bad base"),
    "a variable": ("        words = 'low is above high'\n        raise ValueError(words)", "above"),
}


@pytest.mark.parametrize("where", MESSAGES)
def test_only_a_suite_that_wants_exact_words_is_over_fitted(pool, where, suite_runner):
    line, words = MESSAGES[where]
    said = '        raise ValueError("low is above high")'
    problem = replace(CLAMP, reference=REFERENCE.replace(said, line))
    target = make_target(problem, pool, n_mutants=3)
    text = "import pytest\n" + IMPORT + "def test_it():\n" + HOLDS
    text += "    with pytest.raises(ValueError{}):\n        clamp(1, 3, 2)\n"
    free = quality_of(text.format(""), target, suite_runner)
    exact = quality_of(text.format(f", match={words!r}"), target, suite_runner)
    assert free.parts["accepts_other_right"] == 1 and exact.parts["accepts_other_right"] == 0
    assert exact.score == free.score / 2 > 0


def test_a_suite_that_sleeps_earns_half(scorer):
    plain = scorer.quality(IMPORT + "def test_it():\n" + HOLDS, CLAMP)
    text = IMPORT + "import time\ndef test_it():\n    time.sleep(0.001)\n" + HOLDS
    assert scorer.quality(text, CLAMP).score == plain.score / 2 > 0


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


def test_a_right_program_with_a_future_import_has_a_setup(pool):
    """The setup stands behind the import that must come first."""
    future = "from __future__ import annotations\n"
    problem = replace(CLAMP, setup="LIMIT = 1\n", reference=future + REFERENCE)
    target = make_target(problem, pool, n_mutants=3)
    for code in (target.right, *(one.code for one in target.wrong)):
        compile(code, "", "exec", dont_inherit=True)


def test_a_plain_suite_runs_as_real_pytest_would_run_it(pool, suite_runner):
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
    fast = suite_runner._measure("plain", suite, target, random.Random(0))
    real = suite_runner._measure("pytest", suite, target, random.Random(0))
    assert fast is not None and real is not None and not suite.why_pytest
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


@pytest.mark.parametrize("line", ["class Level(Enum):\n", "@dataclass\nclass Level:\n"])
def test_nothing_is_vacuous_where_the_right_program_has_no_bodies(scorer, line):
    names = "from dataclasses import dataclass\nfrom enum import Enum\n"
    problem = Problem("level", "", "", "Level", reference=f"{names}{line}    LOW = 1\n    TOP = 5")
    text = "from solution import Level\ndef test_it():\n"
    good = scorer.quality(
        text + "    assert getattr(Level.LOW, 'value', Level.LOW) == 1\n", problem
    )
    vacant = scorer.quality(text + "    assert Level\n", problem)
    assert (good.defect, vacant.defect) == ("", "")
    assert good.score == good.parts["kills"] > vacant.score == 0


def test_equivalent_mutants_are_left_out_by_evidence(pool):
    target = make_target(CLAMP, pool, n_mutants=100)
    assert target.trust == "tests" and target.n_unproven > 0
    # `x <= low` gives the same: no test can tell.
    assert not any("x <= low" in one.code for one in target.wrong)
    without = make_target(Problem("p", "", "", "clamp", reference=REFERENCE), pool, n_mutants=100)
    assert without.trust == "unverified" and any("x <= low" in one.code for one in without.wrong)


def test_known_wrong_programs_that_are_not_wrong_are_left_out_and_counted(pool):
    wrong = "def clamp(x, low, high):\n    return low"
    right = "def clamp(x, low, high):\n    assert low <= high\n    return max(low, min(x, high))"
    right = right.replace("assert low <= high", "if low > high:\n        raise ValueError")
    given = [REFERENCE, right, wrong, wrong + " + 0 * x", "def clamp(:"]
    target = make_target(CLAMP, pool, n_mutants=2, known_wrong=given)
    codes = [one.code for one in target.wrong if one.operator == "known"]
    assert sorted(codes) == [wrong, wrong + " + 0 * x"] and target.n_known_left_out == 3
    # Without tests only what is equal is known to be right.
    target = make_target(replace(CLAMP, tests=""), pool, n_mutants=2, known_wrong=given)
    assert target.n_known_left_out == 2


def test_lines_and_branches_are_counted_as_coverage_counts_them():
    code = "def f(x):\n    for y in x:\n        if y:\n            return y\n    while True: pass"
    assert lines_of(code) == [1, 2, 3, 4, 5]
    assert [tuple(one) for one in branches_of(code)] == [
        (2, 3, False), (2, 3, True), (3, 4, False), (3, 4, True),
    ]  # fmt: skip


def test_what_is_no_branch_for_coverage_is_none_here():
    # Seen with coverage.py 7.17.
    code = "def f(x):\n    try:\n        x = int(x)\n    except ValueError:\n        x = 0\n"
    code += "    except TypeError:\n        x = 1\n    if 0 and x:\n        for y in x:\n"
    code += "            print(y)\n    return x\n"
    assert branches_of(code) == []


SLOW = "def clamp(x, low, high):\n    sum(range(20_000_000))\n" + REFERENCE.partition('"""\n')[2]
DEAF = "def test_it():\n    try:\n        clamp(3, 2, 4)\n    except:\n"
ENDLESS = "def clamp(x, low, high):\n    while True:\n        x = x\n"


def test_a_program_that_is_slow_but_ends_is_not_caught_for_its_time(pool, suite_runner):
    # Nor is one that a busy machine makes slow.
    target = replace(make_target(CLAMP, pool, n_mutants=1), wrong=(Wrong(SLOW, "known"),))
    suite = IMPORT + "def test_it():\n" + HOLDS
    assert quality_of(suite, target, suite_runner).ends == "P"
    # It waits for any exception, so that it meets the one that ends it.
    deaf = (
        IMPORT + "def test_it():\n    try:\n        clamp(3, 2, 4)\n    except:\n        assert 0\n"
    )
    assert quality_of(deaf, target, suite_runner).ends == "P"


def test_a_program_that_does_not_end_is_caught(pool, suite_runner):
    target = replace(make_target(CLAMP, pool, n_mutants=1), wrong=(Wrong(ENDLESS, "known"),))
    deaf = (
        IMPORT
        + "def test_it():\n    try:\n        clamp(3, 2, 4)\n    except:\n        pass\n"
        + HOLDS
    )
    for suite in (deaf, IMPORT + "def test_it():\n" + HOLDS):
        assert quality_of(suite, target, suite_runner).ends == "T"


def test_what_a_suite_draws_is_the_same_in_every_run(pool, suite_runner):
    target = make_target(CLAMP, pool, n_mutants=24)
    suite = "import random\n" + IMPORT + (
        "def test_it():\n    x = random.randint(0, 9)\n"
        "    assert clamp(x, 3, 6) == sorted([3, x, 6])[1]\n"
    )  # fmt: skip
    found = {quality_of(suite, target, suite_runner).ends for _ in range(4)}
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


def test_known_wrong_programs_have_a_part_of_their_own(pool, suite_runner):
    target = make_target(CLAMP, pool, n_mutants=6)
    same = "def clamp(x, low, high):\n    return 2 if x < 2 else 4 if x > 4 else -1"
    target = replace(target, wrong=(*target.wrong, Wrong(same, "known")))
    quality = quality_of(IMPORT + "def test_it():\n" + HOLDS, target, suite_runner)
    kills = quality.parts["kills"]
    assert quality.parts["catches_known"] == 0.0 < kills
    assert quality.score == pytest.approx(kills * 6 / 7)
