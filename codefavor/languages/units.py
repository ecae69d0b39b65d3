"""The functions and classes of a file, each with its span, its name and what encloses it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from codefavor.languages.definitions import definition, head_of, import_lines
from codefavor.languages.table import get_language
from codefavor.languages.trees import Parsed, encoded, is_comment, is_read, parse_file

if TYPE_CHECKING:
    from tree_sitter import Node


class Unit(NamedTuple):
    """One function or class of a file.

    `name` is qualified by what encloses it ("Tide.height"); of several of one name the later
    ones carry "#2", "#3". `kind` is "function" or "class". `source` is the file as UTF-8, `start`
    and `end` are offsets in it, from the first decorator or the comment directly above.
    `enclosing` are the heads of the classes and name spaces around it, outermost first; `head` is
    the signature.
    """

    name: str
    kind: str
    start: int
    end: int
    enclosing: tuple[str, ...]
    source: bytes
    head: str

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


# The text of a statement and above it, its type, the prefix of names there, the heads around,
# whether it is in a function, and `max_lines`: all that decides what is in it.
_Key = tuple[bytes, str, str, tuple[str, ...], bool, int]


class _Statement(NamedTuple):
    """What one statement of a module, class or long block, `start` bytes from the beginning,
    defines and imports."""

    key: _Key
    start: int
    units: Sequence[Unit]
    imports: Sequence[str]


class Outline(NamedTuple):
    """The units of a file in the order of the text, its import lines, its tree, what of them is in
    which statement, and what the grammar could not read, by the name of the function, by that of
    the class or name space around and a full stop, or "" for the file."""

    units: list[Unit]
    imports: list[str]
    parsed: Parsed
    statements: Mapping[_Key, _Statement]
    unread: Mapping[str, bytes]


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
    # Where a text has errors, what is made of a part depends on the rest.
    is_like = like is not None and not (like.parsed.root.has_error or parsed.root.has_error)
    walk = _Walk(parsed, max_lines, like.statements if like and is_like else {})
    walk.run()
    if not walk.units and parsed.root.has_error:
        return None
    unread = _unread_texts(walk.unread, walk.units, source)
    return Outline(_numbered(walk.units), walk.imports, parsed, walk.statements, unread)


def _unread_texts(
    unread: Sequence[tuple[str, int, int]], units: Sequence[Unit], source: bytes
) -> dict[str, bytes]:
    """What was not read, without the units inside, which were, and what is named inside."""
    spans = [(unit.start, unit.end) for unit in units] + [(one[1], one[2]) for one in unread]
    texts: dict[str, bytes] = {}
    for name, start, end in unread:
        parts, position = [], start
        for first, last in sorted(spans):
            if position <= first and last <= end and (first, last) != (start, end):
                parts.append(source[position:first])
                position = last
        texts[name] = b"".join([texts.get(name, b""), *parts, source[position:end]])
    return texts


def _numbered(units: list[Unit]) -> list[Unit]:
    seen: Counter[str] = Counter()
    numbered: list[Unit] = []
    for unit in sorted(units, key=lambda unit: (unit.start, -unit.end)):
        seen[unit.name] += 1
        n = seen[unit.name]
        numbered.append(unit if n == 1 else unit._replace(name=f"{unit.name}#{n}"))
    return numbered


# Parts from which a node is a body, whatever its grammar calls it.
_MANY = 8


class _Around(NamedTuple):
    """The prefix of names, the heads of what encloses, and whether that is a function, whose
    imports are its own affair."""

    prefix: str
    enclosing: tuple[str, ...]
    is_inside: bool


class _Begun(NamedTuple):
    """A statement that is being looked through: how much had been found before it."""

    node: Node
    key: _Key
    n_units: int
    n_imports: int
    n_opened: int


class _Walk:
    """Finds the units of a tree; what `known` statements hold is taken from there."""

    def __init__(self, parsed: Parsed, max_lines: int, known: Mapping[_Key, _Statement]) -> None:
        self.units: list[Unit] = []
        self.imports: list[str] = []
        self.statements: dict[_Key, _Statement] = {}
        self.unread: list[tuple[str, int, int]] = []
        self._parsed = parsed
        self._max_lines = max_lines
        self._known = known
        self._n_opened = 0
        # With what encloses a node, and where what belongs to it begins at the earliest: what
        # stands between statements goes with the later one. -1 where it is no statement.
        self._pending: list[tuple[Node, _Around, int] | _Begun] = []

    def run(self) -> None:
        self._open(self._parsed.root, _Around("", (), False), is_body=True)
        while self._pending:
            one = self._pending.pop()
            if isinstance(one, _Begun):
                self._finish(one)
                continue
            node, around, begins = one
            if begins < 0 or not self._begin(node, around, begins):
                self._look(node, around)

    def _open(self, node: Node, around: _Around, *, is_body: bool) -> None:
        """Look at what is in a node next; what is in a body is kept for other versions."""
        self._n_opened += is_body
        # Where a unit may reach beyond its statement, the statement does not say all of it.
        is_kept = is_body and node.type not in _WRAPPERS and node.type not in _DECLARATIONS
        begins = node.start_byte
        inner: list[tuple[Node, _Around, int]] = []
        for one in node.named_children:
            if one.named_child_count or one.is_error:
                inner.append((one, around, begins if is_kept else -1))
            if is_kept and not (one.type.endswith("comment") or one.type in _ATTRIBUTES):
                begins = one.end_byte
        self._pending += reversed(inner)

    def _begin(self, node: Node, around: _Around, begins: int) -> bool:
        """Whether all that a statement holds was known."""
        # With the comments above and a semicolon behind, which may be part of a unit, and one byte
        # more: whether a comment stands alone on its line.
        text = self._parsed.source[max(0, begins - 1) : node.end_byte + 1]
        key = (text, node.type, *around, self._max_lines)
        known = self._known.get(key)
        if known is None:
            counts = (len(self.units), len(self.imports), self._n_opened)
            self._pending.append(_Begun(node, key, *counts))
            return False
        # Its key, too: all versions share one text.
        self.statements[known.key] = self._moved(known, node) if known.units else known
        self.imports += known.imports
        return True

    def _moved(self, known: _Statement, node: Node) -> _Statement:
        moved = node.start_byte - known.start
        source = self._parsed.source
        units = [
            Unit(
                one.name, one.kind, one.start + moved, one.end + moved, one.enclosing, source,
                one.head,
            )
            for one in known.units
        ]  # fmt: skip
        self.units += units
        return _Statement(known.key, node.start_byte, units, known.imports)

    def _finish(self, begun: _Begun) -> None:
        # What was opened has statements of its own.
        if begun.n_opened == self._n_opened:
            self.statements[begun.key] = _Statement(
                begun.key,
                begun.node.start_byte,
                self.units[begun.n_units :],
                self.imports[begun.n_imports :],
            )

    def _look(self, node: Node, around: _Around) -> None:
        prefix, enclosing, is_inside = around
        self.imports += () if is_inside else import_lines(node)
        found = definition(node)
        if found is None:
            if node.is_error:
                self.unread.append((prefix, node.start_byte, node.end_byte))
            # Within an expression of one line nothing is worth a name of its own.
            if node.start_point[0] < node.end_point[0] or not node.type.endswith("_expression"):
                self._open(node, around, is_body=node.named_child_count >= _MANY)
            return
        head = head_of(node, found)
        start, end = _extent(node)
        name = prefix + found.name
        if not is_read(node):
            key = name if found.kind == "function" else f"{name}."
            self.unread += [(key, start, end)] if found.kind != "space" else []
        elif found.kind != "space":
            source = self._parsed.source
            self.units.append(Unit(name, found.kind, start, end, enclosing, source, head))
        if found.kind == "function":
            n_lines = node.end_point[0] - node.start_point[0] + 1
            if not self._max_lines or n_lines <= self._max_lines:
                return
            is_inside = True
        around = _Around(f"{prefix}{found.name}.", (*enclosing, head), is_inside)
        self._open(found.body or node, around, is_body=True)


_WRAPPERS = frozenset({
    "decorated_definition", "export_statement", "template_declaration", "type_declaration",
    "ambient_declaration", "expression_statement",
})  # fmt: skip
_DECLARATIONS = frozenset({"lexical_declaration", "variable_declaration"})
_ATTRIBUTES = frozenset({"attribute_item", "attribute_list"})


def _extent(node: Node) -> tuple[int, int]:
    """From the comments and attributes directly above to the end, wrappers such as `export`
    included."""
    outer = node
    parent = outer.parent
    while parent is not None and (
        parent.type in _WRAPPERS or (parent.type in _DECLARATIONS and _is_alone(outer))
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
