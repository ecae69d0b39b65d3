"""What a check says of a recipe: one thing that is wrong ("error") or odd ("warning")."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from codefavor.records import Row

Severity = Literal["error", "warning"]
_SHOWN = 40
# The first rows of a file, each with its place.
Sample = Sequence[tuple[str, Row]]
# Names of the role that answers, and the columns that a question may stand in.
ANSWERS_AS = {"assistant", "gpt", "model"}
QUESTION_COLUMNS = ("messages", "prompt", "input", "instruction", "question")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong ("error") or odd ("warning") in a recipe.

    Its message names the key, its value, why it is wrong, and what to write instead.
    """

    severity: Severity
    message: str


def error(message: str) -> Finding:
    """What could not work, or would train something else than is written."""
    return Finding("error", message)


def warning(message: str) -> Finding:
    """What is allowed, and probably not meant."""
    return Finding("warning", message)


def shown(text: str) -> str:
    """The beginning of a text, for a message."""
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}...")


def of_rows(
    key: str,
    places: Sequence[str],
    sample: Sequence[object],
    what: str,
    then: str,
    *,
    share: float = 0.0,
) -> Finding:
    """What some rows of a file have: an error where they are this share of its rows or more."""
    text = f"{key}: {len(places)} of {len(sample)} rows {what}, first {places[0]}{then}"
    return error(text) if len(places) >= share * len(sample) else warning(text)


def unknown_name(key: str, value: object, known: Iterable[str]) -> Finding:
    """An error for a name that only the trainer would read, with the nearest known one."""
    names = sorted(known)
    near = difflib.get_close_matches(str(value), names, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return error(f"{key}: {value!r} is unknown, and fails only when the trainer is made; {remedy}")


def at(config: Mapping[str, Any], path: str) -> Any:
    """The value of a key, or of a key below one ("trl.beta"); None where there is none."""
    value: Any = config
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def number(config: Mapping[str, Any], path: str) -> float | None:
    """The value of a key that is a number, None for anything else.

    Axolotl's schema takes a number in quotes as one.
    """
    value = at(config, path)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None


def entries_of(config: Mapping[str, Any], *keys: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The data sets that stand under these keys, each with its key."""
    wanted = keys or ("datasets", "test_datasets")
    return [
        (key, entry)
        for key in wanted
        for entry in config.get(key) or []
        if isinstance(entry, Mapping)
    ]


_MAPPINGS = ("special_tokens", "trl", "vllm", "dev_accuracy", "fsdp_config", "lr_scheduler_kwargs")
_LISTS = ("datasets", "test_datasets", "plugins", "peft_layers_to_transform")


def form_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Keys of another form than all other checks (and Axolotl) expect."""
    expected: list[tuple[str, type, str]] = [
        (key, Mapping, "a mapping (name: value)") for key in _MAPPINGS
    ]
    expected += [(key, list, "a list (lines that begin with -)") for key in _LISTS]
    for key, kind, text in expected:
        value = config.get(key)
        if value is not None and not isinstance(value, kind):
            yield error(f"{key}: {value!r} is a {type(value).__name__}; write {text}")
    for key in ("datasets", "test_datasets"):
        value = config.get(key)
        for entry in value if isinstance(value, list) else []:
            if not isinstance(entry, Mapping):
                yield error(f"{key}: {entry!r} is no mapping; write - path: ... and type: ...")
