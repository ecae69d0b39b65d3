"""Hallucinated programs: one edit, failing for the stated reason, by running them."""

from __future__ import annotations

import ast
import difflib
import json
from pathlib import Path
from typing import Any

import pytest

from codefavor.journal import ok_rows
from codefavor.pairs.opposite_edits import token_judge
from codefavor.records import Preference, Problem, Row, read_rows
from codefavor.sandbox import SandboxPool
from codefavor.scoring.candidates import hallucinated_of
from codefavor.scoring.failure_classes import failure_of
from codefavor.scoring.hallucinations import FLAWS, hallucinations
from codefavor.scoring.mutants import mutants_of
from codefavor.synthesis.mutant_pairs import (
    PROGRAM_LIMITS,
    run_candidates,
    stated_failures,
    write_pairs,
)

CODE = """\
import math
from collections import Counter

def depth(n):
    if n <= 0:
        return 0
    return depth(n - 1) + 1

def summary(words, n):
    counts = Counter(words)
    kept = []
    for word in sorted(counts, reverse=True):
        if counts[word] >= n:
            kept.append(word.upper())
    at = 0
    while at < depth(n):
        at += 1
    longest = list(kept)
    for index, word in enumerate(kept):
        longest.append(str(index) + word)
    for word in kept:
        longest.append(word)
    for _ in range(at):
        longest.pop()
    return (kept, len(kept), math.floor(n * 1))
"""
TESTS = """\
assert summary(['a', 'b', 'b', 'c', 'c', 'c'], 2) == (['C', 'B'], 2, 2)
assert summary(['y', 'x'], 1) == (['Y', 'X'], 2, 1)
assert summary(['x'], 1) == (['X'], 1, 1)
"""


@pytest.mark.integration
def test_each_kind_fails_for_its_reason_and_is_one_edit() -> None:
    found = mutants_of(CODE, edits=hallucinations)
    assert {one.operator for one in found} == set(FLAWS)
    printed = ast.unparse(ast.parse(CODE)).splitlines()
    right = dict.fromkeys(FLAWS, 0)
    with SandboxPool(workers=1) as pool:
        for one in found:
            changed = [
                line
                for line in difflib.ndiff(printed, one.code.splitlines())
                if line.startswith(("+ ", "- "))
            ]
            # A module stands where it is imported and where it is used.
            most = 4 if one.operator == "hallucinated_function" else 2
            assert len(changed) <= most, changed
            run = pool.run(one.code, TESTS, PROGRAM_LIMITS, entry_point="summary")
            failure = failure_of(run, one.code)
            stated = FLAWS[one.operator].failures
            right[one.operator] += failure is not None and failure.kind in stated
    assert all(right.values()), right


@pytest.mark.integration
def test_pairs_hold_only_programs_that_fail_as_stated_and_say_how(tmp_path: Path) -> None:
    problems = [
        Problem(
            id=f"p{number}", instruction="Summarise the words.", tests=TESTS,
            entry_point="summary", reference=CODE, source="own", license="MIT",
        )
        for number in range(3)
    ]  # fmt: skip
    run_candidates(
        problems, tmp_path / "programs.jsonl", per_level=6, seed=0, workers=1, level="L2",
        kind="hallucinations",
    )  # fmt: skip
    programs = list(ok_rows(tmp_path / "programs.jsonl"))
    levels = {row["kind"]: row["level"] for row in programs if row["level"] != "reference"}
    assert {FLAWS[kind].level == level for kind, level in levels.items()} == {True}
    write_pairs(problems, programs, tmp_path, per_problem=3, seed=0)
    files = [tmp_path / f"{split}.jsonl" for split in ("train", "dev", "test")]
    pairs = [row for path in files for _, row in read_rows(path)]
    assert pairs
    for pair in pairs:
        kind = pair["meta"]["rejected_kind"]
        assert pair["meta"]["rejected_failure"] in FLAWS[kind].failures
        assert pair["level"] == FLAWS[kind].level
        assert pair["evidence"]["chosen"]["outcome"] == "passed"


def test_a_program_that_fails_otherwise_is_left_out_with_the_reason() -> None:
    execution = {"outcome": "timeout", "passed": 0, "total": 1, "error": "", "seconds": 1.0,
                 "peak_bytes": 0, "trust": "split", "lane": "split"}  # fmt: skip
    known = {key: value for key, value in execution.items() if key not in ("lane",)}
    row = {"kind": "off_by_one", "code": "x = 1", "execution": known, "level": "hard"}
    kept, reasons = stated_failures([row, {**row, "kind": "reference"}])
    assert [one["kind"] for one in kept] == ["reference"]
    assert dict(reasons) == {"off_by_one: fails by hang instead": 1}


@pytest.mark.parametrize(
    ("right", "wrong", "kind"),
    [
        ("n % 2 == 0", "n % 2 == 1", "wrong_number"),
        ("n % 2 == 0", "n % 3 == 0", "wrong_number"),
        ("n * (n + 1) // 2", "n * (n + 2) // 2", "wrong_number"),
        ("x[::2]", "x[::3]", "wrong_number"),
        ("list(range(0, n, 2))", "list(range(0, n, 3))", "wrong_number"),
        ("n / 255", "n / 254", "wrong_number"),
        ("list(range(2, n))", "list(range(3, n))", "off_by_one"),
        ("list(range(n + 1))", "list(range(n + 2))", "off_by_one"),
        ("x[1:]", "x[2:]", "off_by_one"),
        ("x[-1]", "x[-2]", "off_by_one"),
        ("x[n - 1]", "x[n - 2]", "off_by_one"),
        ("n < 2", "n < 3", "off_by_one"),
        ("n < 2", "n <= 2", "off_by_one"),
    ],
)
def test_off_by_one_is_a_bound_and_another_number_is_called_so(
    right: str, wrong: str, kind: str
) -> None:
    code = "def f(x: list[int], n):\n    return {}"
    found = {one.code: one.operator for one in mutants_of(code.format(right), edits=hallucinations)}
    assert found[code.format(wrong)] == kind
    assert not any("int - 1" in one for one in found)


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("def f(x):\n    table = {1: 'a', 2: 'b'}\n    return table[2]", "table[1]"),
        ("def f(d: dict[int, int], k):\n    return d[k]", "d[k - 1]"),
        ("def f(xs):\n    state = 0\n    for x in xs:\n        state = x\n    return state",
         "state = 1"),
    ],
)  # fmt: skip
def test_a_key_and_a_state_are_no_bound(code: str, wrong: str) -> None:
    found = mutants_of(code, edits=hallucinations)
    assert not [one for one in found if wrong in one.code and one.operator == "off_by_one"]


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("def f(d, n):\n    d[n] += 1\n    return d", "+= 0"),
        ("def f(d, n):\n    d[n] *= 2\n    return d", "*= 1"),
        ("def f(xs):\n    prod = 1\n    for x in xs:\n        prod *= x\n    return prod",
         "prod = 0"),
        ("def f(xs):\n    prod = 1\n    for x in xs:\n        prod = prod * x\n    return prod",
         "prod = 0"),
    ],
)  # fmt: skip
def test_a_number_that_gives_itself_away_is_no_wrong_number(code: str, wrong: str) -> None:
    assert not [one for one in mutants_of(code, edits=hallucinations) if wrong in one.code]


def test_a_parameter_that_is_called_as_a_module_is_none() -> None:
    code = "def f(string):\n    return string.split()"
    found = mutants_of(code, edits=hallucinations)
    assert "hallucinated_method" in {one.operator for one in found if "append" in one.code}
    code = "import re\ndef f(x):\n    return re.split(',', x)"
    found = mutants_of(code, edits=hallucinations)
    assert not [one for one in found if "append" in one.code]
    moved = "import math\n\ndef f(x):\n    return math.split(',', x)"
    assert [one.operator for one in found if one.code == moved] == ["hallucinated_function"]


@pytest.mark.parametrize("counts", ["n += x", "n = n + x"])
def test_what_a_count_starts_from_is_a_bound(counts: str) -> None:
    code = f"def f(xs):\n    n = 0\n    for x in xs:\n        {counts}\n    return n"
    found = mutants_of(code, edits=hallucinations)
    assert [one.operator for one in found if "n = 1" in one.code] == ["off_by_one"]


@pytest.mark.parametrize(
    ("same", "is_misread"),
    [
        ("x == 'b'", False), ("x != y", False), ("x.key == y.key", False), ("len(x) == y", True),
        ("x == 3", True), ("x % 3 == y", True),
    ],
)  # fmt: skip
def test_a_text_that_is_the_same_is_not_misread_as_one_that_comes_before(
    same: str, is_misread: bool
) -> None:
    found = mutants_of(f"def f(x, y):\n    return {same}", edits=hallucinations)
    orders = [one for one in found if "<" in one.code or ">" in one.code]
    assert bool(orders) == is_misread
    assert any("!=" in one.code or "==" in one.code for one in found)


def pairs_of(*sides: tuple[str, str], level: str = "medium", task: str = "Write f.") -> list[Row]:
    """Programs as they were run: of each problem a right one, and one that fails."""
    found: list[Row] = []
    for number, (right, wrong) in enumerate(sides):
        for code, level_of, kind, outcome in (
            (right, "reference", "reference", "passed"),
            (wrong, level, "misread_requirement", "wrong_output"),
        ):
            run = {"outcome": outcome, "passed": 1, "total": 1, "trust": "split", "level": "L3"}
            found.append({"problem_id": f"p{number}", "code": code, "level": level_of,
                          "kind": kind, "execution": run})  # fmt: skip
    return found


def written(programs: list[Row], folder: Path) -> list[Preference]:
    ids = dict.fromkeys(row["problem_id"] for row in programs)
    problems = [
        Problem(id=one, instruction="Write f.", tests="", entry_point="f", reference="",
                source="own", license="MIT")
        for one in ids
    ]  # fmt: skip
    write_pairs(problems, programs, folder, per_problem=1, seed=0)
    files = [folder / f"{split}.jsonl" for split in ("train", "dev", "test")]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    return [Preference.from_row(json.loads(line), "") for line in lines]


def test_of_two_opposite_edits_neither_tells_which_side_is_right(tmp_path: Path) -> None:
    """max for min in 40 programs and min for max in 20: who takes min would be right in 67 %."""
    code = "def f{0}(x):\n    return {1}(x, {0})"
    names = [("min", "max")] * 40 + [("max", "min")] * 20
    sides = [(code.format(n, a), code.format(n, b)) for n, (a, b) in enumerate(names)]
    kept = written(pairs_of(*sides), tmp_path)
    assert len(kept) == 20
    n_min = sum("min" in pair.chosen for pair in kept)
    # By a coin, not ten of each: to know nineteen of them would tell the twentieth.
    assert 5 <= n_min <= 15
    assert abs(token_judge(kept) - 0.5) <= 0.15
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["balanced_away"] == {"medium": 40}
    assert summary["token_judge"]["medium"]["n"] == 20


def test_an_edit_that_none_is_the_opposite_of_is_not_kept(tmp_path: Path) -> None:
    code = "def f{0}(x):\n    return {1}"
    sides = [(code.format(n, f"min(x, {n})"), code.format(n, f"max(x, {n})")) for n in range(9)]
    assert written(pairs_of(*sides), tmp_path) == []


def test_an_edit_whose_opposite_stands_in_another_statement_is_not_kept(tmp_path: Path) -> None:
    """min is right where it is returned and max elsewhere: who sees the statement knows it."""
    forms = [("return str({1}(x, {0}))", "min", "max"), ("y = str({1}(x, {0}))", "max", "min")]
    sides = [
        (f"def f{n}(x):\n    {form.format(n, a)}", f"def f{n}(x):\n    {form.format(n, b)}")
        for n, (form, a, b) in enumerate(forms * 9)
    ]
    assert written(pairs_of(*sides), tmp_path) == []


def test_only_edits_with_an_opposite_one_are_run() -> None:
    def problem(name: str, body: str) -> Problem:
        return Problem(id=name, instruction="Write f.", tests="", entry_point="f", source="own",
                       reference=f"def f(x):\n    return {body}", license="MIT")  # fmt: skip

    found = hallucinated_of(
        [problem("a", "min(x)"), problem("b", "max(x)"), problem("c", "any(x)")],
        per_level=9, seed=0,
    )  # fmt: skip
    medium = {(one.problem_id, one.code[-6:]) for one in found if one.level == "medium"}
    assert medium == {("a", "max(x)"), ("b", "min(x)")}
    assert {one.problem_id for one in found if one.level == "reference"} == {"a", "b", "c"}


@pytest.mark.parametrize("line", ["out.append(x)", "len(x)", "out.insert(0, x)"])
def test_a_call_of_something_else_misreads_no_requirement(line: str) -> None:
    found = mutants_of(f"def f(x, out):\n    return {line}", edits=hallucinations)
    assert "misread_requirement" not in {one.operator for one in found}
    (swapped,) = [
        one for one in mutants_of("def f(x):\n    return min(x)", edits=hallucinations)
        if one.code.endswith("max(x)")
    ]  # fmt: skip
    assert swapped.operator == "misread_requirement"


@pytest.mark.parametrize(
    ("code", "never"),
    [
        ("len(x)", ".length(x)"), ("x[-1]", "x[-0]"), ("-1", "-0"), ("x + 1", "x + 0"),
        ("x[:n - 1]", "n - 0"), ("x * 2", "x * 1"), ("1 + x", "0 + x"),
    ],
)  # fmt: skip
def test_no_edit_gives_itself_away(code: str, never: str) -> None:
    found = mutants_of(f"def f(x, n):\n    return {code}", edits=hallucinations)
    assert found
    assert not [one.code for one in found if never in one.code]


MISFITS = [
    ("wrong_conversion", "return str(n) + '!'", "return n + '!'", "wrong_type"),
    ("wrong_shape", "return [k + v for k, v in {'ab': 'c'}.items()]",
     "return [k + v for k, v in {'ab': 'c'}]", "wrong_answer"),
    ("wrong_shape", "return [i + x for i, x in enumerate([n])]",
     "return [i + x for i, x in [n]]", "wrong_type"),
    ("swapped_order", "return divmod(n, 3)", "return divmod(3, n)", "wrong_answer"),
    ("swapped_order", "return (n, 3)", "return (3, n)", "wrong_answer"),
    ("unbounded_memory", "return [i for i in range(n)]",
     "return [i for i in list(range(10000000000))[:n]]", "limit"),
    ("unbounded_recursion", "if n == 0:\n        return 0\n    return f(n - 1)",
     "return f(n - 1)", "recursion"),
    ("unbounded_recursion", "return 0 if n == 0 else f(n - 1)", "return f(n - 1)", "recursion"),
    ("endless_loop", "while n < 9:\n        n += 1\n    return n",
     "while n < 9:\n        n -= 1\n    return n", "hang"),
    ("unbounded_growth", "a, b = ([n], [])\n    for x in a:\n        b.append(x)\n    return b",
     "a, b = ([n], [])\n    for x in a:\n        a.append(x)\n    return b", "hang"),
]  # fmt: skip


@pytest.mark.integration
def test_data_that_does_not_fit_and_needs_without_end_show_as_such() -> None:
    code = "def f(n):\n    {}"
    with SandboxPool(workers=1) as pool:
        for kind, right, wrong, failure in MISFITS:
            mutants = mutants_of(code.format(right), edits=hallucinations)
            found = {one.code: one.operator for one in mutants}
            assert found.get(code.format(wrong)) == kind
            scope: dict[str, Any] = {}
            exec(code.format(right), scope)
            tests = f"assert f(7) == {scope['f'](7)!r}"
            run = pool.run(code.format(wrong), tests, PROGRAM_LIMITS, entry_point="f")
            shown = failure_of(run, code.format(wrong))
            assert shown is not None
            assert shown.kind == failure
            assert failure in FLAWS[kind].failures


def test_every_category_has_kinds_of_more_than_one_level() -> None:
    levels: dict[str, set[str]] = {}
    for flaw in FLAWS.values():
        levels.setdefault(flaw.category, set()).add(flaw.level)
    assert levels == {
        "naming": {"easy", "medium"}, "mapping": {"easy", "medium", "hard"},
        "resource": {"easy", "medium", "hard"}, "logic": {"medium", "hard"},
    }  # fmt: skip
