"""Which mutants do the same, and which differ where the tests of their problem do not look."""

from __future__ import annotations

import pytest

from codefavor.records import Problem
from codefavor.sandbox import SandboxPool
from codefavor.scoring.behaviours import behaviours, inputs_of
from codefavor.scoring.suite_target import make_target

RIGHT = "def f(x):\n    return [y * 2 for y in x]"


@pytest.fixture(scope="module")
def pool():
    with SandboxPool(1, accept="together") as found:
        yield found


def test_programs_that_answer_alike_behave_alike(pool):
    others = [
        "def f(x):\n    return [y + y for y in x]",
        "def f(x):\n    return tuple(y * 2 for y in x)",
        "def f(x):\n    return [y * 2 + 1e-12 for y in x]",
        "def f(x):\n    while True: pass",
        "def f(x):\n    raise ValueError",
        "def f(x:",
    ]
    own, found = behaviours(RIGHT, others, "f", ["[[1, 2]]", "[[]]", "['ab', 'c']"], pool)
    assert len(own) == 8  # the right program takes no two arguments
    assert found[0] == found[2] == own
    assert len({own, *found}) == 4  # what does not parse raises, too
    assert found[3] != found[4] == found[5]


def test_a_program_that_kills_its_process_is_not_seen_and_the_next_one_is(pool):
    others = ["import os\nos._exit(1)", RIGHT]
    own, found = behaviours(RIGHT, others, "f", ["[[1, 2]]"], pool)
    assert found == ["", own]


def test_inputs_are_those_of_the_tests_and_near_ones():
    tests = "assert f([1, 2], 'ab') == 3\nassert f([], x) == 0\nassert g(1) == 2\n"
    found = inputs_of(tests, "f")
    assert found[0] == "[[1, 2], 'ab']" and len(found) == len(set(found)) > 20
    assert all(type(a) is list and type(b) is str for a, b in map(eval, found))
    assert found == inputs_of(tests, "f") and inputs_of("assert g(1) == 2", "f") == []


def test_a_mutant_that_the_tests_do_not_notice_counts_once_where_it_differs(pool):
    code = "def f(x):\n    if x > 10:\n        return 10\n    return x"
    problem = Problem("p", "", "assert f(3) == 3\nassert f(12) == 10", "f", reference=code)
    target = make_target(problem, pool, n_mutants=100)
    inputs = [f"[{n}]" for n in range(-5, 40)]
    own, found = behaviours(target.right, [one.code for one in target.wrong], "f", inputs, pool)
    assert len(set(found)) >= len(found) - 1 and own not in found
    # For 11 alone it gives another answer: no check of the tests is near enough.
    late = "def f(x):\n    if x > 11:\n        return 10\n    return x"
    assert late in [one.code for one in target.wrong]
