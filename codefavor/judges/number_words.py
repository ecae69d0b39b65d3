"""English number words as digits.

Not by word2number, which reads one number in a text and adds up what stands beside it ("one two"
is 3, "nineteen eighty-four" 1524).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

_UNITS = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen",
)
TENS = re.findall(r"\w+", "twenty thirty forty fifty sixty seventy eighty ninety")
_WORDS = {word: number for number, word in enumerate(_UNITS)} | {
    word: number for number, word in zip(range(20, 100, 10), TENS, strict=True)
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
NUMBER_WORDS = (*_WORDS, *_SCALES, "hundred")
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
# "No one", "one another", "one or the other" count nothing.
_BEFORE_PRONOUN = frozenset(re.findall(r"\w+", "no any every some each another"))
_BEHIND_PRONOUN = frozenset({"another", "or"})


def with_digits(words: Sequence[str]) -> list[str]:
    """The words, each number in words, or in digits and words ("5 million"), as one in digits."""
    found: list[str] = []
    at = 0
    while at < len(words):
        number, after = _number(words, at)
        found.append(words[at] if number is None else format(number.normalize(), "f"))
        at = max(after, at + 1)
    return found


def _number(words: Sequence[str], at: int) -> tuple[Decimal | None, int]:
    """The longest number that begins at a word, and the place behind it; None if none does."""
    if words[at] == "one" and (
        (at and words[at - 1] in _BEFORE_PRONOUN) or _word(words, at + 1) in _BEHIND_PRONOUN
    ):
        return None, at
    century, after = _below_hundred(words, at)
    if century is not None and 13 <= century <= 20 and after == at + 1:
        # "Nineteen ninety-nine", "nineteen oh five".
        rest, end = _below_hundred(words, after + (_word(words, after) == "oh"))
        if rest is not None and (rest > 9) == (_word(words, after) != "oh"):
            return Decimal(100 * century + rest), end
    if _DIGITS.fullmatch(words[at]):
        scale = (_SCALES | {"hundred": 100}).get(_word(words, at + 1))
        return (None, at) if scale is None else (Decimal(words[at]) * scale, at + 2)
    total, last = Decimal(0), 10**15
    found: Decimal | None = None
    while True:
        # "two thousand and five": not behind a number without hundred or thousand.
        start = at + (found is not None and _word(words, at) == "and")
        part, after = _below_thousand(words, start)
        if part is None:
            return found, at
        scale = _SCALES.get(_word(words, after), 1)
        if scale >= last:
            return found, at
        total += part * scale
        found, last, at = total, scale, after + (scale > 1)
        if scale == 1:
            return found, at


def _below_thousand(words: Sequence[str], at: int) -> tuple[int | None, int]:
    number, after = _below_hundred(words, at)
    if number is None or _word(words, after) != "hundred":
        return number, after
    hundreds, at = number * 100, after + 1
    rest, after = _below_hundred(words, at + (_word(words, at) == "and"))
    return (hundreds, at) if rest is None else (hundreds + rest, after)


def _below_hundred(words: Sequence[str], at: int) -> tuple[int | None, int]:
    number = _WORDS.get(_word(words, at))
    if number is None:
        return None, at
    unit = _WORDS.get(_word(words, at + 1), 0) if number >= 20 else 0
    return (number + unit, at + 2) if 0 < unit < 10 else (number, at + 1)


def _word(words: Sequence[str], at: int) -> str:
    return words[at] if at < len(words) else ""
