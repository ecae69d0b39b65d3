"""Whether code parses, code without its comments, and code as bare tokens, in every language."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from codefavor.languages import python_code
from codefavor.languages.table import find_language, get_language
from codefavor.languages.trees import Parsed, is_comment, parse, parts_of, token_texts, walk

if TYPE_CHECKING:
    from tree_sitter import Node


def parses(code: str, language: str) -> bool:
    """Whether the language's reader takes the code: a program, a snippet or one lone method.

    Python is what this interpreter compiles; the others what their tree-sitter grammar reads
    without an error. Raises ConfigError for an unknown language, MissingPackageError for a
    grammar that is not installed.
    """
    known = get_language(language)
    if known.name != "python":
        return parse(code, known) is not None
    try:
        python_code.read(code)
    except python_code.UNREADABLE:
        return False
    return True


class Stripped(NamedTuple):
    """Code without comments; or, where it cannot be read, untouched with `is_done` false."""

    code: str
    is_done: bool


def strip_comments(code: str, language: str, *, docstrings: bool = False) -> Stripped:
    """The code without its comments: lines of nothing else go, all other text stays as it is.

    The result always parses and means what the code meant. Code that does not parse, or whose
    language is unknown, comes back untouched with `is_done` false: a half-stripped program
    would show which side of a pair was the broken one. `docstrings` takes Python's statements
    of only a string as comments. Lines that only a tool reads (a shell's first line, `//go:`)
    stay. Raises MissingPackageError for a grammar that is not installed.
    """
    known = find_language(language)
    if known is None:
        return Stripped(code, False)
    if known.name == "python":
        stripped = python_code.without_comments(code, docstrings=docstrings)
        return Stripped(code, False) if stripped is None else Stripped(stripped, True)
    before = parse(code, known)
    if before is None:
        return Stripped(code, False)
    shorter = _without_comments(before)
    after = parse(shorter, known, like=before)
    if after is None or [*token_texts(after)] != [*token_texts(before)]:
        return Stripped(code, False)
    return Stripped(shorter, True)


def strip_both(
    first: str, second: str, language: str, *, docstrings: bool = False
) -> tuple[str, str, bool]:
    """Both codes of a pair without comments and True; or both untouched and False."""
    one = strip_comments(first, language, docstrings=docstrings)
    two = strip_comments(second, language, docstrings=docstrings)
    if one.is_done and two.is_done:
        return one.code, two.code, True
    return first, second, False


def normalised_tokens(code: str, language: str) -> tuple[str, ...]:
    """What the code says beyond comments and formatting: equal for two layouts of one program.

    Python also forgets docstrings, quotes and needless parentheses; the others the last comma
    of a list, and JavaScript and TypeScript their quotes and semicolons. Code that does not
    parse, or whose language is unknown, is split at white space. Raises MissingPackageError
    for a grammar that is not installed.
    """
    known = find_language(language)
    found: tuple[str, ...] | None = None
    if known is not None and known.name == "python":
        found = python_code.tokens(code)
    elif known is not None:
        found = grammar_tokens(code, known.name)
    return tuple(code.split()) if found is None else found


def grammar_tokens(code: str, language: str) -> tuple[str, ...] | None:
    """The same tokens as the language's grammar reads them, Python's too; None if it does not
    parse.

    For code that nobody will run here: no version of an interpreter has a say in it, and Python
    of twenty years ago is read as well.
    """
    tokens = _tokens(code, language)
    return None if tokens is None else tuple(tokens)


def has_same_tokens(old: str, new: str, language: str) -> bool | None:
    """Whether two texts differ in comments and layout alone; None if one of them does not parse."""
    before, after = (_tokens(code, language) for code in (old, new))
    if before is None or after is None:
        return None
    # Only as far as they are the same: most changes end it early.
    return all(one == other for one, other in zip_longest(before, after))


def _tokens(code: str, language: str) -> Iterator[str] | None:
    known = get_language(language)
    parsed = parse(code, known)
    if parsed is None:
        return None
    is_python = known.name == "python"
    found = _python_tokens(parsed.root) if is_python else token_texts(parsed)
    return _without_style(found, known.name)


# Python's operators and tuples are put in parentheses, so that needless ones make no difference.
_GROUPS = frozenset({
    "await", "binary_operator", "boolean_operator", "comparison_operator", "conditional_expression",
    "expression_list", "lambda", "named_expression", "not_operator", "pattern_list", "tuple",
    "tuple_pattern", "unary_operator", "yield",
})  # fmt: skip
_SUITES = frozenset({"block", "module"})


def _python_tokens(root: Node) -> Iterator[str]:
    stack: list[Node | str] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            yield node
            continue
        kind, children = node.type, node.children
        if kind == "string_start":
            # What kind of string it is, without the quotes.
            yield _text(node).lower().strip("'\"u")
        elif kind == "string_content":
            text = _text(node)
            is_raw = "r" in _text(node.parent.children[0]).lower() if node.parent else False
            yield '"' + (text if is_raw else text.replace("\\'", "'").replace('\\"', '"'))
        elif kind == "interpolation" and any(child.type == "=" for child in children):
            # `f"{x = }"` shows itself as it is written.
            yield _text(node)
        elif kind in _SUITES:
            # A `pass` says nothing either, and may stand for a text.
            silent = {"comment", "pass_statement"}
            said = [one for one in node.named_children if one.type not in silent]
            said = [one for one in said if not _is_python_text(one)]
            stack += ["}", *(part for child in reversed(said) for part in ("\n", child)), "{"]
        elif kind == "parenthesized_expression" or kind in _GROUPS:
            inner = [child for child in children if child.type not in {"(", ")"}]
            is_group = kind in _GROUPS
            stack += [*([")"] if is_group else []), *reversed(inner), *(["("] if is_group else [])]
        elif children:
            stack += reversed(parts_of(node))
        elif kind not in {"comment", "line_continuation", "string_end"}:
            yield _text(node)


def _is_python_text(node: Node) -> bool:
    """Whether a statement is a string and nothing else."""
    inner = node.named_children if node.type == "expression_statement" else []
    return len(inner) == 1 and inner[0].type in {"string", "concatenated_string"}


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


_PUNCTUATION = (b",", b";", b")", b"]")
_CLOSING = frozenset(")]}")
_LOOSE = frozenset({"javascript", "typescript"})


def _without_style(tokens: Iterable[str], language: str) -> Iterator[str]:
    is_loose = language in _LOOSE
    last: str | None = None
    for token in tokens:
        if is_loose and token == ";":
            continue
        # A comma before a closing bracket says nothing.
        if last == "," and token in _CLOSING and language != "shell":
            last = None
        if last is not None:
            yield last
        last = '"' if is_loose and token == "'" else token
    if last is not None:
        yield last


def _without_comments(parsed: Parsed) -> str:
    """The text without its comments; a comment between two tokens leaves what separates them."""
    source, position = parsed.source, parsed.start
    parts: list[bytes] = []
    touched: set[int] = set()
    n_breaks = 0
    for node in walk(parsed.root):
        start, end = node.start_byte, node.end_byte
        if not is_comment(node) or start < position or end > parsed.end:
            continue
        # Some grammars count the line break as part of a line comment.
        end -= len(source[start:end]) - len(source[start:end].rstrip(b"\r\n"))
        kept = source[position:start]
        if source[end : end + 1] in _PUNCTUATION and kept.rstrip(b" \t")[-1:].strip():
            kept = kept.rstrip(b" \t")
        n_breaks += kept.count(b"\n")
        touched.add(n_breaks)
        parts.append(kept)
        position = end
        if b"\n" in source[start:end]:
            # A comment of several lines ends the line where a language sees line ends.
            parts.append(b"\n")
            n_breaks += 1
            touched.add(n_breaks)
        elif not kept[-1:].strip():
            while source[position : position + 1] in (b" ", b"\t"):
                position += 1
        elif source[end : end + 1].strip() and source[end : end + 1] not in _PUNCTUATION:
            parts.append(b" ")
    lines = (b"".join(parts) + source[position : parsed.end]).decode().split("\n")
    return "\n".join(
        _without_trailing_blanks(line) if index in touched else line
        for index, line in enumerate(lines)
        if index not in touched or line.strip() or (index == len(lines) - 1 and not line)
    )


def _without_trailing_blanks(line: str) -> str:
    ending = "\r" if line.endswith("\r") else ""
    return line.rstrip() + ending
