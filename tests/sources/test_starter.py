"""The starter problems: what their README promises."""

import ast
import json
import os
import re
import tokenize
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from codefavor.audits.contamination_report import check_split
from codefavor.pairs.split import SPLITS, split_of
from codefavor.records import Problem, content_id
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.mutants import mutants_of
from codefavor.sources.problems import load_problems, starter_path

PROBLEMS = load_problems("starter")


def key_of(code: str) -> str:
    """Python 3.10 prints some tuples with parentheses that later versions leave out."""
    return content_id(re.sub(r"[()\s]", "", code))[:16]


EQUIVALENT = starter_path().with_name("equivalent_mutants.jsonl")


def test_there_are_enough_of_every_kind():
    assert len(PROBLEMS) >= 150
    assert len({problem.entry_point for problem in PROBLEMS}) == len(PROBLEMS)
    assert len({problem.topic for problem in PROBLEMS}) >= 11
    assert set(Counter(problem.difficulty for problem in PROBLEMS)) == {"easy", "medium", "hard"}
    assert {split_of(problem.id) for problem in PROBLEMS} == set(SPLITS)


@pytest.mark.parametrize("benchmark", ["humaneval", "mbpp"])
def test_no_problem_is_one_of_a_benchmark_in_other_words(benchmark):
    folder = os.environ.get("CODEFAVOR_DATA")
    if not folder:
        pytest.skip("CODEFAVOR_DATA is not set: the benchmark is not here")
    others = load_problems(benchmark, data_dir=Path(folder))
    assert check_split(PROBLEMS, others).n_rows == len(PROBLEMS)


def test_nothing_held_out_is_near_the_training_part():
    parts = {name: [p for p in PROBLEMS if split_of(p.id) == name] for name in SPLITS}
    for name in ("dev", "test"):
        assert check_split(parts["train"], parts[name]).n_rows == len(parts["train"])


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.id)
def test_a_problem_is_well_formed(problem: Problem):
    asserts = [node for node in ast.parse(problem.tests).body if isinstance(node, ast.Assert)]
    assert len(asserts) >= 8
    assert len({ast.unparse(one) for one in asserts}) == len(asserts)
    assert problem.entry_point in problem.instruction
    functions = [n for n in ast.parse(problem.reference).body if isinstance(n, ast.FunctionDef)]
    assert problem.entry_point in {function.name for function in functions}
    lines = iter(problem.reference.splitlines(keepends=True))
    kinds = {token.type for token in tokenize.generate_tokens(lambda: next(lines, ""))}
    assert tokenize.COMMENT not in kinds
    assert problem.license == "Apache-2.0"


def test_the_tests_of_a_problem_kill_its_mutants():
    """A quarter of the problems, chosen by hash: a mutant that survives is listed as equivalent."""
    listed = {row["key"] for row in map(json.loads, EQUIVALENT.read_text().splitlines())}
    chosen = [p for p in PROBLEMS if int(content_id(p.id)[:2], 16) < 64]
    jobs = [(p, mutant) for p in chosen for mutant in mutants_of(p.reference)]
    limits = Limits(cpu_s=0.5, wall_s=30.0)
    with SandboxPool(2) as pool, ThreadPoolExecutor(2) as threads:
        runs = list(
            threads.map(
                lambda job: pool.run(
                    job[1].code, job[0].tests, limits, entry_point=job[0].entry_point
                ),
                jobs,
            )
        )
    surviving = [
        (problem.id, mutant.operator, mutant.code)
        for (problem, mutant), execution in zip(jobs, runs, strict=True)
        if execution.is_evidence_of_pass and key_of(mutant.code) not in listed
    ]
    assert surviving == []
    assert {execution.outcome for execution in runs}.isdisjoint({"infra_error", "test_error"})


def test_the_list_of_equivalent_mutants_has_no_stale_row():
    rows = [json.loads(line) for line in Path(EQUIVALENT).read_text().splitlines()]
    by_id = {problem.id: problem for problem in PROBLEMS}
    for row in rows[:: max(1, len(rows) // 40)]:
        known = {key_of(m.code) for m in mutants_of(by_id[row["problem_id"]].reference)}
        assert row["key"] in known, row
