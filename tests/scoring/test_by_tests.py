"""Scoring by tests: a dead sandbox is an error of the row, never a word about the program."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codefavor.engine import Context, run
from codefavor.errors import ConfigError
from codefavor.journal import Journal, read_journal
from codefavor.records import Execution
from codefavor.scoring.by_tests import score_completions

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
