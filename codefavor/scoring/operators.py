"""The mutation operators: how one small or one coarse mistake is put into a syntax tree.

An operator looks at one node and yields edits. An edit is a function that changes the same
node of a fresh copy of the tree in place. Hard operators change one operator, constant or
bound; medium operators lose or misplace a whole statement, branch or call. Both kinds contain
edits that lengthen the text and edits that shorten it, so that pairs can be balanced.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import NamedTuple

Change = Callable[[ast.AST], None]


class Edit(NamedTuple):
    """One possible mistake: the operator's name, its level and the change itself."""

    operator: str
    level: str
    change: Change


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


def hard_edits(node: ast.AST) -> Iterator[Edit]:
    """One-operator mistakes at this node."""
    if isinstance(node, ast.Compare):
        yield from _comparison_edits(node)
    elif isinstance(node, (ast.BinOp, ast.AugAssign)):
        for new in ARITHMETIC.get(type(node.op), ()):
            yield Edit(f"arithmetic_{new.__name__.lower()}", HARD, _set("op", new))
    elif isinstance(node, ast.BoolOp):
        other = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield Edit("and_or", HARD, _set("op", other))
    elif isinstance(node, ast.Constant):
        yield from _constant_edits(node)
    elif isinstance(node, ast.Call):
        yield from _range_edits(node)
    elif isinstance(node, ast.Subscript):
        yield from _subscript_edits(node)


def medium_edits(node: ast.AST) -> Iterator[Edit]:
    """Coarse mistakes at this node: lost, doubled or misplaced statements, branches, calls."""
    if isinstance(node, ast.Call):
        yield from _call_edits(node)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield from _return_edits(node)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield Edit("condition_negated", MEDIUM, _negate_test)
    elif isinstance(node, ast.For):
        yield Edit("loop_skips_first", MEDIUM, _slice_iter(1, None))
        yield Edit("loop_skips_last", MEDIUM, _slice_iter(None, -1))
    for field in ("body", "orelse"):
        statements = getattr(node, field, None)
        if isinstance(statements, list) and not isinstance(node, ast.Module):
            yield from _block_edits(
                field, statements, is_loop=isinstance(node, (ast.For, ast.While))
            )


def _set(field: str, kind: type[ast.AST]) -> Change:
    return lambda node: setattr(node, field, kind())


def _comparison_edits(node: ast.Compare) -> Iterator[Edit]:
    for position, operator in enumerate(node.ops):
        for new in COMPARISONS.get(type(operator), ()):

            def change(
                target: ast.AST, position: int = position, new: type[ast.cmpop] = new
            ) -> None:
                assert isinstance(target, ast.Compare)
                target.ops[position] = new()

            yield Edit(f"compare_{new.__name__.lower()}", HARD, change)


def _constant_edits(node: ast.Constant) -> Iterator[Edit]:
    value = node.value
    if isinstance(value, bool):
        yield Edit("boolean_flip", HARD, _set_value(not value))
    elif isinstance(value, int):
        yield Edit("constant_plus_one", HARD, _set_value(value + 1))
        yield Edit("constant_minus_one", HARD, _set_value(value - 1))
    elif isinstance(value, float):
        yield Edit("constant_doubled", HARD, _set_value(value * 2))
    elif isinstance(value, str) and len(value) > 1:
        yield Edit("string_cut", HARD, _set_value(value[:-1]))


def _set_value(value: object) -> Change:
    return lambda node: setattr(node, "value", value)


def _shifted(expression: ast.expr, by: int) -> ast.expr:
    operator: ast.operator = ast.Add() if by > 0 else ast.Sub()
    return ast.BinOp(left=expression, op=operator, right=ast.Constant(value=abs(by)))


def _range_edits(node: ast.Call) -> Iterator[Edit]:
    if not (isinstance(node.func, ast.Name) and node.func.id == "range" and len(node.args) < 3):
        return
    if isinstance(node.args[-1], ast.Constant):
        return  # the constant's own edits say the same
    for by, name in ((1, "range_one_more"), (-1, "range_one_less")):

        def change(target: ast.AST, by: int = by) -> None:
            assert isinstance(target, ast.Call)
            target.args[-1] = _shifted(target.args[-1], by)

        yield Edit(name, HARD, change)


def _subscript_edits(node: ast.Subscript) -> Iterator[Edit]:
    if isinstance(node.slice, ast.Slice):
        for bound in ("lower", "upper"):
            if isinstance(getattr(node.slice, bound), (ast.Name, ast.Call)):

                def change(target: ast.AST, bound: str = bound) -> None:
                    assert isinstance(target, ast.Subscript)
                    setattr(target.slice, bound, _shifted(getattr(target.slice, bound), 1))

                yield Edit("slice_bound_plus_one", HARD, change)
    elif isinstance(node.slice, ast.Name) and isinstance(node.ctx, ast.Load):

        def shift(target: ast.AST) -> None:
            assert isinstance(target, ast.Subscript)
            target.slice = _shifted(target.slice, -1)

        yield Edit("index_minus_one", HARD, shift)


def _call_edits(node: ast.Call) -> Iterator[Edit]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in SIBLING_CALLS:

        def rename(target: ast.AST, new: str = SIBLING_CALLS[name]) -> None:
            assert isinstance(target, ast.Call)
            if isinstance(target.func, ast.Attribute):
                target.func.attr = new
            else:
                target.func = ast.Name(id=new, ctx=ast.Load())

        yield Edit("call_swapped", MEDIUM, rename)
    # isinstance would only raise; min and max give the same either way round.
    if len(node.args) == 2 and name not in ("isinstance", "min", "max"):

        def swap(target: ast.AST) -> None:
            assert isinstance(target, ast.Call)
            target.args.reverse()

        yield Edit("arguments_swapped", MEDIUM, swap)


def _return_edits(node: ast.Return) -> Iterator[Edit]:
    def halve(target: ast.AST) -> None:
        assert isinstance(target, ast.Return) and isinstance(target.value, ast.BinOp)
        target.value = target.value.left

    def negate(target: ast.AST) -> None:
        assert isinstance(target, ast.Return) and target.value is not None
        target.value = ast.UnaryOp(op=ast.Not(), operand=target.value)

    def count(target: ast.AST) -> None:
        assert isinstance(target, ast.Return) and target.value is not None
        name = ast.Name(id="len", ctx=ast.Load())
        target.value = ast.Call(func=name, args=[target.value], keywords=[])

    def wrap(target: ast.AST) -> None:
        assert isinstance(target, ast.Return) and target.value is not None
        target.value = ast.List(elts=[target.value], ctx=ast.Load())

    if isinstance(node.value, ast.BinOp):
        yield Edit("return_partial", MEDIUM, halve)
    if isinstance(node.value, (ast.Compare, ast.BoolOp)):
        yield Edit("return_negated", MEDIUM, negate)
    if isinstance(node.value, (ast.Name, ast.List, ast.ListComp)):
        yield Edit("return_length", MEDIUM, count)
    if isinstance(node.value, (ast.BinOp, ast.Call, ast.Name)):
        yield Edit("return_wrapped", MEDIUM, wrap)


def _negate_test(node: ast.AST) -> None:
    assert isinstance(node, (ast.If, ast.While, ast.IfExp))
    if isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
        node.test = node.test.operand
    else:
        node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)


def _slice_iter(lower: int | None, upper: int | None) -> Change:
    def change(node: ast.AST) -> None:
        assert isinstance(node, ast.For)
        bounds = [None if b is None else ast.Constant(value=b) for b in (lower, upper)]
        # Not every iterable can be sliced, so the loop is given a list of it.
        items = ast.Call(func=ast.Name(id="list", ctx=ast.Load()), args=[node.iter], keywords=[])
        is_plain = isinstance(node.iter, (ast.Name, ast.Attribute))
        node.iter = ast.Subscript(
            value=node.iter if is_plain else items,
            slice=ast.Slice(lower=bounds[0], upper=bounds[1]),
            ctx=ast.Load(),
        )

    return change


def _block_edits(field: str, statements: list[ast.stmt], *, is_loop: bool) -> Iterator[Edit]:
    for index, statement in enumerate(statements):
        if isinstance(statement, (ast.FunctionDef, ast.Import, ast.ImportFrom)):
            continue
        is_branch = isinstance(statement, (ast.If, ast.For, ast.While))
        name = "branch_lost" if is_branch else "statement_lost"
        yield Edit(name, MEDIUM, _replace(field, index, lambda found: []))
        if isinstance(statement, (ast.If, ast.For, ast.While)):
            yield Edit("body_unconditional", MEDIUM, _replace(field, index, _body_of))
        if isinstance(statement, ast.If) and statement.orelse:
            yield Edit("only_else", MEDIUM, _replace(field, index, _orelse_of))
        if isinstance(statement, (ast.AugAssign, ast.Expr)):
            yield Edit(
                "statement_doubled", MEDIUM, _replace(field, index, lambda found: [found, found])
            )
        if is_loop and field == "body" and index == len(statements) - 1:
            yield Edit(
                "loop_stops_early",
                MEDIUM,
                _replace(field, index, lambda found: [found, ast.Break()]),
            )
        following = statements[index + 1] if index + 1 < len(statements) else None
        if isinstance(statement, (ast.For, ast.While)) and isinstance(following, ast.Return):
            yield Edit("early_return", MEDIUM, _return_inside(field, index))
        if following is not None and not isinstance(following, ast.Return):
            yield Edit("statements_swapped", MEDIUM, _swap_next(field, index))


def _body_of(found: ast.stmt) -> list[ast.stmt]:
    return list(getattr(found, "body"))  # noqa: B009  (typed access differs per class)


def _orelse_of(found: ast.stmt) -> list[ast.stmt]:
    return list(getattr(found, "orelse"))  # noqa: B009


def _replace(field: str, index: int, by: Callable[[ast.stmt], list[ast.stmt]]) -> Change:
    def change(node: ast.AST) -> None:
        block: list[ast.stmt] = getattr(node, field)
        block[index : index + 1] = by(block[index])
        if not block and field == "body":
            block.append(ast.Pass())

    return change


def _return_inside(field: str, index: int) -> Change:
    def change(node: ast.AST) -> None:
        block: list[ast.stmt] = getattr(node, field)
        loop, following = block[index], block[index + 1]
        assert isinstance(loop, (ast.For, ast.While))
        loop.body.append(following)

    return change


def _swap_next(field: str, index: int) -> Change:
    def change(node: ast.AST) -> None:
        block: list[ast.stmt] = getattr(node, field)
        block[index], block[index + 1] = block[index + 1], block[index]

    return change
