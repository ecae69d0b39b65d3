"""Judges that understand nothing: what a real judge must beat."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from codefavor.records import Choice, Comparison, Verdict


class RandomJudge:
    """A fair coin for each comparison and order, drawn from the seed and the content."""

    def __init__(self, *, seed: int = 0) -> None:
        self.name = "random"
        self.seed = seed

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """A or B, the same for the same seed, id and codes."""
        return [self._draw(comparison) for comparison in comparisons]

    def _draw(self, comparison: Comparison) -> Verdict:
        key = (self.seed, comparison.id, comparison.code_a, comparison.code_b)
        return Verdict("A" if random.Random(repr(key)).random() < 0.5 else "B", 0.5)


class ShorterJudge:
    """The program of fewer characters; of equal lengths it says `ties` (the paper's rule: B)."""

    name = "shorter"
    _for_shorter_a: Choice = "A"

    def __init__(self, *, ties: Choice = "tie") -> None:
        self._ties: Choice = ties

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """A, B or tie; no probability."""
        return [self._by_length(one) for one in comparisons]

    def _by_length(self, comparison: Comparison) -> Verdict:
        difference = len(comparison.code_a) - len(comparison.code_b)
        verdict = Verdict(self._for_shorter_a)
        return (
            Verdict(self._ties) if not difference else verdict if difference < 0 else verdict.swap()
        )


class LongerJudge(ShorterJudge):
    """The program of more characters; of equal lengths it says `ties` (the paper's rule: B)."""

    name = "longer"
    _for_shorter_a = "B"


class CopiedJudge:
    """The side that is copied from the instruction more.

    One that stands there word by word comes first, then the one with more of its pairs of
    neighbouring words there; equal ones tie.
    """

    name = "copied"

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """A, B or tie; no probability."""
        choices: dict[int, Choice] = {1: "A", 0: "tie", -1: "B"}
        return [
            Verdict(choices[copied_sign(one.instruction, one.code_a, one.code_b)])
            for one in comparisons
        ]


def copied_sign(source: str, a: str, b: str) -> int:
    """+1 if `a` is copied from the source more than `b`, -1 if less, 0 if as much.

    A text that stands there word by word is copied most; then counts the share of its pairs of
    neighbouring words (of one word: of that word). Case and punctuation do not count.
    """
    ours, theirs = _copied(source, a), _copied(source, b)
    return (ours > theirs) - (ours < theirs)


def _copied(source: str, text: str) -> tuple[bool, float]:
    words = _words(text)
    is_there = bool(words) and f" {' '.join(words)} " in f" {' '.join(_words(source))} "
    pairs = list(pairwise(words)) or [(one, "") for one in words]
    known = _neighbours(source)
    return is_there, sum(one in known for one in pairs) / max(1, len(pairs))


@lru_cache(maxsize=1 << 14)
def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.lower()))


@lru_cache(maxsize=1 << 10)
def _neighbours(text: str) -> frozenset[tuple[str, str]]:
    words = _words(text)
    return frozenset([*pairwise(words), *((one, "") for one in words)])
