"""Benchmark pairs are known by their hashes, with or without the benchmark's files."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.audits.benchmark_rows import (
    hash_lines,
    known_hashes,
    local_hashes,
    pair_hash,
    shipped_hashes,
    without_benchmark,
)
from codefavor.cli.main import app
from codefavor.pairs.fingerprints import without_docstrings
from codefavor.pairs.prose import prose_of
from codefavor.records import Preference, write_rows, write_text
from codefavor.sources.problems import load_problems

DATA = os.environ.get("CODEFAVOR_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="CODEFAVOR_DATA is not set")


def test_a_pair_is_known_with_its_sides_exchanged_and_other_white_space():
    assert pair_hash("a = 1\n", "b") == pair_hash("b", "a  =  1")
    assert pair_hash("a = 1", "b") != pair_hash("a = 2", "b")


def test_every_pair_of_codeprefbench_is_known_without_its_files():
    # 1,364 pairs, with comments and (where that differs) without; some pairs occur twice.
    assert 1364 <= len(shipped_hashes()["codeprefbench"]) <= 2 * 1364
    assert known_hashes(None) == shipped_hashes()


def test_every_pair_of_every_language_of_humanevalpack_is_known_without_its_files():
    shipped = shipped_hashes()
    for name in ("", "-js", "-java", "-go", "-cpp", "-rust"):
        assert len(shipped[f"humanevalpack{name}"]) == 164


@needs_data
def test_the_shipped_hashes_are_those_of_the_files():
    assert DATA is not None
    here = local_hashes(Path(DATA))
    shipped = shipped_hashes()
    assert {name: shipped[name] for name in here} == here


def test_convert_refuses_the_rows_of_a_benchmark_of_its_own_folder(tmp_path, monkeypatch):
    row = {
        "task_id": "Python/0", "declaration": "def f(x):\n", "instruction": "Double x.",
        "canonical_solution": "    return 2 * x\n", "buggy_solution": "    return x\n",
    }  # fmt: skip
    for language in ("python", "js", "java", "go", "cpp", "rust"):
        write_rows(tmp_path / f"humanevalpack/humanevalpack_{language}.jsonl", [row])
    monkeypatch.setenv("CODEFAVOR_DATA", str(tmp_path))
    copied = Preference(
        id="1",
        instruction="Any words.",
        chosen="def f(x):\n  return x",
        rejected="def f(x):\n  return 2 * x",
    )
    own = Preference(id="2", instruction="Add.", chosen="a + b", rejected="a - b")
    write_rows(tmp_path / "pairs.jsonl", [copied.to_row(), own.to_row()])
    out = tmp_path / "dpo.jsonl"
    arguments = ["convert", str(tmp_path / "pairs.jsonl"), "--format", "dpo", "--out", str(out)]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 0, found.output
    assert "refused: 1 rows of humanevalpack" in found.output
    assert "benchmark_row" in found.output
    assert len(out.read_text().splitlines()) == 1


OWN = {
    "id": "own/1", "instruction": "Double the number x and say so.", "tests": "assert f(1) == 2",
    "entry_point": "f",
}  # fmt: skip


def refused_of(tmp_path: Path, row: dict[str, str]) -> str:
    """What `convert` prints of this problem beside two that may be trained on."""
    write_rows(tmp_path / "problems.jsonl", [row, OWN, {**OWN, "id": "Mbpp/901"}])
    out = tmp_path / "grpo.jsonl"
    problems = str(tmp_path / "problems.jsonl")
    words = ["convert", problems, "--format", "grpo", "--out", str(out), "--split", "all"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert [json.loads(line)["tests"] for line in out.read_text().splitlines()] == [OWN["tests"]]
    return found.output


@pytest.mark.parametrize("name", ["HumanEval/53", "Mbpp/20"])
def test_convert_refuses_problems_of_a_benchmark_by_id(tmp_path, name):
    assert "refused: 1 rows of" in refused_of(tmp_path, {**OWN, "id": name})


@needs_data
@pytest.mark.parametrize("field", ["prompt", "instruction", "reference"])
def test_convert_refuses_problems_of_a_benchmark_by_content(tmp_path, field):
    assert DATA is not None
    problem = load_problems("humaneval", data_dir=Path(DATA))[30].to_row()
    output = refused_of(tmp_path, {**OWN, "id": "mine", field: problem[field].upper()})
    assert "refused: 1 rows of humaneval" in output


@needs_data
@pytest.mark.parametrize(
    ("benchmark", "name"), [("humaneval", "HumanEval/2"), ("mbpp", "Mbpp/17"), ("mbpp", "Mbpp/28")]
)
def test_convert_refuses_short_problems_that_are_the_same_but_for_white_space(benchmark, name):
    assert DATA is not None
    (problem,) = (p for p in load_problems(benchmark, data_dir=Path(DATA)) if p.id == name)
    bare = ast.unparse(ast.parse(without_docstrings(problem.reference)))
    task = prose_of(problem)
    rows = [
        Preference("1", "Any words.", bare, "pass"),
        Preference("2", "Any words.", "pass", problem.reference),
        Preference("3", task, "a = 1", "a = 2"),
        Preference("4", "Add up both.", "def f(a, b):\n    return a + b + 1", "pass"),
    ]
    kept, _ = without_benchmark(rows)
    assert [row.id for row in kept] == ["4"]


def test_pairs_of_a_problem_of_a_benchmark_are_refused():
    rows = [
        Preference("1", "Any words.", "a + b", "a - b", problem_id="HumanEval/53"),
        Preference("2", "Add.", "e + f", "e - f"),
    ]
    kept, refused = without_benchmark(rows)
    assert [row.id for row in kept] == ["2"]
    assert refused == {"humaneval": 1}


def test_the_file_is_read_as_it_is_written(tmp_path, monkeypatch):
    lines = hash_lines({"b": frozenset({"22", "11"}), "a": frozenset({"33"})})
    write_text(tmp_path / "benchmark_hashes.txt", lines)
    monkeypatch.setattr("codefavor.audits.benchmark_rows.files", lambda _: tmp_path)
    assert shipped_hashes() == {"a": frozenset({"33"}), "b": frozenset({"11", "22"})}


def test_a_benchmarks_files_are_read_once_until_they_change(tmp_path, monkeypatch):
    from codefavor.audits import benchmark_rows

    read = []
    found = benchmark_rows._pair_hashes
    monkeypatch.setattr(benchmark_rows, "_pair_hashes", lambda f: read.append(f) or found(f))
    pair = Preference(id="x", instruction="Own.", chosen="a = 1", rejected="a = 2")
    for _ in range(3):
        benchmark_rows.without_benchmark([pair], tmp_path)
    assert read == [tmp_path]
    path = tmp_path / "codeprefbench" / "security-alignment.jsonl"
    path.parent.mkdir()
    path.write_text("")
    benchmark_rows.without_benchmark([pair], tmp_path)
    assert read == [tmp_path, tmp_path]
