"""Which nodes of a tree define a function, a class or a name space, and which import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from codefavor.languages.trees import is_comment, walk

if TYPE_CHECKING:
    from tree_sitter import Node


class Definition(NamedTuple):
    """A node that defines something: "function", "class" or "space" (which only qualifies names),
    the name, and the node with what is inside."""

    kind: str
    name: str
    body: Node | None


_FUNCTIONS = frozenset({
    "function_declaration", "generator_function_declaration", "method_definition",
    "method_declaration", "constructor_declaration", "function_definition", "function_item",
    "method", "singleton_method",
})  # fmt: skip
_CLASSES = frozenset({
    "class_declaration", "abstract_class_declaration", "interface_declaration",
    "enum_declaration", "record_declaration", "struct_declaration", "trait_declaration",
    "object_declaration", "class_specifier", "struct_specifier", "struct_item", "enum_item",
    "trait_item", "impl_item", "class", "type_spec", "class_definition",
})  # fmt: skip
# They only qualify names: a whole name space is no unit.
_SPACES = frozenset({
    "namespace_definition", "namespace_declaration", "module", "mod_item", "internal_module",
})  # fmt: skip
_IMPORTS = frozenset({
    "import_from_statement", "future_import_statement",
    "import_statement", "import_declaration", "import_header", "import", "using_directive",
    "use_declaration", "preproc_include", "namespace_use_declaration", "using_declaration",
    "package_clause", "package_declaration", "package_header",
})  # fmt: skip
_KINDS = {
    **dict.fromkeys(_FUNCTIONS, "function"),
    **dict.fromkeys(_CLASSES, "class"),
    **dict.fromkeys(_SPACES, "space"),
}


# The values of JavaScript and TypeScript that a name can make a definition of.
_VALUES = {
    **dict.fromkeys(
        ("arrow_function", "function_expression", "function", "generator_function"), "function"
    ),
    "class": "class",
    "object": "space",
}
# What gives a value a name there, with the fields of both.
_ASSIGNED = {
    "variable_declarator": ("name", "value"),
    "assignment_expression": ("left", "right"),
    "pair": ("key", "value"),
    "field_definition": ("property", "value"),
    "public_field_definition": ("name", "value"),
}
# What a value may be wrapped in, with the field that it is in ("" for the only child).
_AROUND = {
    "parenthesized_expression": "", "await_expression": "", "as_expression": "",
    "satisfies_expression": "", "non_null_expression": "", "assignment_expression": "right",
    "binary_expression": "right",
}  # fmt: skip
_CALLS = frozenset({"call_expression", "new_expression"})
_MAX_NAME = 80


def definition(node: Node) -> Definition | None:
    """What a node defines; None for a node that defines nothing."""
    kind, field = node.type, ""
    if kind in _KINDS:
        return _declaration(node, _KINDS[kind])
    if kind in _ASSIGNED:
        field, value_field = _ASSIGNED[kind]
        value = node.child_by_field_name(value_field)
    elif kind == "export_statement":
        # Only `export default` has a value.
        value = node.child_by_field_name("value")
    else:
        return _registered(node) if kind == "expression_statement" else None
    found = _defining(value)
    if found is None:
        return None
    named = node.child_by_field_name(field) if field else None
    name = _squeezed(named) if named is not None else "default"
    if len(name) > _MAX_NAME:
        return None
    body = found if found.type == "object" else found.child_by_field_name("body")
    return Definition(_VALUES[found.type], name, body)


def _declaration(node: Node, kind: str) -> Definition | None:
    body = node.child_by_field_name("body") if kind != "function" else None
    # `struct tide *t` names a type, it does not define one.
    if body is None and node.type in {"class_specifier", "struct_specifier"}:
        return None
    name = _name(node)
    return Definition(kind, name, body) if name else None


def _squeezed(node: Node) -> str:
    return " ".join(_text(node).split())


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _defining(value: Node | None) -> Node | None:
    """The function, class or object that a value is, or that it calls or is called with."""
    bare = _bare(value)
    candidates = [bare]
    if bare is not None and bare.type in _CALLS:
        called = _bare(bare.child_by_field_name("function"))
        if called is not None and called.type == "member_expression":
            called = _bare(called.child_by_field_name("object"))
        candidates = [called, *map(_bare, _arguments(bare))]
    return next(
        (
            one
            for one in candidates
            if one is not None
            and one.type in _VALUES
            and (one.type != "object" or one.named_child_count)
        ),
        None,
    )


def _bare(node: Node | None) -> Node | None:
    """A value without what it is wrapped in: parentheses, `a ||`, `b =`."""
    while node is not None and node.type in _AROUND:
        field = _AROUND[node.type]
        node = node.child_by_field_name(field) if field else next(iter(node.named_children), None)
    return node


def _arguments(call: Node) -> list[Node]:
    arguments = call.child_by_field_name("arguments")
    return arguments.named_children if arguments is not None else []


def _registered(node: Node) -> Definition | None:
    """A function that a call registers under a string: `app.get('/', function () {})`."""
    call = next(iter(node.named_children), None)
    if call is None or call.type != "call_expression":
        return None
    called, arguments = call.child_by_field_name("function"), _arguments(call)
    functions = [one for one in arguments if _VALUES.get(one.type) == "function"]
    strings = [one for one in arguments if one.type == "string"]
    if called is None or not functions or not strings:
        return None
    before = [one for one in arguments if one.start_byte <= strings[0].start_byte]
    name = f"{_squeezed(called)}({', '.join(map(_squeezed, before))})"
    body = functions[-1].child_by_field_name("body")
    return Definition("function", name, body) if len(name) <= _MAX_NAME else None


def import_lines(node: Node) -> Sequence[str]:
    """What a node imports, one text each; nothing for a node that imports nothing."""
    if node.type in _IMPORTS:
        return (_text(node).strip(),)
    if node.type == "call":  # Ruby's imports are calls.
        called = node.child_by_field_name("method")
        is_require = called is not None and called.text in (b"require", b"require_relative")
        return (_text(node).strip(),) if is_require else ()
    if node.type in {"variable_declaration", "lexical_declaration"}:
        word = _text(node.children[0])
        return [f"{word} {_text(one).strip()};" for one in node.named_children if _requires(one)]
    return ()


def _requires(declarator: Node) -> bool:
    """Whether a variable of JavaScript is given what `require` returns, or a part of it."""
    if declarator.type != "variable_declarator":
        return False
    value = declarator.child_by_field_name("value")
    while value is not None and value.type in {"call_expression", "member_expression"}:
        inner = value.child_by_field_name("function") or value.child_by_field_name("object")
        if inner is not None and inner.text == b"require" and value.type == "call_expression":
            return True
        value = inner
    return False


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
    return _squeezed(named)


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


def head_of(node: Node, found: Definition) -> str:
    """The signature: what stands before the body."""
    body = found.body or node.child_by_field_name("body")
    if body is None:
        body = next((c for c in node.named_children if c.type.endswith("body")), None)
    text = node.text or b""
    ends = [body.start_byte] if body is not None else []
    ends += [child.start_byte for child in node.children if is_comment(child)]
    head = text[: min(ends) - node.start_byte] if ends else text
    line = head.decode("utf-8", "replace").strip()
    line = line if body is not None else line.splitlines()[0].rstrip(" {")
    if body is not None and body.type == "object":
        return f"{line} {{"
    return f"type {line}" if node.type == "type_spec" else line
