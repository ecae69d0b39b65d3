"""`codefavor train`: check, estimate, launch, follow and resume one recipe."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli import convert
from codefavor.cli.recipe_tools import card_of_this_machine, estimate_recipe, show_estimate
from codefavor.cli.recipes import resolve
from codefavor.errors import ConfigError
from codefavor.pairs.row_files import read_any_rows
from codefavor.records import Row, content_id, file_sha256
from codefavor.training.estimate import GIB
from codefavor.training.formats import get_format
from codefavor.training.launch import TrainingRun, launch
from codefavor.training.plan import (
    TrainingPlan,
    plan_training,
    training_command,
    training_environment,
)
from codefavor.training.recipes import find_recipes, flatten_layers, load_yaml, parse_value
from codefavor.training.training_health import health_warnings

_CONVERT = "codefavor convert "
_SHOWN = ("loss", "rewards/margins", "rewards/accuracies", "logps/chosen", "accuracy", "reward")


def command(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or the path of its file.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value, as often as needed; trl__beta=0 for trl: {beta}."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Put a layer on top, as in --layer hardware/any for a CPU."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Train on this file instead: rows as convert writes or reads them."),
    ] = None,
    gpus: Annotated[
        int | None, typer.Option(help="0 for the CPU; default: as many as the recipe is for.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", "--overwrite", help="Empty the output folder first.")
    ] = False,
    check: Annotated[
        bool, typer.Option(help="Check the recipe and estimate it before the launch.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the command and start nothing.")
    ] = False,
) -> None:
    """Train a recipe to its end; the same command after a kill goes on where it was."""
    path = resolve(recipe)
    overrides = read_overrides(settings or [], layer or [])
    if data is not None:
        scratch = Path(tempfile.mkdtemp(prefix="codefavor-dry-run-")) if dry_run else None
        data = rows_for(path, data, scratch or Path("outputs/data"))
        if scratch is not None and data.parent != scratch:
            scratch.rmdir()
    plan = plan_training(path, overrides=overrides, data=data, gpus=gpus)
    if dry_run:
        typer.echo(shlex.join(training_command(plan)))
        return
    if check:
        check_before(plan)
    followed: list[Row] = []
    run = launch(
        path,
        overrides=overrides,
        data=data,
        gpus=gpus,
        fresh=fresh,
        on_metrics=lambda row: follow(followed, row),
    )
    typer.echo(describe(run))


def rows_for(recipe: Path, data: Path, folder: Path) -> Path:
    """The file to train on: `data` if its rows are the recipe's, else what `convert` makes of it,
    written to `folder`.

    The format and the options are those of the `convert` line in the recipe's header; a recipe
    without one takes its rows as they are.
    """
    lines = recipe.read_text(encoding="utf-8").splitlines()
    needs = (line.partition(_CONVERT)[2] for line in lines if line.startswith("# Needs:"))
    words = shlex.split(next(filter(None, needs), ""))
    if "--format" not in words:
        return data
    form = get_format(words[words.index("--format") + 1])
    _, first = next(read_any_rows(data))
    if {name: type(value) for name, value in first.items() if name != "id"} == form.columns:
        return data
    options = words[words.index("--format") : words.index("--out")]
    name = content_id(file_sha256(data), options)[:12]
    out = folder / f"{data.stem}-{form.name}-{name}.jsonl"
    convert_app = typer.Typer()
    convert_app.command()(convert.command)
    convert_app([str(data), *options, "--out", str(out)], standalone_mode=False)
    return out


def check_before(plan: TrainingPlan) -> None:
    """Fail on what is wrong or does not fit, before anything is downloaded or allocated."""
    request = {"recipe": str(plan.recipe), "config": plan.config, "gpus": plan.gpus}
    checked = subprocess.run(
        [sys.executable, "-m", "codefavor.training.preflight"],
        input=json.dumps({**request, "folder": str(plan.folder)}),
        env=training_environment(plan),
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode != 0:
        found = checked.stdout.strip() or checked.stderr.strip()[-2000:]
        raise ConfigError(f"the recipe did not pass its check (--no-check to try it):\n{found}")
    if checked.stdout.strip():
        print(checked.stdout.strip(), file=sys.stderr)
    check_memory(plan)


def check_memory(plan: TrainingPlan) -> None:
    """Print the estimate; raise ConfigError where it is above the memory of this machine."""
    card = card_of_this_machine(plan.gpus)
    try:
        found_estimate, basis = estimate_recipe(plan.recipe, plan.config, gpus=plan.gpus, card=card)
    except ConfigError as error:
        print(f"no estimate: {error}", file=sys.stderr)
        return
    show_estimate(found_estimate, basis)
    if not found_estimate.fits:
        needed = found_estimate.memory_bytes / GIB
        raise ConfigError(
            f"too little memory: about {needed:.1f} GiB are needed, {card.name} has "
            f"{card.memory_gib:.1f}; lower micro_batch_size or sequence_len, train an adapter, or "
            "split over more devices (--no-check to try it all the same)"
        )


def describe(run: TrainingRun) -> str:
    """What a finished run has to say, its health warnings included."""
    state = "was finished before" if run.is_reused else "finished"
    signs = "".join(f"\nwarning: {sign}" for sign in health_warnings(run.metrics))
    return f"{state}: {run.output_dir} ({run.seconds:.0f} s){signs}"


def read_overrides(settings: list[str], layers: list[str]) -> Row:
    """The keys that `--layer` and then `--set` put over a recipe."""
    overrides: Row = {}
    root = find_recipes()
    for name in layers:
        path = root / "layers" / f"{name}.yaml"
        if not path.is_file():
            known = sorted(
                file.relative_to(root / "layers").with_suffix("").as_posix()
                for file in (root / "layers").rglob("*.yaml")
            )
            raise ConfigError(f"no layer {name!r}; known: {', '.join(known)}")
        for part in flatten_layers([name], root):
            content = load_yaml(root / "layers" / f"{part}.yaml")
            overrides |= {key: content[key] for key in content if key not in {"header", "include"}}
    for setting in settings:
        key, is_there, text = setting.partition("=")
        if not is_there or not key.isidentifier():
            raise ConfigError(f"--set {setting!r}: expected key=value")
        overrides[key] = parse_value(text)
    return overrides


def follow(followed: list[Row], row: Row) -> None:
    """One line per log on stderr, and every health warning once, as soon as it shows."""
    if row.get("event") == "begin":
        print(f"step {row['step']}/{row['max_steps']}: begins", file=sys.stderr)
    if "event" in row:
        return
    before = {sign.partition("(")[0] for sign in health_warnings(followed)}
    followed.append(row)
    if "loss" in row:
        values = " ".join(f"{name} {row[name]:.4g}" for name in _SHOWN if row.get(name) is not None)
        print(f"step {row['step']}/{row['max_steps']}: {values}", file=sys.stderr)
    for sign in health_warnings(followed):
        if sign.partition("(")[0] not in before:
            print(f"warning: {sign}", file=sys.stderr)
