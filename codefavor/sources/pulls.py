"""Pull requests from a file: what they were asked to do, in the words of their authors.

The file holds objects of GitHub's REST API, one JSON a line, as `gh api --paginate --jq '.[]'`
writes them: pull requests (`repos/OWNER/REPO/pulls?state=closed`) and, if you like, review comments
(`repos/OWNER/REPO/pulls/comments`), of any number of repositories.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from codefavor.errors import DataError
from codefavor.records import Row, read_rows
from codefavor.sources.git_log import LoggedCommit

_NUMBER = re.compile(r"^Merge pull request #(\d+) |^[^\n]*\(#(\d+)\)\s*(?:\n|$)")
_URL = re.compile(r"/repos/([^/]+/[^/]+)/pulls/(\d+)/?$|//[^/]+/([^/]+/[^/]+)/pull/(\d+)/?$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


class Pull(NamedTuple):
    """A merged pull request: its number, and its title, body and review comments as one text."""

    number: str
    message: str


class Pulls:
    """Pull requests by the commit that brought them to the main line of one repository."""

    def __init__(self, path: Path, source: str) -> None:
        """Read the file, for the repository that is called `source`.

        Raises DataError, with the line, for an object that is neither kind.
        """
        self._by_number: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        self._by_commit: dict[str, tuple[str, Row]] = {}
        self._reviews: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self._source = source
        for where, row in read_rows(path):
            if isinstance(row.get("pull_request_url"), str):
                self._reviews[_named(row["pull_request_url"])].append(str(row.get("body") or ""))
            elif isinstance(row.get("number"), int) and isinstance(row.get("title"), str):
                repository, number = _repository(row), str(row["number"])
                self._by_number[number][repository] = row
                if row.get("merged_at") and row.get("merge_commit_sha"):
                    self._by_commit[str(row["merge_commit_sha"])] = (repository, row)
            else:
                raise DataError(
                    f"{where}: no pull request and no review comment of GitHub's API: needed are "
                    f"number and title, or pull_request_url; found {', '.join(sorted(row))}"
                )

    def of(self, commit: LoggedCommit, skipped: Counter[str]) -> Pull | None:
        """The pull request that a commit merged or squashed; None for any other commit.

        By its hash; else by the number in its message, if one pull request of this repository has
        it. `skipped` counts numbers that only pull requests of unknown or several ones have.
        """
        repository, row = self._by_commit.get(commit.sha) or self._numbered(commit, skipped)
        if row is None:
            return None
        number = str(row["number"])
        parts = [row["title"], str(row.get("body") or ""), *self._reviews[repository, number]]
        bare = [_COMMENT.sub("", part).replace("\r\n", "\n").strip() for part in parts]
        return Pull(number, "\n\n".join(part for part in bare if part))

    def _numbered(self, commit: LoggedCommit, skipped: Counter[str]) -> tuple[str, Row | None]:
        named = _NUMBER.match(commit.message)
        rows = self._by_number.get((named[1] or named[2]) if named else "", {})
        own = [name for name in rows if _is_called(self._source, name)]
        if len(own) == 1:
            return own[0], rows[own[0]]
        skipped["pull: names no repository"] += "" in rows and not own
        skipped["pull: of several repositories so called"] += len(own) > 1
        return "", None


def _named(url: str) -> tuple[str, str]:
    """Owner and name of the repository that an address of a pull request names, and the number."""
    found = _URL.search(url)
    if found is None:
        return "", url.rstrip("/").rpartition("/")[2]
    return (found[1] or found[3]).lower(), found[2] or found[4]


def _repository(row: Row) -> str:
    """Owner and name of the repository that a pull request was for; "" if it does not say."""
    base = row.get("base")
    repository = base.get("repo") if isinstance(base, Mapping) else None
    stated = repository.get("full_name") if isinstance(repository, Mapping) else None
    if isinstance(stated, str):
        return stated.lower()
    urls = (row.get(key) for key in ("url", "html_url"))
    return next((name for url in urls if isinstance(url, str) and (name := _named(url)[0])), "")


def _is_called(source: str, repository: str) -> bool:
    """Whether a repository ("example.org/sea/tide", or a folder's "tide", "sea+tide", "sea-tide")
    is the one of this owner and name."""
    own = source.lower()
    if "/" in own:
        return own.endswith(f"/{repository}") and bool(repository)
    folders = (repository.rpartition("/")[2], *(repository.replace("/", by) for by in "+-_."))
    return own in folders and bool(repository)
