"""The real command as a user runs it, in this process for the sake of time, and the scripts."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from codefavor.cli.main import main

_OF_THE_MACHINE = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")


class Done(NamedTuple):
    """What a command left with."""

    code: int
    stdout: str
    stderr: str


def codefavor(*words: object, home: Path) -> Done:
    """Run `codefavor` with these words in `home`, where caches go too; no key is set."""
    out, errors = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(home)}),
        mock.patch.object(sys, "argv", ["codefavor", *map(str, words)]),
        _in_folder(home),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        for name in _OF_THE_MACHINE:
            os.environ.pop(name, None)
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    assert isinstance(code, int)
    return Done(code, out.getvalue(), errors.getvalue())


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    # contextlib.chdir came with Python 3.11.
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run_script(
    path: Path, settings: Collection[str], work: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of the project in `work`, with none of its settings but those given."""
    plain = {key: value for key, value in os.environ.items() if key not in settings}
    return subprocess.run(
        ["bash", str(path)],
        env={**plain, "WORK": str(work), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
