"""`codefavor evaluate humaneval` and the other problem sets: a model by pass@k."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, cast, get_args

import typer
from click import Choice
from typer import Option

from codefavor.audits.trained_on import refuse_trained, training_files
from codefavor.backends import Backend, Sampling, make_backend
from codefavor.backends.base import Mode
from codefavor.cli.engine_options import (
    AskingFlags,
    CpuSeconds,
    DryRun,
    Limit,
    MaxTokens,
    Sample,
    SandboxLevel,
    Seed,
    TopP,
    Workers,
    fail_without_results,
    forget_run,
    make_dry_backend,
    summary,
)
from codefavor.cli.judge_flags import OF_REQUESTS
from codefavor.cli.option_groups import refuse
from codefavor.cli.shard_flags import folder_of, n_workers
from codefavor.engine import Context
from codefavor.engine.plan import chosen_rows
from codefavor.errors import ConfigError
from codefavor.evaluation.model_text import model_text
from codefavor.evaluation.models import (
    ModelTask,
    evaluate_model,
    model_result_path,
    samples_of,
)
from codefavor.pairs.split import SPLITS, split_of
from codefavor.records import Problem, write_rows
from codefavor.result_file import rows_path
from codefavor.sandbox import Limits, SandboxPool
from codefavor.scoring.by_tests import refuse_untested
from codefavor.scoring.sample_files import evalplus_rows, problems_of, read_samples, refuse_uneven
from codefavor.settings import data_folder
from codefavor.sources.problems import NAMES, load_problems
from codefavor.synthesis.usable import NO_PROGRAM

OWN = "problems"
# What only a model that is asked heeds.
_OF_SAMPLING = frozenset({"samples", "temperature", "top_p", "max_tokens", "prompt", "dry_run"})


@dataclass(frozen=True, kw_only=True)
class SamplingFlags:
    """Which model, and how it is sampled."""

    PANEL: ClassVar[str] = "Model"

    model: Annotated[
        str, Option("--model", "-m", help="KIND:NAME, such as openai:gpt-4o-mini or local:FOLDER.")
    ] = ""
    samples: Annotated[int, Option(min=1, help="Programs a problem.")] = 1
    temperature: Annotated[
        float, Option(help="0 is greedy: the likeliest token always, and so one sample.")
    ] = 0.0
    top_p: TopP = 1.0
    max_tokens: MaxTokens = 1024
    prompt: Annotated[
        str,
        Option(
            click_type=Choice(get_args(Mode)),
            help="chat, or completion: a base model continues the beginning of the program.",
        ),
    ] = "chat"
    seed: Seed = 0
    samples_file: Annotated[
        Path | None,
        Option(
            help="Ask nobody: the samples that `synthesise drafts`, EvalPlus, the bigcode harness "
            "or lm-eval (--log_samples) wrote."
        ),
    ] = None
    only_sampled: Annotated[
        bool,
        Option(
            "--only-sampled",
            help="With --samples-file: measure the problems that have samples, not the whole set. "
            "Such a result compares with others of just these problems.",
        ),
    ] = False
    name: Annotated[str, Option(help="What the model is called in results.")] = ""


@dataclass(frozen=True, kw_only=True)
class ProblemFlags:
    """Which of the problems."""

    PANEL: ClassVar[str] = "Benchmark"

    limit: Limit = None
    sample: Sample = None
    split: Annotated[
        str | None,
        Option(click_type=Choice(SPLITS), help="Only this split, as `pair` and `convert` make it."),
    ] = None
    trained_on: Annotated[
        list[Path] | None,
        Option(
            help="JSONL that the model was trained on: its problems are refused. A run card "
            "in a local model's folder says it by itself."
        ),
    ] = None
    allow_trained: Annotated[
        bool, Option("--allow-trained", help="Measure on what was trained on all the same.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class OwnProblemFlags(ProblemFlags):
    """The file of problems of one's own."""

    data: Annotated[Path, Option(help="JSONL of problems with tests.")]


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """How programs are run."""

    PANEL: ClassVar[str] = "Sandbox"

    workers: Workers = 0
    cpu_s: CpuSeconds = 5.0
    wall_s: Annotated[float, Option(help="Wall seconds a program may take.")] = 20.0
    memory_mib: Annotated[int, Option(help="MiB a program may map.")] = 1024
    sandbox_level: SandboxLevel = "L2"
    fail_fast: Annotated[
        bool,
        Option(
            "--fail-fast",
            help="End a run at its first failed check, as EvalPlus does: the same pass@k sooner, "
            "without the shares of checks that some strategies of `pair tests` need.",
        ),
    ] = False
    accept: Annotated[
        str, Option(help="`together`: also believe tests that a hostile program can forge.")
    ] = ""


@dataclass(frozen=True, kw_only=True)
class ModelResultFlags:
    """Where the result goes."""

    PANEL: ClassVar[str] = "Output"

    out: Annotated[
        Path, Option("--out", "--evalroot", help="Folder of the result and its journal.")
    ] = Path("results")
    export: Annotated[
        Path | None, Option(help="Also write the samples as EvalPlus reads them (JSONL).")
    ] = None
    dry_run: DryRun = False


def problems(
    ctx: typer.Context,
    sampled: SamplingFlags,
    chosen: ProblemFlags,
    runs: RunFlags,
    asking: AskingFlags,
    result: ModelResultFlags,
) -> None:
    """Sample a model on problems with tests, run every program, and report pass@k."""
    task = task_of(str(ctx.info_name), sampled, chosen, runs)
    refuse_untested(task.problems)
    run_task(task, sampled, runs, asking, result)


def run_task(
    task: ModelTask,
    sampled: SamplingFlags,
    runs: RunFlags,
    asking: AskingFlags,
    result: ModelResultFlags,
    *,
    accept: str = "",
) -> None:
    """Ask, run, write the result file and print it; with --dry-run only the forecast."""
    if result.export is not None and result.export.suffix != ".jsonl":
        raise ConfigError(
            f"--export {result.export}: name a file that ends in .jsonl, as EvalPlus reads no other"
        )
    if result.dry_run:
        dry = _backend(sampled, asking, is_dry_run=True)
        asking.forecast(task.asking_step(), task.rows(), dry, task.seed)
        return
    name = sampled.name or sampled.model or str(sampled.samples_file)
    slug = re.sub(r"[^A-Za-z0-9._+-]+", "-", Path(name).stem if sampled.samples_file else name)
    folder = folder_of(result.out, asking.shard)
    path = model_result_path(folder, task, sampled.name or slug)
    if asking.fresh:
        forget_run(asking.shard, rows_path(path))
    backend = None if sampled.samples_file else _backend(sampled, asking)
    with SandboxPool(
        n_workers(runs.workers),
        required_level=runs.sandbox_level,
        accept=accept or runs.accept,
    ) as pool:
        context = Context() if backend is None else asking.make_context(backend, path, task.seed)
        with asking.closing(context):
            found, counts = evaluate_model(
                task,
                name,
                path,
                backend=backend,
                pool=pool,
                make_context=lambda _: context,
                run=asking.run,
                in_batch=asking.batch,
            )
    typer.echo(summary(counts), err=True)
    if not found:
        return
    if result.export is not None:
        write_rows(result.export, evalplus_rows(samples_of(path, found["problems"])))
    typer.echo(model_text(found))
    typer.echo(path)
    has_program = any(one.code.strip() for one in samples_of(path, found["problems"]))
    fail_without_results(counts, has_program, NO_PROGRAM)


def task_of(name: str, sampled: SamplingFlags, chosen: ProblemFlags, runs: RunFlags) -> ModelTask:
    """The task that the flags describe. Raises ConfigError for what has no meaning."""
    if bool(sampled.model) == (sampled.samples_file is not None):
        raise ConfigError("which samples? give --model KIND:NAME, or --samples-file FILE")
    refuse(
        OF_REQUESTS | _OF_SAMPLING,
        "does not go with --samples-file, with which nobody is asked",
        unless=sampled.model,
    )
    refuse({"only_sampled"}, "needs --samples-file", unless=sampled.samples_file)
    source = str(chosen.data) if isinstance(chosen, OwnProblemFlags) else name
    whole = {one.id: one for one in load_problems(source, data_dir=data_folder())}
    samples = None
    asked = whole
    if sampled.samples_file is not None:
        samples = read_samples(sampled.samples_file, whole)
        asked = problems_of(samples, whole, only_sampled=sampled.only_sampled)
    rows = [
        one.to_row()
        for one in asked.values()
        if chosen.split is None or split_of(one.id) == chosen.split
    ]
    asked_rows = chosen_rows(rows, chosen.sample, chosen.limit, sampled.seed)
    kept = [Problem.from_row(row, source) for row in asked_rows]
    files, missing = training_files(sampled.model)
    for path in missing:
        typer.echo(f"not checked: {path}, which the model was trained on, is not here", err=True)
    if not chosen.allow_trained:
        refuse_trained(kept, [*files, *(chosen.trained_on or [])])
    if sampled.samples_file is not None and samples is not None:
        refuse_uneven(sampled.samples_file, samples, [one.id for one in kept])
        samples = {one.id: samples[one.id] for one in kept}
    return ModelTask(
        benchmark=name,
        problems=kept,
        sampling=Sampling(
            temperature=sampled.temperature,
            top_p=sampled.top_p,
            max_tokens=sampled.max_tokens,
            n=sampled.samples,
        ),
        limits=Limits(
            cpu_s=runs.cpu_s,
            wall_s=runs.wall_s,
            memory_bytes=runs.memory_mib << 20,
            fail_fast=runs.fail_fast,
        ),
        mode=cast("Mode", sampled.prompt),
        seed=sampled.seed,
        samples=samples,
        n_in_set=len(whole),
    )


def _backend(sampled: SamplingFlags, asking: AskingFlags, *, is_dry_run: bool = False) -> Backend:
    options = asking.options_of_backend()
    if sampled.prompt == "completion":
        options["mode"] = "completion"
    return (make_dry_backend if is_dry_run else make_backend)(sampled.model, **options)


SETS = (*NAMES, OWN)
