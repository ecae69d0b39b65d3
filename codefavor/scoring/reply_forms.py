"""Programs that do not stand in a closed block of their own: bare, in a session, a diff, JSON."""

from __future__ import annotations

import ast
import html
import json
import re
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from codefavor.languages.python_code import error_line, tree_of
from codefavor.text import Fence, lines_of, parse_fences

_MARKS = re.compile(r"(?:`{3,}|~{3,})[ \t]*(?:python3?|py)?", re.IGNORECASE)
_START = re.compile(
    r"[ \t]*(?:def |async def |class |import \w|from \w[\w.]* import |@\w|\w+(?:, ?\w+)* = )"
)
_INLINE = re.compile(r"`([^`\n]+)`")
# An interpreter's prompts, and those of a notebook; the second form continues the first.
_PROMPT = re.compile(r"(?:>>>|\.\.\.|In \[\d+\]:|\s*\.\.\.:)(?: |$)")
_SESSION = re.compile(r"^(?:>>>|In \[\d+\]:) (?:def |class |import |from |@)", re.MULTILINE)
_NUMBER = re.compile(r" *(\d+)(?:[.:|]| \|)?(?=\s|$)")
# Spaces that HTML and editors put where indents were.
_INDENT = re.compile(r"^[ \t]*\u00a0[ \t\u00a0]*", re.MULTILINE)
# What only a notebook runs: `!pip install`, `%%time`.
_NOTEBOOK = re.compile(r"^(?:!\w|%%?[a-zA-Z]).*\n?", re.MULTILINE)
# Where JSON with texts in it may begin.
_JSON = re.compile(r"\{\s*\"|\[\s*[\"{]")
_MOST_STARTS = 20
# Cuts tried in one reply before it counts as prose.
_MOST_CUTS = 100


def without_session(text: str) -> str:
    """What was typed into an interpreter, without prompts and answers, where it defines something.

    Blocks are read one by one, so that a session shown behind a program leaves that alone.
    """
    fences = parse_fences(text)
    for content in [one.content for one in fences] if fences else [text]:
        if _SESSION.search(content):
            typed = [_PROMPT.sub("", line, count=1) for line in lines_of(content)
                     if _PROMPT.match(line)]  # fmt: skip
            text = text.replace(content, "\n".join(typed) + "\n")
        elif fences and (plain := _without_numbers(content)):
            text = text.replace(content, plain)
    return text


def without_notebook(text: str) -> str:
    """The text with plain spaces as indents, and its blocks that are no programs without what only
    a notebook runs, or with the characters that HTML writes otherwise, if they are programs then.

    Lines that are part of a program, as within a string, stay.
    """
    text = _INDENT.sub(lambda found: found[0].replace("\u00a0", " "), text)
    for fence in parse_fences(text):
        if tree_of(fence.content) is None:
            plain = _NOTEBOOK.sub("", fence.content)
            unescaped = html.unescape(plain)
            text = text.replace(fence.content, plain if tree_of(unescaped) is None else unescaped)
    return text


def _without_numbers(content: str) -> str:
    """A listing without its line numbers; "" if its lines are not numbered."""
    lines = [line for line in lines_of(content) if line.strip()]
    found = [_NUMBER.match(line) for line in lines]
    numbers = [int(one[1]) for one in found if one]
    if len(lines) < 2 or numbers != list(range(1, len(lines) + 1)):
        return ""
    blanked = [" " * one.end() + line[one.end() :] for one, line in zip(found, lines, strict=True)
               if one]  # fmt: skip
    return textwrap.dedent("\n".join(blanked)) + "\n"


def other_readings(reply: str) -> Iterator[list[Fence]]:
    """The Python programs of a reply in which no closed block has the one asked for.

    Each reading is a list as of blocks, the likelier first: what parses between the prose when
    fence marks say nothing, the new side of diffs, the strings of a JSON object, inline code.
    """
    yield list(_between_prose(_MARKS.sub("\n", reply)))
    fences = parse_fences(reply)
    yield [
        one._replace(content=_new_side(one.content))
        for one in fences
        if one.language in ("diff", "patch")
    ]
    texts = [reply, *(one.content for one in fences if one.language in ("json", ""))]
    yield [Fence("", code, is_closed=True) for text in texts for code in json_strings(text)]
    yield [Fence("", found[1] + "\n", is_closed=True) for found in _INLINE.finditer(reply)]


def _between_prose(text: str) -> Iterator[Fence]:
    """Every stretch of lines that is a program, from its first line to where prose begins.

    One that ends within a definition was cut off there, and is none.
    """
    lines = lines_of(text)
    number, before, cuts = 0, list[str](), 0
    while number < len(lines) and cuts < _MOST_CUTS:
        if not _START.match(lines[number]):
            before.append(lines[number])
            number += 1
            continue
        region = _as_deep(lines[number:])
        end = len(region)
        while end and cuts < _MOST_CUTS:
            cuts += 1
            line = error_line("\n".join(region[:end]))
            if not line and tree_of("\n".join(region[:end])) is not None:
                break
            end = min(end - 1, line - 1) if line else end - 1
        rest = next((line for line in region[end:] if line.strip()), "")
        code = _without_words("\n".join(region[:end]).rstrip() + "\n")
        if end and not rest[:1].isspace():
            yield Fence("", code, is_closed=True, before="\n".join(before))
            before = []
        number += max(end, 1)


def _as_deep(lines: list[str]) -> list[str]:
    """The lines down to the first that is indented less than the first one, without the indent."""
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    end = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith(indent)),
               len(lines))  # fmt: skip
    return [line[len(indent) :] for line in lines[:end]]


def _without_words(code: str) -> str:
    """A program without words at its end that only look like one: `Done`, `Explanation: see`."""
    tree = tree_of(code)
    while tree is not None and len(tree.body) > 1:
        last = tree.body[-1]
        is_word = isinstance(last, ast.Expr) and isinstance(last.value, ast.Name)
        if not is_word and not (isinstance(last, ast.AnnAssign) and last.value is None):
            break
        code = "\n".join(lines_of(code)[: last.lineno - 1]).rstrip() + "\n"
        tree = tree_of(code)
    return code


def _new_side(content: str) -> str:
    """What a unified diff leaves: its kept and added lines."""
    lines = [line for line in lines_of(content) if not re.match(r"\S", line) or line[0] == "+"]
    kept = [line[1:] for line in lines if not line.startswith("+++")]
    return textwrap.dedent("\n".join(kept)) + "\n"


def json_strings(text: str) -> list[str]:
    """The strings of all JSON in a text, and of JSON in these; where they have blocks, those.

    It may stand behind a sentence or within tags, as calls of a tool do.
    """
    rest, end = list[object](), 0
    for start in islice(_JSON.finditer(text), _MOST_STARTS):
        if start.start() >= end:
            with suppress(ValueError, RecursionError):
                found, end = json.JSONDecoder(strict=False).raw_decode(text, start.start())
                rest.append(found)
    texts = list[str]()
    while rest:
        one = rest.pop(0)
        if isinstance(one, str):
            inner = json_strings(one) if one.lstrip()[:1] in ("{", "[") else []
            texts += inner or [fence.content for fence in parse_fences(one)] or [one]
        elif isinstance(one, dict | list):
            rest += one.values() if isinstance(one, dict) else one
    return texts
