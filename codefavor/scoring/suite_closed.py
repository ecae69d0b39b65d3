"""Whether the text of a test suite shows that it can neither look into a program nor remember.

Such a suite is *closed*: it imports only what stands in a table, touches no attribute that leads to
code or frames, uses no name that finds things by text, and puts nothing where the next program's
run could find it. Only a closed suite meets several programs in one process; every other one has a
new process for each.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import re
import sys

from codefavor.scoring.suite_memory import find_why_remembers
from codefavor.scoring.suite_nodes import (
    PROGRAM_MODULE,
    base_of,
    imports_of,
    is_library,
    patterns_of,
    word_of,
)

_PURE = frozenset((
    "__future__", "bisect", "collections", "collections.abc", "copy", "datetime", "decimal",
    "enum", "fractions", "functools", "heapq", "itertools", "json", "math", "operator", "pytest",
    "random", "re", "statistics", "string", "textwrap", "typing", "unittest",
))  # fmt: skip
# What finds, runs or changes things by a text, or is shared by all programs of a process.
_OPEN_NAMES = frozenset((
    "BaseException", "Formatter", "__builtins__", "__import__", "attrgetter", "breakpoint",
    "compile", "delattr", "dir", "eval", "exec", "exit", "get_overloads", "get_type_hints",
    "getattr", "getcontext", "globals", "help", "id", "input", "localcontext", "locals",
    "memoryview", "methodcaller", "object", "open", "quit", "setattr", "setcontext",
    "singledispatch", "super", "update_wrapper", "vars", "wraps",
))  # fmt: skip
_OPEN_ATTRIBUTES = re.compile(
    r"__\w+__|(?:tb|f|co|gi|cr|ag)_\w+|tb|traceback|_.*|getcontext|setcontext|localcontext|"
    r"Formatter|attrgetter|methodcaller|excinfo|mock|hookimpl|exit|register|cache_clear"
)
_HARMLESS = frozenset((
    "__name__", "__class__", "__init__", "__eq__", "__len__", "__iter__", "__next__", "__hash__",
    "__lt__", "__repr__", "__str__", "__getitem__", "__contains__", "__call__", "__bool__",
))  # fmt: skip
# Fixtures and hooks for which the small runner of the jail has no equal.
_REAL_PYTEST = frozenset((
    "tmp_path", "tmpdir", "tmp_path_factory", "monkeypatch", "capsys", "capfd", "caplog",
    "request", "recwarn", "mocker", "pytestconfig", "cache", "record_property", "doctest_namespace",
    "event_loop", "setup_module", "teardown_module", "setup_function", "teardown_function",
    "setup_class", "teardown_class", "setup_method", "teardown_method", "pytest_plugins",
    "pytestmark", "setUpModule", "tearDownModule", "load_tests",
))  # fmt: skip
_PYTEST_NAMES = frozenset(("raises", "approx", "fail", "param", "mark", "fixture", "parametrize"))
# Modules hang in other modules as attributes: `statistics.sys`.
_MODULES = frozenset(sys.stdlib_module_names) - _PURE - {"time"}


def find_why_open(
    nodes: list[ast.AST],
    lent: frozenset[str] | set[str],
    names: frozenset[str],
    imported: frozenset[str],
) -> str:
    """Why a suite needs a process for each program; "" for a closed one.

    `names` are those that the program defines, `imported` those that it imports, and `lent` those
    of the latter that the suite uses as if they were the program's.
    """
    if lent - set(dir(builtins)):
        return f"it uses {min(lent)} through the program"
    for statement, module in imports_of(nodes):
        if is_library(module) and module not in _PURE and module != PROGRAM_MODULE:
            return f"it imports {module}"
        if isinstance(statement, ast.ImportFrom) and module in ("pytest", "unittest"):
            allowed = _PYTEST_NAMES if module == "pytest" else {"TestCase", "main"}
            if other := {alias.name for alias in statement.names} - allowed:
                return f"it imports {min(other)} of {module}"
        taken = statement.names if isinstance(statement, ast.ImportFrom) else []
        if any(_is_open(alias.name) for alias in taken):
            return f"it imports what finds things by name from {module}"
    bound = imported | {
        alias.asname or alias.name.partition(".")[0]
        for node, _ in imports_of(nodes)
        for alias in node.names
    }
    for node in itertools.chain(nodes, *(patterns_of(node) for node in nodes)):
        if reason := _why_open_node(node, imported, bound):
            return reason
    return find_why_remembers(nodes, names)


def _is_open(word: str) -> bool:
    if word in _OPEN_NAMES or word in _MODULES:
        return True
    return bool(_OPEN_ATTRIBUTES.fullmatch(word)) and word not in _HARMLESS


def _why_open_node(node: ast.AST, imported: frozenset[str], bound: frozenset[str]) -> str:
    if (
        isinstance(node, ast.Attribute | ast.Subscript)
        and not isinstance(node.ctx, ast.Load)
        and base_of(node) in bound
    ):
        return f"it changes {base_of(node)}"
    if isinstance(node, ast.Attribute):
        return _why_open_attribute(node, imported)
    if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith | ast.Global):
        return "it is asynchronous or keeps a global"
    if isinstance(node, ast.Name | ast.FunctionDef | ast.arg):
        word = {"Name": "id", "FunctionDef": "name", "arg": "arg"}[type(node).__name__]
        word = getattr(node, word)
        if word in _REAL_PYTEST or (isinstance(node, ast.Name) and word in _OPEN_NAMES):
            return f"it uses {word}"
        if isinstance(node, ast.Name) and word.startswith("__") and word not in _HARMLESS:
            return f"it uses {word}"
    if (
        isinstance(node, ast.Call)
        and word_of(node.func) == "fixture"
        and (node.args or node.keywords)
    ):
        return "a fixture with options"
    return ""


def _why_open_attribute(node: ast.Attribute, imported: frozenset[str]) -> str:
    base = base_of(node)
    if node.attr in imported and base != "self":
        return f"it uses {node.attr} through the program"
    if _is_open(node.attr) and (base != "self" or node.attr.endswith("__")):
        return f"it uses the attribute {node.attr}"
    if node.attr in ("format", "format_map"):
        return "a format finds attributes by their names"
    if base == "pytest" and ast.unparse(node).split(".")[1] not in _PYTEST_NAMES:
        return f"it uses {ast.unparse(node)}"
    if base == "unittest" and ast.unparse(node) not in ("unittest.TestCase", "unittest.main"):
        return f"it uses {ast.unparse(node)}"
    return ""
