"""The tests of a closed suite as pytest would collect them; sent into the jail as a code object.

What this small collector has no equal for raises NotImplementedError: the suite then runs under
real pytest, in a process for each program.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import types
import unittest
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Test = tuple[str, Callable[[], BaseException | None]]


class Result(unittest.TestResult):
    """What became of one method of a TestCase after the other.

    As it is kept from one to the next, unittest sets a class up once and takes it down when another
    one comes; `close_classes` takes the last one down.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None
        self._testRunEntered = True

    def _keep(self, error: BaseException | None) -> None:
        self.error = self.error or error

    def addError(self, test: Any, err: Any) -> None:
        """As in unittest."""
        self._keep(err[1])

    addFailure = addError

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        """As in unittest."""
        self._keep(err[1] if err else None)

    def addSkip(self, test: Any, reason: str) -> None:
        """As in unittest."""
        self._keep(unittest.SkipTest(reason))

    def addUnexpectedSuccess(self, test: Any) -> None:
        """As in unittest."""
        self._keep(AssertionError("an expected failure did not come"))


def close_classes(result: Result) -> BaseException | None:
    """Take down the class of the last method; what went wrong."""
    result.error = None
    result._testRunEntered = False
    unittest.TestSuite().run(result)
    return result.error


def tests_in(namespace: dict[str, Any], result: Result) -> list[Test]:
    """The tests that a suite defines, each ready to be called."""
    found: list[Test] = []
    fixtures = _fixtures(namespace, {}, 0)
    for name, value in list(namespace.items()):
        if isinstance(value, types.FunctionType) and name.startswith("test"):
            found += _plain(name, value, _arguments(value), fixtures)
        elif isinstance(value, type) and issubclass(value, unittest.TestCase):
            found += _of_case(name, value, result)
        elif isinstance(value, type) and name.startswith("Test"):
            found += _of_class(name, value, fixtures)
    return found


def _of_case(label: str, kind: type[unittest.TestCase], result: Result) -> Iterator[Test]:
    names = unittest.defaultTestLoader.getTestCaseNames(kind)
    for name in names or (["runTest"] if hasattr(kind, "runTest") else []):
        if hasattr(kind, "pytestmark") or hasattr(getattr(kind, name), "pytestmark"):
            raise NotImplementedError(f"a mark of {label}")
        yield f"{label}.{name}", functools.partial(_method, kind, name, result)


def _method(kind: type[unittest.TestCase], name: str, result: Result) -> BaseException | None:
    result.error = None
    unittest.TestSuite([kind(name)]).run(result)
    if result.error is None and getattr(kind, "_classSetupFailed", False):
        return unittest.SkipTest("the class was skipped")
    return result.error


def _of_class(label: str, kind: type, fixtures: dict[str, Any]) -> Iterator[Test]:
    if kind.__bases__ != (object,) or "__init__" in vars(kind) or "__new__" in vars(kind):
        raise NotImplementedError(f"the class {label} has a base or is made in its own way")
    own = _fixtures(vars(kind), fixtures, 1)
    for name, value in vars(kind).items():
        if isinstance(value, types.FunctionType):
            if name.startswith("test"):
                yield from _plain(f"{label}.{name}", value, _arguments(value)[1:], own, kind)
        elif name[:4].lower() == "test":
            raise NotImplementedError(f"{label}.{name} is no function")


def _plain(
    label: str, function: Any, names: tuple[str, ...], fixtures: dict[str, Any],
    kind: type | None = None,
) -> Iterator[Test]:  # fmt: skip
    """One test a case of a function, which is a method if `kind` is its class."""
    if function.__code__.co_flags & inspect.CO_GENERATOR:
        raise NotImplementedError(f"{label} yields")
    marks = [*getattr(function, "pytestmark", ()), *getattr(kind, "pytestmark", ())]
    cases = [list(_cases(mark)) for mark in marks]
    given_names = {name for rows in cases for row in rows for name in row}
    if not given_names <= {*names} or not {*names} <= given_names | fixtures.keys():
        raise NotImplementedError(f"the arguments of {label}")

    def run(given: dict[str, Any]) -> BaseException | None:
        try:
            answer = _call(function, names, given, fixtures, kind)
        except BaseException as error:  # whatever ends a test is its result
            return error
        if answer is not None:
            # Releases of pytest differ in what they make of it.
            raise NotImplementedError(f"{label} returns something")
        return None

    for case in itertools.product(*cases):
        given = {name: value for part in case for name, value in part.items()}
        yield label, functools.partial(run, given)


def _cases(mark: Any) -> Iterator[dict[str, Any]]:
    given = dict(zip(("argnames", "argvalues"), mark.args, strict=False)) | mark.kwargs
    if mark.name != "parametrize" or len(mark.args) > 2 or not given.keys() <= _PARAMETRIZE:
        raise NotImplementedError(f"the mark {mark.name}")
    names, rows = given["argnames"], list(given["argvalues"])
    is_one = isinstance(names, str) and "," not in names
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    if not rows:
        raise NotImplementedError("parametrize without cases")
    if not isinstance(given.get("ids"), list | None) or len(given.get("ids") or rows) != len(rows):
        raise NotImplementedError("ids that are no list of one a case")
    for row in rows:
        values = (row,) if is_one else row
        if type(row).__name__ == "ParameterSet":
            if row.marks:
                raise NotImplementedError("a case with marks")
            values = row.values
        yield dict(zip(names, values, strict=True))


_PARAMETRIZE = {"argnames", "argvalues", "ids"}


def _call(
    test: Any, names: tuple[str, ...], given: dict[str, Any], fixtures: dict[str, Any],
    kind: type | None,
) -> object:  # fmt: skip
    """What a test returns, with its arguments and fixtures; those that yield go on after it."""
    ready: dict[str, Any] = dict(given)
    open_ones: list[Iterator[Any]] = []
    instance = None if kind is None else kind()

    def get(name: str) -> Any:
        if name not in ready:
            function = fixtures[name]._get_wrapped_function()
            is_own = kind is not None and vars(kind).get(name) is fixtures[name]
            value = function(
                *([instance] if is_own else []), *map(get, _arguments(function)[is_own:])
            )
            if isinstance(value, types.GeneratorType):
                open_ones.append(value)
                value = next(value)
            ready[name] = value
        return ready[name]

    values = {name: get(name) for name in names}
    answer = test(**values) if kind is None else test(instance, **values)
    for generator in reversed(open_ones):
        next(generator, None)
    return answer


def _fixtures(namespace: Mapping[str, Any], outer: dict[str, Any], n_own: int) -> dict[str, Any]:
    """Those of a module or class with those around it; `n_own` is 1 where methods have a self."""
    own = {
        name: value
        for name, value in namespace.items()
        if type(value).__name__ == "FixtureFunctionDefinition"
    }
    found = outer | own
    for name, value in own.items():
        if not {*_arguments(value._get_wrapped_function())[n_own:]} <= found.keys():
            raise NotImplementedError(f"the arguments of the fixture {name}")
    return found


def _arguments(function: Any) -> tuple[str, ...]:
    """The names of the arguments without defaults."""
    code = function.__code__
    if code.co_kwonlyargcount:
        raise NotImplementedError(f"arguments by keyword of {function.__name__}")
    names: tuple[str, ...] = code.co_varnames[: code.co_argcount]
    return names[: len(names) - len(function.__defaults__ or ())]
