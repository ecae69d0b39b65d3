"""Levels as measured: how sure a judge is of pairs that are declared easy, medium or hard."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codefavor.records import Row
from codefavor.statistics.intervals import Figures
from codefavor.statistics.metrics import CHOSEN_FIRST, JudgedPair, judged_pairs, level_order

# Beyond this, log-odds are what rounding left.
_MOST = 20.0


@dataclass(frozen=True)
class LevelMargins(Figures):
    """The margins of the pairs of one level, in natural log-odds that the chosen side is better.

    `right` is the share above 0; `n_unsure` pairs have no probability and so no margin.
    """

    level: str
    n: int
    n_unsure: int
    right: float
    low: float
    median: float
    high: float


def margin_of(pair: JudgedPair) -> float | None:
    """The mean over orders of the log-odds that the chosen side is better; None without any."""
    found = []
    for order, verdict in pair.verdicts.items():
        if verdict.p_a is None:
            continue
        chance = min(max(verdict.p_a, 1e-12), 1 - 1e-12)
        odds = max(-_MOST, min(_MOST, math.log(chance / (1 - chance))))
        found.append(odds if order == CHOSEN_FIRST else -odds)
    return math.fsum(found) / len(found) if found else None


def level_margins(records: Iterable[Row]) -> tuple[list[LevelMargins], list[Row]]:
    """The margins by level, easiest first, and for each pair `{"id", "level", "margin", "fits"}`.

    `fits` names the level whose median margin is nearest to the pair's, where the medians fall
    from level to level as they should; else it is the declared one.
    """
    pairs = judged_pairs(records)
    margins = {pair.id: margin_of(pair) for pair in pairs}
    levels = sorted({pair.level for pair in pairs}, key=level_order)
    table = [_level(name, [margins[p.id] for p in pairs if p.level == name]) for name in levels]
    medians = {one.level: one.median for one in table if one.n}
    falls = list(medians.values()) == sorted(medians.values(), reverse=True)
    rows: list[Row] = []
    for pair in pairs:
        margin = margins[pair.id]
        fits = pair.level
        if margin is not None and falls:
            fits = min(medians, key=lambda name: abs(medians[name] - margin))
        rows.append({"id": pair.id, "level": pair.level, "margin": margin, "fits": fits})
    return table, rows


def _level(name: str, margins: Sequence[float | None]) -> LevelMargins:
    known = sorted(one for one in margins if one is not None)
    if not known:
        return LevelMargins(name, 0, len(margins), math.nan, math.nan, math.nan, math.nan)
    low, high = known[len(known) // 10], known[-1 - len(known) // 10]
    right = sum(one > 0 for one in known) / len(known)
    return LevelMargins(
        name, len(known), len(margins) - len(known), right, low, statistics.median(known), high
    )
