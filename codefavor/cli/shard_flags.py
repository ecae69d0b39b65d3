"""`--shard I/N`: what a command does of a run that several machines share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from codefavor.engine import Budget, Limits
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


def own_budget(budget: Budget | None, shard: Shard | None) -> Budget | None:
    """The part of a budget that a shard may spend: shards cannot ask each other."""
    if budget is None or shard is None or shard == ALL_SHARDS:
        return budget
    usd = None if budget.usd is None else budget.usd / shard.n
    return Budget(usd, None if budget.tokens is None else budget.tokens // shard.n)


def own_limits(limits: Limits, shard: Shard | None) -> Limits:
    """The part of the caps that a shard may use. Raises ConfigError where that is nothing."""
    if shard is None or shard == ALL_SHARDS:
        return limits
    names = ("requests_per_min", "input_tokens_per_min", "output_tokens_per_min")
    parts = {name: getattr(limits, name) for name in names}
    for name, cap in parts.items():
        if cap is not None:
            if cap < shard.n:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} {cap} is less than one for each of {shard.n} shards")
            parts[name] = cap // shard.n
    return Limits(**parts, max_pause_s=limits.max_pause_s)
