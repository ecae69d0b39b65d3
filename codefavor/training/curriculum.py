"""Curricula as data: how much of each level a stage trains on, and in which order; pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codefavor.errors import ConfigError
from codefavor.records import Preference

Shares = Mapping[str, float]


@dataclass(frozen=True)
class Curriculum:
    """Stages in order; each says how much of every level it draws.

    A number up to 1.0 is a share, a whole number from 2 on a count (or all, if there are fewer).

    `shuffle` mixes the levels within a stage; otherwise they stand in the order named.
    """

    stages: tuple[Shares, ...]
    shuffle: bool = True
    seed: int = 0


def curriculum_of_row(row: Mapping[str, Any]) -> Curriculum:
    """A curriculum from its YAML form; raises ConfigError for anything that means nothing."""
    unknown = set(row) - {"stages", "shuffle", "seed"}
    if unknown:
        raise ConfigError(f"curriculum: unknown {sorted(unknown)}; known: stages, shuffle, seed")
    stages = row.get("stages")
    if not isinstance(stages, list) or not stages:
        raise ConfigError("curriculum: stages must be a list of {level: share}")
    for number, stage in enumerate(stages, start=1):
        for level, share in stage.items():
            is_number = isinstance(share, (int, float)) and not isinstance(share, bool)
            if not is_number or not (0 < share <= 1 or (isinstance(share, int) and share > 1)):
                raise ConfigError(
                    f"curriculum: stage {number}: {level}: {share!r} is neither a share in (0, 1] "
                    "nor a count"
                )
    return Curriculum(tuple(stages), bool(row.get("shuffle", True)), int(row.get("seed", 0)))


def order_by_curriculum(
    preferences: Sequence[Preference], curriculum: Curriculum
) -> list[Preference]:
    """The pairs in the order of training; a pair that several stages draw stands several times.

    A share draws the pairs of a level in one fixed random order (by the seed), so a larger share
    holds every pair of a smaller one. Raises ConfigError for a level that no pair has.
    """
    by_level: dict[str, list[Preference]] = {}
    for preference in preferences:
        by_level.setdefault(preference.level, []).append(preference)
    for level, pairs in by_level.items():
        random.Random(f"{curriculum.seed}:{level}").shuffle(pairs)
    ordered: list[Preference] = []
    for number, stage in enumerate(curriculum.stages):
        drawn: list[Preference] = []
        for level, share in stage.items():
            if level not in by_level:
                known = ", ".join(sorted(by_level))
                raise ConfigError(f"curriculum: no pair has the level {level!r}; found: {known}")
            pairs = by_level[level]
            count = int(share) if share > 1 else max(1, round(share * len(pairs)))
            drawn += pairs[:count]
        if curriculum.shuffle:
            random.Random(f"{curriculum.seed}:stage {number}").shuffle(drawn)
        ordered += drawn
    return ordered
