"""Programs that do not stand in a closed block of their own: bare, in a session, a diff, JSON."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from itertools import dropwhile, islice, takewhile

from codefavor.languages.python_code import tree_of
from codefavor.scoring.blocks import is_foreign, parsing_part
from codefavor.text import Fence, lines_of, parse_fences

_MARKS = re.compile(r"(?:`{3,}|~{3,})[ \t]*(?:python3?|py)?", re.IGNORECASE)
_DEFINITION = re.compile(r"[ \t]*(?:def |async def |class |@\w)")
_START = re.compile(
    rf"{_DEFINITION.pattern}|[ \t]*(?:import \w|from \w[\w.]* import |(?:for|if|try|while|with)\b|"
    r"\w+(?:, ?\w+)* = |[\w.]+\()"
)
_DIFF = ("diff", "patch")
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
# Lines of one reply at which a program is looked for before it counts as prose.
_MOST_READ = 100
# Ends tried for each.
_MOST_CUTS = 12


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


def readings(reply: str) -> Iterator[list[Fence]]:
    """The Python programs of a reply, each time as a list as of blocks, the likelier first: its
    blocks, the new side of diffs, what parses between the prose when fence marks say nothing, the
    strings of a JSON object, inline code."""
    fences = parse_fences(reply)
    yield [part for fence in fences for part in _programs_in(fence)]
    yield [one._replace(content=_new_side(one.content)) for one in fences if one.language in _DIFF]
    yield list(_between_prose(_MARKS.sub("\n", reply)))
    texts = [reply, *(one.content for one in fences if one.language in ("json", ""))]
    yield [Fence("", code, is_closed=True) for text in texts for code in json_strings(text)]
    yield [Fence("", found[1] + "\n", is_closed=True) for found in _INLINE.finditer(reply)]


def _programs_in(fence: Fence) -> list[Fence]:
    """A block, or where it is no program because words or a cut are in it, the programs there."""
    if tree_of(fence.content) is not None or is_foreign(fence) or fence.language in _DIFF:
        return [fence]
    parts = [one._replace(language=fence.language) for one in _between_prose(fence.content)]
    if parts:
        parts[0] = parts[0]._replace(before=f"{fence.before}\n{parts[0].before}")
        parts[-1] = parts[-1]._replace(after=fence.after)
    return parts


def _between_prose(text: str) -> Iterator[Fence]:
    """Every stretch of lines that is a program, from its first line to where prose begins.

    A definition that goes on where it does not parse is broken or was cut off, and is none.
    """
    lines = lines_of(text)
    number, before, starts = 0, list[str](), 0
    while number < len(lines) and starts < _MOST_READ:
        region = _as_deep(lines[number:]) if _START.match(lines[number]) else []
        starts += bool(region)
        code = parsing_part("\n".join(region), most_cuts=_MOST_CUTS)
        end = code.count("\n")
        rest = list(dropwhile(lambda line: not line.strip(), region[end:]))
        is_cut = bool(code) and bool(rest) and rest[0][:1].isspace()
        code = _without_last(code) if is_cut else code
        if code.strip():
            yield Fence("", code.rstrip() + "\n", is_closed=True, before="\n".join(before))
            before = []
        elif not end:
            before.append(lines[number])
        if is_cut or (not end and _DEFINITION.match(lines[number])):
            # What is left of it is no program of its own.
            inside = takewhile(
                lambda line: not line.strip() or line[0].isspace(), region[end or 1 :]
            )
            number += len(list(inside))
        number += end or 1


def _as_deep(lines: list[str]) -> list[str]:
    """The lines down to the first that is indented less than the first one, without the indent."""
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    end = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith(indent)),
               len(lines))  # fmt: skip
    return [line[len(indent) :] for line in lines[:end]]


def _without_last(code: str) -> str:
    """A program without its last statement."""
    tree = tree_of(code)
    if tree is None or not tree.body:
        return ""
    last = tree.body[-1]
    first = min([last, *getattr(last, "decorator_list", [])], key=lambda one: one.lineno)
    return "\n".join(lines_of(code)[: first.lineno - 1])


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
