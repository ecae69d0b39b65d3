"""A verdict from a model's words: only what is plainly said counts, the rest is undecided."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from codefavor.records import Choice, Verdict

_JSON_KEYS = ("winner", "choice", "verdict", "better", "result", "answer")
_THINKING = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN_THINKING = re.compile(r"<(think|thinking|reasoning)>", re.IGNORECASE)
_MARKER = re.compile(r"\[RESULT\]|\*\*\[?RESULT\]?:?\*\*", re.IGNORECASE)
_HEADING = re.compile(
    r"^[#*\s]*(?:final )?(?:result|verdict|answer|decision|conclusion)[*\s]*(?::|$)[*\s]*",
    re.IGNORECASE | re.MULTILINE,
)

_NOUN = r"(?:code|program|solution|snippet|option|implementation|candidate|version|response|answer)"
# Every way to name a candidate becomes <A> or <B> before anything is read.
_NAMED = re.compile(rf"[\[(`*\"']*\b{_NOUN}[ _-]*[\[(`*\"']*([ABab])\b[\])`*\"']*", re.IGNORECASE)
_BRACKETED = re.compile(r"[\[(`*\"']+([AB])[\])`*\"']+")
_BARE_B = re.compile(r"(?<![\w<>'’])B(?![\w<>'’])")
# A bare "A" is also an article: it is a name only beside words that an article cannot have.
_BARE_A = re.compile(
    r"(?<![\w<>'’])A(?=\s*(?:$|[.,;:!?)>=]|(?:is|was|are|wins|outperforms|beats|surpasses|over|and|or"
    r"|has|does|seems|appears|nor|superior to|inferior to|better than|worse than)\b|\s[<>=]))"
    r"|(?<=than )A\b|(?<=over )A\b|(?<=choose )A\b|(?<=prefer )A\b|(?<=pick )A\b|(?<=: )A\b"
    r"|(?<=to )A\b(?=\s*(?:$|[.,;:!?]))|(?<=with )A\b(?=\s*,)|(?<=is )A\b(?=\s*(?:$|[.,;:!?]))"
)

_ADVERBS = (
    r"(?:(?:clearly|much|slightly|significantly|definitely|far|overall|generally|somewhat|a bit|"
    r"a little|marginally|likely|probably|certainly|indeed|also|therefore|thus|still|strictly|"
    r"considerably|notably|substantially|objectively|undoubtedly|simply|the|a|an|by far)[, ]+)*"
)
_IS = r"(?:is|was|are|seems(?: to be)?|appears(?: to be)?|looks|remains|comes out as)"
_GOOD = r"(?:better|superior|preferable|preferred|stronger|best|winner|winning)"
_BAD = r"(?:worse|inferior|weaker|worst|loser)"
_NOT = r"(?:not|never|no|isn't|isn’t|wasn't|cannot be|hardly)"
_LABEL = r"<([AB])>"
_NOT_THE_OTHER = r"(?! than (?:expected|nothing|before|usual|average|random)\b)"

# (pattern, whether the named candidate wins); the first group is the candidate.
_STATEMENTS: list[tuple[re.Pattern[str], bool]] = [
    (re.compile(rf"{_LABEL} (?:{_IS} )?{_ADVERBS}{_GOOD}\b{_NOT_THE_OTHER}"), True),
    (re.compile(rf"{_LABEL} {_IS} [^<>.;]{{1,60}}? and {_ADVERBS}{_GOOD}\b"), True),
    (re.compile(rf"{_LABEL} (?:{_IS} )?{_ADVERBS}{_BAD}\b"), False),
    (
        re.compile(
            rf"{_LABEL} {_ADVERBS}(?:outperforms|beats|surpasses|outdoes|wins|exceeds|improves on|"
            r"dominates|is superior)\b"
        ),
        True,
    ),
    (re.compile(rf"{_LABEL} {_ADVERBS}(?:loses|falls short of|underperforms)\b"), False),
    (
        re.compile(rf"{_LABEL} {_IS} {_ADVERBS}(?:outperformed|beaten|surpassed|outdone) by\b"),
        False,
    ),
    (
        re.compile(
            rf"\b{_GOOD}(?: {_NOUN}| one| choice| of the two| suited| candidate)*"
            rf"(?: here| overall)?(?: {_IS}|:)+ {_LABEL}"
        ),
        True,
    ),
    (re.compile(rf"\b{_BAD}(?: {_NOUN}| one| choice)*(?: {_IS}|:)+ {_LABEL}"), False),
    (
        re.compile(
            r"\b(?:choose|chose|prefer|pick|select|favor|favour|recommend|go with|vote for|"
            rf"choice is|verdict is|answer is|decision is|preference is|result is) {_LABEL}"
        ),
        True,
    ),
    (
        re.compile(
            rf"^(?:[a-z ]*(?:choice|verdict|answer|decision|preference|winner))(?::| -) ?{_LABEL}"
        ),
        True,
    ),
    (re.compile(rf"\bbetter than <[AB]> {_IS} {_LABEL}"), True),
    (re.compile(rf"{_LABEL} ?>+ ?<[AB]>"), True),
    (re.compile(rf"{_LABEL} ?<+ ?<[AB]>"), False),
]
_TIE = re.compile(
    r"\bequally (?:good|bad|correct|valid|well|efficient|secure|strong|suited|suitable|acceptable)"
    r"|\b(?:is|are|are both|it is|it's|result is|verdict is|a) (?:a )?(?:tie|draw)\b"
    r"|^(?:a )?(?:tie|draw)$"
    r"|\b(?:are|is|both) (?:functionally |essentially |effectively |exactly )*"
    r"(?:the same|identical|equivalent|equal|on par|comparable)\b"
    r"|\bno (?:clear |obvious )?(?:winner|difference|better (?:code|program|one|option))\b"
    r"|\bneither(?: of (?:them|the two))?(?: <[AB]> nor <[AB]>| code| program| one)? "
    rf"(?:is|was) {_ADVERBS}better\b|\bneither <[AB]> nor <[AB]> is {_ADVERBS}better\b"
)
_DOUBT = re.compile(
    r"\?|\b(?:if|whether|unless|could be|might be|may be|would be|would have been|should have been|"
    r"can be|depends|depending|hard to say|unclear|cannot (?:decide|determine|tell)|unable|"
    r"not sure|unsure|supposed to|claims?|(?<!i would )says?)\b"
)
_CONCLUDES = re.compile(r"\b(?:overall|therefore|thus|hence|in conclusion|in summary|finally)\b")
_CLAUSE_END = re.compile(
    r"(?<=[.!?;])\s+|\n+|,?\s+(?=(?:while|but|although|though|whereas|however|even though)\b)"
)
_COMPARED = re.compile(
    r"\b(?:compared|in comparison|relative|in contrast) (?:to|with) <[AB]>,? ?|\bunlike <[AB]>,? ?"
)
# Forms in which models are trained to wrap a final answer.
_WRAPPED = re.compile(r"\\boxed\{(.*?)\}|<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_COMPARED_SIGNS = re.compile(r"\b([AB])\s*([<>]+)\s*([AB])\b")
_ONLY_LABEL = re.compile(r"^\W*<([AB])>\W*$")


class _Reading(NamedTuple):
    """What one clause says: who wins, who is said not to win, and whether it concludes."""

    choice: Choice | None
    excluded: Choice | None
    concludes: bool


def parse_verdict(text: str) -> Verdict:
    """The verdict that a reply states, with the reply as `raw`.

    A JSON object is read first; then the text after the last [RESULT] (or a heading such as
    "Verdict:", or else the last line). It must say plainly that one candidate is better, or
    that they are equal; contradiction, doubt and bare negation are undecided.
    """
    visible = _THINKING.sub("", text)
    if _OPEN_THINKING.search(visible):
        return Verdict("undecided", None, text)
    choice = _from_json(visible)
    if choice is None:
        choice = _from_words(_section(visible))
    return Verdict(choice, None, text)


def _from_json(text: str) -> Choice | None:
    """The choice of the last JSON object that has one; None where there is no such object."""
    found: Choice | None = None
    decoder = json.JSONDecoder()
    position = text.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(text, position)
        except ValueError:
            end = position + 1
        else:
            choice = _from_object(value)
            found = found if choice is None else choice
        position = text.find("{", end)
    return found


def _from_object(value: Any) -> Choice | None:
    if not isinstance(value, dict):
        return None
    fields = {str(key).lower(): one for key, one in value.items()}
    stated = [fields[key] for key in _JSON_KEYS if isinstance(fields.get(key), str)]
    if not stated:
        # An answer in the form asked for, its winner left out: its feedback is no verdict.
        return "undecided" if "feedback" in fields else None
    choices = {_from_words(one) for one in stated}
    return choices.pop() if len(choices) == 1 else "undecided"


def _section(text: str) -> str:
    """The part of a reply that states the result."""
    wrapped = [str(one or other) for one, other in _WRAPPED.findall(text)]
    if wrapped:
        return wrapped[-1].strip()
    lines = [line for line in text.splitlines() if _MARKER.search(line)]
    if lines and len(_MARKER.findall(lines[-1])) > 1:
        # "[RESULT] A or [RESULT] B" names the choices: only the whole line says what is meant.
        return _MARKER.sub("", lines[-1]).strip()
    for pattern in (_MARKER, _HEADING):
        parts = [part for part in pattern.split(text)[1:] if part.strip()]
        if parts:
            return parts[-1].strip()
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _from_words(text: str) -> Choice:
    marked = _mark_labels(text)
    only = _ONLY_LABEL.match(marked)
    if only:
        return "A" if only.group(1) == "A" else "B"
    if re.fullmatch(
        r"\W*(?:it'?s )?(?:a )?(?:tie|draw|equal|neither|both)\W*", marked, re.IGNORECASE
    ):
        return "tie" if not re.search("neither|both", marked, re.IGNORECASE) else "undecided"
    readings = [_read(clause) for clause in _CLAUSE_END.split(marked) if clause.strip()]
    return _combine(readings)


def _mark_labels(text: str) -> str:
    text = _COMPARED_SIGNS.sub(r"\1 \2 \3", text)
    text = _NAMED.sub(lambda match: f"<{match.group(1).upper()}>", text)
    text = _BRACKETED.sub(r"<\1>", text)
    text = _BARE_B.sub("<B>", text)
    text = _BARE_A.sub("<A>", text)
    if re.fullmatch(r"\W*[AaBb]\W*", text.replace("<", "").replace(">", "")):
        text = re.sub(r"\W*<?([AaBb])>?\W*", lambda match: f"<{match.group(1).upper()}>", text)
    return re.sub(r"[*`_]+", "", text)


def _read(clause: str) -> _Reading:
    text = " ".join(_COMPARED.sub("", clause).split()).rstrip(".!;,")
    text = re.sub(r"<([AB])>", lambda match: f"@{match.group(1)}@", text).lower()
    text = re.sub(r"@([ab])@", lambda match: f"<{match.group(1).upper()}>", text)
    concludes = bool(_CONCLUDES.search(text))
    if _DOUBT.search(text):
        return _Reading(None, None, concludes)
    is_negated = re.search(rf"\b(?:{_NOT}|neither)\b", text) is not None
    if _TIE.search(text) and not re.search(r"\b(?:not|isn't|aren't|never)\b", text):
        return _Reading("tie", None, concludes)
    winners = {
        _winner(match.group(1), wins)
        for pattern, wins in _STATEMENTS
        for match in pattern.finditer(text)
    }
    if is_negated:
        return _read_negated(text, concludes)
    if len(winners) > 1:
        return _Reading("undecided", None, concludes)
    return _Reading(winners.pop() if winners else None, None, concludes)


def _read_negated(text: str, concludes: bool) -> _Reading:
    """ "A is not better" excludes A and decides nothing; other negations are left unread."""
    match = re.search(rf"{_LABEL} (?:{_IS} )?{_NOT} {_ADVERBS}{_GOOD}\b", text)
    excluded: Choice | None = None
    if match:
        excluded = "A" if match.group(1) == "A" else "B"
    return _Reading(None, excluded, concludes)


def _winner(label: str, wins: bool) -> Choice:
    return "A" if (label == "A") == wins else "B"


def _combine(readings: Iterable[_Reading]) -> Choice:
    """The one choice that all clauses agree on; where they differ, the concluding ones decide."""
    readings = list(readings)
    excluded = {reading.excluded for reading in readings}
    for chosen in (readings, [reading for reading in readings if reading.concludes]):
        choices = {reading.choice for reading in chosen} - {None}
        if len(choices) == 1:
            choice = choices.pop()
            return "undecided" if choice is None or choice in excluded else choice
    return "undecided"
