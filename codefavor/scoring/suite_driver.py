"""Runs one test suite on one program inside the jail; sent there as a code object, by itself.

Nothing of the package can be imported there. `main(payload)` raises `Said`, whose text is the
JSON that `suite_runs` reads: one letter (see `LETTERS` there) with the number of the test that
decided it, and what was reached. Nothing in a process tells which program it has.
"""

from __future__ import annotations

import builtins
import json
import os
import random
import signal
import sys
import types
import unittest
from collections.abc import Iterable
from typing import Any

import pytest

from codefavor.scoring.suite_collect import Result, close_classes, tests_in
from codefavor.scoring.suite_trace import PROGRAM, OutOfTime, Trace, coverage_of
from codefavor.scoring.suite_watch import Watch, asks_for_processes

REACHED = "__reached__"
# What is said has to fit into 4,000 characters, also where each takes twelve.
LONGEST = 200


class Said(Exception):
    """What this process has to say."""


class Sink:
    """A standard output that keeps nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        """Take the text."""
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Take the lines."""
        for _ in lines:
            pass

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


def stir(seed: int) -> list[object]:
    """Things of all small sizes, to keep: the addresses of what comes later are drawn by chance."""
    rng = random.Random(seed)
    kept: list[object] = [object() for _ in range(rng.randrange(1024))]
    kept += [bytes(size) for size in range(0, 480, 16) for _ in range(rng.randrange(48))]
    # And holes in between.
    rng.shuffle(kept)
    return kept[len(kept) // 4 :]


def ordered(places: list[int], order: int) -> None:
    """Put them as written (0), reversed (-1) or shuffled by this seed."""
    if order < 0:
        places.reverse()
    elif order:
        random.Random(order).shuffle(places)


def load(payload: dict[str, Any]) -> dict[str, Any]:
    """Load the program under all the names that the suite imports it by; the suite's names."""
    module = types.ModuleType("solution")
    for name in ["solution", *payload["aliases"]]:
        sys.modules[name] = module
        package = name.rpartition(".")[0]
        while package and package not in sys.modules:
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = []
            package = package.rpartition(".")[0]
    exec(payload["program"], vars(module))
    suite = types.ModuleType("test_solution")
    # Where pytest would have it: suites look from there for the folder of the program.
    suite.__file__ = os.path.abspath("test_solution.py")
    sys.modules["test_solution"] = suite
    given = {n: vars(module)[n] for n in payload["injected"] if n in vars(module)}
    vars(suite).update(given)
    return vars(suite)


class Run:
    """A suite on a program, with a small runner that starts faster than pytest."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self._payload = payload
        self.reached: set[int] = set()
        self.n_tests = 0
        self.error = ""
        self.is_late = False
        self.trace = Trace(payload["most_lines"])
        self.watch = Watch(lambda: self.is_late or self.trace.is_late)

    def once(self) -> list[Any]:
        """[letter, number of the deciding test]."""
        signal.signal(signal.SIGPROF, self._expire)
        signal.setitimer(signal.ITIMER_PROF, self._payload["seconds"], 0.02)
        try:
            try:
                sys.settrace(self.trace)
                ended = self._once()
            finally:
                self.watch.is_on = False
                sys.settrace(None)
                signal.setitimer(signal.ITIMER_PROF, 0)
        except OutOfTime:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.is_late = True
        # A suite may have caught what ended it.
        return ["T", -1] if self.is_late or self.trace.is_late else ended

    def _expire(self, *_: object) -> None:
        self.is_late = True
        raise OutOfTime

    def _failed(self, letter: str, error: BaseException, place: int, name: str = "") -> list[Any]:
        self.error = f"{name}{text_of(error)}"
        if asks_for_processes(error):
            self.watch.note("starts_processes", text_of(error))
        return [letter, place]

    def _once(self) -> list[Any]:
        try:
            namespace = load(self._payload)
        except OutOfTime:
            raise
        except BaseException as error:  # whatever a program raises while it loads
            return self._failed("X", error, -1)
        self.watch.is_on = True
        try:
            exec(self._payload["suite"], namespace)
            result = Result()
            tests = tests_in(namespace, result)
        except (OutOfTime, NotImplementedError):
            raise
        except BaseException as error:  # a suite may raise anything too
            return self._failed(letter_of(error, "collect"), error, -1)
        places = list(range(len(tests)))
        ordered(places, self._payload["order"])
        self.n_tests = len(tests)
        n_skipped = 0
        for place in [*places, -1]:
            ended = close_classes(result) if place < 0 else tests[place][1]()
            if ended is not None:
                letter = letter_of(ended)
                if letter == "S":
                    n_skipped += 1
                    continue
                name = f"{tests[place][0]}: " if tests else ""
                return self._failed(letter, ended, place, name)
        return ["N" if n_skipped == len(tests) else "P", -1]


def main(payload: dict[str, Any]) -> None:
    """Run what the payload asks for; always raises Said."""
    kept = stir(payload["stir"])
    out = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = Sink()
    run = Run(payload)
    builtins.__dict__[REACHED] = run.reached.add
    random.seed(payload["seed"])
    try:
        one = run.once()
    except NotImplementedError as error:
        said: dict[str, Any] = {"unlike": str(error)}
    else:
        said = {
            "one": one, "error": run.error[:LONGEST], "tests": run.n_tests, "seen": run.watch.seen,
            "n_reached": len(run.reached), **coverage_of(run.trace, payload),
        }  # fmt: skip
    run.watch.is_on = False
    sys.stdout, sys.stderr = out
    del kept
    raise Said(json.dumps(said, separators=(",", ":")))
