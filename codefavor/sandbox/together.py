"""Tests and program in one process, as on the user's desk: real pytest, real unittest.

The jail is the same; only who decides differs: a hostile program can forge its verdict here.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import sys
import traceback
import types
from typing import Any, NoReturn

from codefavor.sandbox.checks import label_error, packed
from codefavor.sandbox.program import compile_program
from codefavor.sandbox.script import is_success
from codefavor.sandbox.seccomp import REFUSED
from codefavor.sandbox.tests_run import write_verdict
from codefavor.sandbox.texts import SAID, imports_of
from codefavor.sandbox.trees import module_calls, walk, words_of

_PROGRAM, _TESTS = "solution", "test_solution"
_ALIAS = "import sys\n\nimport {0}\n\nsys.modules[__name__] = sys.modules[{0!r}]\n"
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
            # Nobody reads a report, and what a plugin adds to it takes its time.
            vars(module).pop("pytest_terminal_summary", None)
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
    try:
        tree = ast.parse(tests)
    except (SyntaxError, ValueError) as error:
        return _verdict(
            "test_error", f"the tests do not parse: {type(error).__name__}: {error}", []
        )
    names = sorted((name for name in source["modules"] if name), key=lambda name: name.count("."))
    program = names[-1] if names else _PROGRAM
    path = _write(program, source["code"], names)
    for name in names[:-1]:
        _write(name, _ALIAS.format(program), names)
    _write(_TESTS, tests, [])
    # Each is a unit of its own, so that no line of one means anything in another.
    setup = compile(source["setup"], "<setup>", "exec", dont_inherit=True)
    code = compile_program(source["code"], os.path.join(here, path))
    before = _Before(program, [setup]) if names else _Before(_TESTS, [setup, code])
    sys.meta_path.insert(0, before)
    importlib.invalidate_caches()
    missing = _missing_imports(tree)
    if missing:
        return _verdict("test_error", f"the tests import {missing[0]}, which is not there", [])
    if not _defines_tests(tree):
        units = [] if names else [setup, code]
        try:
            return _run_script(tests, units, str(source["entry_point"]))
        except SystemExit as end:
            # The end of the tests is what they say, that of the program is none of theirs.
            frames = [frame for frame, _ in traceback.walk_tb(end.__traceback__)]
            if any(frame.f_code.co_filename == code.co_filename for frame in frames):
                raise
            if is_success(end):
                return _verdict("passed", "", [True])
            return _verdict("wrong_output", f"the tests ended by exit({end.code!r})", [False])
    return _run_unittest() if _is_unittest(tree) else _run_pytest(before)


def _starts(code: str) -> bool:
    """Whether a program names, and not in prose, what the jail refuses."""
    return any(map(_STARTS.fullmatch, words_of(walk(ast.parse(code.removeprefix("\ufeff"))))))


class _Before:
    """Finds and loads a module as ever, but runs other units in its namespace first."""

    def __init__(self, name: str, units: list[types.CodeType]) -> None:
        self._name, self._units = name, units
        self._loader: Any = None

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """As of any finder."""
        if name != self._name:
            return None
        others = [finder.find_spec for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (find(name, path, target) for find in others)), None)
        if spec is not None:
            self._loader, spec.loader = spec.loader, self  # type: ignore[assignment]
        return spec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: types.ModuleType) -> None:
        """As of any loader."""
        for unit in self._units:
            exec(unit, vars(module))
        self._loader.exec_module(module)


def _missing_imports(tree: ast.Module) -> list[str]:
    """The modules that tests import at their top and nobody has."""
    imports = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    tops = {name.partition(".")[0] for node in imports for name in imports_of(node)}
    return [top for top in sorted(tops) if top and importlib.util.find_spec(top) is None]


def _write(module: str, text: str, others: list[str]) -> str:
    """Write the file of a module, which is a package where one of the others lies in it."""
    path = module.replace(".", os.sep)
    is_package = any(name.startswith(f"{module}.") for name in others)
    path += f"{os.sep}__init__.py" if is_package else ".py"
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as handle:
        handle.write(text)
    return path


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
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    defined = _defined(tree)
    plain = any(isinstance(n, functions) and n.name.startswith("test") for n in defined)
    text = ast.unparse(tree)
    is_meant = "TestCase" in text and (not plain or "def load_tests(" in text)
    return is_meant and "pytest" not in words_of(walk(tree))


def _run_script(tests: str, units: list[types.CodeType], entry_point: str) -> dict[str, object]:
    """Statements and `check(candidate)`: one namespace, as if program and tests were one file.

    `units` are empty where the tests import the program.
    """
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    namespace = vars(module)
    if units:
        namespace["__name__"] = _PROGRAM
        for unit in units:
            exec(unit, namespace)
        sys.modules[_PROGRAM] = module
    namespace["__name__"] = "__main__"
    of_program = set(namespace)
    exec(compile(tests, "<tests>", "exec", dont_inherit=True), namespace)
    made = [name for name in namespace.keys() - of_program if _is_collected(name, namespace[name])]
    if made:
        return _verdict("unsupported", f"{min(made)} is a test that the text does not show", [])
    check = namespace.get("check")
    if callable(check) and entry_point and "check" not in module_calls(ast.parse(tests)):
        check(namespace[entry_point])
    return {**_verdict("passed", "", [True]), SAID: str(namespace.get(SAID, ""))}


class _Results:
    """A pytest plugin that counts."""

    def __init__(self, before: _Before) -> None:
        self._before = before
        self.checks: list[bool] = []
        self.outcome, self.error = "", ""

    def pytest_sessionstart(self, session: Any) -> None:
        """Pytest has put a finder of its own before ours."""
        sys.meta_path.insert(0, self._before)

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


def _run_pytest(before: _Before) -> dict[str, object]:
    try:
        import pytest
    except ImportError:
        return _verdict("unsupported", "pytest is not installed: pip install pytest", [])

    with open("pytest.ini", "w", encoding="ascii") as settings:
        settings.write("[pytest]\n")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    results = _Results(before)
    sys.argv[:] = ["pytest", f"{_TESTS}.py"]
    quiet = ["--no-header", "--no-summary", "-c", "pytest.ini"]
    arguments = [*quiet, "--basetemp=pytest-of-tests"]
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
    started: list[unittest.TestCase] = []

    class Result(unittest.TextTestResult):
        def startTest(self, test: unittest.TestCase) -> None:
            started.append(test)
            super().startTest(test)

    runner = unittest.TextTestRunner(stream=sys.stderr, resultclass=Result)  # type: ignore[arg-type]
    result = runner.run(suite)
    bad = [*result.errors, *result.failures]
    n_bad = len(bad) + len(result.unexpectedSuccesses)
    # A class that skips itself has started no test, and a part that does so is not its test.
    bad_tests = [getattr(test, "test_case", test) for test, _ in bad]
    ended = {*map(id, bad_tests), *map(id, result.unexpectedSuccesses)}
    ended |= {id(test) for test, _ in result.skipped}
    n_good = sum(id(test) not in ended for test in started)
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
