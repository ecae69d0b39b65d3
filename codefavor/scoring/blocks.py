"""Which blocks of a reply are whole programs: they parse, and do what they are asked for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import takewhile

from codefavor.languages import find_language
from codefavor.languages.python_code import error_line, tree_of
from codefavor.text import Fence, is_closing_fence, lines_of, opening_fence, parse_fences

# Before a fence that is part of a program: no program has it.
INSIDE = "\ue000"
_MOST_ENDS = 12
_MOST_CUTS = 400
_DOTS = re.compile(r"#\s*(?:\.{3}|\u2026)")
_LITERALS = (ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp)


def marked_inside(reply: str) -> str:
    """The reply with `INSIDE` before each fence that stands in a text of a Python block.

    Such a block reads on past the first end to the one at which it parses.
    """
    lines = lines_of(reply)
    number = 0
    while number < len(lines):
        marks = opening_fence(lines[number])
        if not marks:
            number += 1
            continue
        ends = [n for n in range(number + 1, len(lines)) if is_closing_fence(lines[n], marks)]
        end = next(iter(ends), len(lines))
        if _is_python(lines[number]) and tree_of("\n".join(lines[number + 1 : end])) is None:
            for other in ends[1:_MOST_ENDS]:
                inside = lines[number + 1 : other]
                if tree_of("\n".join(inside)) is not None:
                    lines[number + 1 : other] = [
                        INSIDE + line if opening_fence(line) else line for line in inside
                    ]
                    end = other
                    break
        number = end + 1
    return "\n".join(lines)


def _is_python(line: str) -> bool:
    (fence,) = parse_fences(line)
    known = find_language(fence.language)
    return not fence.language or (known is not None and known.name == "python")


def is_complete(fence: Fence, name: str) -> bool:
    """Whether a block that binds this name is a Python program that makes something of its own.

    Another language is none, nor what does not parse, what only wraps an earlier program
    (`f = cache(f)`), or a plain value.
    """
    known = find_language(fence.language)
    if known is not None and known.name != "python":
        return False
    tree = tree_of(fence.content)
    if tree is None:
        return False
    return any(_makes(node, name) for node in _statements(tree.body))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node.body)
            yield from _statements(node.orelse)


def _makes(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name == name
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if name not in {one.id for one in targets if isinstance(one, ast.Name)}:
        return False
    if node.value is None or isinstance(node.value, _LITERALS):
        return False
    if isinstance(node.value, ast.Lambda):
        return True  # it may call itself
    return all(not isinstance(one, ast.Name) or one.id != name for one in ast.walk(node.value))


def is_fragment(code: str, name: str) -> bool:
    """Whether a text defines the function without all that it does: it gives back nothing, has
    `...` for a statement or a comment, or ends in a comment, as in `# the rest is unchanged`."""
    tree = tree_of(code) or tree_of(f"{code.rstrip()} ...")
    found = [
        node
        for node in (tree.body if tree else ())
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    return bool(found) and (not any(map(_gives, ast.walk(found[-1]))) or _is_cut(code, found[-1]))


def _gives(node: ast.AST) -> bool:
    """Whether a statement or expression hands something to the caller."""
    if isinstance(node, ast.Return):
        is_nothing = isinstance(node.value, ast.Constant) and node.value.value in (None, ...)
        return node.value is not None and not is_nothing
    return isinstance(node, ast.Yield | ast.YieldFrom)


def _is_cut(code: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if any(isinstance(one, ast.Expr) and _is_dots(one.value) for one in ast.walk(function)):
        return True
    lines = lines_of(code)
    end = function.end_lineno or 0
    inside = [line.strip() for line in lines[function.lineno : end]]
    behind = takewhile(lambda line: not line or line[0].isspace(), lines[end:])
    is_left_open = not isinstance(function.body[-1], ast.Return | ast.Raise)
    return any(map(_DOTS.match, inside)) or (is_left_open and any(map(str.strip, behind)))


def _is_dots(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is ...


def parsing_part(text: str) -> str:
    """The text from its first line to the last one with which it is a program; "" if none is."""
    lines = lines_of(text)
    end, tries = len(lines), 0
    while end and tries < _MOST_CUTS:
        code = "\n".join(lines[:end]).rstrip() + "\n"
        if tree_of(code) is not None:
            return code
        line = error_line(code)
        end = min(end - 1, line - 1) if line else end - 1
        tries += 1
    return ""
