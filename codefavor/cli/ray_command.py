"""A command of this program run here, or only looked at: its journals and their settings."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from codefavor.engine.merge_shards import named_journals
from codefavor.errors import CodefavorError, JournalInUseError
from codefavor.journal_manifest import read_manifest, settings


def run_command(words: Sequence[str]) -> str:
    """Run a command here; what went wrong, "" for nothing. Raises JournalInUseError."""
    import typer

    from codefavor.cli.main import app

    command: Any = typer.main.get_command(app)
    try:
        code = command.main(list(words), prog_name="codefavor", standalone_mode=False)
    except JournalInUseError:
        raise
    except (CodefavorError, OSError) as error:
        return str(error)
    except SystemExit as error:
        code = error.code
    return f"ended with code {code}" if code else ""


def journals_of(words: Sequence[str]) -> list[Path]:
    """The journals of all that a command makes, as merge-shards would take them up.

    They are those that the command itself opens, in a process of its own: the models that it may
    load for that go with it. Nobody is asked. Raises CodefavorError where the command does.
    """
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            error, found = process.submit(_opened_by, tuple(words)).result()
    except BrokenProcessPool as broken:
        raise CodefavorError("--ray: the process that looks at the command was lost") from broken
    if error:
        raise CodefavorError(error)
    return found


def settings_of(words: Sequence[str], out: str) -> dict[str, dict[str, Any]]:
    """The settings of a command as this machine would run it, by the names of its journals.

    It writes into a folder for this, under the name `out`. Raises CodefavorError.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        journals = journals_of([*words, "--out", str(folder / out)])
        return {str(one.relative_to(folder)): settings(read_manifest(one)) for one in journals}


def _opened_by(words: Sequence[str]) -> tuple[str, list[Path]]:
    found: list[Path] = []
    named_journals.set(found)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            error = run_command([*words, "--shard", "all"])
        except JournalInUseError as in_use:
            error = str(in_use)
    return error, found
