"""Which blocks of a reply are whole programs: they parse, and do what they are asked for."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile

from codefavor.languages import find_language
from codefavor.languages.python_code import DEFINITIONS, Definition, error_line, is_text, tree_of
from codefavor.scoring.needed import bound_by, unbound
from codefavor.text import Fence, is_closing_fence, lines_of, opening_fence, parse_fences

# Before a fence that is part of a program: no program has it.
INSIDE = "\ue000"
_MOST_ENDS = 12
_MOST_CUTS = 400
# A test, by which a suite of tests is known.
TEST = re.compile(r"^\s*(?:(?:async )?def test|class \w*Test|class \w+\(.*TestCase)", re.MULTILINE)
_DEFINITION = re.compile(r"^(?:async def|class|def) ", re.MULTILINE)
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
        behind = range(number + 1, len(lines))
        closing = (n for n in behind if is_closing_fence(lines[n], marks))
        ends = list(islice(closing, _MOST_ENDS))
        end = next(iter(ends), len(lines))
        if _is_python(lines[number]) and tree_of("\n".join(lines[number + 1 : end])) is None:
            for other in ends[1:]:
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
    return not is_foreign(fence) and (not fence.language or bool(find_language(fence.language)))


def is_foreign(fence: Fence) -> bool:
    """Whether a block says that it is of another language than Python."""
    known = find_language(fence.language)
    return known is not None and known.name != "python"


def answer_among(
    blocks: Sequence[Fence], name: str, may_be: Sequence[bool], program: Callable[[int], str]
) -> int | None:
    """The index of the block that answers: the last whole one that the reply does not reject.

    With an entry point `name` it is one of those that define it; else of those that read input and
    write, by themselves or made a `program` with what they need, or that define something and test
    nothing. Where none is whole, or each is rejected, the others count.
    """
    texts = [one.content for one in blocks]
    found = [n for n, text in enumerate(texts) if tree_of(text) is not None]
    if name:
        found = [n for n in found if defines(texts[n], name)]
        found = [n for n in found if is_complete(blocks[n], name)] or found
        found = [n for n in found if not is_fragment(texts[n], name)] or found
        found = [n for n in found if not _is_tail(program, n, found, texts, name)] or found
    else:
        acting = [n for n in found if _acts(texts[n])]
        # What is lent makes a program of any line that prints what the whole one has read.
        found = (
            [n for n in acting if _answers_input(texts[n])]
            or [n for n in acting if _answers_input(program(n))]
            or [n for n in found if _DEFINITION.search(texts[n]) and not TEST.search(texts[n])]
        )
        found = [n for n in found if not _has_dots(tree_of(texts[n]), lines_of(texts[n]))] or found
    found = [n for n in found if may_be[n]] or found
    return found[-1] if found else None


def _is_tail(
    program: Callable[[int], str],
    number: int,
    found: Sequence[int],
    texts: Sequence[str],
    name: str,
) -> bool:
    """Whether a block repeats the end of an earlier function, whose variables it lacks."""
    earlier = [one for n in found if n < number for one in definitions_of(texts[n], name)]
    variables = {
        one.id
        for definition in earlier
        for one in ast.walk(definition)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }
    tree = tree_of(program(number)) if variables else None
    return tree is not None and bool(variables & unbound(tree))


def defines(code: str, name: str) -> bool:
    """Whether a program defines this name at its top level; False for what is no program."""
    tree = tree_of(code)
    return tree is not None and any(
        name in bound_by(node)
        for node in _statements(tree.body)
        if not isinstance(node, ast.Import | ast.ImportFrom)
    )


def _acts(code: str) -> bool:
    """Whether a program does more at its top level than to define and to name values."""
    tree = tree_of(code)
    passive = (*DEFINITIONS, ast.Import, ast.ImportFrom)
    named = (ast.Assign, ast.AnnAssign)
    return tree is not None and any(
        any(isinstance(inner, ast.Call) for inner in ast.walk(one))
        if isinstance(one, named)
        else not is_text(one) and not isinstance(one, passive)
        for one in tree.body
    )


def _answers_input(code: str) -> bool:
    """Whether a program reads standard input and writes."""
    words = {
        getattr(one, "id", None) or getattr(one, "attr", None)
        for one in ast.walk(tree_of(code) or ast.Module([], []))
        if isinstance(one, ast.Name | ast.Attribute) and isinstance(one.ctx, ast.Load)
    }
    is_read = words & {"input", "stdin", "fileinput"} or re.search(r"\b(?:open|read)\(0\b", code)
    return bool(is_read) and bool(words & {"print", "stdout"})


def is_complete(fence: Fence, name: str) -> bool:
    """Whether a block that binds this name is a Python program that makes something of its own.

    Another language is none, nor what only wraps an earlier program (`f = cache(f)`), or a plain
    value.
    """
    tree = tree_of(fence.content)
    return (
        tree is not None
        and not is_foreign(fence)
        and any(_makes(node, name) for node in _statements(tree.body))
    )


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
    """Whether a text defines a function or class without all that it does: it gives back nothing,
    has `...` for a statement or a comment, or ends in a comment, as in `# the rest is the same`, or
    behind what is done in a special case."""
    found = definitions_of(code, name)
    return bool(found) and (
        not any(map(_gives, ast.walk(found[-1])))
        or _is_beginning(found[-1])
        or _is_cut(code, found[-1])
    )


def _is_beginning(definition: Definition) -> bool:
    """Whether a function only leaves early in a special case (`if not a: return 0`)."""
    body = [one for one in definition.body if not is_text(one)]
    named = [one for one in body if isinstance(one, ast.Assign | ast.AnnAssign)]
    leaves = [
        one
        for one in body
        if isinstance(one, ast.If) and not one.orelse and isinstance(one.body[-1], ast.Return)
    ]
    is_function = not isinstance(definition, ast.ClassDef)
    return is_function and bool(leaves) and len(leaves) + len(named) == len(body)


def definitions_of(code: str, name: str) -> list[Definition]:
    """The definitions of a function or class at the top level of a program."""
    tree = tree_of(code)
    return [
        node
        for node in (tree.body if tree else ())
        if isinstance(node, DEFINITIONS) and node.name == name
    ]


def is_stub(definition: Definition) -> bool:
    """Whether a function, or no method of a class, does anything."""
    return all(
        is_stub(one) if isinstance(one, DEFINITIONS) else is_text(one) or isinstance(one, ast.Pass)
        for one in definition.body
    )


def _gives(node: ast.AST) -> bool:
    """Whether a statement or expression hands something to the caller."""
    if isinstance(node, ast.Return):
        is_nothing = isinstance(node.value, ast.Constant) and node.value.value in (None, ...)
        return node.value is not None and not is_nothing
    return isinstance(node, ast.Yield | ast.YieldFrom)


def _is_cut(code: str, definition: Definition) -> bool:
    lines = lines_of(code)
    end = definition.end_lineno or 0
    behind = takewhile(lambda line: not line or line[0].isspace(), lines[end:])
    last = definition.body[-1]
    while isinstance(last, DEFINITIONS):
        last = last.body[-1]
    is_left_open = not isinstance(last, ast.Return | ast.Raise)
    is_dotted = _has_dots(definition, lines[definition.lineno : end])
    return is_dotted or (is_left_open and any(map(str.strip, behind)))


def _has_dots(tree: ast.AST | None, lines: Sequence[str]) -> bool:
    """Whether `...` stands for statements."""
    found = [one.value for one in ast.walk(tree or ast.Module([], [])) if isinstance(one, ast.Expr)]
    is_said = any(isinstance(one, ast.Constant) and one.value is ... for one in found)
    return is_said or any(_DOTS.match(line.strip()) for line in lines)


def parsing_part(text: str, most_cuts: int = _MOST_CUTS) -> str:
    """The text from its first line to the last one with which it is a program; "" if none is."""
    lines = lines_of(text)
    end, tries = len(lines), 0
    while end and tries < most_cuts:
        code = "\n".join(lines[:end]).rstrip() + "\n"
        if tree_of(code) is not None:
            return code
        line = error_line(code)
        end = min(end - 1, line - 1) if line else end - 1
        tries += 1
    return ""
