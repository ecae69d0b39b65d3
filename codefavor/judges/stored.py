"""The stored verdicts of an earlier run as a judge, so that juries ask nobody again."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from codefavor.errors import BackendError, ConfigError
from codefavor.journal import read_journal
from codefavor.judges.options import Option
from codefavor.records import Comparison, Row, Verdict, content_id
from codefavor.result_file import read_result, rows_path
from codefavor.statistics.metrics import CHOSEN_FIRST, REJECTED_FIRST, judged_pairs


def open_stored(
    path: Annotated[
        Path, Option("The result file.", is_name=True, shown="RESULT.json", record="rows")
    ],
    items: Sequence[Row],
    name: str | None = None,
) -> StoredJudge:
    """The verdicts of an earlier run, looked up in its rows: nobody is asked."""
    label = name or str(read_result(path)["judge"]["name"])
    return StoredJudge(label, read_journal(rows_path(path)), items)


class StoredJudge:
    """Says what the stored rows of a run say about the same pair in the same order.

    `items` are the pairs that will be compared. A pair or order that the run did not judge is a
    BackendError, counted as such: a juror that failed is no abstention.
    """

    def __init__(self, name: str, records: Iterable[Row], items: Sequence[Row]) -> None:
        self.name = name
        self._pairs = {pair.id: pair for pair in judged_pairs(records)}
        self._chosen = {item["id"]: item["chosen"] for item in items}

    def score_of(self, item_id: str) -> float | None:
        """The score of a stored pair in [0, 1], None if it was not judged."""
        pair = self._pairs.get(item_id)
        return None if pair is None else pair.score

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
                reason="not_judged",
            )
        return pair.verdicts[order]


def held_out_weights(
    judges: Sequence[StoredJudge], items: Sequence[Row], *, n_folds: int = 10
) -> dict[str, list[float]]:
    """The weight of each judge for each item, learnt from pairs of other problems alone.

    Problems fall into `n_folds` parts by hash; in each, a judge weighs the log of its odds of
    being right on the other parts (never less than 0), which is the best weighting of judges
    that err independently (Nitzan and Paroush 1982). Raises ConfigError where no judge is
    better than chance on the other parts, or where there is only one problem.
    """
    folds = {
        item["id"]: int(content_id("fold", item["problem_id"])[:8], 16) % n_folds for item in items
    }
    weights_of: dict[int, list[float]] = {}
    for fold in set(folds.values()):
        others = [item_id for item_id, other in folds.items() if other != fold]
        weights = [_log_odds([judge.score_of(item_id) for item_id in others]) for judge in judges]
        if not any(weights):
            raise ConfigError(
                "--weights accuracy: no judge is right more often than wrong on the pairs that a "
                "weight may be learnt from; give weights, or leave them equal"
            )
        weights_of[fold] = weights
    return {item_id: weights_of[fold] for item_id, fold in folds.items()}


def _log_odds(scores: Sequence[float | None]) -> float:
    judged = [score for score in scores if score is not None]
    # One right and one wrong answer more, so that no judge weighs infinitely much.
    share = (math.fsum(judged) + 1) / (len(judged) + 2)
    return max(0.0, math.log(share / (1 - share)))
