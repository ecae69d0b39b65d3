"""Rewrites the tests so that every check is recorded when it is evaluated, whatever comes of it.

A soft check (at module level or directly in a test) is recorded and the tests go on; inside
`try`, `with` and helpers a failed one raises as usual too, because something around it may
wait for the exception.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

RECORDER = "__codefavor_recorder__"
_GUARDED = ("isinstance", "issubclass", "type")
_TYPED_ASSERTS = frozenset((
    "assertIsInstance", "assertNotIsInstance", "assertListEqual", "assertTupleEqual",
    "assertDictEqual", "assertSetEqual", "assertSequenceEqual", "assertMultiLineEqual",
    "assertCountEqual",
))  # fmt: skip
EXPECTATIONS = ("raises", "assertRaises", "assertRaisesRegex")


def called(node: ast.expr) -> str:
    """The last name of what is called, "" for an expression."""
    function = getattr(node, "func", None)
    return str(getattr(function, "attr", None) or getattr(function, "id", ""))


def module_calls(tree: ast.Module) -> frozenset[str]:
    """The functions that the module itself calls."""
    found: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found.add(node.func.id)
    return frozenset(found)


def is_check_call(node: ast.AST) -> bool:
    """Whether a statement is a call that can fail a test: assertEqual, assert_allclose, ..."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    name = called(node.value)
    return name.startswith("assert") or (name == "raises" and len(node.value.args) > 1)


def is_expectation(node: ast.expr) -> bool:
    """Whether a context manager waits for an exception."""
    return isinstance(node, ast.Call) and called(node) in EXPECTATIONS


def tainted_names(tree: ast.Module, names: Iterable[str]) -> set[str]:
    """The names in tests whose values may come from the program, whose own names are given."""
    found = set(names)
    for node in ast.walk(tree):
        # What helpers and `check(candidate)` are given may be the program's.
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("test"):
            found.update(item.arg for item in [*node.args.args, *node.args.kwonlyargs])
    size = 0
    while size != len(found):
        size = len(found)
        for node in ast.walk(tree):
            for target, source in _assignments(node):
                if is_tainted(source, found):
                    found.update(n.id for n in ast.walk(target) if isinstance(n, ast.Name))
    return found


def is_tainted(node: ast.AST, names: set[str]) -> bool:
    """Whether an expression reads one of the names."""
    return any(isinstance(item, ast.Name) and item.id in names for item in ast.walk(node))


def _assignments(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and node.value:
        yield node.target, node.value
    elif isinstance(node, ast.For | ast.comprehension):
        yield node.target, node.iter
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        yield node.optional_vars, node.context_expr


class Site(NamedTuple):
    """Where a check stands; `branches` are the sides of the `if ... else` around it.

    An open check stands in a loop whose length the program may choose: it counts once.
    """

    lineno: int
    node: ast.AST
    in_loop: bool
    is_guarded: bool
    branches: frozenset[tuple[int, bool]] = frozenset()
    is_open: bool = False

    @property
    def is_trap(self) -> bool:
        """Whether the check only says that the line must not be reached."""
        test = getattr(self.node, "test", None)
        return isinstance(test, ast.Constant) and not test.value

    @property
    def source(self) -> str:
        """The check as it was written; made only when it is shown, because that is slow."""
        node = self.node.items[0] if isinstance(self.node, ast.With) else self.node
        return ast.unparse(node)[:500]


def is_test_name(name: str) -> bool:
    """Whether a function is run as a test of its own."""
    return name.startswith("test") or name == "check"


def rewrite(tree: ast.Module, names: Iterable[str]) -> list[Site]:
    """Rewrite parsed tests in place; the checks in them, in order. `names` are the program's."""
    rewriter = _Rewriter(tree, names)
    tree.body = rewriter.block(tree.body, soft=True, loop=False, guarded=False)
    ast.fix_missing_locations(tree)
    return rewriter.sites


class _Rewriter:
    def __init__(self, tree: ast.Module, names: Iterable[str]) -> None:
        self.sites: list[Site] = []
        self._branches: frozenset[tuple[int, bool]] = frozenset()
        self._n_forks = 0
        self._is_open = False
        self._tainted = tainted_names(tree, names)
        self._bound = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        self._libraries = {
            alias.asname or alias.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        } - set(names)
        for node in ast.walk(tree):
            self._guard(node)

    def _guard(self, node: ast.AST) -> None:
        """Where an object of the program would be taken for what it is not, ask the recorder."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            if not isinstance(node.left, ast.Constant):
                node.left = _call("number", node.left)
        elif isinstance(node, ast.Match):
            node.subject = self._plain(node.subject)
        elif isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else ""
            n_arguments = 1 if name == "type" else 2
            if name in _GUARDED and name not in self._bound and len(node.args) == n_arguments:
                node.func = _method(name)
            elif self._is_library(function) or called(node) in _TYPED_ASSERTS:
                node.args = [self._plain(item) for item in node.args]
                for item in node.keywords:
                    item.value = self._plain(item.value)

    def _is_library(self, function: ast.expr) -> bool:
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Constant):
            return True
        while isinstance(function, ast.Attribute):
            function = function.value
        name = function.id if isinstance(function, ast.Name) else ""
        return name == "dict" or (name in self._libraries and name != "pytest")

    def _plain(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Starred) or not is_tainted(node, self._tainted):
            return node
        return _call("plain", node)

    def block(
        self, body: list[ast.stmt], *, soft: bool, loop: bool, guarded: bool
    ) -> list[ast.stmt]:
        return [self._statement(item, soft, loop, guarded) for item in body]

    def _statement(self, node: ast.stmt, soft: bool, loop: bool, guarded: bool) -> ast.stmt:
        if isinstance(node, ast.Assert) or is_check_call(node):
            return self._check(node, soft, loop, guarded)
        if isinstance(node, ast.FunctionDef):
            test = is_test_name(node.name)
            node.body = self.block(node.body, soft=test, loop=not test, guarded=not test)
        elif isinstance(node, ast.ClassDef):
            node.body = self.block(node.body, soft=False, loop=False, guarded=False)
        elif isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            for part in ("body", "orelse", "finalbody"):
                body = getattr(node, part)
                setattr(node, part, self.block(body, soft=False, loop=loop, guarded=True))
            self._handlers(node, loop)  # type: ignore[arg-type]
        elif isinstance(node, ast.With):
            return self._with(node, soft, loop)
        elif isinstance(node, ast.For | ast.While):
            outer_open = self._is_open
            self._is_open |= isinstance(node, ast.While) or is_tainted(node.iter, self._tainted)
            node.body = self.block(node.body, soft=soft, loop=True, guarded=guarded)
            self._is_open = outer_open
            node.orelse = self.block(node.orelse, soft=soft, loop=loop, guarded=guarded)
        elif isinstance(node, ast.If):
            outer, self._n_forks = self._branches, self._n_forks + 1
            for side, part in ((True, "body"), (False, "orelse")):
                self._branches = outer | {(self._n_forks, side)}
                body = self.block(getattr(node, part), soft=soft, loop=loop, guarded=guarded)
                setattr(node, part, body)
            self._branches = outer
        elif isinstance(node, ast.Match):
            for case in node.cases:
                case.body = self.block(case.body, soft=soft, loop=loop, guarded=guarded)
        return node

    def _handlers(self, node: ast.Try, loop: bool) -> None:
        first = len(self.sites)
        for handler in node.handlers:
            handler.body = self.block(handler.body, soft=False, loop=loop, guarded=True)
        if _fails_if_reached([*node.body, *node.orelse]) and len(self.sites) == first:
            # The exception is what the test waits for, so its handler is the check.
            number = self._site(node, loop, True)
            for handler in node.handlers:
                held = [_call("begin", ast.Constant(number)), _call("held", ast.Constant(number))]
                handler.body[:0] = [ast.copy_location(ast.Expr(item), handler) for item in held]

    def _with(self, node: ast.With, soft: bool, loop: bool) -> ast.stmt:
        expects = False
        for item in node.items:
            if is_expectation(item.context_expr):
                number = self._site(node, loop, True)
                item.context_expr = _call("expecting", ast.Constant(number), item.context_expr)
                expects = True
        inner_soft = (
            soft and not expects and all(called(i.context_expr) == "subTest" for i in node.items)
        )
        node.body = self.block(node.body, soft=inner_soft, loop=loop, guarded=not inner_soft)
        return node

    def _site(self, node: ast.AST, loop: bool, guarded: bool) -> int:
        line = getattr(node, "lineno", 0)
        self.sites.append(Site(line, node, loop, guarded, self._branches, self._is_open))
        return len(self.sites) - 1

    def _check(self, node: Any, soft: bool, loop: bool, guarded: bool) -> ast.stmt:
        number = self._site(node, loop, guarded)
        begin = _call("begin", ast.Constant(number))
        if isinstance(node, ast.Assert):
            check = [self._assert(node, begin, number)]
        else:
            held = _call("held", ast.Constant(number))
            check = [ast.Expr(begin), ast.Expr(node.value), ast.Expr(held)]
        caught: list[ast.stmt] = [ast.Expr(_call("caught", ast.Constant(number)))]
        if not soft:
            caught.append(ast.Raise(None, None))
        base = ast.Attribute(ast.Name(RECORDER, ast.Load()), "everything", ast.Load())
        handler = ast.ExceptHandler(base, None, caught)
        return ast.copy_location(ast.Try(check, [handler], [], []), node)

    def _assert(self, node: ast.Assert, begin: ast.expr, number: int) -> ast.stmt:
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            name = ast.Constant(type(test.ops[0]).__name__)
            check = _call("compare", begin, name, test.left, test.comparators[0])
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            check = _call("truth", begin, test.operand, ast.Constant(False))
        else:
            check = _call("truth", begin, test, ast.Constant(True))
        message = node.msg if node.msg is not None else ast.Constant(None)
        failed = _call("failed", ast.Constant(number), message)
        return ast.Expr(ast.BoolOp(ast.Or(), [check, failed]))


def _method(name: str) -> ast.Attribute:
    return ast.Attribute(ast.Name(RECORDER, ast.Load()), name, ast.Load())


def _call(method: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(_method(method), list(arguments), [])


def _fails_if_reached(body: list[ast.stmt]) -> bool:
    """Whether a block ends the test where it should not have been reached."""
    for node in body:
        for item in ast.walk(node):
            if isinstance(item, ast.Call) and called(item) == "fail":
                return True
            if isinstance(item, ast.Raise) and "AssertionError" in ast.unparse(item):
                return True
            # A rewritten `assert False`.
            if isinstance(item, ast.Call) and called(item) == "truth":
                value = item.args[1]
                if isinstance(value, ast.Constant) and not value.value:
                    return True
    return False
