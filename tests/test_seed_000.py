"""The measured defects of seed system 000 (H1 to H13): each test fails on its behaviour.

H8 (a learning rate that is never used) and H10 (no sandbox) are what tests/training and
tests/sandbox are about; H12 (tests of a difference) is in tests/statistics/test_pass_at_k.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from codefavor.evaluation.models import Tally
from codefavor.pairs.by_execution import pair_by_execution
from codefavor.pairs.split import split_of
from codefavor.pairs.strategies import Choice
from codefavor.records import Problem, Row
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.failure_classes import failure_of
from codefavor.sources.problems import load_problems
from codefavor.training.formats import FormatOptions, convert

PROBLEM = Problem("p", "Add one.", "assert f(1) == 2\nassert f(2) == 3\nassert f(3) == 4", "f")


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(2) as made:
        yield made


def scored(pool: SandboxPool, problem: Problem, *codes: str) -> list[Row]:
    """Samples of a problem with their runs."""
    return [
        {
            "problem_id": problem.id,
            "code": code,
            "level": "samples",
            "kind": "completion",
            "execution": pool.run(
                code, problem.tests, Limits(cpu_s=1.0), entry_point=problem.entry_point
            ).to_row(),
        }
        for code in codes
    ]


def test_h1_the_problems_of_the_first_command_give_pairs(pool: SandboxPool) -> None:
    problem = load_problems("starter")[0]
    wrong = f"def {problem.entry_point}(*args):\n    return object\n"
    rows = scored(pool, problem, problem.reference, wrong)
    assert len(pair_by_execution({problem.id: problem}, rows, choice=Choice()).pairs) == 1


def test_h2_mbpp_has_prompts_and_tests(tmp_path: Path) -> None:
    row = {
        "task_id": 2, "text": "Write a function to add one.", "code": "def f(x):\n    return x + 1",
        "test_list": ["assert f(1) == 2"], "test_setup_code": "", "challenge_test_list": [],
    }  # fmt: skip
    (tmp_path / "mbpp").mkdir()
    (tmp_path / "mbpp" / "mbpp.jsonl").write_text(json.dumps(row) + "\n")
    (problem,) = load_problems("mbpp", data_dir=tmp_path)
    assert "add one" in problem.instruction
    assert "assert f(1) == 2" in problem.tests


def test_h3_a_problem_is_on_one_side_of_the_split_in_any_order() -> None:
    names = [f"p{n}" for n in range(200)]
    assert {n: split_of(n) for n in names} == {n: split_of(n) for n in reversed(names)}


def test_h4_a_program_that_hangs_is_a_timeout_and_ends(pool: SandboxPool) -> None:
    code = "def f(x):\n    while x > 1:\n        pass\n    return x + 1\n"
    run = pool.run(code, PROBLEM.tests, Limits(cpu_s=1.0), entry_point="f")
    assert (run.outcome, run.passed, run.total) == ("timeout", 1, 3)


def test_h5_a_program_that_does_not_parse_is_a_syntax_error(pool: SandboxPool) -> None:
    assert pool.run("def f(x) return", PROBLEM.tests, entry_point="f").outcome == "syntax_error"


def test_h6_the_entry_point_is_tested_and_not_the_first_function(pool: SandboxPool) -> None:
    code = "def helper(x):\n    return None\n\n\ndef f(x):\n    return x + 1\n"
    tests = "def check(candidate):\n    assert candidate(1) == 2\n\ncheck(f)\n"
    assert pool.run(code, tests, entry_point="f").is_evidence_of_pass


def test_h7_a_side_does_not_repeat_the_prompt(pool: SandboxPool) -> None:
    rows = scored(pool, PROBLEM, "def f(x):\n    return x + 1\n", "def f(x):\n    return 0\n")
    (pair,) = pair_by_execution({"p": PROBLEM}, rows, choice=Choice()).pairs
    (row,) = convert([pair], "dpo", FormatOptions(system="none")).rows
    assert PROBLEM.instruction not in json.dumps([row["chosen"], row["rejected"]])


def test_h9_outcomes_are_of_samples_and_the_result_is_json(pool: SandboxPool) -> None:
    codes = ("def f(x):\n    return x + 1\n", "def f(x):\n    return 2\n", "def f(x) return")
    tally = Tally(3)
    completions = scored(pool, PROBLEM, *codes)
    tally.add({"id": "p", "status": "ok", "row": {"id": "p", "completions": completions}})
    metrics = json.loads(json.dumps(tally.metrics(["p"])))
    assert metrics["outcomes"] == {"passed": 1, "wrong_output": 1, "syntax_error": 1}
    assert sum(metrics["outcomes"].values()) == metrics["n_samples"] == 3


def test_h11_what_held_before_a_crash_counts_and_a_loop_over_an_answer_counts_once(
    pool: SandboxPool,
) -> None:
    crash = "def f(x):\n    if x == 3:\n        raise ValueError\n    return x + 1\n"
    run = pool.run(crash, PROBLEM.tests, entry_point="f")
    assert (run.passed, run.total) == (2, 3)
    # A program that chooses how often a loop turns does not choose what it is worth.
    loop = "for one in f(0):\n    assert one >= 0\nassert f(1) == [9]\n"
    run = pool.run("def f(x):\n    return list(range(50))\n", loop, entry_point="f")
    assert (run.passed, run.total) == (1, 2)


def test_h13_what_does_not_exist_has_a_class_of_its_own(pool: SandboxPool) -> None:
    code = "import addlib\n\n\ndef f(x):\n    return addlib.add_one(x)\n"
    found = failure_of(pool.run(code, PROBLEM.tests, entry_point="f"), code)
    assert found == ("no_such_module", "addlib")
