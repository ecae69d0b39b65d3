"""Verified mutants: what is paired, split and counted, with a real sandbox."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli.pair import app
from codefavor.errors import DataError
from codefavor.pairs.split import split_of
from codefavor.records import Preference, Problem, Row, read_records
from codefavor.sources.problems import load_problems
from codefavor.synthesis.mutant_pairs import (
    candidate_rows,
    printed_samples,
    run_candidates,
    write_pairs,
)


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return load_problems("starter")[:6]


@pytest.fixture(scope="module")
def folder(problems, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mutants")
    given = folder / "problems.jsonl"
    given.write_text("".join(json.dumps(p.to_row()) + "\n" for p in problems))
    scored = folder / "scored.jsonl"
    scored.write_text("".join(json.dumps(row) + "\n" for row in samples(problems[0])))
    words = ["mutants", "--problems", given, "--candidates", "3", "--scored", scored]
    done = CliRunner().invoke(app, [*map(str, words), "--out", str(folder / "out")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].endswith(f"pairs kept -> {folder / 'out'}")
    return folder / "out"


def samples(problem: Problem) -> list[Row]:
    """Four scored completions of one problem: one passes, one fails twice in other layouts."""
    passed = {"outcome": "passed", "passed": 3, "total": 3, "trust": "split", "level": "L3"}
    failed = {**passed, "outcome": "wrong_output", "passed": 0}
    bad = f"def {problem.entry_point}(*values):\n    return 'no'"
    codes = [
        (problem.reference, passed),
        (bad, failed),
        (bad + "   # the same\n", failed),
        ("def (", failed),
    ]
    return [{"problem_id": problem.id, "code": code, "execution": run} for code, run in codes]


def test_every_pair_is_proven_and_on_the_side_of_its_problem(folder):
    n_pairs = 0
    for split in ("train", "dev", "test"):
        path = folder / f"{split}.jsonl"
        for pair in read_records(path, Preference) if path.stat().st_size else []:
            n_pairs += 1
            assert split_of(pair.problem_id) == split
            assert pair.evidence["chosen"]["outcome"] == "passed"
            assert pair.evidence["rejected"]["outcome"] != "passed"
    summary = json.loads((folder / "summary.json").read_text())
    assert sum(summary["n_kept"].values()) == n_pairs > 6


def test_the_summary_counts_every_program_once(folder, problems):
    summary = json.loads((folder / "summary.json").read_text())
    rows = candidate_rows(problems, per_level=3, seed=0)
    counted = sum(n for level in summary["outcomes"].values() for n in level.values())
    assert counted == len(rows) + 4
    assert summary["outcomes"]["reference"] == {"passed": 6}
    assert summary["outcomes"]["samples"] == {"wrong_output": 3, "passed": 1}
    assert summary["rejected"]["samples: the same program again"] == 1


def test_samples_are_printed_as_all_other_programs(problems):
    codes = [row["code"] for row in printed_samples(samples(problems[0]))]
    assert len(codes) == 4
    assert codes[3] == "def ("
    assert codes[1] == codes[2]


def test_the_order_of_the_programs_changes_no_pair(folder, problems, tmp_path):
    programs = [json.loads(line)["row"] for line in (folder / "programs.jsonl").open()]
    for name, shown in (("a", programs), ("b", programs[::-1])):
        write_pairs(problems, shown, tmp_path / name, per_problem=1, seed=0)
    for split in ("train", "dev", "test"):
        first, second = ((tmp_path / n / f"{split}.jsonl").read_bytes() for n in "ab")
        assert first == second


def test_a_reference_that_fails_its_tests_stops_the_run(problems, tmp_path):
    broken = {**problems[0].to_row(), "tests": "assert False"}
    with pytest.raises(DataError, match=problems[0].id):
        run_candidates(
            [Problem.from_row(broken, "here")],
            tmp_path / "programs.jsonl",
            per_level=1,
            seed=0,
            workers=1,
            level="L2",
        )
