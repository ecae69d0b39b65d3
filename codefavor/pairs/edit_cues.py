"""What an edit shows of itself: which tokens go, which come, and what stands around them.

Of two opposite edits one is commoner in programs made wrong: `<` becomes `<=` more often than the
other way, since right programs have more of the one. Who counts tokens learns that; and who sees
that a call is a statement of its own, or what is called, which of two methods is right there.
"""

from __future__ import annotations

import keyword
import sys
from collections import Counter
from difflib import SequenceMatcher
from typing import cast

from codefavor.pairs.balance import Cues
from codefavor.pairs.code_tokens import COMMON, tokens_of
from codefavor.pairs.number_cues import number_signs

_KNOWN = COMMON | sys.stdlib_module_names
# Beyond the ends of a line, a program's own names, its texts, numbers above 2 beside an edit, and
# what joins values farther away.
_END, _OWN, _NUMBER, _TEXT, _SIGN = "\n", "_", "9", "'", "+"
# So many tokens of the line on either side of an edit are its surroundings: with them come the form
# of the statement, what a method is called of, and how many arguments a call has. Beyond the
# nearest ones only their sort counts, or no two edits would be alike.
_AROUND = 3
_SIGNS = {"and", "in", "is", "not", "or"}
_KEPT = {*keyword.kwlist, *"()[]{}.,:=", _END} - {*_SIGNS, "None", "True", "False"}
# Tokens that stand in another order are one place: which of them went is not to be seen.
_SHORT = 8

# Places that differ, each with its surroundings.
Places = tuple[tuple[str, ...], ...]


def edit_cues(instruction: str, chosen: str, rejected: str) -> Cues:
    """The edit between both sides, whichever way; and as signs which way it goes, and whether the
    chosen side has more of the numbers in the instruction.

    A program's own names are all one: of two, the way is by the alphabet.
    """
    ours, theirs = _places(_lines(chosen), _lines(rejected))
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


def _lines(code: str) -> list[str]:
    """The tokens, with so many ends between two lines that no surroundings reach over them."""
    ends = [_END] * _AROUND
    return [*ends, *(one for line in code.splitlines() for one in (*tokens_of(line), *ends))]


def _places(ours: list[str], theirs: list[str]) -> tuple[Places, Places]:
    """What differs, on both sides."""
    first = _n_equal(ours, theirs)
    last = _n_equal(ours[first:][::-1], theirs[first:][::-1])
    gone, come = ours[first : len(ours) - last], theirs[first : len(theirs) - last]
    found = [(0, len(gone), 0, len(come))]
    if max(len(gone), len(come)) > _SHORT:
        opcodes = SequenceMatcher(None, gone, come, autojunk=False).get_opcodes()
        found = [(a, b, c, d) for tag, a, b, c, d in opcodes if tag != "equal"]
    before, behind = first - _AROUND, first + _AROUND
    return (
        tuple(tuple(ours[before + a : behind + b]) for a, b, _, _ in found),
        tuple(tuple(theirs[before + c : behind + d]) for _, _, c, d in found),
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
        distance = max(_AROUND - at, at - len(tokens) + _AROUND + 1)
        is_word = token.isidentifier() and token not in _SIGNS
        if token[0] in "\"'":
            found.append(_TEXT)
        elif distance > 1 and token not in _KEPT:
            found.append(_OWN if is_word or token[0].isdecimal() else _SIGN)
        elif token[0].isdecimal() and distance > 0 and token not in ("0", "1", "2"):
            found.append(_NUMBER)
        elif is_word and before != "." and token not in _KNOWN:
            found.append(_OWN)
        else:
            found.append(token)
    return tuple(found)
