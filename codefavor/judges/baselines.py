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
