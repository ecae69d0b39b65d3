"""The functions and classes of a file, each with its span, its name and what encloses it."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from codefavor.languages.definitions import Definition, definition, head_of, import_lines
from codefavor.languages.table import get_language
from codefavor.languages.trees import Parsed, encoded, is_comment, parse_file

if TYPE_CHECKING:
    from tree_sitter import Node


class Unit(NamedTuple):
    """One function or class of a file.

    `name` is qualified by what encloses it ("Tide.height"); of several of one name the later
    ones carry "#2", "#3". `kind` is "function" or "class". `source` is the file as UTF-8, `start`
    and `end` are offsets in it, from the first decorator or the comment directly above.
    `enclosing` are the heads of the classes and name spaces around it, outermost first; `head`,
    the signature, is read from `node` when it is asked for.
    """

    name: str
    kind: str
    start: int
    end: int
    enclosing: tuple[str, ...]
    source: bytes
    node: Node
    definition: Definition

    @property
    def head(self) -> str:
        return head_of(self.node, self.definition)

    @property
    def raw(self) -> bytes:
        """The unit as it stands in the file."""
        return self.source[self.start : self.end]

    @property
    def text(self) -> str:
        """The unit's lines, without the indentation they share."""
        indent = self.source[self.source.rfind(b"\n", 0, self.start) + 1 : self.start]
        text = (b"" if indent.strip() else indent) + self.raw
        return textwrap.dedent(text.decode()).strip("\r\n") + "\n"

    @property
    def n_lines(self) -> int:
        return self.source.count(b"\n", self.start, self.end) + 1


class Outline(NamedTuple):
    """The units of a file in the order of the text, its import lines, and its tree."""

    units: list[Unit]
    imports: list[str]
    parsed: Parsed


def functions_and_classes(
    code: str, language: str, *, max_lines: int = 0, like: Outline | None = None
) -> Outline | None:
    """Every named function and class at module level or inside classes; None if the code
    does not parse.

    Functions inside functions belong to the outer one, unless that has more than `max_lines`
    lines (0 for any number): then they are units as well. In JavaScript and TypeScript, what is
    assigned to a name (`res.send = function`, `const f = () =>`), members of objects and calls
    that name a function by a string (`get(req, 'host', function`) are functions too.

    A file that parses only in part has the units of the parts without an error; None if there
    are none. `like` is the outline of another version of the file, which saves time.

    Raises ConfigError for an unknown language, MissingPackageError for a missing grammar.
    """
    source = encoded(code)
    if source is None:
        return None
    parsed = parse_file(source, get_language(language), like and like.parsed)
    if parsed is None:
        return None
    units, imports = _tree_units(parsed, max_lines)
    return (
        Outline(_numbered(units), imports, parsed) if units or not parsed.root.has_error else None
    )


def _numbered(units: list[Unit]) -> list[Unit]:
    seen: Counter[str] = Counter()
    numbered: list[Unit] = []
    for unit in sorted(units, key=lambda unit: (unit.start, -unit.end)):
        seen[unit.name] += 1
        n = seen[unit.name]
        numbered.append(unit if n == 1 else unit._replace(name=f"{unit.name}#{n}"))
    return numbered


def _tree_units(parsed: Parsed, max_lines: int) -> tuple[list[Unit], list[str]]:
    source = parsed.source
    units: list[Unit] = []
    imports: list[str] = []
    # Nodes to look at, with the prefix of their names, the heads around them, and whether they
    # are in a named function, whose imports are its own affair.
    pending: list[tuple[Node, str, tuple[str, ...], bool]] = [(parsed.root, "", (), False)]
    while pending:
        node, prefix, enclosing, is_inside = pending.pop()
        lines = () if is_inside else import_lines(node)
        imports += lines
        found = definition(node)
        if found is None:
            # Within an expression of one line nothing is worth a name of its own.
            if node.start_point[0] < node.end_point[0] or not node.type.endswith("_expression"):
                inner = [one for one in reversed(node.named_children) if one.named_child_count]
                pending += [(one, prefix, enclosing, is_inside) for one in inner]
            continue
        if found.kind != "space" and not node.has_error:
            start, end = _extent(node)
            name = prefix + found.name
            units.append(Unit(name, found.kind, start, end, enclosing, source, node, found))
        if found.kind == "function":
            n_lines = node.end_point[0] - node.start_point[0] + 1
            if not max_lines or n_lines <= max_lines:
                continue
            is_inside = True
        prefix = f"{prefix}{found.name}."
        enclosing = (*enclosing, head_of(node, found))
        inside = (found.body or node).named_children
        pending += [(child, prefix, enclosing, is_inside) for child in reversed(inside)]
    return units, imports


_WRAPPERS = frozenset({
    "decorated_definition", "export_statement", "template_declaration", "type_declaration",
    "ambient_declaration", "expression_statement",
})  # fmt: skip
_ATTRIBUTES = frozenset({"attribute_item", "attribute_list"})


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
