"""Runs one test suite on programs inside the jail; sent there as a code object, by itself.

Nothing of the package can be imported there. `main(payload)` raises `Said`, whose text is the
JSON that `suite_runs` reads: for each program one letter (see `LETTERS` there) and the number of
the test that decided it; for the right program also what was reached.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import json
import random
import signal
import sys
import time
import types
import unittest
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from codefavor.scoring.suite_trace import PROGRAM, Trace, coverage_of

REACHED = "__reached__"
# CPU seconds are longer on a busy machine, so they only say what to look at again; then a program
# is out of time by the number of lines that ran. So many lines take more than the seconds below on
# any machine, so that nobody is out of time in one run and in time in another.
_LEAST_S, _SLOWER = 0.02, 10
_LINES, _LINES_OF_RIGHT = 1_500_000, 20_000_000
# What ends a program that computes without running lines.
_SURE = 10


class Said(Exception):
    """What this process has to say."""


class OutOfTime(BaseException):
    """One program used up its time."""


class Lines:
    """A trace that ends a run after so many lines of anything; `inner` hears of all of them."""

    def __init__(self, inner: Trace, most: int) -> None:
        self._inner, self._left = inner, most

    def __call__(self, frame: types.FrameType, event: str, given: Any) -> Any:
        inner = self._inner(frame, event, given)

        def local(frame: types.FrameType, event: str, given: Any) -> Any:
            self._left -= event == "line"
            if self._left < 0:
                raise OutOfTime
            if inner is not None:
                inner(frame, event, given)
            return local

        return local


class Sink:
    """A standard output that keeps nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Take the text."""
        return len(text)

    def flush(self) -> None:
        """Nothing is kept."""

    def isatty(self) -> bool:
        """No."""
        return False


def _in_program(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == PROGRAM:
            return True
        trace = trace.tb_next
    return False


def letter_of(error: BaseException | None, phase: str = "call") -> str:
    """How a test ended, as one letter."""
    if error is None:
        return "P"
    if isinstance(error, OutOfTime):
        return "T"
    if isinstance(error, pytest.skip.Exception | unittest.SkipTest):
        return "S"
    if isinstance(error, AssertionError | pytest.fail.Exception):
        return "A"
    if _in_program(error):
        return "X"
    names = (ImportError, NameError, SyntaxError, SystemExit, KeyboardInterrupt)
    if phase != "call" or isinstance(error, names):
        return "E"
    return "V"


def text_of(error: BaseException | None) -> str:
    """The exception in few words."""
    try:
        return f"{type(error).__name__}: {error}"[:160] if error is not None else ""
    except BaseException:  # a program's own exception may have a broken __str__
        return type(error).__name__


class Result(unittest.TestResult):
    """What became of one method of a TestCase."""

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None

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


def _cases(mark: Any) -> Iterator[dict[str, Any]]:
    given = dict(zip(("argnames", "argvalues"), mark.args, strict=False)) | mark.kwargs
    names, rows = given["argnames"], given["argvalues"]
    is_many = not isinstance(names, str) or "," in names
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
    for row in rows:
        values = row if is_many else (row,)
        values = row.values if type(row).__name__ == "ParameterSet" else values
        yield dict(zip(names, values, strict=True))


def _is_fixture(value: object) -> bool:
    return type(value).__name__ == "FixtureFunctionDefinition"


def _call(
    function: Callable[..., Any],
    names: tuple[str, ...],
    given: dict[str, Any],
    fixtures: dict[str, Any],
) -> None:
    """Call a test with its arguments and fixtures; what fixtures yield is taken back after it."""
    ready: dict[str, Any] = dict(given)
    open_ones: list[Iterator[Any]] = []

    def get(name: str) -> Any:
        if name not in ready:
            made = _function_of(fixtures[name])
            value = made(*map(get, _arguments(made)))
            if isinstance(value, types.GeneratorType):
                open_ones.append(value)
                value = next(value)
            ready[name] = value
        return ready[name]

    wanted = [name for name in names if name in given or name in fixtures]
    function(**{name: get(name) for name in wanted})
    for generator in reversed(open_ones):
        next(generator, None)


def _function_of(fixture: Any) -> Callable[..., Any]:
    function: Callable[..., Any] = fixture._get_wrapped_function()
    return function


def _arguments(function: Any) -> tuple[str, ...]:
    function = getattr(function, "__func__", function)
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return tuple(name for name in names if name != "self")


def tests_in(namespace: dict[str, Any]) -> list[tuple[str, Callable[[], BaseException | None]]]:
    """The tests that a suite defines, as pytest would find them, each ready to be called."""
    found: list[tuple[str, Callable[[], BaseException | None]]] = []
    fixtures = {name: value for name, value in namespace.items() if _is_fixture(value)}
    for name, value in list(namespace.items()):
        if isinstance(value, types.FunctionType) and name.startswith("test"):
            found += _plain(name, value, value, fixtures)
        elif isinstance(value, type) and issubclass(value, unittest.TestCase):
            if value.__module__ == "test_solution":
                names = unittest.defaultTestLoader.getTestCaseNames(value)
                found += [
                    (f"{name}.{one}", functools.partial(_method, value, one)) for one in names
                ]
        elif isinstance(value, type) and name.startswith("Test"):
            own = fixtures | {n: v for n, v in vars(value).items() if _is_fixture(v)}
            for one, function in vars(value).items():
                if one.startswith("test") and isinstance(function, types.FunctionType):
                    maker = functools.partial(_bound, value, one)
                    found += _plain(
                        f"{name}.{one}", function, maker, own, getattr(value, "pytestmark", [])
                    )
    return found


def _bound(kind: type, name: str, **given: Any) -> None:
    getattr(kind(), name)(**given)


def _plain(label: str, function: Any, called: Any, fixtures: dict[str, Any], more: Any = ()) -> Any:
    marks = [*getattr(function, "pytestmark", []), *more]
    if any(mark.name != "parametrize" for mark in marks):
        raise NotImplementedError(f"the mark of {label}")
    names = _arguments(function)

    def run(given: dict[str, Any]) -> BaseException | None:
        try:
            _call(called, names, given, fixtures)
        except BaseException as error:  # whatever ends a test is its result
            return error
        return None

    for case in itertools.product(*(list(_cases(mark)) for mark in marks)):
        given = {name: value for part in case for name, value in part.items()}
        yield label, functools.partial(run, given)


def _method(kind: type[unittest.TestCase], name: str) -> BaseException | None:
    result = Result()
    unittest.TestSuite([kind(name)]).run(result)
    return result.error


class Run:
    """One suite on one program after the other, each with names and modules of its own."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self._payload = payload
        self.reached: set[int] = set()
        self.names: list[str] = []
        self.first_error = ""
        self.trace: Trace | None = None
        self.n_programs = 0
        self.is_late = False

    def load(self, code: types.CodeType) -> dict[str, Any]:
        """Load a program under all the names that the suite imports it by; the suite's names."""
        module = types.ModuleType("solution")
        names = ["solution", *self._payload["aliases"]]
        for name in names:
            sys.modules[name] = module
            package = name.rpartition(".")[0]
            while package and package not in sys.modules:
                sys.modules[package] = types.ModuleType(package)
                sys.modules[package].__path__ = []
                package = package.rpartition(".")[0]
        exec(code, vars(module))
        suite = types.ModuleType("test_solution")
        sys.modules["test_solution"] = suite
        given = {n: vars(module)[n] for n in self._payload["injected"] if n in vars(module)}
        vars(suite).update(given)
        return vars(suite)

    def once(self, code: types.CodeType, seconds: float, lines: int, order: Any) -> list[Any]:
        """[letter, number of the deciding test] of the suite on this program.

        It is out of time if it has run for `seconds` and, once more, for more than `lines`.
        """
        self.n_programs += 1
        ended = self._within(code, seconds, order)
        if ended[0] == "T":
            self.trace = Trace() if self.trace else None
            sys.settrace(Lines(self.trace or Trace(), lines))
            ended = self._within(code, max(1.0, _SURE * seconds), order)
        sys.settrace(None)
        return ended

    def _within(self, code: types.CodeType, seconds: float, order: Any) -> list[Any]:
        # What the last program drew is no sign for the next, and the same in every run.
        random.seed(self._payload["seed"] + self.n_programs)
        self.is_late = False
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.02)
        try:
            try:
                ended = self._once(code, order)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
        except OutOfTime:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.is_late = True
        # A suite may have caught what ended it.
        return ["T", -1] if self.is_late else ended

    def expire(self, *_: object) -> None:
        """End what runs."""
        self.is_late = True
        raise OutOfTime

    def _once(self, code: types.CodeType, order: Any) -> list[Any]:
        try:
            namespace = self.load(code)
        except OutOfTime:
            raise
        except BaseException as error:  # whatever a program raises while it loads
            self.first_error = self.first_error or text_of(error)
            return ["X", -1]
        try:
            exec(self._payload["suite"], namespace)
            tests = tests_in(namespace)
        except OutOfTime:
            raise
        except NotImplementedError:
            raise
        except BaseException as error:  # a suite may raise anything too
            self.first_error = self.first_error or text_of(error)
            return ["E" if not _in_program(error) else "X", -1]
        places = list(range(len(tests)))
        if order == "reversed":
            places.reverse()
        elif order:
            random.Random(order).shuffle(places)
        if not self.names:
            self.names = [name for name, _ in tests]
        n_skipped = 0
        for place in places:
            ended = tests[place][1]()
            if ended is not None:
                letter = letter_of(ended)
                if letter == "S":
                    n_skipped += 1
                    continue
                self.first_error = self.first_error or f"{tests[place][0]}: {text_of(ended)}"
                return [letter, place]
        return ["N" if n_skipped == len(tests) else "P", -1]


def run_closed(payload: dict[str, Any]) -> dict[str, Any]:
    """Run a closed suite: on the right program in three orders, then on all others."""
    sys.stdout = sys.stderr = Sink()
    run = Run(payload)
    signal.signal(signal.SIGPROF, run.expire)
    right, others = payload["right"], payload["others"]
    builtins.__dict__[REACHED] = run.reached.add
    said: dict[str, Any] = {"right": [], "others": []}
    before = time.process_time()
    for order in (0, 0, "reversed", *payload["orders"]):
        if not said["right"]:
            run.trace = Trace()
            sys.settrace(run.trace)
        said["right"].append(run.once(right, payload["right_s"], _LINES_OF_RIGHT, order))
        if len(said["right"]) == 1:
            assert run.trace is not None
            said.update(coverage_of(run.trace, payload))
            run.trace = None
        # A second failure in the written order, or one in another order, tells what it is.
        letter = said["right"][-1][0]
        if letter == "T" or (letter != "P" and len(said["right"]) > 1):
            break
    spent = (time.process_time() - before) / len(said["right"])
    said["error"], run.first_error = run.first_error, ""
    said["n_reached"] = len(run.reached)
    said["tests"] = len(run.names)
    if all(one[0] == "P" for one in said["right"]):
        limit = min(payload["right_s"], max(_LEAST_S, _SLOWER * spent))
        said["others"] = [run.once(code, limit, _LINES, 0) for code in others]
    return said


def main(payload: dict[str, Any]) -> None:
    """Run what the payload asks for; always raises Said."""
    try:
        said = run_closed(payload)
    except NotImplementedError as error:
        said = {"open": str(error)}
    raise Said(json.dumps(said, separators=(",", ":")))
