"""Keys of a recipe that Axolotl's schema drops in silence, told apart by what is lost with them."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from codefavor.training.findings import Finding, error, warning
from codefavor.training.plugin_args import PLUGIN_ARGS

# The same settings under the names of other trainers, and of older Axolotls.
_ELSEWHERE = {
    "adam_eps": "adam_epsilon",
    "batch_size": "micro_batch_size",
    "beta": "rl_beta",
    "cutoff_len": "sequence_len",
    "deepspeed_config": "deepspeed",
    "dpo_beta": "rl_beta",
    "epochs": "num_epochs",
    "eta_min": "cosine_min_lr_ratio",
    "finetuning_type": "adapter",
    "flash_attn": "attn_implementation",
    "label_smoothing": "dpo_label_smoothing",
    "loss_type": "dpo_loss_type",
    "lora_rank": "lora_r",
    "lora_target": "lora_target_modules",
    "lr": "learning_rate",
    "lr_scheduler_type": "lr_scheduler",
    "max_length": "sequence_len",
    "max_seq_length": "sequence_len",
    "model_name_or_path": "base_model",
    "noisy_embedding_alpha": "neftune_noise_alpha",
    "num_train_epochs": "num_epochs",
    "per_device_train_batch_size": "micro_batch_size",
    "pref_beta": "rl_beta",
    "seq_len": "sequence_len",
    "sharding_strategy": "reshard_after_forward",
    "template": "chat_template",
}
# Keys that the schema reads and then writes under another name.
_MOVED = {
    "eager_attention", "flash_attention", "flex_attention", "message_field_content",
    "message_field_role", "sage_attention", "sdp_attention", "xformers_attention",
}  # fmt: skip
# Dropped, and yet what happens: Axolotl's or accelerate's own defaults.
_DEFAULTS: tuple[tuple[str, Any], ...] = (
    ("backward_prefetch", "BACKWARD_PRE"),
    ("limit_all_gathers", True),
    ("sharding_strategy", "FULL_SHARD"),
    ("step_separator", "\n"),
)
# Said of a key without its plugin, and mappings whose keys people write at the top.
_PLUGIN_KEYS = {key for one in PLUGIN_ARGS.values() for key in one.model_fields}
_PARENTS = ("trl", "vllm")
_NEAR = 0.75


def dropped_keys(
    given: Any, kept: Any, fields: Mapping[str, Any], where: str = ""
) -> Iterator[Finding]:
    """The keys of a configuration that the schema's result no longer has, at any depth.

    `fields` are the schema's at this depth, to find the one that was meant.
    """
    if isinstance(given, Mapping) and isinstance(kept, Mapping):
        for key, value in given.items():
            name = key.removeprefix("fsdp_") if where == "fsdp_config." else key
            found = next((one for one in (key, name) if one in kept), None)
            if value is None:
                continue
            if found is None:
                yield from _dropped(where, name, key, value, fields)
            else:
                below = _fields_below(fields.get(name))
                yield from dropped_keys(value, kept[found], below, f"{where}{key}.")
    elif isinstance(given, list) and isinstance(kept, list):
        for index, (left, right) in enumerate(zip(given, kept, strict=False)):
            yield from dropped_keys(left, right, fields, f"{where}{index}.")


def _dropped(
    where: str, name: str, key: str, value: Any, fields: Mapping[str, Any]
) -> Iterator[Finding]:
    text = f"Axolotl drops the key {f'{where}{key}'!r} in silence"
    liger = _liger_keys() if not where and name.startswith("liger_") else frozenset()
    known = [one for one in (*fields, *liger) if one != name]
    close = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR) if name not in fields else []
    near = _ELSEWHERE.get(name) or (None if where else _below(name, fields))
    near = near or next(iter(close), None)
    # The schema under rl lacks it, and a file's ending says it as well.
    if name in _MOVED or (name == "ds_type" and where.startswith("datasets.")):
        return
    if not where and (name in liger or name in _PLUGIN_KEYS):
        return  # said by `mistakes.ignored_settings`, with the plugin
    if _is_default(name, value):
        return
    if near:
        yield error(f"{text} (did you mean {near!r}?)")
    elif where and not where.startswith("fsdp_config."):
        yield error(f"{text}: {json.dumps(value)} does nothing; remove it")
    else:
        yield warning(f"{text}: {json.dumps(value)} does nothing; remove it")


@functools.cache
def _liger_keys() -> frozenset[str]:
    """The keys of Liger's plugin, which the schema has beside it alone."""
    from axolotl.integrations.liger.args import LigerArgs

    return frozenset(LigerArgs.model_fields)


def _below(name: str, fields: Mapping[str, Any]) -> str | None:
    """Where a key of the top stands below another one: use_vllm is trl.use_vllm."""
    return next(
        (f"{parent}.{name}" for parent in _PARENTS if name in _fields_below(fields.get(parent))),
        None,
    )


def _is_default(name: str, value: Any) -> bool:
    """Whether all goes as a dropped setting says: it asks for nothing, or for what happens."""
    if (name, value) in _DEFAULTS or value in (False, "", [], {}):
        return True
    # Roles and columns that are renamed to what they are.
    return isinstance(value, Mapping) and all(
        target in (source, [source]) for source, target in value.items()
    )


def _fields_below(field: Any) -> dict[str, Any]:
    """The fields of the models that a field of the schema may hold."""
    found: dict[str, Any] = {}
    waiting = [getattr(field, "annotation", None)]
    while waiting:
        one = waiting.pop()
        found |= getattr(one, "model_fields", {})
        waiting += get_args(one)
    return found
