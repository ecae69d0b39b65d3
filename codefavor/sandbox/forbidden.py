"""What the split lane does not serve, by the name that the tests use for it."""

from __future__ import annotations

import re

PURE = frozenset((
    "__future__", "bisect", "cmath", "collections", "copy", "functools", "heapq", "itertools",
    "math", "operator", "random", "re", "statistics", "string", "typing",
))  # fmt: skip
LIBRARIES = PURE | {
    "array", "datetime", "decimal", "fractions", "json", "numbers", "numpy", "pytest", "sys",
    "textwrap", "unittest", "uuid",
}  # fmt: skip
FORBIDDEN_NAMES = frozenset((
    "__import__", "breakpoint", "callable", "classmethod", "compile", "delattr", "dir", "eval",
    "exit", "getattr", "globals", "hasattr", "help", "id", "input", "locals", "memoryview",
    "object", "BaseExceptionGroup", "ExceptionGroup", "Template", "getcontext", "localcontext",
    "setcontext", "ForwardRef", "Formatter", "TestLoader", "attrgetter", "defaultTestLoader",
    "get_type_hints", "methodcaller", "open",
    "property", "quit", "setattr", "staticmethod", "super", "vars",
))  # fmt: skip
SYS_NAMES = frozenset(("float_info", "getsizeof", "maxsize", "version_info"))
TEST_CASE_DECORATORS = frozenset(("classmethod", "staticmethod"))
FORBIDDEN_METHODS = {
    "skipTest": "a skipped test", "assertLogs": "captured logs", "assertNoLogs": "captured logs",
    "assertWarns": "captured warnings", "assertWarnsRegex": "captured warnings",
    "seed": "a seed that both share", "main": "a runner of its own", "mark": "a mark of pytest",
    "fixture": "a fixture", "skip": "a skipped test", "xfail": "an expected failure",
    "importorskip": "a skipped test", "warns": "captured warnings", "SkipTest": "a skipped test",
    "MonkeyPatch": "a patch", "expectedFailure": "an expected failure",
    "deprecated_call": "captured warnings", "addModuleCleanup": "a clean-up of the module",
    "setstate": "a seed that both share", "set_state": "a seed that both share",
    "loadTestsFromName": "tests by name", "loadTestsFromNames": "tests by name",
    **dict.fromkeys(("load", "save", "savez", "savez_compressed", "savetxt", "loadtxt",
                     "genfromtxt", "fromfile", "memmap", "DataSource"), "files of numpy"),
    **dict.fromkeys(("f2py", "ctypeslib", "distutils", "lib", "core", "measure", "rundocs",
                     "runstring", "source", "info"), "tools of numpy"),
    **dict.fromkeys(("seterr", "seterrcall", "setbufsize", "set_printoptions", "printoptions",
                     "errstate", "assert_warns", "assert_no_warnings", "suppress_warnings"),
                    "a setting of numpy"),
}  # fmt: skip
CHECKED_MODULES = ("numpy", "pytest", "random", "unittest")
CATCHES = ("AssertionError", "Exception", "BaseException")
FAILS = re.compile(r"^raise|\bfail\(|^assert (False|0)\b")
MODULE_HOOKS = frozenset((
    "setUpModule", "tearDownModule", "setup_module", "teardown_module", "setup_function",
    "teardown_function", "load_tests", "pytest_plugins", "pytestmark",
))  # fmt: skip
CLASS_HOOKS = frozenset(("setup_class", "teardown_class", "setup_method", "teardown_method"))
