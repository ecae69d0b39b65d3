"""`codefavor merge`: checkpoints or adapters into one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli.option_groups import refuse
from codefavor.errors import ConfigError
from codefavor.training.merge import fold_adapter, merge_adapters, merge_models
from codefavor.training.model_folders import is_adapter


def command(
    folders: Annotated[list[Path], typer.Argument(help="Model folders, or adapter folders.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")],
    method: Annotated[str, typer.Option(help="linear, slerp or ties.")] = "linear",
    weights: Annotated[
        str, typer.Option(help="One number per model, as in 1,2; default: equal.")
    ] = "",
    base: Annotated[
        Path | None, typer.Option(help="The common origin (ties), or the adapters' base model.")
    ] = None,
    density: Annotated[float, typer.Option(help="ties: the share of each difference kept.")] = 0.2,
) -> None:
    """Merge models, or adapters of one base; with one adapter and --base, add it in.

    Adapters alone merge (linearly) to an adapter; with --base, by any method, to a whole model.
    """
    is_added = len(folders) == 1
    refuse({"density"}, f"is for ties, not for {method}", unless=method == "ties")
    refuse({"method", "weights"}, "is for several models, and one is given", unless=not is_added)
    shares = _numbers(weights)
    if absent := [one for one in (*folders, base) if one is not None and not one.is_dir()]:
        raise ConfigError(f"{absent[0]}: no such folder")
    if len(folders) == 1 and is_adapter(folders[0]):
        if base is None:
            raise ConfigError("one adapter is added to its base model: name it with --base")
        fold_adapter(base, folders[0], out)
    elif all(map(is_adapter, folders)) and method == "linear" and base is None:
        merge_adapters(folders, out, shares)
    else:
        merge_models(folders, out, method=method, weights=shares, base=base, density=density)
    typer.echo(str(out))


def _numbers(text: str) -> list[float] | None:
    if not text:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"--weights {text!r}: expected numbers, as in 1,2") from error
