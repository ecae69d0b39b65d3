"""The functions and classes of a file, each with its span, its name and what encloses it."""

from __future__ import annotations

import ast
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from codefavor.languages import python_code
from codefavor.languages.table import get_language
from codefavor.languages.trees import Parsed, is_comment, parse, parse_in_part, walk

if TYPE_CHECKING:
    from tree_sitter import Node


class Unit(NamedTuple):
    """One function or class of a file.

    `name` is qualified by what encloses it ("Tide.height"); of several of one name the later
    ones carry "#2", "#3". `kind` is "function" or "class". `start` and `end` are offsets of
    characters in the file, from the first decorator or the comment directly above; `text` is
    that part without its common indentation. `head` is the signature, `enclosing` the heads of
    the classes and name spaces around it, outermost first.
    """

    name: str
    kind: str
    start: int
    end: int
    text: str
    head: str
    enclosing: tuple[str, ...]


class Outline(NamedTuple):
    """The units of a file in the order of the text, and its import lines."""

    units: list[Unit]
    imports: list[str]


def functions_and_classes(code: str, language: str) -> Outline | None:
    """Every named function and class at module level or inside classes; None if the code
    does not parse. Functions inside functions belong to the outer one.

    A file of another language than Python that parses only in part has the units of the parts
    without an error; None if there are none.

    Raises ConfigError for an unknown language, MissingPackageError for a missing grammar.
    """
    known = get_language(language)
    if known.name == "python":
        found, imports = _python_units(code)
    else:
        parsed = parse(code, known)
        part = parsed or parse_in_part(code, known)
        found, imports = (None, []) if part is None else _tree_units(part)
        if parsed is None and not found:
            found = None
    return None if found is None else Outline(_numbered(found), imports)


def _numbered(units: list[Unit]) -> list[Unit]:
    seen: Counter[str] = Counter()
    numbered: list[Unit] = []
    for unit in sorted(units, key=lambda unit: (unit.start, -unit.end)):
        seen[unit.name] += 1
        n = seen[unit.name]
        numbered.append(unit if n == 1 else unit._replace(name=f"{unit.name}#{n}"))
    return numbered


def _part(code: str, start: int, end: int) -> str:
    """The lines from `start` to `end`, without the indentation they share."""
    line_start = code.rfind("\n", 0, start) + 1
    indent = code[line_start:start]
    text = (indent if not indent.strip() else "") + code[start:end]
    return textwrap.dedent(text).strip("\r\n") + "\n"


# Python ---------------------------------------------------------------------------------


def _python_units(code: str) -> tuple[list[Unit] | None, list[str]]:
    try:
        tree = python_code.read(code)
    except python_code.UNREADABLE:
        return None, []
    lines = python_code.Lines(code)
    units: list[Unit] = []
    pending: list[tuple[python_code.Definition, str, tuple[str, ...]]] = [
        (node, "", ()) for node in tree.body if isinstance(node, python_code.DEFINITIONS)
    ]
    while pending:
        node, prefix, enclosing = pending.pop()
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        # Decorators begin with an "@" that their expression's own place leaves out.
        line = lines.lines[first - 1]
        start = lines.offset(first, len(line) - len(line.lstrip()))
        end = lines.offset_of_bytes(node.end_lineno or node.lineno, node.end_col_offset or 0)
        head_start = lines.offset_of_bytes(node.lineno, node.col_offset)
        head_end = lines.offset_of_bytes(node.body[0].lineno, node.body[0].col_offset)
        head = _python_head(code[head_start:head_end])
        kind = "class" if isinstance(node, ast.ClassDef) else "function"
        name = prefix + node.name
        units.append(Unit(name, kind, start, end, _part(code, start, end), head, enclosing))
        if isinstance(node, ast.ClassDef):
            pending += [
                (inner, f"{name}.", (*enclosing, head))
                for inner in node.body
                if isinstance(inner, python_code.DEFINITIONS)
            ]
    imports = [
        code[lines.starts[node.lineno - 1] : lines.starts[node.end_lineno or node.lineno]].strip()
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    return units, imports


def _python_head(text: str) -> str:
    """The signature up to its colon; what decorates or comments the first statement goes."""
    return text[: text.rfind(":") + 1] if ":" in text else text


# Every other language -------------------------------------------------------------------

_FUNCTIONS = frozenset({
    "function_declaration", "generator_function_declaration", "method_definition",
    "method_declaration", "constructor_declaration", "function_definition", "function_item",
    "method", "singleton_method",
})  # fmt: skip
_CLASSES = frozenset({
    "class_declaration", "abstract_class_declaration", "interface_declaration",
    "enum_declaration", "record_declaration", "struct_declaration", "trait_declaration",
    "object_declaration", "class_specifier", "struct_specifier", "struct_item", "enum_item",
    "trait_item", "impl_item", "class", "type_spec",
})  # fmt: skip
# They only qualify names: a whole name space is no unit.
_SPACES = frozenset({
    "namespace_definition", "namespace_declaration", "module", "mod_item", "internal_module",
})  # fmt: skip
_WRAPPERS = frozenset({
    "export_statement", "template_declaration", "type_declaration", "ambient_declaration",
    "expression_statement",
})  # fmt: skip
_IMPORTS = frozenset({
    "import_statement", "import_declaration", "import_header", "import", "using_directive",
    "use_declaration", "preproc_include", "namespace_use_declaration", "using_declaration",
    "package_clause", "package_declaration", "package_header",
})  # fmt: skip
_ATTRIBUTES = frozenset({"attribute_item", "attribute_list"})
_ARROWS = frozenset({"arrow_function", "function_expression", "function", "generator_function"})


def _tree_units(parsed: Parsed) -> tuple[list[Unit], list[str]]:
    code = parsed.source[parsed.start : parsed.end].decode()

    def offset(position: int) -> int:
        """The offset of a character for one of a byte of the parsed source."""
        if code.isascii():
            return position - parsed.start
        return len(parsed.source[parsed.start : position].decode("utf-8", "ignore"))

    units: list[Unit] = []
    imports: list[str] = []
    # Nodes to look at, with the prefix of their names and the heads around them.
    pending: list[tuple[Node, str, tuple[str, ...]]] = [(parsed.root, "", ())]
    while pending:
        node, prefix, enclosing = pending.pop()
        if node.type in _IMPORTS or _is_require(node):
            imports.append(_text(node).strip())
            continue
        kind = _kind(node)
        name = _name(node) if kind else ""
        inside: Node | None = node
        if name:
            head = _head(node)
            is_own = node.start_byte >= parsed.start and node.end_byte <= parsed.end
            if kind != "space" and is_own and not node.has_error:
                start, end = map(offset, _extent(node))
                text = _part(code, start, end)
                units.append(Unit(prefix + name, kind, start, end, text, head, enclosing))
            inside = (node.child_by_field_name("body") or node) if kind != "function" else None
            prefix, enclosing = f"{prefix}{name}.", (*enclosing, head)
        if inside is not None:
            pending += [(child, prefix, enclosing) for child in reversed(inside.named_children)]
    return units, imports


def _is_require(node: Node) -> bool:
    """Ruby's imports are calls."""
    called = node.child_by_field_name("method") if node.type == "call" else None
    return called is not None and called.text in (b"require", b"require_relative")


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _kind(node: Node) -> str:
    """ "function", "class", "space", or "" for a node that is no unit."""
    if node.type in _FUNCTIONS:
        return "function"
    if node.type in _CLASSES:
        # `struct tide *t` names a type, it does not define one.
        is_definition = node.type not in {"class_specifier", "struct_specifier"}
        return "class" if is_definition or node.child_by_field_name("body") else ""
    if node.type in _SPACES and node.is_named:
        return "space"
    if node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        return "function" if value is not None and value.type in _ARROWS else ""
    return ""


def _name(node: Node) -> str:
    """The name, qualified by a receiver or by the type that an `impl` is for; "" for none."""
    if node.type == "impl_item":
        of_type, trait = node.child_by_field_name("type"), node.child_by_field_name("trait")
        own = _text(of_type) if of_type else ""
        return f"{own}:{_text(trait)}" if trait else own
    named = node.child_by_field_name("name")
    if named is None:
        named = _declared(node.child_by_field_name("declarator")) or next(
            (c for c in node.named_children if c.type in {"type_identifier", "identifier"}), None
        )
    if named is None:
        return ""
    receiver = node.child_by_field_name("receiver")
    if receiver is not None:
        of_type = next((node for node in walk(receiver) if node.type == "type_identifier"), None)
        return f"{_text(of_type)}.{_text(named)}" if of_type else _text(named)
    return " ".join(_text(named).split())


def _declared(node: Node | None) -> Node | None:
    """The name inside a C declarator: behind pointers, references and parameter lists."""
    while node is not None:
        inner = node.child_by_field_name("declarator")
        if inner is None and node.type in {"reference_declarator", "parenthesized_declarator"}:
            inner = next(iter(node.named_children), None)
        if inner is None:
            return node
        node = inner
    return None


def _head(node: Node) -> str:
    body = node.child_by_field_name("body")
    if body is None and node.type == "variable_declarator":
        value = node.child_by_field_name("value")
        body = value.child_by_field_name("body") if value else None
    if body is None:
        body = next((c for c in node.named_children if c.type.endswith("body")), None)
    text = node.text or b""
    ends = [body.start_byte] if body is not None else []
    ends += [child.start_byte for child in node.children if is_comment(child)]
    head = text[: min(ends) - node.start_byte] if ends else text
    line = head.decode("utf-8", "replace").strip()
    line = line if body is not None else line.splitlines()[0].rstrip(" {")
    return f"type {line}" if node.type == "type_spec" else line


def _extent(node: Node) -> tuple[int, int]:
    """From the comments and attributes directly above to the end, wrappers such as `export`
    included."""
    outer = node
    parent = outer.parent
    while parent is not None and (
        parent.type in _WRAPPERS
        or (parent.type in {"lexical_declaration", "variable_declaration"} and _is_alone(outer))
    ):
        outer, parent = parent, parent.parent
    first = outer
    previous = first.prev_sibling
    while previous is not None and _belongs(previous, first):
        first, previous = previous, previous.prev_sibling
    # A line comment's node may reach into the next line, a declaration's may lack its ";".
    after = outer.next_sibling
    has_semicolon = after is not None and after.type == ";" and after.start_byte == outer.end_byte
    return first.start_byte, outer.end_byte + (1 if has_semicolon else 0)


def _is_alone(node: Node) -> bool:
    siblings = node.parent.named_children if node.parent is not None else []
    return len([s for s in siblings if s.type == node.type]) == 1


def _belongs(above: Node, node: Node) -> bool:
    """Whether a comment or attribute stands on the lines directly above, alone on them."""
    if not (is_comment(above) or above.type in _ATTRIBUTES):
        return False
    last_row = above.end_point[0] - (1 if above.end_point[1] == 0 else 0)
    before = above.prev_sibling
    is_own_line = (
        before is None
        or not before.is_named
        or before.end_point[0] != above.start_point[0]
        or before.end_point[1] == 0
    )
    return node.start_point[0] - last_row <= 1 and is_own_line
