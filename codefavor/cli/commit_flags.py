"""Options of the commands that read commits: `mine` and `synthesise commit-instruct`."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from codefavor.cli.option_groups import refuse
from codefavor.errors import ConfigError
from codefavor.sources.commit_rows import CommitOptions
from codefavor.sources.licences import PERMISSIVE
from codefavor.text import comma_list


@dataclass(frozen=True)
class CommitFlags:
    """What to take from a source of commits, as options. Lists are separated by commas."""

    PANEL = "Which commits"

    languages: Annotated[str, typer.Option(help="Only these (default: all known).")] = ""
    licenses: Annotated[
        str, typer.Option(help="Only these SPDX names, or any.", show_default=True)
    ] = ",".join(PERMISSIVE)
    units: Annotated[
        Literal["function", "file"], typer.Option(help="One function or class a row, or one file.")
    ] = CommitOptions.units
    tests: Annotated[bool, typer.Option("--tests", help="Keep changes to tests.")] = False
    max_files: Annotated[int, typer.Option(min=1, help="Leave out commits with more files.")] = (
        CommitOptions.max_files
    )
    max_units: Annotated[
        int, typer.Option(min=1, help="Leave out commits with more changed units.")
    ] = CommitOptions.max_units
    max_lines: Annotated[
        int, typer.Option(min=1, help="Leave out functions and classes with more lines.")
    ] = CommitOptions.max_lines
    max_file_lines: Annotated[
        int, typer.Option(min=1, help="Leave out whole files with more lines.")
    ] = CommitOptions.max_file_lines
    max_file_bytes: Annotated[
        int, typer.Option(min=1, help="Do not read files with more bytes.")
    ] = CommitOptions.max_file_bytes
    since: Annotated[str, typer.Option(help="First day of a repository's commits.")] = ""
    until: Annotated[str, typer.Option(help="Last day, as YYYY-MM-DD.")] = ""
    path: Annotated[str, typer.Option(help="Only these files, folders or patterns.")] = ""
    author: Annotated[str, typer.Option(help="Only commits of whom `git log --author` finds.")] = ""
    ref: Annotated[str, typer.Option(help="Branch, tag or commit to begin at.")] = CommitOptions.ref
    pulls: Annotated[
        str,
        typer.Option(help="JSONL of GitHub's API: pull requests, whose words become messages."),
    ] = ""

    def options(self) -> CommitOptions:
        """The same, checked. Raises ConfigError for a day that is none, or an idle option."""
        is_file = self.units == "file"
        refuse({"max_lines"}, "does not go with --units file: --max-file-lines", unless=not is_file)
        for name, value in (("since", self.since), ("until", self.until)):
            _check_day(f"--{name}", value)
        given = {name: getattr(self, name) for name in self.__dataclass_fields__}
        lists = {name: comma_list(given[name]) for name in ("languages", "licenses", "path")}
        return CommitOptions(**(given | lists))


def _check_day(option: str, value: str) -> None:
    try:
        if value:
            datetime.date.fromisoformat(value)
    except ValueError as error:
        raise ConfigError(f"{option} {value!r} is no day; write YYYY-MM-DD") from error
