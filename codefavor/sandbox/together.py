"""Tests and program in one process, as on the user's desk: real pytest, real unittest.

The jail is the same; only who decides differs: a hostile program can forge its verdict here.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
import types
from typing import Any, NoReturn

from codefavor.sandbox.checks import label_error, packed
from codefavor.sandbox.program import compile_program
from codefavor.sandbox.seccomp import REFUSED
from codefavor.sandbox.tests_run import write_verdict
from codefavor.sandbox.texts import imports_of
from codefavor.sandbox.trees import walk, words_of

_PROGRAM, _TESTS = "solution", "test_solution"
# What the jail refuses. Where the program names nothing of it, the tests have asked for it.
_STARTS = re.compile(
    r"_?socket(pair|server)?|create_connection|multiprocessing|_?(posix)?subprocess|ctypes|system|"
    r"Process(PoolExecutor)?|[Pp]open|exec([lv]p?e?)?|spawn([lv]p?e?)?|posix_spawnp?|fork(pty)?"
)
_REFUSED = "the tests start processes or open sockets, which the jail refuses"
# Found once in the zygote: looking for plugins reads the metadata of every installed package.
_plugins: list[types.ModuleType] = []


def prepare() -> None:
    """Import pytest, its parts and the installed plugins, in the zygote."""
    import importlib.metadata  # for no other zygote: it makes every fork dearer

    try:
        config = importlib.import_module("_pytest.config")
    except ImportError:
        return
    points = importlib.metadata.entry_points(group="pytest11")
    installed = [point.value.partition(":")[0] for point in points]
    for name in [*(f"_pytest.{part}" for part in config.default_plugins), *installed]:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if name in installed:
            _plugins.append(module)


def run_together(source: dict[str, Any], verdict_fd: int) -> NoReturn:
    """Run the tests beside the program, write the verdict; never returns."""
    verdict: dict[str, object] = {"outcome": "test_error", "error": "judging failed"}
    try:
        verdict = _run(source)
    except BaseException as error:  # whatever ended it is the result
        verdict = _verdict(_label(error, True), f"{type(error).__name__}: {error}", [False])
    finally:
        if verdict["outcome"] == "sandbox_violation" and not _starts(source["code"]):
            verdict.update(outcome="unsupported", error=f"{_REFUSED}: {verdict['error']}")
        write_verdict(verdict_fd, verdict)
        sys.stdout.flush()
        os._exit(0)


def _run(source: dict[str, Any]) -> dict[str, object]:
    here = os.getcwd()
    os.environ.update(HOME=here, TMPDIR=here)
    sys.path.insert(0, here)
    tests = str(source["tests"]).removeprefix("\ufeff")
    code = "\n".join(part for part in (source["setup"], source["code"]) if part)
    try:
        tree = ast.parse(tests)
    except (SyntaxError, ValueError) as error:
        return _verdict(
            "test_error", f"the tests do not parse: {type(error).__name__}: {error}", []
        )
    compile_program(code)
    names = {name for name in source["modules"] if name}
    _write(f"{_PROGRAM}.py", code)
    for name in sorted(names - {_PROGRAM}):
        _alias(name)
    missing = _missing_imports(tree)
    if missing:
        return _verdict("test_error", f"the tests import {missing[0]}, which is not there", [])
    if not _defines_tests(tree):
        return _run_script(tests, code, str(source["entry_point"]), bool(names))
    _write(f"{_TESTS}.py", tests if names else _joined(code, tests))
    return _run_unittest() if _is_unittest(tree) else _run_pytest()


def _starts(code: str) -> bool:
    """Whether a program names, and not in prose, what the jail refuses."""
    return any(map(_STARTS.fullmatch, words_of(walk(ast.parse(code.removeprefix("\ufeff"))))))


def _joined(code: str, tests: str) -> str:
    """One module of program and tests, for tests that find the program's names beside them."""
    lines = tests.splitlines(keepends=True)
    future = [line for line in lines if line.startswith("from __future__")]
    rest = [line for line in lines if not line.startswith("from __future__")]
    return "".join([*future, code, "\n\n", *rest])


def _missing_imports(tree: ast.Module) -> list[str]:
    """The modules that tests import at their top and nobody has."""
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    tops = {name.partition(".")[0] for node in imports for name in imports_of(node)}
    return [top for top in sorted(tops) if top and importlib.util.find_spec(top) is None]


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogatepass") as handle:
        handle.write(text)


def _alias(name: str) -> None:
    """Make the program importable under another name, also inside packages."""
    *packages, module = name.split(".")
    folder = ""
    for package in packages:
        folder = os.path.join(folder, package)
        os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{module}.py")
    if not os.path.exists(path):
        _write(path, f"import sys\n\nimport {_PROGRAM}\n\nsys.modules[__name__] = {_PROGRAM}\n")


def _defined(tree: ast.Module) -> list[ast.stmt]:
    """The functions and classes of the module, also those in an `if` or `try`."""
    found: list[ast.stmt] = []
    waiting: list[ast.AST] = [tree]
    for node in waiting:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.append(node)
        elif not isinstance(node, ast.expr):
            waiting += ast.iter_child_nodes(node)
    return found


def _defines_tests(tree: ast.Module) -> bool:
    for node in _defined(tree):
        if not isinstance(node, ast.ClassDef):
            if node.name.startswith("test"):  # type: ignore[attr-defined]
                return True
        elif node.name.startswith("Test") or any("TestCase" in ast.unparse(b) for b in node.bases):
            return True
    return False


def _is_collected(name: str, value: object) -> bool:
    """Whether pytest would run what has this name in a module."""
    if not isinstance(value, type):
        return name.startswith("test") and callable(value)
    unittest = sys.modules.get("unittest")
    is_case = unittest is not None and issubclass(value, unittest.TestCase)
    has_tests = any(item.startswith("test") for item in dir(value))
    return has_tests and (is_case or name.startswith("Test"))


def _is_unittest(tree: ast.Module) -> bool:
    """Whether unittest's own runner is meant: no pytest anywhere, no test outside a class."""
    imports = (n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom))
    if any(name.partition(".")[0] == "pytest" for node in imports for name in imports_of(node)):
        return False
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    defined = _defined(tree)
    plain = any(isinstance(n, functions) and n.name.startswith("test") for n in defined)
    text = ast.unparse(tree)
    return not plain and "TestCase" in text


def _run_script(tests: str, code: str, entry_point: str, has_import: bool) -> dict[str, object]:
    """Statements and `check(candidate)`: one namespace, as if program and tests were one file."""
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    namespace = vars(module)
    if not has_import:
        namespace["__name__"] = _PROGRAM
        exec(compile_program(code), namespace)
        sys.modules[_PROGRAM] = module
    namespace["__name__"] = "__main__"
    of_program = set(namespace)
    exec(compile(tests, "<tests>", "exec", dont_inherit=True), namespace)
    made = [name for name in namespace.keys() - of_program if _is_collected(name, namespace[name])]
    if made:
        return _verdict("unsupported", f"{min(made)} is a test that the text does not show", [])
    check = namespace.get("check")
    called = any(
        isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check"
        for statement in ast.parse(tests).body
        if not isinstance(statement, ast.FunctionDef)
        for node in ast.walk(statement)
    )
    if callable(check) and not called and entry_point:
        check(namespace[entry_point])
    return _verdict("passed", "", [True])


class _Results:
    """A pytest plugin that counts."""

    def __init__(self) -> None:
        self.checks: list[bool] = []
        self.outcome, self.error = "", ""

    def pytest_sessionstart(self, session: Any) -> None:
        """Nobody reads a report, and plugins that add to it may take their time."""
        session.config.pluginmanager.unregister(name="terminalreporter")

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count a test when it was called, or when it could not be."""
        if report.when == "call" and not (report.skipped and not hasattr(report, "wasxfail")):
            self.checks.append(not report.failed)
        elif report.failed:
            self.checks.append(False)
        if report.failed and not self.error:
            self.error = f"{report.nodeid}: {report.longreprtext[-1500:]}"

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        """What the first failure was; pytest calls this right after it was counted."""
        if not self.outcome:
            # An import that failed, in pytest's own words.
            error = call.excinfo.value.__cause__ or call.excinfo.value
            self.outcome = _label(error, report.when == "collect")
            self.error = f"{node.name}: {type(error).__name__}: {error}"


def _label(error: BaseException, is_loading: bool) -> str:
    """As `label_error`; multiprocessing also stumbles over shared memory, which is not there."""
    trace = error.__traceback__
    while isinstance(error, OSError) and trace is not None:
        if trace.tb_frame.f_globals.get("__package__") == "multiprocessing":
            return "sandbox_violation"
        trace = trace.tb_next
    is_pytests = type(error).__module__.startswith("_pytest.")
    return "test_error" if is_pytests else label_error(error, is_loading)


def _run_pytest() -> dict[str, object]:
    try:
        import pytest
    except ImportError:
        return _verdict("unsupported", "pytest is not installed: pip install pytest", [])

    _write("pytest.ini", "[pytest]\n")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    results = _Results()
    sys.argv[:] = ["pytest", f"{_TESTS}.py"]
    arguments = ["-p", "no:cacheprovider", "-c", "pytest.ini", "--basetemp=pytest-of-tests"]
    status = pytest.main([*arguments, f"{_TESTS}.py"], plugins=[results, *_plugins])
    if status == 0 and results.checks:
        return _verdict("passed", "", results.checks)
    if status == 0:
        return _verdict("test_error", "every test was skipped", [])
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        return _verdict("test_error", "pytest found no tests", [])
    error = results.error or f"pytest ended with {status!r}"
    default = "runtime_error" if results.error else "test_error"
    return _verdict(results.outcome or default, error, results.checks)


def _run_unittest() -> dict[str, object]:
    import unittest

    sys.argv[:] = [f"{_TESTS}.py"]
    module = importlib.import_module(_TESTS)
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromModule(module)
    if not hasattr(module, "load_tests"):
        # As they stand in the file, like pytest; unittest takes them by name.
        kinds = [kind for kind in vars(module).values() if isinstance(kind, type)]
        cases = [kind for kind in kinds if issubclass(kind, unittest.TestCase)]
        own = [kind for kind in cases if kind.__module__ != "unittest.case"]
        suite = unittest.TestSuite(map(loader.loadTestsFromTestCase, own))
    result = unittest.TextTestRunner(stream=sys.stderr).run(suite)
    bad = [*result.errors, *result.failures]
    n_bad = len(bad) + len(result.unexpectedSuccesses)
    n_good = max(result.testsRun - n_bad - len(result.skipped), 0)
    checks = [True] * n_good + [False] * n_bad
    if bad:
        outcome = "runtime_error" if result.errors else "wrong_output"
        trace = bad[0][1]
        if f"[Errno {REFUSED}]" in trace or f"{os.sep}multiprocessing{os.sep}" in trace:
            outcome = "sandbox_violation"
        return _verdict(outcome, f"{bad[0][0]}: {trace[-1500:]}", checks)
    if n_bad:
        return _verdict("runtime_error", "an expected failure did not come", checks)
    if not n_good:
        return _verdict("test_error", "every test was skipped, or there is none", checks)
    return _verdict("passed", "", checks)


def _verdict(outcome: str, error: str, checks: list[bool]) -> dict[str, object]:
    return {
        "outcome": outcome, "error": error[:2000], "checks": packed(checks), "total": len(checks),
    }  # fmt: skip
