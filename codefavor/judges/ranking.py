"""Best of n and rankings of many programs, built on `compare` in both orders."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from codefavor.judges.base import Judge, in_both_orders
from codefavor.records import Comparison


@dataclass(frozen=True)
class Standing:
    """One program's place: its index in the input and its points out of `n_games`."""

    index: int
    points: float
    n_games: int


async def best_of_n(
    judge: Judge, instruction: str, codes: Sequence[str], *, criteria: str = ""
) -> int:
    """The index of the winner of a knock-out: n - 1 comparisons, each in both orders.

    On a tie or an undecided comparison the earlier program stays. Raises ValueError without
    programs.
    """
    if not codes:
        raise ValueError("best_of_n needs at least one program")
    both = in_both_orders(judge)
    alive = list(range(len(codes)))
    while len(alive) > 1:
        games = [
            Comparison(instruction, codes[first], codes[second], criteria)
            for first, second in zip(alive[::2], alive[1::2], strict=False)
        ]
        verdicts = await both.compare(games)
        winners = [
            alive[2 * game + 1] if verdict.choice == "B" else alive[2 * game]
            for game, verdict in enumerate(verdicts)
        ]
        alive = winners + alive[2 * len(games) :]
    return alive[0]


async def tournament(
    judge: Judge, instruction: str, codes: Sequence[str], *, criteria: str = ""
) -> list[Standing]:
    """All programs by the points of a round robin, best first, the earlier one on equal points.

    Every pair meets in both orders: 1 point for a win, 1/2 each for a tie or an undecided game.
    """
    pairs = list(itertools.combinations(range(len(codes)), 2))
    games = [Comparison(instruction, codes[a], codes[b], criteria) for a, b in pairs]
    verdicts = await in_both_orders(judge).compare(games)
    points = [0.0] * len(codes)
    for (first, second), verdict in zip(pairs, verdicts, strict=True):
        share = {"A": 1.0, "B": 0.0}.get(verdict.choice, 0.5)
        points[first] += share
        points[second] += 1 - share
    standings = [Standing(i, value, max(0, len(codes) - 1)) for i, value in enumerate(points)]
    return sorted(standings, key=lambda standing: (-standing.points, standing.index))
