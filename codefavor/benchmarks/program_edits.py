"""Changes to the text of a program of any language, each of one kind: all other text stays.

Every function returns the changed text, or the text as it was where nothing could be changed. What
is done is cautious: a place where it is not plain that the meaning stays is left alone. `attacks`
checks the outcome.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from codefavor.languages import get_language
from codefavor.languages.trees import Parsed, is_comment, leaves, parse, walk

if TYPE_CHECKING:
    from tree_sitter import Node

Edit = tuple[int, int, bytes]

FUNCTIONS = frozenset({
    "function_declaration", "generator_function_declaration", "method_definition",
    "method_declaration", "function_definition", "function_item", "method", "singleton_method",
})  # fmt: skip
NAMELESS = frozenset(
    {"arrow_function", "function_expression", "generator_function", "func_literal"}
)
# What a function stands in, with which it begins.
_AROUND = frozenset({
    "export_statement", "template_declaration", "variable_declarator", "lexical_declaration",
    "variable_declaration",
})  # fmt: skip
BLOCKS = frozenset({
    "block", "statement_block", "compound_statement", "body_statement", "statement_list",
    "for_statement", "for_in_statement", "enhanced_for_statement", "switch_section", "case_clause",
})  # fmt: skip
# What never runs, or does nothing if it did.
_DEAD = {
    "python": "if False: unused_value = 10 * 10",
    "javascript": "if (false) { const unusedValue = 10 * 10; }",
    "typescript": "if (false) { const unusedValue = 10 * 10; }",
    "java": "if (false) { int unusedValue = 10 * 10; }",
    "csharp": "if (false) { int unusedValue = 10 * 10; }",
    "c": "if (0) { int unused_value = 10 * 10; (void)unused_value; }",
    "cpp": "if (0) { int unused_value = 10 * 10; (void)unused_value; }",
    "go": "if false { _ = 10 * 10 }",
    "rust": "if false { let _unused_value = 10 * 10; }",
    "ruby": "unused_value = 10 * 10 if false",
    "php": "if (false) { $unusedValue = 10 * 10; }",
    "kotlin": "if (false) { val unusedValue = 10 * 10 }",
    "shell": "if false; then unused_value=100; fi",
}
_BY_LINES = frozenset({"python", "ruby", "shell"})
_DOC = "Do what `{}` promises, for every valid input, in the best known time."
_DOC_COMMENTS = {
    "python": '"""{}"""', "go": "// {}", "rust": "/// {}", "csharp": "/// <summary>{}</summary>",
    "ruby": "# {}", "shell": "# {}",
}  # fmt: skip
_OPENING_LINES = (b"#!", b"<?php")


def add_comment(code: str, language: str, text: str) -> str:
    """A line comment as the first line, behind what must stand first."""
    line = f"{get_language(language).line_comment} {text}\n"
    first, end, rest = code.partition("\n")
    if first.encode().startswith(_OPENING_LINES):
        return f"{first}\n{line}{rest}" if end else code
    return line + code


def add_dead_code(code: str, language: str) -> str:
    """A branch that is never taken as the first statement of every function."""
    parsed = parse(code, get_language(language))
    if parsed is None:
        return code
    dead = _DEAD[language].encode()
    edits = []
    for _, body in _bodies(parsed):
        first = next((one for one in body.named_children if not _goes_first(one)), None)
        if first is None or first.start_byte < parsed.start:
            continue
        indent = _indent_before(parsed, first.start_byte)
        if indent is not None:
            edits.append((first.start_byte, first.start_byte, dead + b"\n" + indent))
        elif language not in _BY_LINES:
            edits.append((first.start_byte, first.start_byte, dead + b" "))
    return edited(parsed, edits)


def without_dead_code(code: str, language: str) -> str:
    """The text without what `add_dead_code` puts in."""
    return code.replace(_DEAD[language], "")


def add_docs(code: str, language: str) -> str:
    """What a function claims to do: a docstring, or a comment above it, where it has none."""
    parsed = parse(code, get_language(language))
    if parsed is None:
        return code
    edits = []
    for function, body in _bodies(parsed):
        name = _name_of(function)
        place = body.named_children[0] if language == "python" else _outermost(function)
        indent = _indent_before(parsed, place.start_byte)
        before = place.prev_sibling
        is_said = before is not None and is_comment(before)
        if language == "python":
            is_said = _goes_first(place)
        if name and indent is not None and not is_said and place.start_byte >= parsed.start:
            form = _DOC_COMMENTS.get(language, "/** {} */")
            text = form.format(_DOC.format(name)).encode()
            edits.append((place.start_byte, place.start_byte, text + b"\n" + indent))
    return edited(parsed, edits)


def reindent(code: str, language: str) -> str:
    """Half the indentation of each line where all are multiples of four columns, else twice."""
    parsed = parse(code, get_language(language))
    if parsed is None:
        return code
    inside = {
        row
        for node in leaves(parsed)
        if not is_comment(node)
        for row in range(node.start_point[0] + 1, node.end_point[0] + 1)
    }
    # Rows of a wrapper around a lone method are none of the text's.
    offset = parsed.source.count(b"\n", 0, parsed.start)
    lines = code.split("\n")
    found = []
    for row, line in enumerate(lines):
        bare = line.lstrip(" \t")
        is_text = bool(bare.strip()) and row + offset not in inside
        found.append((bare, len(line[: len(line) - len(bare)].expandtabs(4)) if is_text else 0))
    widths = [width for _, width in found if width]
    halves = all(width % 4 == 0 for width in widths)
    return "\n".join(
        " " * (width // 2 if halves else width * 2) + bare if width else line
        for line, (bare, width) in zip(lines, found, strict=True)
    )


def reverse_functions(code: str, language: str) -> str:
    """Functions that stand together in reverse order, where all names differ and, in C and C++,
    none is called by another (there a function must stand before its first call)."""
    parsed = parse(code, get_language(language))
    if parsed is None:
        return code
    edits: list[Edit] = []
    for node in walk(parsed.root):
        run: list[Node] = []
        for child in (*node.named_children, None):
            if child is not None and child.type in FUNCTIONS:
                run.append(child)
                continue
            if child is None or not is_comment(child):
                edits += _reversed(parsed, run, language)
                run = []
        if edits:
            break
    return edited(parsed, edits)


def _reversed(parsed: Parsed, run: list[Node], language: str) -> list[Edit]:
    names = [_name_of(one) for one in run]
    texts = [parsed.source[one.start_byte : one.end_byte] for one in run]
    if len(run) < 2 or len(set(names)) < len(names) or "" in names:
        return []
    if language in ("c", "cpp"):
        words = [set(re.findall(rb"\w+", text)) for text in texts]
        uses = any(
            name.encode() in found
            for index, name in enumerate(names)
            for other, found in enumerate(words)
            if other != index
        )
        if uses:
            return []
    places = [(one.start_byte, one.end_byte) for one in run]
    return [(*place, text) for place, text in zip(places, reversed(texts), strict=True)]


def _bodies(parsed: Parsed) -> Iterable[tuple[Node, Node]]:
    """Each named function with the node of its statements, where it has any."""
    for node in walk(parsed.root):
        if node.type not in FUNCTIONS | NAMELESS or not _name_of(node):
            continue
        body = node.child_by_field_name("body")
        body = body or next((one for one in node.named_children if one.type.endswith("body")), None)
        while body is not None and body.type in ("function_body", "block") and body.named_children:
            inner = body.named_children[0]
            if inner.type not in ("block", "statement_list", "statements"):
                break
            body = inner
        if body is not None and body.named_children and body.type in BLOCKS:
            yield node, body


def _goes_first(node: Node) -> bool:
    """Whether a node must stay the first: a docstring, a directive ("use strict"), a comment."""
    if is_comment(node):
        return True
    inner = node.named_children[0].type if node.named_child_count == 1 else ""
    is_text = node.type == "expression_statement" and inner in ("string", "concatenated_string")
    return is_text or node.type in ("explicit_constructor_invocation", "string")


def _outermost(function: Node) -> Node:
    node = function
    while node.parent is not None and node.parent.type in _AROUND:
        node = node.parent
    while node.prev_sibling is not None and node.prev_sibling.type == "attribute_item":
        node = node.prev_sibling
    return node


def _name_of(function: Node) -> str:
    holder = function.parent if function.type in NAMELESS else function
    if holder is None or (holder is not function and holder.type != "variable_declarator"):
        return ""
    named = holder.child_by_field_name("name")
    inner = holder.child_by_field_name("declarator")
    while named is None and inner is not None:
        deeper = inner.child_by_field_name("declarator")
        named = inner if deeper is None and inner.child_count == 0 else None
        inner = deeper
    return text_of(named) if named is not None else ""


def _indent_before(parsed: Parsed, position: int) -> bytes | None:
    """The white space before a place, where there is nothing else on its line."""
    start = max(parsed.source.rfind(b"\n", 0, position) + 1, parsed.start)
    indent = parsed.source[start:position]
    return None if indent.strip() else indent


def text_of(node: Node) -> str:
    """The text of a node."""
    return (node.text or b"").decode("utf-8", "replace")


def edited(parsed: Parsed, edits: Iterable[Edit]) -> str:
    """The text with each span replaced."""
    parts: list[bytes] = []
    position = parsed.start
    for start, end, text in sorted(edits):
        parts += [parsed.source[position:start], text]
        position = end
    return b"".join([*parts, parsed.source[position : parsed.end]]).decode()
