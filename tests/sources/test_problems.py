"""Problem sets load whole, or say which file and line is wrong and how to get what is missing."""

from __future__ import annotations

import ast
import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import CodefavorError, DataError
from codefavor.records import Problem
from codefavor.sandbox import SandboxPool
from codefavor.sources.problems import LOCATIONS, load_problems

ROW = {"id": "mine/1", "instruction": "Double x.", "tests": "assert f(1) == 2", "entry_point": "f"}


def write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(workers=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def data_dir() -> Path:
    folder = os.environ.get("CODEFAVOR_DATA")
    if not folder:
        pytest.skip("CODEFAVOR_DATA is not set, so there are no benchmark files to read")
    return Path(folder)


@pytest.fixture(scope="module")
def starter() -> list[Problem]:
    return load_problems("starter")


def test_starter_has_enough_problems_with_unique_ids_and_names(starter: list[Problem]) -> None:
    assert len(starter) >= 150
    assert len({p.id for p in starter}) == len(starter)
    assert len({p.entry_point for p in starter}) == len(starter)


def test_starter_rows_follow_the_schema(starter: list[Problem]) -> None:
    for problem in starter:
        set_name, topic, name = problem.id.split("/")
        assert (set_name, topic) == ("starter", problem.topic), problem.id
        assert name == problem.entry_point.replace("_", "-"), problem.id
        assert problem.difficulty in {"easy", "medium", "hard"}, problem.id
        assert (problem.license, problem.language) == ("Apache-2.0", "python"), problem.id
        assert problem.entry_point in problem.instruction, problem.id
        # One printer for both sides of a pair: the reference is already in its form.
        assert ast.unparse(ast.parse(problem.reference)) == problem.reference, problem.id


def test_starter_problems_have_eight_asserts_that_call_the_function(
    starter: list[Problem],
) -> None:
    for problem in starter:
        tests = ast.parse(problem.tests).body
        assert len(tests) >= 8, problem.id
        assert len({ast.unparse(test) for test in tests}) == len(tests), problem.id
        for test in tests:
            assert isinstance(test, ast.Assert), problem.id
            names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
            assert problem.entry_point in names, problem.id


def test_starter_covers_topics_and_difficulties(starter: list[Problem]) -> None:
    assert len(Counter(p.topic for p in starter)) >= 11
    assert min(Counter(p.difficulty for p in starter).values()) >= 20


def test_starter_references_pass_their_own_tests(starter: list[Problem], pool: SandboxPool) -> None:
    failed = {}
    for problem in starter:
        run = pool.run(problem.reference, problem.tests, entry_point=problem.entry_point)
        if not run.is_evidence_of_pass or run.passed != run.total or run.total < 8:
            failed[problem.id] = (run.outcome, run.passed, run.total, run.error)
    assert not failed


def test_an_unknown_set_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"unknown problem set 'humanevil'.*starter, humaneval"):
        load_problems("humanevil")


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", ROW, {**ROW, "id": "mine/2", "topic": "numbers"})
    assert [(p.id, p.topic) for p in load_problems(str(path))] == [
        ("mine/1", ""),
        ("mine/2", "numbers"),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the file has no rows"),
        (
            [ROW, {**ROW, "id": "2", "tests": None}],
            r"mine\.jsonl:2: Problem needs the field 'tests'",
        ),
        ([ROW, ["list"]], r"mine\.jsonl:2: expected a JSON object"),
        ([ROW, ROW], "the problem id 'mine/1' occurs twice"),
    ],
    ids=["empty", "field", "array", "twice"],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, rows: list[Any], message: str) -> None:
    path = write(tmp_path / "mine.jsonl", *rows)
    with pytest.raises(DataError, match=message):
        load_problems(str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        load_problems(str(tmp_path / "none.jsonl"))


@pytest.mark.parametrize("name", sorted(LOCATIONS))
def test_a_benchmark_that_is_not_there_says_every_way_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_problems(name, data_dir=tmp_path)
    for part in ("CODEFAVOR_DATA", LOCATIONS[name].file, LOCATIONS[name].hub, "codefavor[hub]"):
        assert part in str(caught.value)


def test_without_a_folder_the_hub_is_asked_and_its_failure_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A closed port on this machine stands for a hub that cannot be reached.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CodefavorError, match="codefavor\\[hub\\]"):
        load_problems("humaneval")


def test_a_benchmark_row_without_a_field_is_named(tmp_path: Path) -> None:
    write(tmp_path / LOCATIONS["humaneval"].file, {"task_id": "HumanEval/0", "prompt": "def f():"})
    with pytest.raises(DataError, match=r"HumanEval\.jsonl\.gz:1: the field 'entry_point'"):
        load_problems("humaneval", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [
        ("humaneval", 164, "HumanEval/0"),
        ("humaneval+", 164, "HumanEval/0"),
        ("mbpp", 974, "Mbpp/1"),
        ("mbpp-sanitized", 427, "Mbpp/2"),
        ("mbpp+", 399, "Mbpp/2"),
        ("quixbugs", 40, "QuixBugs/bitcount"),
    ],
)
def test_benchmarks_load_whole(name: str, count: int, first: str, data_dir: Path) -> None:
    problems = load_problems(name, data_dir=data_dir)
    assert (len(problems), problems[0].id) == (count, first)
    for problem in problems:
        assert problem.entry_point in problem.reference, problem.id
        ast.parse(problem.tests)


# Their references ask which object a value is, which the split lane cannot answer.
BY_IDENTITY = {"QuixBugs/depth_first_search"}


@pytest.mark.parametrize("name", LOCATIONS)
def test_some_references_of_each_benchmark_pass_in_the_sandbox(
    name: str, data_dir: Path, pool: SandboxPool
) -> None:
    for problem in load_problems(name, data_dir=data_dir)[3:60:11]:
        run = pool.run(
            problem.reference,
            problem.tests,
            entry_point=problem.entry_point,
            setup=problem.setup,
        )
        is_judged = problem.id not in BY_IDENTITY
        assert run.is_evidence_of_pass is is_judged, (problem.id, run)
        assert is_judged or run.outcome == "unsupported"
