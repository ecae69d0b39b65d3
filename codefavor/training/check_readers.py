"""What of a recipe is looked up by name when it runs: plugins, rewards, readers of rows, losses."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import io
import json
import logging
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from importlib.resources import files
from typing import Any

from codefavor.training.findings import Finding, at, error, warning
from codefavor.training.formats import FORMATS
from codefavor.training.recipes import method_of

SAMPLING_METHODS = {"grpo", "gdpo", "ebft"}
# Which of our formats a method can learn from.
METHOD_FORMATS: dict[str, tuple[str, ...]] = {
    "sft": ("sft", "pairwise", "pairwise_cot"),
    "dpo": ("dpo",),
    "ipo": ("dpo",),
    "simpo": ("dpo",),
    "orpo": ("dpo",),
    "kto": ("kto",),
    "grpo": ("grpo",),
    "gdpo": ("grpo",),
    "reward": ("reward",),
    "process_reward": ("process",),
}
# TRL's class of a method, which a trainer of one's own is made from.
_TRAINERS = {
    **dict.fromkeys(("dpo", "ipo"), "DPOTrainer"),
    **dict.fromkeys(("grpo", "gdpo"), "GRPOTrainer"),
    "kto": "KTOTrainer",
    "orpo": "ORPOTrainer",
    "simpo": "CPOTrainer",
}
_RUN_PLUGIN = "codefavor.training.plugins.RunPlugin"
_OWN_FOLDER = {"orpo", "kto", "ebft"}

# What TRL itself hands to a reward, and the columns of ours that their signatures do not name.
_FROM_TRAINER = {
    "prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric",
    "environments",
}  # fmt: skip
_REWARD_COLUMNS = {
    **dict.fromkeys(("passes_tests", "fraction_passed", "is_runnable"), ("tests", "entry_point")),
    "test_quality": ("reference",),
}


def reader_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Plugins, trainer class, rewards, readers and losses that are not there or do not fit."""
    yield from dotted_path_findings(config)
    yield from data_type_findings(config)
    yield from loss_findings(config)
    ours = [one for one in at(config, "trl.reward_funcs") or [] if "codefavor." in str(one)]
    if (
        method_of(config) in SAMPLING_METHODS
        and ours
        and _RUN_PLUGIN not in str(config.get("plugins"))
    ):
        yield error(
            f"trl.reward_funcs: {ours[0]} reads the final answer with the tokenizer that RunPlugin "
            f"names, and the run ends without it; write plugins: [{_RUN_PLUGIN}]"
        )


def dotted_path_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Plugins, trainer class and reward functions that do not import."""
    named = [("plugins", name) for name in config.get("plugins") or []]
    if config.get("trainer_cls"):
        named.append(("trainer_cls", config["trainer_cls"]))
    named += [("trl.reward_funcs", name) for name in at(config, "trl.reward_funcs") or []]
    for key, name in named:
        try:
            target = import_dotted(str(name))
        except ModuleNotFoundError as missing:
            text = f"{key}: {name!r} does not import: {one_line(missing)}"
            own = str(name).partition(".")[0]
            is_other = missing.name and missing.name.partition(".")[0] != own
            yield warning(f"{text} (here; install it where it runs)") if is_other else error(text)
            continue
        except (ImportError, AttributeError, ValueError) as problem:
            yield error(f"{key}: {name!r} does not import: {one_line(problem)}")
            continue
        if key == "trl.reward_funcs" and not is_reward(target):
            yield error(
                f"{key}: {name!r} is no reward: it must be a function that takes completions and "
                "**columns, as those of codefavor.training.rewards do"
            )
        if key == "trainer_cls":
            yield from _trainer_findings(config, str(name), target)


def _trainer_findings(config: Mapping[str, Any], name: str, target: Any) -> Iterator[Finding]:
    """A class that Axolotl would make and that is no trainer, or one of another method."""
    kinds = {one.__name__ for one in getattr(target, "__mro__", ())}
    method = method_of(config)
    needed = _TRAINERS.get(method, "Trainer")
    if needed not in kinds:
        what = f"a trainer of another method than {method}" if "Trainer" in kinds else "no trainer"
        yield error(
            f"trainer_cls: {name!r} is {what}; name a class made from {needed}, or remove it"
        )


def is_reward(target: Any) -> bool:
    """Whether the trainer can call something as a reward: f(completions=..., **columns)."""
    if not callable(target) or inspect.isclass(target):
        return False
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):
        return False
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return "completions" in parameters and takes_any


def columns_of_reward(name: str) -> list[str]:
    """The columns that a reward cannot do without: arguments of its own, or what ours look up."""
    try:
        reward = import_dotted(name)
        parameters = inspect.signature(reward).parameters.values()
    except (ImportError, AttributeError, TypeError, ValueError):
        return []  # told already
    needed = [one.name for one in parameters if one.default is one.empty]
    variable = [one.name for one in parameters if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    is_ours = reward.__module__.startswith("codefavor.training.")
    needed += _REWARD_COLUMNS.get(reward.__name__, ()) if is_ours else ()
    return [one for one in needed if one not in {*_FROM_TRAINER, *variable}]


def import_dotted(name: str) -> Any:
    """The object of a dotted path; raises ImportError, AttributeError or ValueError."""
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise ValueError("not a dotted path")
    with quiet():
        return getattr(importlib.import_module(module_name), attribute)


def data_type_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Data set types that Axolotl has no reader for, or that the method cannot learn from."""
    method = method_of(config)
    for index, entry in enumerate(config.get("datasets") or []):
        kind = entry.get("type")
        if kind is None:
            text = f"datasets: {entry.get('path')} has no type, so nothing reads its rows"
            if method == "sft":
                yield warning(f"{text}, unless they are tokens already (input_ids, labels)")
            elif method not in SAMPLING_METHODS:
                yield error(f"{text}; write one (codefavor.preferences reads what convert writes)")
            continue
        name = type_name(entry)
        if not _has_reader(method, name, config, index):
            yield error(f"datasets: no reader for the type {name!r} under the method {method}")
            continue
        formats = METHOD_FORMATS.get(method, ())
        ours = {one for form in FORMATS.values() for one in form.axolotl_types}
        fitting = {one for form in formats for one in FORMATS[form].axolotl_types}
        if name in ours and name not in fitting:
            yield error(
                f"datasets: the type {name!r} is not for the method {method}; "
                f"expected {', '.join(sorted(fitting))}"
            )


def type_name(entry: Mapping[str, Any]) -> str:
    """The name of the reader that a data set asks for."""
    kind = entry.get("type")
    return "user_defined" if isinstance(kind, Mapping) else str(kind)


def _has_reader(method: str, name: str, config: Mapping[str, Any], index: int) -> bool:
    base = "axolotl.prompt_strategies"
    if config.get("rl"):
        return preference_reader(method, name, config, index) is not None
    if name.startswith("bradley_terry."):
        return _imports(f"{base}.{name}.load")
    paths = (f"{base}.{name}.load", f"{base}.{name}", f"{name}.load")
    return name.partition(":")[0] in _older_readers() or any(map(_imports, paths))


def preference_reader(method: str, name: str, config: Mapping[str, Any], index: int) -> Any:
    """The function that reads a row of this type under `rl`; None where there is none.

    By Axolotl's own loader: of a dotted path it finds only what a top-level module holds.
    """
    folder = method if method in _OWN_FOLDER else "dpo"
    full = "user_defined.default" if name == "user_defined" else name
    with quiet():
        from axolotl.utils.dict import DictDefault

        load = import_dotted(f"axolotl.prompt_strategies.{folder}.load")
        found = load(full, DictDefault(json.loads(json.dumps(config))), dataset_idx=index)
    return found[0] if isinstance(found, tuple) else found


def with_tokenizer(reader: Any, tokenizer: Any) -> Any:
    """A reader of rows as Axolotl calls it: with the tokenizer where it takes one."""
    if "tokenizer" in inspect.signature(reader).parameters:
        return functools.partial(reader, tokenizer=tokenizer)
    return reader


def missing_column(config: Mapping[str, Any], row: Mapping[str, Any]) -> str | None:
    """What the reader of the first data set under `rl` did not find in a row, by letting it read.

    None if all is there.
    """
    [entry] = config["datasets"]
    reader = preference_reader(method_of(config), type_name(entry), config, 0)
    if reader is None:
        return None
    try:
        with quiet():
            with_tokenizer(reader, _Pieces())(deepcopy(dict(row)))
    except KeyError as missing:
        return repr(missing.args[0])
    except (AssertionError, AttributeError, IndexError, TypeError, ValueError) as problem:
        return f"that form ({one_line(problem)})"
    return None


class _Pieces:
    """What readers ask of a tokenizer, where only their columns are looked at."""

    chat_template = "{{ messages }}"
    bos_token, eos_token, bos_token_id, eos_token_id = "", "", None, None

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        """The contents of the messages, one after the other."""
        return "".join(str(one["content"]) for one in messages)


def _older_readers() -> Any:
    """The types that Axolotl reads by a table of its own, such as alpaca."""
    return import_dotted("axolotl.utils.data.wrappers.DATASET_HANDLERS")


def _imports(name: str) -> bool:
    try:
        import_dotted(name)
    except (ImportError, AttributeError, ValueError):
        return False
    return True


def loss_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """DPO losses that the trainer does not know, and weights that do not match them."""
    losses = config.get("dpo_loss_type") or []
    if losses and isinstance(losses, list):
        known = known_losses("dpo")
        for loss in losses:
            if loss not in known:
                yield error(f"dpo_loss_type: unknown {loss!r}; known: {', '.join(sorted(known))}")
    weights = config.get("dpo_loss_weights")
    if weights is not None and len(weights) != len(losses):
        yield error(f"dpo_loss_weights: {len(weights)} weights for {len(losses)} losses")
    if config.get("dpop_lambda") is not None and "DPOPTrainer" not in str(
        config.get("trainer_cls")
    ):
        yield error(
            "dpop_lambda does nothing without trainer_cls: codefavor.training.dpop.DPOPTrainer"
        )


@functools.cache
def known_losses(method: str) -> frozenset[str]:
    """The loss names that the installed TRL tells apart under a method, read from its source."""
    text = files("trl").joinpath("trainer", f"{method}_trainer.py").read_text(encoding="utf-8")
    named = re.findall(r'loss_type (?:==|in) (\[[^\]]*\]|"\w+")', text)
    return frozenset(name for one in named for name in re.findall(r'"(\w+)"', one))


def one_line(problem: BaseException) -> str:
    """An exception's text on one line."""
    return " ".join(str(problem).split()) or type(problem).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Axolotl logs and prints at import and while validating; our caller wants findings only."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


class _Kept(logging.Handler):
    """Keeps the texts of what a package logs."""

    def __init__(self, package: str) -> None:
        super().__init__(logging.WARNING)
        self._package = package
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(self._package):
            self.texts.append(" ".join(record.getMessage().split()))


@contextlib.contextmanager
def warnings_of(package: str) -> Iterator[list[str]]:
    """As `quiet`, but gives the texts of the warnings that a package logs meanwhile."""
    kept = _Kept(package)
    owners = [logging.getLogger(name) for name in (None, "axolotl", "transformers")]
    before = [owner.handlers for owner in owners]
    with quiet():
        logging.disable(logging.INFO)
        for owner in owners:
            owner.handlers = [kept] if owner.name == package.partition(".")[0] else []
        try:
            yield kept.texts
        finally:
            for owner, handlers in zip(owners, before, strict=True):
                owner.handlers = handlers
