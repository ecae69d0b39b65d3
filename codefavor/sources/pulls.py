"""Pull requests from a file: what they were asked to do, in the words of their authors.

The file holds objects of GitHub's REST API, one JSON a line, as `gh api --paginate --jq '.[]'`
writes them: pull requests (`repos/OWNER/REPO/pulls?state=closed`) and, if you like, review comments
(`repos/OWNER/REPO/pulls/comments`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from codefavor.errors import DataError
from codefavor.records import Row, read_rows
from codefavor.sources.git_log import LoggedCommit

_NUMBER = re.compile(r"^Merge pull request #(\d+) |^[^\n]*\(#(\d+)\)\s*(?:\n|$)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


class Pull(NamedTuple):
    """A merged pull request: its number, and its title, body and review comments as one text."""

    number: str
    message: str


class Pulls:
    """Pull requests by the commit that brought them to the main line."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises DataError, with the line, for an object that is neither kind."""
        self._pulls: dict[str, Row] = {}
        self._reviews: defaultdict[str, list[str]] = defaultdict(list)
        for where, row in read_rows(path):
            if isinstance(row.get("pull_request_url"), str):
                number = row["pull_request_url"].rstrip("/").rpartition("/")[2]
                self._reviews[number].append(str(row.get("body") or ""))
            elif isinstance(row.get("number"), int) and isinstance(row.get("title"), str):
                self._pulls[str(row["number"])] = row
            else:
                raise DataError(
                    f"{where}: no pull request and no review comment of GitHub's API: needed are "
                    f"number and title, or pull_request_url; found {', '.join(sorted(row))}"
                )
        self._by_commit: Mapping[str, str] = {
            str(row["merge_commit_sha"]): number
            for number, row in self._pulls.items()
            if row.get("merged_at") and row.get("merge_commit_sha")
        }

    def of(self, commit: LoggedCommit) -> Pull | None:
        """The pull request that a commit merged or squashed; None for any other commit."""
        named = _NUMBER.match(commit.message)
        number = self._by_commit.get(commit.sha) or (named and (named[1] or named[2])) or ""
        row = self._pulls.get(number)
        if row is None:
            return None
        parts = [row["title"], str(row.get("body") or ""), *self._reviews[number]]
        bare = [_COMMENT.sub("", part).replace("\r\n", "\n").strip() for part in parts]
        return Pull(number, "\n\n".join(part for part in bare if part))
