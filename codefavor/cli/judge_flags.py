"""Flags that say which judge is meant, shared by every command that asks one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, ClassVar

import click
from typer import Option
from typer.core import TyperCommand

from codefavor.cli.engine_options import AskingFlags
from codefavor.cli.option_groups import refuse
from codefavor.errors import ConfigError
from codefavor.judges.registry import JUDGES, JudgeKind, JudgeOption, all_options, judge_kind
from codefavor.judges.spec import RENAMED, JudgeSpec, parse_judge
from codefavor.text import comma_list

# Of the flags that say how to ask, those that any judge's run heeds.
_FOR_ANY_JUDGE = frozenset(
    {"concurrency", "fresh", "retry_errors", "rerun_changed", "max_error_rate", "shard"}
)
OF_REQUESTS = frozenset(one.name for one in fields(AskingFlags)) - _FOR_ANY_JUDGE


def describe_kinds() -> str:
    """Every kind of judge as it is written, those of the same help together."""
    by_help: dict[str, list[JudgeKind]] = {}
    for name in JUDGES:
        kind = judge_kind(name)
        by_help.setdefault(kind.help, []).append(kind)
    parts = []
    for kinds in by_help.values():
        names = ", ".join(kind.name for kind in kinds)
        parts.append(f"{names}:{kinds[0].argument}" if kinds[0].argument else names)
    return "; ".join(parts)


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """What a shell offers for --model: the kinds of judges that begin so."""
    kinds = [judge_kind(name) for name in JUDGES if name.startswith(incomplete)]
    return [(f"{kind.name}:" if kind.argument else kind.name, kind.help) for kind in kinds]


@dataclass(frozen=True, kw_only=True)
class JudgeFlags:
    """Which judge, and the options that its kind has; `expanded` makes flags of all of them."""

    PANEL: ClassVar[str] = "Judge"

    model: Annotated[
        str,
        Option(
            "--model",
            "-m",
            metavar="KIND:NAME",
            autocompletion=complete_model,
            help=f"The judge: {describe_kinds()}. With --help behind it, its options are shown. "
            "(The original's --model-type, --model-id and --model-url are understood.)",
        ),
    ] = ""
    model_type: Annotated[str, Option("--model-type", hidden=True)] = ""
    model_id: Annotated[str, Option("--model-id", hidden=True)] = ""
    name: Annotated[str, Option(help="What the judge is called in results.")] = ""
    options: Mapping[str, object] = field(default_factory=dict)

    @staticmethod
    def more_options() -> list[inspect.Parameter]:
        """A flag for every option that some kind of judge has; None where it is not given."""
        return [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_annotation(kinds[0][1]),
            )
            for name, kinds in all_options().items()
        ]

    def spec(self, seed: int) -> JudgeSpec:
        """The judge that these flags mean; `seed` is that of judges which draw."""
        if self.model and (self.model_type or self.model_id):
            raise ConfigError("give --model, or the original's --model-type and --model-id")
        text = self.model or from_original(self.model_type, self.model_id)
        return parse_judge(text, self.options, name=self.name, seed=seed)

    def check(self, spec: JudgeSpec) -> None:
        """Raise ConfigError for flags about requests where nobody is asked."""
        for name, why in spec.idle(OF_REQUESTS).items():
            refuse({name}, why)


def from_original(model_type: str, model_id: str) -> str:
    """KIND:NAME of the original's --model-type and --model-id."""
    if not model_type:
        known = ", ".join(sorted(JUDGES))
        raise ConfigError(f"which judge? --model KIND:NAME, where KIND is one of {known}")
    kind = RENAMED.get(model_type, model_type)
    if kind in ("length-bias", "length_bias"):
        if model_id not in ("shorter", "longer"):
            raise ConfigError("length-bias is two judges: --model shorter or --model longer")
        return model_id
    if kind in ("jury", "cascade"):
        model_id = ",".join(
            from_original(*part.split(":", 1)) if ":" in part else part
            for part in comma_list(model_id)
        )
    return f"{kind}:{model_id}" if model_id else kind


def _annotation(option: JudgeOption) -> Any:
    """The flag of an option, typed and in its panel."""
    flag = Option(
        option.flag,
        *option.spec.also,
        help=option.spec.help,
        show_default=_default_of(option),
        rich_help_panel="Sandbox" if option.goes_to == "sandbox" else JudgeFlags.PANEL,
        click_type=click.Choice(option.choices) if option.choices else None,
    )
    return Annotated[option.plain_type | None, flag]


def _default_of(option: JudgeOption) -> str | bool:
    return False if option.default in (None, "", False) else str(option.default)


class JudgeCommand(TyperCommand):
    """A command whose help shows the options that the judge has which is named with it."""

    _spec: JudgeSpec | None = None
    _is_helping = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As ever; help looks for the judge among the words."""
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help, without what does not apply to this judge."""
        self._spec, self._is_helping = _spec_in(ctx.meta.get(_WORDS, [])), True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_helping = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """All parameters; while help is shown, those that apply, with this judge's defaults."""
        params = super().get_params(ctx)
        if not self._is_helping:
            return params
        depends = all_options().keys() | OF_REQUESTS
        shown = _shown_for(self._spec)
        applying = [one for one in params if one.name not in depends or one.name in shown]
        return [_for_judge(one, self._spec) for one in applying]


def _for_judge(param: click.Parameter, spec: JudgeSpec | None) -> click.Parameter:
    """The parameter as the help of this judge shows it."""
    if spec is None or not isinstance(param, click.Option):
        return param
    shown = copy.copy(param)
    if param.name == "model":
        shown.help = f"{spec.about.help} (Without it, help lists all judges.)"
    for one in reversed(spec.family):
        if param.name in one.about.flags:
            shown.show_default = _default_of(one.about.flags[param.name])
    return shown


_WORDS = "codefavor.words"


def _spec_in(words: list[str]) -> JudgeSpec | None:
    """The judge that these words of a command name; None where they name none."""
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in ("--model", "-m"):
            text = value if equals else (words[number + 1 : number + 2] or [""])[0]
            try:
                return parse_judge(text)
            except ConfigError:
                return None
    return None


def _shown_for(spec: JudgeSpec | None) -> frozenset[str]:
    """The flags that apply to a judge; without one, those about requests."""
    if spec is None:
        return OF_REQUESTS
    kinds = [one.about for one in spec.family]
    shown = frozenset(name for kind in kinds for name in kind.flags)
    return shown | OF_REQUESTS if any(kind.is_chat for kind in kinds) else shown
