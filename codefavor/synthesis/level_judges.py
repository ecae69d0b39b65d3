"""What judges that understand nothing get right on levelled pairs, and whether a level is held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from codefavor.judges.baselines import copied_sign
from codefavor.pairs.balance import length_sign
from codefavor.records import Preference
from codefavor.sources.answered import Answered
from codefavor.statistics.intervals import Interval, wilson_interval
from codefavor.synthesis.answer_pair import NO_ANSWER
from codefavor.synthesis.false_sides import is_negated
from codefavor.synthesis.nearness import nearer_signs
from codefavor.synthesis.question_words import unsaid_odds

# Levels on which such judges must be near chance, and how near.
HELD = frozenset({"medium", "hard"})
_MOST_OFF = 0.03


class Share(NamedTuple):
    """What a judge gets right; a tie counts half."""

    judge: str
    n: int
    right: Interval

    @property
    def is_off(self) -> bool:
        """Whether it is more than 3 points off chance, and that is not by chance."""
        is_by_chance = self.right.low <= 0.5 <= self.right.high
        return abs(self.right.mean - 0.5) > _MOST_OFF and not is_by_chance

    def __str__(self) -> str:
        right = self.right
        return (
            f"{self.judge!r} in {right.mean:.1%} ({right.low * 100:.1f} to {right.high * 100:.1f})"
        )


def shares_of(pairs: Sequence[Preference], rows: Sequence[Answered]) -> list[Share]:
    """The judges on pairs of one level and kind."""
    nearer = nearer_signs(pairs, rows)
    signs: dict[str, Mapping[str, int]] = {
        "shorter": {one.id: length_sign(one) for one in pairs},
        "copied": {one.id: copied_sign(one.instruction, one.chosen, one.rejected) for one in pairs},
        "nearby": {one: near for one, (near, _) in nearer.items()},
        "in its sentence": {one: within for one, (_, within) in nearer.items()},
    }
    return [_share(name, pairs, own) for name, own in signs.items()]


def unsaid_shares(pairs: Sequence[Preference], rows: Sequence[Answered]) -> list[Share]:
    """The same of judges that say from the question, or the question and the answer beside it,
    whether the text answers it; of the classifiers, nothing where there are too few pairs."""
    shown = [one for one in pairs if is_unsaid(one)]
    by_id = {row.id: row for row in rows}
    texts = [by_id[one.problem_id].context for one in shown]
    labels = [one.chosen == NO_ANSWER for one in shown]

    def learnt(words: Callable[[Preference], str]) -> dict[str, int]:
        odds = unsaid_odds([words(one) for one in shown], labels, texts) if shown else ()
        return {
            one.id: (1 if (value > 0) == label else -1)
            for one, label, value in zip(shown, labels, odds, strict=True)
            if value
        }

    found = {
        "it does not say what a negated question asks": {
            one.id: 1 if is_negated(one.meta["question"]) == (one.chosen == NO_ANSWER) else -1
            for one in shown
        },
        "question words": learnt(lambda one: str(one.meta["question"])),
        "question and answer words": learnt(
            lambda one: f"{one.meta['question']} {_answer_of(one)}",
        ),
    }
    return [_share(name, shown, signs) for name, signs in found.items() if signs]


def is_unsaid(pair: Preference) -> bool:
    """Whether a pair sets an answer against "The text does not say."."""
    return NO_ANSWER in (pair.chosen, pair.rejected)


def _answer_of(pair: Preference) -> str:
    return pair.rejected if pair.chosen == NO_ANSWER else pair.chosen


def _share(name: str, pairs: Sequence[Preference], signs: Mapping[str, int]) -> Share:
    n = len(pairs)
    right = 0.5 + sum(signs.get(one.id, 0) for one in pairs) / (2 * n) if n else 0.5
    return Share(name, n, wilson_interval(right, max(n, 1)))
