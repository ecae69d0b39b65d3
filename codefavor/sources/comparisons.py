"""What the checkers of published problems take for the same answer, as text of tests."""

# APPS's comparison of calls (eval/testing_util.py, run_test): one answer stands as a list of it,
# and there are no tuples. Its own takes the first of any list; here it has to be the only one.
APPS_CALLS = """\
def agrees(actual, expected):
    if isinstance(actual, tuple):
        actual = list(actual)
    if actual == expected:
        return True
    if not isinstance(expected, list) or len(expected) != 1:
        return False
    if isinstance(actual, list) and all(isinstance(one, (list, tuple)) for one in actual):
        return [list(one) for one in actual] == expected[0]
    return actual == expected[0]


"""
# LiveCodeBench's comparison of calls (lcb_runner/evaluation/testing_util.py, grade_call_based).
LCB_CALLS = """\
def agrees(actual, expected):
    if isinstance(actual, tuple):
        actual = list(actual)
    return actual == expected


"""
# The same of standard output (grade_stdio): line by line, as text or number by number.
LCB_LINES = """\
from decimal import Decimal, InvalidOperation


def lines(text):
    return [line.strip() for line in text.strip().split("\\n")]


def numbers(line):
    try:
        return [Decimal(word) for word in line.split()]
    except InvalidOperation:
        return []


def agree(one, two):
    return one == two or (numbers(one) != [] and numbers(one) == numbers(two))


def check(given, printed, expected):
    ours, theirs = lines(printed), lines(expected)
    return len(ours) == len(theirs) and all(agree(*pair) for pair in zip(ours, theirs))
"""
# CodeContests's comparison (execution/tester_sandboxer.cc, OutputsMatch and ValuesMatch): tokens in
# lower case, numbers within 1e-5. Theirs are doubles; here whole numbers too large for one have to
# be equal, and others may differ by what a double cannot hold.
CODE_CONTESTS = """\
import re
from decimal import Decimal

LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
WHOLE = r"[+-]?[0-9]+"
NUMBER = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)(e[+-]?[0-9]+)?"


def tokens(text):
    return [one for one in re.split("[ \\n\\t\\r\\v]+", text.translate(LOWER)) if one]


def agree(one, two):
    if one == two:
        return True
    if not (re.fullmatch(NUMBER, one) and re.fullmatch(NUMBER, two)):
        return False
    difference = abs(Decimal(one) - Decimal(two))
    if re.fullmatch(WHOLE, one) and re.fullmatch(WHOLE, two):
        return difference == 0
    return difference < max(Decimal("1e-5"), abs(Decimal(two)) * Decimal("2e-16"))


def check(given, printed, expected):
    ours, theirs = tokens(printed), tokens(expected)
    return len(ours) == len(theirs) and all(agree(*pair) for pair in zip(ours, theirs))
"""
