"""Edits that pass data on in another type, shape or order, and those that need a resource without
end: the mapping and resource classes of Tian et al. 2024, "CodeHalu".

Each function looks at one node and gives the kind of a hallucination, a field and its new value;
what a failing run of each must show stands in `hallucinations`.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator

Change = tuple[str, str, object]
# More than any limit of memory holds.
_TOO_MANY = 10**10
# What the program converts to is kept at its names, under this one.
CONVERSIONS_HERE = "_conversions_here"
_CONVERSIONS = ("int", "str", "float", "list", "tuple", "set")
# Of these the order of the first two arguments says nothing, or only that it is no such call.
_ANY_ORDER = frozenset(
    {"min", "max", "gcd", "lcm", "isinstance", "zip", "hypot", "intersection", "union", "print"}
)


def mapping_changes(node: ast.AST) -> Iterator[Change]:
    """A conversion lost, added or another, a pair or a list where another is needed, two values in
    turned order."""
    for field, children in _children(node):
        for at, child in enumerate(children):
            for other in _other_conversions(child):
                yield "wrong_conversion", field, _placed(node, field, at, other)
            if (part := _other_shape(child)) is not None:
                yield "wrong_shape", field, _placed(node, field, at, part)
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Name | ast.Call | ast.ListComp):
        yield "wrong_shape", "value", ast.List([node.value], ast.Load())
    if isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Tuple):
        if (bare := _without_pairs(node.iter)) is not None:
            yield "wrong_shape", "iter", bare
        yield from _turned("target", node.target)
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        yield from _turned("value", node.value)
    if isinstance(node, ast.Call) and len(node.args) >= 2:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        first, second, *rest = node.args
        is_plain = not any(isinstance(one, ast.Starred) for one in (first, second))
        if is_plain and name not in _ANY_ORDER:
            yield "swapped_order", "args", [second, first, *rest]


def resource_changes(node: ast.AST) -> Iterator[Change]:
    """A table of all numbers, a list that grows while it is gone through, a recursion without its
    end, a loop that comes no nearer to its end."""
    if isinstance(node, ast.For | ast.comprehension):
        yield from _tables(node)
    if isinstance(node, ast.For):
        yield from _growing(node)
    if isinstance(node, ast.FunctionDef):
        yield from _endless_recursion(node)
    if isinstance(node, ast.While):
        yield from _endless_loop(node)


def _children(node: ast.AST) -> Iterator[tuple[str, list[ast.expr]]]:
    """The fields of a node that hold expressions, without targets and names of functions."""
    for field, value in ast.iter_fields(node):
        found = value if isinstance(value, list) else [value]
        if field not in ("targets", "target", "func", "decorator_list", "returns", "annotation"):
            yield field, [one for one in found if isinstance(one, ast.expr)]


def _placed(node: ast.AST, field: str, at: int, value: ast.expr) -> object:
    own = getattr(node, field)
    if not isinstance(own, list):
        return value
    expressions = [one for one in own if isinstance(one, ast.expr)]
    return [value if one is expressions[at] else one for one in own]


def conversions_of(nodes: Iterable[ast.AST]) -> list[str]:
    """The types that calls of one value convert to."""
    called = {one.func.id for one in nodes if _is_conversion(one)}  # type: ignore[attr-defined]
    return [one for one in _CONVERSIONS if one in called]


def _is_conversion(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
        return False
    is_one = not isinstance(node.args[0], ast.Starred)
    return is_one and getattr(node.func, "id", "") in _CONVERSIONS


def _other_conversions(node: ast.expr) -> Iterator[ast.expr]:
    """A conversion lost, or to another type; a name converted as others are in the program."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        for kind in getattr(node, CONVERSIONS_HERE, ()):
            yield ast.Call(ast.Name(kind, ast.Load()), [node], [])
    elif isinstance(node, ast.Call) and _is_conversion(node):
        yield node.args[0]
        for kind in _CONVERSIONS:
            yield ast.Call(ast.Name(kind, ast.Load()), node.args, [])


def _other_shape(node: ast.expr) -> ast.expr | None:
    """The first of what an index at an index gives: `x[0][1]` becomes `x[0]`."""
    if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
        return None
    inner = node.value
    if not isinstance(inner, ast.Subscript):
        return None
    is_part = isinstance(node.slice, ast.Slice) or isinstance(inner.slice, ast.Slice)
    return None if is_part else inner


def _without_pairs(node: ast.expr) -> ast.expr | None:
    """What a loop over pairs goes through where the pairs are lost."""
    if not isinstance(node, ast.Call) or node.keywords:
        return None
    if isinstance(node.func, ast.Attribute) and node.func.attr == "items" and not node.args:
        return node.func.value
    name = getattr(node.func, "id", "")
    if name == "enumerate" and len(node.args) == 1:
        return node.args[0]
    if name == "zip" and len(node.args) == 2:
        return ast.Tuple(list(node.args), ast.Load())
    return None


def _turned(field: str, pair: ast.Tuple) -> Iterator[Change]:
    if len(pair.elts) == 2 and not any(isinstance(one, ast.Starred) for one in pair.elts):
        yield "swapped_order", field, ast.Tuple(pair.elts[::-1], pair.ctx)


def _tables(node: ast.For | ast.comprehension) -> Iterator[Change]:
    """A range as a part of the list of all numbers."""
    call = node.iter
    if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "range":
        return
    if len(call.args) not in (1, 2) or any(isinstance(one, ast.Starred) for one in call.args):
        return
    lower, upper = call.args if len(call.args) == 2 else (None, call.args[0])
    # Below 0 a slice counts from behind.
    if lower is not None and isinstance(lower, ast.UnaryOp):
        return
    everything = ast.parse(f"list(range({_TOO_MANY}))", mode="eval").body
    part = ast.Subscript(everything, ast.Slice(lower, upper), ast.Load())
    yield "unbounded_memory", "iter", part


def _growing(node: ast.For) -> Iterator[Change]:
    """What is put into another list is put into the one that the loop goes through."""
    through = node.iter
    if isinstance(through, ast.Call) and getattr(through.func, "id", "") == "enumerate":
        through = through.args[0] if through.args else through
    if not isinstance(through, ast.Name):
        return
    for statement in ast.walk(node):
        call = statement.value if isinstance(statement, ast.Expr) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        owner = call.func.value
        if call.func.attr != "append" or ast.unparse(owner) == through.id:
            continue
        body = copy.deepcopy(node.body)
        for one in (inner for line in body for inner in ast.walk(line)):
            if isinstance(one, ast.Attribute) and _place(one) == _place(call.func):
                one.value = ast.Name(through.id, ast.Load())
        yield "unbounded_growth", "body", body


def _endless_recursion(node: ast.FunctionDef) -> Iterator[Change]:
    """The function without one of the cases in which it does not call itself."""

    def calls_itself(part: ast.AST | list[ast.stmt]) -> bool:
        parts = part if isinstance(part, list) else [part]
        return any(
            isinstance(one, ast.Call) and getattr(one.func, "id", "") == node.name
            for item in parts
            for one in ast.walk(item)
        )

    if not calls_itself(node.body):
        return
    for at, one in enumerate(node.body):
        rest: list[ast.stmt] | None = None
        if isinstance(one, ast.If) and not calls_itself(one.body):
            rest = one.orelse if isinstance(one.body[-1], ast.Return) else None
        elif isinstance(one, ast.Return) and isinstance(one.value, ast.IfExp):
            sides = [one.value.body, one.value.orelse]
            own = [side for side in sides if calls_itself(side)]
            rest = [ast.Return(own[0])] if len(own) == 1 else None
        if rest is not None and (left := [*node.body[:at], *rest, *node.body[at + 1 :]]):
            yield "unbounded_recursion", "body", left


def _endless_loop(node: ast.While) -> Iterator[Change]:
    """The loop with one of the steps that change what its condition reads the other way."""
    read = {one.id for one in ast.walk(node.test) if isinstance(one, ast.Name)}
    for step in ast.walk(node):
        if not isinstance(step, ast.AugAssign) or not isinstance(step.op, ast.Add | ast.Sub):
            continue
        if read & {one.id for one in ast.walk(step.target) if isinstance(one, ast.Name)}:
            body = copy.deepcopy(node.body)
            for one in (inner for line in body for inner in ast.walk(line)):
                if isinstance(one, ast.AugAssign) and _place(one) == _place(step):
                    one.op = ast.Sub() if isinstance(step.op, ast.Add) else ast.Add()
            yield "endless_loop", "body", body


def _place(node: ast.expr | ast.stmt) -> tuple[int, int, int | None, int | None]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
