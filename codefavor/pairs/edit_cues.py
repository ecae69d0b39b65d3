"""What an edit shows of itself: which tokens go, which come, and between which others.

Of two opposite edits one is commoner in programs made wrong: `<` becomes `<=` more often than the
other way, since right programs have more of the one. Who counts tokens learns that.
"""

from __future__ import annotations

import sys
from collections import Counter
from difflib import SequenceMatcher
from typing import cast

from codefavor.pairs.balance import Cues
from codefavor.pairs.code_tokens import COMMON, tokens_of
from codefavor.pairs.number_cues import number_signs

_KNOWN = COMMON | sys.stdlib_module_names
# Beyond the ends of a program, its own names, its texts, and numbers above 2 beside an edit.
_END, _OWN, _NUMBER, _TEXT = "", "_", "9", "'"
# Tokens that stand in another order are one place: which of them went is not to be seen.
_SHORT = 8

# Places that differ, each with the token before and behind it.
Places = tuple[tuple[str, ...], ...]


def edit_cues(instruction: str, chosen: str, rejected: str) -> Cues:
    """The edit between both sides, whichever way; and as signs which way it goes, and whether the
    chosen side has more of the numbers in the instruction.

    A program's own names are all one: of two, the way is by the alphabet.
    """
    ours, theirs = _places(tokens_of(chosen), tokens_of(rejected))
    sides = [tuple(map(_general, side)) for side in (ours, theirs)]
    way = _order(*sides) or _order(ours, theirs)
    _, told = number_signs(instruction, chosen, rejected)
    return Cues(tuple(sorted(sides)), (way, told))


def changed_tokens(cues: Cues) -> frozenset[str]:
    """What goes or comes in an edit; all of it where the same tokens stand in another order."""
    sides = cast("tuple[Places, Places]", cues.group)
    ours, theirs = (Counter(token for one in side for token in one) for side in sides)
    return frozenset((ours - theirs) + (theirs - ours)) or frozenset(ours)


def _order(ours: tuple[object, ...], theirs: tuple[object, ...]) -> int:
    return (ours < theirs) - (ours > theirs)


def _places(ours: list[str], theirs: list[str]) -> tuple[Places, Places]:
    """What differs, on both sides."""
    first = _n_equal(ours, theirs)
    last = _n_equal(ours[first:][::-1], theirs[first:][::-1])
    gone, come = ours[first : len(ours) - last], theirs[first : len(theirs) - last]
    found = [(slice(first, first + len(gone) + 2), slice(first, first + len(come) + 2))]
    if max(len(gone), len(come)) > _SHORT:
        found = [
            (slice(first + a, first + b + 2), slice(first + c, first + d + 2))
            for tag, a, b, c, d in SequenceMatcher(None, gone, come, autojunk=False).get_opcodes()
            if tag != "equal"
        ]
    whole, other = [_END, *ours, _END], [_END, *theirs, _END]
    return tuple(tuple(whole[one]) for one, _ in found), tuple(
        tuple(other[one]) for _, one in found
    )


def _n_equal(one: list[str], other: list[str]) -> int:
    """How many tokens are the same from the beginning."""
    for n, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return n
    return min(len(one), len(other))


def _general(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """A place, without what recurs in no other program."""
    found = []
    for at, (before, token) in enumerate(zip((_END, *tokens), tokens, strict=False)):
        is_outside = at in (0, len(tokens) - 1)
        if token[:1] and token[0] in "\"'":
            found.append(_TEXT)
        elif token[:1].isdecimal() and is_outside and token not in ("0", "1", "2"):
            found.append(_NUMBER)
        elif token.isidentifier() and before != "." and token not in _KNOWN:
            found.append(_OWN)
        else:
            found.append(token)
    return tuple(found)
