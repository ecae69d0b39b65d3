"""Runs one test suite on programs inside the jail; sent there as a code object, by itself.

Nothing of the package can be imported there. `main(payload)` raises `Said`, whose text is the
JSON that `suite_runs` reads: for each program one letter (see `LETTERS` there) and the number of
the test that decided it; for the right program also what was reached.
"""

from __future__ import annotations

import builtins
import json
import random
import signal
import sys
import time
import types
import unittest
from typing import Any

import pytest

from codefavor.scoring.suite_collect import Result, close_classes, tests_in
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
    if isinstance(error, SystemExit | KeyboardInterrupt | pytest.exit.Exception):
        return "D"
    names = (ImportError, NameError, SyntaxError, pytest.FixtureLookupError)
    if phase == "collect" or isinstance(error, names):
        return "E"
    return "V"


def text_of(error: BaseException | None) -> str:
    """The exception in few words."""
    try:
        return f"{type(error).__name__}: {error}"[:160] if error is not None else ""
    except BaseException:  # a program's own exception may have a broken __str__
        return type(error).__name__


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
            result = Result()
            tests = tests_in(namespace, result)
        except OutOfTime:
            raise
        except NotImplementedError:
            raise
        except BaseException as error:  # a suite may raise anything too
            self.first_error = self.first_error or text_of(error)
            return [letter_of(error, "collect"), -1]
        places = list(range(len(tests)))
        if order == "reversed":
            places.reverse()
        elif order:
            random.Random(order).shuffle(places)
        if not self.names:
            self.names = [name for name, _ in tests]
        n_skipped = 0
        for place in [*places, -1]:
            ended = close_classes(result) if place < 0 else tests[place][1]()
            if ended is not None:
                letter = letter_of(ended)
                if letter == "S":
                    n_skipped += 1
                    continue
                name = tests[place][0] if tests else ""
                self.first_error = self.first_error or f"{name}: {text_of(ended)}"
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
