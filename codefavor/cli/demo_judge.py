"""The second half of the demo: convert, train, and judge the pairs nobody was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from codefavor.backends.embedded import ensure_embedded_model
from codefavor.benchmarks.codeprefbench import find_files, read_tasks
from codefavor.benchmarks.pairs_benchmark import items_of, judge_step
from codefavor.cli.demo_data import read_pairs
from codefavor.cli.demo_workspace import Workspace
from codefavor.engine.context import Context
from codefavor.engine.progress import TerminalProgress
from codefavor.engine.runner import run_sync
from codefavor.errors import ConfigError, DataError
from codefavor.journal import Journal
from codefavor.judges.base import Judge
from codefavor.judges.baselines import LongerJudge, RandomJudge, ShorterJudge
from codefavor.judges.likelihood import LikelihoodJudge, Reduction
from codefavor.judges.pairwise import PairwiseJudge
from codefavor.judges.reward import RewardJudge
from codefavor.records import Row, content_id, file_sha256, read_rows, write_rows
from codefavor.training.formats import FormatOptions, convert
from codefavor.training.launch import launch
from codefavor.training.recipes import global_batch, load_yaml

# The recipe's method -> the data format it trains on, and how its result is read as a judge.
# Chosen on the dev split; see docs/demo.md.
FORMAT_OF = {
    "dpo": "dpo", "ipo": "dpo", "simpo": "dpo", "orpo": "orpo", "kto": "kto",
    "reward": "reward", "pairwise": "pairwise", "sft": "sft",
}  # fmt: skip
READING_OF: dict[str, Reduction] = {
    "dpo": "mean", "ipo": "mean", "simpo": "mean", "orpo": "mean", "kto": "mean", "sft": "mean",
}  # fmt: skip


@dataclass(frozen=True)
class JudgeSettings:
    """How the demo trains and measures. `split` is "test", or "dev" while settings are chosen.

    `max_rows` caps the training rows (None: all); `prompted` caps the pairs that the untrained
    model is also asked about in words; `bench_tasks` is the number of CodePrefBench tasks an
    aspect (0: none). `train_seed` draws the training rows, their order and the adapter's start.
    `overrides` are Axolotl keys.
    """

    recipe: Path
    split: str = "test"
    max_rows: int | None = 180
    prompted: int = 84
    bench_tasks: int = 8
    seed: int = 0
    train_seed: int = 0
    overrides: tuple[tuple[str, object], ...] = ()


def method_of(recipe: Path) -> str:
    """The training method of a recipe, by its own keys (a name could lie)."""
    config = load_yaml(recipe)
    if config.get("rl"):
        return str(config["rl"])
    if config.get("reward_model"):
        return "reward"
    paths = " ".join(str(entry.get("path")) for entry in config.get("datasets") or [])
    return "pairwise" if "pairwise" in paths else "sft"


def format_of(recipe: Path) -> str:
    """The training format that a demo recipe reads."""
    method = method_of(recipe)
    if method not in FORMAT_OF:
        raise ConfigError(
            f"{recipe}: the demo cannot judge with the method {method!r}; "
            f"it can with: {', '.join(FORMAT_OF)}"
        )
    return FORMAT_OF[method]


def make_training_rows(pairs: Path, settings: JudgeSettings, out: Path) -> str:
    """Convert the training pairs to the rows that the recipe reads; a cap takes them by hash."""
    form = format_of(settings.recipe)
    preferences = sorted(
        read_pairs(pairs), key=lambda pair: content_id(settings.train_seed, "order", pair.id)
    )
    options = FormatOptions(seed=settings.train_seed)
    rows = convert(preferences[: settings.max_rows], form, options).rows
    if not rows:
        raise DataError(f"{pairs}: no pair gives a row of the format {form}")
    write_rows(out, rows)
    return f"{len(rows)} rows of the format {form}"


def train(workspace: Workspace, settings: JudgeSettings, data: Path, model: Path) -> str:
    """`accelerate launch -m axolotl.cli.train` with this run's paths and seed."""
    output = workspace.path("train")
    progress = TerminalProgress()
    progress.start(f"train {settings.recipe.stem}", _steps(settings.recipe, data))

    def on_metrics(row: Row) -> None:
        if "loss" in row:
            progress.advance(1, loss=f"{row['loss']:.3f}")

    try:
        result = launch(
            settings.recipe,
            overrides={
                "base_model": str(model.resolve()),
                "output_dir": str(output.resolve()),
                "dataset_prepared_path": str((output / "prepared").resolve()),
                "seed": 42 + settings.train_seed,
                **dict(settings.overrides),
            },
            data=data.resolve(),
            log_path=workspace.path("train.log"),
            on_metrics=on_metrics,
        )
    finally:
        progress.finish()
    return f"{len(result.metrics)} logged steps, {result.seconds:.0f} s in the training process"


def _steps(recipe: Path, data: Path) -> int:
    """How many optimiser steps one process takes over the rows."""
    config = load_yaml(recipe)
    n_rows = sum(1 for _ in read_rows(data))
    return math.ceil(n_rows / global_batch(config, 1)) * int(config.get("num_epochs", 1))


def trained_judge(recipe: Path, model: Path, output: Path) -> Judge:
    """The judge that a finished training made."""
    method = method_of(recipe)
    adapter = output if (output / "adapter_config.json").is_file() else None
    base = model if adapter else output
    name = f"trained ({recipe.stem})"
    if method == "reward":
        return RewardJudge(base, adapter, name=name)
    if method == "pairwise":
        return PairwiseJudge(base, adapter, name=name)
    return LikelihoodJudge(base, adapter, READING_OF[method], name=name)


def judge_rows(judge: Judge, items: Sequence[Row], path: Path) -> str:
    """Ask a judge about every pair in both orders; resumable."""
    manifest = {"step": "judge", "judge": judge.name, "items": content_id(list(items))}
    with Journal.open(path, manifest) as journal:
        counts = run_sync(
            judge_step(judge),
            items,
            journal,
            context=Context(),
            concurrency=64,
            progress=TerminalProgress(),
            label=f"{path.parent.name}: {judge.name}",
        )
    return f"{counts.n_ok + counts.n_resumed} judged, {counts.n_error} errors"


def one_pair_a_problem(items: Sequence[Row], n: int, seed: int) -> list[Row]:
    """At most `n` items, of as many problems, levels mixed: for judges that cost more."""
    order = sorted(items, key=lambda item: content_id(seed, "prompted", item["id"]))
    first: dict[str, Row] = {}
    for item in order:
        first.setdefault(item["problem_id"], item)
    return list(first.values())[:n]


def bench_items(folders: Sequence[Path], n_tasks: int, seed: int) -> list[Row]:
    """`n_tasks` seeded tasks of each aspect of CodePrefBench; raises DataError if it is absent."""
    tasks = read_tasks(find_files(folders))
    tasks.sort(key=lambda task: content_id(seed, "bench", task["id"]))
    taken: dict[str, list[Row]] = {}
    for task in tasks:
        taken.setdefault(task["level"], []).append(task)
    return [task for group in taken.values() for task in group[:n_tasks]]


def train_and_judge(
    workspace: Workspace, settings: JudgeSettings, folders: Sequence[Path]
) -> str | None:
    """All stages of this half, in order; returns why CodePrefBench was left out, if it was."""
    model = ensure_embedded_model(workspace.path("models"))
    pairs = workspace.path("pairs")
    data = workspace.path("data", f"train.{format_of(settings.recipe)}.jsonl")
    recipe = {"recipe": file_sha256(settings.recipe), "seed": settings.train_seed}
    workspace.stage(
        "convert",
        {**recipe, "max_rows": settings.max_rows},
        [data],
        lambda: make_training_rows(pairs / "train.jsonl", settings, data),
        after=("pairs",),
    )
    output = workspace.path("train")
    workspace.stage(
        "train",
        {**recipe, "overrides": [[key, str(value)] for key, value in settings.overrides]},
        [output / "adapter_model.safetensors", output / "model.safetensors"],
        lambda: train(workspace, settings, data, model),
        after=("convert",),
    )
    items = items_of(read_pairs(pairs / f"{settings.split}.jsonl"))
    if not items:
        raise DataError(f"{pairs / settings.split}.jsonl has no pairs; take more problems")
    judge_set(workspace, settings, "held-out", items, model, prompted=settings.prompted)
    if not settings.bench_tasks:
        return "not asked for"
    try:
        bench = bench_items(folders, settings.bench_tasks, settings.seed)
    except DataError as error:
        return str(error)
    judge_set(workspace, settings, "codeprefbench", bench, model, prompted=0)
    return None


def judge_set(
    workspace: Workspace,
    settings: JudgeSettings,
    name: str,
    items: list[Row],
    model: Path,
    *,
    prompted: int,
) -> None:
    """Every system on one set of pairs; one journal a system in the folder `judged/<name>`."""

    def path(system: str) -> Path:
        return workspace.path("judged", name, f"{system}.jsonl")

    def stage(system: str, work: Callable[[], str], after: tuple[str, ...]) -> None:
        workspace.stage(
            f"judge {name} {system}",
            {"items": content_id(items), "prompted": prompted},
            [path(system)],
            work,
            after=after,
        )

    def baselines() -> str:
        judges: list[Judge] = [RandomJudge(seed=settings.seed), ShorterJudge(), LongerJudge()]
        return "; ".join(judge_rows(judge, items, path(judge.name)) for judge in judges)

    def untrained() -> str:
        mean = LikelihoodJudge(model, None, "mean", name="untrained likelihood, per token")
        note = judge_rows(mean, items, path("untrained"))
        whole = mean.with_reduction("sum", "untrained likelihood, whole")
        judge_rows(whole, items, path("untrained-sum"))
        return note

    def asked() -> str:
        chosen = one_pair_a_problem(items, prompted, settings.seed)
        judge = PairwiseJudge(model, name="untrained A/B prompting")
        return judge_rows(judge, chosen, path("prompted"))

    def trained() -> str:
        judge = trained_judge(settings.recipe, model, workspace.path("train"))
        return judge_rows(judge, items, path("trained"))

    workspace.stage(
        f"judge {name} baselines",
        {"items": content_id(items), "seed": settings.seed},
        [path(system) for system in ("random", "shorter", "longer")],
        baselines,
    )
    stage("untrained", untrained, ())
    if prompted:
        stage("prompted", asked, ())
    stage("trained", trained, ("train",))
