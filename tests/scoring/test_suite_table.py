"""120 suites of known quality, written by hand: every hard zero is one, and the rest is ranked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from scipy.stats import spearmanr

from codefavor.records import Problem
from codefavor.sandbox import SandboxPool
from codefavor.scoring.by_suites import SuiteScorer
from codefavor.scoring.suite_quality import DEFECTS, SuiteQuality

# What a careful reader says of a kind: what it is worth, from 0 to 4, and the defects it may have.
GRADES = {"over_fitted": 1, "thin": 1, "good": 3, "excellent": 4}
ZEROS = {
    "vacuous": {"vacuous"},
    "no_checks": {"no_checks"},
    "wrong": {"fails_right_program", "fails_to_load", "tests_another_function"},
    "flaky": {"flaky", "fails_right_program", "order_dependent"},
    "source": {"reads_source"},
    "order_dependent": {"order_dependent"},
    "empty": {"empty"},
    "no_tests": {"no_tests"},
    "endless": {"endless"},
}


class Row(NamedTuple):
    problem: str
    kind: str
    quality: SuiteQuality


def read_table() -> list[tuple[Problem, list[tuple[str, str]]]]:
    text = (Path(__file__).parent / "suites.txt").read_text(encoding="utf-8")
    blocks = re.split(r"^#### ?(\w+)\n", text, flags=re.MULTILINE)[1:]
    found: list[tuple[Problem, list[tuple[str, str]]]] = []
    named = list(zip(blocks[::2], blocks[1::2], strict=True))
    for (name, body), (_, following) in zip(named, [*named[1:], ("", "")], strict=True):
        if name in GRADES or name in ZEROS:
            found[-1][1].append((name, body))
        elif name != "tests":
            problem = Problem(name, "", following, name, reference=body)
            found.append((problem, []))
    return found


@pytest.fixture(scope="module")
def rows(suite_pool: SandboxPool) -> list[Row]:
    with SuiteScorer(suite_pool) as scorer:
        return [
            Row(problem.id, kind, scorer.quality(suite, problem))
            for problem, suites in read_table()
            for kind, suite in suites
        ]


def test_there_are_120_suites_of_both_kinds():
    suites = [suite for _, suites in read_table() for _, suite in suites]
    assert len(suites) == 120
    assert sum("unittest" in suite for suite in suites) >= 30


def test_every_hard_zero_is_a_zero_for_its_reason(rows):
    wrong = [
        (row.problem, row.kind, row.quality.score, row.quality.defect)
        for row in rows
        if row.kind in ZEROS and (row.quality.score or row.quality.defect not in ZEROS[row.kind])
    ]
    assert wrong == []
    assert {row.quality.defect for row in rows} <= {"", *DEFECTS}


def test_what_is_no_zero_has_a_score(rows):
    wrong = [
        (row.problem, row.kind, row.quality.defect, row.quality.detail)
        for row in rows
        if row.kind in GRADES and not row.quality.score
    ]
    assert wrong == []


def test_the_kinds_lie_where_a_reader_puts_them(rows):
    bounds = {"over_fitted": (0, 0.5), "thin": (0, 0.85), "good": (0.5, 1), "excellent": (0.85, 1)}
    wrong = [
        (row.problem, row.kind, row.quality.score)
        for row in rows
        if row.kind in bounds and not bounds[row.kind][0] < row.quality.score <= bounds[row.kind][1]
    ]
    assert wrong == []


def test_each_problem_is_ranked_as_a_reader_would(rows):
    wrong = [
        (a.problem, a.kind, a.quality.score, b.kind, b.quality.score)
        for a in rows
        for b in rows
        if a.problem == b.problem
        and GRADES.get(a.kind, 0) < GRADES.get(b.kind, 0)
        and a.quality.score > b.quality.score
    ]
    assert wrong == []
    grades = [GRADES.get(row.kind, 0) for row in rows]
    assert spearmanr(grades, [row.quality.score for row in rows]).statistic >= 0.95


def test_no_unittest_or_pytest_suite_of_the_table_needs_real_pytest(rows):
    measured = [row for row in rows if row.kind in GRADES]
    assert [row for row in measured if row.quality.engine != "plain"] == []
