"""`--ray ADDRESS` for every command that has `--shard`: its shards on a Ray cluster, merged."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import click
from typer.core import TyperOption

from codefavor.cli.option_groups import refuse
from codefavor.engine.shards import ALL_SHARDS
from codefavor.errors import ConfigError
from codefavor.originals import with_originals

_PANEL = "Many machines"
# What has no meaning where other processes do the work.
_NOT_WITH_RAY = ("shard", "dry_run", "rescore", "dont_write", "batch", "own_tests", "no_cache")


def with_ray(command: click.Command) -> click.Command:
    """The command and its subcommands, those with `--shard` also with `--ray` and `--shards`."""
    for one in command.commands.values() if isinstance(command, click.Group) else ():
        with_ray(one)
    if any(param.name == "shard" for param in command.params) and command.callback is not None:
        command.params += _options()
        command.callback = _on_ray(command.callback)
    return command


def _options() -> list[click.Parameter]:
    return [
        TyperOption(
            param_decls=["--ray"],
            metavar="ADDRESS",
            rich_help_panel=_PANEL,
            help="Run on a Ray cluster: auto, local (one started here), HOST:PORT, ray://HOST:PORT.",
        ),
        TyperOption(
            param_decls=["--shards"],
            type=click.IntRange(min=1),
            rich_help_panel=_PANEL,
            help="With --ray: parts of the input [2 for each that runs at a time].",
        ),
    ]


def _on_ray(callback: Callable[..., Any]) -> Callable[..., Any]:
    def command(**values: Any) -> Any:
        address, n_shards = values.pop("ray"), values.pop("shards")
        if address is None:
            refuse({"shards"}, "belongs to --ray, which is not given")
            return callback(**values)
        if not address:
            raise ConfigError("--ray: the address is empty (a variable that is not set?)")
        refuse(_NOT_WITH_RAY, "does not go with --ray")
        # As a verb is: only where it is used.
        ray_run = importlib.import_module("codefavor.cli.ray_run")
        words = _with_copy(_without_ray(sys.argv[1:]), str(values.get("out")))
        ray_run.run_shards(words, values, address, n_shards)
        return callback(**{**values, "shard": ALL_SHARDS})

    command.__doc__ = callback.__doc__
    return command


def _with_copy(words: list[str], out: str) -> list[str]:
    """The words, with the copy in which a run works in the place of an output on storage.

    It is one machine that takes there what all shards have done. Inputs each brings for itself.
    """
    url = with_originals(out)
    if url == out:
        return words
    cut = ((word.rstrip("/"), word) for word in words)
    return [
        word.removesuffix(url) + out if word == url or word.endswith(f"={url}") else whole
        for word, whole in cut
    ]


def _without_ray(words: list[str]) -> list[str]:
    """The command's words as a shard is given them."""
    kept, rest = [], iter(words)
    for word in rest:
        if word in ("--ray", "--shards"):
            next(rest)
        elif not word.startswith(("--ray=", "--shards=")):
            kept.append(word)
    return kept
