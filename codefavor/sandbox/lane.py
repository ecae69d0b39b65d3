"""Which lane tests need, read from their text before anything runs.

The split lane serves tests that call the program with plain data and look at plain data or at
its objects through what the text itself does with them. Everything else that people write in
tests needs the program in the same process: the together lane.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import json
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from codefavor.sandbox.names import Needs, program_names
from codefavor.sandbox.rewrite import called, is_check_call, is_expectation

FILE_NAME = "<tests>"
SPLIT, TOGETHER = "split", "together"
_PURE = frozenset((
    "__future__", "bisect", "cmath", "collections", "copy", "functools", "heapq", "itertools",
    "math", "operator", "random", "re", "statistics", "string", "typing",
))  # fmt: skip
_LIBRARIES = _PURE | {
    "array", "datetime", "decimal", "fractions", "json", "numbers", "numpy", "pytest", "sys",
    "textwrap", "unittest", "uuid",
}  # fmt: skip
_FORBIDDEN_NAMES = frozenset((
    "__import__", "breakpoint", "callable", "classmethod", "compile", "delattr", "dir", "eval",
    "exit", "getattr", "globals", "hasattr", "help", "id", "input", "locals", "memoryview",
    "object", "BaseExceptionGroup", "ExceptionGroup", "Template", "getcontext", "localcontext",
    "setcontext", "open", "property", "quit", "setattr", "staticmethod", "super", "vars",
))  # fmt: skip
_SYS_NAMES = frozenset(("float_info", "getsizeof", "maxsize", "version_info"))
_TEST_CASE_DECORATORS = frozenset(("classmethod", "staticmethod"))
_FORBIDDEN_METHODS = {
    "skipTest": "a skipped test", "assertLogs": "captured logs", "assertNoLogs": "captured logs",
    "assertWarns": "captured warnings", "assertWarnsRegex": "captured warnings",
    "seed": "a seed that both share", "main": "a runner of its own", "mark": "a mark of pytest",
    "fixture": "a fixture", "skip": "a skipped test", "xfail": "an expected failure",
    "importorskip": "a skipped test", "warns": "captured warnings", "SkipTest": "a skipped test",
    "MonkeyPatch": "a patch", "expectedFailure": "an expected failure",
    "deprecated_call": "captured warnings", "addModuleCleanup": "a clean-up of the module",
}  # fmt: skip
_MODULE_HOOKS = frozenset((
    "setUpModule", "tearDownModule", "setup_module", "teardown_module", "setup_function",
    "teardown_function", "load_tests", "pytest_plugins", "pytestmark",
))  # fmt: skip
_CLASS_HOOKS = frozenset(("setup_class", "teardown_class", "setup_method", "teardown_method"))
_STEPS = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await, ast.Yield, ast.YieldFrom)
_PROCESS_OWN = (ast.ClassDef, ast.With, ast.Global, ast.Import, ast.Lambda)


class Lane(NamedTuple):
    """`name` is split or together, `reason` says what in the tests decides.

    `program_names` are the names that the tests expect of the program (None: it is a module of
    its own); `may_share` tells whether a process that judged such tests may judge the next.
    """

    name: str
    reason: str
    program_names: frozenset[str] = frozenset()
    may_share: bool = False


@lru_cache(maxsize=4096)
def choose_lane(tests: str, entry_point: str = "") -> Lane:
    """The lane of tests, with the reason; tests that do not parse are split (and then at fault)."""
    if is_cases(tests):
        return Lane(SPLIT, "inputs and outputs as text")
    try:
        tree = parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Lane(SPLIT, "the tests do not parse")
    try:
        names = _Reader(tree, entry_point).read()
    except Needs as need:
        return Lane(TOGETHER, str(need))
    return Lane(SPLIT, "plain data", names, _leaves_nothing(tree))


def is_cases(tests: str) -> bool:
    """Whether the tests are inputs and outputs of a program instead of code."""
    if not tests.lstrip().startswith("{"):
        return False
    try:
        found = json.loads(tests)
    except ValueError:
        return False
    return isinstance(found, dict) and isinstance(found.get("cases"), list)


def parse(tests: str) -> ast.Module:
    """The tests as they were written, without a main guard; raises SyntaxError or ValueError."""
    tree = ast.parse(tests.removeprefix("\ufeff"), FILE_NAME)
    body: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.If) and _is_main_guard(node.test):
            # What only starts a runner has no place here; anything else is run as it stands.
            body += [item for item in node.body if not _starts_runner(item)]
        else:
            body.append(node)
    tree.body = body
    return tree


def _is_main_guard(test: ast.expr) -> bool:
    return ast.unparse(test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _starts_runner(node: ast.stmt) -> bool:
    text = ast.unparse(node)
    return any(
        word in text for word in ("unittest.main(", "pytest.main(", "sys.exit(", "TestRunner")
    )


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


def imports_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    """The modules that a statement imports, by their whole names; "" is a relative import."""
    if isinstance(node, ast.ImportFrom):
        return ["" if node.level else node.module or ""]
    return [alias.name for alias in node.names]


@lru_cache(maxsize=1024)
def is_program(module: str) -> bool:
    """Whether an import of this name means the program: no library has it."""
    top = module.partition(".")[0]
    if not top:
        return True
    if top in sys.stdlib_module_names or top in _LIBRARIES:
        return False
    try:
        return importlib.util.find_spec(top) is None
    except (ImportError, ValueError):
        return True


def _checks(node: ast.AST) -> bool:
    return any(
        isinstance(item, ast.Assert) or is_check_call(item)
        or (isinstance(item, ast.withitem) and is_expectation(item.context_expr))
        or (isinstance(item, ast.Call) and called(item) == "fail")
        for item in ast.walk(node)
    )  # fmt: skip


class _Reader:
    def __init__(self, tree: ast.Module, entry_point: str) -> None:
        self._tree = tree
        self._entry = entry_point.partition(".")[0]
        self._explicit: set[str] = set()
        self._libraries: set[str] = set()
        self._modules: set[str] = set()
        self._literals = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self._helpers = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}

    def read(self) -> frozenset[str]:
        """The names that are the program's; raises Needs for what the split lane cannot do."""
        for node in ast.walk(self._tree):
            self._look(node)
        self._look_at_tests()
        if len(self._modules) > 1 or any("." in name for name in self._modules):
            raise Needs(f"the tests import several modules: {', '.join(sorted(self._modules))}")
        return program_names(self._tree, self._explicit, self._entry)

    def _look(self, node: ast.AST) -> None:
        if isinstance(node, _STEPS) or type(node).__name__ == "TryStar":
            raise Needs("generators, coroutines or groups of exceptions")
        if isinstance(node, ast.Name):
            self._name(node)
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node)
        elif isinstance(node, ast.ClassDef):
            self._class(node)
        elif isinstance(node, ast.With):
            for item in node.items:
                self._context(item.context_expr)
        elif isinstance(node, ast.Call) and called(node) == "exec":
            self._exec(node)
        elif isinstance(node, ast.Call) and called(node) == "param" and len(node.keywords) > 1:
            raise Needs("marked cases")

    def _name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            if node.id in _MODULE_HOOKS:
                raise Needs(f"the module hook {node.id}")
            return
        if node.id in _FORBIDDEN_NAMES and node.id != self._entry:
            raise Needs(f"the tests use {node.id}")
        if node.id.startswith("__"):
            raise Needs(f"the tests use {node.id}")

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr.startswith("__"):
            raise Needs(f"the tests use the attribute {node.attr}")
        base = node.value.id if isinstance(node.value, ast.Name) else ""
        if base == "sys" and node.attr not in _SYS_NAMES:
            raise Needs(f"sys.{node.attr}")
        if node.attr in ("format", "format_map") and not isinstance(node.value, ast.Constant):
            raise Needs("a format that the program may have chosen")
        if not isinstance(node.ctx, ast.Load) and _root(node) in self._libraries:
            raise Needs("the tests change a library")
        whole = ast.unparse(node)
        if whole in ("pytest.mark", "pytest.mark.parametrize", "unittest.main"):
            return
        is_runner = base in ("pytest", "self", "unittest", "random", "mark") or "random." in whole
        if is_runner and node.attr in _FORBIDDEN_METHODS:
            raise Needs(_FORBIDDEN_METHODS[node.attr])

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for module in imports_of(node):
            top = module.partition(".")[0]
            if is_program(module):
                self._modules.add(module)
                continue
            if top not in _LIBRARIES:
                raise Needs(f"the tests import {top}")
            if module.startswith(("unittest.", "pytest.")):
                raise Needs(f"the tests import {module}")
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        if is_program(imports_of(node)[0]):
            self._explicit.update(name for name in names if name != "*")
            return
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                if alias.name in _FORBIDDEN_METHODS or alias.name == "mock":
                    raise Needs(_FORBIDDEN_METHODS.get(alias.name, "a mock"))
                if node.module == "sys":
                    raise Needs(f"sys.{alias.name}")
        if "*" in names:
            raise Needs(f"the tests import everything of {imports_of(node)[0]}")
        self._libraries.update(names)

    def _class(self, node: ast.ClassDef) -> None:
        bases = [ast.unparse(base) for base in node.bases]
        is_case = bases in (["unittest.TestCase"], ["TestCase"])
        if not is_case and (bases or not node.name.startswith("Test")):
            raise Needs(f"the tests define the class {node.name}")
        if node.decorator_list or node.keywords:
            raise Needs(f"the class {node.name} is decorated")
        for item in node.body:
            if isinstance(item, ast.FunctionDef):
                if item.name in _CLASS_HOOKS:
                    raise Needs(f"the hook {item.name}")
                if not is_case and item.name == "__init__":
                    raise Needs(f"the class {node.name} has a constructor")

    def _context(self, node: ast.expr) -> None:
        if is_expectation(node) or (isinstance(node, ast.Call) and called(node) == "subTest"):
            return
        base = node.func if isinstance(node, ast.Call) else node
        while isinstance(base, ast.Attribute):
            base = base.value
        if not isinstance(base, ast.Name) or base.id in (
            "pytest",
            "unittest",
            "np",
            "numpy",
            "open",
        ):
            raise Needs(f"the context manager {ast.unparse(node)[:60]}")

    def _exec(self, node: ast.Call) -> None:
        first = node.args[0] if node.args else None
        if not (isinstance(first, ast.Name) and first.id in self._literals):
            raise Needs("the tests execute text that is not their own")

    def _look_at_tests(self) -> None:
        run_by_module = module_calls(self._tree)
        replaced = self._helpers & set(dir(builtins))
        if replaced:
            raise Needs(f"the tests replace the builtin {min(replaced)}")
        for owner, function in self._functions():
            decorators = [ast.unparse(item) for item in function.decorator_list]
            is_test = function.name.startswith("test")
            names: set[str] = set()
            for decorator, node in zip(decorators, function.decorator_list, strict=True):
                if decorator in _TEST_CASE_DECORATORS and owner is not None:
                    continue
                if not decorator.startswith(("pytest.mark.parametrize(", "mark.parametrize(")):
                    raise Needs(f"the decorator @{decorator[:60]}")
                names |= _parametrized(node)
            if function.name in _MODULE_HOOKS:
                raise Needs(f"the module hook {function.name}")
            if not is_test or (owner is None and function.name in run_by_module):
                continue
            wanted = _required(function) - ({"self"} if owner is not None else set())
            if wanted - names:
                raise Needs(f"the fixture {min(wanted - names)}")
            if not _checks(function) and not self._calls_helper(function):
                raise Needs(f"{function.name} has no check of its own")

    def _calls_helper(self, function: ast.FunctionDef) -> bool:
        return any(
            isinstance(node, ast.Call) and called(node) in self._helpers
            for node in ast.walk(function)
        )

    def _functions(self) -> Iterator[tuple[ast.ClassDef | None, ast.FunctionDef]]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.FunctionDef):
                        yield node, item
        inside = {id(item) for node in ast.walk(self._tree) if isinstance(node, ast.ClassDef)
                  for item in node.body}  # fmt: skip
        for node in ast.walk(self._tree):
            if isinstance(node, ast.FunctionDef) and id(node) not in inside:
                yield None, node


def _root(node: ast.expr) -> str:
    """The name that an expression of attributes, items and calls begins with."""
    while not isinstance(node, ast.Name):
        node = getattr(node, "value", None) or getattr(node, "func", None)  # type: ignore[assignment]
        if node is None:
            return ""
    return node.id


def _parametrized(node: ast.expr) -> set[str]:
    """The argument names of a parametrize table; raises Needs where the text does not tell."""
    if not isinstance(node, ast.Call) or not node.args:
        raise Needs("a parametrize table that cannot be read")
    try:
        names = ast.literal_eval(node.args[0])
    except ValueError:
        raise Needs("a parametrize table that cannot be read") from None
    if {item.arg for item in node.keywords} - {"ids", "argvalues"}:
        raise Needs("an indirect parametrize table")
    return set(names.replace(" ", "").split(",") if isinstance(names, str) else names)


def _required(function: ast.FunctionDef) -> set[str]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    needed = positional[: len(positional) - len(arguments.defaults)]
    only = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {item.arg for item in needed} | {item.arg for item, default in only if default is None}


def _leaves_nothing(tree: ast.Module) -> bool:
    """Whether such tests change nothing of the interpreter that they run in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            if any(
                not is_program(m) and m.partition(".")[0] not in _PURE for m in imports_of(node)
            ):
                return False
        elif (
            isinstance(node, _PROCESS_OWN)
            or (isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load))
            or (isinstance(node, ast.Call) and called(node) == "exec")
        ):
            return False
    return True
