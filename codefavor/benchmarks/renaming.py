"""New names for the locals of a program, where nobody but its function can see the old ones."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import TYPE_CHECKING

from codefavor.benchmarks.program_edits import (
    BLOCKS,
    FUNCTIONS,
    NAMELESS,
    Edit,
    edited,
    text_of,
)
from codefavor.languages import get_language
from codefavor.languages.trees import is_comment, leaves, parse

if TYPE_CHECKING:
    from tree_sitter import Node

# Where a leaf declares a local: its parent's type, and the field that it has there ("" for any).
_DECLARES = {
    "variable_declarator": "name", "init_declarator": "declarator", "let_declaration": "pattern",
    "variable_declaration": "", "assignment": "left", "var_spec": "name",
}  # fmt: skip
# Around the left side of what may declare.
_LEFT = {"expression_list": "short_var_declaration", "variable_name": "assignment_expression"}
_OPAQUE = re.compile(
    r"string|template|heredoc|char|interpret|literal_content|regex|symbol|preproc_arg"
)
_NAMED_PLACES = frozenset({
    "value_argument", "named_argument", "labeled_statement", "field_initializer",
    "break_statement", "continue_statement", "keyword_argument",
})  # fmt: skip
# Here a name is a member's, a label's or an element's, or becomes one.
_SEEN_PLACES = frozenset({
    "shorthand_field_initializer", "label", "anonymous_object_creation_expression",
    "tuple_expression", "with_initializer", "subpattern", "element_value_pair",
    "jsx_opening_element", "jsx_closing_element", "jsx_self_closing_element",
    "global_declaration",
})  # fmt: skip
# Values that take the name of the variable as theirs: `f.name` of JavaScript.
_TAKE_NAMES = NAMELESS | {"class"}
# The program's own words that are no locals, whatever is assigned to them.
_MAGIC = frozenset({
    "this", "self", "super", "arguments", "GLOBALS", "argc", "argv", "http_response_header",
    "php_errormsg",
})  # fmt: skip
# With one of these words in a program, its names may be read as text.
_READERS = {
    "python": "locals vars eval exec globals dir f_locals _getframe currentframe evaluate",
    "javascript": "eval with", "typescript": "eval with",
    "php": "dynamic_variable_name compact extract eval parse_str get_defined_vars include "
    "include_once require require_once",
    "ruby": "binding eval instance_eval class_eval local_variables",
    "csharp": "nameof CallerArgumentExpression", "rust": "stringify dbg", "c": "#", "cpp": "#",
}  # fmt: skip


def reads_names(words: Iterable[str], language: str) -> bool:
    """Whether one of the words makes a program's names readable as text."""
    return not set(_READERS.get(language, "").split()).isdisjoint(words)


def may_be_renamed(name: str) -> bool:
    """Whether a name is only a name: `_` is no variable in many languages, and what begins with it
    is not meant to be used or is read by a tool."""
    return name.isidentifier() and not name.startswith("_") and name not in _MAGIC


def rename_locals(code: str, language: str) -> str:
    """New names for locals: for those that only one function says, inside the block that declares
    them, and that no string, member or named argument says."""
    parsed = parse(code, get_language(language))
    # A variable of a shell is everybody's unless it says otherwise.
    if parsed is None or language == "shell":
        return code
    tokens = [one for one in leaves(parsed) if not is_comment(one)]
    texts = Counter(text_of(one) for one in tokens)
    quoted = set(
        re.findall(r"\w+", " ".join(text_of(one) for one in tokens if _OPAQUE.search(one.type)))
    )
    places: dict[str, list[Node]] = {}
    for one in tokens:
        places.setdefault(text_of(one), []).append(one)
    fresh = (name for number in count() if (name := f"v{number}") not in texts)
    # The text of a macro may turn the names that it is given into text.
    kinds = {"#" for one in tokens if one.type == "preproc_arg" and "#" in text_of(one)}
    kinds |= {one.parent.type for one in tokens if one.parent is not None}
    if reads_names(texts.keys() | kinds, language):
        return code
    edits: list[Edit] = []
    for name, found in places.items():
        if name in quoted or not may_be_renamed(name) or not _is_local(found):
            continue
        new = next(fresh).encode()
        edits += [(one.start_byte, one.end_byte, new) for one in found]
    return edited(parsed, edits)


def _is_local(found: list[Node]) -> bool:
    first = found[0]
    block = _ancestor(first, BLOCKS)
    if block is None or not _declares(first) or not _ancestor(first, FUNCTIONS | NAMELESS):
        return False
    return all(
        one.type == first.type
        and (
            one.parent is not None and (first.type != "name" or one.parent.type == "variable_name")
        )
        and block.start_byte <= one.start_byte < block.end_byte
        and not _is_member(one)
        for one in found
    )


def _declares(leaf: Node) -> bool:
    node, parent = leaf, leaf.parent
    if parent is not None and parent.type in _LEFT:
        holder = parent.parent
        if holder is None or holder.type != _LEFT[parent.type]:
            return False
        left = holder.child_by_field_name("left")
        return left is not None and left.start_byte == parent.start_byte
    while parent is not None and parent.type in ("pointer_declarator", "mut_pattern"):
        node, parent = parent, parent.parent
    if parent is None or parent.type not in _DECLARES:
        return False
    value, of_type = parent.child_by_field_name("value"), parent.child_by_field_name("type")
    if (value is not None and value.type in _TAKE_NAMES) or of_type == node:
        return False
    field = _DECLARES[parent.type]
    declared = parent.child_by_field_name(field) if field else node
    return declared is not None and declared.start_byte == node.start_byte


def _is_member(leaf: Node) -> bool:
    before, parent = leaf.prev_sibling, leaf.parent
    while before is None and parent is not None and parent.start_byte == leaf.start_byte:
        before, parent = parent.prev_sibling, parent.parent
    if before is not None and before.type in (".", "->", "?.", "::", "&."):
        return True
    holder = leaf.parent
    if holder is None:
        return False
    above = holder.parent
    # A field's name in Go's and C#'s literals looks like a variable.
    after = holder.next_sibling
    is_key = holder.type == "literal_element" and after is not None and after.type == ":"
    is_field = above is not None and above.type in ("initializer_expression", "tuple_expression")
    is_argument = holder.type == "argument" and holder.child_by_field_name("name") == leaf
    is_seen = is_key or is_field or is_argument or holder.type in _SEEN_PLACES
    has_more = leaf.next_sibling is not None or holder.type.endswith("_statement")
    return is_seen or (holder.type in _NAMED_PLACES and has_more)


def _ancestor(node: Node, kinds: frozenset[str]) -> Node | None:
    parent = node.parent
    while parent is not None and parent.type not in kinds:
        parent = parent.parent
    return parent
