"""Verified mutants: what is paired, split and counted, with a real sandbox."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli.pair import app
from codefavor.errors import DataError, SandboxError
from codefavor.pairs.split import split_of
from codefavor.records import Preference, Problem, Row, read_records
from codefavor.sandbox.worker import Worker, WorkerGone
from codefavor.scoring.by_tests import digest_of_tests
from codefavor.scoring.mutants import print_code
from codefavor.sources.problems import load_problems
from codefavor.synthesis.mutant_pairs import (
    candidate_rows,
    printed_samples,
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
    same = {"problem_id": problem.id, "tests_sha256": digest_of_tests(problem.to_row())}
    return [{**same, "code": code, "execution": run} for code, run in codes]


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


@pytest.mark.parametrize("n_right", [1, 0])
def test_a_problem_whose_reference_fails_is_counted_and_left_out(problems, tmp_path, n_right):
    broken = [{**problems[0].to_row(), "tests": "assert False"}]
    broken += [{**problems[1].to_row(), "tests": "while True:\n    pass"}]
    rows = [*broken, *(problem.to_row() for problem in problems[2 : 2 + n_right])]
    given = tmp_path / "problems.jsonl"
    given.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["mutants", "--problems", given, "--candidates", "1", "--out", tmp_path / "out"]
    done = CliRunner().invoke(app, [*map(str, words)])
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    reasons = [one for one in summary["rejected"] if "reference does not pass" in one]
    assert sum(summary["rejected"][one] for one in reasons) == 2
    assert any(one.endswith("wrong_output") for one in reasons)
    if n_right:
        assert done.exit_code == 0, done.output
        assert f"left out: {reasons[0]}" in done.output
        assert summary["n_pairs"] > 0
        files = [tmp_path / "out" / f"{split}.jsonl" for split in ("train", "dev", "test")]
        pairs = [json.loads(line) for path in files for line in path.open()]
        assert {pair["problem_id"] for pair in pairs} <= {problems[2].id}
    else:
        assert isinstance(done.exception, DataError)
        assert "no pair came out of 2 problems" in str(done.exception)


def test_a_program_that_the_sandbox_could_not_run_stops_it_and_is_tried_again(
    problems, folder, tmp_path, monkeypatch
):
    run = Worker.run
    lost = problems[1].reference

    def breaks(self, job, *more):
        if job.code == print_code(lost):
            raise WorkerGone("the zygote died")
        return run(self, job, *more)

    monkeypatch.setattr(Worker, "run", breaks)
    words = ["mutants", "--problems", folder.parent / "problems.jsonl", "--candidates", "3"]
    words += ["--scored", folder.parent / "scored.jsonl", "--out", tmp_path / "out"]
    done = CliRunner().invoke(app, [*map(str, words)])
    assert isinstance(done.exception, SandboxError)
    assert "could not be run" in str(done.exception)
    assert "the zygote died" in str(done.exception)
    assert not (tmp_path / "out" / "train.jsonl").exists()
    monkeypatch.undo()
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    for split in ("train", "dev", "test"):
        ids = [[r["id"] for r in map(json.loads, (f / f"{split}.jsonl").open())]
               for f in (folder, tmp_path / "out")]  # fmt: skip
        assert ids[0] == ids[1]
