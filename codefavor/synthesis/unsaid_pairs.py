"""Pairs of an answer and "The text does not say.", which is as often the false side as the true."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from codefavor.records import Preference, content_id
from codefavor.sources.answered import Answered
from codefavor.synthesis.answer_pair import NO_ANSWER, pair_of
from codefavor.synthesis.false_sides import another, is_negated, plain, stands_in_text
from codefavor.synthesis.nearness import nearness
from codefavor.synthesis.question_words import lacks_a_name, unsaid_odds

# From so many of its words on, a question is near to an answer.
_NEAR = 6
# So far apart two questions may be in the log-odds that their words, alone and with those of the
# answer, give to "it does not say". Nearer ones make such judges wrong more often than right.
_MOST_APART = 0.6


def unsaid_pairs(
    rows: Sequence[Answered],
    answers: Sequence[str],
    levels: Collection[str],
    reasons: Counter[str],
    seed: int,
) -> list[Preference]:
    """Pairs whose true side is that the text does not say, and as many whose false side is that.

    Without the second ones "it does not say" would always be right. The question there is negated
    if the one here is and lacks a name in its text if that does, its words tell as much to who
    sees no text, and the known answer is as long as the tempting one here and as near to the
    question's words, so that none of these tells anything.
    """
    # Data sets that write "it does not say" as an answer have no known one there.
    nothing = plain(NO_ANSWER)
    free = [
        row
        for row in rows
        if row.answers and plain(row.answers[0]) != nothing and stands_in_text(row)
    ]
    random.Random(content_id(seed, "no answer")).shuffle(free)
    pairs: list[Preference] = []
    for level in ("medium", "easy"):
        unsaid: list[tuple[Answered, str]] = []
        for row in rows:
            if row.answers or level not in levels or bool(row.plausible) != (level == "medium"):
                continue
            draw = random.Random(content_id(seed, row.id))
            false = row.plausible[0] if row.plausible else another(row, "", answers, draw)
            if false is None or plain(false) == nothing:
                reasons["unanswerable: no answer of another question to set against it"] += 1
            else:
                unsaid.append((row, false))
        twins = _twins(unsaid, free, level)
        for (row, false), twin in zip(unsaid, twins, strict=True):
            if twin is None:
                reasons["unanswerable: no question with an answer that is like it"] += 1
                continue
            kind = "tempting answer" if row.plausible else "other_answer"
            pairs.append(pair_of(row, NO_ANSWER, false, level, kind))
            pairs.append(pair_of(twin, twin.answers[0], NO_ANSWER, level, "no answer"))
        taken = {twin.id for twin in twins if twin is not None}
        free = [row for row in free if row.id not in taken]
    return pairs


def _twins(
    unsaid: Sequence[tuple[Answered, str]], answered: Sequence[Answered], level: str
) -> list[Answered | None]:
    """For each unanswered question and the answer shown there an answered one that is like it,
    each at most once; None where there is none."""
    both = [*unsaid, *((row, row.answers[0]) for row in answered)]
    n = len(unsaid)
    labels = [at < n for at in range(len(both))]
    texts = [row.context for row, _ in both]
    odds = np.stack(
        [
            unsaid_odds([row.question for row, _ in both], labels, texts),
            unsaid_odds([f"{row.question} {shown}" for row, shown in both], labels, texts),
        ],
        axis=1,
    )
    waiting: dict[tuple[object, ...], list[int]] = {}
    for at, (row, shown) in enumerate(both[n:], start=n):
        waiting.setdefault(_cues(row, shown, level), []).append(at)
    found: list[Answered | None] = []
    for own, (row, shown) in enumerate(unsaid):
        fitting = waiting.get(_cues(row, shown, level), [])
        apart = {at: np.abs(odds[at] - odds[own]) for at in fitting}
        near = [at for at in fitting if apart[at].max() <= _MOST_APART]
        if not near:
            found.append(None)
            continue
        twin = min(near, key=lambda at: (apart[at].sum(), abs(len(both[at][1]) - len(shown))))
        fitting.remove(twin)
        found.append(both[twin][0])
    return found


def _cues(row: Answered, shown: str, level: str) -> tuple[object, ...]:
    """What shows without understanding of a question and the answer beside "it does not say"."""
    # An answer of another question stands nowhere near: that is what makes that level easy.
    near = "" if level == "easy" else min(nearness(row.context, row.question, shown), _NEAR)
    is_named = lacks_a_name(row.question, row.context)
    return is_negated(row.question), is_named, near, _side(len(shown))


def _side(length: int) -> int:
    return (length > len(NO_ANSWER)) - (length < len(NO_ANSWER))
