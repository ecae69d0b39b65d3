"""Choose pairs of one edit each so that which tokens go and come does not give the label away.

Of two opposite edits one is commoner in programs made wrong, and a judge that counts tokens learns
it. So each pair that is kept stands for two of opposite edits, and a coin chose between them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from math import log
from typing import NamedTuple

from codefavor.pairs.balance import Cues, by_cues, length_sign
from codefavor.pairs.code_tokens import tokens_of
from codefavor.pairs.edit_cues import changed_tokens, edit_cues
from codefavor.pairs.number_cues import number_signs
from codefavor.pairs.split import split_of
from codefavor.records import Preference, content_id

_N_DRAWS = 40
# The longest run of tokens that a judge looks at.
_LONGEST = 3
# How far from even lengths and numbers may be, as a share of the pairs, before no coin is tossed.
_SLACK = 0.05


def draw_of_opposites(
    pairs: Sequence[Preference], *, per_problem: int, seed: int = 0
) -> list[Preference]:
    """One of each two pairs with opposite edits, at most `per_problem` of a problem and level.

    Of several such draws, for each level the one of which `token_judge` makes least.
    """
    edits = {pair.id: _edit(pair) for pair in pairs}
    sizes = {pair.id: _sizes(pair) for pair in pairs}
    sides = {pair.id: _sides(pair) for pair in pairs}
    kept: list[Preference] = []
    for level in sorted({pair.level for pair in pairs}):
        own = [pair for pair in pairs if pair.level == level]
        draws = [
            _Draw(edits, sizes, per_problem, content_id(seed, level, n)).of(own)
            for n in range(_N_DRAWS)
        ]
        kept += min(draws, key=lambda draw: abs(_judged([sides[one.id] for one in draw]) - 0.5))
    return kept


class _Draw:
    """What one draw has kept so far."""

    def __init__(
        self, edits: dict[str, Cues], sizes: dict[str, Cues], per_problem: int, seed: str
    ) -> None:
        self.edits, self.sizes, self.per_problem, self.seed = edits, sizes, per_problem, seed
        self.rng = random.Random(seed)
        self.kept: list[Preference] = []
        self.n_of: Counter[Hashable] = Counter()
        self.sums: dict[Hashable, Counter[int]] = {one.group: Counter() for one in sizes.values()}
        self.used: dict[str, set[str]] = {}

    def of(self, pairs: Sequence[Preference]) -> list[Preference]:
        """The pairs of the draw.

        The one of two that was not drawn gives its problem's place to no other pair of these
        tokens: what is learned from some pairs tells nothing of the others. If it stayed, it would
        be wrong of the other one: worth as much, to who turns it round.
        """
        groups = by_cues(pairs, lambda pair: self.edits[pair.id], self.seed)
        # The rarest first: a problem that has one of them has most often a common one too.
        for edit in sorted(groups, key=lambda edit: len(groups[edit])):
            if edit.signs >= edit.mirrored.signs or edit.mirrored not in groups:
                continue
            changed = changed_tokens(edit)
            sides = iter(groups[edit]), iter(groups[edit.mirrored])
            while (one := self.free(sides[0], changed)) and (other := self.free(sides[1], changed)):
                self.keep(min(self.rng.sample((one, other), 2), key=self.unevenness))
                for either in (one, other):
                    self.used.setdefault(either.problem_id, set()).update(changed)
        return self.kept

    def free(self, side: Iterator[Preference], changed: frozenset[str]) -> Preference | None:
        """The next pair whose problem may still give one of these tokens."""
        return next(
            (
                one
                for one in side
                if self.n_of[one.problem_id] < self.per_problem
                and not changed & self.used.get(one.problem_id, set())
            ),
            None,
        )

    def unevenness(self, pair: Preference) -> int:
        """By how much the sums of signs, where they are too far off, would grow."""
        group, signs = self.sizes[pair.id]
        sums, most = self.sums[group], max(1, _SLACK * self.n_of[group])
        return sum(sign * sums[at] for at, sign in enumerate(signs) if abs(sums[at]) > most)

    def keep(self, pair: Preference) -> None:
        group, signs = self.sizes[pair.id]
        self.kept.append(pair)
        self.n_of.update([pair.problem_id, group])
        self.sums[group].update(dict(enumerate(signs)))


def token_judge(pairs: Sequence[Preference]) -> float:
    """What naive Bayes makes of what only one side has, by the pairs of the other problems: its
    accuracy in [0, 1]; a tie counts one half, as do no pairs at all.

    Of three judges, of tokens and of runs of up to two and three, the one farthest from chance.
    """
    return _judged([_sides(pair) for pair in pairs])


class _Sides(NamedTuple):
    """By the length of runs, what the true and the false side alone have."""

    problem: str
    alone: list[tuple[Counter[str], Counter[str]]]


def _sides(pair: Preference) -> _Sides:
    true, false = (tokens_of(code) for code in (pair.chosen, pair.rejected))
    alone = []
    for longest in range(1, _LONGEST + 1):
        ours, theirs = _runs(true, longest), _runs(false, longest)
        alone.append((ours - theirs, theirs - ours))
    return _Sides(pair.problem_id, alone)


def _runs(tokens: list[str], longest: int) -> Counter[str]:
    return Counter(
        " ".join(tokens[at : at + n])
        for n in range(1, longest + 1)
        for at in range(len(tokens) - n + 1)
    )


def _judged(sides: Sequence[_Sides]) -> float:
    found = [_accuracy([(one.problem, *one.alone[n]) for one in sides]) for n in range(_LONGEST)]
    return max(found, key=lambda one: abs(one - 0.5))


def _accuracy(sides: Sequence[tuple[str, Counter[str], Counter[str]]]) -> float:
    true, false = Counter[str](), Counter[str]()
    own: dict[str, tuple[Counter[str], Counter[str]]] = {}
    for problem, ours, theirs in sides:
        own_true, own_false = own.setdefault(problem, (Counter(), Counter()))
        for counts, side in ((true, ours), (false, theirs), (own_true, ours), (own_false, theirs)):
            counts.update(side)
    right = 0.0
    for problem, ours, theirs in sides:
        own_true, own_false = own[problem]
        odds = sum(
            sign * n * log((true[one] - own_true[one] + 1) / (false[one] - own_false[one] + 1))
            for sign, side in ((1, ours), (-1, theirs))
            for one, n in side.items()
        )
        right += 0.5 + ((odds > 1e-9) - (odds < -1e-9)) / 2
    return right / len(sides) if sides else 0.5


def _edit(pair: Preference) -> Cues:
    return edit_cues(pair.instruction, pair.chosen, pair.rejected)


def _sizes(pair: Preference) -> Cues:
    numbers = number_signs(pair.instruction, pair.chosen, pair.rejected)
    return Cues((split_of(pair.problem_id), pair.level), (length_sign(pair), *numbers))
