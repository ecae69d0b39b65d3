"""What help says is true: every example parses, and a shell completes what there is."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import click
import pytest
import typer

from codefavor.cli.examples import EXAMPLES, examples_of
from codefavor.cli.main import VERBS, app

ROOT = typer.main.get_command(app)


@pytest.fixture(autouse=True)
def long_command_line(monkeypatch):
    # Without words, the verbs are stubs that only the overview needs.
    monkeypatch.setattr("sys.argv", ["codefavor", "score"])


def leaves(command, path=""):
    """Every command by its path."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        one = command.get_command(context, name)
        yield from leaves(one, f"{path} {name}".strip())


def test_every_command_has_examples_that_its_help_shows_and_its_parser_takes():
    commands = dict(leaves(ROOT))
    for example in EXAMPLES:
        assert any(example.startswith(path) for path in commands), example
    for path, command in commands.items():
        assert examples_of(path), f"codefavor {path} has no example"
        for example in examples_of(path):
            assert example == path or example.startswith(f"{path} ")
            # Parses and checks every value; nothing runs.
            command.make_context(path, shlex.split(example)[len(path.split()) :])
        context = click.Context(command, info_name=path)
        text = " ".join(command.get_help(context).split())
        assert "Examples: codefavor" in text or "Examples:" in str(command.epilog)


def complete(*words):
    """What bash is offered for the last of these words."""
    environment = {
        **os.environ,
        "_CODEFAVOR_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(["codefavor", *words]),
        "COMP_CWORD": str(len(words)),
    }
    code = "import sys; sys.argv = ['codefavor']; from codefavor.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ev"], ["evaluate"]),
        (["evaluate", "codepref"], ["codeprefbench"]),
        (["evaluate", "pairs", "--model", "like"], ["likelihood:"]),
        (["evaluate", "pairs", "--protocol", "p"], ["paper"]),
        (["evaluate", "pairs", "--sty"], ["--style-control"]),
    ],
)
def test_bash_completes_verbs_benchmarks_judges_and_values(words, offered):
    assert complete(*words) == offered


def test_the_overview_imports_no_verb():
    code = (
        "import sys; sys.argv = ['codefavor', '--help']\n"
        "from codefavor.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted(m for m in sys.modules if m.startswith('codefavor.cli.')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = [f"codefavor.cli.{name}" for name in ("examples", "main", "option_groups")]
    assert found.stdout.splitlines()[-1] == str(loaded)
    assert all(verb in found.stdout for verb in VERBS)
