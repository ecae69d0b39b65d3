"""Scoring by tests: a dead sandbox is an error of the row, never a word about the program."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.engine import Context, run
from codefavor.errors import ConfigError, DataError
from codefavor.journal import Journal, read_journal
from codefavor.records import Execution, Problem, write_rows
from codefavor.sandbox.outcome import Job
from codefavor.sandbox.worker import Report, Worker, WorkerGone
from codefavor.scoring.by_tests import (
    join_with_problems,
    problems_sha256,
    score_completions,
    summarize,
)

RUNS = {
    "good": Execution("passed", passed=1, total=1),
    "bad": Execution("wrong_output", passed=0, total=1),
    "dead": Execution("infra_error", error="the worker is gone"),
}


async def run_async(code: str, tests: str, limits: Any = None, **options: Any) -> Execution:
    return RUNS[code]


def rows() -> list[dict[str, Any]]:
    problem = {"tests": "assert True", "entry_point": "f"}
    return [
        {"id": name, "completion": {"id": name, "code": name}, "problem": problem} for name in RUNS
    ]


async def test_a_dead_sandbox_is_an_error_of_the_row(tmp_path: Path) -> None:
    context = Context(sandbox=SimpleNamespace(run_async=run_async))  # type: ignore[arg-type]
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(score_completions(), rows(), journal, context=context)
    assert (counts.n_ok, counts.reasons) == (2, {"sandbox_error": 1})
    found = {one["id"]: one for one in read_journal(tmp_path / "o")}
    assert found["dead"]["detail"] == "the worker is gone"
    outcomes = {name: found[name]["row"]["execution"]["outcome"] for name in ("good", "bad")}
    assert outcomes == {"good": "passed", "bad": "wrong_output"}


async def test_scoring_without_a_sandbox_is_refused(tmp_path: Path) -> None:
    with (
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(ConfigError, match="needs a sandbox"),
    ):
        await run(score_completions(), rows(), journal, context=Context())


async def test_the_sandbox_is_told_what_the_program_sees_and_is_called_by(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []

    async def listening(code: str, tests: str, limits: Any = None, **options: Any) -> Execution:
        told.append({"code": code, "tests": tests, **options})
        return RUNS["good"]

    problem = {"tests": "assert f(1)", "entry_point": "f", "setup": "import math"}
    row = {"id": "x", "completion": {"id": "x", "code": "good"}, "problem": problem}
    context = Context(sandbox=SimpleNamespace(run_async=listening))  # type: ignore[arg-type]
    with Journal.open(tmp_path / "o", {}) as journal:
        await run(score_completions(), [row], journal, context=context)
    assert told == [{"code": "good", **problem}]


TIDE = Problem("p", "do it", "assert f(1)", "f", prompt="def f(x):\n")


def test_samples_are_whole_programs_or_continue_the_prompt_and_each_is_a_row(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.jsonl"
    whole = {"task_id": "p", "solution": "def f(x): return x"}
    write_rows(path, [whole, whole, {"task_id": "p", "completion": "    return x"}])
    first, again, continued = join_with_problems(path, {"p": TIDE})
    assert first["completion"]["code"] == "def f(x): return x"
    assert continued["completion"]["code"] == "def f(x):\n    return x"
    assert len({first["id"], again["id"], continued["id"]}) == 3
    write_rows(path, [{"task_id": "other", "solution": ""}])
    with pytest.raises(DataError, match=r"s\.jsonl:1: no problem 'other'"):
        list(join_with_problems(path, {"p": TIDE}))
    write_rows(path, [{"task_id": 5, "solution": ""}])
    with pytest.raises(DataError, match=r"s\.jsonl:1: the id of the problem must be text, not 5"):
        list(join_with_problems(path, {"p": TIDE}))


def test_completions_of_unknown_problems_are_counted_and_failed_generations_are_no_code(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.jsonl"
    rows = [{"problem_id": name, "code": None} for name in ("other", "p", "other")]
    write_rows(path, rows)
    unknown: Counter[str] = Counter()
    (row,) = join_with_problems(path, {"p": TIDE}, unknown)
    assert row["completion"]["code"] == ""
    assert unknown == {"other": 2}


def test_other_tests_and_other_tasks_are_another_run() -> None:
    changed = [
        {"id": "q"},
        {"tests": "assert f(2)"},
        {"entry_point": "g"},
        {"setup": "import os"},
        {"instruction": "Do something else."},
        {"prompt": "def other(x):\n"},
    ]
    digests = [problems_sha256([Problem(**{**TIDE.to_row(), **one})]) for one in [{}, *changed]]
    assert len(set(digests)) == 7


def test_a_summary_counts_passes_by_evidence_only() -> None:
    forged = Execution("passed", trust="together", level="L3")
    runs = [RUNS["good"], RUNS["bad"], RUNS["dead"], forged]
    found = summarize({"execution": one.to_row()} for one in runs)
    assert (found["n"], found["n_passed"], found["share_passed"]) == (4, 1, 0.25)
    assert found["share_of_evidence"] == 0.5
    assert found["no_evidence"] == {"infra_error": 1, "together": 1}
    assert found["outcomes"] == {"passed": 2, "wrong_output": 1, "infra_error": 1}
    assert summarize([])["share_passed"] == 0.0


def test_what_the_sandbox_could_not_run_stays_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, problems, out = (tmp_path / f"{name}.jsonl" for name in ("s", "problems", "out"))
    write_rows(problems, [TIDE.to_row()])
    codes = ("def f(x): return x", "def f(x): return 7")
    write_rows(samples, [{"task_id": TIDE.id, "solution": code} for code in codes])
    run = Worker.run

    def breaks(self: Worker, job: Job, *more: Any) -> Report:
        if "return 7" in job.code:
            raise WorkerGone("the zygote died")
        return run(self, job, *more)

    monkeypatch.setattr(Worker, "run", breaks)
    words = ["score", str(samples), "--problems", str(problems), "--out", str(out)]
    for _ in range(2):
        result = CliRunner().invoke(app, [*words, "--workers", "1"])
        summary = json.loads(result.stdout[result.stdout.index("{") :])
        assert (summary["n"], summary["n_error"]) == (1, 1)


def test_score_goes_on_past_unknown_problems_and_names_them(tmp_path: Path) -> None:
    samples, problems, out = (tmp_path / f"{name}.jsonl" for name in ("s", "problems", "out"))
    write_rows(problems, [TIDE.to_row()])
    write_rows(samples, [{"task_id": name, "solution": "def f(x): return x"} for name in "pq"])
    command = ["score", str(samples), "--problems", str(problems), "--out", str(out)]
    result = CliRunner().invoke(app, [*command, "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert "1 completions of problems" in result.stderr and "left out: q" in result.stderr
    summary = json.loads(result.stdout[result.stdout.index("{") :])
    assert (summary["n"], summary["n_passed"], summary["n_unknown_problem"]) == (1, 1, 1)
    write_rows(samples, [{"task_id": "q", "solution": ""}])
    with pytest.raises(DataError, match=r"none of any that it has \(--problems\)"):
        CliRunner().invoke(app, command, catch_exceptions=False)
