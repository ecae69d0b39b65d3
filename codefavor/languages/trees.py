"""Source text as a tree: tree-sitter's, loaded at the first use of a language."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from codefavor.errors import MissingPackageError
from codefavor.languages.table import Language

if TYPE_CHECKING:
    from tree_sitter import Node, Parser


class Parsed(NamedTuple):
    """A text that its language's grammar reads without an error.

    `source` is UTF-8 and may begin and end with a wrapper that made a lone method readable;
    the text itself is `source[start:end]`. `grammar` is the number of the wrapper and grammar.
    """

    root: Node
    source: bytes
    start: int
    end: int
    grammar: int


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
    source = _encoded(code)
    if source is None:
        return None
    wrappers = [("", "")] if not any(language.member) else [("", ""), language.member]
    attempts = [(wrapper, grammar) for wrapper in wrappers for grammar in language.grammars]
    for number, ((before, after), grammar) in enumerate(attempts):
        if like is not None and number != like.grammar:
            continue
        head = before.encode()
        whole = head + source + after.encode()
        root = _parser(grammar).parse(whole).root_node
        # A text of PHP without its opening tag is one piece of text to the whole grammar.
        if not root.has_error and not _is_only_text(root):
            return Parsed(root, whole, len(head), len(head) + len(source), number)
    return None


def _encoded(code: str) -> bytes | None:
    """The text as UTF-8; None for half of a surrogate pair, which models do write and no program's
    encoding has."""
    try:
        return code.encode()
    except UnicodeEncodeError:
        return None


def parse_in_part(code: str, language: Language) -> Parsed | None:
    """The tree of a whole file in the first grammar, errors and all; None without any code.

    Macros and new syntax make files that compile unreadable to a grammar; their parts without
    an error are what they seem.
    """
    source = _encoded(code)
    if source is None:
        return None
    root = _parser(language.grammars[0]).parse(source).root_node
    return Parsed(root, source, 0, len(source), 0) if root.named_child_count else None


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
