"""Which rows are a benchmark's own: they are for evaluation only and must not be trained on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from codefavor.benchmarks.codeprefbench import ASPECTS, find_files, read_tasks
from codefavor.benchmarks.published import BENCHMARKS, load_items, programs_in
from codefavor.errors import DataError
from codefavor.pairs.fingerprints import without_docstrings
from codefavor.pairs.prose import prose_of, without_examples
from codefavor.records import Preference, Problem, content_id
from codefavor.sources.locate import files_of
from codefavor.sources.problems import LOCATIONS, load_problems

# 64 bits tell a few thousand pairs apart, and nothing can be read from them.
_DIGITS = 16
_FILE = "benchmark_hashes.txt"
# Problems whose ids and texts are refused. MBPP has a part to train on: only tasks 11 to 510 are
# its test, and those of MBPP+ whatever their number.
_PROBLEMS = ("humaneval", "mbpp", "mbpp+")
_MBPP_TEST = range(11, 511)
# "return a + b" is nobody's; a text of few words must be the same to the letter.
_MIN_WORDS, _MIN_EXACT = 10, 6
_WORD = re.compile(r"\w+")

Trained = TypeVar("Trained", Preference, Problem)


def pair_hash(first: str, second: str) -> str:
    """16 hex digits of the sha256 of two programs in any order and with any white space."""
    return content_id(sorted("".join(code.split()) for code in (first, second)))[:_DIGITS]


def id_hash(problem_id: str) -> str:
    """16 hex digits of the sha256 of a problem's id."""
    return content_id("id", problem_id)[:_DIGITS]


def text_hashes(*texts: str) -> list[str]:
    """16 hex digits of the sha256 of the words of each text that has at least `_MIN_WORDS`, and of
    all but the white space of one with at least `_MIN_EXACT`."""
    found = []
    for text in texts:
        words = _WORD.findall(text.lower())
        if len(words) >= _MIN_WORDS:
            found.append(content_id("text", words)[:_DIGITS])
        elif len(words) >= _MIN_EXACT:
            found.append(content_id("exact", "".join(text.split()))[:_DIGITS])
    return found


def shipped_hashes() -> dict[str, frozenset[str]]:
    """The hashes that come with the package, by benchmark: its files need not be at hand."""
    text = (files("codefavor.audits") / _FILE).read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, one = line.split()
            found.setdefault(name, set()).add(one)
    return {name: frozenset(hashes) for name, hashes in found.items()}


def known_hashes(folder: Path | None = None) -> dict[str, frozenset[str]]:
    """The hashes of every benchmark's pairs and problems: the shipped ones and those of `folder`.

    A copy is found, with its sides exchanged or its comments removed too; what is only near is
    for `codefavor pair decontaminate`.
    """
    return dict(_known(folder, _stamps(folder)))


@cache
def _known(folder: Path | None, stamps: tuple[object, ...]) -> dict[str, frozenset[str]]:
    """Of a process once, and anew when files of the folder have changed."""
    found = dict(shipped_hashes())
    for name, hashes in (_pair_hashes(folder) if folder is not None else {}).items():
        found[name] = found.get(name, frozenset()) | hashes
    return found


def local_hashes(folder: Path) -> dict[str, frozenset[str]]:
    """The hashes of every benchmark whose files lie in this folder, as they are shipped."""
    problems = {
        name: frozenset(one for problem in _tested(name, folder) for one in _hashes_of(problem))
        for name in _PROBLEMS
        if (folder / LOCATIONS[name].file).is_file()
    }
    return problems | _pair_hashes(folder)


def _pair_hashes(folder: Path) -> dict[str, frozenset[str]]:
    found = {}
    try:
        paths = find_files([folder])
    except DataError:
        pass
    else:
        tasks = [t for rule in ("keep", "strip") for t in read_tasks(paths, comments=rule)]
        found["codeprefbench"] = frozenset(pair_hash(t["chosen"], t["rejected"]) for t in tasks)
    for name, source in BENCHMARKS.items():
        if source.is_for_training or not source.is_here(folder):
            continue
        items = load_items(name, data_dir=folder)
        sides = {(item["chosen"], item["rejected"]) for item in items}
        # A pair may be trained on as the programs that two whole answers hold.
        sides |= {codes for item in items if all(codes := programs_in(item))}
        found[name] = frozenset(pair_hash(*both) for both in sides)
    return found


def _tested(name: str, folder: Path) -> list[Problem]:
    problems = load_problems(name, data_dir=folder)
    if name != "mbpp":
        return problems
    return [one for one in problems if int(one.id.rpartition("/")[2]) in _MBPP_TEST]


def _hashes_of(row: Preference | Problem) -> Iterator[str]:
    """What tells a row: ids, task and programs, and of a pair both programs together."""
    yield id_hash(row.id)
    yield from text_hashes(row.instruction, without_examples(row.instruction))
    if isinstance(row, Problem):
        yield from text_hashes(row.prompt, prose_of(row), without_docstrings(row.reference))
    else:
        yield id_hash(row.problem_id)
        yield pair_hash(row.chosen, row.rejected)
        yield from text_hashes(without_docstrings(row.chosen), without_docstrings(row.rejected))


def without_benchmark(
    rows: Sequence[Trained], folder: Path | None = None
) -> tuple[list[Trained], Counter[str]]:
    """The rows that are no benchmark's own, and how many of each benchmark's were among them.

    A row is one by its id, by its problem's id, or by what it says: see `known_hashes`.
    """
    name_of = {one: name for name, hashes in known_hashes(folder).items() for one in hashes}
    kept: list[Trained] = []
    refused: Counter[str] = Counter()
    for row in rows:
        name = next((name_of[one] for one in _hashes_of(row) if one in name_of), None)
        if name is None:
            kept.append(row)
        else:
            refused[name] += 1
    return kept, refused


def _stamps(folder: Path | None) -> tuple[object, ...]:
    """What tells whether the files that hashes are read from have changed."""
    if folder is None:
        return ()
    paths = {
        path
        for source in BENCHMARKS.values()
        for place in source.locations
        for path in files_of(place, folder)
    }
    for aspect in ASPECTS:
        with suppress(DataError):
            paths |= set(find_files([folder], [aspect]).values())
    found = [(str(path), path.stat()) for path in sorted(paths)]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)


def hash_lines(found: Mapping[str, frozenset[str]]) -> list[str]:
    """The shipped file's lines for these hashes."""
    head = [
        "# Rows of benchmarks, for evaluation only: `codefavor convert` refuses to train on them.",
        "# name and 16 hex digits of a sha256, of a pair, an id or a text, see benchmark_rows.py.",
    ]
    rows = [f"{name} {one}" for name, hashes in sorted(found.items()) for one in sorted(hashes)]
    return [f"{line}\n" for line in (*head, *rows)]
