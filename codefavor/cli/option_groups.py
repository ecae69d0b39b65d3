"""Options that several commands share: the fields of a dataclass become a command's options."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import click

from codefavor.errors import ConfigError

_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_MISSING = dataclasses.MISSING


def expanded(function: Callable[..., None], **kinds: Any) -> Callable[..., None]:
    """A command whose parameters of a dataclass type have become that dataclass's fields.

    `kinds` replaces the type of a parameter, say by a dataclass with more fields.

    Commands that share options so name them once, in the dataclass, and get them as one value.
    A dataclass may have a `PANEL`, under which help shows its options, and `more_options()`:
    parameters that are known only at run time, whose values it gets as its field `options`.
    """
    hints = get_type_hints(function, include_extras=True) | kinds
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        kind = hints[parameter.name]
        if not dataclasses.is_dataclass(kind):
            parameters.append(parameter.replace(kind=_KEYWORD, annotation=kind))
            continue
        groups[parameter.name] = kind
        parameters += _parameters_of(kind)

    def command(**values: Any) -> None:
        for name, kind in groups.items():
            own = {one: values.pop(one) for one in _field_names(kind)}
            if hasattr(kind, "more_options"):
                own["options"] = {one.name: values.pop(one.name) for one in kind.more_options()}
            values[name] = kind(**own)
        function(**values)

    command.__name__, command.__doc__ = function.__name__, function.__doc__
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    # What typer reads the options from.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def with_finite_numbers(command: click.Command) -> click.Command:
    """The command, whose options and subcommands refuse nan and inf: these pass any range."""
    for one in command.commands.values() if isinstance(command, click.Group) else ():
        with_finite_numbers(one)
    for param in command.params:
        if isinstance(param.type, click.types.FloatParamType):
            param.callback = _finite
    return command


def refuse(names: Collection[str], why: str, *, unless: object = False) -> None:
    """Raise ConfigError if one of these options was given on the command line of this command.

    An option that would do nothing is a mistake of whoever gave it: nothing is ignored.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is None or unless:
        return
    for param in ctx.command.get_params(ctx):
        source = ctx.get_parameter_source(param.name or "")
        if param.name in names and source is click.core.ParameterSource.COMMANDLINE:
            raise ConfigError(f"{param.opts[0]} {why}")


def is_dry_run() -> bool:
    """Whether this command was given its --dry-run."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and bool(ctx.params.get("dry_run"))


def check_page(out: Path) -> None:
    """Raise ConfigError unless a page is called one: files of its name with other endings go beside
    it, or were what it is made from.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {out}: the page is HTML; call it {out.with_suffix('.html').name}")


def _finite(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number.", ctx, param)
    return value


def _field_names(kind: Any) -> list[str]:
    """Those of its options, first what must be given, whichever dataclass of a family has it."""
    fields = sorted(dataclasses.fields(kind), key=lambda one: one.default is not _MISSING)
    return [
        one.name for one in fields if one.name != "options" or not hasattr(kind, "more_options")
    ]


def _parameters_of(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for name in _field_names(kind):
        # A field's default is the attribute of its class.
        default = getattr(kind, name, inspect.Parameter.empty)
        annotation = _in_panel(hints[name], getattr(kind, "PANEL", None))
        found.append(inspect.Parameter(name, _KEYWORD, default=default, annotation=annotation))
    return [*found, *(kind.more_options() if hasattr(kind, "more_options") else ())]


def _in_panel(annotation: Any, panel: str | None) -> Any:
    """The annotation of an option, shown in this panel unless it names another."""
    if panel is None or get_origin(annotation) is not Annotated:
        return annotation
    kind, option = get_args(annotation)
    moved = copy.copy(option)
    moved.rich_help_panel = moved.rich_help_panel or panel
    return Annotated[kind, moved]
