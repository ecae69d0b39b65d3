"""Hallucinated programs: one edit, failing for the stated reason, by running them."""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

import pytest

from codefavor.journal import ok_rows
from codefavor.records import Problem, read_rows
from codefavor.sandbox import SandboxPool
from codefavor.scoring.failure_classes import failure_of
from codefavor.scoring.hallucinations import FLAWS, hallucinations
from codefavor.scoring.mutants import mutants_of
from codefavor.synthesis.mutant_pairs import run_candidates, stated_failures, write_pairs

CODE = """\
import math
from collections import Counter

def summary(words, n):
    counts = Counter(words)
    kept = []
    for word in sorted(counts, reverse=True):
        if counts[word] >= n:
            kept.append(word.upper())
    return (kept, len(kept), math.floor(n * 1))
"""
TESTS = """\
assert summary(['a', 'b', 'b', 'c', 'c', 'c'], 2) == (['C', 'B'], 2, 2)
assert summary([], 1) == ([], 0, 1)
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
            assert len(changed) <= 2, changed
            run = pool.run(one.code, TESTS, entry_point="summary")
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
