"""Accuracy with a shallow cue held constant, and the gain over the best trivial baseline."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from codefavor.judges.base import Judge
from codefavor.judges.baselines import CopiedJudge, LongerJudge, RandomJudge, ShorterJudge
from codefavor.records import Comparison, Row
from codefavor.statistics.intervals import Figures, Gain, Interval, cluster_bootstrap_interval
from codefavor.statistics.metrics import (
    CHOSEN_FIRST,
    REJECTED_FIRST,
    JudgedPair,
    compare_systems,
    judged_pairs,
)

TRIVIAL = {
    "random": RandomJudge, "shorter": ShorterJudge, "longer": LongerJudge, "copied": CopiedJudge,
}  # fmt: skip


@dataclass(frozen=True)
class Controlled(Figures):
    """A judge's accuracy where a cue helps and where it misleads, and the mean of the two.

    `accuracy` is that unweighted mean (not-a-number where a stratum is empty): whoever follows the
    cue alone has 50 %, whatever share of the pairs the cue gets right. Pairs on which the cue is
    silent are left out.
    """

    cue: str
    n_right: int
    n_wrong: int
    accuracy_cue_right: float
    accuracy_cue_wrong: float
    accuracy: float
    interval: Interval


def controlled_accuracy(
    records: Iterable[Row],
    cue_records: Iterable[Row],
    cue: str,
    *,
    seed: int = 0,
    n_resamples: int = 10_000,
) -> Controlled:
    """The accuracy of a judge controlled for a cue, which is any other judge's verdicts.

    With "shorter" as the cue this is length control, with the n-gram classifier style control.
    The interval holds the sizes of the two strata fixed.
    """
    cues = {pair.id: pair.score for pair in judged_pairs(cue_records)}
    pairs = [pair for pair in judged_pairs(records) if cues.get(pair.id, 0.5) != 0.5]
    right = [pair for pair in pairs if cues[pair.id] > 0.5]
    wrong = [pair for pair in pairs if cues[pair.id] < 0.5]
    interval = Interval(math.nan, math.nan, math.nan)
    if right and wrong:
        weights = {True: len(pairs) / (2 * len(right)), False: len(pairs) / (2 * len(wrong))}
        interval = cluster_bootstrap_interval(
            [pair.score * weights[cues[pair.id] > 0.5] for pair in pairs],
            [pair.cluster for pair in pairs],
            seed=seed,
            n_resamples=n_resamples,
        )
    shares = _mean(right), _mean(wrong), interval.mean
    return Controlled(cue, len(right), len(wrong), *shares, interval)


def trivial_records(items: Sequence[Row]) -> dict[str, list[Row]]:
    """What the trivial judges say about these pairs, in both orders, as stored rows."""
    return {name: judge_now(make(), items) for name, make in TRIVIAL.items()}


def judge_now(judge: Judge, items: Sequence[Row]) -> list[Row]:
    """The stored rows of a judge that needs no model, without a journal."""
    comparisons = [
        Comparison(
            item["instruction"], item["chosen"], item["rejected"], item["criteria"], item["id"]
        )
        for item in items
    ]
    swapped = [comparison.swap() for comparison in comparisons]

    async def both() -> tuple[list[Row], list[Row]]:
        first, second = await judge.compare(comparisons), await judge.compare(swapped)
        return [one.to_row() for one in first], [one.to_row() for one in second]

    first, second = asyncio.run(both())
    return [
        {
            "id": item["id"],
            "problem_id": item["problem_id"],
            "level": item["level"],
            "verdicts": {CHOSEN_FIRST: chosen_first, REJECTED_FIRST: rejected_first},
        }
        for item, chosen_first, rejected_first in zip(items, first, second, strict=True)
    ]


def gain_over_best(
    records: Sequence[Row],
    baselines: Mapping[str, Sequence[Row]],
    *,
    level: str | None = None,
    seed: int = 0,
    n_resamples: int = 10_000,
) -> tuple[str, Gain]:
    """The name of the baseline that scores highest on these pairs, and the gain over it."""
    ids = {pair.id for pair in judged_pairs(records) if level in (None, pair.level)}

    def accuracy(name: str) -> float:
        return _mean([pair for pair in judged_pairs(baselines[name]) if pair.id in ids])

    best = max(baselines, key=accuracy)
    gain = compare_systems(
        records, baselines[best], level=level, seed=seed, n_resamples=n_resamples
    )
    return best, gain


def _mean(pairs: Sequence[JudgedPair]) -> float:
    return math.fsum(pair.score for pair in pairs) / len(pairs) if pairs else math.nan
