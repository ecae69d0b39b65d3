"""Hard pairs: a model writes a true and a false sentence in one style, one with a named flaw."""

from __future__ import annotations

import json
import re

from codefavor.backends.base import Backend, Sampling
from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import Rejected
from codefavor.judges.answer_text import contains
from codefavor.prompts import prompt_sha256, render
from codefavor.records import Row
from codefavor.sections import without_thinking
from codefavor.sources.answered import Answered
from codefavor.synthesis.false_sides import (
    plain,
    sentences_of,
    stems_of,
    words_of,
)
from codefavor.synthesis.truth_levels import pair_of

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
    words of the question and of a sentence of the text that holds it, the false one has one named
    flaw. Raises Rejected for a reply that is no such pair.
    """

    async def step(row: Row, context: Context) -> Row:
        one = Answered.from_row(row, f"question {row['id']}")
        names = list(FLAWS)
        flaw = names[int(one.id[:8], 16) % len(names)]
        asked = render(
            "hard_pair", context=one.context, question=one.question, answer=one.answers[0],
            flaw=flaw, meaning=FLAWS[flaw],
        )  # fmt: skip
        messages = [{"role": "system", "content": ""}, {"role": "user", "content": asked}]
        response = await context.ask(messages, sampling=sampling)
        true, false = _sentences(response.text)
        _check(one, true, false)
        return {"id": one.id, "pair": pair_of(one, true, false, "hard", flaw).to_row()}

    return step


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


def _check(row: Answered, true: str, false: str) -> None:
    """Raise Rejected unless the first sentence states the answer, the second does not, and neither
    gives itself away."""
    if not _holds(true, row):
        raise Rejected("answer_lost", "the true sentence does not hold the known answer")
    if plain(true) == plain(false):
        raise Rejected("same_sentences")
    short, long = sorted((len(true), len(false)))
    if long > _MOST_LONGER * short + 10:
        raise Rejected("lengths_differ", f"{len(true)} and {len(false)} characters")
    if set(_NAMES_FLAW.findall(false.lower())) - set(_NAMES_FLAW.findall(true.lower())):
        raise Rejected("flaw_named", "the false sentence says that it is false")
    if "\n" in true or "\n" in false:
        raise Rejected("not_one_sentence")
    # Where the question or its answer has a negation, a true sentence may have one too.
    if _negates(true) and not _negates(f"{row.question} {' '.join(row.answers)}"):
        raise Rejected("answer_denied", "the true sentence has a negation")
    if strange := _strange_words(true, row):
        raise Rejected("not_plain", f"the true sentence says more: {', '.join(sorted(strange))}")
    if (_holds(false, row) or _has_words(false, row)) and not _negates(false):
        raise Rejected("answer_held", "the false sentence states the known answer too")


def _holds(sentence: str, row: Answered) -> bool:
    """Whether one of a row's answers stands in a sentence, in any form of its numbers and dates."""
    return any(contains(sentence, one) == 1.0 for one in row.answers)


def _has_words(sentence: str, row: Answered) -> bool:
    """Whether all words of an answer of several stand anywhere in a sentence ("World War 2")."""
    words = words_of(sentence)
    return any(len(own := words_of(one)) > 1 and own <= words for one in row.answers)


def _strange_words(true: str, row: Answered) -> set[str]:
    """The words of a sentence that stand neither in the question and the answers nor, by their
    stems, in a sentence of the text with the answer: "hardly", "used to", "instead of"."""
    said = [one for one in sentences_of(row.context) if _holds(one, row)]
    known = " ".join([row.question, *row.answers, *said])
    stems, words = stems_of(plain(known)), words_of(known)
    return {
        one
        for one in words_of(true) - _PLAIN_WORDS - words
        if one.isdigit() or not stems_of(plain(one)) <= stems
    }


def _negates(text: str) -> bool:
    return _NEGATION.search(text.lower()) is not None
