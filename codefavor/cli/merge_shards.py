"""`codefavor merge-shards`: what all shards of a command came to, as if one had done it all."""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperCommand


class _Prefix(TyperCommand):
    """A command whose words, once another command's begin, are that one's."""

    allow_interspersed_args = False
    ignore_unknown_options = True


COMMAND_CLASS = _Prefix


def command(
    words: Annotated[
        list[str],
        typer.Argument(metavar="COMMAND...", help="The command of the shards, without --shard."),
    ],
) -> None:
    """Take what all shards of a command recorded, and finish it: output, summary, statistics.

    Nothing is run again and nobody is asked. Shards that are missing, unfinished or doubled, and
    those of another input, other settings or another version of the code, are refused.
    """
    from codefavor.cli.main import app

    code = typer.main.get_command(app).main(
        [*words, "--shard", "all"], prog_name="codefavor", standalone_mode=False
    )
    if code:
        raise typer.Exit(code)
