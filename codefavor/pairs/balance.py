"""Choose pairs so that what can be seen without understanding does not give the label away.

"The shorter program wins" must be worth nothing: within each group the chosen side is longer
as often as it is shorter. Equal lengths are neutral. The same of any other cue that has a sign.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from codefavor.records import Preference, content_id


class Cues(NamedTuple):
    """What shows of a pair: the signs of its cues (+1 the chosen side, -1 the rejected one, 0
    neither), which are set against those of other pairs of its group alone."""

    group: Hashable
    signs: tuple[int, ...]

    @property
    def mirrored(self) -> Cues:
        """Those of a pair of which the cues say the opposite."""
        return Cues(self.group, tuple(-one for one in self.signs))


def length_sign(pair: Preference) -> int:
    """+1 if the rejected program is longer in characters, -1 if shorter, 0 if equal."""
    difference = len(pair.rejected) - len(pair.chosen)
    return (difference > 0) - (difference < 0)


def shorter_accuracy(pairs: Sequence[Preference]) -> float:
    """Share in [0, 1] that "the shorter one is better" gets right; a tie counts one half.

    0.5 for no pairs at all.
    """
    if not pairs:
        return 0.5
    return 0.5 + sum(length_sign(pair) for pair in pairs) / (2 * len(pairs))


def balance_by_length(
    pairs: Sequence[Preference],
    *,
    per_problem: int,
    group_of: Callable[[Preference], str],
    seed: int = 0,
) -> list[Preference]:
    """At most `per_problem` pairs a problem and group, lengths balanced within each group.

    Problems that offer only one sign are served first; the others then even the sum out. Where
    a group cannot be balanced, the surplus is dropped until its sum is at most 1. A pure function
    of the pairs, whatever their order, and the seed.
    """
    groups: dict[str, list[Preference]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.id):
        groups.setdefault(group_of(pair), []).append(pair)
    chosen: list[Preference] = []
    for name in sorted(groups):
        chosen += _balance_group(groups[name], per_problem, random.Random(content_id(seed, name)))
    return chosen


def balance_by_signs(
    pairs: Sequence[Preference], cues_of: Callable[[Preference], Cues], *, seed: int = 0
) -> list[Preference]:
    """The pairs, as many of each combination of signs as of the opposite one in their group, drawn
    by the seed: whoever follows one of the signs, or some, is right as often as not."""
    groups = by_cues(pairs, cues_of, seed)
    kept: set[str] = set()
    for cues, own in groups.items():
        kept |= {pair.id for pair in own[: len(groups.get(cues.mirrored, ()))]}
    return [pair for pair in pairs if pair.id in kept]


def by_cues(
    pairs: Sequence[Preference], cues_of: Callable[[Preference], Cues], seed: int | str
) -> dict[Cues, list[Preference]]:
    """The pairs of each combination of signs in each group, in an order by the seed."""
    groups: dict[Cues, list[Preference]] = {}
    for pair in sorted(pairs, key=lambda pair: content_id(seed, pair.id)):
        groups.setdefault(cues_of(pair), []).append(pair)
    return groups


def first_of_each(
    pairs: Sequence[Preference],
    *,
    per_problem: int,
    group_of: Callable[[Preference], str],
    seed: int = 0,
) -> list[Preference]:
    """At most `per_problem` pairs a problem and group, drawn by the seed, of any lengths."""
    counts: Counter[tuple[str, str]] = Counter()
    kept = []
    for pair in sorted(pairs, key=lambda pair: content_id(seed, pair.id)):
        place = (pair.problem_id or pair.id, group_of(pair))
        counts[place] += 1
        if counts[place] <= per_problem:
            kept.append(pair)
    return kept


def _balance_group(
    pairs: Sequence[Preference], per_problem: int, rng: random.Random
) -> list[Preference]:
    pools: dict[str, dict[int, list[Preference]]] = {}
    for pair in pairs:
        pool = pools.setdefault(pair.problem_id or pair.id, {-1: [], 0: [], 1: []})
        pool[length_sign(pair)].append(pair)
    for pool in pools.values():
        for same_sign in pool.values():
            rng.shuffle(same_sign)
    order = sorted(pools)
    rng.shuffle(order)
    order.sort(key=lambda problem: sum(bool(pools[problem][sign]) for sign in (-1, 1)))
    chosen: list[Preference] = []
    balance = 0
    for _ in range(per_problem):
        for problem in order:
            taken = _take(pools[problem], balance)
            if taken is not None:
                balance += length_sign(taken)
                chosen.append(taken)
    return _without_surplus(chosen, balance)


def _take(pool: dict[int, list[Preference]], balance: int) -> Preference | None:
    wanted = [-1, 0, 1] if balance > 0 else [1, 0, -1] if balance < 0 else [0, 1, -1]
    for sign in wanted:
        if pool[sign]:
            return pool[sign].pop()
    return None


def _without_surplus(chosen: list[Preference], balance: int) -> list[Preference]:
    kept: list[Preference] = []
    for pair in reversed(chosen):
        sign = length_sign(pair)
        if abs(balance) > 1 and sign == (balance > 0) - (balance < 0):
            balance -= sign
        else:
            kept.append(pair)
    return kept[::-1]
