"""Judges that understand nothing: what a real judge must beat."""

from __future__ import annotations

import random
from collections.abc import Sequence

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

    def __init__(self, *, ties: Choice = "tie") -> None:
        self.name = "shorter"
        self._ties: Choice = ties

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """A, B or tie; no probability."""
        return [_by_length(one, "A", "B", self._ties) for one in comparisons]


class LongerJudge:
    """The program of more characters; of equal lengths it says `ties` (the paper's rule: B)."""

    def __init__(self, *, ties: Choice = "tie") -> None:
        self.name = "longer"
        self._ties: Choice = ties

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """A, B or tie; no probability."""
        return [_by_length(one, "B", "A", self._ties) for one in comparisons]


def _by_length(comparison: Comparison, shorter_a: Choice, longer_a: Choice, tie: Choice) -> Verdict:
    difference = len(comparison.code_a) - len(comparison.code_b)
    if difference == 0:
        return Verdict(tie)
    return Verdict(shorter_a if difference < 0 else longer_a)
