"""What hostile suites try against the measurement itself: the order of runs, replies, the code."""

from __future__ import annotations

import json

import pytest

from codefavor.records import Execution, Problem
from codefavor.sandbox.conclude import WAITED
from codefavor.scoring.suite_quality import quality_of
from codefavor.scoring.suite_runs import Ended, SuiteRunner
from codefavor.scoring.suite_target import make_target

REFERENCE = "def low(x, y):\n    if x < y:\n        return x\n    return y"
TESTS = "assert low(1, 2) == 1\nassert low(3, 2) == 2\nassert low(2, 2) == 2"
LOW = Problem("low", "", TESTS, "low", reference=REFERENCE)
HEAD = "from solution import low\ndef test_it():\n    assert low(1, 2) == 1\n"
SAID = {"one": ["P", -1], "error": "", "tests": 1, "seen": {}, "n_reached": 1, "lines": 1,
        "branches": 1}  # fmt: skip


@pytest.fixture(scope="module")
def target(suite_pool):
    return make_target(LOW, suite_pool, n_mutants=6)


@pytest.fixture
def measured(target, monkeypatch):
    """The jobs of 40 measurements of one text, each in the order in which they ran."""
    found = []

    def one(self, pool, pair, job, rung):
        found[-1].append(job)
        return SAID, Ended("P")

    monkeypatch.setattr(SuiteRunner, "_one", one)
    monkeypatch.setattr(SuiteRunner, "_with_other_seed", lambda *_: Ended("P"))
    for _ in range(40):
        found.append([])
        quality_of(HEAD, target, SuiteRunner(None))  # type: ignore[arg-type]
    return found


def test_no_text_can_be_chosen_by_the_order_of_the_programs(measured):
    places = [tuple(n for n, job in enumerate(jobs) if job.program == 0) for jobs in measured]
    assert len(set(places)) > 10
    # The right one is not told by coming first.
    assert places.count((0, 1, 2, 3)) <= 5


def test_what_a_suite_draws_tells_no_program_from_another(measured):
    for jobs in measured:
        drawn = {job.seed for job in jobs if job.program}
        assert drawn == {job.seed for job in jobs if job[:2] == (0, 0)}


class Says:
    """A pool whose every run ends in the same way."""

    level = "L3"

    def __init__(self, **fields):
        self.fields, self.walls = fields, []

    def run(self, code, tests, limits):
        self.walls.append(limits.wall_s)
        return Execution(**self.fields)


BAD_REPLIES = {
    "no object": [1],
    "no letter": {**SAID, "one": ["Z", -1]},
    "a letter too many": {**SAID, "one": ["A", -1, 2]},
    "a list for a letter": {**SAID, "one": [[], -1]},
    "nothing decided": {"error": ""},
    "no number": {**SAID, "tests": "7"},
    "below zero": {**SAID, "lines": -1},
    "nothing seen": {**SAID, "seen": 3},
    "unlike what": {**SAID, "unlike": 1, "one": None},
}


@pytest.mark.parametrize("what", BAD_REPLIES)
def test_a_forged_reply_is_a_defect_and_no_traceback(target, what):
    pool = Says(outcome="runtime_error", error=f"Said: {json.dumps(BAD_REPLIES[what])}")
    quality = quality_of(HEAD, target, SuiteRunner(pool))  # type: ignore[arg-type]
    assert (quality.score, quality.defect) == (0.0, "ends_the_run")


def test_a_suite_for_the_small_runner_only_has_a_score(target):
    pool = Says(outcome="runtime_error", error='Said: {"unlike": "x"}')
    quality = quality_of(HEAD, target, SuiteRunner(pool))  # type: ignore[arg-type]
    assert (quality.score, quality.defect) == (0.0, "ends_the_run")


def test_a_suite_that_writes_its_own_reply_earns_nothing(target, suite_runner):
    reply = {"outcome": "runtime_error", "error": "Said: " + json.dumps({**SAID, "one": ["Z", []]})}
    text = "    import os\n    for fd in range(3, 20):\n        try:\n"
    text += f"            os.write(fd, {json.dumps(reply).encode()!r})\n"
    text += "        except OSError:\n            pass\n    os._exit(0)\n"
    quality = quality_of(HEAD + text, target, suite_runner)
    assert (quality.score, quality.defect) == (0.0, "ends_the_run")


def test_a_suite_that_waits_is_endless_and_is_not_given_more_time(target):
    pool = Says(outcome="timeout", error=f"the wall time ran out, {WAITED}")
    quality = quality_of(HEAD, target, SuiteRunner(pool))  # type: ignore[arg-type]
    assert (quality.score, quality.defect) == (0.0, "endless")
    # A program that computes may need more seconds; one that waits does not get them.
    assert len(pool.walls) <= 4 and set(pool.walls) == {20.0}


READS = {
    "a forger of mock's question": "    from unittest import mock\n"
    "    text = 'def _is_async_func(f): return f.__co' + 'de__'\n"
    "    exec(compile(text, mock.__spec__.origin, 'exec'), vars(mock))\n"
    "    mock._is_async_func(low)\n",
    "a forger of what mock calls": "    from unittest import mock\n    mock.dir = dir\n"
    "    mock.iscoroutinefunction = lambda f: False\n    mock.Mock(spec=low)\n",
    "referents": "    gc = __import__('g' + 'c')\n    getattr(gc, 'get_ref' + 'erents')(low)\n",
    "referrers": "    gc = __import__('g' + 'c')\n    getattr(gc, 'get_ref' + 'errers')(low)\n",
    "a profile": "    import cProfile\n    cProfile.Profile().runcall(low, 1, 2)\n",
    "a trace": "    import sys\n    getattr(sys, 'settr' + 'ace')(None)\n",
    "a frame": "    import sys\n    getattr(sys, '_getfr' + 'ame')()\n",
    "another module": "    low.__module__ = 'x'\n    getattr(low, '__co' + 'de__')\n",
    "the interpreter": "    c = __import__('cty' + 'pes')\n    c.cast(id(low), c.py_object)\n"
    "    getattr(c, 'python' + 'api').PyFunction_GetCode\n",
    "internals": "    __import__('_test' + 'capi')\n",
    "pytest": "    import pytest\n    with pytest.raises(TypeError) as e:\n        low(None, 2)\n"
    "    e.traceback[-1].frame.code.raw\n",
}


@pytest.mark.parametrize("how", READS)
def test_the_bytecode_is_not_read_by(target, how, suite_runner):
    quality = quality_of(HEAD + READS[how], target, suite_runner)
    assert (quality.score, quality.defect) == (0.0, "reads_source")
    assert quality.detail.startswith("seen while it ran: ") and quality.detail[-2:] != ": "


@pytest.mark.parametrize("engine", ["plain", "pytest"])
def test_the_end_of_our_own_trace_is_no_look_at_the_source(target, engine, suite_runner):
    text = HEAD + "    while True:\n        low(1, 2)\n"
    if engine == "pytest":
        text = text.replace("test_it()", "test_it(record_property)")
    quality = quality_of(text, target, suite_runner)
    assert (quality.defect, quality.engine) == ("endless", engine)


HARMLESS = {
    "lines": "    import sys\n    sys.stdout.writelines(['a'])\n",
    "mock.create_autospec": "    from unittest import mock\n"
    "    assert mock.create_autospec(low, return_value=7)(1, 2) == 7\n",
    "patch with autospec": "    from unittest import mock\n"
    "    with mock.patch('solution.low', autospec=True) as made:\n        made.return_value = 7\n"
    "    mock.create_autospec(type('A', (), {'low': low}), instance=True).low(2)\n",
    "libraries that ask for frames": "    import collections, enum, logging\n"
    "    collections.namedtuple('A', 'x')\n    enum.Enum('B', 'x')\n    logging.warning('x')\n",
}


@pytest.mark.parametrize("what", HARMLESS)
def test_is_no_defect(target, what, suite_runner):
    quality = quality_of(HEAD + HARMLESS[what], target, suite_runner)
    assert (quality.defect, quality.detail) == ("", "") and quality.score > 0


def test_long_words_of_a_test_do_not_change_what_it_caught(target, suite_runner):
    name = "\u00e9" * 1000
    text = f"from solution import low\ndef test_{name}():\n"
    text += "    assert low(1, 2) == 1\n    assert low(3, 2) == 2\n"
    quality = quality_of(text, target, suite_runner)
    assert quality.defect == "" and "D" not in quality.ends and quality.score > 0


def test_the_page_cache_tells_nothing_of_an_earlier_run(target, suite_runner):
    text = "    import os\n    fd = os.open(getattr(os, '__fi' + 'le__'), os.O_RDONLY)\n"
    text += "    data = bytearray(1)\n    assert os.preadv(fd, [data], 0) == 1\n    try:\n"
    text += "        os.preadv(fd, [data], 0, os.RWF_NOWAIT)\n    except BlockingIOError:\n"
    text += "        raise\n    except OSError as e:\n        assert e.errno >= 1024\n"
    text += (
        "    else:\n        raise AssertionError('it told')\n    os.posix_fadvise(fd, 0, 0, 4)\n"
    )
    quality = quality_of(HEAD + text, target, suite_runner)
    assert (quality.defect, quality.detail) == ("", "")
