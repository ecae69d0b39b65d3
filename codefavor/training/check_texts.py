"""Texts of rows that are another text as a program wrote it, and tests that test nothing."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from codefavor.pairs.published_turns import decoded
from codefavor.records import Row
from codefavor.text import parse_fences
from codefavor.training.check_evidence import texts_of
from codefavor.training.check_readers import SAMPLING_METHODS
from codefavor.training.findings import Finding, Sample, of_rows

_BYTES = re.compile(r"b(['\"]).*\1", re.DOTALL)
_ESCAPED = re.compile(r"&(?:lt|gt|quot|amp|#x27|#39);")
_UNFILLED = re.compile(
    r"\{(?:instruction|question|prompt|problem|query|task|user_input|input_text)\}"
    r"|\{\{ *(?:instruction|question|prompt|problem|query|task|input) *\}\}"
)
# A part of a program that long is no accident.
_LONG = 25
# So many lines that count from 1 are no accident.
_N_NUMBERED = 3


# What UTF-8 looks like that was read as Latin-1 or Windows-1252.
_MOJIBAKE = re.compile(
    "\u00e2\u20ac[\u0080-\uffff]|\u00c3[\u0080-\u00bf]|\u00e2\u0080[\u0080-\u00bf]"
)
# A statement with a body, and behind it a line that is not further in.
_FLAT_BODY = re.compile(
    r"^([ \t]*)(?:def|class|for|while|if|with|try|else)\b[^\n#]*:[ \t]*\n\1(?=[^\s#])", re.MULTILINE
)


def _are_turns(text: str) -> bool:
    try:
        return not isinstance(decoded(text, "text"), str)
    except ValueError:
        return True


def _is_flat(text: str) -> bool:
    return text.count("\\n") > 1 and "\n" not in text


def _is_escaped(text: str) -> bool:
    return bool(_ESCAPED.search(text)) and not re.search(r"[<>\"']", text)


def _is_numbered(text: str) -> bool:
    """Whether the lines of a text, or of its first program, begin with 1, 2, 3 and so on."""
    lines = [line.split(maxsplit=1)[0].rstrip(":|.") for line in text.splitlines() if line.strip()]
    first = next((at for at, line in enumerate(lines) if line == "1"), len(lines))
    counted = lines[first : first + _N_NUMBERED]
    return counted == [str(number) for number in range(1, _N_NUMBERED + 1)] and bool(
        re.search(r"^\s*\d+[:|.\s]+(?:def|class|import|from|```)", text, re.MULTILINE)
    )


def _is_flat_program(text: str) -> bool:
    return any(
        one.language in ("python", "py", "python3") and _FLAT_BODY.search(one.content)
        for one in (parse_fences(text) if "```" in text else ())
    )


# What a text can be, and what it is called. The first holds for questions alone.
_KINDS: tuple[tuple[Callable[[str], object], str], ...] = (
    (_UNFILLED.search, "a question with a place that nobody filled in ({instruction})"),
    (_are_turns, "a text that is a list of turns as JSON or Python writes it"),
    (_BYTES.fullmatch, "a text that is bytes as Python writes them (b'...')"),
    (_is_flat, "a text in one line, with \\n written out"),
    (_is_escaped, "a text with HTML's escapes (&quot;) and none of what they stand for"),
    (lambda text: "[object Object]" in text, "a text that is [object Object]"),
    (
        _MOJIBAKE.search,
        "a text whose characters were read in another encoding (\u00e2\u20ac\u2122)",
    ),
    (_is_numbered, "a program whose lines are numbered"),
    (_is_flat_program, "a program that has lost its indentation"),
)


# A text can be so by right (a program on a text's lines): these are told of where they are many.
_IN_MANY = {what for _, what in (_KINDS[3], _KINDS[4], *_KINDS[-2:])}
# What some publish by intention.
_ODD = "its tests within the question, where a model that is paid for them can read them"
_MANY = 20


def text_findings(
    method: str, key: str, entry: Mapping[str, Any], sample: Sample
) -> Iterator[Finding]:
    """Rows by what is wrong with their texts; an error where it is half of them."""
    found: dict[str, list[str]] = {}
    for where, row in sample:
        question, good, bad = texts_of(method, entry, row)
        kinds = [
            what
            for number, (fits, what) in enumerate(_KINDS)
            if any(one and fits(one) for one in ((question, good, bad) if number else (question,)))
        ]
        if _is_within(good, question) and not _is_within(bad, question):
            kinds.append("the better answer within the question")
        if method in SAMPLING_METHODS and row.get("language", "python") == "python":
            kinds += _test_kinds(row)
            if _is_within(str(row.get("tests") or ""), question):
                kinds.append(_ODD)
        if method == "sft" and question.startswith("```") and good and "```" not in good:
            kinds.append("a question that is a program alone and an answer without one")
        for what in kinds:
            found.setdefault(what, []).append(where)
    for what, places in found.items():
        if what in _IN_MANY and _MANY * len(places) < len(sample):
            continue
        share = 2.0 if what == _ODD else 0.5
        yield of_rows(
            key,
            places,
            sample,
            f"have {what}",
            "; look at them, and mend what is wrong",
            share=share,
        )


def _is_within(answer: str, question: str) -> bool:
    bare = "".join(answer.split())
    return len(bare) >= _LONG and bare in "".join(question.split())


def _test_kinds(row: Row) -> Iterator[str]:
    """What is wrong with the tests of a problem in Python, by reading them."""
    tests, entry_point = row.get("tests"), row.get("entry_point")
    if not isinstance(tests, str) or not tests.strip():
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse(tests)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield "tests that are no Python"
        return
    if not any(isinstance(node, ast.Call) for node in nodes):
        yield "tests that call nothing"
        return
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    named = {str(entry_point), str(entry_point).partition(".")[0], "candidate", "METADATA"}
    if entry_point and not names & named:
        yield "tests that never name their entry_point"
