"""Numbers of two programs as judges that understand nothing: the smaller ones, those of the task.

An off-by-one error that mostly adds, or a number that is no longer the task's, gives itself away.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from codefavor.pairs.balance import balance_by_length, length_sign
from codefavor.records import Preference

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_WORDS = re.findall(
    r"\w+", "zero one two three four five six seven eight nine ten eleven twelve"
)  # fmt: skip
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b", re.I)


def number_signs(pair: Preference) -> tuple[int, int]:
    """Whether the chosen program has the smaller numbers, and more of those in the instruction:
    +1, -1 where the rejected one has, 0 for neither."""
    chosen, rejected = (Counter(_NUMBER.findall(one)) for one in (pair.chosen, pair.rejected))
    named = {*_NUMBER.findall(pair.instruction)}
    named |= {str(_WORDS.index(one.lower())) for one in _WORD.findall(pair.instruction)}
    ours, theirs = chosen - rejected, rejected - chosen
    sizes = [sum(float(one) * n for one, n in side.items()) for side in (ours, theirs)]
    told = [sum(n for one, n in side.items() if one in named) for side in (ours, theirs)]
    return _sign(sizes[1] - sizes[0]), _sign(told[0] - told[1])


def number_accuracies(pairs: Sequence[Preference]) -> dict[str, float]:
    """What the two judges get right, in [0, 1]; a tie counts one half, as do no pairs at all."""
    signs = [number_signs(pair) for pair in pairs]
    names = ("smaller numbers", "numbers of the task")
    return {
        name: 0.5 + (sum(one[at] for one in signs) / (2 * len(signs)) if signs else 0.0)
        for at, name in enumerate(names)
    }


def balance_by_numbers(pairs: Sequence[Preference], *, seed: int = 0) -> list[Preference]:
    """The pairs of each level, as many with either sign of both judges, lengths still balanced.

    Of pairs whose signs mirror each other, in numbers and in length, as many are kept as of the
    rarest.
    """
    groups: dict[tuple[str, int, int, int], list[Preference]] = {}
    for pair in sorted(pairs, key=lambda pair: pair.id):
        groups.setdefault((pair.level, length_sign(pair), *number_signs(pair)), []).append(pair)
    kept: list[Preference] = []
    silent: list[Preference] = []
    for (level, length, size, told), own in groups.items():
        if size == told == 0:
            silent += own
            continue
        mirrored = (
            groups.get((level, turn * length, flip * size, flip * told), ())
            for turn in (1, -1)
            for flip in (1, -1)
        )
        kept += own[: min(map(len, mirrored))]
    # Those of which the two say nothing were balanced in length together with the others.
    return kept + balance_by_length(
        silent, per_problem=len(silent), group_of=lambda pair: pair.level, seed=seed
    )


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
