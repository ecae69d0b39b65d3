"""Source text as a tree: tree-sitter's, loaded at the first use of a language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from codefavor.errors import MissingPackageError
from codefavor.languages.table import Language

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree


class Parsed(NamedTuple):
    """A text that its language's grammar reads without an error.

    `source` is UTF-8 and may begin and end with a wrapper that made a lone method readable;
    the text itself is `source[start:end]`. `grammar` is the number of the wrapper and grammar.
    """

    tree: Tree
    source: bytes
    start: int
    end: int
    grammar: int

    @property
    def root(self) -> Node:
        return self.tree.root_node


@lru_cache(maxsize=32)
def _parser(grammar: str) -> Parser:
    module_name, _, function = grammar.partition(":")
    try:
        tree_sitter = import_module("tree_sitter")
        module = import_module(module_name)
    except ImportError as error:
        language = module_name.removeprefix("tree_sitter_")
        raise MissingPackageError(
            module_name.replace("_", "-"), "languages", f"reading {language} code"
        ) from error
    parser: Parser = tree_sitter.Parser(tree_sitter.Language(getattr(module, function)()))
    return parser


def parse(code: str, language: Language, like: Parsed | None = None) -> Parsed | None:
    """The tree of a program, a snippet or one method; None if it does not parse.

    Each grammar of the language is tried on the text alone, then on the text inside a class.
    `like` asks for the same grammar and wrapper as another text had. Raises
    MissingPackageError if the grammar is not installed.
    """
    source = encoded(code)
    if source is None:
        return None
    wrappers = (("", ""), *language.members)
    attempts = [(wrapper, grammar) for wrapper in wrappers for grammar in language.grammars]
    for number, ((before, after), grammar) in enumerate(attempts):
        if like is not None and number != like.grammar:
            continue
        head = before.encode()
        whole = head + source + after.encode()
        tree = _parser(grammar).parse(whole)
        # A text of PHP without its opening tag is one piece of text to the whole grammar.
        if is_read(tree.root_node) and not _is_only_text(tree.root_node):
            return Parsed(tree, whole, len(head), len(head) + len(source), number)
    return None


def encoded(code: str) -> bytes | None:
    """The text as UTF-8; None for half of a surrogate pair, which models do write and no program's
    encoding has."""
    try:
        return code.encode()
    except UnicodeEncodeError:
        return None


def parse_file(source: bytes, language: Language, like: Parsed | None = None) -> Parsed | None:
    """The tree of a whole file, errors and all; None without any code.

    Each grammar of the language is tried; where none takes the whole file, the first one's tree
    counts. Macros and new syntax make files that compile unreadable to a grammar; their parts
    without an error are what they seem. `like` is another version of the file: what both begin
    and end with is not read again, and the tree is the same.
    """
    trees: list[Tree] = []
    for number, grammar in enumerate(language.grammars):
        parser = _parser(grammar)
        tree = None
        # Where a text has errors, what is made of it could depend on what was read before.
        if like is not None and like.grammar == number and not like.root.has_error:
            tree = parser.parse(source, _edited(like, source))
        if tree is None or tree.root_node.has_error:
            tree = parser.parse(source)
        if is_read(tree.root_node) and not _is_only_text(tree.root_node):
            return Parsed(tree, source, 0, len(source), number)
        trees.append(tree)
    has_code = trees[0].root_node.named_child_count > 0
    return Parsed(trees[0], source, 0, len(source), 0) if has_code else None


def _edited(old: Parsed, source: bytes) -> Tree:
    """The tree of a text as the parser wants it to read another one faster."""
    tree = old.tree.copy()
    done, point = 0, (0, 0)
    for (start, end), (new_start, new_end) in _differences(old.source, source):
        begins = _after(point, source[done:new_start])
        points = [
            _after(begins, text) for text in (old.source[start:end], source[new_start:new_end])
        ]
        tree.edit(new_start, new_start + end - start, new_end, begins, *points)
        done, point = new_end, points[1]
    return tree


# Bytes that two texts must have in common to be taken for the same place, how much further it is
# looked for, and after how many places the rest counts as one difference.
_SAME, _FURTHER, _MOST = 200, 5000, 200
_Span = tuple[int, int]


def _differences(one: bytes, two: bytes) -> Iterator[tuple[_Span, _Span]]:
    """Spans of both texts in their order, outside of which they are the same."""
    at, to = 0, 0
    for n in range(_MOST + 1):
        same = _n_same(one, two, at, to)
        at, to = at + same, to + same
        if at == len(one) and to == len(two):
            return
        ends = _meeting(one, two, at, to) if n < _MOST else None
        if ends is None:
            same = _n_same(one[at:][::-1], two[to:][::-1])
            ends = len(one) - same, len(two) - same
        yield (at, ends[0]), (to, ends[1])
        at, to = ends


def _meeting(one: bytes, two: bytes, at: int, to: int) -> _Span | None:
    """Where two texts that differ here are the same again; None if that is not found."""
    skipped = 0
    while (start := at + skipped) + _SAME <= len(one):
        found = two.find(one[start : start + _SAME], to, to + 2 * skipped + _FURTHER)
        if found >= 0:
            same = _n_same(one[at:start][::-1], two[to:found][::-1])
            return start - same, found - same
        skipped = max(20, skipped * 3 // 2)
    return None


def _n_same(one: bytes, two: bytes, at: int = 0, to: int = 0) -> int:
    """How many bytes are the same from two places on. Hardly more of them are looked at, and none
    often: files may have a million."""
    low, step = 0, 64
    most = min(len(one) - at, len(two) - to)
    while (high := min(low + step, most)) > low and (
        one[at + low : at + high] == two[to + low : to + high]
    ):
        low, step = high, 2 * step
    while low < high:
        middle = (low + high + 1) // 2
        if one[at + low : at + middle] == two[to + low : to + middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _after(point: tuple[int, int], text: bytes) -> tuple[int, int]:
    """The row and column behind a text that begins at a point."""
    n_rows = text.count(b"\n")
    column = len(text) - text.rfind(b"\n") - 1
    return (point[0] + n_rows, column) if n_rows else (point[0], point[1] + column)


# Where the grammar of Python does not know the defaults of type parameters (PEP 696).
_TYPE_PARAMETERS = {
    "function_definition": "type_parameters", "class_definition": "type_parameters",
    "type_alias_statement": "left",
}  # fmt: skip


def is_read(node: Node) -> bool:
    """Whether a grammar read all of a node, or all but the defaults of type parameters."""
    stack = [node] if node.has_error else []
    while stack:
        one = stack.pop()
        if one.is_error or one.is_missing:
            return False
        around = one.child_by_field_name(_TYPE_PARAMETERS.get(one.type, ""))
        if around is not None and around.has_error:
            errors = [inner for inner in walk(around) if inner.is_error]
            if not errors or any(b"=" not in (inner.text or b"") for inner in errors):
                return False
        stack += [child for child in one.children if child.has_error and child != around]
    return True


def _is_only_text(root: Node) -> bool:
    return root.named_child_count > 0 and all(child.type == "text" for child in root.named_children)


def walk(root: Node) -> Iterator[Node]:
    """Every node, parents before children, in the order of the text. No recursion."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(node.children))


def leaves(parsed: Parsed) -> Iterator[Node]:
    """The tokens of the text itself, with its comments; a comment is one token."""
    stack = [parsed.root]
    while stack:
        node = stack.pop()
        if node.end_byte <= parsed.start or node.start_byte >= parsed.end:
            continue
        if node.child_count == 0 or is_comment(node):
            yield node
        else:
            stack.extend(reversed(node.children))


# What holds text of which every character counts, and not strings that stand beside each other.
_LITERAL = re.compile(
    r"(?!concatenated|chained).*(?:string(?!_array)|heredoc|format_|expansion|concatenation)"
)
_TEXT = re.compile(r".*(?:string|fragment|content|heredoc|pattern|raw|char)")
# A line that goes on is layout.
_GOES_ON = re.compile(r"\\\r?\n")


def token_texts(parsed: Parsed) -> Iterator[str]:
    """What every token says, comments left out, and all text of literals, which begins with a
    quote, so that no literal is taken for a token. What a grammar has no token for counts too,
    such as the format in `f"{x:>10}"`."""
    stack: list[Node | str] = [parsed.root]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            yield node
        elif node.end_byte <= parsed.start or node.start_byte >= parsed.end or is_comment(node):
            continue
        elif node.child_count:
            stack += reversed(parts_of(node))
        elif text := (node.text or b"").decode("utf-8", "replace"):
            # The shell's words begin with what stands before them.
            is_inside = text != text.strip() and node.parent and _LITERAL.match(node.parent.type)
            if is_inside or _TEXT.match(node.type):
                yield f'"{text}'
            elif text.strip():
                yield text.strip()


def parts_of(node: Node) -> list[Node | str]:
    """The children of a node and the text between them that is in none, as in `token_texts`."""
    parts: list[Node | str] = []
    is_literal, source, end = bool(_LITERAL.match(node.type)), node.text or b"", node.start_byte
    starts = [*(child.start_byte for child in node.children), node.end_byte]
    for start, child in zip(starts, (*node.children, None), strict=True):
        if start > end:
            between = source[end - node.start_byte : start - node.start_byte]
            text = between.decode("utf-8", "replace")
            if is_literal:
                parts.append(f'"{text}')
            elif bare := _GOES_ON.sub("", text).strip():
                parts.append(bare)
        if child is not None:
            parts.append(child)
            end = max(end, child.end_byte)
    return parts


def is_comment(node: Node) -> bool:
    """Whether a node is a comment that says nothing to a machine."""
    if not node.type.endswith("comment"):
        return False
    text = node.text or b""
    # Interpreters and compilers read these two.
    return not (text.startswith(b"//go:") or (text.startswith(b"#!") and node.start_byte == 0))
