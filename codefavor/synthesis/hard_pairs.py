"""Hard pairs: a model writes a true and a false sentence in one style, one with a named flaw."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import cast

from codefavor.backends.base import Backend, Sampling
from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import MissingPackageError, Rejected
from codefavor.judges.answer_text import contains
from codefavor.prompts import prompt_sha256, render
from codefavor.records import Row
from codefavor.sections import without_thinking
from codefavor.sources.answered import Answered
from codefavor.synthesis.answer_kinds import (
    asks_where,
    is_of_a_people,
    is_whole,
    spans_of,
    speaks_of_a_place,
)
from codefavor.synthesis.answer_pair import pair_of
from codefavor.synthesis.false_sides import (
    has_several_answers,
    initials_of,
    is_other,
    is_same,
    may_be_true,
    plain,
    sentences_of,
    stands_in_text,
    stems_of,
    words_of,
)

FLAWS = {
    "logical flaw": "it draws a conclusion that the text does not allow",
    "wrong cause": "it names another cause or effect than the text",
    "unverifiable": "it adds a claim that the text neither states nor implies",
    "altered detail": "one name, number, date or place is another than in the text",
}
_MOST_LONGER = 1.5
_NEGATION = re.compile(
    r"\b(?:not|never|no|nor|neither|none|nobody|nothing|cannot|without)\b|n['’]t\b"
)
_NAMES_FLAW = re.compile(
    r"\b(?:incorrect|wrong|false|untrue|mistaken|erroneous|inaccurate|flawed|flaw|altered|"
    r"fabricated|made[- ]up|not true)(?:ly)?\b"
)

# What shows a flaw where one sentence alone has it.
_SHOWS_FLAW = {
    "negation": _NEGATION,
    "wrong cause": re.compile(
        r"\b(?:because|caus\w+|due to|owing to|led to|leads? to|result\w*|reasons?|thanks to)\b"
    ),
    "logical flaw": re.compile(
        r"\b(?:therefore|thus|hence|consequently|so that|must|always|all|every|only|implies)\b"
    ),
}
# An amount in other words than digits, or by the scale behind them.
_AMOUNT = re.compile(
    r"\b(?:dozens?|scores?|pairs?|couple|half|halves|thirds?|quarters?|tenths?|decades?|centur\w+|"
    r"hundreds?|thousands?|millions?|billions?|trillions?|twice|double|triple|\d+\s?(?:k|m|bn))\b"
)
_SCALE = re.compile(
    r"\s?(?:k|m|bn|hundred|thousand|million|billion|trillion|dozen|%|percent|per cent)\b", re.I
)
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[ \u00a0\u202f](?=\d{3}\b)")
_ENDS_SENTENCE = re.compile(r"(?<=[.!?;])[\"'”’)]*\s+(?=\S)")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|[A-Za-z.]+\.[A-Za-z]|Mr|Mrs|Ms|Dr|St|Jr|Sr|No|Prof|c|ca|vs)\.$"
)

# What a sentence may say beside what the text says: words that take nothing back.
_PLAIN_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an the of in on at to for from by with as and it its he his him she her they their them "
        "this that these those there who whom whose which what when where is are was were be been "
        "being has have had do does did s answer question text according name named called number "
        "year time",
    )
)


def make_hard_step(sampling: Sampling) -> Step:
    """A step from an answered question to a hard pair, written by a model.

    Both sides are one sentence in one style: the true one holds the known answer and else only
    words of the question and of a sentence of the text that holds it, the false one another of
    the answer's kind and else only words of the question and the text. Its flaw in `meta` is the
    one found in it, whichever was asked for. Raises Rejected for a reply that is no such pair.
    """

    async def step(row: Row, context: Context) -> Row:
        one = Answered.from_row(row, f"question {row['id']}")
        names = list(FLAWS)
        flaw = names[int(one.id[:8], 16) % len(names)]
        asked = render(
            "hard_pair", context=one.context, question=one.question, answer=one.answers[0],
            flaw=flaw, meaning=FLAWS[flaw], kind=kind_of_answer(one),
        )  # fmt: skip
        messages = [{"role": "system", "content": ""}, {"role": "user", "content": asked}]
        response = await context.ask(messages, sampling=sampling)
        true, false = _sentences(response.text)
        other = _check(one, true, false)
        made = pair_of(
            one, true, false, "hard", _flaw_of(one, true, false, other),
            asked_flaw=flaw, parts=[one.answers[0], other],
        )  # fmt: skip
        return {"id": one.id, "pair": made.to_row()}

    return step


def kind_of_answer(row: Answered) -> str:
    """The kind of a row's answer if it is one date, number, amount or name and nothing else, and
    another of its kind would be false; else "", and there is no hard pair of it.

    Of an answer in words nobody can tell by patterns what says the same, and of a place not what
    lies in it.
    """
    if not stands_in_text(row) or has_several_answers(row.question):
        return ""
    answer = _bare(row.answers[0])
    if not is_whole(answer):
        return ""
    kind = spans_of(answer)[0].kind
    if kind == "name" and (
        asks_where(row.question) or speaks_of_a_place(row.question) or is_of_a_people(answer)
    ):
        return ""
    return kind


def hard_manifest(backend: Backend, sampling: Sampling, seed: int) -> Row:
    """The settings that a journal of hard pairs is bound to."""
    return {
        "step": "hard levels",
        "backend": backend.identity,
        "sampling": sampling.to_row(),
        "seed": seed,
        "prompt_sha256": prompt_sha256("hard_pair"),
    }


def _sentences(reply: str) -> tuple[str, str]:
    """The two sentences of a reply that is a JSON object, alone or in a fence."""
    match = re.search(r"\{.*\}", without_thinking(reply), re.DOTALL)
    try:
        found = json.loads(match[0]) if match else None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(found.get(name), str) and found[name].strip() for name in ("true", "false")
    ):
        raise Rejected("no_pair", "no JSON object with the texts `true` and `false`")
    return found["true"].strip(), found["false"].strip()


def _check(row: Answered, true: str, false: str) -> str:
    """What the second sentence names in the place of the answer.

    Raises Rejected unless the first sentence states the answer, the second contradicts it, and
    neither gives itself away.
    """
    if not _holds(true, row):
        raise Rejected("answer_lost", "the true sentence does not hold the known answer")
    if plain(true) == plain(false):
        raise Rejected("same_sentences")
    short, long = sorted((len(true), len(false)))
    if long > _MOST_LONGER * short + 10:
        raise Rejected("lengths_differ", f"{len(true)} and {len(false)} characters")
    if set(_NAMES_FLAW.findall(false.lower())) - set(_NAMES_FLAW.findall(true.lower())):
        raise Rejected("flaw_named", "the false sentence says that it is false")
    if not (_is_one_sentence(true) and _is_one_sentence(false)):
        raise Rejected("not_one_sentence")
    # Where the question or its answer has a negation, a true sentence may have one too.
    if _found("negation", true) and not _found("negation", f"{row.question} {row.answers[0]}"):
        raise Rejected("answer_denied", "the true sentence has a negation")
    for name in _SHOWS_FLAW:
        if more := _found(name, false) - _found(name, true):
            raise Rejected("flaw_shown", f"in the false sentence alone: {', '.join(sorted(more))}")
    said = [one for one in sentences_of(row.context) if _holds(one, row)]
    if strange := _strange_words(true, row, " ".join(said)):
        raise Rejected("not_plain", f"the true sentence says more: {', '.join(sorted(strange))}")
    if _states(false, true, row):
        raise Rejected("answer_held", "the false sentence states the known answer, or a part of it")
    other = _contradicting(false, true, row)
    if not other:
        raise Rejected("not_contradicted", "the false sentence names no other of the answer's kind")
    if strange := _strange_words(false, row, row.context):
        raise Rejected("not_plain", f"the false sentence says more: {', '.join(sorted(strange))}")
    return other


def _is_one_sentence(text: str) -> bool:
    """Whether no sentence ends within a text; the full stop of an abbreviation ends none."""
    ends = (text[: one.start()] for one in _ENDS_SENTENCE.finditer(text))
    return "\n" not in text and all(_ABBREVIATED.search(one) for one in ends)


def _found(name: str, text: str) -> set[str]:
    return set(_SHOWS_FLAW[name].findall(text.lower()))


def _holds(sentence: str, row: Answered) -> bool:
    """Whether one of a row's answers stands in a sentence, in any form of its numbers and dates."""
    return any(contains(sentence, one) == 1.0 for one in row.answers)


def _states(false: str, true: str, row: Answered) -> bool:
    """Whether a sentence may state an answer: in any form of its number or date or by an amount in
    words; of a name, by one word of it that the question has not, or its initials."""
    joined = _BETWEEN_DIGITS.sub(",", false)
    amounts = set(_AMOUNT.findall(false.lower())) - set(_AMOUNT.findall(true.lower()))
    if _holds(joined, row) or amounts:
        return True
    asked, words = stems_of(plain(row.question)), words_of(joined)
    for one in row.answers:
        if is_whole(_bare(one)) and spans_of(one)[0].kind != "name":
            continue
        short, said = initials_of(plain(one)), f" {plain(false)} "
        if short and (f" {short} " in said or f" {' '.join(short)} " in said):
            return True
        own = stems_of(plain(one)) - {"of", "and", "the", "for"}
        if (own - asked or own) & stems_of(plain(false)) or words_of(one) <= words:
            return True
    return False


def _contradicting(false: str, true: str, row: Answered) -> str:
    """What a sentence names of the answer's kind that neither the true one nor the question has,
    is no other form of an answer, and may not be as right by the text; "" if there is nothing."""
    kind = kind_of_answer(row)
    joined = _BETWEEN_DIGITS.sub(",", false)
    known = f"{plain(true)} {plain(row.question)}"
    for span in spans_of(joined):
        part = joined[span.start : span.stop]
        if span.kind != kind or plain(part) in known or _SCALE.match(joined, span.stop):
            continue
        if kind == "name" and not re.search(rf"[\w,;(] {re.escape(part)}", row.context):
            continue  # large for standing first in a sentence
        is_another = is_other(part, row, "") and not any(is_same(one, part) for one in row.answers)
        if is_another and not may_be_true(row, row.answers[0], part):
            return part
    return ""


def _flaw_of(row: Answered, true: str, false: str, other: str) -> str:
    """The flaw that a false sentence has: where all but the answer is as in the true one an altered
    detail, else by the words of cause or conclusion that both have, else a claim of its own."""
    rest = words_of(false) - words_of(other) - _PLAIN_WORDS
    if rest <= words_of(true):
        return "altered detail"
    named = (name for name in ("wrong cause", "logical flaw") if _found(name, false))
    return next(named, "unverifiable")


def _strange_words(sentence: str, row: Answered, said: str) -> set[str]:
    """The words of a sentence that stand neither in the question and what is said, nor by their
    stems, nor in an answer if it is the true one: "hardly", "used to", "instead of"."""
    known = " ".join([row.question, *row.answers, said])
    stem = _stemmer()
    words = words_of(known)
    stems = {stem(one) for one in words}
    return {
        one
        for one in words_of(sentence) - _PLAIN_WORDS - words
        if one.isdigit() or stem(one) not in stems
    }


@cache
def _stemmer() -> Callable[[str], str]:
    """The stem of a word in lower case (Snowball's stemmer of English)."""
    try:
        from nltk.stem.snowball import EnglishStemmer
    except ImportError as error:
        raise MissingPackageError("nltk", "analysis", "comparing words by their stems") from error
    return cast("Callable[[str], str]", lru_cache(maxsize=1 << 14)(EnglishStemmer().stem))


def _bare(answer: str) -> str:
    return re.sub(r"^[Tt]he\s+|\.$", "", answer)
