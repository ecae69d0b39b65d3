"""`codefavor rank`: the best of several programs for each problem, by any judge."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from codefavor import __version__
from codefavor.cli.engine_options import (
    AskingFlags,
    data_folder,
    expanded,
    fail_if_all_failed,
    parse_options,
    summary,
)
from codefavor.cli.judge_flags import JudgeFlags, one_of
from codefavor.engine import Context
from codefavor.engine.output import journal_of
from codefavor.errors import ConfigError, DataError
from codefavor.evaluation.judge_options import COMBINED_KINDS, JudgeOptions, TestBench
from codefavor.evaluation.rank_step import (
    Method,
    candidate_rows,
    rank_step,
    ranked_candidates,
    summarize,
)
from codefavor.journal import read_journal
from codefavor.records import Problem, Row
from codefavor.scoring.by_tests import problems_sha256
from codefavor.sources.problems import load_problems

Completions = Annotated[
    Path,
    typer.Argument(help="JSONL of completions (problem_id, code), or EvalPlus samples.jsonl."),
]
Out = Annotated[Path, typer.Option("--out", help="JSONL to write: completions with their ranks.")]
Problems = Annotated[
    str, typer.Option("--problems", help="A known set (starter, humaneval+, ...) or a JSONL file.")
]
MethodFlag = Annotated[
    str,
    typer.Option(
        "--method",
        help="tournament: every two meet, n(n-1)/2 games; best-of-n: knock-out, n-1 games. "
        "A game is asked in both orders.",
    ),
]
Criteria = Annotated[str, typer.Option(help="What makes a program better, in words.")]
Keep = Annotated[
    int | None, typer.Option(min=1, help="Write only candidates of these first ranks.")
]
Seed = Annotated[int, typer.Option(help="Of judges that draw.")]


@expanded
def command(
    completions: Completions,
    out: Out,
    judge: JudgeFlags,
    asking: AskingFlags,
    problems: Problems = "starter",
    method: MethodFlag = "tournament",
    criteria: Criteria = "",
    keep: Keep = None,
    seed: Seed = 0,
) -> None:
    """Rank the programs for each problem; the same command after a kill goes on where it was."""
    if not completions.is_file():
        raise DataError(f"{completions}: no such file")
    chosen: Method = one_of("--method", method, get_args(Method))
    known = {problem.id: problem for problem in load_problems(problems, data_dir=data_folder())}
    rows = candidate_rows(completions, known, criteria)
    options = _checked(judge.options(seed), rows, known)
    backends = options.make_backends(parse_options(asking.backend_options or []))
    with contextlib.ExitStack() as stack:
        bench = None
        if options.needs_tests():
            sets = [load_problems(name, data_dir=data_folder()) for name in options.problems]
            tested = {one.id: one for some in sets or [list(known.values())] for one in some}
            bench = TestBench(tested, stack.enter_context(options.sandbox.make_pool()))
        made = options.make_judge([], backends, bench)
        context = Context()
        if backends:
            first, *others = backends.values()
            context = asking.make_context(first, out, seed)
            context.others = tuple(others)
            for other in others:
                stack.enter_context(asking.closing(Context(other)))
            stack.enter_context(asking.closing(context))
        counts = asking.run_to_file(
            rank_step(made, chosen),
            rows,
            out,
            manifest={
                "step": "rank",
                "method": chosen,
                "criteria": criteria,
                "problems_sha256": problems_sha256(known.values()),
                "judge": options.describe(made, backends),
                "code_version": __version__,
            },
            context=context,
            expand=lambda row: ranked_candidates(row, keep),
            label=f"rank: {made.name}",
        )
    typer.echo(summary(counts), err=True)
    if counts.n_pending:
        return
    typer.echo(json.dumps(_told(out, counts.n_error + counts.n_old_errors), indent=2))
    fail_if_all_failed(counts)


def _checked(options: JudgeOptions, rows: list[Row], problems: dict[str, Problem]) -> JudgeOptions:
    """The judge for these programs; raises ConfigError for one that needs labelled pairs."""
    kinds = [options.kind]
    if options.kind in COMBINED_KINDS:
        members = options.members()
        kinds += ["stored" if one is None else one.kind for one in members]
    if {"ngram", "stored"} & set(kinds):
        raise ConfigError(
            "rank needs a judge that can be asked about any two programs; the n-gram baseline and "
            "stored runs only know labelled pairs"
        )
    languages = {problems[row["id"]].language for row in rows}
    return options.fitted(languages)


def _told(out: Path, n_error: int) -> dict[str, Any]:
    ended = [one["row"] for one in read_journal(journal_of(out)) if one["status"] == "ok"]
    return {**summarize(ended), "n_error": n_error, "out": str(out)}
