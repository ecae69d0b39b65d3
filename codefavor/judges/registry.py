"""The judges by name, each with the options, the needs and the help that its own file states.

A judge is a class or function with `compare` (see `base.Judge`). Its parameters that are
annotated with an `Option` are what a user may set; those named in `SUPPLIES` are given by
whoever runs it. The first line of its docstring is its help. So a new judge is one file and
one line here: commands, result files and manifests follow from its signature.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

from codefavor.backends.registry import BACKENDS
from codefavor.errors import ConfigError
from codefavor.judges.base import Judge
from codefavor.judges.options import AdapterOption, DeviceOption, DtypeOption, Option, check_type
from codefavor.judges.sandboxed import SandboxOptions

# kind -> "module:class or function"; imported only when asked for.
JUDGES = {
    **dict.fromkeys(BACKENDS, "codefavor.judges.llm:LlmJudge"),
    "pairwise": "codefavor.judges.pairwise:PairwiseJudge",
    "reward": "codefavor.judges.reward:RewardJudge",
    "process": "codefavor.judges.process:ProcessJudge",
    "likelihood": "codefavor.judges.likelihood:LikelihoodJudge",
    "execution": "codefavor.judges.execution:ExecutionJudge",
    "tested": "codefavor.judges.tested:TestedJudge",
    "jury": "codefavor.judges.jury:Jury",
    "cascade": "codefavor.judges.jury:Cascade",
    "stored": "codefavor.judges.stored:open_stored",
    "shorter": "codefavor.judges.baselines:ShorterJudge",
    "longer": "codefavor.judges.baselines:LongerJudge",
    "random": "codefavor.judges.baselines:RandomJudge",
    "copied": "codefavor.judges.baselines:CopiedJudge",
    "ngram": "codefavor.judges.ngram:NgramJudge",
}

# What whoever runs a judge gives it where its constructor names it: the labelled pairs; a chat
# model; the one judge, or the members, that it asks; problems with tests and where to run them;
# the language of the programs; the seed; what a rule of length says of equal lengths; a name for
# results.
SUPPLIES = frozenset({
    "items", "backend", "judge", "judges", "problems", "pool", "limits", "language", "seed",
    "ties", "name",
})  # fmt: skip

# Options of a chat model's backend that are flags of their own; all others are for --set.
_BACKEND_OPTIONS: Mapping[str, object] = {
    "base_url": Annotated[
        str, Option("The server's base URL.", also=("--model-url",), record="nothing")
    ],
    "adapter": AdapterOption,
    "dtype": DtypeOption,
    "device": DeviceOption,
}


Taker = Literal["judge", "backend", "sandbox"]


@dataclass(frozen=True)
class JudgeOption:
    """One option of a kind of judge; `default` is None where there is nothing to say."""

    name: str
    kind: object
    default: object
    spec: Option
    # "judge", or who else takes the value: "backend" or "sandbox".
    goes_to: Taker = "judge"

    @property
    def flag(self) -> str:
        """Its flag on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The only values there are; () where any will do."""
        parts = get_args(self.kind) if get_origin(self.kind) is not Literal else (self.kind,)
        literals = [part for part in parts if get_origin(part) is Literal]
        return get_args(literals[0]) if literals else ()

    @property
    def plain_type(self) -> type:
        """The type of its value in a word: Path, str, int, float or bool."""
        parts = get_args(self.kind) if _is_union(self.kind) else (self.kind,)
        return next((one for one in (Path, bool, int, float) if one in parts), str)

    def checked(self, value: object) -> object:
        """The value; raises ConfigError for one that the option cannot have."""
        if self.choices and value not in self.choices:
            known = ", ".join(self.choices)
            raise ConfigError(f"{self.flag} is {value!r}; expected one of: {known}")
        if not self.choices:
            check_type(self.flag, value, str if self.plain_type is Path else self.kind)
        if isinstance(value, int | float) and not isinstance(value, bool):
            low = -math.inf if self.spec.low is None else self.spec.low
            high = math.inf if self.spec.high is None else self.spec.high
            is_finite = isinstance(value, int) or math.isfinite(value)
            if not (is_finite and low <= value <= high):
                raise ConfigError(f"{self.flag} is {value}; expected a number{_within(low, high)}")
        return Path(str(value)) if self.plain_type is Path and value is not None else value


@dataclass(frozen=True)
class JudgeKind:
    """What a kind of judge is: how it is made and what it takes."""

    name: str
    make: Callable[..., Judge]
    help: str
    # What stands behind the colon, such as FOLDER; "" for nothing.
    argument: str
    needs_argument: bool
    options: Mapping[str, JudgeOption]
    # Of SUPPLIES: all that it takes, and those it cannot do without.
    takes: frozenset[str]
    needs: frozenset[str]

    @property
    def is_chat(self) -> bool:
        """Whether it asks a chat model."""
        return "backend" in self.needs

    @property
    def is_instant(self) -> bool:
        """Whether it neither asks nor runs anything: no model, no program."""
        model = self.argument_option
        runs_model = model is not None and model.spec.record == "weights"
        return not (self.is_chat or runs_model or "pool" in self.takes or self.has_members)

    @property
    def has_members(self) -> bool:
        """Whether it asks other judges."""
        return bool(self.takes & {"judge", "judges"})

    @property
    def written(self) -> str:
        """How it is written on the command line."""
        if not self.argument:
            return self.name
        return f"{self.name}:{self.argument}" if self.needs_argument else f"{self.name}[:NAME]"

    @property
    def argument_option(self) -> JudgeOption | None:
        """The parameter that takes what stands behind the colon, where one does."""
        return next((one for one in self.options.values() if one.spec.is_name), None)

    @property
    def flags(self) -> dict[str, JudgeOption]:
        """The options that are flags of their own."""
        return {name: one for name, one in self.options.items() if not one.spec.is_name}


@cache
def judge_kind(name: str) -> JudgeKind:
    """The kind of judge of this name; raises ConfigError that lists the known ones."""
    if name not in JUDGES:
        raise ConfigError(f"unknown judge {name!r}; known: {', '.join(sorted(JUDGES))}")
    module, _, maker = JUDGES[name].partition(":")
    return read_kind(name, getattr(import_module(module), maker))


def read_kind(name: str, make: Callable[..., Judge]) -> JudgeKind:
    """What the signature of a judge's class or function says about it."""
    function = make.__init__ if inspect.isclass(make) else make
    parameters = inspect.signature(make).parameters
    options = _options(parameters, get_type_hints(function, include_extras=True), "judge")
    takes = frozenset(SUPPLIES & parameters.keys())
    required = {one.name for one in parameters.values() if one.default is inspect.Parameter.empty}
    argument, needs_argument = "", False
    if "judges" in takes:
        argument, needs_argument = "JUDGE,JUDGE,...", True
    elif "judge" in takes:
        argument, needs_argument = "KIND:MODEL", True
    elif "backend" in takes:
        module, _, factory = BACKENDS[name].partition(":")
        backend = inspect.signature(getattr(import_module(module), factory)).parameters
        argument = "MODEL"
        needs_argument = backend["model"].default is inspect.Parameter.empty
        options |= _options(backend, _BACKEND_OPTIONS, "backend")
    for option in options.values():
        if option.spec.is_name:
            argument, needs_argument = option.spec.shown or "NAME", option.name in required
    if "pool" in takes:
        hints = get_type_hints(SandboxOptions, include_extras=True)
        if "problems" not in takes:
            hints.pop("tests")
        options |= _options(inspect.signature(SandboxOptions).parameters, hints, "sandbox")
    return JudgeKind(
        name=name,
        make=make,
        help=(inspect.getdoc(make) or "").partition("\n")[0],
        argument=argument,
        needs_argument=needs_argument,
        options=options,
        takes=takes,
        needs=takes & required,
    )


def all_options() -> dict[str, list[tuple[JudgeKind, JudgeOption]]]:
    """Every flag by name, with the kinds that have it."""
    found: dict[str, list[tuple[JudgeKind, JudgeOption]]] = {}
    for name in JUDGES:
        kind = judge_kind(name)
        for option in kind.flags.values():
            found.setdefault(option.name, []).append((kind, option))
    return found


def _options(
    parameters: Mapping[str, inspect.Parameter], hints: Mapping[str, object], goes_to: Taker
) -> dict[str, JudgeOption]:
    """Those of the parameters that are annotated with an Option."""
    found = {}
    for name, hint in hints.items():
        if name not in parameters or get_origin(hint) is not Annotated:
            continue
        kind, *extras = get_args(hint)
        default = parameters[name].default
        value = None if default is inspect.Parameter.empty else default
        for spec in extras:
            if isinstance(spec, Option):
                found[name] = JudgeOption(name, kind, value, spec, goes_to)
    return found


def _within(low: float, high: float) -> str:
    """A range in words."""
    words = f" from {low:g}" if low > -math.inf else ""
    return words + (f" to {high:g}" if high < math.inf else "")


def _is_union(kind: object) -> bool:
    return get_origin(kind) in (Union, types.UnionType)
