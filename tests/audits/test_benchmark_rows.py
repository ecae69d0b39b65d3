"""Benchmark pairs are known by their hashes, with or without the benchmark's files."""

from __future__ import annotations

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
)
from codefavor.cli.main import app
from codefavor.records import Preference, write_rows, write_text

DATA = os.environ.get("CODEFAVOR_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="CODEFAVOR_DATA is not set")


def test_a_pair_is_known_with_its_sides_exchanged_and_other_white_space():
    assert pair_hash("a = 1\n", "b") == pair_hash("b", "a  =  1")
    assert pair_hash("a = 1", "b") != pair_hash("a = 2", "b")


def test_every_pair_of_codeprefbench_is_known_without_its_files():
    # 1,364 pairs, with comments and (where that differs) without; some pairs occur twice.
    assert 1364 <= len(shipped_hashes()["codeprefbench"]) <= 2 * 1364
    assert known_hashes(None) == shipped_hashes()


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


def test_the_file_is_read_as_it_is_written(tmp_path, monkeypatch):
    lines = hash_lines({"b": frozenset({"22", "11"}), "a": frozenset({"33"})})
    write_text(tmp_path / "benchmark_hashes.txt", lines)
    monkeypatch.setattr("codefavor.audits.benchmark_rows.files", lambda _: tmp_path)
    assert shipped_hashes() == {"a": frozenset({"33"}), "b": frozenset({"11", "22"})}
