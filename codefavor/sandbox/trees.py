"""Reads parsed tests: what is called, assigned and checked, and how often loops go round."""

from __future__ import annotations

import ast
import builtins
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sized
from typing import Any

# Builtins and methods that leave what they are given as it is, and give as many items.
_COPIES = ("enumerate", "list", "reversed", "sorted", "tuple")
_VIEWS = ("items", "keys", "values")
EXPECTATIONS = ("raises", "assertRaises", "assertRaisesRegex")


def walk(tree: ast.AST) -> list[ast.AST]:
    """All nodes of a tree, as ast.walk gives them, in half its time."""
    found = [tree]
    for node in found:
        for name in node._fields:
            part = getattr(node, name, None)
            if type(part) is list:
                found += [item for item in part if isinstance(item, ast.AST)]
            elif isinstance(part, ast.AST) and part._fields:
                found.append(part)
    return found


def called(node: ast.AST) -> str:
    """The last name of what is called, "" for an expression."""
    return last_name(getattr(node, "func", None))


def last_name(node: ast.AST | None) -> str:
    """The name of a variable, the last one of `a.b`, "" for anything else."""
    return str(getattr(node, "attr", None) or getattr(node, "id", ""))


def module_calls(tree: ast.Module) -> frozenset[str]:
    """The functions that the module itself calls."""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    nodes = [node for one in tree.body if not isinstance(one, kinds) for node in walk(one)]
    functions = [node.func for node in nodes if isinstance(node, ast.Call)]
    return frozenset(item.id for item in functions if isinstance(item, ast.Name))


def is_check_call(node: ast.AST) -> bool:
    """Whether a statement is a call that can fail a test: assertEqual, assert_allclose, ..."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    name = called(node.value)
    return name.startswith("assert") or (name == "raises" and len(node.value.args) > 1)


def is_expectation(node: ast.expr) -> bool:
    """Whether a context manager waits for an exception."""
    return isinstance(node, ast.Call) and called(node) in EXPECTATIONS


def is_trap(node: ast.AST) -> bool:
    """Whether a statement only says that it must not be reached."""
    if isinstance(node, ast.Assert):
        return isinstance(node.test, ast.Constant) and not node.test.value
    if isinstance(node, ast.Raise):
        return node.exc is not None and "AssertionError" in ast.unparse(node.exc)
    return isinstance(node, ast.Expr) and called(node.value) == "fail"


def asks_identity(nodes: list[ast.AST]) -> bool:
    """Whether code asks which object a value is, and not only whether it is None or a class."""
    bound = set(map(_bound_by, nodes))
    is_object_named = any(getattr(node, "id", "") == "object" for node in nodes)
    for node in nodes:
        fields = (getattr(node, name, "") for name in ("attr", "id", "name", "value"))
        name = next(filter(None, fields), "")
        is_asked = name in ("is_", "is_not", "builtins", "__builtins__")
        if isinstance(node, ast.Name):
            is_asked |= name == "id" not in bound
        elif isinstance(node, ast.Attribute):
            is_asked |= is_object_named and name in ("__eq__", "__ne__", "__hash__", "__repr__")
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            asks = any(isinstance(operator, ast.Is | ast.IsNot) for operator in node.ops)
            is_asked = asks and not any(_is_one(side, bound) for side in sides)
        if is_asked or getattr(node, "module", "") == "builtins":
            return True
    return False


def _bound_by(node: ast.AST) -> str:
    """The name that a node gives a value, "" for none."""
    if isinstance(node, ast.Name):
        return "" if isinstance(node.ctx, ast.Load) else node.id
    names = [getattr(node, name, None) for name in ("asname", "name", "arg", "rest")]
    return "" if isinstance(node, ast.keyword) else str(next(filter(None, names), ""))


def _is_one(node: ast.expr, bound: set[str]) -> bool:
    """Whether an expression is a constant of the language or a class: every process has one."""
    if isinstance(node, ast.Constant):
        return node.value in (None, ...) or isinstance(node.value, bool)
    if isinstance(node, ast.Call):
        return getattr(node.func, "id", "") == "type" not in bound
    name = getattr(node, "id", "")
    value = None if name in bound else getattr(builtins, name, None)
    is_class = getattr(node, "attr", "") == "__class__" or isinstance(value, type)
    return is_class or value in (..., NotImplemented)


def has_check(node: ast.AST, checking: Collection[str] = ()) -> bool:
    """Whether code holds a check, or one of the names of what may check (`flow.checking_names`)."""
    return any(
        isinstance(item, ast.Assert) or is_check_call(item)
        or (isinstance(item, ast.withitem) and is_expectation(item.context_expr))
        or last_name(item) in checking
        for item in walk(node)
    )  # fmt: skip


def waits_for_exceptions(nodes: Iterable[ast.AST]) -> bool:
    """Whether tests catch or expect an exception anywhere."""
    return any(isinstance(node, ast.Try) or called(node) in EXPECTATIONS for node in nodes)


def each_name(node: ast.AST) -> list[str]:
    """The names that stand in a node, as often as they stand there."""
    return [item.id for item in walk(node) if isinstance(item, ast.Name)]


def names_in(node: ast.AST) -> set[str]:
    """The names that stand anywhere in a node."""
    return set(each_name(node))


def words_of(nodes: Iterable[ast.AST]) -> set[str]:
    """The names, attributes, definitions and parts of imported modules in code."""
    fields = ("id", "attr", "name", "module")
    texts = (str(getattr(node, field, None)) for node in nodes for field in fields)
    return {word for text in texts for word in text.split(".")}


def assignments(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """(target, source) of what a node gives a name."""
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value:
        yield node.target, node.value
    elif isinstance(node, ast.For | ast.comprehension):
        yield node.target, node.iter
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield node.optional_vars, node.context_expr


class Constants:
    """Which iterables have a length that stands in the text, whatever the program does."""

    def __init__(self, nodes: list[ast.AST], names: set[str]) -> None:
        stores = Counter(
            node.arg if isinstance(node, ast.arg) else node.id
            for node in nodes
            if isinstance(node, ast.arg)
            or (isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load))
        )
        self._not_builtin = names | stores.keys()
        reads = {id(part) for node in nodes for part in self._read_by(node)}
        changed = {
            n.id for n in nodes
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and id(n) not in reads
        }  # fmt: skip
        self._values = {
            target.id: node.value
            for node in nodes
            if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Name)
            for target in node.targets
            if isinstance(target, ast.Name) and stores[target.id] == 1 and target.id not in changed
        }

    def length(self, node: ast.AST) -> int:
        """How many steps through the value of an expression the text says; 0: it does not say."""
        try:
            return len(self._read(node))
        except (ValueError, TypeError, OverflowError, RecursionError):  # of literal_eval and range
            return 0

    def _read(self, node: ast.AST) -> Sized:
        """Something of the length of an expression's value."""
        if isinstance(node, ast.Name):
            node = self._values.get(node.id, node)
        if isinstance(node, ast.List | ast.Tuple):
            return () if any(isinstance(item, ast.Starred) for item in node.elts) else node.elts
        if isinstance(node, ast.ListComp) and not any(part.ifs for part in node.generators):
            return range(math.prod(self.length(part.iter) for part in node.generators))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if self._is_json(node.func) and len(node.args) == 1 and not node.keywords:
                table: Sized = json.loads(ast.literal_eval(node.args[0]))
                return table
            return self._read(node.func.value) if node.func.attr in _VIEWS else ()
        name = self._builtin(node) if isinstance(node, ast.Call) else ""
        if name == "range":
            return range(*map(self._number, node.args))  # type: ignore[attr-defined]
        if name == "zip":
            return min(map(self._read, node.args), key=len)  # type: ignore[attr-defined]
        if name in _COPIES:
            return self._read(node.args[0]) if node.args else ()  # type: ignore[attr-defined]
        if isinstance(node, ast.Dict):
            node = ast.Set(node.keys)  # type: ignore[arg-type]
        found: Sized = ast.literal_eval(node)
        return found

    def _is_json(self, function: ast.Attribute) -> bool:
        """Whether it is `json.loads`, of the library."""
        is_module = isinstance(function.value, ast.Name) and function.value.id == "json"
        return is_module and function.attr == "loads" and "json" not in self._not_builtin

    def _number(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name):
            node = self._values.get(node.id, node)
        if isinstance(node, ast.Call) and self._builtin(node) == "len" and len(node.args) == 1:
            return self.length(node.args[0])
        return ast.literal_eval(node)

    def _builtin(self, node: ast.Call) -> str:
        name = getattr(node.func, "id", "")
        return "" if name in self._not_builtin else name

    def _read_by(self, node: ast.AST) -> Iterable[ast.AST]:
        """The parts of a node that it only looks at."""
        if isinstance(node, ast.Call):
            only_reads = self._builtin(node) in (*_COPIES, "dict", "len", "range", "zip")
            return node.args if only_reads or called(node) == "parametrize" else []
        if isinstance(node, ast.Attribute) and node.attr in _VIEWS:
            return [node.value]
        if isinstance(node, ast.For | ast.comprehension):
            return [node.iter]
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            return [node.value]
        return [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
