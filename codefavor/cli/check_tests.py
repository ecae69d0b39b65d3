"""`codefavor pair check-tests`: may the tests of a problem label programs?"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated

import typer

from codefavor import __version__
from codefavor.cli.engine_options import (
    SandboxLevel,
    Workers,
    fail_without_results,
    forget_run,
    summary,
)
from codefavor.cli.scored_files import scored_rows
from codefavor.engine import Context, TerminalProgress
from codefavor.engine.output import journal_of, run_to_file
from codefavor.errors import ConfigError
from codefavor.pairs.strategies import Scored, distinct
from codefavor.records import Execution, Problem, Row, read_rows
from codefavor.sandbox import SandboxPool
from codefavor.scoring.weak_tests import check_tests
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems


def command(
    problems: Annotated[str, typer.Argument(help="A named set, or JSONL of problems.")],
    out: Annotated[
        Path, typer.Option(dir_okay=False, help="JSONL of the same problems, with what was found.")
    ],
    scored: Annotated[
        Path | None,
        typer.Option(help="Scored programs of several models or samples, whose majority counts."),
    ] = None,
    workers: Workers = 0,
    sandbox_level: SandboxLevel = "L2",
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew: forget this output.")] = False,
) -> None:
    """Run references, mutants and independent programs against the tests of each problem.

    Valid tests pass the reference (without one: more than half of three or more programs) and
    fail at least half of its mutants. Tests that a model wrote label nothing before that.
    """
    known = {one.id: one for one in load_problems(problems, data_dir=data_folder())}
    rows = _rows(known, scored, problems)
    if fresh:
        forget_run(None, journal_of(out))
    n_workers = workers or os.cpu_count() or 1
    with SandboxPool(n_workers, required_level=sandbox_level) as pool:
        counts = run_to_file(
            _step,
            rows,
            out,
            manifest={
                "step": "pair check-tests",
                "code_version": __version__,
                "sandbox_level": pool.level,
            },
            context=Context(sandbox=pool),
            concurrency=n_workers,
            progress=TerminalProgress(),
            label="check-tests",
        )
    typer.echo(summary(counts), err=True)
    _show([row for _, row in read_rows(out)])
    fail_without_results(counts, counts.n - counts.n_error)


def _rows(known: dict[str, Problem], scored: Path | None, problems: str) -> list[Row]:
    programs: dict[str, list[Scored]] = defaultdict(list)
    for row in scored_rows(scored, known, problems) if scored else ():
        one = Scored(row, Execution.from_row(row["execution"]))
        programs[row["problem_id"]].append(one)
    return [
        {
            "id": name,
            "problem": problem.to_row(),
            "solutions": [
                [one.row["code"], one.run.to_row()] for one in distinct(programs[name])[0]
            ],
        }
        for name, problem in known.items()
    ]


async def _step(row: Row, context: Context) -> Row:
    if context.sandbox is None:
        raise ConfigError("checking tests needs a sandbox in the context")
    problem = Problem.from_row(row["problem"], f"problem {row['id']}")
    checked = await check_tests(
        context.sandbox,
        problem.tests,
        problem.entry_point,
        problem.setup,
        reference=problem.reference,
        solutions=[(code, Execution.from_row(run)) for code, run in row["solutions"]],
    )
    return {**problem.to_row(), "tests_checked": checked}


def _show(rows: list[Row]) -> None:
    checked = [row["tests_checked"] for row in rows]
    why = Counter(one["why"] or "valid" for one in checked)
    killed, n = (sum(one["mutants"][side] for one in checked) for side in (0, 1))
    typer.echo(", ".join(f"{name} {count}" for name, count in why.most_common()))
    if n:
        typer.echo(f"mutants that fail: {killed} of {n} ({100 * killed / n:.1f} %)")
