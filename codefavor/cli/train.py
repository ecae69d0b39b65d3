"""`codefavor train`: check, launch, follow and resume one recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from codefavor.cli.recipes import resolve
from codefavor.errors import ConfigError
from codefavor.records import Row
from codefavor.training.launch import launch
from codefavor.training.recipes import find_recipes, load_yaml


def command(  # noqa: PLR0917 (typer reads the parameters by name)
    recipe: Annotated[str, typer.Argument(help="A recipe's name or the path of its file.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value, as often as needed; trl__beta=0 for trl: {beta}."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Put a layer on top, as in --layer hardware/any for a CPU."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Train on this file instead.")] = None,
    gpus: Annotated[int | None, typer.Option(help="0 for the CPU; default: all there are.")] = None,
    fresh: Annotated[bool, typer.Option(help="Empty the output folder first.")] = False,
) -> None:
    """Train a recipe to its end; the same command after a kill goes on where it was."""
    overrides = read_overrides(settings or [], layer or [])
    run = launch(
        resolve(recipe),
        overrides=overrides,
        data=data,
        gpus=gpus,
        fresh=fresh,
        on_metrics=print_metrics,
    )
    state = "was finished before" if run.is_reused else "finished"
    typer.echo(f"{state}: {run.output_dir} ({run.seconds:.0f} s)")


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
        overrides |= {key: value for key, value in load_yaml(path).items() if key != "header"}
    for setting in settings:
        key, is_there, text = setting.partition("=")
        if not is_there or not key.isidentifier():
            raise ConfigError(f"--set {setting!r}: expected key=value")
        value: Any = yaml.safe_load(text)
        overrides[key] = value
    return overrides


def print_metrics(row: Row) -> None:
    """One line per log on stderr."""
    if row.get("event") == "begin":
        print(f"step {row['step']}/{row['max_steps']}: begins", file=sys.stderr)
    elif "loss" in row:
        shown = ("loss", "rewards/margins", "rewards/accuracies", "logps/chosen", "accuracy")
        values = " ".join(f"{name} {row[name]:.4g}" for name in shown if row.get(name) is not None)
        print(f"step {row['step']}/{row['max_steps']}: {values}", file=sys.stderr)
