"""Whether the small runner of the jail runs a suite as real pytest would, by the suite's text.

Such a suite is *plain*: it imports only what stands in a table and uses no fixture, hook or mark
that this runner has no equal for. It starts faster; that is all the difference.
"""

from __future__ import annotations

import ast

from codefavor.scoring.suite_nodes import (
    PROGRAM_MODULE,
    base_of,
    imports_of,
    is_library,
    word_of,
)

_KNOWN = frozenset((
    "__future__", "abc", "bisect", "collections", "collections.abc", "contextlib", "copy",
    "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "heapq", "itertools",
    "json", "math", "operator", "os", "os.path", "pytest", "random", "re", "statistics", "string",
    "sys", "tempfile", "textwrap", "time", "typing", "unittest",
))  # fmt: skip
# Fixtures and hooks for which the small runner of the jail has no equal.
_REAL_PYTEST = frozenset((
    "tmp_path", "tmpdir", "tmp_path_factory", "monkeypatch", "capsys", "capfd", "caplog",
    "recwarn", "mocker", "pytestconfig", "cache", "record_property", "doctest_namespace",
    "event_loop", "anyio_backend", "testdir", "pytester", "tmpdir_factory", "capsysbinary",
    "capfdbinary", "record_testsuite_property", "record_xml_attribute", "request",
    "setup_module", "teardown_module", "setup_function", "teardown_function",
    "setup_class", "teardown_class", "setup_method", "teardown_method", "pytest_plugins",
    "pytestmark", "setUpModule", "tearDownModule", "load_tests", "pytest_generate_tests",
))  # fmt: skip
_PYTEST_NAMES = frozenset(("raises", "approx", "fail", "param", "mark", "fixture", "parametrize"))


def find_why_pytest(nodes: list[ast.AST]) -> str:
    """Why a suite needs real pytest; "" for a plain one."""
    for statement, module in imports_of(nodes):
        if is_library(module) and module not in _KNOWN and module != PROGRAM_MODULE:
            return f"it imports {module}"
        if isinstance(statement, ast.ImportFrom) and module in ("pytest", "unittest"):
            allowed = _PYTEST_NAMES if module == "pytest" else {"TestCase", "main"}
            if other := {alias.name for alias in statement.names} - allowed:
                return f"it imports {min(other)} of {module}"
    return next((reason for node in nodes if (reason := _why_node(node))), "")


def _why_node(node: ast.AST) -> str:
    if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncWith):
        return "it is asynchronous"
    if isinstance(node, ast.Name | ast.FunctionDef | ast.arg):
        field = {"Name": "id", "FunctionDef": "name", "arg": "arg"}[type(node).__name__]
        word = getattr(node, field)
        if word in _REAL_PYTEST:
            return f"it uses {word}"
    if isinstance(node, ast.Attribute):
        base = base_of(node)
        if base == "pytest" and ast.unparse(node).split(".")[1] not in _PYTEST_NAMES:
            return f"it uses {ast.unparse(node)}"
        if base == "unittest" and ast.unparse(node) not in ("unittest.TestCase", "unittest.main"):
            return f"it uses {ast.unparse(node)}"
    is_fixture = isinstance(node, ast.Call) and word_of(node.func) == "fixture"
    if is_fixture and (node.args or node.keywords):  # type: ignore[attr-defined]
        return "a fixture with options"
    return ""
