"""`codefavor evaluate`: one judge on one benchmark, every row recorded, a result file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast, get_args

import typer
from click import Choice
from typer import Option

from codefavor.benchmarks.attacks import ATTACKS, Side
from codefavor.benchmarks.codeprefbench import ASPECTS
from codefavor.benchmarks.comments import CommentRule
from codefavor.benchmarks.pairs_benchmark import Orders, judge_step
from codefavor.cli import evaluate_models, evaluate_tests, evaluate_truth
from codefavor.cli.engine_options import (
    MAX_SEED,
    AskingFlags,
    DryRun,
    fail_without_results,
    forget_run,
    make_dry_backend,
    summary,
)
from codefavor.cli.judge_flags import JudgeCommand, JudgeFlags
from codefavor.cli.option_groups import expanded, refuse
from codefavor.cli.shard_flags import folder_of
from codefavor.engine import Context
from codefavor.errors import ConfigError
from codefavor.evaluation.result_text import result_text
from codefavor.evaluation.suite import (
    NAMES,
    Kept,
    NothingToAttackError,
    Protocol,
    Task,
    fitted,
    load_task,
    rescore_task,
    result_path,
    run_task,
)
from codefavor.evaluation.test_writing import BENCHMARK
from codefavor.judges.spec import JudgeSpec
from codefavor.result_file import rows_path
from codefavor.settings import data_folder
from codefavor.text import comma_list

app = typer.Typer(
    no_args_is_help=True,
    help="Measure a judge on labelled pairs of programs, or a model on problems with tests.",
)


@dataclass(frozen=True, kw_only=True)
class BenchmarkFlags:
    """Which pairs are judged."""

    PANEL: ClassVar[str] = "Benchmark"

    data: Annotated[Path | None, Option(help="File of pairs; for codeprefbench a folder.")] = None
    limit: Annotated[int | None, Option(help="Only the first so many pairs.")] = None
    sample: Annotated[int | None, Option(help="Only so many pairs, drawn by the seed.")] = None
    seed: Annotated[
        int, Option(min=0, max=MAX_SEED, help="Of samples, resampling and judges that draw.")
    ] = 0
    group_by: Annotated[
        str,
        Option(help="Fields to report apart, with commas; of pairs also those of rows and meta."),
    ] = ""
    attack: Annotated[
        str, Option(help=f"Change one side: {', '.join(ATTACKS)}; with commas, or all.")
    ] = ""
    attack_side: Annotated[
        str, Option(click_type=Choice([*get_args(Side), "both"]), help="The side that is attacked.")
    ] = "rejected"


@dataclass(frozen=True, kw_only=True)
class ProtocolFlags:
    """How the pairs are shown, and what is reported beside the accuracy."""

    PANEL: ClassVar[str] = "Protocol"

    protocol: Annotated[
        str,
        Option(
            click_type=Choice(get_args(Protocol)),
            help="both-orders, or paper: one order, its comment removal.",
        ),
    ] = "both-orders"
    orders: Annotated[
        str | None, Option(click_type=Choice(get_args(Orders)), help="Left out: by the protocol.")
    ] = None
    criteria: Annotated[
        str, Option(help="Criteria instead of the pairs' own, in words; none leaves them out.")
    ] = ""
    style_control: Annotated[
        bool, Option("--style-control", help="Also control for an n-gram classifier.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class CodePrefBenchFlags(ProtocolFlags):
    """What only CodePrefBench has."""

    aspects: Annotated[
        str, Option(help=f"Of {', '.join(ASPECTS)}, with commas.", rich_help_panel="Benchmark")
    ] = ",".join(ASPECTS)
    comments: Annotated[
        str | None,
        Option(
            click_type=Choice(get_args(CommentRule)),
            help="Of the verifiable aspects' programs. Left out: by the protocol.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ResultFlags:
    """Where the result goes, and what of an earlier run is used."""

    PANEL: ClassVar[str] = "Output"

    out: Annotated[
        Path, Option("--out", "--evalroot", help="Folder of the result and its journal.")
    ] = Path("results")
    rescore: Annotated[
        bool, Option("--rescore", "--reeval", help="Read stored replies again, ask nobody.")
    ] = False
    stored: Annotated[
        Path | None,
        Option(help="With --rescore: the result whose rows are read, for another --reduction."),
    ] = None
    dont_write: Annotated[bool, Option("--dont-write", help="Keep no files.")] = False
    dry_run: DryRun = False


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
    attacks = tuple(ATTACKS) if bench.attack == "all" else comma_list(bench.attack)
    sides = get_args(Side) if bench.attack_side == "both" else (bench.attack_side,)
    # The plain run comes first: what an attack changes is measured against it.
    attacked = [
        replace(task, attack=attack, attack_side=cast("Side", side))
        for side in sides
        for attack in attacks
    ]
    return [task, *attacked]


def pairs(
    ctx: typer.Context,
    judge: JudgeFlags,
    bench: BenchmarkFlags,
    protocol: ProtocolFlags,
    asking: AskingFlags,
    result: ResultFlags,
) -> None:
    """Judge every pair (by default in both orders) and write what came out."""
    spec = judge.spec(bench.seed)
    judge.check(spec)
    if not result.rescore:
        refuse({"stored"}, "belongs to --rescore, which is not given")
    tasks = _tasks(str(ctx.info_name), bench, protocol)
    for name, why in tasks[0].idle().items():
        refuse({name} if len(tasks) == 1 else (), why)
    if result.rescore:
        asks = {one.name for one in fields(AskingFlags)} | {"dont_write", "dry_run"}
        refuse(asks, "does not go with --rescore, which asks nobody")
        _rescore_all(tasks, spec, result.out, result.stored)
    elif result.dry_run:
        refuse({"out", "dont_write"}, "does not go with --dry-run, which keeps nothing")
        _forecast(tasks, spec, asking)
    elif result.dont_write:
        kept = {"out", "fresh", "shard", "retry_errors", "rerun_changed"}
        refuse(kept, "does not go with --dont-write, which keeps nothing")
        with tempfile.TemporaryDirectory() as folder:
            _run_all(tasks, spec, Path(folder), asking)
    else:
        _run_all(tasks, spec, folder_of(result.out, asking.shard), asking)


def _rescore_all(tasks: Sequence[Task], spec: JudgeSpec, folder: Path, stored: Path | None) -> None:
    for task in tasks:
        result = rescore_task(task, spec, result_path(folder, task, spec), stored=stored)
        typer.echo(result_text(result))


def _forecast(tasks: Sequence[Task], spec: JudgeSpec, asking: AskingFlags) -> None:
    """All that the plain task and its attacks may ask."""
    if not spec.chats or "pool" in spec.needs():
        raise ConfigError(f"--dry-run is for judges that only ask chat models, and {spec} is none")
    items = []
    for task in tasks:
        with contextlib.suppress(NothingToAttackError):
            items += load_task(task)
    first = tasks[0]
    spec = fitted(spec, first, items)
    backends = spec.make_backends(asking.options_of_backend(), make_dry_backend)
    step = judge_step(spec.make_judge(backends, items), orders=first.shown_orders)
    asking.forecast(step, items, next(iter(backends.values())), first.seed, answers=True)


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
        forget_run(asking.shard, rows_path(path))

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
    fail_without_results(counts, overall["n_verdicts"] - overall["n_undecided"], "undecided")


# The original's --model_id and the like mean the same.
_AS_BEFORE = {"token_normalize_func": lambda name: name.replace("_", "-")}

for _name in NAMES:
    _own = {"protocol": CodePrefBenchFlags} if _name == "codeprefbench" else {}
    app.command(
        _name,
        cls=JudgeCommand,
        help="Judge pairs of your own." if _name == "pairs" else f"Judge the pairs of {_name}.",
        context_settings=_AS_BEFORE,
        rich_help_panel="Judges",
    )(expanded(pairs, **_own))

app.command(BENCHMARK)(expanded(evaluate_tests.test_writing))
for _name in evaluate_models.SETS:
    _kind = evaluate_models.OwnProblemFlags if _name == evaluate_models.OWN else None
    app.command(_name, help=f"pass@k of a model on {_name}.", rich_help_panel="Models")(
        expanded(evaluate_models.problems, **({"chosen": _kind} if _kind else {}))
    )

_TRUTH: dict[str, Callable[..., None]] = {
    "truthfulqa-mc": evaluate_truth.truthfulqa_choices,
    "truthfulqa": evaluate_truth.truthfulqa,
    "halueval": evaluate_truth.halueval,
    "halueval-answers": evaluate_truth.halueval_written,
    "ifeval": evaluate_truth.ifeval,
}
for _name, _command in _TRUTH.items():
    app.command(_name, rich_help_panel="Truthfulness")(expanded(_command))
