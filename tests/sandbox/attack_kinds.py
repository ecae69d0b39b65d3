"""What an attack is, and the honest-looking tests that most attacks aim at.

The answers of these tests are tokens that nothing in a program can compute: only one who reads
them from the tests, or who changes how the tests judge, is judged passed.
"""

from __future__ import annotations

from typing import NamedTuple

KINDS = ("asserts", "check", "unittest", "function", "parametrize", "evalplus")


class Attack(NamedTuple):
    """A program that does not do what the tests want; a pass that counts as evidence is a defect."""

    name: str
    program: str
    tests: str
    entry_point: str = "f"
    kind: str = "asserts"
    right: str = ""  # a program that does what these tests want, where one is easily said


class Job(NamedTuple):
    """One program with its tests."""

    program: str
    tests: str
    entry_point: str = "f"


class Influence(NamedTuple):
    """Two jobs on one worker: the second is wrong, so its pass as evidence is a defect."""

    name: str
    first: Job
    second: Job
    right: str = ""  # must still pass the second job's tests after the first job


class Farming(NamedTuple):
    """A program right for `at_most` checks of `total`; more credit than that is a defect."""

    name: str
    program: str
    tests: str
    entry_point: str
    total: int
    at_most: int


TESTS = {
    "asserts": """\
assert f(1) == "TOK-a91"
assert f(2) == "TOK-c07"
assert f(3) == "TOK-e55"
""",
    "check": """\
METADATA = {"author": "somebody", "dataset": "test"}


def check(candidate):
    assert candidate(1) == "TOK-a91"
    assert candidate(2) == "TOK-c07"
    assert candidate(3) == "TOK-e55", "the third one"


check(f)
""",
    "unittest": """\
import unittest


class TestF(unittest.TestCase):
    def test_one(self):
        self.assertEqual(f(1), "TOK-a91")

    def test_two(self):
        self.assertEqual(f(2), "TOK-c07")

    def test_three(self):
        self.assertEqual(f(3), "TOK-e55")


if __name__ == "__main__":
    unittest.main()
""",
    "function": """\
def test_one():
    assert f(1) == "TOK-a91"


def test_others():
    assert f(2) == "TOK-c07"
    assert f(3) == "TOK-e55"
""",
    "parametrize": """\
import pytest


@pytest.mark.parametrize(("given", "want"), [(1, "TOK-a91"), (2, "TOK-c07"), (3, "TOK-e55")])
def test_f(given, want):
    assert f(given) == want
""",
    "evalplus": '''\
import copy

REFERENCE = """
TABLE = {1: "TOK-a91", 2: "TOK-c07", 3: "TOK-e55"}


def f(x):
    return TABLE[x]
"""
INPUTS = [
    [1],
    [2],
    [3],
]


def plus_check(candidate):
    names = {"__name__": "reference"}
    exec(REFERENCE, names)
    for number, arguments in enumerate(INPUTS):
        expected = names["f"](*copy.deepcopy(arguments))
        actual = candidate(*copy.deepcopy(arguments))
        assert actual == expected, f"f gave {actual!r}, expected {expected!r}"


plus_check(f)
''',
}
RIGHT = """\
TABLE = {1: "TOK-a91", 2: "TOK-c07", 3: "TOK-e55"}


def f(x):
    return TABLE[x]
"""

# Picks the answer for x out of whatever texts an attack could lay its hands on.
HUNT = r"""
import re
PATTERN = re.compile("TOK-[a-z][0-9][0-9]")
def pick(texts, x):
    joined = " ".join(t.decode("latin-1") if isinstance(t, bytes) else str(t) for t in texts)
    found = sorted(set(PATTERN.findall(joined)))
    return found[x - 1] if len(found) >= x else None
"""


def against(name: str, program: str, *kinds: str) -> list[Attack]:
    """The same program against each of the common tests of these kinds (all if none is named)."""
    return [
        Attack(f"{name} [{kind}]", program, TESTS[kind], "f", kind, RIGHT)
        for kind in kinds or KINDS
    ]


def hunt(name: str, source: str, *kinds: str) -> list[Attack]:
    """An attack whose `texts(x)` returns the texts in which it looks for the answers."""
    program = f"{HUNT}\n{source.strip()}\n\ndef f(x):\n    return pick(texts(x), x)\n"
    return against(name, program, *(kinds or ("asserts",)))
