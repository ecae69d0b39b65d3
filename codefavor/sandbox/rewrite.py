"""Rewrites the tests so that every check is recorded when it is evaluated, whatever comes of it.

A soft check (at module level or directly in a test) is recorded and the tests go on; inside
`try`, `with` and helpers a failed one raises as usual too, because something around it may
wait for the exception.
"""

from __future__ import annotations

import ast
import builtins
import math
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

from codefavor.sandbox.allowed import GUARDED
from codefavor.sandbox.names import KNOWN_NAMES
from codefavor.sandbox.trees import (
    EXPECTATIONS,
    Constants,
    called,
    each_name,
    is_check_call,
    is_expectation,
    is_trap,
    walk,
)

RECORDER = "__codefavor_recorder__"
_TYPED_ASSERTS = frozenset((
    "assertIsInstance", "assertNotIsInstance", "assertListEqual", "assertTupleEqual",
    "assertDictEqual", "assertSetEqual", "assertSequenceEqual", "assertMultiLineEqual",
    "assertCountEqual", "approx",
))  # fmt: skip

# Where made nodes stand; what the tests say of a line is said by the sites.
_AT: dict[str, Any] = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}


class Site(NamedTuple):
    """Where a check stands.

    Soft: a failed one does not end the test. Guarded: something around it may wait for its
    failure. `n`: how often at most it is evaluated; 0: the text does not say, so it counts once.
    Reread: it reads a name twice, which the program may change between.
    `branches` are the sides of the `if ... else` around it.
    """

    node: ast.AST
    soft: bool = True
    is_guarded: bool = False
    n: int = 1
    is_reread: bool = False
    branches: frozenset[tuple[int, bool]] = frozenset()

    @property
    def lineno(self) -> int:
        return int(getattr(self.node, "lineno", 0))

    def text_in(self, tests: str) -> str:
        """The check as it was written in the tests."""
        return (ast.get_source_segment(tests, self.node) or "")[:500]


def rewrite(tree: ast.Module, names: Iterable[str]) -> list[Site]:
    """Rewrite parsed tests in place; the checks in them, in order. `names` are the program's."""
    rewriter = _Rewriter(tree, names)
    rewriter.visit(tree)
    return rewriter.sites


class _Rewriter(ast.NodeTransformer):
    def __init__(self, tree: ast.Module, names: Iterable[str]) -> None:
        self.sites: list[Site] = []
        self._here = Site(tree)
        self._n_forks = 0
        self._names = set(names)
        self._nodes = walk(tree)
        self._libraries = set(KNOWN_NAMES) - self._names
        self._numpy: set[str] = {"np"}
        # `plus_check(f)`: a function that the module runs once, by a statement of its own.
        run = [s.value.func for s in tree.body if isinstance(s, ast.Expr) and called(s.value)]  # type: ignore[attr-defined]
        self._uses = Counter(getattr(n, "attr", getattr(n, "id", "")) for n in self._nodes)
        self._run_once = {f.id for f in run if isinstance(f, ast.Name) and self._uses[f.id] == 1}
        for node in self._nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported = {item.asname or item.name.partition(".")[0] for item in node.names}
                self._libraries |= imported - self._names - {"pytest"}
                self._numpy |= {i.asname or i.name for i in node.names if i.name == "numpy"}

    @cached_property
    def _constants(self) -> Constants:
        return Constants(self._nodes, self._names)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """As in the base, but at once past what holds nothing to rewrite, like tables of data."""
        if isinstance(node, ast.Constant | ast.Name):
            return node
        if isinstance(node, ast.List | ast.Tuple) and all(
            isinstance(item, ast.Constant) for item in node.elts
        ):
            return node
        return super().generic_visit(node)

    visit_Constant = generic_visit

    # -- where an object of the program would be taken for what it is not -----------------

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mod):
            if not isinstance(node.left, ast.Constant):
                node.left = _call("number", node.left)
            elif isinstance(node.left.value, str | bytes):
                node.right = _guarded(node.right, "plain")
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        self.generic_visit(node)
        node.exc, node.cause = (part and _guarded(part, "plain") for part in (node.exc, node.cause))
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        if len(node.ops) > 1 or not isinstance(node.ops[0], ast.Is | ast.IsNot):
            return node
        is_same = _call("same", node.left, node.comparators[0])
        if isinstance(node.ops[0], ast.IsNot):
            return ast.UnaryOp(ast.Not(), is_same, **_AT)
        return is_same

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if GUARDED.get(name) == len(node.args) and name not in self._names:
            node.func = _method(name)
        elif self._is_library(node.func) or called(node) in _TYPED_ASSERTS:
            guard = "array" if _root(node.func) in self._numpy else "plain"
            if called(node) in ("array", "asarray") and not any(map(each_name, node.args)):
                guard = "plain"  # a table of the tests, which may be empty
            node.args = [_guarded(item, guard) for item in node.args]
            for item in node.keywords:
                item.value = _guarded(item.value, guard)
        elif called(node) in EXPECTATIONS and len(node.args) > 1:
            node.args[1] = _guarded(node.args[1], "watched")
        return node

    def _is_library(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Constant):
            return True
        return _root(function) == "dict" or _root(function) in self._libraries

    # -- checks, and what stands around them ----------------------------------------------

    def _block(self, body: list[ast.stmt], **here: Any) -> list[ast.stmt]:
        outer, self._here = self._here, self._here._replace(**here)
        done = [self.visit(item) for item in body]
        self._here = outer
        return done

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        is_test = node.name.startswith("test") or node.name in ("check", *self._run_once)
        is_run_once = is_test and (node.name in self._run_once or not self._uses[node.name])
        marks = [item for item in node.decorator_list if isinstance(item, ast.Call)]
        tables = [arg for mark in marks for arg in mark.args[1:2]]
        tables += [k.value for mark in marks for k in mark.keywords if k.arg == "argvalues"]
        is_run_once = is_run_once and self._here.n == 1
        n = math.prod(map(self._constants.length, tables)) if is_run_once else 0
        node.decorator_list = [self.visit(item) for item in node.decorator_list]
        node.args = self.visit(node.args)
        node.body = self._block(node.body, soft=is_test, is_guarded=not is_test, n=n)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        node.body = self._block(node.body, soft=False)
        return node

    def visit_If(self, node: ast.If) -> ast.stmt:
        node.test = self.visit(node.test)
        self._n_forks += 1
        fork, branches = self._n_forks, self._here.branches
        node.body = self._block(node.body, branches=branches | {(fork, True)})
        node.orelse = self._block(node.orelse, branches=branches | {(fork, False)})
        return node

    def visit_For(self, node: ast.For) -> ast.stmt:
        n = self._here.n and self._here.n * self._constants.length(node.iter)
        node.iter = self.visit(node.iter)
        node.body = self._block(node.body, n=n)
        node.orelse = self._block(node.orelse)
        return node

    def visit_While(self, node: ast.While) -> ast.stmt:
        node.test = self.visit(node.test)
        node.body = self._block(node.body, n=0)
        node.orelse = self._block(node.orelse)
        return node

    def visit_Try(self, node: ast.Try) -> ast.stmt:
        waits = any(is_trap(item) for part in node.body + node.orelse for item in walk(part))
        for part in ("body", "orelse", "finalbody"):
            setattr(node, part, self._block(getattr(node, part), soft=False, is_guarded=True))
        first = len(self.sites)
        for handler in node.handlers:
            body = self._block(handler.body, soft=False, is_guarded=True)
            handler.body = [ast.Expr(_call("handling"), **_AT), *body]
        if waits and len(self.sites) == first:
            # The exception is what the test waits for, so its handler is the check.
            number = _constant(self._site(node, True))
            for handler in node.handlers:
                held = [_call("begin", number), _call("held", number)]
                handler.body[:0] = [ast.Expr(item, **_AT) for item in held]
        return node

    def visit_With(self, node: ast.With) -> ast.stmt:
        expects = False
        for item in node.items:
            item.context_expr = self.visit(item.context_expr)
            if is_expectation(item.context_expr):
                number = _constant(self._site(item.context_expr, True))
                item.context_expr = _call("expecting", number, item.context_expr)
                expects = True
        soft = self._here.soft and not expects
        node.body = self._block(node.body, soft=soft, is_guarded=not soft)
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.stmt:
        number = self._site(node, self._here.is_guarded)
        begin = _call("begin", _constant(number))
        test: ast.expr = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            name = _constant(type(test.ops[0]).__name__)
            left, right = self.visit(test.left), self.visit(test.comparators[0])
            check = _call("compare", begin, name, left, right)
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            check = _call("truth", begin, self.visit(test.operand), _constant(False))
        else:
            check = _call("truth", begin, self.visit(test), _constant(True))
        message = _constant(None) if node.msg is None else self.visit(node.msg)
        failed = _call("failed", _constant(number), message)
        either = ast.BoolOp(ast.Or(), [check, failed], **_AT)
        return self._recorded([either], number)

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        if not is_check_call(node):
            self.generic_visit(node)
            return node
        number = self._site(node, self._here.is_guarded)
        self.generic_visit(node)
        begin, held = (_call(name, _constant(number)) for name in ("begin", "held"))
        return self._recorded([begin, node.value, held], number)

    def _site(self, node: ast.AST, is_guarded: bool) -> int:
        names = Counter([] if isinstance(node, ast.Try | ast.Call) else each_name(node))
        # That `tuple` stands there twice says nothing of what it is given.
        makers = [getattr(one.func, "id", "") for one in walk(node) if isinstance(one, ast.Call)]
        names -= Counter(one for one in makers if hasattr(builtins, one))
        is_reread = any(n > 1 for name, n in names.items() if name not in self._names)
        site = self._here._replace(node=node, is_guarded=is_guarded, is_reread=is_reread)
        self.sites.append(site)
        return len(self.sites) - 1

    def _recorded(self, check: list[ast.expr], number: int) -> ast.stmt:
        caught: list[ast.stmt] = [ast.Expr(_call("caught", _constant(number)), **_AT)]
        if not self._here.soft:
            caught.append(ast.Raise(None, None, **_AT))
        handler = ast.ExceptHandler(_method("everything"), None, caught, **_AT)
        return ast.Try([ast.Expr(item, **_AT) for item in check], [handler], [], [], **_AT)


def _constant(value: Any) -> ast.Constant:
    return ast.Constant(value, **_AT)


def _method(name: str) -> ast.Attribute:
    return ast.Attribute(ast.Name(RECORDER, ast.Load(), **_AT), name, ast.Load(), **_AT)


def _call(method: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(_method(method), list(arguments), [], **_AT)


def _guarded(node: ast.expr, guard: str) -> ast.expr:
    return node if isinstance(node, ast.Starred | ast.Constant) else _call(guard, node)


def _root(function: ast.expr) -> str:
    while isinstance(function, ast.Attribute):
        function = function.value
    return function.id if isinstance(function, ast.Name) else ""
