"""Which side of the split a problem is on: a function of its id alone.

A pair, both of its orders and every other pair of the same problem follow their problem, so
nothing a judge was trained on can come back at evaluation by way of another row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from codefavor.errors import ConfigError

# train: for training. dev: for choosing settings. test: for the one figure that is published.
SPLITS: Mapping[str, float] = {"train": 0.5, "dev": 0.15, "test": 0.35}


def split_of(problem_id: str, fractions: Mapping[str, float] = SPLITS, salt: str = "") -> str:
    """The split of a problem: the same in every run, on every machine, in any order of rows.

    `fractions` maps names to shares that sum to 1; another `salt` gives another split.
    """
    if abs(sum(fractions.values()) - 1.0) > 1e-9:
        raise ConfigError(f"the shares of a split must sum to 1, found {dict(fractions)}")
    digest = hashlib.sha256(f"{salt}\x00{problem_id}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for name, share in fractions.items():
        position -= share
        if position < 0:
            return name
    return next(reversed(list(fractions)))
