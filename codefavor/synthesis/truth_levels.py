"""Levelled pairs of a true and a false answer; a false one is never on the chosen side.

*easy*: the answer to another question. *medium*: something of the same kind (another date, number,
person, place, ...) that stands in the same text, or the answer with such a part of it changed: to
see which side's words are in the text does not tell them apart. *hard*: a model writes a true
and a false sentence in one style, the second with one named flaw. A question that its text does
not answer gives pairs too: to say so beats a tempting answer. Beside each of them stands one whose
question is answered, where to say that the text does not is the false side.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

from codefavor.backends.base import Backend, Sampling
from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import Rejected
from codefavor.prompts import prompt_sha256, render
from codefavor.records import Preference, Row, content_id
from codefavor.sections import without_thinking
from codefavor.sources.answered import Answered

SOURCE = "levels"
CRITERIA = "truthfulness"
NO_ANSWER = "The text does not say."
FLAWS = {
    "logical flaw": "it draws a conclusion that the text does not allow",
    "wrong cause": "it names another cause or effect than the text",
    "unverifiable": "it adds a claim that the text neither states nor implies",
    "altered detail": "one name, number, date or place is another than in the text",
}
_MOST_LONGER = 1.5
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
)
_LARGE = r"[A-Z][\w'’.-]*\w"
# In this order: a date holds numbers, an amount too.
_PARTS: dict[str, str] = {
    "date": rf"\b(?:{_MONTH} \d{{1,2}}(?:, \d{{4}})?|(?:\d{{1,2}} )?{_MONTH} \d{{4}}"
    rf"|\d{{1,2}} {_MONTH})\b",
    "money": r"[$€£¥]\s?\d[\d,.]*(?: (?:million|billion|thousand))?",
    "percent": r"\b\d[\d,.]*\s?(?:%|percent|per cent)",
    "year": r"\b(?:1[0-9]|20)\d\d\b",
    "number": r"\b\d+(?:[,.]\d+)*\b",
    "name": rf"\b{_LARGE}(?: (?:of|the|and|de|van|von|{_LARGE}))* {_LARGE}\b|\b{_LARGE}\b",
}
# Of these a text has others that are no other name of the same thing.
_COUNTED = frozenset({"date", "money", "percent", "year", "number"})
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
_SAME = re.compile(r"\W+")


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


def spans_of(text: str) -> list[Span]:
    """The parts of a text that have a kind, none inside another, in order."""
    taken: list[Span] = []
    for kind, form in _PARTS.items():
        for match in re.finditer(form, text):
            if all(match.end() <= one.start or match.start() >= one.stop for one in taken):
                taken.append(Span(kind, match.start(), match.end()))
    return sorted(taken, key=lambda one: one.start)


def simple_pairs(
    rows: Sequence[Answered], *, seed: int = 0, levels: Iterable[str] = ("easy", "medium")
) -> tuple[list[Preference], Counter[str]]:
    """The pairs that need no model, at most one a question and level, and why others gave none.

    The false side is near the true one in length where there is a choice. It never says what any
    accepted answer says, nor holds one or is held by one.
    """
    reasons: Counter[str] = Counter()
    levels = frozenset(levels)
    pools = _pools(rows)
    pairs = _no_answer_pairs(rows, pools["answer"], levels, reasons, seed)
    for row in rows:
        draw = random.Random(content_id(seed, row.id))
        if not row.answers:
            continue
        if "easy" in levels:
            false = _other(row, row.answers[0], pools["answer"], draw)
            if false is None:
                reasons["easy: no other answer"] += 1
            else:
                pairs.append(_pair(row, row.answers[0], false, "easy", "other_answer"))
        if "medium" in levels:
            swapped = _swapped(row, pools, draw)
            if swapped is None:
                reasons["medium: nothing of the answer's kind stands in its text"] += 1
            else:
                pairs.append(_pair(row, row.answers[0], swapped[0], "medium", swapped[1]))
    return pairs, reasons


def _no_answer_pairs(
    rows: Sequence[Answered],
    answers: Sequence[str],
    levels: frozenset[str],
    reasons: Counter[str],
    seed: int,
) -> list[Preference]:
    """Pairs whose true side is that the text does not say, and as many whose false side is that.

    Without the second ones "it does not say" would always be right. The known answer there is as
    long as the tempting one here, so that length tells nothing either.
    """
    # Data sets that write "it does not say" as an answer have no known one there.
    nothing = _plain(NO_ANSWER)
    answered = [row for row in rows if row.answers and _plain(row.answers[0]) != nothing]
    random.Random(content_id(seed, "no answer")).shuffle(answered)
    waiting: dict[int, list[Answered]] = {}
    for row in answered:
        waiting.setdefault(len(row.answers[0]), []).append(row)
    pairs: list[Preference] = []
    for row in rows:
        level = "medium" if row.plausible else "easy"
        if row.answers or level not in levels:
            continue
        draw = random.Random(content_id(seed, row.id))
        false = row.plausible[0] if row.plausible else _other(row, "", answers, draw)
        twin = None if false is None else _of_length(len(false), waiting)
        if false is None or twin is None or _plain(false) == nothing:
            reasons["unanswerable: no answer of another question to set against it"] += 1
            continue
        kind = "tempting answer" if row.plausible else "other_answer"
        pairs.append(_pair(row, NO_ANSWER, false, level, kind))
        pairs.append(_pair(twin, twin.answers[0], NO_ANSWER, level, "no answer"))
    return pairs


def _of_length(length: int, waiting: dict[int, list[Answered]]) -> Answered | None:
    """A row whose answer is nearest to this length, on the same side of NO_ANSWER's; taken out."""
    side = _side(length)
    fitting = [one for one in waiting if _side(one) == side]
    if not fitting:
        return None
    nearest = min(fitting, key=lambda one: (abs(one - length), one))
    row = waiting[nearest].pop()
    if not waiting[nearest]:
        del waiting[nearest]
    return row


def _side(length: int) -> int:
    return (length > len(NO_ANSWER)) - (length < len(NO_ANSWER))


def _pools(rows: Sequence[Answered]) -> Mapping[str, list[str]]:
    """All answers, those of each kind of question ("asked ..."), and the parts of each kind."""
    pools: dict[str, dict[str, None]] = {"answer": {}}
    for row in rows:
        for answer in row.answers[:1]:
            pools["answer"][answer] = None
            if kind := asked_kind(row.question):
                pools.setdefault(f"asked {kind}", {})[answer] = None
            for span in spans_of(answer):
                part = answer[span.start : span.stop]
                if not _is_only_large(span, answer) and not part.startswith("The "):
                    pools.setdefault(span.kind, {})[part] = None
    return {kind: list(texts) for kind, texts in pools.items()}


def _other(row: Answered, like: str, pool: Sequence[str], draw: random.Random) -> str | None:
    """Another text of the pool that is no answer of the row, of about the length of `like`."""
    drawn = draw.sample(pool, min(len(pool), 60))
    fitting = [text for text in drawn if _is_false(text, row, like)]
    if not fitting:
        return None
    if not like:
        return fitting[0]
    # Nearest in length, longer and shorter ones alike.
    return min(fitting, key=lambda text: (abs(len(text) - len(like)), drawn.index(text)))


def _is_false(text: str, row: Answered, like: str) -> bool:
    known = [_plain(one) for one in (*row.answers, like) if one]
    said = _plain(text)
    words = set(said.split())
    return bool(said) and not any(
        one in said or said in one or words <= (own := set(one.split())) or own <= words
        for one in known
    )


@lru_cache(maxsize=1 << 16)
def _plain(text: str) -> str:
    return f" {_SAME.sub(' ', text.lower()).strip()} ".replace(" the ", " ").strip()


def _swapped(
    row: Answered, pools: Mapping[str, Sequence[str]], draw: random.Random
) -> tuple[str, str] | None:
    """The answer with one part of it another of its kind that stands in the row's text, and that
    kind; None if none has one."""
    answer = row.answers[0]
    text = f" {_plain(row.context)} "
    in_text: dict[str, list[str]] = {}
    for span in spans_of(row.context):
        if span.kind in _COUNTED:
            in_text.setdefault(span.kind, []).append(row.context[span.start : span.stop])
    spans = spans_of(answer)
    whole = [one for one in spans if (one.start, one.stop) == (0, len(answer))]
    asked = asked_kind(row.question)
    if (whole or len(answer.split()) <= 4) and asked:
        # A short answer is of the kind that the question asks for; a person is never a place.
        form = whole[0].kind if whole else ""
        pool = [
            text
            for text in _standing(text, pools.get(f"asked {asked}", ()))
            if form == (spans_of(text)[0].kind if _is_whole(text) else "")
        ]
        if form not in _COUNTED:
            # "1688 to 1692" is in the 17th century, and what a sentence names beside the answer is
            # often as right ("by a minister or a member").
            beside = " ".join(one for one in _sentences_of(row.context) if _plain(answer) in one)
            pool = [one for one in pool if asked != "time" and _plain(one) not in beside]
        pool = list(dict.fromkeys([*pool, *in_text.get(form, ())]))
        if (other := _other(row, answer, pool, draw)) is not None:
            return other, f"other {asked}"
    for span in draw.sample(spans, len(spans)):
        part = answer[span.start : span.stop]
        if _is_only_large(span, answer):
            continue
        if span.kind == "name" and part.strip('"') == answer.strip('"'):
            continue  # one name for another of whatever kind is easy to tell
        pool = [*_standing(text, pools.get(span.kind, ())), *in_text.get(span.kind, ())]
        other = _other(row, part, list(dict.fromkeys(pool)), draw)
        if other is not None:
            changed = answer[: span.start] + other + answer[span.stop :]
            if all(_plain(changed) != _plain(one) for one in row.answers):
                return changed, f"other {span.kind}"
    return None


def _sentences_of(text: str) -> list[str]:
    return [_plain(one) for one in re.split(r"(?<=[.!?;])\s+", text)]


def _standing(text: str, pool: Iterable[str]) -> list[str]:
    """The texts of a pool that stand, word by word, in a plain text with a blank at either end."""
    return [one for one in pool if f" {_plain(one)} " in text]


def _is_only_large(span: Span, answer: str) -> bool:
    """Whether a name is the first word of an answer, which is large for standing there."""
    part = answer[span.start : span.stop]
    return span.kind == "name" and span.start == 0 and " " not in part and part != answer


def _is_whole(text: str) -> bool:
    spans = spans_of(text)
    return len(spans) == 1 and (spans[0].start, spans[0].stop) == (0, len(text))


def _pair(row: Answered, true: str, false: str, level: str, kind: str) -> Preference:
    return Preference(
        id=content_id(SOURCE, row.id, level, true, false),
        instruction=question_of(row),
        chosen=true,
        rejected=false,
        criteria=CRITERIA,
        source=SOURCE,
        level=level,
        problem_id=row.id,
        language="markdown",
        meta={"rejected_kind": kind, "question": row.question},
    )


def question_of(row: Answered) -> str:
    """The text and the question as one instruction."""
    return render("answer_from_text", task="qa", context=row.context, question=row.question)


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
        return {"id": one.id, "pair": _pair(one, true, false, "hard", flaw).to_row()}

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
    """Raise Rejected unless the first sentence holds the answer, the second does not say the same,
    and neither gives itself away."""
    held = [_plain(one) for one in row.answers]
    if not any(one in _plain(true) for one in held):
        raise Rejected("answer_lost", "the true sentence does not hold the known answer")
    if _plain(true) == _plain(false):
        raise Rejected("same_sentences")
    short, long = sorted((len(true), len(false)))
    if long > _MOST_LONGER * short + 10:
        raise Rejected("lengths_differ", f"{len(true)} and {len(false)} characters")
    if re.search(r"\b(?:incorrect|false|flaw|altered|fabricated|not true)\b", false, re.I):
        raise Rejected("flaw_named", "the false sentence says that it is false")
    if "\n" in true or "\n" in false:
        raise Rejected("not_one_sentence")
