"""`--shard I/N`: what a command does of a run that several machines share.

Budget and caps are of the whole run. A shard that can ask nobody has an N-th part of them; one that
was started with others (`joined`) is lent what it needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

from typer import Option

from codefavor.engine import Budget, Limits, Progress, TerminalProgress
from codefavor.engine.budget import Lender
from codefavor.engine.limits import SharedCaps, SharedPlaces
from codefavor.engine.shards import ALL_SHARDS, Shard
from codefavor.errors import ConfigError

ShardOption = Annotated[
    Shard | None,
    Option(
        "--shard",
        parser=Shard.parse,
        metavar="I/N",
        help="Run only part I (from 0) of N, for merge-shards; budgets and caps are of all parts.",
    ),
]


def placed(out: Path, shard: Shard | None) -> Path:
    """Where a shard keeps what the whole run keeps at `out`."""
    return out if shard is None else shard.place(out)


def folder_of(base: Path, shard: Shard | None) -> Path:
    """Where a shard keeps what the whole run keeps in the folder `base`."""
    return base if shard is None else shard.folder(base)


class Joined(NamedTuple):
    """The others of a run, for a process that was started with them."""

    lender: Lender
    caps: SharedCaps
    places: SharedPlaces
    progress: Callable[[], Progress]


joined: ContextVar[Joined | None] = ContextVar("joined", default=None)


def make_progress() -> Progress:
    """Who is told how far the run is: the terminal, or whoever started this shard."""
    others = joined.get()
    return TerminalProgress() if others is None else others.progress()


def n_workers(workers: int) -> int:
    """How many programs run at a time: 0 takes every core, of which a joined process has one."""
    return workers or (1 if joined.get() else os.cpu_count()) or 1


def own_budget(budget: Budget | None, shard: Shard | None) -> Budget | None:
    """The part of a budget that a shard may spend: shards cannot ask each other."""
    if budget is None or shard is None or shard == ALL_SHARDS:
        return budget
    if (others := joined.get()) is not None:
        # Nothing is lent yet: the first request asks.
        usd = None if budget.usd is None else 0.0
        return Budget(usd, None if budget.tokens is None else 0, others.lender, budget)
    usd = None if budget.usd is None else budget.usd / shard.n
    return Budget(usd, None if budget.tokens is None else budget.tokens // shard.n)


def own_limits(limits: Limits, shard: Shard | None) -> Limits:
    """The part of the caps that a shard may use. Raises ConfigError where that is nothing."""
    if shard is None or shard == ALL_SHARDS:
        return limits
    names = ("requests_per_min", "input_tokens_per_min", "output_tokens_per_min")
    parts = {name: getattr(limits, name) for name in names}
    if (others := joined.get()) is not None:
        caps = others.caps if any(parts.values()) else None
        return replace(limits, shared=caps, places=others.places)
    for name, cap in parts.items():
        if cap is not None:
            if cap < shard.n:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} {cap} is less than one for each of {shard.n} shards")
            parts[name] = cap // shard.n
    return replace(limits, **parts, n_parts=shard.n)
