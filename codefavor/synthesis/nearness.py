"""How near an answer stands to its question's words in the text: judges that understand nothing.

Who takes the nearer side is right wherever false sides are drawn from anywhere in a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from codefavor.records import Preference
from codefavor.sources.answered import Answered
from codefavor.synthesis.false_sides import sentences_of

_WINDOW = 12
_NOT_TELLING = frozenset(
    re.findall(
        r"\w+",
        "the a an of in on at to for and or is was were are did does do what which who when where "
        "how many much by with from that it its as be",
    )
)


def nearness(context: str, question: str, answer: str) -> int:
    """The most of a question's telling words within 12 words of where an answer stands in the
    text; 0 where it does not stand there."""
    asked = frozenset(_words(question)) - _NOT_TELLING
    text, sought = _words(context), _words(answer)
    n = len(sought)
    return max(
        (
            len(asked & {*text[max(0, at - _WINDOW) : at + n + _WINDOW]})
            for at in range(len(text) - n + 1)
            if text[at : at + n] == sought
        ),
        default=0,
    )


def in_sentence(context: str, question: str, answer: str) -> int:
    """The most of a question's telling words, by their first five letters, that stand in one
    sentence of the text with the answer; 0 where it does not stand there."""
    asked = {one[:5] for one in _words(question) if one not in _NOT_TELLING}
    return max(
        (
            len(asked & {one[:5] for one in _words(sentence)})
            for sentence in sentences_of(context)
            if answer in sentence
        ),
        default=0,
    )


def nearer_sign(context: str, question: str, a: str, b: str) -> int:
    """+1 if `a` stands nearer to the question's words than `b`, -1 if less near, 0 if as near."""
    return _sign(nearness, context, question, a, b)


def _sign(measure: Callable[[str, str, str], int], context: str, question: str, *ab: str) -> int:
    ours, theirs = (measure(context, question, one) for one in ab)
    return (ours > theirs) - (ours < theirs)


def nearer_signs(
    pairs: Iterable[Preference], rows: Iterable[Answered]
) -> dict[str, tuple[int, int]]:
    """By pair, +1 where the true side stands nearer to its question's words, -1 the false one; and
    the same of the words in its sentence.

    Of a pair of sentences (hard) what counts is the answer in one and what the other has for it.
    """
    by_id = {row.id: row for row in rows}
    found = {}
    for one in pairs:
        row = by_id[one.problem_id]
        sides = one.meta.get("parts", (one.chosen, one.rejected))
        near, within = (
            _sign(measure, row.context, row.question, *sides) for measure in (nearness, in_sentence)
        )
        found[one.id] = near, within
    return found


@lru_cache(maxsize=1 << 14)
def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.lower()))
