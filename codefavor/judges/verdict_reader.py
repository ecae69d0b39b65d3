"""The verdict that a reply states in a form that was asked for; anything else is not read.

No sentence is interpreted: whoever reads sentences guesses some wrong ("Answer: A is incorrect
and B is correct."). Sentences only take a verdict back: a judge then asks once more (see `llm`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal, cast

from codefavor.judges.taken_back import counts_faults, is_taken_back
from codefavor.records import Choice
from codefavor.sections import without_thinking

Asked = Literal["line", "scores"]

# What an object may hold beside the choice: others (`better`, `score_a`) may contradict it.
_PROSE = {"feedback", "reason", "reasoning", "analysis", "explanation"}
_NOUN = r"(?i:program|code|solution|response|assistant|option)"
# Bounded everywhere, or a line of ten thousand asterisks takes a minute.
_OPEN, _CLOSE, _BOLD = r"[\[(*_`\"']{0,6}", r"[\])*_`\"']{0,6}", r"[*_]{0,4}"
# No small letters: "a" is an article.
_LABEL = rf"\s{{0,3}}{_OPEN}(?:{_NOUN}[\s_]{{0,3}}{_OPEN})?(A|B|(?i:tie)){_CLOSE}"
_END = r"[\s.!*_]{0,6}(?:</s>|<\|\w{1,20}\|>)?$"
_NAMED = (
    r"(?i:(?:(?:so|therefore|thus|hence),?\s)?(?:(?:my|the|final|overall)\s)*(?:answer|verdict|"
    rf"winner|decision|choice|conclusion|judge?ment|result|(?:better|preferred)\s{_NOUN})){_BOLD}"
)
_HEADING = re.compile(
    rf"^[#*_\s]{{0,9}}(?i:(?:here is\s)?{_NAMED}|hence|therefore|thus|so)[:*_\s]{{0,6}}$"
)
_ALONE = re.compile(rf"^{_LABEL}(?: is better)?{_END}")
# A letter above prose states nothing, for the prose may take it back; but it must not disagree.
_FIRST = re.compile(rf"^{_OPEN}([AB]){_CLOSE}\.?{_BOLD}[^\S\n]{{0,3}}\n[^\S\n]*\n")
# Marks that nobody writes by chance may also stand behind whole sentences, but not behind what
# may be a quotation ("the comment in Program A reads: ...").
_BEHIND = r"^(?:(?i:feedback:)?[^:\"`\n]*[.!][*_)]{0,4}\s)?[*_\s]{0,4}"
_FORMS = (
    rf"^{_BOLD}{_NAMED}(?::{_BOLD}|\sis\b:?){_LABEL}",
    rf"(?:^`|{_BEHIND})\[RESULT\]{_BOLD}:?{_LABEL}",
    rf"{_BEHIND}\[\[(A|B|(?i:tie))\]\]",
)
_STATED = [re.compile(form + _END) for form in _FORMS]
# How such a line begins, whatever it goes on to say.
_CLAIMED = [re.compile(form + r"(?!\w|\s?[:=]\s?\d)") for form in _FORMS]
_NUMBER = rf"[*_\s]{{0,4}}[:=][*_\s]{{0,4}}(10|[1-9](?:\.\d+)?)(?:\s?/\s?10)?{_BOLD}"
_SCORED_A, _SCORED_B = (rf"{_BOLD}(?:{_NOUN}\s)?{label}{_NUMBER}" for label in "AB")
# Of 1 to 10, as they were asked for; bare numbers beside the labels may count bugs.
_SCORES = re.compile(
    rf"^{_BOLD}(?:\[RESULT\]:?|(?i:scores?:))\s*{_SCORED_A}\s*[,;]\s*{_SCORED_B}{_END}"
)
_CODE = "(code)."
# How the line above a verdict must end, or this is the rest of it ("the winner is not").
_ENDED = re.compile(r"[.!。！][)\]*_`\"']{0,4}$|^(?i:here is the json(?: object)?):$")
_ANNOUNCED = re.compile(r"\b(?:the following|as follows|below)\b", re.IGNORECASE)
_INDENTED = re.compile(r"^(?: {4}|\t).*$", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)\n.*?(?:^ {0,3}\1\s*?$|\Z)", re.S | re.M)
_OBJECT = re.compile(r"(?:^```(?:json)?\s{0,3})?^(?=\{)", re.MULTILINE)
_THOUGHT = re.compile(r"<(think\w*|reasoning)>.*?</\1>", re.DOTALL)
_STILL_THINKING = re.compile(r"<think|<\|channel\|>|\[THINK\]")


def read_verdict(text: str, asked: Asked = "line", *, is_cut: bool = False) -> Choice | None:
    """A, B or tie, where the reply states it in a form that was asked for; else None.

    None too where it is endless, or may be cut off (`is_cut`), or sentences above take it back.
    """
    if len(visible := visible_text(text)) > 50_000:
        return None
    seen = _FENCE.sub(_without_code, visible)
    whole = _OBJECT.search(seen)
    found = stated = _from_object(seen[whole.end() :].rstrip("`\n")) if whole else None
    lines = _lines(seen[: whole.start()] if whole and found else seen)
    if not is_cut or found:
        found = _ending(lines, found, asked)
    claims = {_choice(_FIRST.match(seen)), *_claims(lines)}
    if asked == "scores":
        claims |= set(map(_scored, lines))
        found = None if counts_faults(seen) else found
    is_doubted = is_taken_back(_sentences([*lines, "{"] if stated else lines), found)
    return found if claims <= {found, None} and not is_doubted else None


def visible_text(text: str) -> str:
    """The reply without its thoughts; "" where they never ended, or are too many."""
    n_thoughts = text.count("<think") + text.count("<reasoning>")
    text = without_thinking(_THOUGHT.sub("", text)) if n_thoughts < 50 else ""
    return "" if _STILL_THINKING.search(text) else text.strip()


def _without_code(fence: re.Match[str]) -> str:
    return fence.group() if fence.group(2).strip() in ("", "json") else _CODE


def _lines(text: str) -> list[str]:
    text = _INDENTED.sub(_CODE, _FENCE.sub(_CODE, text))
    text = re.sub(r"(\[RESULT\][:*]{0,3})\s+", r"\1 ", text)
    return [line.strip() for line in text.split("\n") if line.strip(" \t\r-=*_")]


def _ending(lines: Sequence[str], in_object: Choice | None, asked: Asked) -> Choice | None:
    above, last = ["", *lines, "{"][-2:] if in_object else ["", "", *lines][-2:]
    is_headed = not above or bool(_HEADING.search(above))
    if not (is_headed or _ENDED.search(above)) or _ANNOUNCED.search(above):
        return None
    if in_object or (asked == "scores" and _scored(last)):
        return in_object or _scored(last)
    forms = [*_STATED, _ALONE] if is_headed else _STATED
    return next((choice for form in forms if (choice := _choice(form.search(last)))), None)


def _choice(match: re.Match[str] | None) -> Choice | None:
    label = match.group(1) if match else None
    return cast("Choice | None", label if label in ("A", "B", None) else "tie")


def _scored(line: str) -> Choice | None:
    if not (match := _SCORES.search(line)):
        return None
    score_a, score_b = map(float, match.groups())
    return "tie" if score_a == score_b else "A" if score_a > score_b else "B"


def _from_object(text: str) -> Choice | None:
    try:
        pairs = json.loads(text, strict=False, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    fields = {key.lower(): value for key, value in pairs}
    stated = [fields.pop(key) for key in ("winner", "verdict") if key in fields]
    if len(stated) != 1 or len(fields) + 1 != len(pairs) or not fields.keys() <= _PROSE:
        return None
    choice = _choice(re.fullmatch(rf"'{_LABEL}'", repr(stated[0])))
    for told in (_lines(str(value)) for value in fields.values()):
        if not _claims(told) <= {choice} or is_taken_back(_sentences([*told, "}"]), choice):
            return None
    return choice


def _claims(lines: Sequence[str]) -> set[Choice | None]:
    return {_choice(form.search(line)) for line in lines for form in _CLAIMED} - {None}


def _sentences(lines: Sequence[str]) -> list[str]:
    """All above the last one, which states the verdict, without headings."""
    told = re.split(r"(?<=[.!?])[)\]*_`\"']{0,4}\s+|\n", "\n".join(lines))[:-1]
    return [one for one in told if not _HEADING.search(one)]
