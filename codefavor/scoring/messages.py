"""A program that says the same in other words: the messages of its exceptions are others."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

# What a message has its values at, for `%` and for `format`.
_PLACES = re.compile(
    r"(%(?:\(\w+\))?[#0 +-]*(?:\*|\d+)?(?:\.(?:\*|\d+))?[a-zA-Z%]|\{\{|\}\}|\{[^{}]*\})"
)
_WORDS = re.compile(r"[^\W\d_]")
_OTHER = "it is not possible"
_KEEPS_WORDS = ("format", "join", "strip", "capitalize", "upper", "lower", "format_map")


def with_other_messages(code: str, task: str) -> str:
    """The program with other words in `raise` and `assert`, but those that the task gives.

    Messages in variables that serve for nothing else are others, too; what is put into them stays.
    """
    tree = ast.parse(code)
    nodes = list(ast.walk(tree))
    messages = [part for node in nodes for part in _messages_of(node)]
    values = [
        part for name in _names_for_messages(nodes, messages) for part in _values_of(name, nodes)
    ]
    texts = [part for part in (*messages, *values) if isinstance(part, ast.Constant)]
    counts = Counter(n.value for n in nodes if isinstance(n, ast.Constant))
    own = Counter(part.value for part in texts)
    is_field = {
        id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for part in texts:
        # What the program also has elsewhere may be compared with it.
        if isinstance(part.value, str) and counts[part.value] == own[part.value]:
            part.value = _other_words(part.value, task, has_places=id(part) not in is_field)
    return ast.unparse(tree)


def _other_words(text: str, task: str, *, has_places: bool) -> str:
    if text.strip() in task:
        return text
    parts = _PLACES.split(text) if has_places else [text]
    for n in range(0, len(parts), 2):
        words = parts[n].strip()
        if _WORDS.search(words) and words not in task:
            before, _, after = parts[n].partition(words)
            parts[n] = f"{before}{_OTHER}{after}"
    return "".join(parts)


def _messages_of(node: ast.AST) -> Iterator[ast.expr]:
    """The texts, and the names that may stand for one, in what a statement says."""
    if isinstance(node, ast.Assert) and node.msg is not None:
        yield from _said(node.msg)
    if isinstance(node, ast.Raise) and node.exc is not None:
        yield from _in_error(node.exc)


def _in_error(error: ast.expr) -> Iterator[ast.expr]:
    if isinstance(error, ast.Name):
        yield error
    for given in error.args if isinstance(error, ast.Call) else ():
        yield from _said(given)


def _said(value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(value, ast.Constant | ast.Name):
        yield value
    elif isinstance(value, ast.JoinedStr):
        yield from (part for part in value.values if isinstance(part, ast.Constant))
    elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add | ast.Mod):
        yield from _said(value.left)
        if isinstance(value.op, ast.Add):
            yield from _said(value.right)
    elif isinstance(value, ast.IfExp):
        yield from _said(value.body)
        yield from _said(value.orelse)
    elif (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in _KEEPS_WORDS
    ):
        yield from _said(value.func.value)


def _names_for_messages(nodes: list[ast.AST], messages: list[ast.expr]) -> set[str]:
    """The variables that are read in messages and nowhere else."""
    used = Counter(part.id for part in messages if isinstance(part, ast.Name))
    read = Counter(n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    return {name for name in used if used[name] == read[name]}


def _values_of(name: str, nodes: list[ast.AST]) -> Iterator[ast.expr]:
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(one, ast.Name) and one.id == name for one in targets):
            assert isinstance(node, ast.Assign)
            is_error = isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)
            yield from (_in_error if is_error else _said)(node.value)
