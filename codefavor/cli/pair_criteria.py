"""`codefavor pair efficiency|security`: pairs of programs that all pass their tests."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, cast

import typer
from click import Choice

from codefavor import __version__
from codefavor.cli.engine_options import (
    Problems,
    SandboxLevel,
    Workers,
    fail_without_results,
    forget_run,
    summary,
)
from codefavor.cli.scored_files import scored_rows
from codefavor.engine import Context, TerminalProgress
from codefavor.engine.output import journal_of, run_to_file
from codefavor.engine.runner import Step
from codefavor.journal import ok_rows
from codefavor.records import Row
from codefavor.sandbox import SandboxPool
from codefavor.scoring.findings import Bandit
from codefavor.scoring.scaled import SCALES, Resource
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems
from codefavor.synthesis.criterion_pairs import (
    make_efficiency_step,
    make_security_step,
    pairs_of,
    passing_rows,
)

Scored = Annotated[
    Path,
    typer.Argument(
        help="Scored completions (`codefavor score`), or the rows of a result of `evaluate`."
    ),
]
Out = Annotated[Path, typer.Option(dir_okay=False, help="JSONL of pairs to write.")]
Programs = Annotated[
    int, typer.Option(min=2, help="Most passing programs of a problem that are measured.")
]
PerProblem = Annotated[
    int, typer.Option(min=1, help="Most pairs a problem, the most different first.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start anew: forget this output.")]


def efficiency(
    scored: Scored,
    out: Out,
    problems: Problems = "starter",
    resource: Annotated[
        str,
        typer.Option(
            "--of",
            click_type=Choice(list(SCALES)),
            help="instructions executed, or memory held at a time (where two runs agree).",
        ),
    ] = "instructions",
    margin: Annotated[
        float, typer.Option(min=1, help="Times as much that the rejected program needs.")
    ] = 2.0,
    programs: Programs = 8,
    per_problem: PerProblem = 2,
    workers: Workers = 0,
    sandbox_level: SandboxLevel = "L2",
    fresh: Fresh = False,
) -> None:
    """Pairs of passing programs by what they need on inputs grown from those of the tests.

    Counted are bytecode instructions, which no load changes (the work inside library functions
    is not among them), or the bytes that a call holds at a time. The reference of a problem says
    what is right on a grown input.
    """
    settings: Row = {"margin": margin, "most_programs": programs, "per_problem": per_problem}
    step = make_efficiency_step(cast("Resource", resource), **settings)
    n_workers = workers or os.cpu_count() or 1
    with SandboxPool(n_workers, required_level=sandbox_level) as pool:
        manifest = {"step": f"pair efficiency of {resource}", **settings}
        _make(step, manifest, scored, problems, out, pool=pool, fresh=fresh, at_once=n_workers)


def security(
    scored: Scored,
    out: Out,
    problems: Problems = "starter",
    margin: Annotated[
        int,
        typer.Option(min=1, help="Findings of high or medium that the rejected program has more."),
    ] = 1,
    programs: Programs = 8,
    per_problem: PerProblem = 2,
    fresh: Fresh = False,
) -> None:
    """Pairs of passing programs by Bandit's findings: fewer of high or medium, none more."""
    bandit = Bandit()
    settings: Row = {"margin": margin, "most_programs": programs, "per_problem": per_problem}
    manifest = {"step": "pair security", "bandit": bandit.version, **settings}
    _make(make_security_step(bandit, **settings), manifest, scored, problems, out, fresh=fresh)


def _make(
    step: Step,
    manifest: Row,
    scored: Path,
    problems: str,
    out: Path,
    *,
    fresh: bool,
    pool: SandboxPool | None = None,
    at_once: int = 1,
) -> None:
    """Run the step over all problems with samples, resumable, and say what came of it."""
    known = {one.id: one for one in load_problems(problems, data_dir=data_folder())}
    rows = list(passing_rows(known, scored_rows(scored, known, problems)))
    if fresh:
        forget_run(None, journal_of(out))
    manifest = {**manifest, "code_version": __version__}
    counts = run_to_file(
        step,
        rows,
        out,
        manifest=manifest | ({"sandbox_level": pool.level} if pool else {}),
        expand=pairs_of,
        context=Context(sandbox=pool),
        concurrency=at_once,
        progress=TerminalProgress(),
        label=str(manifest["step"]),
    )
    typer.echo(summary(counts), err=True)
    n_pairs = sum(len(row["pairs"]) for row in ok_rows(journal_of(out)))
    typer.echo(f"{n_pairs} pairs -> {out}")
    fail_without_results(counts, n_pairs)
