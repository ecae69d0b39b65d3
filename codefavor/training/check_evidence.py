"""Rows whose texts teach something else than a preference of programs: counted and named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codefavor.judges.verdict_reader import read_verdict
from codefavor.records import Row
from codefavor.text import THINKING_BEGINS, THINKING_ENDS
from codefavor.training.findings import (
    ANSWERS_AS,
    QUESTION_COLUMNS,
    Finding,
    Sample,
    at,
    of_rows,
    shown,
)

# What a table or a program writes for a cell without a value.
_NO_VALUE = {"none", "nan", "null", "n/a", "<na>", "undefined"}
_REFUSAL = re.compile(
    r"\W*(i(['’]m| am) (so |very |really )?(sorry|unable)|sorry,|i apologi[sz]e"
    r"|i (cannot|can not|can['’]t|won['’]t|will not) |as an? (ai|(large )?language model)\b)",
    re.IGNORECASE,
)
_THOUGHT = re.compile(THINKING_BEGINS)
LETTERS = {"A", "B"}
# A judge that reasons is asked for a last line like it, and ours for this very one.
_ASKS_RESULT = re.compile(r"\[RESULT\]\W*\(?A\b.{0,40}\bB\b")
_RESULT = re.compile(r"\[RESULT\] [AB]\s*\Z")
_FAILS = re.compile(r"\bProgram ([AB]) does not do what is asked\b")
_ONE_LETTER = re.compile(r"\b(one|a single|only the) letter\b", re.IGNORECASE)
_HAS_LETTER = re.compile(r"\b[AB]\b")
# Of a kind that cannot be meant, and of one that can.
_WRONG = {
    "blank": "a question without a text",
    "question": "a question that is no text but a lost value (None, nan)",
    "thought": "an answer that is a thought alone, or one that never ends",
    "repeats": "an answer that is the question itself",
}
_VERDICTS = {
    "unread": "end with no letter that the judge reads (a last line [RESULT] A or [RESULT] B)",
    "bare": "have no reasons before the letter, so that the judge learns to give none",
    "contradicts": "choose the program of which they say that it does not do what is asked",
    "form": "end otherwise than with the line [RESULT] A or [RESULT] B that is asked for",
}
_ODD = {
    "fence": "a fenced program on one side alone: the fence tells the sides, not the program",
    "refusal": "a refusal as the better answer",
    "rejected": "a worse answer that is the question itself",
    "no answer": "an answer that is no text but a lost value (None, nan)",
}


def evidence_findings(
    method: str, key: str, entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """Rows of lost values, refusals, echoes of the question, and fences that give the side away."""
    found: dict[str, list[str]] = {}
    for where, row in sample:
        for kind in dict.fromkeys(_kinds(method, entry, row)):
            found.setdefault(kind, []).append(where)
    for kind, places in found.items():
        what, is_all = f"have {(_WRONG | _ODD)[kind]}", kind == "refusal" and len(sample) > 1
        share = 0.0 if kind in _WRONG else 1.0 if is_all else 2.0
        yield of_rows(key, places, sample, what, "; mend or drop them", share=share)


def _kinds(method: str, entry: Mapping[str, Any], row: Row) -> Iterator[str]:
    question, good, bad = texts_of(method, entry, row)
    if method == "sft" and good and not question:
        yield "blank"  # of other methods that is told already
    if question.lower() in _NO_VALUE:
        yield "question"
    if any(one.lower() in _NO_VALUE for one in (good, bad)):
        yield "no answer"
    if _THOUGHT.match(good) and not re.sub(rf"(?s)\A.*(?:{THINKING_ENDS}|\Z)", "", good).strip():
        yield "thought"
    if question and good == question:
        yield "repeats"
    if question and bad == question:
        yield "rejected"
    if _REFUSAL.match(good) and "```" not in good:
        yield "refusal"
    if good and bad and ("```" in good) != ("```" in bad):
        yield "fence"


def texts_of(method: str, entry: Mapping[str, Any], row: Row) -> tuple[str, str, str]:
    """The question of a row, its better and its worse answer; "" for what it has not."""
    turns = row.get(str(entry.get("field_messages") or "messages"))
    if method == "sft":
        said = turns[-2:] if isinstance(turns, list) and len(turns) > 1 else [{}, {}]
        roles = [one.get("role", one.get("from")) for one in said if isinstance(one, Mapping)]
        is_answered = roles[-1:] and roles[-1] in ANSWERS_AS
        return (_text(said[0]), _text(said[1]), "") if is_answered else ("", "", "")
    asked = turns if turns is not None else next((row[n] for n in QUESTION_COLUMNS if n in row), "")
    if "completion" in row:
        answer = _text(row["completion"])
        return (_text(asked), answer, "") if row.get("label") else (_text(asked), "", answer)
    return _text(asked), _text(row.get("chosen")), _text(row.get("rejected"))


def _text(value: Any) -> str:
    """A text, or the text of a turn or of the last of some."""
    if isinstance(value, list) and value:
        value = value[-1]
    if isinstance(value, Mapping):
        value = value.get("content", value.get("value"))
    return value.strip() if isinstance(value, str) else ""


def letter_word_findings(
    config: Mapping[str, Any], key: str, talks: Sequence[Sequence[str]], places: Sequence[str]
) -> Iterator[Finding]:
    """Answers that say the letter of a judge in words, where one letter is asked for or read."""
    is_read = at(config, "dev_accuracy.judge") == "pairwise"
    asked = [bool(is_read or _ONE_LETTER.search("\n".join(talk[:-1]))) for talk in talks]
    worded = [
        (place, talk[-1].strip())
        for place, talk, asks in zip(places, talks, asked, strict=True)
        if asks and len(talk[-1].strip()) > 1 and _HAS_LETTER.search(talk[-1])
    ]
    if worded:
        then = (
            f" with {shown(worded[0][1])}, and the judge is asked for one letter and reads the "
            "first token; write A or B alone (codefavor convert --format pairwise)"
        )
        yield of_rows(key, [place for place, _ in worded], talks, "answer in words", then)


def reasons_letter(talk: Sequence[str]) -> bool:
    """Whether an answer is to end with a letter, behind its reasons."""
    return bool(_ASKS_RESULT.search("\n".join(talk[:-1]))) or "[RESULT]" in talk[-1]


def exchanged_findings(
    wanted: str, key: str, talks: Sequence[Sequence[str]], places: Sequence[str]
) -> Iterator[Finding]:
    """Rows of a judge that answers with a letter under a recipe of one that reasons, and reverse.

    Either judge then reads what was never trained.
    """
    kinds = [
        "pairwise"
        if talk[-1].strip() in LETTERS and not reasons_letter(talk)
        else "pairwise_cot"
        if reasons_letter(talk)
        else ""
        for talk in talks
    ]
    for kind, what, reads in (
        ("pairwise", "are answered by a letter alone", "reads the line [RESULT] behind reasons"),
        ("pairwise_cot", "are answered by reasons and [RESULT]", "reads a letter at once"),
    ):
        found = [place for place, one in zip(places, kinds, strict=True) if one == kind]
        if wanted and found and kind != wanted:
            then = (
                f", and the judge of this recipe {reads}; write codefavor convert --format {wanted}"
            )
            yield of_rows(key, found, talks, what, then)


def verdict_findings(
    key: str, talks: Sequence[Sequence[str]], places: Sequence[str]
) -> tuple[list[Finding], list[str]]:
    """What is wrong with the answers of a judge that reasons, and the letter that is read of each.

    They are read as the trained judge's answers will be; "" is one that states no letter.
    """
    answers = [talk[-1].strip() for talk in talks]
    read = [read_verdict(answer) for answer in answers]
    letters = [one if one in LETTERS else "" for one in map(str, read)]
    found: dict[str, list[str]] = {}
    for place, answer, letter in zip(places, answers, letters, strict=True):
        failing = _FAILS.search(answer)
        kind = (
            "unread"
            if not letter
            else "bare"
            if not answer.partition("[RESULT]")[0].strip(" *_") or answer in LETTERS
            else "contradicts"
            if failing and failing[1] == letter
            else "form"
            if not _RESULT.search(answer)
            else ""
        )
        if kind:
            found.setdefault(kind, []).append(place)
    remedy = "; write them anew (codefavor convert --format pairwise_cot), or drop them"
    told = [
        of_rows(key, places, talks, what, remedy, share=2.0 if kind == "form" else 0.0)
        for kind, what in _VERDICTS.items()
        if (places := found.get(kind, []))
    ]
    return told, letters
