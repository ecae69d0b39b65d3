"""The styles of tests beyond asserts at module level: check(candidate), unittest, pytest."""

from __future__ import annotations

import ast
import importlib.machinery
import itertools
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from codefavor.sandbox import pytest_shim
from codefavor.sandbox.instrument import Instrumented
from codefavor.sandbox.judging import JudgeBridge
from codefavor.sandbox.recorder import Recorder
from codefavor.sandbox.wire import BadFrame, PeerGone


class MissingEntryPoint(Exception):
    """check(candidate) cannot be called: nobody says with what."""

    def __init__(self, text: str, outcome: str) -> None:
        super().__init__(text)
        self.outcome = outcome


class ImportOfProgram:
    """Finds `from solution import f`, whatever the module is called: it is the program."""

    def __init__(self, bridge: JudgeBridge, names: frozenset[str], imports: frozenset[str]) -> None:
        self._bridge = bridge
        self._names = names
        self._imports = imports

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """As in importlib: asked last, so only for modules that exist nowhere."""
        # Only what the tests themselves import: libraries also try modules that are not there.
        if name not in self._imports or name.partition(".")[0] in sys.stdlib_module_names:
            return None
        return importlib.machinery.ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """The stand-in for the module."""
        return _ProgramModule(spec.name, self._bridge, self._names)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing is left to run."""


class _ProgramModule(types.ModuleType):
    def __init__(self, name: str, bridge: JudgeBridge, names: frozenset[str]) -> None:
        super().__init__(name)
        vars(self)["_bridge"] = bridge
        vars(self)["__all__"] = sorted(item for item in names if not item.startswith("_"))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return vars(self)["_bridge"].ask("getattr", 0, (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            super().__setattr__(name, value)
        else:
            vars(self)["_bridge"].ask("setattr", 0, (name, value))


def run_test_functions(
    namespace: dict[str, Any],
    plan: Instrumented,
    entry_point: str,
    recorder: Recorder,
) -> None:
    """Run what the module only defined: check(candidate), TestCase classes, test functions."""
    check = dict.get(namespace, "check")
    if isinstance(check, types.FunctionType) and plan.check_arguments is None:
        check(_entry(namespace, entry_point))
    for name, value in list(namespace.items()):
        if isinstance(value, types.FunctionType) and name.startswith("test"):
            if value.__module__ == "tests" and not _is_called(plan, name):
                _run_function(value, None, namespace, recorder)
        elif isinstance(value, type) and getattr(value, "__module__", "") == "tests":
            _run_class(name, value, namespace, recorder)


def _is_called(plan: Instrumented, name: str) -> bool:
    for statement in plan.tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                return True
    return False


def _entry(namespace: dict[str, Any], entry_point: str) -> Any:
    if not entry_point:
        raise MissingEntryPoint(
            "the tests define check(candidate) but the problem names no entry point", "test_error"
        )
    try:
        return namespace[entry_point]
    except KeyError:
        raise MissingEntryPoint(
            f"NameError: the program does not define {entry_point!r} [missing name]",
            "runtime_error",
        ) from None


def _run_class(name: str, kind: type, namespace: dict[str, Any], recorder: Recorder) -> None:
    unittest = sys.modules.get("unittest")
    if unittest is not None and issubclass(kind, unittest.TestCase):
        _run_test_case(kind, recorder)
        return
    if not name.startswith("Test") or "__init__" in vars(kind):
        return
    for method_name in [item for item in dir(kind) if item.startswith("test")]:
        method = getattr(kind, method_name)
        if isinstance(method, types.FunctionType):
            _run_function(method, kind, namespace, recorder)


def _run_test_case(kind: Any, recorder: Recorder) -> None:
    import unittest

    class Watching(unittest.TestResult):
        """Hands every result to the recorder, with its own exception."""

        def addSuccess(self, test: Any) -> None:
            recorder.passed()

        def addError(self, test: Any, err: Any) -> None:
            if isinstance(err[1], PeerGone | BadFrame):
                raise err[1]
            recorder.fail(err[1])

        addFailure = addError

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
            if err is not None:
                self.addError(subtest, err)

        def addUnexpectedSuccess(self, test: Any) -> None:
            recorder.fail(AssertionError("an expected failure did not come"))

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(kind)
    suite.run(Watching())


def _run_function(
    function: Callable[..., Any], kind: type | None, namespace: dict[str, Any], recorder: Recorder
) -> None:
    for arguments in _cases(function, kind, namespace):
        fixtures = pytest_shim.Fixtures(namespace)
        failures, checks = _failures(recorder), len(recorder.checks)
        try:
            values = fixtures.fill(function, arguments, has_self=kind is not None)
            target = _bound(function, kind)
            result = target(**values)
            if isinstance(result, types.CoroutineType):
                import asyncio

                asyncio.run(result)
        except (PeerGone, BadFrame):
            raise
        except pytest_shim.Skipped:
            continue
        except BaseException as error:  # noqa: BLE001  whatever ends a test is its result
            recorder.fail(error)
            continue
        finally:
            fixtures.close()
        if _failures(recorder) == failures and len(recorder.checks) == checks:
            recorder.passed()


def _failures(recorder: Recorder) -> int:
    return recorder.checks.count(False)


def _bound(function: Callable[..., Any], kind: type | None) -> Callable[..., Any]:
    if kind is None:
        return function
    instance = kind()
    for name in ("setup_method", "setup"):
        setup = getattr(instance, name, None)
        if setup is not None:
            setup(*([function] if pytest_shim.parameters_of(setup)[1:] else []))
            break
    bound: Callable[..., Any] = getattr(instance, function.__name__)
    return bound


def _cases(
    function: Callable[..., Any], kind: type | None, namespace: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    marks = [*getattr(function, "pytestmark", []), *getattr(kind, "pytestmark", [])]
    if any(mark.name == "skip" for mark in marks):
        return
    sets = [list(mark.cases()) for mark in marks if mark.name == "parametrize"]
    for combination in itertools.product(*sets):
        merged: dict[str, Any] = {}
        for part in combination:
            merged.update(part)
        yield merged
