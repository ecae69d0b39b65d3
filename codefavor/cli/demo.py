"""`codefavor demo`: from problems to a trained, measured judge and a report, in one command.

It runs the commands of `demo.jinja` one after the other, as a user would type them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from jinja2 import StrictUndefined, Template

from codefavor.benchmarks.codeprefbench import find_files
from codefavor.errors import CodefavorError, ConfigError, DataError
from codefavor.pairs.split import SPLITS, split_of
from codefavor.records import Row, content_id, file_sha256, write_rows, write_text
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems
from codefavor.training.recipes import find_recipes, load_yaml

# The format that a recipe trains on -> how its result is read as a judge. Likelihood per token was
# chosen on the dev split, see docs/demo.md.
JUDGE_OF = {
    "dpo": "likelihood", "kto": "likelihood", "sft": "likelihood",
    "reward": "reward", "pairwise": "pairwise",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run depends on; the defaults are those of the published figures.

    `n_drafts` drafts are asked for each of the `n_drafted` problems with the shortest references.
    `n_train` pairs are trained on, about `n_prompted` the untrained model is also asked in words,
    `n_bench` are CodePrefBench's (0: none). `benchmarks`, where they are at hand, must have nothing
    like the training pairs. `training` are Axolotl keys.
    """

    problems: str
    recipe: Path
    seed: int = 0
    train_seed: int = 0
    split: str = "test"
    sandbox_level: str = "L2"
    n_bench: int = 32
    benchmarks: tuple[str, ...] = ()
    n_problems: int | None = None
    candidates: int = 4
    n_drafts: int = 4
    n_drafted: int = 32
    draft_tokens: int = 128
    n_train: int = 180
    n_prompted: int = 84
    training: Mapping[str, object] = field(default_factory=dict)


# The same walk in two minutes, for tests and for trying out a change; its numbers mean nothing.
SMOKE: dict[str, Any] = {
    "n_problems": 16, "candidates": 3, "n_drafts": 1, "n_drafted": 2, "draft_tokens": 48,
    "n_train": 8, "n_prompted": 2, "n_bench": 4, "training": {"save_steps": 1},
}  # fmt: skip

# The exit code of a command that Ctrl-C ended, as shells count.
INTERRUPTED = 130
# How it is judged and checked may change in one folder: what was made stays true.
FREE = {"split", "n_bench", "benchmarks"}


@dataclass(frozen=True)
class Stage:
    """A command line of `codefavor`, and the file that shows that it is done."""

    name: str
    words: list[str]
    made: Path


def stages_of(one: Settings, out: Path) -> list[Stage]:
    """The demo, command by command, as `demo.jinja` has it."""
    config = load_yaml(one.recipe)
    model, form = Path(str(config["base_model"])), format_of(config)
    settings = {
        **dataclasses.asdict(one), "out": out, "model": model, "models": model.parent,
        "form": form, "judge": JUDGE_OF[form], "has_adapter": bool(config.get("adapter")),
    }  # fmt: skip
    # A path may hold spaces.
    quoted = {
        name: shlex.quote(str(value)) if isinstance(value, Path) else value
        for name, value in settings.items()
    }
    text = (files("codefavor.cli") / "demo.jinja").read_text(encoding="utf-8")
    lines = Template(text, undefined=StrictUndefined, trim_blocks=True).render(quoted).splitlines()
    stages = []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            name, command, made = line.split(" | ")
            stages.append(Stage(name, shlex.split(command), Path(*shlex.split(made))))
    return stages


def format_of(config: Row) -> str:
    """The training format of a recipe: what its data file is called after."""
    form = Path(str(config["datasets"][0]["path"])).stem
    if form not in JUDGE_OF:
        known = ", ".join(JUDGE_OF)
        raise ConfigError(f"the demo cannot judge by a model trained on {form}; it can on: {known}")
    return form


def command(
    out: Annotated[Path, typer.Option(help="Folder of this run; the same one resumes it.")] = Path(
        "outputs/demo"
    ),
    size: Annotated[str, typer.Option(help="full (20 minutes on 2 cores) or smoke.")] = "full",
    recipe: Annotated[
        Path | None, typer.Option(help="Training recipe; smollm2-135m/simpo.yaml by default.")
    ] = None,
    problems: Annotated[
        str, typer.Option(help="starter, another known set, or a JSONL of problems.")
    ] = "starter",
    seed: Annotated[int, typer.Option(min=0, help="Draws programs, drafts and pairs.")] = 0,
    train_seed: Annotated[
        int | None,
        typer.Option(min=0, help="Draws training rows, order and start; --seed by default."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Judge on test, or on dev while you choose settings.")
    ] = "test",
    bench_pairs: Annotated[
        int | None, typer.Option(min=0, help="Pairs of CodePrefBench; 0 for none.")
    ] = None,
    sandbox_level: Annotated[
        str, typer.Option(help="Least isolation for running programs, see `codefavor sandbox`.")
    ] = "L2",
    fresh: Annotated[bool, typer.Option(help="Empty the folder first.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands and run none.")
    ] = False,
) -> None:
    """Make pairs, train a judge, measure it, write a report. Run again to resume."""
    if size not in ("full", "smoke"):
        raise ConfigError(f"unknown size {size!r}; known: full, smoke")
    if split not in ("test", "dev"):
        raise ConfigError(f"cannot judge on {split!r}; choose test or dev")
    wanted: dict[str, Any] = dict(SMOKE) if size == "smoke" else {}
    if bench_pairs is not None:
        wanted["n_bench"] = bench_pairs
    settings = _with_data_at_hand(
        Settings(
            problems=problems,
            recipe=_recipe(recipe or find_recipes() / "smollm2-135m" / "simpo.yaml"),
            seed=seed,
            train_seed=seed if train_seed is None else train_seed,
            split=split,
            sandbox_level=sandbox_level,
            **wanted,
        )
    )
    stages = stages_of(settings, out)
    if dry_run:
        for stage in stages:
            typer.echo(shlex.join(["codefavor", *stage.words]))
        return
    if fresh and out.exists():
        shutil.rmtree(out)
    write_problems(settings, out)
    run_stages(stages, out / "stages.json")
    _call(["report", "demo", str(out), "--out", str(out / "report.html")])


def _recipe(path: Path) -> Path:
    """The file, relative to this folder where it is below it, as one would type it."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such recipe; `codefavor recipes list` shows them")
    with contextlib.suppress(ValueError):
        return path.resolve().relative_to(Path.cwd())
    return path


def _with_data_at_hand(settings: Settings) -> Settings:
    """The settings without what needs public data that is not here; says what is left out."""
    folder = data_folder()
    n_bench = settings.n_bench
    try:
        if n_bench:
            find_files([folder] if folder else [])
    except DataError as error:
        _say(f"without CodePrefBench: {error}")
        n_bench = 0
    found = tuple(name for name in ("humaneval", "mbpp") if folder and (folder / name).is_dir())
    return dataclasses.replace(settings, n_bench=n_bench, benchmarks=found)


def write_problems(settings: Settings, out: Path) -> None:
    """Write the problems of this run, and those asked drafts for, into its folder.

    A smaller number is a sample by hash. Raises ConfigError where the folder was begun with
    other settings or problems, DataError where a split would have no problem.
    """
    problems = load_problems(settings.problems, data_dir=data_folder())
    problems.sort(key=lambda problem: content_id(settings.seed, "sample", problem.id))
    kept = problems[: settings.n_problems]
    missing = set(SPLITS) - {split_of(problem.id) for problem in kept}
    if missing:
        raise DataError(
            f"{len(kept)} problems leave no problem for: {', '.join(sorted(missing))}; take more"
        )
    kept.sort(key=lambda problem: problem.id)
    digest = content_id([problem.to_row() for problem in kept])
    recipe = without_folders(str(settings.recipe), out)
    _bind(out, {**dataclasses.asdict(settings), "recipe": recipe, "problems_sha256": digest})
    write_rows(out / "problems.jsonl", (problem.to_row() for problem in kept))
    kept.sort(key=lambda problem: (len(problem.reference), problem.id))
    short = kept[: settings.n_drafted]
    write_rows(out / "short.jsonl", (problem.to_row() for problem in short))


def _bind(out: Path, settings: Row) -> None:
    """Note the settings; refuse to continue a run under others than it was begun with."""
    now: Row = json.loads(json.dumps(settings, default=str))
    path = out / "settings.json"
    begun: Row = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # What was set comes first: other problems may only follow from it.
    for key in [*now, *(begun.keys() - now.keys())] if begun else ():
        if key not in FREE and now.get(key) != begun.get(key):
            raise ConfigError(
                f"{out} was begun with {key}={begun.get(key)!r}, now it is {now.get(key)!r}; "
                "use another --out, or --fresh to empty the folder"
            )
    write_text(path, [json.dumps(now, indent=1)])


def run_stages(stages: Sequence[Stage], stamps_path: Path) -> None:
    """Run the stages in order, each once.

    One is done when `stamps_path` has its command with its file as it is now, and none before it
    ran; what a killed one left behind is its command's to continue. Where the run's folder and the
    recipes lie makes no other command: both may move.
    """
    # As for the trainings that we launch: spinning threads crawl on a machine that is busy.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    stamps: dict[str, Row] = {}
    if stamps_path.is_file():
        stamps = json.loads(stamps_path.read_text(encoding="utf-8"))
    has_run = False
    for number, stage in enumerate(stages, start=1):
        known, shown = stamps.get(stage.name, {}), shlex.join(["codefavor", *stage.words])
        title = f"[{number}/{len(stages)}] {stage.name}"
        same = without_folders(shown, stamps_path.parent)
        if not has_run and known.get("same") == same and known["sha256"] == _digest(stage):
            _say(f"{title} (done before)")
            continue
        has_run = True
        _say(f"{title}\n$ {shown}")
        started = time.monotonic()
        with contextlib.redirect_stdout(sys.stderr):
            _call(stage.words)
        seconds = round(time.monotonic() - started, 1)
        stamps[stage.name] = {
            "seconds": seconds, "command": shown, "same": same, "sha256": _digest(stage),
        }  # fmt: skip
        write_text(stamps_path, [json.dumps(stamps, indent=1)])


def without_folders(text: str, out: Path) -> str:
    """A path or command without where this run's folder and the recipes lie on this machine."""
    for folder, name in ((out, "OUT"), (find_recipes(), "recipes")):
        begins = rf"(?<![\w./-]){re.escape(str(folder))}(?=/|['\s]|$)"
        text = re.sub(begins, name, text)
    return text


def _call(words: Sequence[str]) -> None:
    """A command of `codefavor`, in this process: its imports are paid once."""
    from codefavor.cli.main import app

    code = app(list(words), standalone_mode=False)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise CodefavorError(f"`codefavor {shlex.join(words)}` ended with {code}")


def _digest(stage: Stage) -> str:
    return file_sha256(stage.made) if stage.made.is_file() else ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
