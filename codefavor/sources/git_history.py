"""Commits of any git repository as rows: one function or class at a time, with what is around it.

A row says what one change did to one unit, under the message of its commit; nothing says who
made it. What is left out is counted by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

from codefavor.errors import DataError
from codefavor.languages import language_of_path
from codefavor.sources.changed_units import ChangedFiles, LeftOut
from codefavor.sources.commit_rows import Commit, CommitOptions
from codefavor.sources.file_kinds import path_problem
from codefavor.sources.folders import Folders
from codefavor.sources.git_log import Change, LoggedCommit, Repository
from codefavor.sources.licences import is_allowed
from codefavor.sources.messages import (
    is_merge_message,
    reverted_commit,
    says_nothing,
    without_people,
)
from codefavor.sources.pulls import Pull, Pulls

_FILE_MODES = frozenset({"100644", "100755"})


def mine_repository(
    path: Path, *, options: CommitOptions, skipped: Counter[str]
) -> Iterator[Commit]:
    """The rows of a local repository, newest commit first; the same in every run.

    `skipped` counts what was left out, by "commit: ...", "file: ..." and "unit: ..." reasons.
    Memory does not grow with the history, but for the names of commits: of those reverted, and
    of those asked for.
    Raises DataError for no repository, or for a licence that the options do not allow.
    """
    repository = Repository(path, options.ref)
    source = repository.name()
    pulls = Pulls(Path(options.pulls).expanduser(), source) if options.pulls else None
    inside = _PullCommits(repository.first_parents() if pulls else frozenset())
    asked_for = repository.select(until=options.until, author=options.author)
    reverts = _Reverts()
    with repository.objects() as objects:
        licence = Folders(objects, "").licence(repository.head, "a file at the root")
        if not is_allowed(licence, options.licenses):
            raise DataError(
                f"{source}: its licence is {licence or 'not stated'}, which is not one of "
                f"{', '.join(options.licenses)}; allow it by name, or every licence with 'any'"
            )
        folders = Folders(objects, licence)
        files = ChangedFiles(objects, options)
        for commit in repository.log(since=options.since, merges=pulls is not None):
            pull = pulls.of(commit, skipped) if pulls else None
            reason = _commit_problem(commit, pull, reverts, options)
            if inside.has(commit, pull):
                reason = "part of a pull request"
            elif asked_for is not None and commit.sha not in asked_for:
                reason = "not asked for"
            if reason:
                skipped[f"commit: {reason}"] += 1
                continue
            about = {"source": source, "commit": commit.sha, "pull": pull.number if pull else ""}
            about["message"] = pull.message if pull else commit.message
            lost = Counter[str]()
            rows = _rows(commit, about, folders, files, lost)
            # One more says that the commit goes whole; what else is in it is not looked at.
            found = list(islice(rows, options.max_units + 1))
            if len(found) > options.max_units:
                skipped["commit: too many functions changed"] += 1
            else:
                skipped.update(lost)
                yield from found


def _rows(
    commit: LoggedCommit,
    about: dict[str, str],
    folders: Folders,
    files: ChangedFiles,
    lost: Counter[str],
) -> Iterator[Commit]:
    for change in commit.changes:
        try:
            _check_change(change, files.options)
            if folders.is_vendored(commit.sha, change.path):
                raise LeftOut("vendored")
            around = folders.licence(commit.sha, change.path)
            yield from files.rows(change, {**about, "license": around}, lost)
        except LeftOut as reason:
            lost[f"file: {reason}"] += 1


class _PullCommits:
    """Which commits a pull request that is a unit brought to the main line. The log comes newest
    first."""

    def __init__(self, main_line: frozenset[str]) -> None:
        self._main_line = main_line
        self._inside: set[str] = set()

    def has(self, commit: LoggedCommit, pull: Pull | None) -> bool:
        is_inside = commit.sha in self._inside
        if is_inside or pull:
            parents = commit.parents if is_inside else commit.parents[1:]
            self._inside.update(parent for parent in parents if parent not in self._main_line)
            self._inside.discard(commit.sha)
        return is_inside


class _Reverts:
    """Which older commits a newer one took back. The log comes newest first."""

    def __init__(self) -> None:
        self._hashes: set[str] = set()
        self._subjects: Counter[str] = Counter()

    def note(self, hash_: str, subject: str) -> None:
        if hash_:
            self._hashes.add(hash_)
        elif subject:
            self._subjects[subject] += 1

    def takes_back(self, commit: LoggedCommit) -> bool:
        named = {one for one in self._hashes if commit.sha.startswith(one)}
        if named:
            self._hashes -= named
            return True
        subject = commit.message.partition("\n")[0].strip()
        if self._subjects[subject] > 0:
            self._subjects[subject] -= 1
            return True
        return False


def _commit_problem(
    commit: LoggedCommit, pull: Pull | None, reverts: _Reverts, options: CommitOptions
) -> str:
    was_reverted = reverts.takes_back(commit)
    undone = reverted_commit(commit.message)
    if undone is not None:
        # A revert that was itself reverted took nothing back in the end.
        if not was_reverted:
            reverts.note(*undone)
        return "revert"
    if was_reverted:
        return "reverted later"
    if pull is None and (len(commit.parents) > 1 or is_merge_message(commit.message)):
        return "merge"
    if says_nothing(without_people(pull.message if pull else commit.message)):
        return "message says nothing"
    n_files = len(commit.changes)
    return "too many files changed" if n_files > options.max_files else ""


def _check_change(change: Change, options: CommitOptions) -> None:
    """Raise LeftOut for a changed file that its place in the commit says is no row."""
    if change.new_mode == "160000" or change.old_mode == "160000":
        raise LeftOut("submodule")
    if change.status[0] in "AD":
        raise LeftOut("added" if change.status[0] == "A" else "deleted")
    if change.old_blob == change.new_blob:
        raise LeftOut("only renamed or its mode changed")
    if not {change.old_mode, change.new_mode} <= _FILE_MODES:
        raise LeftOut("symbolic link")
    if options.path and not any(_is_under(change.path, one) for one in options.path):
        raise LeftOut("not under --path")
    problem = path_problem(change.path)
    if problem and not (problem == "test" and options.tests):
        raise LeftOut(problem)
    language = language_of_path(change.path)
    if not language:
        raise LeftOut("no language of ours")
    if options.languages and language not in options.languages:
        raise LeftOut(f"language not asked for ({language})")


def _is_under(path: str, asked: str) -> bool:
    """Whether a path is a file, in a folder, or of a pattern that was asked for."""
    folder = asked.removeprefix("./").rstrip("/")
    return path == folder or path.startswith(f"{folder}/") or fnmatchcase(path, asked)
