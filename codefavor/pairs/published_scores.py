"""What a published pair says of itself: the scores of its two sides, a margin, a tie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from codefavor.errors import Rejected
from codefavor.pairs.published_turns import score_of
from codefavor.pairs.watched_row import WatchedRow

# Columns of a score, higher is better, that one answer has and the other has as well; and those of
# the difference of both.
_SCORE = re.compile(r"((rm|avg|mean|overall|reward)[-_ ]?)?(score|rating|reward)s?", re.IGNORECASE)
# What says the same where a row has no such score: shares of tests, votes.
_MEASURE = re.compile(
    r"(n[-_ ])?(pass[-_ ]?rate|pass(ed)?|tests[-_ ]passed|accuracy|correctness|helpfulness|quality"
    r"|grade|(up)?votes?|win[-_ ]?rate|elo)",
    re.IGNORECASE,
)
_MARGINS = ("margin", "score_margin", "reward_margin")


def given_scores(row: WatchedRow) -> tuple[float, float] | None:
    """The scores of both sides of a pair, None where it has none.

    Raises Rejected for a pair that its own scores (or Argilla's status) call a tie, and for one
    that they turn round.
    """
    if row.get("status") == "tie":
        raise Rejected("equal_scores", "the row says that it is a tie")
    for name in _MARGINS:
        margin = score_of(row.get(name))
        if margin is not None and margin <= 0:
            raise Rejected("equal_scores" if margin == 0 else "scores_contradict", name)
    for names in score_columns(row):
        good, bad = (score_of(row.get(name)) for name in names)
        if good is None or bad is None:
            continue
        if good <= bad:
            raise Rejected("equal_scores" if good == bad else "scores_contradict", str(names))
        return good, bad
    return None


def score_columns(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns of a chosen answer's score that the rejected one has as well.

    A score counts before a measure: what is best in all may be worse in one thing.
    """
    both = [(name, name.replace("chosen", "rejected")) for name in row if "chosen" in name]
    for kind in (_SCORE, _MEASURE):
        found = [
            names
            for names in both
            if names[1] in row and kind.fullmatch(names[0].replace("chosen", "").strip("-_ "))
        ]
        if found:
            return found
    return []
