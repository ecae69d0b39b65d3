"""Hard pairs: a model writes a true and a false sentence in one style, one with a named flaw."""

from __future__ import annotations

import json
import re

from codefavor.backends.base import Backend, Sampling
from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import Rejected
from codefavor.prompts import prompt_sha256, render
from codefavor.records import Row
from codefavor.sections import without_thinking
from codefavor.sources.answered import Answered
from codefavor.synthesis.false_sides import plain
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


def make_hard_step(sampling: Sampling) -> Step:
    """A step from an answered question to a hard pair, written by a model.

    Both sides are one sentence in one style: the true one holds the known answer, the false one has
    one named flaw. Raises Rejected for a reply that is no such pair.
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
    if _holds(false, row) and not _negates(false):
        raise Rejected("answer_held", "the false sentence states the known answer too")


def _holds(sentence: str, row: Answered) -> bool:
    """Whether one of a row's answers stands in a sentence, word by word."""
    return any(f" {plain(one)} " in f" {plain(sentence)} " for one in row.answers)


def _negates(text: str) -> bool:
    return _NEGATION.search(text.lower()) is not None
