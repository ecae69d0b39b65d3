"""Whether a text is a known permissive licence as a whole: its words, and hardly any besides.

A licence that another text quotes, amends or grants later is not that text's licence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache
from importlib.resources import files
from typing import NamedTuple

# What a text says that is a licence, or has riders, and is none of the known ones.
OTHER = "other"
# What takes back a part of a licence, or grants it later or to some.
_RIDERS = re.compile(
    r"commons clause|additional use grant|change (?:license|date)|future license"
    r"|business source license|functional source license|\bfsl-1|\bbusl\b|server side public"
    r"|elastic license|polyform|sustainable use|fair source|(?<!commercial or )non-?commercial"
    r"|good,? not evil|contributions (?:made )?(?:after|before|since|prior)"
    r"|all advertising materials|ethical source|behaviou?ral use"
)
_WORD = re.compile(r"[a-z0-9]+")
_RIGHTS = re.compile(
    r"^\W*(?i:(?:portions )?copyright(?:ed)?(?!,? (?:holder|owner|notice|licen|and |patent))"
    r"|\(c\)(?= *(?:\d|copyright))|©|spdx-)\s*(?i:by\b|the\b|\(c\)|©|[A-Z\d\[<{:-]|$)"
)
_BULLET = re.compile(r"^\W*(?:\d{1,2}|[a-z])[.)]\s", re.IGNORECASE)
_URL = re.compile(r"<?https?://\S+|www\.\S+")
# Where whoever grants a licence writes names of its own; how to apply a licence is no part of it.
_NAMED = (
    (re.compile(r"\bprovided by .{1,120}? as is\b"), "provided by them as is"),
    (re.compile(r"\b(?:neither )?the names?(?: s)? of .{1,160}? (?:may|must|can)(?: not)? be "
                r"used\b"), "names may be used"),
    (re.compile(r"\b(?:shall|will) .{1,160}? be (?:held )?liable\b"), "shall they be liable"),
    (re.compile(r"\bend of terms and conditions (?:appendix .{1,900}? )?(?:copyright .{1,200}? )?"
                r"licensed under the apache license version 2 0 the license you may not .{1,600}? "
                r"limitations under the license\b"), "end of terms and conditions"),
    (re.compile(r"\b(?:all|some) rights reserved\b"), ""),
)  # fmt: skip
# Words that tell where a licence begins; that may stand before and behind it; in a row that a copy
# may lack or have besides; and the share of a licence's words that a copy has.
_FIRST, _MOST_AROUND, _MOST_APART, _LEAST_SHARE = 5, 60, 8, 0.93
# Beside a licence's own words these may be a condition more.
_LIMITING_WORDS = """
    not no non only except exception exceptions unless however must portions parts restricted
    restriction restrictions prohibited additional"""
_LIMITING = frozenset(_LIMITING_WORDS.split())
# Fewer words are a note on where the licence stands.
_LEAST_WORDS = 60


class _Known(NamedTuple):
    licence: str
    words: tuple[str, ...]


class _Copy(NamedTuple):
    licence: str
    end: int


def has_rider(text: str) -> bool:
    """Whether a text has words that take back a part of a licence or grant it later."""
    return bool(_RIDERS.search(" ".join(text.lower().split())))


def permissive_licence(text: str, *, among_others: bool = False) -> str:
    """The permissive licences that a text is as a whole ("isc and mit"); else "other" or "".

    "other" is said of a text with riders, and of a long one. `among_others`: any text may stand
    around one licence, as in the comments of a file, and a long one need be no licence.
    """
    if has_rider(text):
        return OTHER
    words = _words(text)
    found: set[str] = set()
    rest = words
    while copy := _first_copy(rest, among_others):
        found.add(copy.licence)
        rest = rest[copy.end :]
    if found and (among_others or _says_little(rest, _MOST_AROUND)):
        return " and ".join(sorted(found))
    has_begun = any(
        _place(known.words[:_FIRST], words[:-_LEAST_WORDS]) is not None for known in _known()
    )
    return OTHER if has_begun or (len(words) >= _LEAST_WORDS and not among_others) else ""


@cache
def _known() -> tuple[_Known, ...]:
    text = (files("codefavor.sources") / "licence_texts.txt").read_text(encoding="utf-8")
    parts = (part.partition("\n") for part in text.split("=== ")[1:])
    return tuple(_Known(licence, _words(body)) for licence, _, body in parts)


def _words(text: str) -> tuple[str, ...]:
    """The words of a licence without the lines and names of holders, and addresses."""
    kept = (_BULLET.sub("", line) for line in text.splitlines() if not _RIGHTS.match(line))
    flat = " ".join(_WORD.findall(_URL.sub(" ", "\n".join(kept)).lower()))
    for pattern, plain in _NAMED:
        flat = pattern.sub(plain, flat)
    return tuple(flat.split())


def _place(first: Sequence[str], words: Sequence[str]) -> int | None:
    """Where these words first stand in a row."""
    n = len(first)
    starts = (at for at, word in enumerate(words) if word == first[0])
    return next((at for at in starts if words[at : at + n] == first), None)


def _first_copy(words: tuple[str, ...], among_others: bool) -> _Copy | None:
    """The licence with which a text begins, the one with the most words of its own."""
    found = []
    for known in _known():
        start = _place(known.words[:_FIRST], words)
        if start is None or not (among_others or _says_little(words[:start], _MOST_AROUND)):
            continue
        end = _end_of_copy(known.words, words[start:])
        if end:
            found.append((len(known.words), _Copy(known.licence, start + end)))
    return max(found)[1] if found else None


def _end_of_copy(known: Sequence[str], words: Sequence[str]) -> int:
    """Where in a text that begins as a licence does the licence ends; 0 if it is no copy."""
    words = words[: len(known) * 5 // 4 + 20]
    n_same = end = 0
    blocks = SequenceMatcher(None, known, words, autojunk=False).get_opcodes()
    if blocks and blocks[-1][0] != "equal":
        n_lacking = blocks[-1][2] - blocks[-1][1]
        blocks = blocks[:-1] if n_lacking <= _MOST_APART else []
    for tag, first, last, start, stop in blocks:
        if tag == "equal":
            n_same, end = n_same + last - first, stop
        elif last - first > _MOST_APART or not _says_little(words[start:stop], _MOST_APART):
            return 0
    return end if n_same >= _LEAST_SHARE * len(known) else 0


def _says_little(words: Sequence[str], most: int) -> bool:
    """Whether words beside a licence's are few and limit nothing."""
    return len(words) <= most and _LIMITING.isdisjoint(words)
