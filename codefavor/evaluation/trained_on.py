"""Whether a model was trained on the problems that it is measured on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError
from codefavor.records import Problem, Row, file_sha256, read_rows
from codefavor.training.runcard import DATA_FOLDER, RUN_CARD, load_card

# Shorter instructions say too little to be recognised by their words.
_LEAST_WORDS = 5


def refuse_trained(problems: Sequence[Problem], files: Iterable[Path]) -> None:
    """Raise ConfigError if a row of these files is of one of the problems.

    It is by its id, or because it holds all words of the problem's instruction in their order.
    """
    ids = {one.id for one in problems}
    words = {
        text: one.id
        for one in problems
        if len((text := _words(one.instruction)).split()) >= _LEAST_WORDS
    }
    for path in files:
        found: dict[str, str] = {}
        for where, row in read_rows(path):
            for name in _of_row(row, ids, words):
                found.setdefault(name, where)
        if found:
            few = ", ".join(f"{name} ({where})" for name, where in list(found.items())[:3])
            raise ConfigError(
                f"{len(found)} of {len(problems)} problems were trained on: {few}"
                f"{', …' if len(found) > 3 else ''}; measure on others (--split test), or pass "
                "--allow-trained to do it all the same"
            )


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
