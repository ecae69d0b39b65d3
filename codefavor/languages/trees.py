"""Source text as a tree: tree-sitter's, loaded at the first use of a language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
        if not tree.root_node.has_error and not _is_only_text(tree.root_node):
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
        if not tree.root_node.has_error and not _is_only_text(tree.root_node):
            return Parsed(tree, source, 0, len(source), number)
        trees.append(tree)
    has_code = trees[0].root_node.named_child_count > 0
    return Parsed(trees[0], source, 0, len(source), 0) if has_code else None


def _edited(old: Parsed, source: bytes) -> Tree:
    """The tree of a text as the parser wants it to read another one faster."""
    one, two = old.source, source
    shorter = min(len(one), len(two))
    start = _n_same(shorter, lambda low, high: one[low:high] == two[low:high])
    ends = [len(one), len(two)]
    same = _n_same(
        shorter - start,
        lambda low, high: (
            one[ends[0] - high : ends[0] - low] == two[ends[1] - high : ends[1] - low]
        ),
    )
    ends = [end - same for end in ends]
    tree = old.tree.copy()
    points = (_point(two, start), _point(one, ends[0]), _point(two, ends[1]))
    tree.edit(start, ends[0], ends[1], *points)
    return tree


def _n_same(n: int, is_same: Callable[[int, int], bool]) -> int:
    """How many of `n` bytes are the same before the first that is not. No byte is asked for more
    than twice: files may have a million."""
    low, high = 0, n
    while low < high:
        middle = (low + high + 1) // 2
        if is_same(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _point(source: bytes, position: int) -> tuple[int, int]:
    """The row and column of an offset."""
    return source.count(b"\n", 0, position), position - source.rfind(b"\n", 0, position) - 1


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


def is_comment(node: Node) -> bool:
    """Whether a node is a comment that says nothing to a machine."""
    if not node.type.endswith("comment"):
        return False
    text = node.text or b""
    # Interpreters and compilers read these two.
    return not (text.startswith(b"//go:") or (text.startswith(b"#!") and node.start_byte == 0))
