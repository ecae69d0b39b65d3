"""Checks a recipe harder than Axolotl does, on a machine without a GPU and before anything loads.

Axolotl's own schema runs first. It lets pass unknown keys, unknown data set and loss types, keys
that it then drops, missing DeepSpeed files and plugins that do not import; these are found here.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import io
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from codefavor.errors import MissingPackageError
from codefavor.records import Row, read_rows
from codefavor.training.formats import FORMATS
from codefavor.training.mistakes import mistakes
from codefavor.training.plan import deepspeed_file, is_local_path
from codefavor.training.recipes import load_yaml, method_of

Severity = Literal["error", "warning"]
# What the schema is told of a machine that is not here: an 8-GPU node of today.
_GPU = {"bf16": True, "fp8": True, "tf32": True, "compute_capability": "sm_90"}
_CPU = {"bf16": False, "fp8": False, "tf32": False, "compute_capability": None}
_PAIR_METHODS = {"dpo", "ipo", "simpo"}
_SAMPLING_METHODS = {"grpo", "gdpo"}
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


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong ("error") or odd ("warning") in a recipe."""

    severity: Severity
    message: str


class RecipeChecker:
    """Axolotl's schema, loaded once (about 10 CPU seconds), and the stricter checks around it."""

    def __init__(self) -> None:
        os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
        try:
            with quiet():
                from axolotl.integrations.base import PluginManager
                from axolotl.utils.config import prepare_plugins, validate_config
                from axolotl.utils.dict import DictDefault
                from axolotl.utils.schemas.config import AxolotlInputConfig
        except ModuleNotFoundError as error:
            raise MissingPackageError("axolotl", "train", "checking recipes") from error
        self._plugins = PluginManager
        self._prepare_plugins = prepare_plugins
        self._validate_config = validate_config
        self._dict = DictDefault
        fields = AxolotlInputConfig.model_fields
        self._known = set(fields)
        # The schema's result has the field's name where a recipe wrote its alias (model_type).
        self._aliases = {
            str(field.validation_alias or field.alias): name
            for name, field in fields.items()
            if field.validation_alias or field.alias
        }

    def check(
        self,
        path: Path,
        *,
        config: Row | None = None,
        gpus: int = 0,
        folder: Path | None = None,
    ) -> list[Finding]:
        """Everything that is wrong with a recipe, the schema's complaint first.

        `config` is the recipe with changed settings (default: as its file says), `folder` where
        its relative paths start; data that is not there yet must have a producer named in the
        recipe's header.
        """
        if config is None:
            config = load_yaml(path)
        where = folder or Path.cwd()
        errors = [
            *self._schema_errors(config, gpus),
            *dotted_path_errors(config),
            *dataset_type_errors(config),
            *loss_errors(config),
            *batch_errors(config, gpus),
            *adapter_errors(config),
            *path_errors(config, path, where),
            *data_errors(config, where),
            *mistakes(config, where, gpus),
        ]
        findings = [Finding("error", message) for message in dict.fromkeys(errors)]
        return [*findings, *(Finding("warning", text) for text in odd_settings(config, where))]

    def _schema_errors(self, config: Row, gpus: int) -> list[str]:
        manager = self._plugins.get_instance()
        manager.plugins.clear()  # a singleton: it would keep the plugins of the recipe before
        machine = {**(_GPU if gpus else _CPU), "n_gpu": max(1, gpus)}
        environment = {"torch_version": _torch_version()}
        cfg = self._dict(json.loads(json.dumps(config)))
        try:
            with quiet():
                self._prepare_plugins(cfg)
                checked = self._validate_config(
                    cfg, capabilities=machine, env_capabilities=environment
                )
        except Exception as error:  # validators raise whatever they like
            return [f"Axolotl's schema: {_one_line(error)}"]
        kept = checked.to_dict()
        for alias, name in self._aliases.items():
            if name in kept:
                kept.setdefault(alias, kept[name])
        return list(dropped_keys(config, kept, self._known))


def dropped_keys(given: Any, kept: Any, known: set[str], where: str = "") -> Iterator[str]:
    """The keys of a configuration that the schema's result no longer has, at any depth."""
    if isinstance(given, Mapping) and isinstance(kept, Mapping):
        for key, value in given.items():
            path = f"{where}{key}"
            if value is None:
                continue
            if key not in kept:
                near = difflib.get_close_matches(key, known, n=1) if not where else []
                hint = f" (did you mean {near[0]!r}?)" if near and near[0] != key else ""
                yield f"Axolotl drops the key {path!r} in silence{hint}"
            else:
                yield from dropped_keys(value, kept[key], known, f"{path}.")
    elif isinstance(given, list) and isinstance(kept, list):
        for number, (left, right) in enumerate(zip(given, kept, strict=False)):
            yield from dropped_keys(left, right, known, f"{where}{number}.")


def dotted_path_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Plugins, trainer class, reward functions and data set functions that do not import."""
    named = [("plugins", name) for name in config.get("plugins") or []]
    if config.get("trainer_cls"):
        named.append(("trainer_cls", config["trainer_cls"]))
    rewards = (config.get("trl") or {}).get("reward_funcs") or []
    named += [("trl.reward_funcs", name) for name in rewards]
    for key, name in named:
        try:
            target = import_dotted(str(name))
        except (ImportError, AttributeError, ValueError) as error:
            yield f"{key}: {name!r} does not import: {_one_line(error)}"
            continue
        if key == "trl.reward_funcs" and not is_reward(target):
            yield (
                f"{key}: {name!r} is no reward: it must be a function that takes completions and "
                "**columns, as those of codefavor.training.rewards do"
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


def import_dotted(name: str) -> Any:
    """The object of a dotted path; raises ImportError, AttributeError or ValueError."""
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        raise ValueError("not a dotted path")
    with quiet():
        return getattr(importlib.import_module(module_name), attribute)


def dataset_type_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Data set types that Axolotl has no reader for, or that the method cannot learn from."""
    method = method_of(config)
    for index, entry in enumerate(config.get("datasets") or []):
        kind = entry.get("type")
        if kind is None:
            if method not in _SAMPLING_METHODS:
                yield f"datasets: {entry.get('path')} has no type, so nothing reads its rows"
            continue
        name = "user_defined" if isinstance(kind, dict) else str(kind)
        if not _has_reader(method, name, config, index):
            yield f"datasets: no reader for the type {name!r} under the method {method}"
            continue
        formats = METHOD_FORMATS.get(method, ())
        ours = {one for form in FORMATS.values() for one in form.axolotl_types}
        fitting = {one for form in formats for one in FORMATS[form].axolotl_types}
        if name in ours and name not in fitting:
            yield (
                f"datasets: the type {name!r} is not for the method {method}; "
                f"expected {', '.join(sorted(fitting))}"
            )


def _has_reader(method: str, name: str, config: Mapping[str, Any], index: int) -> bool:
    base = "axolotl.prompt_strategies"
    if method in _PAIR_METHODS | _SAMPLING_METHODS | {"orpo", "kto"}:
        # Axolotl's own loader: of a dotted path it finds only what a top-level module holds.
        folder = method if method in {"orpo", "kto"} else "dpo"
        full = "user_defined.default" if name == "user_defined" else name
        with quiet():
            from axolotl.utils.dict import DictDefault

            load = import_dotted(f"{base}.{folder}.load")
            cfg = DictDefault(json.loads(json.dumps(config)))
            return load(full, cfg, dataset_idx=index) is not None
    if name.startswith("bradley_terry."):
        return _imports(f"{base}.{name}.load")
    paths = (f"{base}.{name}.load", f"{base}.{name}", f"{name}.load")
    return name.partition(":")[0] in _older_readers() or any(map(_imports, paths))


def _older_readers() -> Any:
    """The types that Axolotl reads by a table of its own, such as alpaca."""
    return import_dotted("axolotl.utils.data.wrappers.DATASET_HANDLERS")


def _imports(name: str) -> bool:
    try:
        import_dotted(name)
    except (ImportError, AttributeError, ValueError):
        return False
    return True


def loss_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """DPO losses that the trainer does not know, and weights that do not match them."""
    losses = config.get("dpo_loss_type") or []
    if losses and isinstance(losses, list):
        known = known_dpo_losses()
        for loss in losses:
            if loss not in known:
                yield f"dpo_loss_type: unknown {loss!r}; known: {', '.join(sorted(known))}"
    weights = config.get("dpo_loss_weights")
    if weights is not None and len(weights) != len(losses):
        yield f"dpo_loss_weights: {len(weights)} weights for {len(losses)} losses"
    if config.get("dpop_lambda") is not None and "DPOPTrainer" not in str(
        config.get("trainer_cls")
    ):
        yield "dpop_lambda does nothing without trainer_cls: codefavor.training.dpop.DPOPTrainer"


@functools.cache
def known_dpo_losses() -> frozenset[str]:
    """The loss names that the installed trainer tells apart, read from its source."""
    with quiet():
        from trl.trainer.dpo_trainer import DPOTrainer

    return frozenset(re.findall(r'loss_type == "(\w+)"', inspect.getsource(DPOTrainer)))


def batch_errors(config: Mapping[str, Any], gpus: int) -> Iterator[str]:
    """Batches in which the method cannot work."""
    micro = int(config.get("micro_batch_size") or 1)
    total = micro * int(config.get("gradient_accumulation_steps") or 1) * max(1, gpus)
    method = method_of(config)
    if method == "kto" and micro < 2:
        yield "micro_batch_size must be above 1: KTO's KL term needs other rows of the batch"
    group = (config.get("trl") or {}).get("num_generations")
    if method in _SAMPLING_METHODS and group and total % int(group):
        yield f"the global batch {total} is no multiple of trl.num_generations {group}"
    save_steps = config.get("save_steps")
    if not save_steps and config.get("save_strategy") in ("no", "steps", "best"):
        yield "no save_steps and no save_strategy: epoch: an interrupted run could not resume"


def adapter_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Adapters that cannot be put on the model."""
    if config.get("process_reward_model") and config.get("lora_target_linear"):
        yield (
            "lora_target_linear takes the head of a process reward model as well, which peft "
            "trains whole already and refuses; name lora_target_modules instead"
        )


def path_errors(config: Mapping[str, Any], recipe: Path, folder: Path) -> Iterator[str]:
    """Files that are neither there nor made by a command of the recipe's header."""
    head = [
        line for line in recipe.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    ]
    made = "\n".join(line for line in head if line.startswith("# Needs:"))
    for entry in [*(config.get("datasets") or []), *(config.get("test_datasets") or [])]:
        path = str(entry.get("path") or "")
        is_here = is_local_path(path, folder)
        if is_here and not (folder / path).exists() and f"--out {path}" not in made:
            yield f"datasets: {path} is not there, and no 'Needs:' line of the header writes it"
    dev = (config.get("dev_accuracy") or {}).get("data")
    if dev and not (folder / dev).exists() and dev not in made:
        yield f"dev_accuracy.data: {dev} is not there, and no 'Needs:' line of the header names it"
    model = str(config.get("base_model") or "")
    if is_local_path(model, folder) and not (folder / model).exists() and "prepare" not in made:
        yield f"base_model: {model} is not there, and no 'Needs:' line of the header makes it"
    deepspeed = config.get("deepspeed")
    if isinstance(deepspeed, str):
        found = deepspeed_file(config, recipe, folder)
        if found is None:
            yield f"deepspeed: {deepspeed} does not exist"
        else:
            yield from _json_errors(found)
    output, prepared = str(config.get("output_dir")), str(config.get("dataset_prepared_path"))
    if not prepared.startswith(f"{output}/"):
        yield "dataset_prepared_path must lie in output_dir: Axolotl's cache ignores file contents"


def _json_errors(path: Path) -> Iterator[str]:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        yield f"{path}: not valid JSON: {error}"


def data_errors(config: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Columns that the first row of a data file lacks for its method, or has in another form."""
    formats = METHOD_FORMATS.get(method_of(config), ())
    for entry in config.get("datasets") or []:
        path = folder / str(entry.get("path") or "")
        if path.suffix != ".jsonl" or not path.is_file() or not formats:
            continue
        first = next((row for _, row in read_rows(path)), {})
        wanted = [
            {str(entry.get(f"field_{name}", name)): kind for name, kind in columns.items()}
            for columns in (FORMATS[form].columns for form in formats)
        ]
        if any(
            all(isinstance(first.get(name), columns[name]) for name in columns)
            for columns in wanted
        ):
            continue
        found = {name: type(value) for name, value in first.items() if name != "id"}
        yield (
            f"{path}: its rows have {_columns_text(found) or 'nothing'}; the method "
            f"{method_of(config)} needs {_columns_text(wanted[0])} "
            f"(codefavor convert --format {formats[0]})"
        )


def _columns_text(columns: Mapping[str, type]) -> str:
    return ", ".join(f"{name} ({columns[name].__name__})" for name in sorted(columns))


def odd_settings(config: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Settings that are allowed and probably not meant."""
    if config.get("curriculum_order") and "CurriculumPlugin" not in str(config.get("plugins")):
        yield "curriculum_order does nothing without codefavor.training.plugins.CurriculumPlugin"
    if config.get("curriculum_sampling") and config.get("rl"):
        yield "curriculum_sampling is ignored under rl; use curriculum_order (docs/training.md)"
    if config.get("sample_packing") and config.get("attn_implementation") == "sdpa":
        yield "sample_packing with sdpa lets packed rows see each other"
    if (config.get("excess_length_strategy") or "drop") == "drop":
        yield "rows above sequence_len are dropped in silence (excess_length_strategy: raise)"


def _torch_version() -> str:
    from importlib.metadata import version

    return version("torch").split("+")[0]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Axolotl logs and prints at import and while validating; our caller wants findings only."""
    logging.disable(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
