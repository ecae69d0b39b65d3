"""Pairs by work and by findings: who passes and does less, never against correctness."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from codefavor.records import Execution, Problem, Row, read_rows, write_rows
from codefavor.scoring.by_tests import digest_of_tests
from codefavor.scoring.grown import grown_call, growths_of, literal_calls
from codefavor.scoring.provenance import backing_of
from codefavor.scoring.scaled import Measured, ratio_of
from tests.kit.commands import codefavor

LINEAR = "def total(xs):\n    t = 0\n    for x in xs:\n        t += x\n    return t\n"
QUADRATIC = (
    "def total(xs):\n    t = 0\n    for i in range(len(xs)):\n        for j in range(i + 1):\n"
    "            if i == j:\n                t += xs[i]\n    return t\n"
)
# Right on the short inputs of the tests, and the least work of all.
SHORT_ONLY = "def total(xs):\n    return sum(xs[:9])\n"
TOTAL_TESTS = (
    "assert total([1, 2, 3]) == 6\nassert total([]) == 0\nassert total([5, -1, 4, 4]) == 12\n"
)
COUNTS = "def once(xs):\n    return [x for x in xs if xs.count(x) == 1]\n"
DICT = (
    "def once(xs):\n    seen = {}\n    for x in xs:\n        if x in seen:\n"
    "            seen[x] = seen[x] + 1\n        else:\n            seen[x] = 1\n    out = []\n"
    "    for x in xs:\n        if seen[x] == 1:\n            out.append(x)\n    return out\n"
)
ONCE_TESTS = "assert once([1, 2, 3]) == [1, 2, 3]\nassert once([5, -1, 4, 4]) == [5, -1]\n"
SAFE = "import ast\n\n\ndef value(text):\n    return ast.literal_eval(text)\n"
UNSAFE = "def value(text):\n    return eval(text)\n"
VALUE_TESTS = "assert value('[1]') == [1]\n"


def scored(folder: Path, problem: Problem, *programs: str, outcome: str = "passed") -> list[str]:
    """Files of a problem and of its passing programs; the words that name them."""
    run = Execution(outcome, 2, 2, trust="split", level="L3").to_row()
    write_rows(folder / "problems.jsonl", [problem.to_row()])
    rows: list[Row] = [
        {
            "id": str(number),
            "problem_id": problem.id,
            "code": code,
            "execution": run,
            "tests_sha256": digest_of_tests(problem.to_row()),
        }
        for number, code in enumerate(programs)
    ]
    write_rows(folder / "scored.jsonl", rows)
    return ["scored.jsonl", "--problems", "problems.jsonl", "--out", "pairs.jsonl"]


def pairs(folder: Path) -> list[Row]:
    return [row for _, row in read_rows(folder / "pairs.jsonl")]


def test_less_work_on_grown_inputs_is_better_and_a_wrong_answer_there_is_in_no_pair(
    tmp_path: Path,
) -> None:
    problem = Problem("p", "Sum.", TOTAL_TESTS, "total", reference=LINEAR)
    words = scored(tmp_path, problem, QUADRATIC, SHORT_ONLY, LINEAR)
    done = codefavor("pair", "efficiency", *words, home=tmp_path)
    assert done.code == 0, done.stderr
    (pair,) = pairs(tmp_path)
    assert (pair["chosen"], pair["rejected"]) == (LINEAR, QUADRATIC)
    counts = pair["evidence"]["instructions"]
    first = counts["grown"][0]
    assert first["factors"] == [1, 4, 16, 64, 256]
    # Linear and quadratic, as the inputs grow fourfold.
    assert first["chosen"][-1] / first["chosen"][-2] == pytest.approx(4, rel=0.1)
    assert first["rejected"][-1] / first["rejected"][-2] == pytest.approx(16, rel=0.1)
    assert counts["chosen"] * 50 < counts["rejected"]


@pytest.mark.parametrize("resource", ["instructions", "memory"])
def test_a_table_made_while_loading_is_never_the_better_and_hides_nobody(
    tmp_path: Path, resource: str
) -> None:
    # All of its work and memory lies before the first call.
    table = (
        "T = [0]\nfor i in range(40_000):\n    T.append(T[-1] + i + 1)\n\n\n"
        "def total(n):\n    return T[n]\n"
    )
    loop = "def total(n):\n    t = 0\n    for i in range(1, n + 1):\n        t += i\n    return t\n"
    copies = loop.replace("range(1, n + 1)", "list(range(n + 1))").replace(
        "t += i", "t += i" + 4 * "\n        t += 0"
    )
    tests = "assert total(3) == 6\nassert total(5) == 15\n"
    words = scored(tmp_path, Problem("p", "Sum.", tests, "total", loop), table, loop, copies)
    done = codefavor("pair", "efficiency", *words, "--of", resource, home=tmp_path)
    assert done.code == 0, done.stderr
    assert [(one["chosen"], one["rejected"]) for one in pairs(tmp_path)] == [(loop, copies)]


def test_a_program_that_is_wrong_on_the_largest_input_is_in_no_pair(tmp_path: Path) -> None:
    # Right up to 600 numbers: on four of the five sizes it does the least work by far.
    long_only = SHORT_ONLY.replace("9", "600")
    problem = Problem("p", "Sum.", TOTAL_TESTS, "total", reference=LINEAR)
    words = scored(tmp_path, problem, long_only, LINEAR)
    done = codefavor("pair", "efficiency", *words, home=tmp_path)
    assert done.code == 1
    assert "no_couple_beyond_the_margin" in done.stderr


def test_work_inside_library_functions_contradicts_the_count(tmp_path: Path) -> None:
    problem = Problem("p", "Once.", ONCE_TESTS, "once", reference=DICT)
    words = scored(tmp_path, problem, COUNTS, DICT)
    done = codefavor("pair", "efficiency", *words, "--margin", "1.3", home=tmp_path)
    assert done.code == 1
    assert "time_contradicts" in done.stderr


MEAN = "import statistics\n\n\ndef mean(xs):\n    return float(statistics.mean(xs))\n"
PLAIN_MEAN = "def mean(xs):\n    t = 0\n    for x in xs:\n        t += x\n    return t / len(xs)\n"
# What it measures runs where the counter does not look.
TIMED = (
    "import timeit\n\n\ndef mean(xs):\n    t = sum(xs)\n"
    "    timeit.timeit('for x in xs: t = x', globals={'xs': xs}, number=9)\n"
    "    return t / len(xs)\n"
)
MEAN_TESTS = "assert mean([1, 2, 3]) == 2\nassert mean([5, -1, 4, 4]) == 3\n"


@pytest.mark.parametrize("hidden", [MEAN, TIMED], ids=["library", "text that is run"])
def test_hidden_work_contradicts_the_count_where_every_call_is_short(
    tmp_path: Path, hidden: str
) -> None:
    problem = Problem("p", "Mean.", MEAN_TESTS, "mean", reference=PLAIN_MEAN)
    words = scored(tmp_path, problem, hidden, PLAIN_MEAN)
    done = codefavor("pair", "efficiency", *words, home=tmp_path)
    assert done.code == 1
    assert "time_contradicts" in done.stderr


COPIES = (
    "def total(xs):\n    t, seen = 0, []\n    for x in xs:\n        seen = [*seen, (x, t)]\n"
    "        t += x\n    return t\n"
)
# As little memory as there can be, for a square of the time.
LEAN = "def twice(xs):\n    return any(xs.count(x) > 1 and xs[-1] is None for x in xs)\n"
FAST = (
    "def twice(xs):\n    seen = set()\n    for n, x in enumerate(xs):\n        seen.add((x, n))\n"
    "    return not seen\n"
)


def test_less_memory_on_grown_inputs_is_better(tmp_path: Path) -> None:
    problem = Problem("p", "Sum.", TOTAL_TESTS, "total", reference=LINEAR)
    words = scored(tmp_path, problem, COPIES.replace("[*seen, (x, t)]", "seen + [x]"), LINEAR)
    done = codefavor("pair", "efficiency", *words, "--of", "memory", home=tmp_path)
    assert done.code == 0, done.stderr
    (pair,) = pairs(tmp_path)
    assert (pair["chosen"], pair["criteria"]) == (LINEAR, "memory")
    memory = pair["evidence"]["memory"]
    assert memory["method"] == "tracemalloc"
    first = memory["grown"][0]
    # Two copies of a list of eight bytes a number, while one is made of the other.
    last = 8 * 2 * 4 * first["factors"][-1]
    assert first["rejected"][-1] == pytest.approx(last, rel=0.3)
    assert first["chosen"][-1] < 1000
    assert str(backing_of(pair["evidence"])) == (
        "separated: peak memory, tests (problem) that both pass"
    )


def test_less_memory_for_far_more_time_is_no_pair(tmp_path: Path) -> None:
    tests = "assert twice([1, 2, 3]) == False\n"
    problem = Problem("p", "Twice.", tests, "twice", reference=FAST)
    words = scored(tmp_path, problem, LEAN, FAST)
    done = codefavor("pair", "efficiency", *words, "--of", "memory", home=tmp_path)
    assert done.code == 1
    assert "time_contradicts" in done.stderr


@pytest.mark.parametrize("resource", ["instructions", "memory"])
def test_programs_see_the_setup_of_their_problem(tmp_path: Path, resource: str) -> None:
    linear, quadratic = (
        code.replace("return t", "return plus(t, 0)")
        for code in (LINEAR, COPIES if resource == "memory" else QUADRATIC)
    )
    setup = "def plus(a, b):\n    return a + b\n"
    problem = Problem("p", "Sum.", TOTAL_TESTS, "total", reference=linear, setup=setup)
    words = scored(tmp_path, problem, linear, quadratic)
    done = codefavor("pair", "efficiency", *words, "--of", resource, home=tmp_path)
    assert done.code == 0, done.stderr
    assert [pair["chosen"] for pair in pairs(tmp_path)] == [linear]


@pytest.mark.parametrize(
    ("problem", "programs", "reason"),
    [
        (Problem("p", "i", TOTAL_TESTS, "total", LINEAR), [LINEAR], "fewer_than_two"),
        (Problem("p", "i", TOTAL_TESTS, "total", LINEAR), [LINEAR, f"{LINEAR}# x"], "fewer_than"),
        (Problem("p", "i", TOTAL_TESTS, "total"), [LINEAR, QUADRATIC], "no_reference"),
        (
            Problem("p", "i", "xs = [1]\nassert total(xs) == 1", "total", LINEAR),
            [LINEAR, QUADRATIC],
            "no_input_grows",
        ),
        (
            # The same growth, and a seventh more work.
            Problem("p", "i", TOTAL_TESTS, "total", LINEAR),
            [LINEAR, LINEAR.replace("t += x", "t = t + x + 0")],
            "no_couple_beyond_the_margin",
        ),
    ],
)  # fmt: skip
def test_what_gives_no_pair_is_counted_by_its_reason(
    tmp_path: Path, problem: Problem, programs: list[str], reason: str
) -> None:
    words = scored(tmp_path, problem, *programs)
    done = codefavor("pair", "efficiency", *words, home=tmp_path)
    assert done.code == 1
    assert reason in done.stderr
    assert not pairs_or_none(tmp_path)


def pairs_or_none(folder: Path) -> str:
    return (folder / "pairs.jsonl").read_text() if (folder / "pairs.jsonl").exists() else ""


@pytest.mark.parametrize("criterion", ["efficiency", "security"])
def test_a_program_that_fails_its_tests_is_in_no_pair(tmp_path: Path, criterion: str) -> None:
    problem = Problem("p", "Value.", VALUE_TESTS, "value", reference=SAFE)
    words = scored(tmp_path, problem, SAFE, UNSAFE, outcome="wrong_output")
    done = codefavor("pair", criterion, *words, home=tmp_path)
    assert "fewer_than_two_different_programs_pass" in done.stderr


def test_the_program_without_the_finding_is_better(tmp_path: Path) -> None:
    problem = Problem("p", "Value.", VALUE_TESTS, "value", reference=SAFE)
    words = scored(tmp_path, problem, UNSAFE, SAFE)
    done = codefavor("pair", "security", *words, home=tmp_path)
    assert done.code == 0, done.stderr
    (pair,) = pairs(tmp_path)
    assert (pair["chosen"], pair["rejected"]) == (SAFE, UNSAFE)
    assert [one["test"] for one in pair["evidence"]["findings"]["rejected"]] == ["B307"]
    assert pair["evidence"]["findings"]["chosen"] == []
    manifest = json.loads((tmp_path / "pairs.jsonl.journal.manifest.json").read_text())
    assert manifest["bandit"] == pair["evidence"]["findings"]["bandit"]
    assert manifest["margin"] == pair["evidence"]["findings"]["margin"] == 1
    before = (tmp_path / "pairs.jsonl").read_bytes()
    again = codefavor("pair", "security", *words, home=tmp_path)
    assert "1 had ended before" in again.stderr
    assert (tmp_path / "pairs.jsonl").read_bytes() == before


@pytest.mark.parametrize(("margin", "n_pairs"), [("2", 1), ("3", 0)])
def test_a_pair_is_as_many_findings_apart_as_the_margin_asks(
    tmp_path: Path, margin: str, n_pairs: int
) -> None:
    problem = Problem("p", "Value.", VALUE_TESTS, "value", reference=SAFE)
    twice = "def value(text):\n    eval(text)\n    return eval(text)\n"
    words = scored(tmp_path, problem, twice, SAFE)
    done = codefavor("pair", "security", *words, "--margin", margin, home=tmp_path)
    assert pairs_or_none(tmp_path).count("\n") == n_pairs
    assert ("no_couple_differs_in_findings" in done.stderr) is (n_pairs == 0)


@pytest.mark.parametrize(
    "alarm",
    [
        "def value(text):\n    assert text\n    return int(text)\n",
        "import pickle, subprocess\n\n\ndef value(text):\n    return int(text)\n",
        "import random\n\n\ndef value(text):\n    return int(text) + random.randrange(1)\n",
        "def value(text):\n    try:\n        return int(text)\n    except Exception:\n"
        "        pass\n",
    ],
    ids=["assert", "import", "random number", "except: pass"],
)
def test_findings_of_low_severity_make_no_pair(tmp_path: Path, alarm: str) -> None:
    plain = "def value(text):\n    return int(text) if text.isdigit() else None\n"
    problem = Problem("p", "Value.", "assert value('1') == 1\n", "value", reference=plain)
    words = scored(tmp_path, problem, alarm, plain)
    done = codefavor("pair", "security", *words, home=tmp_path)
    assert "no_couple_differs_in_findings" in done.stderr
    assert not pairs_or_none(tmp_path)


def test_a_line_that_hides_a_program_from_bandit_makes_it_no_better(tmp_path: Path) -> None:
    problem = Problem("p", "Value.", VALUE_TESTS, "value", reference=SAFE)
    hidden = f"# coding: utf-16\n{UNSAFE}".replace("return", "return 0 or")
    words = scored(tmp_path, problem, UNSAFE, hidden)
    done = codefavor("pair", "security", *words, home=tmp_path)
    assert "fewer_than_two_read_by_bandit" in done.stderr
    assert not pairs_or_none(tmp_path)


def test_the_secure_program_that_fails_its_tests_stands_against_nobody(tmp_path: Path) -> None:
    """Run in the sandbox, not stated by a file."""
    problem = Problem("p", "Value.", VALUE_TESTS, "value", reference=SAFE)
    write_rows(tmp_path / "problems.jsonl", [problem.to_row()])
    wrong = "def value(text):\n    return None\n"
    other = "def value(text):\n    answer = eval(text)\n    return answer\n"
    write_rows(
        tmp_path / "samples.jsonl",
        [{"task_id": "p", "solution": code} for code in (UNSAFE, wrong, other)],
    )
    words = ["--problems", "problems.jsonl", "--out"]
    done = codefavor("score", "samples.jsonl", *words, "scored.jsonl", home=tmp_path)
    assert done.code == 0, done.stderr
    done = codefavor("pair", "security", "scored.jsonl", *words, "pairs.jsonl", home=tmp_path)
    assert "no_couple_differs_in_findings" in done.stderr
    assert not pairs_or_none(tmp_path)


@pytest.mark.parametrize(
    ("tests", "calls"),
    [
        ("assert f(x) == f({1: 2}) == f(True, 0) == f('ab', k=1) == g([1])", []),
        ("assert f(3) == f([1, 2]) == f([1, 2])", [[[1, 2]], [3]]),
        ("def check(candidate):\n    assert candidate('abc', 0.5) == 3", [["abc", 0.5]]),
    ],
)
def test_only_literals_that_can_grow_are_called(tests: str, calls: list[list[object]]) -> None:
    assert literal_calls(tests, "f") == calls


@pytest.mark.parametrize(
    ("words", "head"),
    [
        ([], "    sys.settrace(None)\n    sys.setprofile(None)\n"),
        ([], "    getattr(sys, 'settr' + 'ace')(None)\n"),
        (["--of", "memory"], "    import tracemalloc\n    tracemalloc.stop()\n"),
    ],
    ids=["tracing ended", "tracing ended by name", "allocations untold"],
)
def test_a_program_that_reaches_the_counter_is_in_no_pair(
    words: list[str], head: str, tmp_path: Path
) -> None:
    cheat = "import sys\n" + QUADRATIC.replace("(xs):\n", f"(xs):\n{head}", 1)
    problem = Problem("p", "Sum.", TOTAL_TESTS, "total", reference=LINEAR)
    files = scored(tmp_path, problem, QUADRATIC, cheat)
    done = codefavor("pair", "efficiency", *files, *words, home=tmp_path)
    assert "fewer_than_two_different_programs_pass 1" in done.stdout + done.stderr
    assert not (tmp_path / "pairs.jsonl").read_text()


# Quadratic in the different values, which repetition leaves as many as they were.
CLOSEST_QUADRATIC = """def closest(xs):
    u = sorted(set(xs))
    best = None
    for i in range(len(u)):
        for j in range(len(u)):
            if i != j:
                d = abs(u[i] - u[j])
                if best is None or d < best:
                    best = d
    return best
"""
CLOSEST_LINEAR = """def closest(xs):
    seen = {}
    for x in xs:
        if x in seen:
            seen[x] = seen[x] + 1
        else:
            seen[x] = 1
    u = sorted(seen)
    best = None
    for k in range(1, len(u)):
        d = u[k] - u[k - 1]
        if best is None or d < best:
            best = d
    return best
"""
DEDUPE_LIST = """def dedupe(xs):
    r = []
    for x in xs:
        if x not in r:
            r.append(x)
    return r
"""
DEDUPE_DICT = """def dedupe(xs):
    seen = {}
    out = []
    position = 0
    while position < len(xs):
        value = xs[position]
        if value not in seen:
            seen[value] = True
            out.append(value)
        else:
            seen[value] = True
        position = position + 1
    return out
"""


@pytest.mark.parametrize(
    ("name", "tests", "quadratic", "linear"),
    [
        (
            "closest",
            "assert closest([4, 9, 1, 1]) == 3\nassert closest([10, 20, 35]) == 10\n",
            CLOSEST_QUADRATIC,
            CLOSEST_LINEAR,
        ),
        (
            "dedupe",
            "assert dedupe([1, 2, 2, 3]) == [1, 2, 3]\nassert dedupe([3, 1, 3, 2]) == [3, 1, 2]\n",
            DEDUPE_LIST,
            DEDUPE_DICT,
        ),
    ],
    ids=["instructions", "time"],
)
def test_what_is_quadratic_in_different_values_is_never_the_better_program(
    tmp_path: Path, name: str, tests: str, quadratic: str, linear: str
) -> None:
    words = scored(tmp_path, Problem("p", "i", tests, name, linear), quadratic, linear)
    codefavor("pair", "efficiency", *words, home=tmp_path)
    assert not pairs_or_none(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ([[4, 9, 1]], "f([4, 9, 1, 13, 18, 10])"),
        ([[1, 2], 3], "f([1, 2, 4, 5], 6)"),
        ([[9, 4]], "f([15, 10, 9, 4])"),
        ([["ab", "ab"], {"k": 1}], "f(['ab', 'ab', 'abb', 'abb'], {'k': 1, 'kb': 2})"),
        ([[[1, 2], [3, 4]]], "f([[1, 2], [3, 4], [5, 6], [7, 8]])"),
        ([("10",)], "f(('10', '101'))"),
        (["aBa!"], "f('aBa!bCb!')"),
        (["to be"], "f('to be tob beb')"),
        # Numbers alone: what is twice a number is even, and the other way is behind it a prime.
        ([7], "f(17)"),
        ([9, -4, 0, True, 0.5], "f(19, -11, 0, True, 0.5)"),
        ([10**12], "f(2000000000003)"),
    ],
)
def test_a_call_grows_by_new_values_of_the_same_type_and_order(
    arguments: list[object], call: str
) -> None:
    assert growths_of(arguments) == ("repeated", "distinct")
    assert grown_call("f", arguments, 2, "distinct") == call


def test_a_call_that_no_new_value_grows_is_not_measured() -> None:
    assert growths_of([[True, False]]) == growths_of(["(())"]) == ()
    assert growths_of([{1: 2}, 3]) == ("repeated",)
    assert grown_call("f", [[True], 3], 4, "repeated") == "f([True] * 4, 12)"


PRIME_TO_THE_ROOT = """def is_prime(n):
    if n < 2:
        return False
    d = 2
    while d * d <= n:
        if n % d == 0:
            return False
        d += 1
    return True
"""
# Stops at the first divisor, of which every even number has one.
PRIME_TO_THE_END = """def is_prime(n):
    if n < 2:
        return False
    for d in range(2, n):
        if n % d == 0:
            return False
    return True
"""
# Never stops before the root.
PRIME_BY_COUNT = """def is_prime(n):
    count = 0
    d = 1
    while d * d <= n:
        if n % d == 0:
            count += 1 if d * d == n else 2
        d += 1
    return count == 2
"""
PRIMES = (
    "assert is_prime(997) is True\nassert is_prime(991) is True\nassert is_prime(1001) is False\n"
)
NO_PRIMES = "assert is_prime(1000) is False\nassert is_prime(1001) is False\n"
ODD = "def odd(n):\n    return n % 2 == 1\n"
ODD_SLOW_FOR_EVEN = """def odd(n):
    if n % 2 == 1:
        return True
    while n > 1:
        n -= 2
    return n == 1
"""
ODD_SLOW_FOR_ODD = """def odd(n):
    if n % 2 == 0:
        return False
    while n > 1:
        n -= 2
    return n == 1
"""


@pytest.mark.parametrize("tests", [PRIMES, NO_PRIMES], ids=["primes", "no primes"])
def test_numbers_of_all_kinds_decide_which_program_works_less(tmp_path: Path, tests: str) -> None:
    problem = Problem("p", "Is it a prime?", tests, "is_prime", PRIME_TO_THE_ROOT)
    programs = [PRIME_TO_THE_END, PRIME_BY_COUNT, PRIME_TO_THE_ROOT]
    words = scored(tmp_path, problem, *programs)
    codefavor("pair", "efficiency", *words, "--per-problem", "9", home=tmp_path)
    found = [(one["chosen"], one["rejected"]) for one in pairs(tmp_path)]
    # Even numbers say nothing of these two, primes do; of the other two each is better on one.
    assert found == [(PRIME_TO_THE_ROOT, PRIME_TO_THE_END)]


def test_programs_that_are_each_better_on_one_kind_of_number_are_no_pair(tmp_path: Path) -> None:
    tests = "assert odd(30) is False\nassert odd(9) is True\n"
    problem = Problem("p", "Is it odd?", tests, "odd", ODD)
    words = scored(tmp_path, problem, ODD_SLOW_FOR_EVEN, ODD_SLOW_FOR_ODD, ODD)
    codefavor("pair", "efficiency", *words, "--per-problem", "9", home=tmp_path)
    found = {(one["chosen"], one["rejected"]) for one in pairs(tmp_path)}
    assert found == {(ODD, ODD_SLOW_FOR_EVEN), (ODD, ODD_SLOW_FOR_ODD)}


@pytest.mark.parametrize(
    ("better", "worse", "ratio"),
    [
        ((10, 500, 4000, 16000), (20, 2000, 16000, 64000), 4),
        # Less work at the two largest sizes, and more where it was not little.
        ((10, 3000, 4000, 16000), (20, 2000, 16000, 64000), None),
        ((10, 900, 4000, 16000), (20, 500, 16000, 64000), 4),
        ((4000, 16000), (16000, 32000), None),
        ((4000, None), (16000, 64000), None),
        # Nothing that is worth saving; but where it was, the better one needed less.
        ((10, 10, 10), (20, 20, 20), math.inf),
        ((500, 25, 25), (9000, 26, 26), math.inf),
        ((9000, 26, 26), (500, 25, 25), None),
    ],
)
def test_a_ratio_holds_at_every_size(
    better: tuple[int | None, ...], worse: tuple[int | None, ...], ratio: float | None
) -> None:
    factors = tuple(4**number for number in range(len(better)))
    measured = Measured([3], "repeated", factors, [better, worse], frozenset())
    assert ratio_of(measured, 0, 1, 1000) == ratio
