"""Best of n and rankings of many programs, built on `compare` in both orders."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from codefavor.backends.microbatch import gather_all
from codefavor.judges.base import Judge, in_both_orders
from codefavor.records import Comparison, Verdict


@dataclass(frozen=True)
class Standing:
    """One program's place: its index in the input, its points out of `n_games`, its rank.

    Rank 1 is the best; equals share a rank, and the next one counts them (1, 2, 2, 4).
    """

    index: int
    points: float
    n_games: int
    rank: int


@dataclass(frozen=True)
class Ranking:
    """All programs, best first, and how the games between them ended.

    A game is two comparisons, one in each order. `n_undecided` of the games were undecided in
    at least one of them, `n_ties` were ties (two orders that disagree are one). In
    `n_second_questions` a judge was asked once more, as its reply could not be read.
    """

    standings: tuple[Standing, ...]
    n_games: int
    n_ties: int
    n_undecided: int
    n_second_questions: int


async def knock_out(
    judge: Judge, instruction: str, codes: Sequence[str], *, criteria: str = "", name: str = ""
) -> Ranking:
    """Best of n: n - 1 games, losers leave. `points` are games won; who stays longer ranks higher.

    On a tie or an undecided game the earlier program stays. `name` becomes the comparisons' id.
    Raises ValueError without programs.
    """
    if not codes:
        raise ValueError("a knock-out needs at least one program")
    alive = list(range(len(codes)))
    left_in: dict[int, int] = {}
    won: Counter[int] = Counter()
    played: Counter[int] = Counter()
    verdicts: list[Verdict] = []
    for number in itertools.count():
        if len(alive) == 1:
            break
        pairs = list(zip(alive[::2], alive[1::2], strict=False))
        games = [Comparison(instruction, codes[a], codes[b], criteria, name) for a, b in pairs]
        answers = await _play(judge, games)
        verdicts += answers
        for (first, second), verdict in zip(pairs, answers, strict=True):
            winner, loser = (second, first) if verdict.choice == "B" else (first, second)
            left_in[loser] = number
            won[winner] += 1
            played.update((first, second))
        alive = [index for index in alive if index not in left_in]
    left_in[alive[0]] = len(codes)
    order = sorted(left_in, key=lambda index: (-left_in[index], index))
    better = [sum(other > left_in[index] for other in left_in.values()) for index in order]
    standings = [
        Standing(index, float(won[index]), played[index], above + 1)
        for index, above in zip(order, better, strict=True)
    ]
    return _ranking(standings, verdicts)


async def round_robin(
    judge: Judge, instruction: str, codes: Sequence[str], *, criteria: str = "", name: str = ""
) -> Ranking:
    """Every two programs meet once: 1 point for a win, 1/2 each for a tie or an undecided game.

    Of equals the earlier one stands first. `name` becomes the comparisons' id. Raises ValueError
    without programs.
    """
    if not codes:
        raise ValueError("a tournament needs at least one program")
    pairs = list(itertools.combinations(range(len(codes)), 2))
    games = [Comparison(instruction, codes[a], codes[b], criteria, name) for a, b in pairs]
    verdicts = await _play(judge, games)
    points = [0.0] * len(codes)
    for (first, second), verdict in zip(pairs, verdicts, strict=True):
        share = {"A": 1.0, "B": 0.0}.get(verdict.choice, 0.5)
        points[first] += share
        points[second] += 1 - share
    order = sorted(range(len(codes)), key=lambda index: (-points[index], index))
    standings = [
        Standing(index, points[index], len(codes) - 1, 1 + sum(p > points[index] for p in points))
        for index in order
    ]
    return _ranking(standings, verdicts)


async def _play(judge: Judge, games: Sequence[Comparison]) -> list[Verdict]:
    """All games at once, each in both orders; the first error once all have ended."""
    both = in_both_orders(judge)
    return [found[0] for found in await gather_all(both.compare([game]) for game in games)]


def _ranking(standings: Sequence[Standing], verdicts: Sequence[Verdict]) -> Ranking:
    ended = Counter(verdict.choice for verdict in verdicts)
    n_second = sum(verdict.second is not None for verdict in verdicts)
    return Ranking(tuple(standings), len(verdicts), ended["tie"], ended["undecided"], n_second)
