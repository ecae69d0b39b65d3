"""What a commit did to one file, as rows: a function or class at a time, and what is around it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from codefavor.languages import (
    Outline,
    Unit,
    functions_and_classes,
    has_same_tokens,
    language_of_path,
)
from codefavor.sources.commit_rows import Commit, CommitOptions, make_commit
from codefavor.sources.file_kinds import content_problem, is_anothers, is_test
from codefavor.sources.git_log import Change, Objects
from codefavor.sources.licences import is_allowed, licence_of_file, licence_of_header
from codefavor.sources.messages import without_people

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"#\d+$")
# The words of an import line that name nothing.
_IMPORT_WORDS = frozenset({
    "import", "from", "as", "use", "using", "include", "require", "static", "var", "const", "let",
})  # fmt: skip
# Versions of files that are kept: what a commit made of one is what the next older one changed.
_MAX_FILES = 32


class LeftOut(Exception):
    """What is no row, with the reason that is counted."""


class _File(NamedTuple):
    """One version of a file, and its outline by language."""

    text: str
    problem: str
    outlines: dict[str, Outline | None]


class ChangedFiles:
    """Reads both versions of a changed file and makes its rows."""

    def __init__(self, objects: Objects, options: CommitOptions) -> None:
        self._objects = objects
        self.options = options
        self._files: dict[str, _File] = {}

    def rows(self, change: Change, about: dict[str, str], lost: Counter[str]) -> Iterator[Commit]:
        """The rows of one changed file, one after the other; raises LeftOut if its texts give none.

        `about` has the fields that all rows of the commit share, the licence of the folder among
        them, which a licence in the file's own header replaces; `lost` counts changes to units that
        are no row.
        """
        old, new = self._file(change.old_blob), self._file(change.new_blob)
        problem = new.problem or old.problem
        if problem:
            raise LeftOut(problem)
        if is_anothers(new.text, language_of_path(change.path, new.text), about["source"]):
            raise LeftOut("vendored")
        licence = licence_of_file(licence_of_header(new.text), about["license"])
        if not is_allowed(licence, self.options.licenses):
            raise LeftOut(f"licence {licence or 'not stated'}")
        about = {
            **about,
            "license": licence,
            "path": change.path,
            "language": language_of_path(change.path, new.text),
            "message": without_people(about["message"], old.text + new.text),
        }
        if self.options.units == "file":
            whole = make_commit(**about, old_code=old.text, new_code=new.text, name=change.path)
            yield from self._kept([whole], lost)
        else:
            yield from self._kept(self._changed(old, new, about, lost), lost)

    def _file(self, blob: str) -> _File:
        if blob not in self._files:
            if len(self._files) >= _MAX_FILES:
                self._files.pop(next(iter(self._files)))
            self._files[blob] = self._read(blob)
        return self._files[blob]

    def _read(self, blob: str) -> _File:
        data = self._objects.read(blob)
        if data is None:
            return _File("", "not in this clone", {})
        if len(data) > self.options.max_file_bytes:
            return _File("", "too large", {})
        try:
            text = data.decode().replace("\r\n", "\n")
        except UnicodeDecodeError:
            return _File("", "binary", {})
        return _File(text, content_problem(text), {})

    def _outline(self, file: _File, language: str, like: Outline | None) -> Outline:
        if language not in file.outlines:
            file.outlines[language] = functions_and_classes(
                file.text, language, max_lines=self.options.max_lines, like=like
            )
        outline = file.outlines[language]
        if outline is None:
            raise LeftOut("does not parse")
        return outline

    def _changed(
        self, old: _File, new: _File, about: dict[str, str], lost: Counter[str]
    ) -> Iterator[Commit]:
        language = about["language"]
        after = self._outline(new, language, old.outlines.get(language))
        before = self._outline(old, language, after)
        no_row = Counter[str]()
        changed = _changed_units(before, after, self.options.max_lines, no_row)
        if not self.options.tests:
            n_changed = len(changed)
            changed = [both for both in changed if not is_test(both[1], language)]
            no_row["test"] += n_changed - len(changed)
        if not changed and not no_row.total():
            raise LeftOut("outside functions")
        lost.update({f"unit: {reason}": n for reason, n in no_row.items() if n})
        for earlier, unit in changed:
            yield make_commit(
                **about,
                old_code=earlier.text,
                new_code=unit.text,
                unit=unit.kind,
                name=unit.name,
                context=_surroundings(unit, after),
            )

    def _kept(self, rows: Iterable[Commit], lost: Counter[str]) -> Iterator[Commit]:
        for row in rows:
            problem = _row_problem(row, self.options)
            if problem:
                lost[f"unit: {problem}"] += 1
            else:
                yield row


def _row_problem(row: Commit, options: CommitOptions) -> str:
    longest = options.max_file_lines if row.unit == "file" else options.max_lines
    if max(row.old_code.count("\n"), row.new_code.count("\n")) > longest:
        return "too long"
    is_same = has_same_tokens(row.old_code, row.new_code, row.language)
    if is_same is None:
        return "does not stand alone"
    return "only comments or layout" if is_same else ""


def _changed_units(
    before: Outline, after: Outline, max_lines: int, lost: Counter[str]
) -> list[tuple[Unit, Unit]]:
    """The functions and classes that both files have and whose text differs.

    A class stands for all of its own changes if anything but the bodies of its methods changed
    and it has at most `max_lines` lines; else each changed method stands for itself. So do the
    functions inside a function that is longer. `lost` counts the other changes to units.
    """
    known = _counterparts(before, after)
    unread = {name for one in (before, after) for name in one.unread}
    unread = {name for name in unread if before.unread.get(name) != after.unread.get(name)}
    lost["does not parse"] += len(unread)
    # A class has a full stop behind its name there.
    unread |= {name.rstrip(".") for name in unread}
    changed: list[tuple[Unit, Unit]] = []
    opened: list[Unit] = []
    end = 0  # of the last unit that stands for what is inside it
    for unit in after.units:
        earlier = known.pop(unit.name, None)
        if unit.start < end or (earlier and earlier.raw == unit.raw):
            continue
        if earlier is None:
            lost["added"] += unit.name not in unread
            end = unit.end
            continue
        is_long = [one.n_lines > max_lines for one in (unit, earlier)]
        # Only indented in another way.
        if not any(is_long) and earlier.text == unit.text:
            continue
        if unit.kind == "class":
            is_whole = _own_text(unit, after) != _own_text(earlier, before)
            lost["too long"] += is_whole and any(is_long)
            if not is_whole or any(is_long):
                continue
        elif all(is_long):
            opened.append(unit)
            continue
        end = unit.end
        changed.append((earlier, unit))
    # A long function in which no function changed.
    starts = [unit.start for _, unit in changed]
    lost["too long"] += sum(not any(u.start < at < u.end for at in starts) for u in opened)
    gone = {unit.name for unit in known.values()} - unread
    lost["removed"] += _n_removed(gone, before, [earlier for earlier, _ in changed])
    return changed


def _bare_name(unit: Unit) -> str:
    return _NUMBER.sub("", unit.name) if "#" in unit.name else unit.name


def _counterparts(before: Outline, after: Outline) -> dict[str, Unit]:
    """The earlier units by the name of what they are now.

    Of several of one name ("read#2") those of one text belong together; the others by their
    order, if they are as many as before: else nobody knows which is which.
    """
    known = {unit.name: unit for unit in before.units}
    sides = (before.units, after.units)
    several = {bare for side in sides for u in side if (bare := _bare_name(u)) != u.name}
    groups: list[dict[str, list[Unit]]] = [{name: [] for name in several} for _ in sides]
    for side, group in zip(sides, groups, strict=True) if several else ():
        for unit in side:
            group.get(_bare_name(unit), []).append(unit)
    for name in several:
        old, new = (group[name] for group in groups)
        if len(old) == len(new):
            continue
        rest = {unit.name: known.pop(unit.name) for unit in old}
        for unit in new:
            same = next((one for one in rest.values() if one.raw == unit.raw), None)
            if same is not None:
                known[unit.name] = rest.pop(same.name)
        # What went must not be taken for what has its name now.
        known.update({f"{one} before": unit for one, unit in rest.items()})
    return known


def _n_removed(gone: set[str], before: Outline, changed: list[Unit]) -> int:
    """How many units went, those not counted that were inside others that went or changed."""
    count = end = 0
    ends = {unit.name: unit.end for unit in changed}
    for unit in before.units:
        if unit.start >= end and unit.name in gone:
            count += 1
        if unit.name in gone or unit.name in ends:
            end = max(end, unit.end)
    return count


def _own_text(unit: Unit, outline: Outline) -> tuple[object, ...]:
    """The names inside a class, and the words of its text without its methods."""
    inner = [u for u in outline.units if u.name.startswith(f"{unit.name}.")]
    parts, position = [], unit.start
    for other in inner:
        # Functions inside inner classes are cut with them only if they are functions themselves.
        if other.kind == "function" and other.start >= position:
            parts.append(unit.source[position : other.start])
            position = other.end
    words = b"".join([*parts, unit.source[position : unit.end]]).split()
    return (*(u.name for u in inner), *words)


@lru_cache(maxsize=1 << 14)
def _last_word(name: str) -> str:
    return re.split(r"[.:#]+", name)[-1]


def _surroundings(unit: Unit, outline: Outline, max_chars: int = 2000) -> str:
    """What a reader needs around a unit: the imports it uses, the classes it is in, and the heads
    of what it mentions of the same file: functions and classes beside it or at module level."""
    words = set(_WORD.findall(unit.text)) - _IMPORT_WORDS
    heads = [
        other.head
        for other in outline.units
        if _last_word(other.name) in words
        and other.enclosing in ((), unit.enclosing)
        and not (unit.start <= other.start and other.end <= unit.end)
        and other.head not in unit.enclosing
    ]
    used = [line for line in outline.imports if words & set(_WORD.findall(line))]
    text = "\n".join([*used, *unit.enclosing, *dict.fromkeys(heads)])
    return text[:max_chars].rpartition("\n")[0] if len(text) > max_chars else text
