"""Code inside what carries it: patches, numbered and quoted lines, comments, JSON, texts."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

_LEAST_LINES = 3
# A carrier in a carrier in a carrier.
_DEEPEST = 3
_MOST_BYTES = 1 << 20
_PATCH = re.compile(r"^(?:@@ |\+\+\+ |diff --git )", re.MULTILINE)
_PATCH_HEAD = re.compile(r"^(?:\+\+\+|---|@@|diff |index )")
# What stands before every line of a block: numbers, marks of quotes, comments and prompts.
_BEFORE = tuple(
    re.compile(one)
    for one in (
        r"^\s*\[?\d+(?:\t|\]|[:|.)]| \| ?|(?=$))(?: (?=\s*\S))?",
        r"^\s*(?:>>>|\.\.\.) ?",
        r"^\s*(?:> ?)+",
        r"^\s*(?:#|//|--|;+|%)+ ?(?!!)",
        r"^\s*\*(?= |$) ?",
        r"^\s*\| ?",
        r"^\s*[+] ?",
    )
)
# One line of a program as a text of its own: `"def f(x):\n" +`.
_QUOTED_LINE = re.compile(
    r"""^\s*(?:[\w.]+\(|[+(\[])?\s*[rbfuRBFU]{0,2}(["'])(?P<text>.*?)(?:\\r)?(?:\\n)?\1\s*[\])]*[,;+\\]?\s*$"""
)
_TRIPLE = re.compile(r"\"{3}(.*?)\"{3}|'{3}(.*?)'{3}", re.DOTALL)
_ESCAPED_HTML = re.compile(r"&(?:lt|gt|amp|quot|#\d+|#x[\da-f]+);", re.IGNORECASE)
# What code has and prose has not.
_CODE = re.compile(
    r"^\s*(?:def|class|return|for|if|while|function|func|fn|const|let|var|public|static|import)\b"
    r"|[\w)\]] ?[-+*/]?= ?[\w(\[\"']",
    re.MULTILINE,
)


def carried_in(texts: Iterable[str]) -> list[str]:
    """Every different program that any of the texts may carry, see `unwrapped`."""
    return list(dict.fromkeys(inner for text in texts for inner in unwrapped(text)))


def unwrapped(text: str) -> list[str]:
    """Every different program that a text may carry, without what it is wrapped in; not the text
    itself."""
    found: dict[str, None] = {}
    new = [text[:_MOST_BYTES]]
    for _ in range(_DEEPEST):
        inner = [one for outer in new for reader in _READERS for one in reader(outer)]
        new = [one for one in dict.fromkeys(inner) if one not in found and one != text]
        found.update(dict.fromkeys(new))
    return [one for one in found if one.count("\n") + 1 >= _LEAST_LINES and _CODE.search(one)]


def _of_patch(text: str) -> Iterator[str]:
    """What a patch makes, and what it was made from."""
    if not _PATCH.search(text):
        return
    lines = [line for line in text.splitlines() if not _PATCH_HEAD.match(line)]
    for mark in "+-":
        kept = [line[1:] for line in lines if line[:1] in (mark, " ")]
        if any(line.startswith(mark) for line in lines):
            yield "\n".join(kept)


def _of_lines(text: str) -> Iterator[str]:
    """The lines that begin with the same kind of mark."""
    lines = text.splitlines()
    for before in _BEFORE:
        yield from _block(lines, partial(_behind, before))
    yield from _block(lines, _quoted)


def _behind(before: re.Pattern[str], line: str) -> str | None:
    match = before.match(line)
    return line[match.end() :] if match else None


def _quoted(line: str) -> str | None:
    match = _QUOTED_LINE.match(line)
    return match["text"].replace('\\"', '"').replace("\\'", "'") if match else None


def _block(lines: list[str], bare: Callable[[str], str | None]) -> Iterator[str]:
    """All lines with the mark, without it: who quotes piece by piece writes between the pieces."""
    inner = [one for line in lines if (one := bare(line)) is not None]
    if len(inner) >= _LEAST_LINES:
        yield "\n".join(inner)


def _of_json(text: str) -> Iterator[str]:
    """Texts of several lines in JSON, and lists of lines as one."""
    decoder = json.JSONDecoder()
    place = 0
    while (found := re.compile(r"[{\[]\s*[\"{\[]").search(text, place)) is not None:
        try:
            value, place = decoder.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            place = found.start() + 1
            if text.count("{", place) + text.count("[", place) > 200:
                return
            continue
        yield from _texts(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "\n" in value or value.lstrip()[:1] in ("{", "["):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        if len(value) >= _LEAST_LINES and all(isinstance(one, str) for one in value):
            yield "\n".join(one.rstrip("\r\n") for one in value)
        for inner in value:
            yield from _texts(inner)


def _of_quotes(text: str) -> Iterator[str]:
    """What stands in three quotes."""
    for match in _TRIPLE.finditer(text):
        yield match[1] or match[2] or ""


def _of_html(text: str) -> Iterator[str]:
    if _ESCAPED_HTML.search(text):
        yield html.unescape(text)


_READERS = (_of_patch, _of_lines, _of_json, _of_quotes, _of_html)
