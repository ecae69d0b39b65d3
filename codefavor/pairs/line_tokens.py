"""Code as lines of tokens that a disguise leaves as they are: new names, comparisons turned round,
numbers under a name, words that a language only writes otherwise."""

from __future__ import annotations

import keyword
import re
import zlib
from collections.abc import Sequence

from codefavor.languages import find_language
from codefavor.pairs.code_tokens import COMMON

_OTHER_KEYWORDS = """var let const function of new delete undefined null true false switch case this
    void throw catch func fn match loop"""
_KEYWORDS = frozenset([*keyword.kwlist, *_OTHER_KEYWORDS.split()])
# One token for what languages only write otherwise, none ("") for what some do not write at all.
_NEUTRAL = {
    **dict.fromkeys(("let", "const", "var", "new", "self", "this", "else", "async", "await"), ""),
    **dict.fromkeys(("null", "nil", "undefined"), "None"),
    **dict.fromkeys(("function", "func", "fn"), "def"),
    "of": "in", "elif": "if", "===": "==", "!==": "!=", "&&": "and", "||": "or", "!": "not",
    "true": "True", "false": "False", "throw": "raise", "catch": "except", "push": "append",
    "parseInt": "int", "String": "str",
}  # fmt: skip
TRIPLE = r"[rbfuRBFU]{0,2}(?:\"\"\".*?\"\"\"|'''.*?''')"
_STRING = r"[rbfuRBFU]{0,2}(?:\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
_NAME = r"[^\W\d]\w*"
_REST = r"\d[\w.]*|[!=]==|\*\*=?|//=?|[-+*/%&|^!=<>]=|->|=>|&&|\|\||<<|>>|\S"
_LEFT_OUT = r"|`|\b(?:self|this|Math)\."
_DOTTED = rf"(?<=\.)(?<!self\.)(?<!this\.){_NAME}"


def _token_pattern(comment: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?P<skip>{comment}|{TRIPLE}{_LEFT_OUT})|(?P<mark>[(){{}},:;])"
        rf"|(?P<string>{_STRING})"
        rf"|(?P<dotted>{_DOTTED})|(?P<called>{_NAME}(?=\())|(?P<name>{_NAME})|{_REST}",
        re.DOTALL,
    )


_HASH = _token_pattern(r"#[^\n]*")
_SLASH = _token_pattern(r"//[^\n]*|/\*.*?\*/")
# `LIMIT = 5`, `const LIMIT: number = 5;`: wherever the name is, the value is meant.
_CONSTANT = re.compile(
    r"^(?:[a-z]+ )*(?P<name>[A-Z][A-Z\d_]*)(?:\s*:\s*\w+)?\s*=\s*"
    rf"(?P<value>{_STRING}|-?\d[\w.]*)\s*;?\s*$",
    re.MULTILINE,
)
# Loops that count, in each of their forms; all are written `for i in range(n):`.
_COUNTED = re.compile(
    r"\bfor\s*\(?\s*(?:[a-z]\w*\s+)?(?P<name>\w+)\s*:?=\s*(?P<low>[^;\n]+);\s*(?P=name)\s*"
    r"(?P<sign><=?)\s*(?P<high>[^;\n]+);\s*(?:\+\+\s*(?P=name)|(?P=name)\s*(?:\+\+|\+=\s*1))\s*\)?"
)
_WHILE = re.compile(r"(\s*)while\b\s*\(?\s*(\w+)\s*(<=?)\s*(.+?)\s*(?:\)?\s*\{|:)\s*$")
_FROM_ZERO = re.compile(r"\brange\(0,\s*")
_ITEM = re.compile(
    r"\bfor (?P<at>\w+) in range\(len\((?P<all>\w+)\)\):"
    r"\s*\n\s*(?P<one>\w+) = (?P=all)\[(?P=at)\]\s*$"
    r"|\bfor \w+, *(?P<named>\w+) in enumerate\((?P<given>\w+)\):",
    re.MULTILINE,
)
# Lines between where the counter begins and its loop.
_FAR = 4
_TURNED = {">": "<", ">=": "<=", "==": "==", "!=": "!="}
# Where an operand of a comparison ends, outside brackets.
_ENDS = frozenset([*_KEYWORDS - {"None", "True", "False"}, *_TURNED, "<", "<=", *",:;=?", ""])
_OPENED, _CLOSED = frozenset("([{"), frozenset(")]}")

# What kind of token it is (the group of the pattern), and its text.
Token = tuple[str | None, str]


def lines_of_tokens(code: str, language: str) -> list[list[int]]:
    """By line, own names as -1, -2, ..., other tokens as their hash; loops as `for` loops."""
    code = _as_for(code)
    own: dict[str, int] = {}
    found = []
    for line in _lines(code, language):
        one: list[int] = []
        for kind, token in _turned(line):
            if kind == "mark":
                continue
            is_own = (kind == "name" and token not in _KEYWORDS) or (
                kind == "called" and token not in COMMON
            )
            if is_own:
                one.append(own.setdefault(token, -1 - len(own)))
            else:
                one.append(hash_word(_plain(kind, token)))
        found.append(one)
    return found


def _as_for(code: str) -> str:
    """The code with loops that count, or that count to take one of all, as `for` loops."""
    if "while" in code:
        code = _without_whiles(code)
    code = _COUNTED.sub(lambda m: _range(m["name"], m["low"], m["sign"], m["high"]), code)
    code = _FROM_ZERO.sub("range(", code)
    return _ITEM.sub(lambda m: f"for {m['one'] or m['named']} in {m['all'] or m['given']}:", code)


def _range(name: str, low: str, sign: str, high: str) -> str:
    return f"for {name} in range({low.strip()}, {high.strip()}{' + 1' if sign == '<=' else ''}):"


def _without_whiles(code: str) -> str:
    lines: list[str | None] = list(code.split("\n"))
    for place, line in enumerate(lines):
        head = _WHILE.match(line or "")
        if head is None:
            continue
        margin, name, sign, high = head.groups()
        first = re.compile(rf"\s*(?:[a-z]\w* )?{name}\s*:?=\s*([^=\n].*?);?\s*$")
        step = re.compile(rf"{margin}\s+{name}\s*(?:\+=\s*1|\+\+|=\s*{name}\s*\+\s*1);?\s*$")
        above = range(place - 1, max(-1, place - 1 - _FAR), -1)
        low = next(((n, m[1]) for n in above if (m := first.match(lines[n] or ""))), None)
        end = next((n for n in range(place + 1, len(lines)) if step.match(lines[n] or "")), None)
        if low is not None and end is not None:
            lines[place] = margin + _range(name, low[1], sign, high)
            lines[low[0]] = lines[end] = None
    return "\n".join(line for line in lines if line is not None)


def _lines(code: str, language: str) -> list[list[Token]]:
    known = find_language(language)
    pattern = _SLASH if known is not None and known.line_comment == "//" else _HASH
    values = {found["name"]: found["value"] for found in _CONSTANT.finditer(code)}
    line: list[Token] = []
    lines = [line]
    end = 0
    for match in pattern.finditer(code):
        kind, token = match.lastgroup, match.group()
        if kind == "skip":
            continue
        if code.find("\n", end, match.start()) >= 0:
            line = []
            lines.append(line)
        end = match.end()
        if kind == "name" and token in values:
            token = values[token]
            kind = "string" if token[-1] in "\"'" else None
        elif kind not in ("string", "mark"):
            token = _NEUTRAL.get(token, token)
        line.append((kind if token else "mark", token))
    return lines


def _turned(line: list[Token]) -> Sequence[Token]:
    """The line with `b < a` for `a > b`, and behind `==` the shorter side or the number."""
    place = 0
    while place < len(line):
        token = line[place][1]
        if token in _TURNED and line[place][0] is None:
            first, last = _reach(line, place, -1) + 1, _reach(line, place, 1)
            left, right = line[first:place], line[place + 1 : last]
            if token in (">", ">=") or _size(right) > _size(left):
                line = [*line[:first], *right, (None, _TURNED[token]), *left, *line[last:]]
            place = last - 1
        place += 1
    return line


def _reach(line: Sequence[Token], place: int, step: int) -> int:
    """Where the operand on one side of a comparison ends."""
    depth = 0
    opened, closed = (_OPENED, _CLOSED) if step > 0 else (_CLOSED, _OPENED)
    place += step
    while 0 <= place < len(line):
        kind, token = line[place]
        is_text = kind == "string"
        if not is_text and token in opened:
            depth += 1
        elif not is_text and token in closed:
            if not depth:
                break
            depth -= 1
        elif not is_text and not depth and token in _ENDS:
            break
        place += step
    return place


def _size(operand: Sequence[Token]) -> tuple[int, bool]:
    """Its tokens, and whether it is more than a number or a text."""
    said = [one for one in operand if one[0] != "mark"]
    return len(said), bool(said) and said[0][0] in ("name", "called")


def _plain(kind: str | None, token: str) -> str:
    """The token; texts are one, and so are numbers above 2, or row[3], row[4] would be rare."""
    if kind == "string":
        return '"'
    return "9" if token[0].isdecimal() and token not in ("0", "1", "2") else token


def hash_word(word: str) -> int:
    """A number of a word."""
    # Above all places in a window.
    return zlib.crc32(word.encode("utf-8", "replace")) + 16
