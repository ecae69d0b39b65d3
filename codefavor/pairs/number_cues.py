"""Numbers of two programs as judges that understand nothing: the smaller ones, those of the task.

An off-by-one error that mostly adds, or a number that is no longer the task's, gives itself away.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from codefavor.records import Preference

# A full stop behind a number ends a sentence, or not.
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?!\.?\w)")
_WORDS = re.findall(
    r"\w+", "zero one two three four five six seven eight nine ten eleven twelve"
)  # fmt: skip
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.I)


def number_signs(instruction: str, chosen: str, rejected: str) -> tuple[int, int]:
    """Whether the chosen program has the smaller numbers, and more of those in the instruction:
    +1, -1 where the rejected one has, 0 for neither."""
    right, wrong = (Counter(_NUMBER.findall(one)) for one in (chosen, rejected))
    ours, theirs = right - wrong, wrong - right
    if not ours and not theirs:
        return 0, 0
    named = {*_NUMBER.findall(instruction)}
    named |= {str(_WORDS.index(one.lower())) for one in _WORD.findall(instruction)}
    sizes = [sum(float(one) * n for one, n in side.items()) for side in (ours, theirs)]
    told = [sum(n for one, n in side.items() if one in named) for side in (ours, theirs)]
    return _sign(sizes[1] - sizes[0]), _sign(told[0] - told[1])


def number_accuracies(pairs: Sequence[Preference]) -> dict[str, float]:
    """What the two judges get right, in [0, 1]; a tie counts one half, as do no pairs at all."""
    signs = [number_signs(pair.instruction, pair.chosen, pair.rejected) for pair in pairs]
    names = ("smaller numbers", "numbers of the task")
    return {
        name: 0.5 + (sum(one[at] for one in signs) / (2 * len(signs)) if signs else 0.0)
        for at, name in enumerate(names)
    }


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
