"""Tests label programs only once references pass them, mutants fail them or a majority agrees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from codefavor.records import Execution, Preference, Problem, Row, write_rows
from codefavor.sandbox import SandboxPool
from codefavor.scoring.by_tests import digest_of_tests
from codefavor.scoring.provenance import backing_of
from codefavor.scoring.weak_tests import check_tests
from tests.kit.commands import codefavor

RIGHT = "def low(xs):\n    best = xs[0]\n    for x in xs:\n        if x < best:\n            best = x\n    return best\n"  # noqa: E501
WRONG = RIGHT.replace("<", ">")
# Programs that are no copies of each other.
OTHERS = [
    RIGHT,
    "def low(xs):\n    return min(xs)\n",
    "def low(xs):\n    return sorted(xs)[0]\n",
    "def low(xs):\n    return -max(-x for x in xs)\n",
    "import functools\n\n\ndef low(xs):\n    return functools.reduce(min, xs)\n",
]
STRONG = "assert low([3, 1, 2]) == 1\nassert low([5]) == 5\nassert low([-1, -4]) == -4\n"
# Programs that look at nothing but the first element pass, too.
WEAK = "assert low([1]) == 1\n"
PASSED = Execution("passed", 3, 3, level="L3", seconds=0.1)
FAILED = Execution("wrong_output", 1, 3, level="L3")


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(1) as pool:
        yield pool


@pytest.mark.parametrize(
    ("tests", "reference", "runs", "why"),
    [
        (STRONG, RIGHT, [], ""),
        (STRONG, WRONG, [], "reference_fails"),
        (WEAK, RIGHT, [], "mutants_live"),
        ("import socket\nassert low(socket.socket()) == 1\n", RIGHT, [], "no_evidence"),
        ("assert f() == 1\n", "def f():\n    pass\n", [], "reference_fails"),
        (STRONG, "", [PASSED, PASSED, FAILED], ""),
        # A run that is no evidence is no vote.
        (STRONG, "", [PASSED, PASSED, Execution("infra_error")], "no_majority"),
        (STRONG, "", [PASSED, PASSED, FAILED, FAILED], "no_majority"),
        (STRONG, "", [], "no_majority"),
        (WEAK, "", [PASSED] * 3, "mutants_live"),
        # The reference has the last word: a majority may make one mistake.
        (STRONG, RIGHT, [FAILED] * 5, ""),
    ],
)
async def test_what_speaks_for_tests(
    pool: SandboxPool, tests: str, reference: str, runs: list[Execution], why: str
) -> None:
    found = await check_tests(
        pool, tests, reference=reference, solutions=list(zip(OTHERS, runs, strict=False))
    )
    assert (found["is_valid"], found["why"]) == (not why, why)


async def test_copies_with_other_names_are_one_voice(pool: SandboxPool) -> None:
    copies = [
        RIGHT,
        RIGHT.replace("best", "least").replace("xs", "values"),
        RIGHT.replace("x in", "one in").replace("x <", "one <").replace("= x\n", "= one\n"),
        f'"""The least."""\n{RIGHT}',
    ]
    found = await check_tests(pool, STRONG, solutions=[(code, PASSED) for code in copies])
    assert (found["why"], found["solutions"]) == ("no_majority", [1, 1])


@pytest.mark.parametrize("reference", [RIGHT, ""], ids=["reference", "majority"])
async def test_tests_that_pass_by_chance_are_not_valid(pool: SandboxPool, reference: str) -> None:
    tests = f"import random\n{STRONG}assert random.random() < 0.6\n"
    solutions = [(code, PASSED) for code in OTHERS[:3]]
    found = await check_tests(pool, tests, reference=reference, solutions=solutions)
    assert not found["is_valid"]
    assert found["why"] in ("unstable", "reference_fails")


@pytest.mark.parametrize("author", ["gpt-4o", "llm", "Model", "MODEL", "teacher"])
def test_whoever_is_not_known_as_a_person_is_a_model(author: str) -> None:
    problem = Problem("p", "The least.", STRONG, "low", tests_by=author)
    assert not problem.may_label
    evidence: Row = {"chosen": PASSED.to_row(), "rejected": FAILED.to_row()}
    assert backing_of({**evidence, "tests": problem.tests_evidence}).level == "none"
    for known in ("", "problem", "human"):
        assert Problem("p", "The least.", STRONG, "low", tests_by=known).may_label


def _files(folder: Path, **of_problem: Row | str) -> None:
    problem = Problem("p", "The least number.", STRONG, "low", tests_by="model", **of_problem)  # type: ignore[arg-type]
    write_rows(folder / "problems.jsonl", [problem.to_row()])
    rows = [("a", RIGHT, PASSED), ("b", f"{RIGHT}low2 = low\n", PASSED), ("c", WRONG, FAILED)]
    write_rows(folder / "scored.jsonl", [
        {"id": name, "problem_id": "p", "code": code, "execution": run.to_row(),
         "tests_sha256": digest_of_tests(problem.to_row())}
        for name, code, run in rows
    ])  # fmt: skip


def _pairs(folder: Path, problems: str) -> tuple[list[Preference], str]:
    words = ["pair", "tests", "scored.jsonl", "--problems", problems, "--out", "pairs.jsonl"]
    done = codefavor(*words, home=folder)
    lines = (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    assert done.code == (0 if lines else 1)
    return [Preference.from_row(json.loads(line)) for line in lines], done.stderr


def test_a_models_tests_label_nothing_before_they_are_checked(tmp_path: Path) -> None:
    _files(tmp_path)
    found, said = _pairs(tmp_path, "problems.jsonl")
    assert not found and "no pair came out" in said
    assert "1 problem whose tests a model wrote and nothing validated" in said
    words = ["pair", "check-tests", "problems.jsonl", "--scored", "scored.jsonl"]
    done = codefavor(*words, "--out", "checked.jsonl", home=tmp_path)
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("valid 1\n")
    found, _ = _pairs(tmp_path, "checked.jsonl")
    assert found
    for pair in found:
        assert pair.evidence["tests"]["checked"]["solutions"] == [2, 3]
        assert str(backing_of(pair.evidence)) == "validated: tests (model)"


@pytest.mark.parametrize("criterion", ["efficiency", "security"])
def test_nor_do_they_for_another_criterion(tmp_path: Path, criterion: str) -> None:
    _files(tmp_path, reference=RIGHT)
    words = ["scored.jsonl", "--problems", "problems.jsonl", "--out", "pairs.jsonl"]
    done = codefavor("pair", criterion, *words, home=tmp_path)
    assert done.code == 1
    assert "tests_not_validated" in done.stderr


def test_nor_do_they_reward_a_sample(tmp_path: Path) -> None:
    _files(tmp_path)
    words = ["convert", "problems.jsonl", "--format", "grpo", "--split", "all", "--out", "o.jsonl"]
    done = codefavor(*words, home=tmp_path)
    assert done.code != 0
    assert "tests_not_validated" in done.stderr
