"""`codefavor evaluate`: one judge on one benchmark, every row recorded, a result file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast, get_args

import typer

from codefavor.benchmarks.attacks import Side, attack_names
from codefavor.benchmarks.codeprefbench import ASPECTS
from codefavor.benchmarks.comments import CommentRule
from codefavor.benchmarks.pairs_benchmark import Orders
from codefavor.cli.engine_options import (
    AskingFlags,
    data_folder,
    fail_without_results,
    forget_run,
    summary,
)
from codefavor.cli.judge_flags import JudgeCommand, JudgeFlags, choice, refuse
from codefavor.cli.option_groups import expanded
from codefavor.engine import Context
from codefavor.evaluation.result_text import result_text
from codefavor.evaluation.suite import (
    NAMES,
    Kept,
    NothingToAttackError,
    Protocol,
    Task,
    rescore_task,
    result_path,
    run_task,
    with_attacks,
)
from codefavor.judges.spec import JudgeSpec
from codefavor.result_file import rows_path
from codefavor.text import comma_list

app = typer.Typer(no_args_is_help=True, help="Measure a judge on labelled pairs of programs.")

_SIDES = (*get_args(Side), "both")

Data = Annotated[Path | None, typer.Option(help="File of pairs; for codeprefbench a folder.")]
GroupBy = Annotated[
    str,
    typer.Option(
        help="Fields to report apart, with commas; of pairs also those of their rows and meta."
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many pairs.")]
Sample = Annotated[int | None, typer.Option(min=1, help="Only so many pairs, drawn by the seed.")]
Attack = Annotated[
    str,
    typer.Option(help=f"Change one side: {', '.join(attack_names())}; with commas, or all."),
]
AttackSide = Annotated[
    str, typer.Option(click_type=choice(_SIDES), help="The side that is attacked.")
]
Seed = Annotated[int, typer.Option(help="Of samples, resampling and judges that draw.")]
ProtocolFlag = Annotated[
    str,
    typer.Option(
        click_type=choice(get_args(Protocol)),
        help="both-orders, or paper: one order, its comment removal.",
    ),
]
OrdersFlag = Annotated[
    str | None,
    typer.Option(click_type=choice(get_args(Orders)), help="Left out: by the protocol."),
]
Criteria = Annotated[
    str,
    typer.Option(help="Criteria instead of the pairs' own, in words; none leaves them out."),
]
StyleControl = Annotated[
    bool, typer.Option("--style-control", help="Also control for an n-gram classifier.")
]
Aspects = Annotated[
    str, typer.Option(help=f"Of {', '.join(ASPECTS)}, with commas.", rich_help_panel="Benchmark")
]
Comments = Annotated[
    str | None,
    typer.Option(
        click_type=choice(get_args(CommentRule)),
        help="Of the verifiable aspects' programs. Left out: by the protocol.",
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "--evalroot", help="Folder of the result and its journal.")
]
Rescore = Annotated[
    bool, typer.Option("--rescore", "--reeval", help="Read stored replies again, ask nobody.")
]
Stored = Annotated[
    Path | None,
    typer.Option(help="With --rescore: the result whose rows are read, for another --reduction."),
]
DontWrite = Annotated[bool, typer.Option("--dont-write", help="Keep no files.")]

_ALL_ASPECTS = ",".join(ASPECTS)
_RESULTS = Path("results")


@dataclass(frozen=True, kw_only=True)
class BenchmarkFlags:
    """Which pairs are judged."""

    PANEL: ClassVar[str] = "Benchmark"

    data: Data = None
    limit: Limit = None
    sample: Sample = None
    seed: Seed = 0
    group_by: GroupBy = ""
    attack: Attack = ""
    attack_side: AttackSide = "rejected"


@dataclass(frozen=True, kw_only=True)
class ProtocolFlags:
    """How the pairs are shown, and what is reported beside the accuracy."""

    PANEL: ClassVar[str] = "Protocol"

    protocol: ProtocolFlag = "both-orders"
    orders: OrdersFlag = None
    criteria: Criteria = ""
    style_control: StyleControl = False


@dataclass(frozen=True, kw_only=True)
class CodePrefBenchFlags(ProtocolFlags):
    """What only CodePrefBench has."""

    aspects: Aspects = _ALL_ASPECTS
    comments: Comments = None


@dataclass(frozen=True, kw_only=True)
class ResultFlags:
    """Where the result goes, and what of an earlier run is used."""

    PANEL: ClassVar[str] = "Output"

    out: Out = _RESULTS
    rescore: Rescore = False
    stored: Stored = None
    dont_write: DontWrite = False


def _tasks(name: str, bench: BenchmarkFlags, protocol: ProtocolFlags) -> list[Task]:
    """The plain task, and one for each attack."""
    own: dict[str, Any] = {}
    if isinstance(protocol, CodePrefBenchFlags):
        own = {"aspects": comma_list(protocol.aspects), "comments": protocol.comments}
    task = Task(
        benchmark=name,
        data=bench.data,
        data_dir=data_folder(),
        protocol=cast("Protocol", protocol.protocol),
        orders=cast("Orders | None", protocol.orders),
        criteria=protocol.criteria,
        group_by=comma_list(bench.group_by),
        limit=bench.limit,
        sample=bench.sample,
        seed=bench.seed,
        has_style_control=protocol.style_control,
        **own,
    )
    attacks = tuple(attack_names()) if bench.attack == "all" else comma_list(bench.attack)
    sides = get_args(Side) if bench.attack_side == "both" else (bench.attack_side,)
    return with_attacks(task, attacks, sides)


def codeprefbench(
    ctx: typer.Context,
    judge: JudgeFlags,
    bench: BenchmarkFlags,
    protocol: CodePrefBenchFlags,
    asking: AskingFlags,
    result: ResultFlags,
) -> None:
    """Judge every pair of CodePrefBench (by default in both orders) and write what came out."""
    _evaluate(ctx, judge, bench, protocol, asking, result)


def pairs(
    ctx: typer.Context,
    judge: JudgeFlags,
    bench: BenchmarkFlags,
    protocol: ProtocolFlags,
    asking: AskingFlags,
    result: ResultFlags,
) -> None:
    """Judge every pair (by default in both orders) and write what came out."""
    _evaluate(ctx, judge, bench, protocol, asking, result)


def _evaluate(
    ctx: typer.Context,
    judge: JudgeFlags,
    bench: BenchmarkFlags,
    protocol: ProtocolFlags,
    asking: AskingFlags,
    result: ResultFlags,
) -> None:
    spec = judge.spec(bench.seed)
    judge.check(ctx, spec)
    if not bench.attack:
        refuse(ctx, {"attack_side"}, "belongs to --attack, which is not given")
    if not result.rescore:
        refuse(ctx, {"stored"}, "belongs to --rescore, which is not given")
    tasks = _tasks(str(ctx.info_name), bench, protocol)
    if result.rescore:
        refuse(ctx, {"fresh", "dont_write"}, "does not go with --rescore, which asks nobody")
        _rescore_all(tasks, spec, result.out, result.stored)
    elif result.dont_write:
        refuse(ctx, {"out", "fresh"}, "does not go with --dont-write")
        with tempfile.TemporaryDirectory() as folder:
            _run_all(tasks, spec, Path(folder), asking)
    else:
        _run_all(tasks, spec, result.out, asking)


def _rescore_all(tasks: Sequence[Task], spec: JudgeSpec, folder: Path, stored: Path | None) -> None:
    for task in tasks:
        result = rescore_task(task, spec, result_path(folder, task, spec), stored=stored)
        typer.echo(result_text(result))


def _run_all(tasks: Sequence[Task], spec: JudgeSpec, folder: Path, asking: AskingFlags) -> None:
    """The plain task, and every attack that applies to any of its pairs."""
    with contextlib.closing(Kept()) as kept:
        for task in tasks:
            try:
                _run(task, spec, folder, asking, kept)
            except NothingToAttackError as error:
                typer.echo(f"left out: {error}", err=True)


def _run(task: Task, spec: JudgeSpec, folder: Path, asking: AskingFlags, kept: Kept) -> None:
    path = result_path(folder, task, spec)
    if asking.fresh:
        forget_run(rows_path(path))

    with contextlib.ExitStack() as stack:

        def make_context(backend: Any) -> Context:
            if backend is None:
                return Context()
            context = asking.make_context(backend, path, task.seed)
            if context.cache is not None:
                stack.callback(context.cache.close)
            return context

        result, counts = run_task(
            task,
            spec,
            path,
            backend_options=asking.options_of_backend(),
            make_context=make_context,
            run=asking.run,
            in_batch=asking.batch,
            kept=kept,
        )
    typer.echo(summary(counts), err=True)
    if not result:
        return
    typer.echo(result_text(result))
    typer.echo(path)
    overall = result["metrics"]["overall"]
    fail_without_results(counts, overall["n_verdicts"] - overall["n_undecided"])


# The original's --model_id and the like mean the same.
_AS_BEFORE = {"token_normalize_func": lambda name: name.replace("_", "-")}

for _name in NAMES:
    app.command(
        _name, cls=JudgeCommand, help=f"Judge the pairs of {_name}.", context_settings=_AS_BEFORE
    )(expanded(codeprefbench if _name == "codeprefbench" else pairs))
