"""Rewrites the tests so that every assert is counted and a failing one shows its values.

A soft assert (at module level or directly in a test function) is recorded and the tests go on;
inside `try`, `with`, classes and helpers an assert raises as usual, because something around
it may be waiting for the exception.
"""

from __future__ import annotations

import ast
import builtins
import sys
from typing import NamedTuple

from codefavor.sandbox.free_names import FreeNames, free_names

RECORDER = "__codefavor_recorder__"
FILE_NAME = "<tests>"
_EVALUATED_LATER = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class AssertSite(NamedTuple):
    """Where an assert stands; `is_guarded` means an exception in it may be swallowed.

    `function` is the outermost function around it, "" at module level.
    """

    lineno: int
    node: ast.expr | None
    is_guarded: bool
    function: str = ""

    @property
    def source(self) -> str:
        """The asserted expression; made only when it is shown, because that is slow."""
        return "an exception is expected" if self.node is None else ast.unparse(self.node)[:500]


class Instrumented(NamedTuple):
    """A rewritten module: its tree, its asserts, and the class names its tests construct.

    `check_arguments` are the names that the module itself hands to `check`, None if it does
    not call it; `own` are the names that it binds itself, and those of the builtins; `names`
    says what its other names may mean.
    """

    tree: ast.Module
    sites: list[AssertSite]
    declared: frozenset[str]
    check_arguments: frozenset[str] | None
    imports: frozenset[str]
    own: frozenset[str]
    names: FreeNames


def is_test_name(name: str) -> bool:
    """Whether a function is run as a test of its own."""
    return name.startswith("test") or name == "check"


def instrument(source: str, entry_point: str) -> Instrumented:
    """Parse and rewrite the tests; raises SyntaxError or ValueError if they do not parse."""
    return rewrite(parse(source), entry_point)


def parse(source: str) -> ast.Module:
    """The tests as they were written; raises SyntaxError or ValueError if they do not parse."""
    return ast.parse(source.removeprefix("\ufeff"), FILE_NAME)


def rewrite(tree: ast.Module, entry_point: str) -> Instrumented:
    """Rewrite parsed tests, in place."""
    names = free_names(tree, entry_point)
    rewriter = _Rewriter()
    tree.body = rewriter.statements(tree.body, soft=True, guarded=False)
    ast.fix_missing_locations(tree)
    declared, imports, own = _names(tree)
    if entry_point[:1].isupper():
        declared |= {entry_point}
    given = _check_arguments(tree)
    return Instrumented(tree, rewriter.sites, declared, given, frozenset(imports), own, names)


def _names(tree: ast.Module) -> tuple[frozenset[str], set[str], frozenset[str]]:
    """(classes of the program that the tests construct, by the writing; imports; own names)."""
    used: set[str] = set()
    own: set[str] = set(dir(builtins))
    imports: set[str] = set()
    others: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            used.update((getattr(node.func, "id", ""), getattr(node.func, "attr", "")))
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            own.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports.add(node.module)
            if node.module.partition(".")[0] in sys.stdlib_module_names:
                own.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            imports.update(alias.name for alias in node.names)
            others.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.arg):
            others.add(node.arg)
    wanted = used - own
    declared = frozenset(name for name in wanted if name.lstrip("_")[:1].isupper())
    return declared, imports, frozenset(own | others)


def needs_program(site: AssertSite, tests: Instrumented) -> bool:
    """Whether an assert that held shows that the program was asked, whatever its values.

    True in a `check` that was given the entry point or another name of the program, and where
    a name that the tests do not bind is read on every path through the expression.
    """
    given = tests.check_arguments
    if site.function == "check" and (given is None or given - tests.own):
        return True
    waiting: list[ast.AST] = [] if site.node is None else [site.node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and node.id not in tests.own:
            return True
        if isinstance(node, ast.BoolOp):
            waiting.append(node.values[0])
        elif isinstance(node, ast.IfExp):
            waiting.append(node.test)
        elif isinstance(node, ast.Compare):
            waiting += [node.left, node.comparators[0]]
        elif not isinstance(node, _EVALUATED_LATER):
            waiting += ast.iter_child_nodes(node)
    return False


def _check_arguments(tree: ast.Module) -> frozenset[str] | None:
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
                return frozenset(item.id for item in node.args if isinstance(item, ast.Name))
    return None


class _Rewriter:
    def __init__(self) -> None:
        self.sites: list[AssertSite] = []
        self._function = ""

    def statements(self, body: list[ast.stmt], *, soft: bool, guarded: bool) -> list[ast.stmt]:
        return [self.statement(item, soft=soft, guarded=guarded) for item in body]

    def statement(self, node: ast.stmt, *, soft: bool, guarded: bool) -> ast.stmt:
        if isinstance(node, ast.Assert):
            return self._assert(node, soft=soft, guarded=guarded)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            test = is_test_name(node.name)
            outer, self._function = self._function, self._function or node.name
            node.body = self.statements(node.body, soft=test, guarded=not test)
            self._function = outer
        elif isinstance(node, ast.ClassDef):
            node.body = self.statements(node.body, soft=False, guarded=True)
        elif isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
            self._try(node)  # type: ignore[arg-type]
        elif isinstance(node, ast.With | ast.AsyncWith):
            node.body = self.statements(node.body, soft=False, guarded=True)
        elif isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.If):
            node.body = self.statements(node.body, soft=soft, guarded=guarded)
            node.orelse = self.statements(node.orelse, soft=soft, guarded=guarded)
        elif isinstance(node, ast.Match):
            for case in node.cases:
                case.body = self.statements(case.body, soft=soft, guarded=guarded)
        return node

    def _try(self, node: ast.Try) -> None:
        expects = _fails_if_reached(node.body) or _fails_if_reached(node.orelse)
        for part in ("body", "orelse", "finalbody"):
            setattr(node, part, self.statements(getattr(node, part), soft=False, guarded=True))
        for handler in node.handlers:
            handler.body = self.statements(handler.body, soft=False, guarded=True)
            if expects:
                self.sites.append(AssertSite(node.lineno, None, True))
                call = _call("expected", ast.Constant(len(self.sites) - 1))
                handler.body.insert(0, ast.copy_location(ast.Expr(call), handler))

    def _assert(self, node: ast.Assert, *, soft: bool, guarded: bool) -> ast.stmt:
        number = len(self.sites)
        self.sites.append(AssertSite(node.lineno, node.test, guarded, self._function))
        begin = _call("begin", ast.Constant(number))
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            name = ast.Constant(type(test.ops[0]).__name__)
            check = _call("compare", begin, name, test.left, test.comparators[0])
        elif isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            check = _call("falsity", begin, test.operand)
        else:
            check = _call("truth", begin, test)
        message = node.msg if node.msg is not None else ast.Constant(None)
        failed = _call("failed", ast.Constant(number), message)
        hard: ast.stmt = ast.Expr(ast.BoolOp(ast.Or(), [check, failed]))
        if soft:
            caught = ast.Expr(_call("caught", ast.Constant(number)))
            base = ast.Attribute(ast.Name(RECORDER, ast.Load()), "everything", ast.Load())
            handler = ast.ExceptHandler(base, None, [caught])
            hard = ast.Try([hard], [handler], [], [])
        return ast.copy_location(hard, node)


def _call(method: str, *arguments: ast.expr) -> ast.Call:
    function = ast.Attribute(ast.Name(RECORDER, ast.Load()), method, ast.Load())
    return ast.Call(function, list(arguments), [])


def _fails_if_reached(body: list[ast.stmt]) -> bool:
    """Whether a block ends the test where it should not have been reached."""
    for node in body:
        never = isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant)
        if never and not node.test.value:  # type: ignore[attr-defined]
            return True
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(raised, ast.Name) and raised.id == "AssertionError":
                return True
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            function = node.value.func
            if isinstance(function, ast.Attribute) and function.attr == "fail":
                return True
    return False
