"""`codefavor export`: a finished run as a model folder with its card, pushed if wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli.option_groups import refuse
from codefavor.hub import check_push, push_folder
from codefavor.training.export import export


def command(
    run: Annotated[Path, typer.Argument(help="The output folder of a finished training.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist.")],
    base: Annotated[
        Path | None, typer.Option(help="The adapter's base model; default: what it trained on.")
    ] = None,
    adapter_only: Annotated[
        bool, typer.Option("--adapter-only", help="Write the adapter, not whole weights.")
    ] = False,
    name: Annotated[str, typer.Option(help="The model's name in its card.")] = "",
    license_id: Annotated[
        str, typer.Option("--license", help="For the card: mit, apache-2.0, llama3.1, ...")
    ] = "",
    push_to: Annotated[
        str, typer.Option("--push", help="Then upload it to this OWNER/NAME on the Hub.")
    ] = "",
    public: Annotated[bool, typer.Option("--public", help="Push to a public repository.")] = False,
) -> None:
    """Write whole weights, tokenizer, model card and run card of a finished training."""
    refuse({"public"}, "belongs to --push, which is not given", unless=push_to)
    if push_to:
        check_push(push_to)  # before minutes are spent on weights
    export(
        run,
        out,
        base=base,
        adapter_only=adapter_only,
        name=name or push_to,
        license_id=license_id,
    )
    typer.echo(str(out))
    if push_to:
        typer.echo(push_folder(out, push_to, kind="model", private=not public))
