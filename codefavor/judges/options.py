"""How a judge's own file says what a user may set: annotations of its constructor's parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec

from codefavor.backends.base import Dtype
from codefavor.errors import ConfigError
from codefavor.prompts.chat import SystemTurn
from codefavor.records import json_names

# What a result says of an option: its value; the hashes of the weights in the folder it names;
# the hash of the rows of the result file it names; nothing, as no verdict depends on it.
Record = Literal["value", "weights", "rows", "nothing"]


R = TypeVar("R")


@dataclass(frozen=True)
class Option:
    """Stands in `Annotated[type, Option(...)]` and makes an option of a parameter.

    `is_name` marks what stands behind the colon of KIND:NAME; `shown` is what help calls the
    value. `also` are further flags of the same meaning. `names_result` puts the value in the
    name of the result's file. A number lies between `low` and `high`.
    """

    help: str
    is_name: bool = False
    shown: str = ""
    also: tuple[str, ...] = ()
    record: Record = "value"
    names_result: bool = False
    low: float | None = None
    high: float | None = None


# What judges that run a local model have in common.
ModelFolder = Annotated[
    Path | str, Option("Folder of the model.", is_name=True, shown="FOLDER", record="weights")
]
AdapterOption = Annotated[
    Path | str | None,
    Option("LoRA adapter on top of the model.", record="weights", names_result=True),
]
DtypeOption = Annotated[Dtype, Option("The dtype that the weights are loaded in.")]
DeviceOption = Annotated[
    str | None, Option("cpu, cuda, ...; left out: a GPU where there is one.", record="nothing")
]
SystemOption = Annotated[
    SystemTurn, Option("The system turn that the model was trained with: empty, or no turn at all.")
]


def check_type(what: str, value: object, kind: Any) -> None:
    """Raise ConfigError, which names the option, for a value of another type than this one."""
    if Path in get_args(kind):
        kind = str | None if value is None and type(None) in get_args(kind) else str
    try:
        msgspec.convert(str(value) if isinstance(value, Path) else value, kind)
    except (msgspec.ValidationError, TypeError) as error:
        wanted = re.search(r"Expected `([^`]+)`", str(error))
        words = json_names(wanted[1]) if wanted else str(error)
        raise ConfigError(f"{what} is {value!r}; expected {words}") from None


def checked_rows(rows: Iterable[R], *kinds: type) -> list[R]:
    """The rows as a list; raises ConfigError for one of another kind."""
    names = " or ".join(kind.__name__ for kind in kinds)
    found: list[R] = list(rows) if isinstance(rows, Iterable) else [rows]
    for one in found:
        if not isinstance(one, kinds):
            raise ConfigError(
                f"expected a list of {names}, found {type(one).__name__}: {one!r:.80}"
            )
    return found


def refuse_idle(given: Mapping[str, object], idle: Mapping[str, str]) -> None:
    """Raise ConfigError for an option that was given and, by `idle`, means nothing; it says why."""
    for name, why in idle.items():
        if given.get(name) is not None:
            raise ConfigError(f"{name} {why}")


def check_choice(what: str, value: str, choices: object) -> None:
    """Raise ConfigError, which lists the known ones, for a value that the Literal has not."""
    if value not in get_args(choices):
        raise ConfigError(f"unknown {what} {value!r}; known: {', '.join(get_args(choices))}")
