"""Which lane tests need, read from their text before anything runs.

The split lane serves tests that call the program with plain data and look at plain data or at
its objects through what the text itself does with them. Everything else that people write in
tests needs the program in the same process: the together lane.
"""

from __future__ import annotations

import ast
import builtins
import importlib.machinery
import json
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from codefavor.sandbox.forbidden import (
    CATCHES,
    CHECKED_MODULES,
    CLASS_HOOKS,
    FAILS,
    FORBIDDEN_METHODS,
    FORBIDDEN_NAMES,
    LIBRARIES,
    MODULE_HOOKS,
    PURE,
    SYS_NAMES,
    TEST_CASE_DECORATORS,
)
from codefavor.sandbox.names import Needs, parametrized, program_names, required
from codefavor.sandbox.rewrite import called, is_check_call, is_expectation, module_calls

FILE_NAME = "<tests>"
SPLIT, TOGETHER = "split", "together"
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


@lru_cache(maxsize=4096)
def program_modules(tests: str) -> tuple[str, ...]:
    """The modules that tests import and that are the program, by their whole names."""
    try:
        tree = parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    imports = (n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom))
    return tuple(
        sorted({name for node in imports for name in imports_of(node) if is_program(name)})
    )


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
    if top in sys.stdlib_module_names or top in LIBRARIES:
        return False
    if top == "solution":
        return True
    # What is installed, not what lies in the working directory: the text alone should decide.
    folders = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return importlib.machinery.PathFinder.find_spec(top, folders) is None


def _checks(node: ast.AST) -> bool:
    return any(
        isinstance(item, ast.Assert) or is_check_call(item)
        or (isinstance(item, ast.withitem) and is_expectation(item.context_expr))
        or (isinstance(item, ast.Call) and called(item) == "fail")
        for item in ast.walk(node)
    )  # fmt: skip


def _is_trap(node: ast.AST) -> bool:
    test = getattr(node, "test", None)
    is_false = isinstance(node, ast.Assert) and isinstance(test, ast.Constant) and not test.value
    return is_false or (isinstance(node, ast.Expr) and called(node.value) == "fail")


class _Reader:
    def __init__(self, tree: ast.Module, entry_point: str) -> None:
        self._tree = tree
        self._entry = entry_point.partition(".")[0]
        self._explicit: set[str] = set()
        self._libraries: set[str] = set()
        self._modules: set[str] = set()
        stores = Counter(
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
        )
        stores.update(node.arg for node in ast.walk(tree) if isinstance(node, ast.arg))
        literals = {
            node.targets[0].id
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.targets[0], ast.Name)
            and stores[node.targets[0].id] == 1
        }
        self._executes = {
            id(node.func)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and node.args
            and isinstance(node.args[0], ast.Name)
            and node.args[0].id in literals
        }
        self._alias: dict[str, str] = {}
        self._helpers = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}

    def read(self) -> frozenset[str]:
        """The names that are the program's; raises Needs for what the split lane cannot do."""
        for node in ast.walk(self._tree):
            self._look(node)
        self._look_at_tests()
        if len(self._modules) > 1 or any("." in name for name in self._modules):
            raise Needs(f"the tests import several modules: {', '.join(sorted(self._modules))}")
        names = program_names(self._tree, self._explicit, self._entry)
        others = self._modules - {"", "solution"}
        if others and self._entry in names - self._explicit:
            # The entry point is just there, so this is a library that is not installed here.
            raise Needs(f"the tests import {min(others)}, which is not installed")
        return names

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
            expects = any(is_expectation(item.context_expr) for item in node.items)
            if expects and any(map(_checks, node.body)):
                raise Needs("a check whose failure the tests catch")
        elif isinstance(node, ast.Call) and called(node) == "param":
            if [item.arg for item in node.keywords] not in ([], ["id"]):
                raise Needs("marked cases")
        elif isinstance(node, ast.Try):
            self._try(node)

    def _name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            if node.id in MODULE_HOOKS:
                raise Needs(f"the module hook {node.id}")
            return
        if node.id in FORBIDDEN_NAMES and node.id != self._entry:
            raise Needs(f"the tests use {node.id}")
        if node.id.startswith("__"):
            raise Needs(f"the tests use {node.id}")
        if node.id == "exec" and id(node) not in self._executes:
            raise Needs("the tests execute text that is not their own")

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr.startswith("__"):
            raise Needs(f"the tests use the attribute {node.attr}")
        root = self._alias.get(_root(node), _root(node))
        if root == "sys" and node.attr not in SYS_NAMES:
            raise Needs(f"sys.{node.attr}")
        if node.attr in ("format", "format_map") and not isinstance(node.value, ast.Constant):
            raise Needs("a format that the program may have chosen")
        if not isinstance(node.ctx, ast.Load) and _root(node) in self._libraries:
            raise Needs("the tests change a library")
        if node.attr in FORBIDDEN_NAMES and root.partition(".")[0] in LIBRARIES:
            raise Needs(f"the tests use {node.attr}")
        if ast.unparse(node) in ("pytest.mark", "pytest.mark.parametrize", "unittest.main"):
            return
        is_checked = root.partition(".")[0] in (*CHECKED_MODULES, "self", "mark")
        if is_checked and node.attr in FORBIDDEN_METHODS:
            raise Needs(FORBIDDEN_METHODS[node.attr])

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for module in imports_of(node):
            top = module.partition(".")[0]
            if is_program(module):
                self._modules.add(module)
                continue
            if top not in LIBRARIES:
                raise Needs(f"the tests import {top}")
            if module.startswith(("unittest.", "pytest.")):
                raise Needs(f"the tests import {module}")
        names = [alias.asname or alias.name.partition(".")[0] for alias in node.names]
        if is_program(imports_of(node)[0]):
            self._explicit.update(name for name in names if name != "*")
            return
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            if isinstance(node, ast.Import):
                self._alias[name] = alias.name if alias.asname else name
                continue
            top = str(node.module).partition(".")[0]
            self._alias[name] = f"{node.module}.{alias.name}"
            is_checked = top in CHECKED_MODULES and alias.name in FORBIDDEN_METHODS
            if (is_checked and alias.name != "mark") or alias.name == "mock":
                raise Needs(FORBIDDEN_METHODS.get(alias.name, "a mock"))
            if alias.name in FORBIDDEN_NAMES:
                raise Needs(f"the tests use {alias.name}")
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
                if item.name in CLASS_HOOKS:
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

    def _try(self, node: ast.Try) -> None:
        """A failed check that the tests themselves catch decides nothing; here it would."""
        checks = any(_checks(item) and not _is_trap(item) for item in node.body)
        for handler in node.handlers:
            kinds = "" if handler.type is None else ast.unparse(handler.type)
            catches = not kinds or any(word in kinds for word in CATCHES)
            last = ast.unparse(handler.body[-1])
            if checks and catches and not FAILS.search(last):
                raise Needs("a check whose failure the tests catch")

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
                if decorator in TEST_CASE_DECORATORS and owner is not None:
                    continue
                if not decorator.startswith(("pytest.mark.parametrize(", "mark.parametrize(")):
                    raise Needs(f"the decorator @{decorator[:60]}")
                names |= parametrized(node)
            if function.name in MODULE_HOOKS:
                raise Needs(f"the module hook {function.name}")
            if not is_test or (owner is None and function.name in run_by_module):
                continue
            wanted = required(function) - ({"self"} if owner is not None else set())
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


def _leaves_nothing(tree: ast.Module) -> bool:
    """Whether such tests change nothing of the interpreter that they run in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            if any(not is_program(m) and m.partition(".")[0] not in PURE for m in imports_of(node)):
                return False
        elif (
            isinstance(node, _PROCESS_OWN)
            or (isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load))
            or (isinstance(node, ast.Call) and called(node) == "exec")
        ):
            return False
    return True
