"""`codefavor merge-shards`: what all shards of a command came to, as if one had done it all."""

from __future__ import annotations

from typing import Annotated

import click
import typer
from typer.core import TyperCommand

from codefavor.errors import ConfigError


class _Prefix(TyperCommand):
    """A command whose words, once another command's begin, are that one's."""

    allow_interspersed_args = False
    ignore_unknown_options = True


COMMAND_CLASS = _Prefix
_REFUSED = {
    "--shard": "it takes all shards; leave the option out",
    "--ray": "a run on Ray merges its shards itself",
    "--dry-run": "nobody is asked anyway; a forecast is of the command without merge-shards",
}


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

    for word in words:
        name = word.partition("=")[0]
        if name in _REFUSED:
            raise ConfigError(f"merge-shards: {name} does not go with it: {_REFUSED[name]}")
    try:
        code = typer.main.get_command(app).main(
            [*words, "--shard", "all"], prog_name="codefavor", standalone_mode=False
        )
    except click.NoSuchOption as error:
        if error.option_name != "--shard":
            raise
        asked = error.ctx.command_path if error.ctx else words[0]
        raise ConfigError(
            f"merge-shards: `{asked}` is none of the commands that run in shards; those have "
            "--shard"
        ) from error
    if code:
        raise typer.Exit(code)
