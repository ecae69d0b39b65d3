"""What the tests of the split lane may use, by name. Everything else needs the other lane."""

from __future__ import annotations

import os
import re
import sys
import sysconfig

# Modules that a process may have imported for tests and still judge other tests.
PURE = frozenset((
    "__future__", "bisect", "cmath", "collections", "copy", "functools", "heapq", "itertools",
    "math", "operator", "random", "re", "statistics", "string", "typing",
))  # fmt: skip
_NUMPY = """
abs absolute add all allclose any arange argmax argmin argsort around array array_equal
array_equiv asarray bool_ ceil clip complex128 complex64 concatenate corrcoef cos count_nonzero
cov cross cumsum cumprod diag diff divide dot dstack e equal exp expand_dims eye flip float16
float32 float64 float_ floating floor full full_like generic greater hstack identity inexact inf
int16 int32 int64 int8 int_ integer isclose isfinite isin isinf isnan issubdtype less linalg
linspace log log10 log2 logspace matmul max maximum mean median meshgrid min minimum mod multiply
nan ndarray ndim newaxis number ones ones_like outer percentile pi power prod ptp quantile ravel
repeat reshape roll round shape sign signedinteger sin size sort sqrt squeeze stack std str_
subtract sum tan testing tile trace transpose tril triu uint16 uint32 uint64 uint8 unique
unsignedinteger var vstack where zeros zeros_like
"""
_PUBLIC = frozenset(("collections.abc", "datetime", "fractions", "numbers", "textwrap"))
_EVERYTHING = None
# Dotted path of a module -> the names of it that may be used; None: all that are public.
ALLOWED: dict[str, frozenset[str] | None] = {
    **dict.fromkeys(PURE | _PUBLIC, _EVERYTHING),
    "colorsys": _EVERYTHING,
    "decimal": frozenset((
        "Decimal", "DivisionByZero", "InvalidOperation", "Overflow", "ROUND_CEILING",
        "ROUND_DOWN", "ROUND_FLOOR", "ROUND_HALF_DOWN", "ROUND_HALF_EVEN", "ROUND_HALF_UP",
        "ROUND_UP", "DecimalException",
    )),
    "hashlib": frozenset(("md5", "sha1", "sha256", "sha512")),
    "json": frozenset(("dumps", "loads", "JSONDecodeError")),
    "numpy": frozenset(_NUMPY.split()),
    "numpy.linalg": frozenset(("det", "eig", "eigvals", "inv", "matrix_rank", "norm", "solve")),
    "numpy.testing": frozenset((
        "assert_", "assert_allclose", "assert_almost_equal", "assert_approx_equal",
        "assert_array_almost_equal", "assert_array_equal", "assert_array_less", "assert_equal",
    )),
    "pytest": frozenset(("approx", "fail", "mark", "param", "raises")),
    "pytest.mark": frozenset(("parametrize",)),
    "sys": frozenset(("float_info", "maxsize", "version_info")),
    "unittest": frozenset(("TestCase", "main")),
}  # fmt: skip
# Names with which even what is allowed gets at the interpreter, or which two processes mean
# differently.
FORBIDDEN_NAMES = frozenset((
    "__import__", "breakpoint", "callable", "classmethod", "compile", "delattr", "dir", "eval",
    "exit", "getattr", "globals", "hasattr", "help", "id", "input", "issubclass", "locals",
    "memoryview", "object", "open", "property", "quit", "setattr", "staticmethod", "super", "vars",
    "StopIteration", "StopAsyncIteration", "GeneratorExit", "KeyboardInterrupt",
    "BaseExceptionGroup", "ExceptionGroup",
    "Template", "Formatter", "ForwardRef", "attrgetter", "methodcaller", "get_type_hints",
    "is_", "is_not",
    "seed", "setstate", "getstate", "SystemRandom", "singledispatch", "update_wrapper", "wraps",
))  # fmt: skip
# What finds or runs code by its name: not even text that the tests execute may have it.
DYNAMIC_NAMES = frozenset((
    "__builtins__", "__import__", "attrgetter", "breakpoint", "compile", "delattr", "exec",
    "getattr", "get_type_hints", "globals", "help", "locals", "methodcaller", "open", "setattr",
    "vars",
))  # fmt: skip
# What rewritten tests ask the recorder instead, by how many arguments.
GUARDED = {"isinstance": 2, "len": 1, "type": 1}
# What of a TestCase the small runner does not have.
CASE_METHODS = frozenset((
    "addClassCleanup", "addCleanup", "addTypeEqualityFunc", "assertLogs", "assertNoLogs",
    "assertWarns", "assertWarnsRegex", "countTestCases", "debug", "defaultTestResult",
    "doClassCleanups", "doCleanups", "enterClassContext", "enterContext", "id", "run",
    "shortDescription", "skipTest",
))  # fmt: skip
ARRAY_ATTRIBUTES = frozenset(("base", "ctypes", "data", "flags", "setflags", "strides", "view"))
HOOKS = frozenset((
    "setUpModule", "tearDownModule", "setup_module", "teardown_module", "setup_function",
    "teardown_function", "load_tests", "pytest_plugins", "pytestmark", "setup_class",
    "teardown_class", "setup_method", "teardown_method", "setUpClass", "tearDownClass",
))  # fmt: skip
FAILS = re.compile(r"^raise|\bfail\(|^assert (False|0)\b")


def site_folders() -> list[str]:
    """Where installed packages lie, without symbolic links: also the user's and the system's."""
    found = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    # Of `pip install --user`, of Debian, and of what is around an environment that shows it.
    found += [path for path in sys.path if path.endswith(("/site-packages", "/dist-packages"))]
    return [path for path in dict.fromkeys(map(os.path.realpath, found)) if os.path.isdir(path)]
