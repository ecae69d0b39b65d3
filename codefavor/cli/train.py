"""`codefavor train`: check, estimate, launch, follow and resume one recipe."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli.option_groups import refuse
from codefavor.cli.recipe_tools import card_of_this_machine, estimate_recipe, show_estimate
from codefavor.cli.recipes import resolve
from codefavor.cli.train_data import data_for, remarks_on
from codefavor.errors import ConfigError
from codefavor.records import Row
from codefavor.training.estimate import GIB
from codefavor.training.launch import TrainingRun, launch
from codefavor.training.machine import count_gpus
from codefavor.training.plan import (
    TrainingPlan,
    plan_training,
    training_command,
    training_environment,
)
from codefavor.training.recipes import (
    NO_TELEMETRY,
    find_recipes,
    flatten_layers,
    hardware_of,
    load_yaml,
    parse_value,
    processes_of,
)
from codefavor.training.runcard import DATA_FOLDER
from codefavor.training.training_health import health_warnings

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
    for remark in remarks_on(path, data, overrides):
        typer.echo(remark, err=True)
    if dry_run:
        refuse({"fresh", "check"}, "does not go with --dry-run, which starts nothing")
        typer.echo(f"{NO_TELEMETRY} {shlex.join(_command_of(path, overrides, data, gpus))}")
        return
    if data is not None:
        overrides = {**data_for(path, data, DATA_FOLDER, overrides), **overrides}
    plan = plan_training(path, overrides=overrides, gpus=gpus)
    if check:
        check_before(plan)
    followed: list[Row] = []
    run = launch(
        path,
        overrides=overrides,
        gpus=gpus,
        fresh=fresh,
        on_metrics=lambda row: follow(followed, row),
    )
    typer.echo(describe(run))


def _command_of(path: Path, overrides: Row, data: Path | None, gpus: int | None) -> Sequence[str]:
    """The command of a launch on the recipe's own machine, if this one is another.

    Rows are converted where nobody looks, so that what is wrong with them shows and nothing stays.
    """
    hardware = ""
    if gpus is None and count_gpus() < processes_of(path):
        gpus, hardware = processes_of(path), hardware_of(path)
        told = f"for a machine with {gpus} GPU(s), as the recipe is"
        if hardware.count("x") == 2:
            told = f"for the machines {hardware} of the recipe: on each, with its RANK from 0, and "
            told += "the ADDRESS of the first"
        print(told, file=sys.stderr)
    with tempfile.TemporaryDirectory() as scratch:
        if data is not None:
            said = io.StringIO()
            with redirect_stdout(said), redirect_stderr(said):
                own = data_for(path, data, Path(scratch), overrides)
            overrides = {**own, **overrides}
            print(said.getvalue().replace(scratch, str(DATA_FOLDER)), end="", file=sys.stderr)
            if scratch in str(own):
                print(f"not written, as nothing starts: files in {DATA_FOLDER}", file=sys.stderr)
        plan = plan_training(path, overrides=overrides, gpus=gpus)
        command = training_command(plan, hardware=hardware)
        return [word.replace(scratch, str(DATA_FOLDER)) for word in command]


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
            for key in [one for one in content if one not in {"header", "include"}]:
                below, value = overrides.get(key), content[key]
                if isinstance(below, dict) and isinstance(value, dict):
                    value = {**below, **value}
                overrides[key] = value
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
