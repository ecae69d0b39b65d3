"""Whether a model was trained on the problems that it is measured on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from codefavor.audits.contamination_report import background_texts, task_of_problem
from codefavor.errors import ConfigError
from codefavor.pairs.decontamination import Search
from codefavor.records import Preference, Problem, Row, file_sha256, read_rows
from codefavor.training.runcard import DATA_FOLDER, RUN_CARD, load_card

# Shorter instructions say too little to be recognised by their words.
_LEAST_WORDS = 5
# Rows that are looked through at once.
_BLOCK = 256


def refuse_trained(problems: Sequence[Problem], files: Iterable[Path]) -> None:
    """Raise ConfigError if a row of these files is of one of the problems.

    It is by its id, because it holds all words of the problem's instruction in their order, or
    because its texts hold as much of the task, the reference or the tests as `decontaminate` takes
    for a copy. A row may have any form.
    """
    ids = {one.id for one in problems}
    words = {
        text: one.id
        for one in problems
        if len((text := _words(one.instruction)).split()) >= _LEAST_WORDS
    }
    tasks = {"problems": [task_of_problem(one) for one in problems]}
    search: Search | None = None
    for path in files:
        search = search or Search(tasks, background=background_texts())
        found: dict[str, str] = {}
        rows = iter(read_rows(path))
        while block := list(islice(rows, _BLOCK)):
            for where, row in block:
                for name in _of_row(row, ids, words):
                    found.setdefault(name, where)
            looked = search.look([_as_record(where, row) for where, row in block])
            for where, _, _, name, _ in looked["findings"]:
                found.setdefault(name, where)
        if found:
            few = ", ".join(f"{name} ({where})" for name, where in list(found.items())[:3])
            raise ConfigError(
                f"{len(found)} of {len(problems)} problems were trained on: {few}"
                f"{', …' if len(found) > 3 else ''}; measure on others (--split test), or pass "
                "--allow-trained to do it all the same"
            )


def _as_record(where: str, row: Row) -> Preference:
    """Every text of a row, each by itself: which of them is a program nobody has to know."""
    said = [{"role": "user", "content": text} for text in _texts(row)]
    language = row.get("language")
    known = language if isinstance(language, str) and language else "python"
    return Preference(where, "", "", "", language=known, history=tuple(said))


def training_files(model: str) -> tuple[list[Path], list[str]]:
    """The training data that a run card names in the folder of a local model, and what of it is
    not here."""
    kind, _, name = model.partition(":")
    if kind not in ("local", "vllm") or not (Path(name) / RUN_CARD).is_file():
        return [], []
    found: list[Path] = []
    missing: list[str] = []
    for one, digest in load_card(Path(name)).get("data", {}).items():
        path = _found(Path(one), digest, Path(name))
        if path is None:
            missing.append(one)
        else:
            found.append(path)
    return found, missing


def _found(path: Path, digest: str, model: Path) -> Path | None:
    """Where the file of a run card lies; an exported card names it from its own folder."""
    if path.is_absolute():
        return path if path.is_file() else None
    for place in (path, model / path, DATA_FOLDER / path.name):
        if place.is_file() and file_sha256(place) == digest:
            return place
    return None


def _of_row(row: Row, ids: set[str], words: dict[str, str]) -> Iterator[str]:
    for field in ("problem_id", "task_id"):
        if row.get(field) in ids:
            yield str(row[field])
    text = f" {_words(' '.join(_texts(row)))} "
    for instruction, name in words.items():
        if f" {instruction} " in text:
            yield name


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
