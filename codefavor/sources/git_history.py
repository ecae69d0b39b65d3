"""Commits of any git repository as rows: one function or class at a time, with what is around it.

A row says what one change did to one unit, under the message of its commit; nothing says who
made it. What is left out is counted by reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from codefavor.errors import DataError
from codefavor.languages import (
    Outline,
    Unit,
    functions_and_classes,
    language_of_path,
    normalised_tokens,
    parses,
)
from codefavor.sources.commit_rows import Commit, CommitOptions, make_commit
from codefavor.sources.file_kinds import content_problem, path_problem
from codefavor.sources.git_log import Blobs, Change, LoggedCommit, Repository
from codefavor.sources.licences import is_allowed, licence_of_header
from codefavor.sources.messages import (
    is_merge_message,
    reverted_commit,
    says_nothing,
    without_people,
)

_FILE_MODES = frozenset({"100644", "100755"})
_WORD = re.compile(r"\w+")
# The words of an import line that name nothing.
_IMPORT_WORDS = frozenset({"import", "from", "as", "use", "using", "include", "require", "static"})


class _LeftOut(Exception):
    """What is no row, with the reason that is counted."""


def mine_repository(
    path: Path, *, source: str, options: CommitOptions, skipped: Counter[str]
) -> Iterator[Commit]:
    """The rows of a local repository, newest commit first; the same in every run.

    `skipped` counts what was left out, by "commit: ...", "file: ..." and "unit: ..." reasons.
    Memory does not grow with the history, but for the names of commits that were reverted.
    Raises DataError for no repository, or for a licence that the options do not allow.
    """
    repository = Repository(path)
    licence = repository.licence()
    if not is_allowed(licence, options.licenses):
        raise DataError(
            f"{source}: its licence is {licence or 'not stated'}, which is not one of "
            f"{', '.join(options.licenses)}; allow it by name, or every licence with 'any'"
        )
    reverts = _Reverts()
    with repository.blobs() as blobs:
        for commit in repository.log():
            reason = _commit_problem(commit, reverts, options)
            if reason:
                skipped[f"commit: {reason}"] += 1
                continue
            found: list[Commit] = []
            about = {
                "source": source,
                "commit": commit.sha,
                "message": without_people(commit.message),
            }
            for change in commit.changes:
                try:
                    _check_change(change, options)
                    rows = _rows_of(change, blobs, {**about, "license": licence}, options)
                except _LeftOut as reason_of_file:
                    skipped[f"file: {reason_of_file}"] += 1
                    continue
                for row in rows:
                    problem = _row_problem(row, options)
                    if problem:
                        skipped[f"unit: {problem}"] += 1
                    else:
                        found.append(row)
            if len(found) > options.max_units:
                skipped["commit: too many functions changed"] += 1
            else:
                yield from found


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


def _commit_problem(commit: LoggedCommit, reverts: _Reverts, options: CommitOptions) -> str:
    was_reverted = reverts.takes_back(commit)
    undone = reverted_commit(commit.message)
    if undone is not None:
        # A revert that was itself reverted took nothing back in the end.
        if not was_reverted:
            reverts.note(*undone)
        return "revert"
    if was_reverted:
        return "reverted later"
    if len(commit.parents) > 1 or is_merge_message(commit.message):
        return "merge"
    if says_nothing(without_people(commit.message)):
        return "message says nothing"
    n_files = len(commit.changes)
    return "too many files changed" if n_files > options.max_files else ""


def _check_change(change: Change, options: CommitOptions) -> None:
    """Raise _LeftOut for a changed file that its place in the commit says is no row."""
    if change.new_mode == "160000" or change.old_mode == "160000":
        raise _LeftOut("submodule")
    if change.status[0] in "AD":
        raise _LeftOut("added" if change.status[0] == "A" else "deleted")
    if change.old_blob == change.new_blob:
        raise _LeftOut("only renamed or its mode changed")
    if not {change.old_mode, change.new_mode} <= _FILE_MODES:
        raise _LeftOut("symbolic link")
    problem = path_problem(change.path)
    if problem and not (problem == "test" and options.tests):
        raise _LeftOut(problem)
    language = language_of_path(change.path)
    if not language:
        raise _LeftOut("no language of ours")
    if options.languages and language not in options.languages:
        raise _LeftOut(f"language not asked for ({language})")


def _rows_of(
    change: Change, blobs: Blobs, about: dict[str, str], options: CommitOptions
) -> list[Commit]:
    """The rows of one changed file; raises _LeftOut if its texts give none."""
    old, new = (_text(blobs, blob, options) for blob in (change.old_blob, change.new_blob))
    problem = content_problem(new) or content_problem(old)
    if problem:
        raise _LeftOut(problem)
    about = {**about, "license": licence_of_header(new) or about["license"]}
    if not is_allowed(about["license"], options.licenses):
        raise _LeftOut(f"licence {about['license']}")
    about |= {"path": change.path, "language": language_of_path(change.path, new)}
    old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    if options.units == "file":
        return [make_commit(**about, old_code=old, new_code=new, name=change.path)]
    before, after = (_outline(code, about["language"]) for code in (old, new))
    if before is None or after is None:
        raise _LeftOut("does not parse")
    rows = [
        make_commit(
            **about,
            old_code=earlier.text,
            new_code=unit.text,
            unit=unit.kind,
            name=unit.name,
            context=_surroundings(unit, after),
        )
        for earlier, unit in _changed_units((old, before), (new, after), options.max_lines)
    ]
    if not rows:
        is_same = {unit.name for unit in before.units} == {unit.name for unit in after.units}
        raise _LeftOut("outside functions" if is_same else "functions only added or removed")
    return rows


def _text(blobs: Blobs, blob: str, options: CommitOptions) -> str:
    data = blobs.read(blob)
    if data is None:
        raise _LeftOut("not in this clone")
    if len(data) > options.max_file_bytes:
        raise _LeftOut("too large")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _LeftOut("binary") from error


def _row_problem(row: Commit, options: CommitOptions) -> str:
    longest = options.max_file_lines if row.unit == "file" else options.max_lines
    if max(row.old_code.count("\n"), row.new_code.count("\n")) > longest:
        return "too long"
    if not (parses(row.old_code, row.language) and parses(row.new_code, row.language)):
        return "does not stand alone"
    old, new = (normalised_tokens(code, row.language) for code in (row.old_code, row.new_code))
    return "only comments or layout" if old == new else ""


def _changed_units(
    old: tuple[str, Outline], new: tuple[str, Outline], max_lines: int
) -> Iterator[tuple[Unit, Unit]]:
    """The functions and classes that both files have and whose text differs.

    A class stands for all of its own changes if anything but the bodies of its methods changed
    and it has at most `max_lines` lines; else each changed method stands for itself.
    """
    known = {unit.name: unit for unit in old[1].units}
    inside: list[tuple[int, int]] = []
    for unit in new[1].units:
        earlier = known.get(unit.name)
        is_inside = any(start <= unit.start and unit.end <= end for start, end in inside)
        if earlier is None or is_inside or earlier.text == unit.text:
            continue
        if unit.kind == "class":
            is_whole = _own_text(unit, *new) != _own_text(earlier, *old)
            if not is_whole or unit.text.count("\n") > max_lines:
                continue
            inside.append((unit.start, unit.end))
        yield earlier, unit


@lru_cache(maxsize=64)
def _outline(code: str, language: str) -> Outline | None:
    # What a commit made of a file is what the next older one is compared with.
    return functions_and_classes(code, language)


def _own_text(unit: Unit, code: str, outline: Outline) -> tuple[str, ...]:
    """The names inside a class, and the words of its text without its methods."""
    inner = [u for u in outline.units if u.name.startswith(f"{unit.name}.")]
    parts, position = [], unit.start
    for other in inner:
        # Functions inside inner classes are cut with them only if they are functions themselves.
        if other.kind == "function" and other.start >= position:
            parts.append(code[position : other.start])
            position = other.end
    words = "".join([*parts, code[position : unit.end]]).split()
    return (*(u.name for u in inner), *words)


def _surroundings(unit: Unit, outline: Outline, max_chars: int = 2000) -> str:
    """What a reader needs around a unit: the imports it uses, the classes it is in, and the heads
    of what it mentions of the same file: functions and classes beside it or at module level."""
    words = set(_WORD.findall(unit.text)) - _IMPORT_WORDS
    heads = [
        other.head
        for other in outline.units
        if other.enclosing in {(), unit.enclosing}
        and other.head not in unit.enclosing
        and not (unit.start <= other.start and other.end <= unit.end)
        and re.split(r"[.:#]+", other.name)[-1] in words
    ]
    used = [line for line in outline.imports if words & set(_WORD.findall(line))]
    text = "\n".join([*used, *unit.enclosing, *dict.fromkeys(heads)])
    return text[:max_chars].rpartition("\n")[0] if len(text) > max_chars else text
