"""`codefavor rank`: the best of several programs for each problem, by any judge."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from click import Choice
from typer import Argument, Option

from codefavor import __version__
from codefavor.backends import Backend
from codefavor.cli.engine_options import AskingFlags, Problems, Seed, fail_without_results, summary
from codefavor.cli.judge_flags import JudgeCommand, JudgeFlags
from codefavor.cli.option_groups import expanded
from codefavor.cli.shard_flags import placed
from codefavor.engine import Context
from codefavor.engine.output import journal_of
from codefavor.errors import ConfigError
from codefavor.evaluation.rank_step import (
    Method,
    candidate_rows,
    rank_step,
    ranked_candidates,
    summarize,
)
from codefavor.journal import ok_rows
from codefavor.judges.sandboxed import TestBench
from codefavor.judges.spec import JudgeSpec
from codefavor.records import Problem, Row
from codefavor.scoring.by_tests import problems_sha256
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems

# Its help shows the options of the judge that is named with it.
COMMAND_CLASS = JudgeCommand


@expanded
def command(
    completions: Annotated[
        Path, Argument(help="JSONL of completions (problem_id, code), or EvalPlus samples.jsonl.")
    ],
    out: Annotated[
        Path, Option(dir_okay=False, help="JSONL to write: completions with their ranks.")
    ],
    judge: JudgeFlags,
    asking: AskingFlags,
    problems: Problems = "starter",
    method: Annotated[
        str,
        Option(
            click_type=Choice(get_args(Method)),
            help="tournament: every two meet, n(n-1)/2 games; best-of-n: knock-out, n-1 games. "
            "A game is asked in both orders.",
        ),
    ] = "tournament",
    criteria: Annotated[str, Option(help="What makes a program better, in words.")] = "",
    keep: Annotated[
        int | None, Option(min=1, help="Write only candidates of these first ranks.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Rank the programs for each problem; the same command after a kill goes on where it was."""
    chosen = cast("Method", method)
    known = {problem.id: problem for problem in load_problems(problems, data_dir=data_folder())}
    rows = candidate_rows(completions, known, criteria)
    spec = _checked(judge.spec(seed), rows, known)
    judge.check(spec)
    out = placed(out, asking.shard)
    backends = spec.make_backends(asking.options_of_backend())
    with contextlib.ExitStack() as stack:
        made = spec.make_judge(backends, bench=_bench(spec, known, stack))
        context = _context(asking, list(backends.values()), out, seed, stack)
        counts = asking.run_to_file(
            rank_step(made, chosen),
            rows,
            out,
            manifest={
                "step": "rank",
                "method": chosen,
                "criteria": criteria,
                "problems_sha256": problems_sha256(known.values()),
                "judge": spec.describe(made, backends),
                "code_version": __version__,
            },
            context=context,
            expand=lambda row: ranked_candidates(row, keep),
            label=f"rank: {made.name}",
        )
    typer.echo(summary(counts), err=True)
    if not counts.is_whole:
        return
    typer.echo(json.dumps(told := _told(out, counts.n_error + counts.n_old_errors), indent=2))
    fail_without_results(counts, out.stat().st_size if _is_decided(told) else 0)


def _context(
    asking: AskingFlags,
    backends: list[Backend],
    out: Path,
    seed: int,
    stack: contextlib.ExitStack,
) -> Context:
    """What asks the judge's models, if it has any; closed with the stack."""
    if not backends:
        return Context()
    first, *others = backends
    context = asking.make_context(first, out, seed)
    context.others = tuple(others)
    for one in (context, *map(Context, others)):
        stack.enter_context(asking.closing(one))
    return context


def _bench(
    spec: JudgeSpec, known: dict[str, Problem], stack: contextlib.ExitStack
) -> TestBench | None:
    """The tests of a judge that runs programs, of its own sets or of the problems; else None."""
    if "pool" not in spec.needs():
        return None
    sandbox = spec.sandbox()
    sets = [load_problems(name, data_dir=data_folder()) for name in sandbox.sets]
    tested = {one.id: one for some in sets or [list(known.values())] for one in some}
    return TestBench(tested, stack.enter_context(sandbox.make_pool()), sandbox.limits)


def _is_decided(told: dict[str, Any]) -> bool:
    """Whether any game was decided, or none had to be played; else this is the file's order."""
    return 2 * told["n_undecided"] < told["n_comparisons"] or not told["n_comparisons"]


def _checked(spec: JudgeSpec, rows: list[Row], problems: dict[str, Problem]) -> JudgeSpec:
    """The judge for these programs; raises ConfigError for one that needs labelled pairs."""
    if "items" in spec.needs():
        raise ConfigError(
            "rank needs a judge that can be asked about any two programs; the n-gram baseline and "
            "stored runs only know labelled pairs"
        )
    return spec.fitted({problems[row["id"]].language for row in rows})


def _told(out: Path, n_error: int) -> dict[str, Any]:
    return {**summarize(ok_rows(journal_of(out))), "n_error": n_error, "out": str(out)}
