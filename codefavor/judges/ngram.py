"""What style alone gives away: a character n-gram classifier that never sees the instruction."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from codefavor.errors import ConfigError, DataError
from codefavor.judges.base import raise_errors, verdict_by_scores
from codefavor.pairs.style_features import (
    Floats,
    character_ngrams,
    differences,
    fit_direction,
    require_scikit_learn,
)
from codefavor.records import Comparison, Row, Verdict

# Fewer pairs than this teach a model of their own nothing.
_OWN_MODEL_PAIRS = 50


class NgramJudge:
    """Logistic regression on character 1- to 4-grams, cross-validated by problem, a model a level.

    `items` are labelled pairs (input rows of the pairs benchmark). Each pair is judged by a
    model that was fitted on the other folds, and all pairs of one problem are in one fold. A
    level of 50 pairs or more has models of its own, since the authors of two levels can have
    opposite habits. It is supervised on the benchmark itself: a measure of how much style leaks
    the label, not a judge to use.
    """

    def __init__(self, items: Sequence[Row], *, n_folds: int = 10, seed: int = 0) -> None:
        require_scikit_learn()
        self.name = f"n-gram ({n_folds}-fold)"
        self._items = {item["id"]: item for item in items}
        self._fold_of = _folds(items, n_folds, seed)
        sizes = Counter(item.get("level", "") for item in items)
        self._own = {level for level, size in sizes.items() if size >= _OWN_MODEL_PAIRS}
        self._weights: dict[tuple[str, int], Floats] = {}
        self._rows: dict[str, int] = {}
        self._features: Any = None

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison, whose id must be that of an item."""
        return [self._compare_one(comparison) for comparison in comparisons]

    def _compare_one(self, comparison: Comparison) -> Verdict:
        if comparison.id not in self._fold_of:
            raise DataError(f"the n-gram baseline was not given the pair {comparison.id!r}")
        level = self._items[comparison.id].get("level", "")
        group = level if level in self._own else ""
        weights = self._fitted(group, self._fold_of[comparison.id])
        difference = self._differences([comparison.code_a], [comparison.code_b])
        margin = float((difference @ weights)[0])
        return raise_errors(verdict_by_scores(margin, 0.0))

    def _fitted(self, group: str, fold: int) -> Floats:
        """The classifier of the level's (or all) pairs outside the fold."""
        key = (group, fold)
        if key not in self._weights:
            seen = [
                item
                for item in self._items.values()
                if group in ("", item.get("level", "")) and self._fold_of[item["id"]] != fold
            ]
            chosen = [item["chosen"] for item in seen]
            rejected = [item["rejected"] for item in seen]
            self._weights[key] = fit_direction(self._differences(chosen, rejected))
        return self._weights[key]

    def _differences(self, first: Sequence[str], second: Sequence[str]) -> Any:
        """The features of each first text minus those of each second one. A text is counted once,
        however many pairs and folds it is in: RM-Bench pairs each answer with three others."""
        if self._features is None:
            items = self._items.values()
            texts = dict.fromkeys(one[side] for one in items for side in ("chosen", "rejected"))
            self._rows = {text: row for row, text in enumerate(texts)}
            self._features = character_ngrams(list(texts))
        if any(text not in self._rows for text in (*first, *second)):
            return differences(first, second, character_ngrams)
        one, other = ([self._rows[text] for text in texts] for texts in (first, second))
        return self._features[one] - self._features[other]


def _folds(items: Sequence[Row], n_folds: int, seed: int) -> Mapping[str, int]:
    """The fold of each item by id; problems are dealt out in a seeded order."""
    problems = sorted({item["problem_id"] for item in items})
    if n_folds < 2 or len(problems) < n_folds:
        raise ConfigError(
            f"{n_folds} folds need at least two folds and as many problems; found {len(problems)}"
        )
    random.Random(seed).shuffle(problems)
    fold_of_problem = {problem: index % n_folds for index, problem in enumerate(problems)}
    return {item["id"]: fold_of_problem[item["problem_id"]] for item in items}
