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
    REACHED,
    Run,
    Said,
    Sink,
    letter_of,
    text_of,
)
from codefavor.scoring.suite_trace import Trace, coverage_of

_CODE = frozenset(("__code__", "gi_code", "cr_code", "ag_code"))
_AF_UNIX = 1
_PROCESSES = ("os.system", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "subprocess.Popen")
_CHANGES = (
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
)
# What nobody reads here, and each costs its part of every start.
_UNUSED = (
    "cacheprovider", "terminal", "faulthandler", "doctest", "junitxml", "pastebin", "stepwise",
    "setuponly", "setupplan", "legacypath", "unraisableexception",
    "threadexception",
)  # fmt: skip


class Watch:
    """What a suite did that its text may have hidden; an audit hook cannot be taken away again."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_on = False

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event == "object.__getattr__":
            if given[1] in _CODE and getattr(given[0], "__module__", "") == "solution":
                self._note("reads_source")
        elif event == "time.sleep":
            self._note("sleeps")
        elif event.startswith("socket."):
            # An event loop wakes itself by a pair of sockets of the machine's own.
            is_pair = event == "socket.__new__" and given[1] == _AF_UNIX
            self._note("uses_network", *(["/asyncio/selector_events.py"] if is_pair else []))
        elif event in ("os.kill", "os.killpg"):
            self._note("ends_the_run")
        elif event in _PROCESSES:
            self._note("starts_processes")
        elif event in ("open", *_CHANGES) and _writes(given[0], _mode(event, given)):
            self._note("writes_files")

    def _note(self, what: str, *own: str) -> None:
        """Keep what the suite did, but not what the libraries in the files `own` did for it."""
        frame = sys._getframe(2)
        while frame is not None:
            if frame.f_code.co_filename.endswith(("unittest/mock.py", *own)):
                return
            frame = frame.f_back  # type: ignore[assignment]
        if what not in self.seen:
            self.seen.append(what)


def _mode(event: str, given: tuple[Any, ...]) -> object:
    return given[1] if event == "open" else "w"


def _writes(path: object, mode: object) -> bool:
    """Whether this opens a file to write outside the temporary folders."""
    if not isinstance(path, str) or not set(str(mode or "")) & set("wax+"):
        return False
    is_temporary = path.startswith(("/tmp", os.devnull)) or "pytest-of-tests" in path
    return not is_temporary and not path.rpartition("/")[2].startswith("tmp")


class Plugin:
    """Orders the tests and keeps what became of them."""

    def __init__(self, order: int, trace: Trace) -> None:
        self._order, self._trace = order, trace
        self.n_passed = self.n_skipped = self.n_tests = 0
        self.first: list[Any] = []
        self.error = ""
        self.places: dict[str, int] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Put them into the wanted order."""
        self.n_tests = len(items)
        self.places = {item.nodeid: n for n, item in enumerate(items)}
        if self._order:
            random.Random(self._order).shuffle(items)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Any:
        """Every program is traced, so that the trace tells the suite nothing."""
        sys.settrace(self._trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)

    def pytest_exception_interact(self, node: Any, call: Any, report: Any) -> None:
        """The first failure decides."""
        if self.first:
            return
        error = call.excinfo.value
        cause = error.__cause__ if report.when == "collect" and error.__cause__ else error
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


def run_open(payload: dict[str, Any]) -> dict[str, Any]:
    """Run the suite on the one program of the payload."""
    said: dict[str, Any] = {"one": ["P", -1], "error": "", "tests": 0}
    run, watch, trace = Run(payload), Watch(), Trace()
    plugin = Plugin(payload["order"], trace)
    builtins.__dict__[REACHED] = run.reached.add
    try:
        sys.settrace(trace)
        run.load(payload["program"])
    except BaseException as error:  # whatever a program raises while it loads
        return {**said, "one": ["X", -1], "error": text_of(error)}
    finally:
        sys.settrace(None)
    del sys.modules["test_solution"]
    with open("test_solution.py", "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(payload["text"])
    with open("pytest.ini", "w", encoding="utf-8") as file:
        file.write("[pytest]\n")
    random.seed(payload["seed"])
    payload.clear()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    out, sys.stdout, sys.stderr = sys.stdout, Sink(), Sink()
    sys.addaudithook(watch)
    status = _main(plugin, watch)
    sys.stdout = out
    letter = plugin.first or ["P" if plugin.n_passed else "N", -1]
    if not plugin.first and status not in (0, 5):
        letter = ["E", -1]
    said.update(
        one=letter, error=plugin.error, tests=plugin.n_tests, seen=watch.seen,
        n_reached=len(run.reached),
    )  # fmt: skip
    return said | {"trace": trace}


def _main(plugin: Plugin, watch: Watch) -> int:
    import importlib

    unused = [word for name in _UNUSED for word in ("-p", f"no:{name}")]
    arguments = [*unused, "--assert=plain", "-c", "pytest.ini", "--basetemp=pytest-of-tests"]
    plugins: list[object] = [plugin]
    with open("test_solution.py", encoding="utf-8") as file:
        if "async " in file.read():
            plugins.append(importlib.import_module("pytest_asyncio.plugin"))
    watch.is_on = True
    try:
        return int(pytest.main([*arguments, "-x", "test_solution.py"], plugins=plugins))
    finally:
        watch.is_on = False


def main(payload: dict[str, Any]) -> None:
    """Run and say what happened; always raises Said."""
    import json

    table = {"lines": payload["lines"], "branches": payload["branches"]}
    said = run_open(payload)
    found = said.pop("trace", None)
    if isinstance(found, Trace):
        said.update(coverage_of(found, table))
    raise Said(json.dumps(said, separators=(",", ":")))
