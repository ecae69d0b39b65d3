"""The mutation operators: how one small or one coarse mistake is put into a syntax tree.

An operator looks at one node and yields edits: what one of the node's fields becomes. It changes
nothing itself. Hard operators change one operator, constant or bound; medium operators lose or
misplace a whole statement, branch or call. Both kinds contain edits that lengthen the text and
edits that shorten it, so that pairs can be balanced.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple


class Edit(NamedTuple):
    """One possible mistake: the operator's name, its level, and the new value of a field."""

    operator: str
    level: str
    field: str
    value: object


HARD, MEDIUM = "hard", "medium"

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq, ast.LtE),
    ast.NotEq: (ast.Eq, ast.Gt),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mod),
    ast.Div: (ast.FloorDiv, ast.Mult),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}
SIBLING_CALLS = {
    "min": "max", "max": "min", "any": "all", "all": "any", "append": "extend",
    "lower": "upper", "upper": "lower", "lstrip": "rstrip", "rstrip": "lstrip",
    "startswith": "endswith", "endswith": "startswith", "find": "rfind", "rfind": "find",
    "index": "count", "keys": "values", "values": "keys", "ceil": "floor", "floor": "ceil",
    "isdigit": "isalpha", "isalpha": "isalnum", "isalnum": "isalpha", "insert": "append",
    "popleft": "pop", "appendleft": "append", "union": "intersection",
    "add": "discard", "divmod": "pow", "int": "round", "round": "int", "abs": "int",
    "len": "sum", "sum": "len", "sorted": "list", "list": "set", "set": "list",
}  # fmt: skip


def edits_of(node: ast.AST) -> Iterator[Edit]:
    """Every mistake at this node: those of one operator first, then the coarse ones."""
    yield from _hard_edits(node)
    yield from _medium_edits(node)


def _hard_edits(node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for new in COMPARISONS.get(type(operator), ()):
                ops = [*node.ops[:i], new(), *node.ops[i + 1 :]]
                yield Edit(f"compare_{new.__name__.lower()}", HARD, "ops", ops)
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        for other in ARITHMETIC.get(type(node.op), ()):
            yield Edit(f"arithmetic_{other.__name__.lower()}", HARD, "op", other())
    elif isinstance(node, ast.BoolOp):
        yield Edit("and_or", HARD, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.Constant):
        yield from _constant_edits(node.value)
    elif isinstance(node, ast.Call):
        yield from _range_edits(node)
    elif isinstance(node, ast.Subscript):
        yield from _subscript_edits(node)


def _medium_edits(node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Call):
        yield from _call_edits(node)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield from _return_edits(node.value)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield Edit("condition_negated", MEDIUM, "test", _negated(node.test))
    elif isinstance(node, ast.For):
        first, last = ast.Constant(value=1), ast.Constant(value=-1)
        yield Edit("loop_skips_first", MEDIUM, "iter", _sliced(node.iter, ast.Slice(lower=first)))
        yield Edit("loop_skips_last", MEDIUM, "iter", _sliced(node.iter, ast.Slice(upper=last)))
    for field in ("body", "orelse"):
        block = getattr(node, field, None)
        if isinstance(block, list) and not isinstance(node, ast.Module):
            for i in range(len(block)):
                is_loop_end = (
                    isinstance(node, ast.For | ast.While)
                    and field == "body"
                    and i == len(block) - 1
                )
                for name, statements in _block_edits(block, i, is_loop_end=is_loop_end):
                    # A body is never empty.
                    value = statements or ([ast.Pass()] if field == "body" else [])
                    yield Edit(name, MEDIUM, field, value)


def _constant_edits(value: object) -> Iterator[Edit]:
    if isinstance(value, bool):
        yield Edit("boolean_flip", HARD, "value", not value)
    elif isinstance(value, int):
        yield Edit("constant_plus_one", HARD, "value", value + 1)
        yield Edit("constant_minus_one", HARD, "value", value - 1)
    elif isinstance(value, float):
        yield Edit("constant_doubled", HARD, "value", value * 2)
    elif isinstance(value, str) and len(value) > 1:
        yield Edit("string_cut", HARD, "value", value[:-1])


def _shifted(expression: ast.expr, by: int) -> ast.expr:
    operator: ast.operator = ast.Add() if by > 0 else ast.Sub()
    return ast.BinOp(left=expression, op=operator, right=ast.Constant(value=abs(by)))


def _range_edits(node: ast.Call) -> Iterator[Edit]:
    is_range = isinstance(node.func, ast.Name) and node.func.id == "range"
    # The edits of a constant bound say the same.
    if is_range and len(node.args) in (1, 2) and not isinstance(node.args[-1], ast.Constant):
        *others, last = node.args
        yield Edit("range_one_more", HARD, "args", [*others, _shifted(last, 1)])
        yield Edit("range_one_less", HARD, "args", [*others, _shifted(last, -1)])


def _subscript_edits(node: ast.Subscript) -> Iterator[Edit]:
    if isinstance(node.slice, ast.Slice):
        for name in ("lower", "upper"):
            bound = getattr(node.slice, name)
            if isinstance(bound, ast.Name | ast.Call):
                shifted = copy.copy(node.slice)
                setattr(shifted, name, _shifted(bound, 1))
                yield Edit("slice_bound_plus_one", HARD, "slice", shifted)
    elif isinstance(node.slice, ast.Name) and isinstance(node.ctx, ast.Load):
        yield Edit("index_minus_one", HARD, "slice", _shifted(node.slice, -1))


def _call_edits(node: ast.Call) -> Iterator[Edit]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in SIBLING_CALLS:
        called = copy.copy(node.func)
        field = "attr" if isinstance(called, ast.Attribute) else "id"
        setattr(called, field, SIBLING_CALLS[name])
        yield Edit("call_swapped", MEDIUM, "func", called)
    # isinstance would only raise; min and max give the same either way round.
    if len(node.args) == 2 and name not in ("isinstance", "min", "max"):
        yield Edit("arguments_swapped", MEDIUM, "args", node.args[::-1])


def _return_edits(value: ast.expr) -> Iterator[Edit]:
    if isinstance(value, ast.BinOp):
        yield Edit("return_partial", MEDIUM, "value", value.left)
    if isinstance(value, ast.Compare | ast.BoolOp):
        negated = ast.UnaryOp(op=ast.Not(), operand=value)
        yield Edit("return_negated", MEDIUM, "value", negated)
    if isinstance(value, ast.Name | ast.List | ast.ListComp):
        yield Edit("return_length", MEDIUM, "value", _call("len", value))
    if isinstance(value, ast.BinOp | ast.Call | ast.Name):
        wrapped = ast.List(elts=[value], ctx=ast.Load())
        yield Edit("return_wrapped", MEDIUM, "value", wrapped)


def _call(name: str, argument: ast.expr) -> ast.Call:
    return ast.Call(func=ast.Name(id=name, ctx=ast.Load()), args=[argument], keywords=[])


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    return ast.UnaryOp(op=ast.Not(), operand=test)


def _sliced(items: ast.expr, part: ast.Slice) -> ast.expr:
    # Not every iterable can be sliced, so the loop is given a list of it.
    sliceable = items if isinstance(items, ast.Name | ast.Attribute) else _call("list", items)
    return ast.Subscript(value=sliceable, slice=part, ctx=ast.Load())


def _block_edits(
    block: list[ast.stmt], i: int, *, is_loop_end: bool
) -> Iterator[tuple[str, list[ast.stmt]]]:
    """What may become of a block by a mistake at its i-th statement."""
    statement, before, after = block[i], block[:i], block[i + 1 :]
    if isinstance(statement, ast.FunctionDef | ast.Import | ast.ImportFrom):
        return
    is_loop = isinstance(statement, ast.For | ast.While)
    is_branch = is_loop or isinstance(statement, ast.If)
    yield "branch_lost" if is_branch else "statement_lost", [*before, *after]
    if isinstance(statement, ast.If | ast.For | ast.While):
        yield "body_unconditional", [*before, *statement.body, *after]
    if isinstance(statement, ast.If) and statement.orelse:
        yield "only_else", [*before, *statement.orelse, *after]
    if isinstance(statement, ast.AugAssign | ast.Expr):
        yield "statement_doubled", [*before, statement, statement, *after]
    if is_loop_end:
        yield "loop_stops_early", [*before, statement, ast.Break()]
    if isinstance(statement, ast.For | ast.While) and after and isinstance(after[0], ast.Return):
        loop = copy.copy(statement)
        loop.body = [*statement.body, after[0]]
        yield "early_return", [*before, loop, *after]
    if after and not isinstance(after[0], ast.Return):
        yield "statements_swapped", [*before, after[0], statement, *after[1:]]
