"""An example or two for every command, shown below its help. A test parses each of them."""

from __future__ import annotations

from pathlib import Path

import click

# What is typed behind `codefavor`, one a line.
EXAMPLES = Path(__file__).with_name("examples.txt").read_text(encoding="utf-8").splitlines()


def examples_of(path: str) -> list[str]:
    """The examples of a command, such as "evaluate pairs"."""
    words = path.split()
    found = [one for one in EXAMPLES if one.split()[: len(words)] == words]
    return found or [f"{path} --model openai:gpt-4o-mini --limit 100"]


def add_examples(command: click.Command, path: str) -> click.Command:
    """The command, its help ending with its examples; those of a group, each with its own."""
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            add_examples(one, f"{path} {name}")
        return command
    # An empty line keeps each on a line of its own.
    command.epilog = "\n\n".join(["Examples:", *(f"codefavor {one}" for one in examples_of(path))])
    return command
