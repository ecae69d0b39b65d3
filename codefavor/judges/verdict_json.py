"""The verdict in a JSON object of a reply, or in one that is almost JSON."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from codefavor.records import Choice

_KEY = re.compile(
    r"(?:final|overall|my|the)*(?:winner|winning\w*|choice|chosen\w*|verdict|better\w*|best\w*|"
    r"result|answer|prefer\w*|select\w*|decision|judge?ment|conclusion|label|pick)"
)
_STATED = re.compile(
    r"[\"'](?:winner|choice|verdict|better|answer|preferred)[\"']\s*:\s*[\"']([^\"']*)[\"']"
)
_SCORE_OF = re.compile(
    r"(?:score|rating|points|total|program|code|solution|response)*([ab])(?:score|rating|points|total)?"
)
_FLAG = re.compile(
    r"(?:is|program|code|response)*([ab])(?:is)?(?:better|best|wins|winner|preferred)"
)
_COMMENT_OR_COMMA = re.compile(r"(?m)//[^\n\"]*$|,(?=\s*[}\]])")


def read_json(text: str, read: Callable[[str], Choice]) -> Choice | None:
    """The choice that the objects of a reply agree on, each read by `read` from its words.

    None where there is no object with a verdict. Objects that differ are undecided, unless the
    words between them take the earlier one back.
    """
    found: list[Choice] = []
    # {"A": 7, "B": 9} is an answer only where it is the whole of one.
    is_whole = text.strip().strip("`").removeprefix("json").strip().startswith("{")
    for value in _objects(text):
        choice = _from_object(value, read, may_be_scores=is_whole)
        if choice is not None:
            found.append(choice)
    if found:
        return found[0] if len(set(found)) == 1 else "undecided"
    return _from_torn(text, read)


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The outermost objects, also with single quotes, comments or a comma too many."""
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_merged)
    closings = _closings(text)
    position = text.find("{")
    while position >= 0:
        end = position + 1
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            closing = closings.get(position, 0)
            value = _almost_json(text[position:closing]) if closing else None
            end = closing if value is not None else end
        if isinstance(value, dict):
            yield value
        position = text.find("{", end)


def _merged(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; a key that is given two values has none that can be read."""
    merged: dict[str, Any] = {}
    for key, value in pairs:
        merged[key] = "" if merged.get(key, value) != value else value
    return merged


def _closings(text: str) -> dict[int, int]:
    """For each brace that is closed, the position behind the one that closes it."""
    opened: list[int] = []
    closings: dict[int, int] = {}
    for match in re.finditer(r"[{}]", text):
        if match.group() == "{":
            opened.append(match.start())
        elif opened:
            closings[opened.pop()] = match.end()
    return closings


def _almost_json(text: str) -> Any:
    try:
        return json.loads(_COMMENT_OR_COMMA.sub("", text), strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _from_object(
    value: Any, read: Callable[[str], Choice], *, may_be_scores: bool
) -> Choice | None:
    if not isinstance(value, dict):
        return None
    fields = {re.sub(r"[\W_]+", "", str(key)).lower(): one for key, one in value.items()}
    answers = [one for key, one in fields.items() if _KEY.fullmatch(key)]
    stated = [
        _from_answer(one, read, may_be_scores=may_be_scores)
        for one in answers
        if isinstance(one, str | int | dict)
    ]
    choices = {choice for choice in stated if choice is not None}
    if choices:
        return choices.pop() if len(choices) == 1 else "undecided"
    flags = {
        match.group(1).upper()
        for key, one in fields.items()
        if one is True and (match := _FLAG.fullmatch(key))
    }
    if flags:
        return "undecided" if len(flags) > 1 else "A" if "A" in flags else "B"
    nested = {
        _from_object(one, read, may_be_scores=may_be_scores or "score" in key or "rating" in key)
        for key, one in fields.items()
    } - {None}
    if nested:
        return nested.pop() if len(nested) == 1 else "undecided"
    by_scores = _from_scores(fields) if may_be_scores else None
    if by_scores is not None:
        return by_scores
    # An answer in the form asked for, its winner left out: its feedback is no verdict.
    return "undecided" if "feedback" in fields or answers else None


def _from_answer(
    answer: Any, read: Callable[[str], Choice], *, may_be_scores: bool
) -> Choice | None:
    if isinstance(answer, dict):
        return _from_object(answer, read, may_be_scores=may_be_scores)
    if isinstance(answer, bool):
        return None
    if isinstance(answer, int):
        return {1: "A", 2: "B"}.get(answer, "undecided")  # type: ignore[return-value]
    return read(answer)


def _from_scores(fields: Mapping[str, Any]) -> Choice | None:
    """The higher of two numbers under A and B, however the keys call them."""
    scores: dict[str, float] = {}
    for key, one in fields.items():
        label = _SCORE_OF.fullmatch(key)
        number = one.get("score", one.get("total")) if isinstance(one, dict) else one
        if label and isinstance(number, int | float) and not isinstance(number, bool):
            scores[label.group(1)] = number
    if set(scores) != {"a", "b"}:
        return None
    if scores["a"] == scores["b"]:
        return "tie"
    return "A" if scores["a"] > scores["b"] else "B"


def _from_torn(text: str, read: Callable[[str], Choice]) -> Choice | None:
    """An object that was cut off: what it states whole counts, its feedback does not."""
    body = re.sub(r"^\W*json\b", "", text.strip().lstrip("`")).strip()
    if not body.startswith("{") or 0 in _closings(body):
        return None
    stated = {read(one) for one in _STATED.findall(body)}
    return stated.pop() if len(stated) == 1 else "undecided"
