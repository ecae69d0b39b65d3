"""Runs one suite on one program with real pytest inside the jail; sent there as a code object.

The suite may be anything, so that what it must not do is also watched while it runs.
"""

from __future__ import annotations

import builtins
import os
import random
import sys
from typing import Any

import pytest

from codefavor.scoring.suite_driver import (
    LONGEST,
    REACHED,
    Said,
    Sink,
    letter_of,
    load,
    ordered,
    stir,
    text_of,
)
from codefavor.scoring.suite_trace import Trace, coverage_of
from codefavor.scoring.suite_watch import Watch, asks_for_processes

# What nobody reads here, and each costs its part of every start.
_UNUSED = (
    "terminal", "faulthandler", "pastebin", "stepwise", "setuponly", "setupplan",
    "unraisableexception", "threadexception",
)  # fmt: skip
# The same, but where the suite has this word.
_FIXTURES = {
    "cacheprovider": "cache", "legacypath": "dir", "junitxml": "record_", "doctest": "doctest",
}  # fmt: skip
_PLUGINS = {"async ": "pytest_asyncio.plugin", "anyio": "anyio.pytest_plugin"}


class Plugin:
    """Orders the tests and keeps what became of them."""

    def __init__(self, order: int, trace: Trace, watch: Watch) -> None:
        self._order, self._trace, self._watch = order, trace, watch
        self.n_passed = self.n_skipped = self.n_tests = 0
        self.first: list[Any] = []
        self.error = ""
        self.places: dict[str, int] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Put them into the wanted order."""
        self.n_tests = len(items)
        self.places = {item.nodeid: n for n, item in enumerate(items)}
        ordered(items, self._order)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Any:
        """Every program is traced, so that the trace tells the suite nothing."""
        self._set_trace(self._trace)
        try:
            return (yield)
        finally:
            self._set_trace(None)

    def _set_trace(self, trace: Trace | None) -> None:
        self._watch.is_on = False
        sys.settrace(trace)
        self._watch.is_on = True

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        """The first failure decides."""
        if self.first:
            return
        error = call.excinfo.value
        cause = error.__cause__ if report.when == "collect" and error.__cause__ else error
        if asks_for_processes(cause):
            self._watch.note("starts_processes", text_of(cause))
        letter = letter_of(cause, "call" if report.when == "call" else str(report.when))
        self.first = [letter, self.places.get(node.nodeid, -1)]
        self.error = f"{node.name}: {text_of(cause)}"

    def pytest_keyboard_interrupt(self, excinfo: Any) -> None:
        """Something ended the session: `pytest.exit` too."""
        self.first = self.first or [letter_of(excinfo.value), -1]
        self.error = self.error or text_of(excinfo.value)

    def pytest_internalerror(self, excinfo: Any) -> None:
        """What pytest does not expect, such as a `sys.exit` where tests are collected."""
        self.first = self.first or [letter_of(excinfo.value, "collect"), -1]
        self.error = self.error or text_of(excinfo.value)

    def pytest_warning_recorded(self, warning_message: Any) -> None:
        """What it did not collect, and why."""
        if issubclass(warning_message.category, pytest.PytestCollectionWarning):
            self.error = self.error or str(warning_message.message)[:160]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Count what ran."""
        if report.when == "call" and report.passed:
            self.n_passed += 1
        elif report.skipped and not hasattr(report, "wasxfail"):
            self.n_skipped += 1


def run_pytest(payload: dict[str, Any]) -> dict[str, Any]:
    """Run the suite on the one program of the payload."""
    reached: set[int] = set()
    trace = Trace(payload["most_lines"])
    watch = Watch(lambda: trace.is_late)
    said: dict[str, Any] = {"one": ["P", -1], "error": "", "tests": 0, "seen": {}, "n_reached": 0}
    plugin = Plugin(payload["order"], trace, watch)
    builtins.__dict__[REACHED] = reached.add
    random.seed(payload["seed"])
    text = payload["text"]
    if "mock" in text:
        watch.prepare_mock()
    table = {"lines": payload["lines"], "branches": payload["branches"]}
    try:
        sys.settrace(trace)
        load(payload)
    except BaseException as error:  # whatever a program raises while it loads
        letter = "T" if trace.is_late else "X"
        return {**said, "one": [letter, -1], "error": text_of(error), **coverage_of(trace, table)}
    finally:
        sys.settrace(None)
    payload.clear()
    del sys.modules["test_solution"]
    with open("test_solution.py", "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(text)
    with open("pytest.ini", "w", encoding="utf-8") as file:
        file.write("[pytest]\n")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    out, sys.stdout, sys.stderr = sys.stdout, Sink(), Sink()
    status = _main(plugin, watch, text)
    sys.stdout = out
    one = plugin.first or ["P" if plugin.n_passed else "N", -1]
    if not plugin.first and status not in (0, 5):
        one = ["E", -1]
    if trace.is_late:
        one = ["T", -1]
    said.update(
        one=one, error=plugin.error[:LONGEST], tests=plugin.n_tests, seen=watch.seen,
        n_reached=len(reached), **coverage_of(trace, table),
    )  # fmt: skip
    return said


def _main(plugin: Plugin, watch: Watch, text: str) -> int:
    import importlib

    unused = [*_UNUSED, *(name for name, word in _FIXTURES.items() if word not in text)]
    without = [word for name in unused for word in ("-p", f"no:{name}")]
    arguments = [*without, "--assert=plain", "-c", "pytest.ini", "--basetemp=pytest-of-tests"]
    plugins: list[object] = [plugin]
    for word, name in _PLUGINS.items():
        if word in text:
            try:
                plugins.append(importlib.import_module(name))
            except ImportError:  # not installed: pytest then says what it misses
                continue
    watch.is_on = True
    try:
        return int(pytest.main([*arguments, "-x", "test_solution.py"], plugins=plugins))
    finally:
        watch.is_on = False


def main(payload: dict[str, Any]) -> None:
    """Run and say what happened; always raises Said."""
    import json

    kept = stir(payload["stir"])
    said = run_pytest(payload)
    del kept
    raise Said(json.dumps(said, separators=(",", ":")))
