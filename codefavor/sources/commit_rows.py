"""One commit as a row, and what is asked of a source of commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from codefavor.records import Record, content_id
from codefavor.sources.licences import PERMISSIVE


@dataclass(frozen=True)
class Commit(Record):
    """What one change did to one file, function or class.

    `message` is the commit's, without the people it names. `context` is code around the unit:
    imports, enclosing classes, heads of what it mentions ("" for whole files). `source` is the
    data set or repository (server and path of its URL), `license` its licence as an SPDX name in
    lower case, `name` the unit's qualified name ("" for files of a data set), `commit` the hash,
    `pull` the number of the pull request whose words are the message. `id` is the sha256 of
    language, path, name, message and both codes.
    """

    id: str
    language: str
    path: str
    message: str
    old_code: str
    new_code: str
    context: str = ""
    source: str = ""
    license: str = ""
    unit: str = "file"
    name: str = ""
    commit: str = ""
    pull: str = ""


@dataclass(frozen=True)
class CommitOptions:
    """What to take from a source of commits.

    `languages` are canonical names, empty for all of the table. `licenses` are SPDX names, empty or
    "any" for every licence. `units` says whether a repository gives functions and classes or whole
    files; published data sets always give files. `tests` keeps changes to test files.
    A commit with more than `max_files` files or `max_units` changed units is left out whole: its
    message is about more than one row can show. `max_lines` counts one side of a function or
    class, `max_file_lines` of a whole file that is a row; `max_file_bytes` is what is read.

    The rest is for git repositories alone. `since` and `until` are days (YYYY-MM-DD), both
    included. `path` are files, folders or patterns, of which a changed file must match one;
    `author` is a pattern of git's; `ref` the branch, tag or commit to begin at. `pulls` is a
    file of pull requests (see `codefavor.sources.pulls`).
    """

    languages: tuple[str, ...] = ()
    licenses: tuple[str, ...] = PERMISSIVE
    units: Literal["function", "file"] = "function"
    tests: bool = False
    max_files: int = 20
    max_units: int = 6
    max_lines: int = 200
    max_file_lines: int = 500
    max_file_bytes: int = 1_000_000
    since: str = ""
    until: str = ""
    path: tuple[str, ...] = ()
    author: str = ""
    ref: str = "HEAD"
    pulls: str = ""


# The options that only a git repository has.
OF_HISTORIES = ("since", "until", "path", "author", "ref", "pulls")


def make_commit(**fields: str) -> Commit:
    """A commit row with its content id."""
    parts = (fields.get(key, "") for key in ("language", "path", "name", "message"))
    return Commit(id=content_id(*parts, fields["old_code"], fields["new_code"]), **fields)
