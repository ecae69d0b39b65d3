"""`codefavor cache`: what is cached of which server, and how to remove it."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from codefavor.cli.engine_options import Cache
from codefavor.cli.option_groups import refuse
from codefavor.engine import ResponseCache
from codefavor.engine.cache import spec_of
from codefavor.errors import ConfigError, DataError
from codefavor.settings import default_cache

app = typer.Typer(no_args_is_help=True, help="Cached responses: list them, remove them.")
_DAY_S = 86_400.0


@app.command("list")
def list_servers(cache: Cache = None) -> None:
    """The servers whose responses are cached, with how many, their size and their age."""
    path = _existing(cache)
    with closing(ResponseCache(path)) as store:
        servers = store.servers()
    typer.echo(f"{path}: {len(servers)} servers, {path.stat().st_size / 1e6:.1f} MB")
    for one in servers:
        details = {key: one.identity[key] for key in one.identity if key not in _NAMED}
        said = " ".join(f"{key}={value}" for key, value in details.items())
        typer.echo(
            f"{one.n_responses:>9} responses {one.n_bytes / 1e6:>8.1f} MB  "
            f"{_day(one.oldest_s)} to {_day(one.newest_s)}  {spec_of(one.identity)} {said}".rstrip()
        )


@app.command()
def prune(
    cache: Cache = None,
    server: Annotated[
        str,
        typer.Option(help="Only servers with this in kind:model, address or other settings."),
    ] = "",
    older_than_days: Annotated[
        float | None, typer.Option(min=0, help="Only responses received longer ago than this.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All responses of all servers.")
    ] = False,
) -> None:
    """Remove cached responses; runs that need them again ask, and pay, again."""
    if not (everything or server or older_than_days is not None):
        raise ConfigError("say what to remove: --server, --older-than-days, or --all")
    parts = {"server", "older_than_days"}
    refuse(parts, "does not go with --all, which removes everything", unless=not everything)
    path = _existing(cache)
    before_s = None if older_than_days is None else time.time() - older_than_days * _DAY_S
    size = path.stat().st_size
    with closing(ResponseCache(path)) as store:
        n = store.prune(words=server, before_s=before_s)
    typer.echo(
        f"{path}: {n} responses removed; {size / 1e6:.1f} -> {path.stat().st_size / 1e6:.1f} MB"
    )


_NAMED = ("backend", "model")


def _existing(cache: Path | None) -> Path:
    path = cache or default_cache()
    if not path.is_file():
        raise DataError(f"{path}: no such file; nothing is cached yet")
    return path


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d")
