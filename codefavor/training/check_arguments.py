"""What the trainer refuses when it is made, asked by making its arguments as Axolotl does.

No model is needed. The arguments are those of transformers; what TRL adds is not among them.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from codefavor.training.check_readers import one_line, quiet
from codefavor.training.findings import Finding, error

_IN_FILE = re.compile(r"- ds (\S+?)=(.+) vs hf (.+?)=(.*)")
# Of DeepSpeed's settings, those that transformers compares with the number of steps of the run.
_OF_STEPS = ("scheduler.params.total_num_steps", "scheduler.params.warmup_num_steps")


class _Made(Exception):
    """Ends Axolotl's builder where it has its arguments."""


class _Arguments(NamedTuple):
    """The trainer's arguments, and the optimizer's class with its settings if it is Axolotl's."""

    arguments: Any
    optimizer: tuple[Any, dict[str, Any]] | None


def argument_findings(
    config: Mapping[str, Any], cfg: Any, gpus: int | None, deepspeed: Mapping[str, Any] | None
) -> Iterator[Finding]:
    """Everything of this module that is wrong with a recipe.

    `cfg` is the recipe as Axolotl's schema has it, `deepspeed` what DeepSpeed would be told.
    """
    try:
        with quiet():
            made = _made(cfg)
    except (ImportError, TypeError, ValueError) as problem:
        yield error(_refusal(config, problem))
        return
    asked = config.get("load_best_model_at_end") and not config.get("rl")  # that is told already
    if asked and not made.arguments.load_best_model_at_end:
        yield error(
            "load_best_model_at_end: Axolotl leaves it out in silence: it needs test_datasets (or "
            f"val_set_size), and save_steps ({config.get('save_steps')}) that are a multiple of "
            f"eval_steps ({config.get('eval_steps')}); make them equal"
        )
    yield from _optimizer_findings(config, made)
    if deepspeed is not None:
        name = config["deepspeed"]
        name = name if isinstance(name, str) else "its mapping"
        yield from _deepspeed_findings(made.arguments, gpus, name, deepspeed)


def _refusal(config: Mapping[str, Any], problem: Exception) -> str:
    if isinstance(problem, ImportError):
        return f"optimizer: {config.get('optimizer')} is not installed here: {one_line(problem)}"
    text = one_line(problem)
    words = set(re.findall(r"\w+", text))
    named = [
        f"{key}: {value}"
        for key, value in config.items()
        if key in words or (isinstance(value, str) and value in words)
    ]
    return f"{', '.join(named) or 'a setting'} is refused when the trainer is made: {text}"


def _made(cfg: Any) -> _Arguments:
    """The arguments of a recipe's training, on a CPU whatever it is for."""
    import torch
    from axolotl.core.builders import HFCausalTrainerBuilder, HFRLTrainerBuilder
    from transformers import TrainingArguments

    class Causal(HFCausalTrainerBuilder):  # type: ignore[misc]
        def _set_base_training_args(self, total_num_steps: Any) -> Any:
            self.base = super()._set_base_training_args(total_num_steps)
            return self.base

        def hook_pre_create_training_args(self, training_arguments_kwargs: Any) -> Any:
            raise _Made

    cfg = _as_normalised(cfg)
    model = torch.nn.Linear(1, 1)
    builder = (HFRLTrainerBuilder if cfg.rl else Causal)(cfg, model, None, None)
    builder.eval_dataset = ["a row"] if cfg.test_datasets or cfg.val_set_size else None
    if cfg.rl:
        given, others = builder._set_base_training_args(None)
    else:
        with contextlib.suppress(_Made):
            builder.build(None)
        given, others = builder.base
    names = {one.name for one in dataclasses.fields(TrainingArguments) if one.init}
    here = {"use_cpu": True, "tf32": None, "deepspeed": None, "fsdp": None, "fsdp_config": None}
    kept = {name: value for name, value in given.items() if name in names}
    return _Arguments(TrainingArguments(**{**kept, **here}), others.get("optimizer_cls_and_kwargs"))


def _as_normalised(cfg: Any) -> Any:
    """As Axolotl makes it of the schema's result, of which it asks the model's configuration."""
    cfg = type(cfg)(cfg.to_dict())
    for own, steps in (("saves_per_epoch", "save_steps"), ("evals_per_epoch", "eval_steps")):
        if cfg[own] and (share := 1.0 / (cfg[own] * (cfg.num_epochs or 1))) < 1:
            cfg[steps] = share
    bf16 = True if cfg.bf16 == "auto" else cfg.bf16
    return type(cfg)(cfg.to_dict() | {"plugins": None, "torch_compile": None, "bf16": bf16})


def _optimizer_findings(config: Mapping[str, Any], made: _Arguments) -> Iterator[Finding]:
    """An optimizer that is not installed, and settings that it does not read."""
    from torch.optim import Optimizer

    name, given = config.get("optimizer"), made.arguments.optim_args
    try:
        found, settings = made.optimizer or _optimizer(made.arguments, given)
        parts = given.split(",") if given else []
        without = _optimizer(made.arguments, None)[1] if parts else {}
        unread = [one for one in parts if _optimizer(made.arguments, one)[1] == without]
        if unread:
            yield error(
                f"optim_args: {', '.join(unread)}: {name} does not read it; remove it (adam_beta1, "
                "adam_beta2, adam_epsilon and weight_decay are keys of their own)"
            )
        maker = found if inspect.isclass(found) and issubclass(found, Optimizer) else found.__call__
        inspect.signature(maker).bind_partial(**settings)
    except ImportError as problem:
        yield error(_refusal(config, problem))
    except (TypeError, ValueError) as problem:
        if config.get("optim_args"):  # else it lacks the model
            yield error(
                f"optim_args: {config['optim_args']} is refused by {name}: {one_line(problem)}"
            )


def _optimizer(arguments: Any, settings: str | None) -> tuple[Any, dict[str, Any]]:
    """The class of an optimizer of transformers, and what it is made with."""
    from transformers import Trainer

    asked = copy.copy(arguments)
    asked.optim_args = settings
    with quiet():
        found: tuple[Any, dict[str, Any]] = Trainer.get_optimizer_cls_and_kwargs(asked, None)
    return found


def _deepspeed_findings(
    arguments: Any, gpus: int | None, name: str, written: Mapping[str, Any]
) -> Iterator[Finding]:
    """What DeepSpeed is told otherwise than the trainer, as transformers itself compares both."""
    from accelerate.utils.deepspeed import HfDeepSpeedConfig
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    # The whole batch depends on the number of GPUs.
    known = {one: written[one] for one in written if gpus is not None or one != "train_batch_size"}

    class Told(HfTrainerDeepSpeedConfig, HfDeepSpeedConfig):  # type: ignore[misc]
        """Without the package, which the first of them asks for when it is made."""

        def __init__(self) -> None:
            HfDeepSpeedConfig.__init__(self, known)
            self._dtype, self.mismatches = None, []

    told: Any = Told()
    own = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(arguments)}
    told.trainer_config_process(SimpleNamespace(**own, world_size=max(1, gpus or 1)))
    steps = arguments.max_steps
    if steps > 0:
        values = (steps, arguments.get_warmup_steps(steps))
        for key, value in zip(_OF_STEPS, values, strict=True):
            told.fill_match(key, value, key)
    for mismatch in told.mismatches:
        key, there, own_key, here = _IN_FILE.findall(mismatch)[0]
        yield error(
            f"deepspeed: {name} has {key}: {there}, the trainer {own_key}: {here}, and it refuses "
            'that; write "auto" there'
        )
