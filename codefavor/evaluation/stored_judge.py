"""The stored verdicts of an earlier run as a judge, so that juries ask nobody again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codefavor.errors import BackendError
from codefavor.evaluation.metrics import CHOSEN_FIRST, REJECTED_FIRST, judged_pairs
from codefavor.records import Comparison, Row, Verdict


class StoredJudge:
    """Says what the stored rows of a run say about the same pair in the same order.

    `items` are the pairs that will be compared. A pair or order that the run did not judge is a
    BackendError, counted as such: a juror that failed is no abstention.
    """

    def __init__(self, name: str, records: Iterable[Row], items: Sequence[Row]) -> None:
        self.name = name
        self._pairs = {pair.id: pair for pair in judged_pairs(records)}
        self._chosen = {item["id"]: item["chosen"] for item in items}

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One stored verdict for each comparison."""
        return [self._look_up(comparison) for comparison in comparisons]

    def _look_up(self, comparison: Comparison) -> Verdict:
        is_chosen_first = comparison.code_a == self._chosen.get(comparison.id)
        order = CHOSEN_FIRST if is_chosen_first else REJECTED_FIRST
        pair = self._pairs.get(comparison.id)
        if pair is None or order not in pair.verdicts:
            raise BackendError(
                f"{self.name} has no stored verdict for {comparison.id} ({order})",
                retryable=False,
                reason="not_judged",
            )
        return pair.verdicts[order]
