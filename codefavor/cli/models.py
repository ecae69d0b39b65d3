"""`codefavor models`: a model's folder from the Hub, and adapters added to their base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli import merge
from codefavor.hub import download_model

app = typer.Typer(no_args_is_help=True, help="Model folders: download them, merge them.")
app.command("merge")(merge.command)


@app.command("download")
def download(
    repository: Annotated[str, typer.Argument(help="OWNER/NAME on the Hugging Face Hub.")],
    out: Annotated[Path, typer.Option(help="The folder to write; a stopped download goes on.")],
    revision: Annotated[
        str, typer.Option(help="A branch, tag or commit; left out: the newest.")
    ] = "",
) -> None:
    """A model, adapter or tokenizer from the Hub as a plain folder, for local: and --set adapter=.

    Weights come as safetensors where the repository has them.
    """
    typer.echo(str(download_model(repository, out, revision=revision)))
