"""`codefavor evaluate`: one judge on one benchmark, every row recorded, a result file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from codefavor.cli.engine_options import (
    AskingFlags,
    data_folder,
    expanded,
    fail_if_all_failed,
    forget_run,
    parse_options,
    summary,
)
from codefavor.cli.judge_flags import JudgeFlags, one_of
from codefavor.engine import Context
from codefavor.evaluation.attacks import Side, attack_names
from codefavor.evaluation.codeprefbench import ASPECTS
from codefavor.evaluation.comments import CommentRule
from codefavor.evaluation.judge_options import JudgeOptions
from codefavor.evaluation.pairs_benchmark import Orders
from codefavor.evaluation.results import rows_path
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
from codefavor.records import Row
from codefavor.text import comma_list

app = typer.Typer(no_args_is_help=True, help="Measure a judge on labelled pairs of programs.")


Data = Annotated[Path | None, typer.Option(help="File of pairs; for codeprefbench a folder.")]
Aspects = Annotated[str, typer.Option(help="CodePrefBench: comma-separated.")]
ProtocolFlag = Annotated[
    str,
    typer.Option("--protocol", help="both-orders, or paper: one order, its comment removal."),
]
OrdersFlag = Annotated[
    str | None, typer.Option("--orders", help="both or one (left out: by the protocol)")
]
Comments = Annotated[
    str | None,
    typer.Option(help="CodePrefBench: removed, paper or kept (left out: by the protocol)"),
]
Criteria = Annotated[
    str,
    typer.Option(help="Criteria instead of the pairs' own, in words; none leaves them out."),
]
GroupBy = Annotated[
    str,
    typer.Option(
        help="Fields to report apart, with commas; of pairs also those of their rows and meta."
    ),
]
Limit = Annotated[int | None, typer.Option(help="Only so many pairs, drawn by the seed.")]
Seed = Annotated[int, typer.Option(help="Of samples, resampling and baselines.")]
StyleControl = Annotated[
    bool, typer.Option("--style-control", help="Also control for an n-gram classifier.")
]
AttackFlag = Annotated[
    str,
    typer.Option(
        "--attack",
        help=f"Change one side: {', '.join(attack_names())}; several with commas, or all.",
    ),
]
AttackSide = Annotated[str, typer.Option(help="The side attacked: rejected, chosen or both.")]
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


@dataclass(frozen=True, kw_only=True)
class TaskFlags:
    """Which pairs are judged, and how they are shown."""

    data: Data = None
    aspects: Aspects = _ALL_ASPECTS
    protocol: ProtocolFlag = "both-orders"
    orders: OrdersFlag = None
    comments: Comments = None
    criteria: Criteria = ""
    group_by: GroupBy = ""
    limit: Limit = None
    seed: Seed = 0
    style_control: StyleControl = False
    attack: AttackFlag = ""
    attack_side: AttackSide = "rejected"

    def tasks(self, benchmark: str) -> list[Task]:
        """The plain task, and one for each attack."""
        comments = one_of("--comments", self.comments, get_args(CommentRule))
        task = Task(
            benchmark=benchmark,
            data=self.data,
            data_dir=data_folder(),
            aspects=comma_list(self.aspects),
            protocol=one_of("--protocol", self.protocol, get_args(Protocol)),
            orders=one_of("--orders", self.orders, get_args(Orders)),
            comments=comments,
            criteria=self.criteria,
            group_by=comma_list(self.group_by),
            limit=self.limit,
            seed=self.seed,
            has_style_control=self.style_control,
        )
        attacks = tuple(attack_names()) if self.attack == "all" else comma_list(self.attack)
        return with_attacks(task, attacks, _sides(self.attack_side))


_RESULTS = Path("results")


@dataclass(frozen=True, kw_only=True)
class ResultFlags:
    """Where the result goes, and what of an earlier run is used."""

    out: Out = _RESULTS
    rescore: Rescore = False
    stored: Stored = None
    dont_write: DontWrite = False


def judge(
    ctx: typer.Context,
    judge: JudgeFlags,
    task: TaskFlags,
    result: ResultFlags,
    asking: AskingFlags,
) -> None:
    """Judge every pair (by default in both orders) and write what came out."""
    options = judge.options(task.seed)
    tasks = task.tasks(str(ctx.info_name))
    if result.rescore:
        _rescore_all(tasks, options, result.out, result.stored)
    elif result.dont_write:
        with tempfile.TemporaryDirectory() as folder:
            _run_all(tasks, options, Path(folder), asking)
    else:
        _run_all(tasks, options, result.out, asking)


def _rescore_all(
    tasks: Sequence[Task], options: JudgeOptions, folder: Path, stored: Path | None
) -> None:
    for task in tasks:
        show(rescore_task(task, options, result_path(folder, task, options), stored=stored))


def _run_all(
    tasks: Sequence[Task], options: JudgeOptions, folder: Path, asking: AskingFlags
) -> None:
    """The plain task, and every attack that applies to any of its pairs."""
    with contextlib.closing(Kept()) as kept:
        for task in tasks:
            try:
                _run(task, options, folder, asking, kept)
            except NothingToAttackError as error:
                typer.echo(f"left out: {error}", err=True)


def _sides(text: str) -> tuple[Side, ...]:
    sides = get_args(Side)
    return sides if text == "both" else (one_of("--attack-side", text, sides),)


def _run(task: Task, options: JudgeOptions, folder: Path, asking: AskingFlags, kept: Kept) -> None:
    path = result_path(folder, task, options)
    if asking.fresh:
        forget_run(rows_path(path))

    with contextlib.ExitStack() as stack:

        def make_context(backend: Any) -> Context:
            if backend is None:
                return Context()
            context = asking.make_context(backend, path, task.seed)
            if context.answers is not None:
                stack.callback(context.answers.close)
            return context

        result, counts = run_task(
            task,
            options,
            path,
            backend_options=parse_options(asking.backend_options or []),
            make_context=make_context,
            run=asking.run,
            in_batch=asking.batch,
            kept=kept,
        )
    typer.echo(summary(counts), err=True)
    if not result:
        return
    show(result)
    typer.echo(path)
    fail_if_all_failed(counts)


def show(result: Row) -> None:
    """Print a result as a small table, each number with what it rests on."""
    metrics = result["metrics"]
    judge_name = result["judge"]["name"]
    typer.echo(f"{result['benchmark']}: {judge_name} ({result['settings']['protocol']})")
    typer.echo(f"licence of the pairs: {result['license']}")
    typer.echo(
        f"{'group':<28}{'accuracy':>9}  {'95 % interval':<15}{'n':>6}{'errors':>8}"
        f"{'undecided':>11}{'consistent':>12}{'A-bias':>8}"
    )
    for name, one in [("all", metrics["overall"]), *metrics["by_level"].items()]:
        interval = f"{_percent(one['interval']['low'])} to {_percent(one['interval']['high'])}"
        typer.echo(
            f"{name:<28}{_percent(one['accuracy']):>9}  {interval:<15}{one['n']:>6}"
            f"{one['n_error'] + one['n_missing']:>8}{one['n_undecided']:>11}"
            f"{_percent(one['consistency']):>12}{_percent(one['position_bias']):>8}"
        )
    if "averages" in result:
        means = result["averages"]
        typer.echo(
            f"mean of the three verifiable aspects {_percent(means['average'])}, "
            f"of all four {_percent(means['average_of_four'])}"
        )
    if "without_defects" in result:
        rest = result["without_defects"]["overall"]
        typer.echo(
            f"without pairs of known defects: {_percent(rest['accuracy'])} (n = {rest['n']})"
        )
    if "best_trivial" in result:
        best, gain = result["best_trivial"], result["best_trivial"]["gain"]
        typer.echo(
            f"gain over the best trivial baseline ({best['name']}): {_percent(gain['mean'])} "
            f"[{_percent(gain['low'])} to {_percent(gain['high'])}], "
            f"McNemar p = {best['p_mcnemar']:.2g}"
        )
    if "robustness" in result:
        one = result["robustness"]
        typer.echo(
            f"attack {one['attack']} on the {one['side']} side: {_percent(one['accuracy_before'])} "
            f"before, {_percent(one['accuracy_after'])} after (n = {one['n']}, "
            f"{_percent(one['flip_rate'])} flipped)"
        )
    for name, groups in result.get("subgroups", {}).items():
        shares = ", ".join(
            f"{value} {_percent(one['accuracy'])} (n = {one['n']})" for value, one in groups.items()
        )
        typer.echo(f"{name.replace('_', ' ')}: {shares}")
    for key in ("length_controlled", "style_controlled"):
        if key in result:
            typer.echo(f"{key.replace('_', '-')} accuracy {_percent(result[key]['accuracy'])}")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


# The original's --model_id and the like mean the same.
_AS_BEFORE = {"token_normalize_func": lambda name: name.replace("_", "-")}

for _name in NAMES:
    app.command(_name, help=f"Judge the pairs of {_name}.", context_settings=_AS_BEFORE)(
        expanded(judge)
    )
