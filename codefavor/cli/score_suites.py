"""`codefavor score --tests`: test suites on the programs of their problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from typer import Option

from codefavor.cli.shard_flags import make_progress
from codefavor.engine import Context
from codefavor.engine.output import run_to_file
from codefavor.errors import DataError
from codefavor.records import Problem, Row, content_id, read_rows, write_rows
from codefavor.sandbox import SandboxPool
from codefavor.scoring.by_suites import (
    SuiteScorer,
    problems_with_suites,
    score_suites,
    summarize_suites,
)
from codefavor.scoring.by_tests import problems_sha256

Tests = Annotated[
    bool, Option("--tests", help="The completions are test suites: measure what they catch.")
]
Mutants = Annotated[int, Option(min=1, help="With --tests: mutants a problem.")]
KnownWrong = Annotated[
    Path | None,
    Option(help="With --tests: JSONL of completions known to be wrong, also to be caught."),
]
Threshold = Annotated[
    float, Option(min=0, max=1, help="With --tests: the score from which a suite is good.")
]

Keep = Annotated[
    Path | None,
    Option(dir_okay=False, help="With --tests: problems to write, the best good suite as tests."),
]


class Measure(NamedTuple):
    """On what suites are measured, and how."""

    problems: Mapping[str, Problem]
    known_wrong: Mapping[str, list[str]]
    n_mutants: int
    threshold: float
    n_workers: int
    level: str
    keep: Path | None = None


def read_known_wrong(path: Path) -> dict[str, list[str]]:
    """Wrong programs by problem id, from rows with problem_id and code."""
    found: dict[str, list[str]] = {}
    for where, row in read_rows(path):
        if not all(isinstance(row.get(name), str) for name in ("problem_id", "code")):
            raise DataError(f"{where}: a wrong program needs the texts 'problem_id' and 'code'")
        found.setdefault(row["problem_id"], []).append(row["code"])
    return found


def run_suites(
    measure: Measure, rows: Iterable[Row], out: Path, **options: Any
) -> tuple[dict[str, Any], int]:
    """Score suites into `out`; the summary and how many rows ended as errors."""
    with (
        SandboxPool(
            measure.n_workers, required_level=measure.level, accept="together", dedupe=False
        ) as pool,
        SuiteScorer(pool, n_mutants=measure.n_mutants, known_wrong=measure.known_wrong) as scorer,
    ):
        manifest = {
            "step": "score_suites",
            "n_mutants": measure.n_mutants,
            "known_wrong": content_id(measure.known_wrong),
            "problems": problems_sha256(measure.problems.values()),
            "sandbox_level": pool.level,
        }
        counts = run_to_file(
            score_suites(scorer, measure.problems),
            rows,
            out,
            manifest=manifest,
            context=Context(sandbox=pool),
            concurrency=2 * measure.n_workers,
            progress=make_progress(),
            label="suites",
            **options,
        )
    if not counts.is_whole:
        return {"shard": counts.shard, "n": counts.n}, counts.n_error
    scored = [row for _, row in read_rows(out)] if out.exists() else []
    summary = summarize_suites(scored, measure.threshold)
    if measure.known_wrong:
        left = {row["problem_id"]: row.get("known_wrong_left_out", 0) for row in scored}
        summary["known_wrong_left_out"] = sum(left.values())
    if measure.keep is not None:
        kept = problems_with_suites(scored, measure.problems, measure.threshold)
        write_rows(measure.keep, kept)
        summary |= {"n_kept": len(kept), "kept": str(measure.keep)}
    n_error = counts.n_error + counts.n_old_errors
    return {**summary, "rejected": dict(counts.reasons)}, n_error
