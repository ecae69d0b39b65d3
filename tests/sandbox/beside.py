"""What real pytest, unittest and plain Python say of a program and its tests, without a sandbox.

Only for programs that are known to be harmless: nothing is jailed here. A server process imports
pytest once and forks for each job, so that a job costs a tenth of a second.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NamedTuple


class Layout(enum.Enum):
    """How program and tests are laid on disk."""

    ONE_FILE = "one file"  # the program's text, and below it the tests'
    TWO_FILES = "two files"  # solution.py; the tests begin with `from solution import *`


class Beside(NamedTuple):
    """Counts of one run; `is_green` is the verdict a user would read from it."""

    passed: int
    failed: int
    skipped: int
    text: str

    @property
    def is_green(self) -> bool:
        return self.passed > 0 and self.failed == 0


class _Recorder:
    def __init__(self) -> None:
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.texts: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.counts["failed"] += 1
            self.texts.append(str(report.longrepr)[-1500:])
        elif hasattr(report, "wasxfail") and report.when == "call":
            self.counts["passed"] += 1
        elif report.skipped:
            self.counts["skipped"] += 1
        elif report.when == "call":
            self.counts["passed"] += 1

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.counts["failed"] += 1
            self.texts.append(str(report.longrepr)[-1500:])


def _run_here(program: str, tests: str, layout: Layout) -> dict[str, Any]:
    if layout is Layout.ONE_FILE:
        Path("test_program.py").write_text(f"{program}\n\n{tests}\n")
    else:
        Path("solution.py").write_text(program)
        future, rest = _cut_future(tests)
        head = "" if "solution import" in tests or "import solution" in tests else _STAR
        Path("test_program.py").write_text(f"{future}{head}{rest}\n")
    # Module-level asserts are no tests to pytest: they are run as the script that they are.
    if "def test" in tests or "TestCase" in tests:
        return _run_pytest()
    return _run_script()


def _run_pytest() -> dict[str, Any]:
    import pytest

    recorder = _Recorder()
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "--rootdir=."]
    code = pytest.main([*arguments, "-c", os.devnull, "test_program.py"], plugins=[recorder])
    answer: dict[str, Any] = {**recorder.counts, "text": "\n".join(recorder.texts)}
    if code not in (0, 1) and not answer["failed"]:
        answer |= {"failed": 1, "text": f"pytest ended with {code}"}
    return answer


def _run_script() -> dict[str, Any]:
    sys.argv[:] = ["test_program.py"]
    try:
        runpy.run_path("test_program.py", run_name="__main__")
    except BaseException:  # whatever a script ends with is its verdict
        return {"passed": 0, "failed": 1, "skipped": 0, "text": traceback.format_exc()[-1500:]}
    return {"passed": 1, "failed": 0, "skipped": 0, "text": ""}


# Names with one underscore are part of a program, too.
_STAR = (
    "import solution as _s\n"
    "globals().update({k: v for k, v in vars(_s).items() if not k.startswith('__')})\n"
)


def _cut_future(tests: str) -> tuple[str, str]:
    """The lines up to the last `from __future__ import`, which must stay first, and the rest."""
    found = list(re.finditer(r"^from __future__ import .*\n", tests, flags=re.MULTILINE))
    end = found[-1].end() if found else 0
    return tests[:end], tests[end:]


def _serve() -> None:
    import unittest.mock

    import numpy
    import pytest
    import pytest_asyncio.plugin

    # Imported in the parent so that every fork has them; nothing of them is used here.
    assert unittest.mock and numpy and pytest and pytest_asyncio
    for line in sys.stdin:
        job = json.loads(line)
        read, write = os.pipe()
        with tempfile.TemporaryDirectory() as folder:
            child = os.fork()
            if child == 0:
                _answer(job, folder, write)
            os.close(write)
            with os.fdopen(read) as stream:
                answer = stream.read()
            os.waitpid(child, 0)
        died = {"passed": 0, "failed": 1, "skipped": 0, "text": "died or took too long"}
        sys.stdout.write((answer or json.dumps(died)) + "\n")
        sys.stdout.flush()


def _answer(job: dict[str, str], folder: str, write: int) -> None:
    signal.alarm(300)
    # A project may have a package of tests, too.
    for name in [name for name in sys.modules if name.split(".")[0] == "tests"]:
        del sys.modules[name]
    os.chdir(folder)
    sys.path[:] = [folder, *(entry for entry in sys.path if entry and not _is_ours(entry))]
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    answer = _run_here(job["program"], job["tests"], Layout(job["layout"]))
    os.write(write, json.dumps(answer).encode()[:60000])
    os._exit(0)


def _is_ours(entry: str) -> bool:
    return Path(entry).resolve() == Path(__file__).parents[2]


class _Server:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.sandbox.beside"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        )

    def ask(self, job: dict[str, str]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


_server: _Server | None = None


def run_beside(program: str, tests: str, layout: Layout = Layout.ONE_FILE) -> Beside:
    """Run by pytest, or as a plain script where the tests have no test functions or classes."""
    global _server  # noqa: PLW0603
    if _server is None:
        _server = _Server()
    answer = _server.ask({"program": program, "tests": tests, "layout": layout.value})
    return Beside(answer["passed"], answer["failed"], answer["skipped"], answer["text"])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _serve()
