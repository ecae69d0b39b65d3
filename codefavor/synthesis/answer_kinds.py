"""What kind of thing a question asks for, and the parts of a text that have a kind.

Both by patterns for English, not by a tagger.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import NamedTuple

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
)
_LARGE = r"[A-Z][\w'’.-]*\w"
# In this order: a date holds numbers, an amount too.
_PARTS: dict[str, str] = {
    "date": rf"\b(?:{_MONTH} \d{{1,2}}(?:, \d{{4}})?|(?:\d{{1,2}} )?{_MONTH} \d{{4}}"
    rf"|\d{{1,2}} {_MONTH})\b",
    "money": r"[$€£¥]\s?\d+(?:[,.]\d+)*(?: (?:million|billion|thousand))?",
    "percent": r"\b\d+(?:[,.]\d+)*\s?(?:%|percent|per cent)",
    "year": r"\b(?:1[0-9]|20)\d\d\b",
    "number": r"\b\d+(?:[,.]\d+)*\b",
    "name": rf"\b{_LARGE}(?: (?:of|the|and|de|van|von|{_LARGE}))* {_LARGE}\b|\b{_LARGE}\b",
}
_ASKED = {"who": "person", "whom": "person", "where": "place", "when": "time"}
_ASKS_FOR_NUMBER = re.compile(r"\bhow (?:many|much|long|old|far|tall|often|large|big)\b")
# What stands between "which" and the noun that it asks for, and what ends that noun.
_BEFORE_NOUN = re.compile(
    r"\b(?:what|which)\s+(?:(?:is|are|was|were)\s+)?(?:(?:the|a|an|one)\s+)?"
    r"(?:(?:kind|type|sort|name|names)s?\s+of\s+(?:the\s+)?)?((?:[\w'-]+\s+){0,2}[\w'-]+)"
)
_NO_NOUN = frozenset(
    re.findall(
        r"\w+",
        "is are was were has have had do does did of in on at by to for from with and or the a an "
        "that which who whose whom as it its this these those can could would will be been both "
        "also known used based played called made located",
    )
)
# No country's English name ends like the first ones.
_OF_A_PEOPLE = re.compile(
    r"(?:\w+(?:ican|ian|ean|ish|ese)|French|German|Dutch|Greek|Swiss|Welsh|Thai|Czech|Iraqi|Israeli|"
    r"Pakistani)s?"
)
_VAGUE = re.compile(
    r"\b(?:dozens|hundreds|thousands|millions|billions|several|many|most|few|some|majority|half)\b"
)


# Nouns that say which of the few broad kinds is asked for; what one of the places holds may be said
# of another ("Paris", "France").
_BROAD = {
    "person": "whom king queen president emperor pope author scientist composer singer actor "
    "artist writer mathematician general director architect khan ruler philosopher prince duke "
    "engineer inventor man woman player quarterback coach leader",
    "place": "where city country nation state region area town county continent island river sea "
    "province location district street mountain lake ocean village capital part territory land "
    "empire kingdom",
    "time": "when year years date century decade day month period era",
    "number": "percentage percent amount population age length height size",
}
_BROAD_OF = {noun: kind for kind, nouns in _BROAD.items() for noun in [kind, *nouns.split()]}
_NESTED = frozenset({"place", "region", "area", "location", "part", "territory", "land", "country",
                     "nation", "empire", "kingdom", "state"})  # fmt: skip


_WHERE = re.compile(
    r"\b(?:where|located|lies?|situated|headquarter\w*|based|(?:in|at|on|from|near|to|through|across|"
    r"of) (?:what|which))\b",
    re.I,
)


class Span(NamedTuple):
    """A part of an answer: its kind and where it stands."""

    kind: str
    start: int
    stop: int


def asked_kind(question: str) -> str:
    """What a question asks for, by its question word: person, place, time, number, the noun behind
    "which", or "" where it cannot be told."""
    words = question.lower()
    if _ASKS_FOR_NUMBER.search(words):
        return "number"
    if found := _BEFORE_NOUN.search(words):
        run = list(takewhile(lambda word: word not in _NO_NOUN, str(found[1]).split()))
        if run:
            return run[-1].removesuffix("'s")
    return next((kind for word, kind in _ASKED.items() if re.search(rf"\b{word}\b", words)), "")


def broad_kind(question: str) -> str:
    """Person, place, time, number, or "thing" for all else that is asked for."""
    return _BROAD_OF.get(asked_kind(question), "thing")


def asks_where(question: str) -> bool:
    """Whether it may ask for a place, by whatever noun ("In what desert is Lyon?")."""
    kind = broad_kind(question)
    return kind == "place" or (kind == "thing" and _WHERE.search(question) is not None)


def may_be_nested(question: str) -> bool:
    """Whether it asks for a place of which one may lie in another: a city in its country."""
    return asked_kind(question) in _NESTED


def speaks_of_a_place(question: str) -> bool:
    """Whether any word of it is a kind of place ("What country today is a remnant of it?")."""
    return any(_BROAD_OF.get(word) == "place" for word in re.findall(r"\w+", question.lower()))


def spans_of(text: str) -> list[Span]:
    """The parts of a text that have a kind, none inside another, in order."""
    taken: list[Span] = []
    for kind, form in _PARTS.items():
        for match in re.finditer(form, text):
            if all(match.end() <= one.start or match.start() >= one.stop for one in taken):
                taken.append(Span(kind, match.start(), match.end()))
    return sorted(taken, key=lambda one: one.start)


def is_only_large(span: Span, answer: str) -> bool:
    """Whether a name is the first word of an answer, which is large for standing there."""
    part = answer[span.start : span.stop]
    return span.kind == "name" and span.start == 0 and " " not in part and part != answer


def is_whole(text: str) -> bool:
    spans = spans_of(text)
    return len(spans) == 1 and (spans[0].start, spans[0].stop) == (0, len(text))


def is_of_a_people(text: str) -> bool:
    """Whether a text is one word for a people or what is theirs: "British" may be said of the UK,
    and "American" is no country."""
    return _OF_A_PEOPLE.fullmatch(text.removeprefix("the ")) is not None


def is_vague(text: str) -> bool:
    """Whether a text names an amount too vague to be another one: 25,000 are thousands."""
    return _VAGUE.search(text.lower()) is not None
