"""Whether another text of the answer's kind may be as right as the answer, and so no false side.

By what the text itself shows, and denied by default: a pair less is better than a false one. Two
names of one thing of which the text never says so ("Burma", "Myanmar") are not seen.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from codefavor.judges.answer_text import contains, dates_of, normalised
from codefavor.sources.answered import Answered

_SENTENCES = re.compile(r"(?<=[.!?;])\s+|\n+")
_NEGATION = re.compile(
    r"\b(?:not|never|no|nor|neither|none|nobody|nothing|cannot|without|except|excluding|unlike|"
    r"other than|besides|apart from|lack\w*|fail\w*|least|un\w+ed|in(?:ability|capable))\b|"
    r"n['’]t\b",
    re.I,
)
_ONE_OF_SEVERAL = re.compile(
    r"^\W*(?:name|list|give|mention|identify)\b|\bexamples?\b|\b(?:one|some|any|many) of\b|"
    r"\b(?:what|which|who) (?:is|are|was|were) (?:one|an?|some|two|another|among)\b|"
    r"\b(?:another|other|else|also|too|besides|among|several|various|includ\w+|such as)\b|"
    r"\bwho (?:\w+ly |first |all )?(?:co-?)?(?:found|creat|invent|discover|establish|develop|"
    r"design|form|start|launch|wr[io]t|author|compos|star|play|join|attend|own|us|sp[eo]k|liv|belong|"
    r"support|oppos|f[io]ught|sign|perform|participat|help|work|teach|taught)\w*\b",
    re.I,
)
# When somebody won a prize: which of those that were won?
_ANY_TIME = re.compile(r"\b(?:when|(?:what|which) (?:year|date|day|decade|century))\b", re.I)
_INDEFINITE = re.compile(r"\ban?\s+(?!half|quarter)\w", re.I)
# A sentence that says of something else what another one says of the answer.
_AS_WELL = re.compile(
    r"\b(?:again|also|too|as well|another|other|both|same|likewise|similarly|including|such as|"
    r"together|joint\w*|co-\w+)\b",
    re.I,
)
_OTHER_NAME = re.compile(
    r"\b(?:known|called|named|renamed|titled|aka|a\.k\.a|alias|n[ée]e|nickname\w*|formerly|"
    r"originally|today|born|pseudonym|stage|real|short for|abbreviat\w+|acronym)\b",
    re.I,
)
# Words between two of which one explains, converts or joins the other.
_JOINED = 3
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9",
          "xi": "11", "xii": "12", "xiii": "13", "xiv": "14", "xv": "15", "xvi": "16"}  # fmt: skip
_SAME = re.compile(r"\W+")
_SIGN = re.compile(r"[$€£¥]")


def is_other(text: str, row: Answered, like: str) -> bool:
    """Whether a text is none of a row's answers in other words, as far as its own words tell: part
    of one, its initials, or words of one stem ("Scotland", "Scottish")."""
    known = [plain(one) for one in (*row.answers, like) if one]
    said = plain(text)
    stems = stems_of(said)
    return bool(said) and not any(
        one in said
        or said in one
        or stems <= (own := stems_of(one))
        or own <= stems
        or said.replace(" ", "") == initials_of(one)
        or one.replace(" ", "") == initials_of(said)
        for one in known
    )


def another(row: Answered, like: str, pool: Sequence[str], draw: random.Random) -> str | None:
    """Another text of the pool that is no answer of the row, of about the length of `like`."""
    drawn = draw.sample(pool, min(len(pool), 60))
    if like:
        # Nearest in length, longer and shorter ones alike.
        drawn.sort(key=lambda text: abs(len(text) - len(like)))
    known = [one for one in (*row.answers, like) if one]
    return next(
        (
            text
            for text in drawn
            if is_other(text, row, like) and not any(is_same(one, text) for one in known)
        ),
        None,
    )


@lru_cache(maxsize=1 << 16)
def plain(text: str) -> str:
    """Lower case without accents, punctuation and "the"; thousands without a comma."""
    bare = "".join(
        one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one)
    )
    joined = re.sub(r"(?<=\d),(?=\d{3}\b)", "", bare.lower())
    return f" {_SAME.sub(' ', joined).strip()} ".replace(" the ", " ").strip()


def stems_of(plain: str) -> frozenset[str]:
    return frozenset(one[:4] if one.isalpha() else one for one in plain.split())


def initials_of(plain: str) -> str:
    """The first letters of a plain text of several words, else ""."""
    words = [one for one in plain.split() if one not in ("of", "and", "for")]
    return "".join(one[0] for one in words) if len(words) > 1 else ""


def standing(row: Answered, pool: Iterable[str]) -> list[str]:
    """The texts of a pool that stand, word by word, in a row's text."""
    text = f" {plain(row.context)} "
    return [one for one in pool if f" {plain(one)} " in text]


def is_negated(question: str) -> bool:
    """Whether a question asks for what is not so, or may."""
    return _NEGATION.search(question) is not None


def has_several_answers(question: str) -> bool:
    """Whether a question may have more than the known answer, or is answered by what is not so."""
    return (
        is_negated(question)
        or _ONE_OF_SEVERAL.search(question) is not None
        or (_ANY_TIME.search(question) is not None and _INDEFINITE.search(question) is not None)
    )


def stands_in_text(row: Answered) -> bool:
    """Whether the answer that is used stands in the row's own text, in some form."""
    return bool(row.answers) and contains(row.context, row.answers[0]) == 1.0


def is_same(one: str, other: str) -> bool:
    """Whether one of two texts says the other: in another form of a number, date or amount, as a
    date that the other may be ("May 1945", "8 May"), or by a Roman number."""
    if contains(one, other) or contains(other, one):
        return True
    theirs = dates_of(other)
    if any(_agree(date, their) for date in dates_of(one) for their in theirs):
        return True
    a, b = words_of(one), words_of(other)
    return a <= b or b <= a


@lru_cache(maxsize=1 << 14)
def words_of(text: str) -> frozenset[str]:
    """The words of a text, numbers in digits however they are written."""
    words = (_ROMAN.get(one, one) for one in normalised(text).split())
    return frozenset(re.sub(r"(?<=\d)(?:st|nd|rd|th)$", "", one) for one in words)


def may_be_true(row: Answered, answer: str, other: str) -> bool:
    """Whether the text joins another text to the answer, calls it by another name or gives it in
    another currency; or says of it what is asked "as well"."""
    signs = _SIGN.findall(answer), _SIGN.findall(other)
    if signs[0] != signs[1] or any(is_same(one, other) for one in row.answers):
        return True
    is_name = not any(one.isdigit() for one in other)
    for sentence in sentences_of(row.context):
        has_other = other in sentence
        if has_other and _AS_WELL.search(sentence):
            return True
        has_answer = answer in sentence
        if is_name and (has_other or has_answer) and _OTHER_NAME.search(sentence):
            return True
        if has_other and has_answer and (is_name or _joined(sentence, answer, other)):
            return True
    return False


@lru_cache(maxsize=1 << 12)
def sentences_of(text: str) -> tuple[str, ...]:
    return tuple(_SENTENCES.split(text))


def _agree(one: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    """Whether two dates may be one day: what both say of year, month and day is the same."""
    return all(None in (a, b) or a == b for a, b in zip(one, other, strict=True))


def _joined(sentence: str, answer: str, other: str) -> bool:
    """Whether the two stand next to each other, but for brackets and a few words."""
    return any(
        len(re.findall(r"\w+", sentence[min(ends) : max(starts)])) <= _JOINED
        for a in re.finditer(re.escape(answer), sentence)
        for b in re.finditer(re.escape(other), sentence)
        for starts, ends in [((a.start(), b.start()), (a.end(), b.end()))]
    )
