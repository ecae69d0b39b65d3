"""Settings of a recipe that Axolotl's schema lets pass: names, evaluation, method, machine."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codefavor.training.check_classes import class_findings
from codefavor.training.check_idle import idle_findings
from codefavor.training.check_methods import method_key_findings, start_findings
from codefavor.training.check_numbers import number_findings
from codefavor.training.check_readers import SAMPLING_METHODS
from codefavor.training.check_settings import setting_findings
from codefavor.training.check_tokens import EMBEDDINGS
from codefavor.training.estimate import fsdp_setting
from codefavor.training.findings import Finding, error, number, unknown_name, warning
from codefavor.training.plugin_args import PLUGIN_ARGS, dev_accuracy_errors
from codefavor.training.recipes import HEAD_CLASSES, method_of

_ATTENTION = {
    "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flash_attention_4", "fp8", "s2",
    "flash_attention_torch", "flex_attention", "sage", "xformers",
}  # fmt: skip
_CHECKPOINTING = {"use_reentrant", "preserve_rng_state", "determinism_check", "debug", "early_stop"}
# Schedulers of Axolotl, and those of transformers that look at the trainer's other settings.
_OWN_SCHEDULERS = {"one_cycle", "rex", "log_sweep"}
_NEEDS_TRAINER = {"greedy", "reduce_lr_on_plateau"}
# A kernel of the Hub instead of an own name: OWNER/NAME, with a version and a function.
_HUB_KERNEL = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?(:\w+)?")
_SMOOTHED_LOSSES = {"robust", "exo_pair", "aot", "aot_unpaired"}


def mistakes(config: Mapping[str, Any], gpus: int | None) -> Iterator[Finding]:
    """Everything of this module that is wrong with a recipe.

    `gpus` is how many it is for, 0 a CPU, None not known (one or more).
    """
    yield from name_findings(config)
    yield from number_findings(config)
    yield from setting_findings(config)
    yield from class_findings(config)
    yield from evaluation_findings(config)
    yield from map(error, dev_accuracy_errors(config))
    yield from method_findings(config)
    yield from method_key_findings(config)
    yield from start_findings(config)
    yield from idle_findings(config)
    yield from batch_findings(config, gpus)
    yield from machine_findings(config, gpus)
    yield from ignored_settings(config)


def name_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Names that only the trainer reads: optimizer, scheduler, attention."""
    optimizers, schedulers = known_names()
    known_by_key = {
        "attn_implementation": _ATTENTION,
        "optimizer": optimizers,
        "lr_scheduler": schedulers,
    }
    for key, known in known_by_key.items():
        value = config.get(key)
        is_kernel = key == "attn_implementation" and _HUB_KERNEL.fullmatch(str(value))
        if value is not None and value not in known and not is_kernel:
            yield unknown_name(key, value, known)
    yield from _scheduler_findings(config, schedulers)
    for key in config.get("gradient_checkpointing_kwargs") or {}:
        if key not in _CHECKPOINTING:
            yield unknown_name("gradient_checkpointing_kwargs", key, _CHECKPOINTING)


def _scheduler_findings(config: Mapping[str, Any], known: frozenset[str]) -> Iterator[Finding]:
    """A scheduler that lacks a setting, or has one that it does not know: by making it."""
    name, settings = config.get("lr_scheduler"), config.get("lr_scheduler_kwargs")
    if name not in known - _OWN_SCHEDULERS or name in _NEEDS_TRAINER:
        return
    import torch
    from transformers import get_scheduler

    rate = number(config, "learning_rate") or 1.0
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=abs(rate))
    try:
        get_scheduler(name, optimizer, 1, 10, scheduler_specific_kwargs=dict(settings or {}))
    except (TypeError, ValueError) as problem:
        yield error(
            f"lr_scheduler: {name} with lr_scheduler_kwargs: {settings} fails when the trainer is "
            f"made: {problem}"
        )


@functools.cache
def known_names() -> tuple[frozenset[str], frozenset[str]]:
    """The optimizers and the schedulers of the installed transformers and Axolotl."""
    from axolotl.utils.schemas.enums import CustomSupportedOptimizers
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    optimizers = {str(one.value) for one in OptimizerNames}
    optimizers |= {str(one.value) for one in CustomSupportedOptimizers}
    schedulers = {str(one.value) for one in SchedulerType} | _OWN_SCHEDULERS
    return frozenset(optimizers), frozenset(schedulers)


def evaluation_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Checkpoints that are chosen by nothing, or resumed without their states."""
    best = config.get("load_best_model_at_end")
    for key in ("load_best_model_at_end", "early_stopping_patience", "metric_for_best_model"):
        if config.get("rl") and config.get(key):
            text = f"{key}: Axolotl ignores it under rl: {config['rl']}; use dev_accuracy instead"
            yield error(text)
    sharded = bool(config.get("deepspeed") or config.get("fsdp_config"))
    if best and config.get("save_only_model") and sharded:
        yield error(
            "load_best_model_at_end: the trainer refuses it with save_only_model under DeepSpeed "
            "and FSDP; drop one of the two"
        )
    if config.get("save_only_model") and config.get("auto_resume_from_checkpoints"):
        yield error(
            "auto_resume_from_checkpoints: true needs the optimizer states that save_only_model "
            "leaves out; set one of them to false"
        )
    metric = str(config.get("metric_for_best_model") or "loss").removeprefix("eval_")
    if metric != "loss":
        yield error(
            f"metric_for_best_model: {metric!r} is only logged, the trainer looks for it among the "
            "results of the evaluation; leave it out (eval_loss)"
        )
    if metric == "loss" and config.get("greater_is_better") and best:
        yield error(
            "greater_is_better: true keeps the checkpoint with the highest loss, the worst one; "
            "remove it"
        )
    if config.get("save_strategy") == "no" and not config.get("save_steps"):
        yield warning(
            "save_strategy: 'no' keeps no checkpoint: a killed run could not resume; use 'epoch'"
        )


def method_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Settings that the method ignores, or that make another method of it."""
    method = method_of(config)
    losses = config.get("dpo_loss_type") or ["sigmoid"]
    is_smoothed = method == "dpo" and config.get("dpo_label_smoothing")
    if is_smoothed and not _SMOOTHED_LOSSES & set(losses):
        yield error(
            f"dpo_label_smoothing: {config['dpo_label_smoothing']} is ignored by the loss "
            f"{', '.join(losses)}; use dpo_loss_type: [robust], or smollm2-135m/dpo-conservative"
        )
    head = HEAD_CLASSES.get(method)
    if head and config.get("model_type") != head:
        yield error(
            f"model_type: {config.get('model_type')!r} has no score head, so no reward would be "
            f"trained; write model_type: {head}"
        )
    if config.get("rl") and (config.get("reward_model") or config.get("process_reward_model")):
        yield error(f"reward_model: is not trained under rl: {config['rl']}; remove one of the two")
    if "robust" in losses and not config.get("dpo_label_smoothing"):
        yield error(
            "dpo_loss_type: robust is the loss sigmoid without a share of wrong labels; write "
            "dpo_label_smoothing: 0.1, or dpo_loss_type: [sigmoid]"
        )
    if method == "process_reward" and config.get("num_labels", 2) != 2:
        yield error(
            f"num_labels: {config['num_labels']}: a step is right or wrong; write num_labels: 2"
        )
    if method == "reward" and config.get("num_labels", 1) != 1:
        yield error(
            f"num_labels: {config['num_labels']}: a reward is one number; write num_labels: 1"
        )
    if head and config.get("sample_packing"):
        yield error("sample_packing: a score is read at the end of a row; set it to false")
    trl = config.get("trl") or {}
    rewards, weights = trl.get("reward_funcs") or [], trl.get("reward_weights")
    if method == "grpo" and not rewards:
        yield error(
            "trl.reward_funcs: none: nothing is rewarded; codefavor.training.rewards has some"
        )
    if weights is not None and len(weights) != len(rewards):
        yield error(f"trl.reward_weights: {len(weights)} weights for {len(rewards)} reward_funcs")
    if config.get("process_reward_model") and config.get("lora_target_linear"):
        yield error(
            "lora_target_linear takes the head of a process reward model as well, which peft "
            "trains whole already and refuses; name lora_target_modules instead"
        )


def batch_findings(config: Mapping[str, Any], gpus: int | None) -> Iterator[Finding]:
    """Batches in which the method cannot work."""
    micro = int(config.get("micro_batch_size") or 1)
    total = micro * int(config.get("gradient_accumulation_steps") or 1) * max(1, gpus or 1)
    method = method_of(config)
    if method == "kto" and micro < 2:
        yield error(
            f"micro_batch_size: {micro}: it must be above 1, because KTO's KL term needs other "
            "rows of the batch"
        )
    group = number(config, "trl.num_generations")
    if method in SAMPLING_METHODS and group and total % int(group):
        text = f"the global batch {total} is no multiple of trl.num_generations {group:g}"
        yield warning(f"{text} on one GPU") if gpus is None else error(text)
    yield from _engine_findings(config, gpus)


def _engine_findings(config: Mapping[str, Any], gpus: int | None) -> Iterator[Finding]:
    """vLLM on the GPUs that train, split over a number of them that does not go into theirs."""
    trl = config.get("trl") or {}
    split = number(config, "vllm.tensor_parallel_size")
    is_beside = trl.get("use_vllm") and trl.get("vllm_mode") == "colocate"
    if is_beside and split and gpus and gpus % split:
        yield error(
            f"vllm.tensor_parallel_size: {split:g} does not divide the {gpus} GPUs that vLLM "
            "shares with the training; write 1, or a number that does"
        )
    if config.get("vllm") and not trl.get("use_vllm"):
        yield warning(
            "vllm: nothing reads it without trl.use_vllm: true, so that transformers samples; "
            "write that, or remove it"
        )


def machine_findings(config: Mapping[str, Any], gpus: int | None) -> Iterator[Finding]:
    """Precision, quantisation and sharding that do not go together, or not on this machine."""
    if config.get("bf16") is True and config.get("fp16") is True:
        yield error("fp16: true beside bf16: true: a training has one precision; set fp16: false")
    if config.get("load_in_4bit") and config.get("load_in_8bit"):
        yield error(
            "load_in_8bit: true beside load_in_4bit: true: weights have one form; remove one"
        )
    adapter = config.get("adapter")
    quantised = config.get("load_in_4bit") or config.get("load_in_8bit")
    if adapter == "qlora" and not config.get("load_in_4bit"):
        yield error(
            "adapter: 'qlora' without load_in_4bit: true loads whole weights; set it, or use lora"
        )
    if quantised and not adapter:
        yield error(
            "load_in_4bit: quantised weights cannot be trained themselves; set adapter: qlora"
        )
    if adapter and not config.get("lora_r") and not config.get("lora_model_dir"):
        yield error(f"lora_r: missing beside adapter: {adapter}; write lora_r: 16")
    name = Path(str(config.get("deepspeed") or "")).stem
    if name.startswith("zero3") and config.get("load_in_4bit"):
        yield error(
            f"deepspeed: {name} does not split 4-bit weights: each GPU would hold all of them; use "
            "zero2, or --layer hardware/fsdp2"
        )
    if config.get("deepspeed") and (config.get("fsdp_config") or config.get("fsdp")):
        yield error("fsdp_config: beside deepspeed: two ways of the same split; remove one of them")
    optimizer = str(config.get("optimizer") or "")
    if fsdp_setting(config, "offload_params") and re.search("paged|8bit|bnb", optimizer):
        yield error(
            f"optimizer: {optimizer!r} steps on the GPU alone, and offload_params keeps "
            "its weights on the host; write optimizer: adamw_torch"
        )
    attention = str(config.get("attn_implementation") or "")
    if config.get("flash_attention"):
        attention = "flash_attention_2"
    is_half = any(config.get(key) for key in ("fp16", "float16", "bfloat16"))
    if "flash" in attention and config.get("bf16") is False and not is_half:
        yield error(
            f"attn_implementation: {attention!r} computes in half precision only, and bf16 and "
            "fp16 are off; set bf16: true, or attn_implementation: sdpa"
        )
    if gpus == 0:
        yield from _cpu_findings(config)


def _cpu_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """What a recipe for any machine asks of a GPU."""
    if config.get("deepspeed") or config.get("fsdp_config"):
        yield error("deepspeed: nothing to split on a CPU; remove it")
    if liger := [key for key in config if key.startswith("liger_") and config[key]]:
        yield error(f"{', '.join(liger)}: Liger's kernels run on GPUs alone; remove them")
    if re.search("paged|8bit|bnb", str(config.get("optimizer") or "")):
        yield warning(
            f"optimizer: {config['optimizer']!r} steps on a GPU alone; for a CPU: adamw_torch"
        )
    if config.get("bf16") or config.get("fp16"):
        key = "bf16" if config.get("bf16") else "fp16"
        value = str(config[key]).lower()
        yield error(
            f"{key}: {value} is no setting for every machine: most CPUs crawl with it; set it to "
            "false, or check it for a GPU: --gpus 1"
        )


def ignored_settings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Settings that are allowed and do nothing, or not what they seem to."""
    plugins = str(config.get("plugins"))
    liger = [key for key in config if key.startswith("liger_") and config[key]]
    if liger and "LigerPlugin" not in plugins:
        yield error(
            f"{', '.join(liger)}: does nothing without its plugin; write plugins: "
            "[axolotl.integrations.liger.LigerPlugin]"
        )
    saved = {str(one).rpartition(".")[2] for one in config.get("lora_modules_to_save") or []}
    is_trained = saved & EMBEDDINGS or config.get("peft_trainable_token_indices")
    if config.get("tokens") and config.get("adapter") and not is_trained:
        yield error(
            f"tokens: {config['tokens']} are new, and an adapter does not train their "
            "embeddings; write lora_modules_to_save: [embed_tokens, lm_head]"
        )
    for plugin, arguments in PLUGIN_ARGS.items():
        idle = [key for key in arguments.model_fields if config.get(key)]
        if idle and plugin not in plugins:
            yield error(
                f"{', '.join(idle)}: does nothing without its plugin; write it under plugins: "
                f"codefavor.training.plugins.{plugin}"
            )
    if config.get("curriculum_sampling") and config.get("rl"):
        yield warning(
            "curriculum_sampling is ignored under rl; use curriculum_order (docs/training.md)"
        )
    if (too_long := config.get("excess_length_strategy") or "drop") != "raise":
        done = "cut, and their answers with them," if too_long == "truncate" else "dropped"
        yield warning(
            f"rows above sequence_len are {done} in silence (excess_length_strategy: raise)"
        )
