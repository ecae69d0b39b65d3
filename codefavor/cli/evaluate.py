"""`codefavor evaluate`: one judge on one benchmark, every row recorded, a result file."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import typer

from codefavor.cli.engine_options import (
    BackendOptions,
    BudgetUsd,
    Concurrency,
    EngineFlags,
    RetryErrors,
    data_folder,
    parse_options,
    summary,
)
from codefavor.errors import ConfigError
from codefavor.evaluation.attacks import Side, attack_names
from codefavor.evaluation.codeprefbench import ASPECTS
from codefavor.evaluation.comments import CommentRule
from codefavor.evaluation.judge_options import MODEL_TYPES, JudgeOptions
from codefavor.evaluation.pairs_benchmark import Orders
from codefavor.evaluation.suite import (
    NAMES,
    NothingToAttackError,
    Protocol,
    Task,
    rescore_task,
    result_path,
    run_task,
    with_attacks,
)
from codefavor.judges.base import Judge
from codefavor.judges.likelihood import Reduction
from codefavor.judges.llm import Mode
from codefavor.records import Row

app = typer.Typer(no_args_is_help=True, help="Measure a judge on labelled pairs of programs.")


ModelType = Annotated[
    str, typer.Option("--model-type", help=f"One of: {', '.join(sorted(MODEL_TYPES))}.")
]
ModelId = Annotated[
    str,
    typer.Option(
        help="Model id, folder of a local model, shorter/longer (length-bias), or result files "
        "with commas (jury, cascade)."
    ),
]
ModelUrl = Annotated[str, typer.Option(help="The server's base URL.")]
Adapter = Annotated[Path | None, typer.Option(help="LoRA adapter of a local model.")]
Reference = Annotated[
    Path | None, typer.Option(help="Reference model of an implicit reward without adapter.")
]
ReductionFlag = Annotated[
    str, typer.Option("--reduction", help=f"Likelihood: {', '.join(get_args(Reduction))}.")
]
ModeFlag = Annotated[str, typer.Option("--mode", help=f"Chat: {', '.join(get_args(Mode))}.")]
MaxTokens = Annotated[int, typer.Option(help="Longest reply of a chat judge.")]
Temperature = Annotated[float, typer.Option(help="0 is greedy.")]
System = Annotated[
    str, typer.Option(help="System turn it was trained with: empty or none [the judge's default].")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ... [whatever there is]")]
Name = Annotated[str, typer.Option(help="What the judge is called in results.")]
Data = Annotated[Path | None, typer.Option(help="File of pairs; for codeprefbench a folder.")]
Aspects = Annotated[str, typer.Option(help="CodePrefBench: comma-separated.")]
ProtocolFlag = Annotated[
    str,
    typer.Option("--protocol", help="both-orders, or paper: one order, its comment removal."),
]
OrdersFlag = Annotated[str | None, typer.Option("--orders", help="both or one [by the protocol]")]
Comments = Annotated[
    str | None, typer.Option(help="CodePrefBench: removed, paper or kept [by the protocol]")
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
Out = Annotated[Path, typer.Option(help="Folder of the result and its journal.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start anew.")]
Rescore = Annotated[
    bool, typer.Option("--rescore", "--reeval", help="Read stored replies again, ask nobody.")
]
Stored = Annotated[
    Path | None,
    typer.Option(help="With --rescore: the result whose rows are read, for another --reduction."),
]
DontWrite = Annotated[bool, typer.Option("--dont-write", help="Keep no files.")]


def judge(
    ctx: typer.Context,
    model_type: ModelType,
    model_id: ModelId = "",
    model_url: ModelUrl = "",
    adapter: Adapter = None,
    reference: Reference = None,
    reduction: ReductionFlag = "mean",
    mode: ModeFlag = "auto",
    max_tokens: MaxTokens = 1024,
    temperature: Temperature = 0.0,
    system: System = "",
    device: Device = None,
    name: Name = "",
    data: Data = None,
    aspects: Aspects = ",".join(ASPECTS),
    protocol: ProtocolFlag = "both-orders",
    orders: OrdersFlag = None,
    comments: Comments = None,
    limit: Limit = None,
    seed: Seed = 0,
    style_control: StyleControl = False,
    attack: AttackFlag = "",
    attack_side: AttackSide = "rejected",
    out: Out = Path("results"),
    overwrite: Overwrite = False,
    rescore: Rescore = False,
    stored: Stored = None,
    dont_write: DontWrite = False,
    concurrency: Concurrency = 64,
    budget_usd: BudgetUsd = None,
    retry_errors: RetryErrors = False,
    backend_options: BackendOptions = None,
) -> None:
    """Judge every pair (by default in both orders) and write what came out."""
    task = Task(
        benchmark=str(ctx.info_name),
        data=data,
        data_dir=data_folder(),
        aspects=_names(aspects),
        protocol=cast("Protocol", _one_of("--protocol", protocol, get_args(Protocol))),
        orders=cast("Orders | None", _one_of("--orders", orders, get_args(Orders))),
        comments=cast("CommentRule | None", _one_of("--comments", comments, get_args(CommentRule))),
        limit=limit,
        seed=seed,
        has_style_control=style_control,
    )
    weights: dict[str, Any] = {"adapter": adapter, "reference": reference, "device": device}
    asking = {"reduction": reduction, "mode": mode, "max_tokens": max_tokens, "system": system}
    weights |= asking | {"temperature": temperature, "seed": seed, "name": name}
    options = JudgeOptions(model_type, model_id, model_url, **weights)
    spending: dict[str, Any] = {"budget_usd": budget_usd, "retry_errors": retry_errors}
    flags = replace(EngineFlags("", backend_options, concurrency), **spending)
    tasks = with_attacks(task, _attacks(attack), _sides(attack_side))
    if rescore:
        _rescore_all(tasks, options, out, stored)
    elif dont_write:
        _run_unwritten(tasks, options, flags)
    else:
        _run_all(tasks, options, out, flags, overwrite=overwrite)


def _rescore_all(
    tasks: Sequence[Task], options: JudgeOptions, folder: Path, stored: Path | None
) -> None:
    for task in tasks:
        show(rescore_task(task, options, result_path(folder, task, options), stored=stored))


def _run_all(
    tasks: Sequence[Task],
    options: JudgeOptions,
    folder: Path,
    flags: EngineFlags,
    *,
    overwrite: bool,
) -> None:
    """The plain task, and every attack that applies to any of its pairs."""
    judges: dict[JudgeOptions, Judge] = {}
    for task in tasks:
        try:
            _run(task, options, folder, flags, judges, overwrite=overwrite)
        except NothingToAttackError as error:
            typer.echo(f"left out: {error}", err=True)


def _attacks(text: str) -> tuple[str, ...]:
    return tuple(attack_names()) if text == "all" else _names(text)


def _sides(text: str) -> tuple[Side, ...]:
    sides = get_args(Side)
    return sides if text == "both" else (cast("Side", _one_of("--attack-side", text, sides)),)


def _run_unwritten(tasks: Sequence[Task], options: JudgeOptions, flags: EngineFlags) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _run_all(tasks, options, Path(folder), flags, overwrite=False)


def _run(
    task: Task,
    options: JudgeOptions,
    folder: Path,
    flags: EngineFlags,
    judges: dict[JudgeOptions, Judge],
    *,
    overwrite: bool,
) -> None:
    path = result_path(folder, task, options)

    def make_context(backend: Any) -> Any:
        return flags.make_context(backend, path, task.seed)

    result, counts = run_task(
        task,
        options,
        path,
        backend_options=parse_options(flags.backend_options or []),
        make_context=make_context if options.kind == "llm" else None,
        run_options=flags.run_options(),
        overwrite=overwrite,
        judges=judges,
    )
    typer.echo(summary(counts), err=True)
    show(result)
    typer.echo(path)


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
    for key in ("length_controlled", "style_controlled"):
        if key in result:
            typer.echo(f"{key.replace('_', '-')} accuracy {_percent(result[key]['accuracy'])}")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _one_of(flag: str, value: str | None, known: tuple[Any, ...]) -> Literal[False] | str | None:
    if value is not None and value not in known:
        raise ConfigError(f"{flag} is {value!r}; expected one of: {', '.join(known)}")
    return value


for _name in NAMES:
    app.command(_name, help=f"Judge the pairs of {_name}.")(judge)
