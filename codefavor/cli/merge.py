"""`codefavor merge`: checkpoints or adapters into one model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codefavor.errors import ConfigError
from codefavor.training.merge import fold_adapter, merge_adapters, merge_models


def command(
    folders: Annotated[list[Path], typer.Argument(help="Model folders, or adapter folders.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")],
    method: Annotated[str, typer.Option(help="linear, slerp or ties.")] = "linear",
    weights: Annotated[
        str, typer.Option(help="One number per model, as in 1,2; default: equal.")
    ] = "",
    base: Annotated[
        Path | None, typer.Option(help="ties: the common origin. One adapter: its base model.")
    ] = None,
    density: Annotated[float, typer.Option(help="ties: the share of each difference kept.")] = 0.2,
) -> None:
    """Merge models, or adapters of one base; with one adapter and --base, add it in."""
    shares = _numbers(weights)
    are_adapters = [(folder / "adapter_config.json").is_file() for folder in folders]
    if len(folders) == 1 and are_adapters[0] and base is not None:
        fold_adapter(base, folders[0], out)
    elif all(are_adapters) and method == "linear":
        merge_adapters(folders, out, shares)
    elif any(are_adapters):
        raise ConfigError(
            f"{method} works on whole models: add each adapter to its base first "
            "(codefavor merge ADAPTER --base MODEL --out FOLDER)"
        )
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
