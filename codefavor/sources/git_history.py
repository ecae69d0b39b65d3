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
from typing import NamedTuple

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


class UnitChange(NamedTuple):
    """One function, class or file before and after, and the outline of the later file."""

    language: str
    kind: str
    name: str
    old: str
    new: str
    context: str


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
    attributes = repository.attributes()
    reverts = _Reverts()
    with repository.blobs() as blobs:
        for commit in repository.log():
            reason = _commit_problem(commit, reverts, options)
            if reason:
                skipped[f"commit: {reason}"] += 1
                continue
            found: list[tuple[Change, UnitChange, str]] = []
            for change in commit.changes:
                problem = _change_problem(change, attributes, options)
                if problem:
                    skipped[f"file: {problem}"] += 1
                    continue
                found += _changed_units(change, blobs, licence, options, skipped)
            if len(found) > options.max_units:
                skipped["commit: too many functions changed"] += 1
                continue
            message = without_people(commit.message)
            for change, unit, own_licence in found:
                yield make_commit(
                    language=unit.language, path=change.path, message=message,
                    old_code=unit.old, new_code=unit.new, context=unit.context, source=source,
                    license=own_licence, unit=unit.kind, name=unit.name, commit=commit.sha,
                )  # fmt: skip


class _Reverts:
    """Which older commits a newer one took back. The log comes newest first."""

    def __init__(self) -> None:
        self._hashes: set[str] = set()
        self._short: set[str] = set()
        self._subjects: Counter[str] = Counter()

    def note(self, hash_: str, subject: str) -> None:
        if hash_:
            (self._hashes if len(hash_) == 40 else self._short).add(hash_)
        elif subject:
            self._subjects[subject] += 1

    def takes_back(self, commit: LoggedCommit) -> bool:
        if commit.sha in self._hashes:
            self._hashes.discard(commit.sha)
            return True
        short = next((h for h in self._short if commit.sha.startswith(h)), None)
        if short is not None:
            self._short.discard(short)
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


def _change_problem(change: Change, attributes: dict[str, str], options: CommitOptions) -> str:
    if change.new_mode == "160000" or change.old_mode == "160000":
        return "submodule"
    if change.status[0] in "AD":
        return "added" if change.status[0] == "A" else "deleted"
    if change.old_blob == change.new_blob:
        return "only renamed or its mode changed"
    if not {change.old_mode, change.new_mode} <= _FILE_MODES:
        return "symbolic link"
    problem = path_problem(change.path, attributes)
    if problem and not (problem == "test" and options.tests):
        return problem
    language = language_of_path(change.path)
    if not language:
        return "no language of ours"
    if options.languages and language not in options.languages:
        return f"language not asked for ({language})"
    return ""


def _changed_units(
    change: Change, blobs: Blobs, licence: str, options: CommitOptions, skipped: Counter[str]
) -> list[tuple[Change, UnitChange, str]]:
    """The units of one changed file that can be rows."""
    sizes = [blobs.size(blob) for blob in (change.old_blob, change.new_blob)]
    if min(sizes) < 0:
        skipped["file: not in this clone"] += 1
        return []
    if max(sizes) > options.max_file_bytes:
        skipped["file: too large"] += 1
        return []
    old, new = blobs.text(change.old_blob), blobs.text(change.new_blob)
    if old is None or new is None:
        skipped["file: binary"] += 1
        return []
    problem = content_problem(new) or content_problem(old)
    if problem:
        skipped[f"file: {problem}"] += 1
        return []
    own_licence = licence_of_header(new) or licence
    if not is_allowed(own_licence, options.licenses):
        skipped[f"file: licence {own_licence}"] += 1
        return []
    language = language_of_path(change.path, new)
    old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    if options.units == "file":
        units = [UnitChange(language, "file", change.path, old, new, "")]
    else:
        found = changed_functions(old, new, language, options.max_lines, skipped)
        units = found or []
    return [
        (change, unit, own_licence) for unit in units if not _unit_problem(unit, options, skipped)
    ]


def _unit_problem(unit: UnitChange, options: CommitOptions, skipped: Counter[str]) -> str:
    reason = ""
    longest = options.max_file_lines if unit.kind == "file" else options.max_lines
    if max(unit.old.count("\n"), unit.new.count("\n")) > longest:
        reason = "too long"
    elif not (parses(unit.old, unit.language) and parses(unit.new, unit.language)):
        reason = "does not stand alone"
    elif _says(unit.old, unit) == _says(unit.new, unit):
        reason = "only comments or layout"
    if reason:
        skipped[f"unit: {reason}"] += 1
    return reason


def _says(code: str, unit: UnitChange) -> tuple[str, ...]:
    return normalised_tokens(code, unit.language)


def changed_functions(
    old: str, new: str, language: str, max_lines: int, skipped: Counter[str]
) -> list[UnitChange]:
    """The functions and classes that both files have and whose text differs.

    A class stands for all of its own changes if anything but the bodies of its methods changed
    and it has at most `max_lines` lines; else each changed method stands for itself.
    """
    before, after = _outline(old, language), _outline(new, language)
    if before is None or after is None:
        skipped["file: does not parse"] += 1
        return []
    known = {unit.name: unit for unit in before.units}
    names = {unit.name for unit in after.units}
    taken: list[UnitChange] = []
    inside: list[tuple[int, int]] = []
    n_new = len(names - known.keys()) + len(known.keys() - names)
    for unit in after.units:
        earlier = known.get(unit.name)
        is_inside = any(start <= unit.start and unit.end <= end for start, end in inside)
        if earlier is None or is_inside or earlier.text == unit.text:
            continue
        if unit.kind == "class":
            is_whole = _own_text(unit, after, new) != _own_text(earlier, before, old)
            is_short = unit.text.count("\n") <= max_lines
            if not is_whole or not is_short:
                continue
            inside.append((unit.start, unit.end))
        taken.append(
            UnitChange(
                language, unit.kind, unit.name, earlier.text, unit.text, surroundings(unit, after)
            )
        )
    if not taken:
        skipped[
            "file: functions only added or removed" if n_new else "file: outside functions"
        ] += 1
    return taken


@lru_cache(maxsize=64)
def _outline(code: str, language: str) -> Outline | None:
    # What a commit made of a file is what the next older one is compared with.
    return functions_and_classes(code, language)


def _own_text(unit: Unit, outline: Outline, code: str) -> tuple[str, ...]:
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


def surroundings(unit: Unit, outline: Outline, max_chars: int = 2000) -> str:
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
