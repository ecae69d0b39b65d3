"""The verdict that a reply states in a form that was asked for; anything else is not read.

No sentence is interpreted: whoever reads sentences guesses some wrong ("Answer: A is incorrect
and B is correct."). A judge asks once more about a reply that is not read (see `llm`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

from codefavor.records import Choice
from codefavor.sections import without_thinking

# What the question asked for. A letter above an explanation is read only where a letter was asked
# for, and scores only where scores were; the other forms are read in every case.
Asked = Literal["letter", "line", "scores"]

_KEYS = ("winner", "verdict")
_MUST_AGREE = (*_KEYS, "choice", "answer")
_NOUN = r"(?i:program|code|solution|response|assistant|option)"
# Bounded everywhere, or a line of ten thousand asterisks takes a minute.
_OPEN, _CLOSE, _BOLD = r"[\[(*_`\"']{0,6}", r"[\])*_`\"']{0,6}", r"[*_]{0,4}"
# No small letters: "a" is an article.
_LABEL = rf"\s{{0,3}}{_OPEN}(?:{_NOUN}[\s_]{{0,3}}{_OPEN})?(A|B|(?i:tie)){_CLOSE}"
_END = r"[\s.!*_]{0,6}$"
_NAMED = (
    r"(?i:(?:(?:so|therefore|thus|hence),?\s)?(?:(?:my|the|final|overall)\s)*"
    r"(?:answer|verdict|winner|decision|choice|conclusion|judge?ment|"
    rf"(?:better|preferred)\s{_NOUN})){_BOLD}"
)
_HEADING = re.compile(rf"^[#*_\s]{{0,9}}{_NAMED}[:*_\s]{{0,6}}$")
_ALONE = re.compile(rf"^{_LABEL}(?: is better)?{_END}")
_FIRST = re.compile(rf"^{_OPEN}([AB]){_CLOSE}\.?{_BOLD}[^\S\n]{{0,3}}\n[^\S\n]*\n(?!\s*```)")
# Marks that nobody writes by chance may also stand behind whole sentences, but not behind what
# may be a quotation ("the comment in Program A reads: ...").
_BEHIND = r"^(?:(?i:feedback:)?[^:\"`\n]*[.!][*_)]{0,4}\s)?[*_\s]{0,4}"
_FORMS = (
    rf"^{_BOLD}{_NAMED}(?::{_BOLD}|\sis\b:?){_LABEL}",
    rf"{_BEHIND}\[RESULT\]{_BOLD}:?{_LABEL}",
    rf"{_BEHIND}\[\[(A|B|(?i:tie))\]\]",
)
_STATED = [re.compile(form + _END) for form in _FORMS]
# How such a line begins, whatever it goes on to say.
_CLAIMED = [re.compile(form + r"(?!\w|\s?[:=]\s?\d)") for form in _FORMS]
_NUMBER = rf"[*_\s]{{0,4}}[:=][*_\s]{{0,4}}(\d+(?:\.\d+)?)(?:\s?/\s?(\d+))?{_BOLD}"
_SCORED_A, _SCORED_B = (rf"{_BOLD}(?:{_NOUN}\s)?{label}{_NUMBER}" for label in "AB")
_SCORE = rf"{_BOLD}(?i:score\s)(?i:(?:for|of)\s)?"
# Bare numbers beside the labels may count bugs.
_SCORES = [
    re.compile(rf"^{_BOLD}(?:\[RESULT\]:?|(?i:scores?:))\s*{_SCORED_A}\s*[,;]\s*{_SCORED_B}{_END}"),
    re.compile(rf"^{_SCORE}{_SCORED_A}\s*[,;\n]\s*{_SCORE}{_SCORED_B}{_END}"),
]
# Forms in which models are trained to wrap an answer; they are one with [[A]].
_WRAPPED = re.compile(
    r"\$?\\boxed\{(?:\\text\{)?(?:Program )?([AB])\}?\}\$?|<(answer|verdict|winner)>([AB])</\2>"
)
_INDENTED = re.compile(r"^(?: {4}|\t).*$", re.MULTILINE)
_FENCE = re.compile(
    r"^ {0,3}(`{3,}|~{3,})([^\n]*)\n.*?(?:^ {0,3}\1\s*?$|\Z)", re.DOTALL | re.MULTILINE
)
_OBJECT = re.compile(r"(?:^```(?:json)?\s{0,3})?^(?=\{)", re.MULTILINE)
_THOUGHT = re.compile(r"<(think\w*|reasoning)>.*?</\1>", re.DOTALL)
_STILL_THINKING = re.compile(r"<think|<\|channel\|>|\[THINK\]")


def read_verdict(text: str, asked: Asked = "line", *, is_cut: bool = False) -> Choice | None:
    """A, B or tie, where the reply states it in a form that was asked for; else None.

    The forms: a JSON object at the end whose `winner` is the choice; a last line such as
    "[RESULT] A", "Verdict: A" or "[[A]]", or the choice alone below such a heading; a reply of
    nothing but the choice. None where lines claim different choices, where the last line may be
    cut off (`is_cut`), and where the line before it asks or announces something.
    """
    seen = _FENCE.sub(_without_code, visible_text(text))
    whole = _OBJECT.search(seen)
    found = _from_object(seen[whole.end() :].rstrip("`\n")) if whole else None
    lines = _lines(seen[: whole.start()] if whole and found else seen)
    if not is_cut or found:
        found = _ending(lines, found, asked)
    first = _choice(_FIRST.match(seen))
    if asked == "letter" and first and not found:
        # An explanation that names the other one too may end with it.
        other = r"\bB\b" if first == "A" else r"\bA\b"
        found = None if re.search(other, seen) else first
    pairs = [*lines, *map("\n".join, pairwise(lines))] if asked == "scores" else []
    claims = {first, *map(_scored, pairs)}
    claims |= {_choice(form.search(line)) for line in lines for form in _CLAIMED}
    return found if claims <= {found, None} else None


def visible_text(text: str) -> str:
    """The reply without its thoughts; "" where they never ended."""
    text = without_thinking(_THOUGHT.sub("", text))
    return "" if _STILL_THINKING.search(text) else text.strip()


def _without_code(fence: re.Match[str]) -> str:
    return fence.group() if fence.group(2).strip() in ("", "json") else "```"


def _lines(text: str) -> list[str]:
    text = _INDENTED.sub("```", _FENCE.sub("```", text))
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return [_WRAPPED.sub(r"[[\1\3]]", line) for line in lines]


def _ending(lines: Sequence[str], in_object: Choice | None, asked: Asked) -> Choice | None:
    """What the object or the last line states, given what stands before it."""
    earlier = lines if in_object else lines[:-1]
    before = earlier[-1] if earlier else ""
    is_headed = bool(_HEADING.search(before))
    if before.endswith(("?", ":")) and not is_headed:
        return None
    if in_object or not lines:
        return in_object
    last = lines[-1]
    if asked == "scores" and (choice := _scored(last) or _scored(f"{before}\n{last}")):
        return choice
    forms = [*_STATED, _ALONE] if is_headed or not before else _STATED
    return next((choice for form in forms if (choice := _choice(form.search(last)))), None)


def _choice(match: re.Match[str] | None) -> Choice | None:
    label = match.group(1) if match else None
    return cast("Choice | None", label if label in ("A", "B", None) else "tie")


def _scored(line: str) -> Choice | None:
    match = next((found for form in _SCORES if (found := form.search(line))), None)
    if match is None or match.group(2) != match.group(4):
        return None
    score_a, score_b = float(match.group(1)), float(match.group(3))
    return "tie" if score_a == score_b else "A" if score_a > score_b else "B"


def _from_object(text: str) -> Choice | None:
    try:
        pairs = json.loads(text, strict=False, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    values = {repr(value) for key, value in pairs if key.lower() in _MUST_AGREE}
    is_asked_for = len(values) == 1 and any(key.lower() in _KEYS for key, _ in pairs)
    return _choice(re.fullmatch(rf"'{_LABEL}'", values.pop())) if is_asked_for else None
