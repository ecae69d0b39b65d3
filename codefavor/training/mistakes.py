"""Mistakes of a recipe that Axolotl's schema lets pass, found before any model is loaded.

Each message names the key, its value, why it is wrong, and what to write instead.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from codefavor.errors import CodefavorError, ConfigError
from codefavor.records import file_sha256
from codefavor.training.model_shapes import (
    AdapterPlaces,
    adapter_places,
    build_on_meta,
    cached_file,
    find_config,
)
from codefavor.training.plan import is_local_path
from codefavor.training.plugin_args import dev_accuracy_errors
from codefavor.training.recipes import find_recipes, load_yaml, method_of

_FAMILIES = "stand_ins.yaml"
_ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
_MORE_ATTENTION = ("flash_attention_4", "xformers", "sage", "fp8", "s2")
_STRATEGIES = ("no", "steps", "epoch", "best")
_ROLES = {"system", "user", "assistant", "tool", "human", "gpt"}
_HEAD_CLASSES = {
    "reward": "AutoModelForSequenceClassification",
    "process_reward": "AutoModelForTokenClassification",
}
_FULL_RATE_LIMIT = 1e-4
_RATE_LIMIT = 1e-2


def mistakes(config: Mapping[str, Any], folder: Path, gpus: int) -> Iterator[str]:
    """Everything of this module that is wrong with a recipe; `folder` is where its paths start."""
    yield from name_errors(config)
    yield from number_errors(config)
    yield from evaluation_errors(config)
    yield from dev_accuracy_errors(config)
    yield from method_errors(config)
    yield from machine_errors(config, gpus)
    yield from data_set_errors(config, folder)
    yield from template_errors(config)
    yield from model_errors(config, folder)


def _unknown(key: str, value: object, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(str(value), names, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
    return f"{key}: {value!r} is unknown, and fails only when the trainer is made; {remedy}"


def name_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Names that only the trainer reads: optimizer, scheduler, attention, strategies."""
    optimizers, schedulers = known_names()
    named = [
        ("optimizer", optimizers),
        ("lr_scheduler", schedulers),
        ("attn_implementation", frozenset(_ATTENTION + _MORE_ATTENTION)),
        ("save_strategy", frozenset(_STRATEGIES)),
        ("eval_strategy", frozenset(_STRATEGIES)),
    ]
    for key, known in named:
        value = config.get(key)
        if value is not None and value not in known:
            yield _unknown(key, value, known)


@functools.cache
def known_names() -> tuple[frozenset[str], frozenset[str]]:
    """The optimizers and the schedulers of the installed transformers and Axolotl."""
    from axolotl.utils.schemas.enums import CustomSupportedOptimizers
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    optimizers = {str(one.value) for one in OptimizerNames}
    optimizers |= {str(one.value) for one in CustomSupportedOptimizers}
    schedulers = {str(one.value) for one in SchedulerType} | {"one_cycle", "rex", "log_sweep"}
    return frozenset(optimizers), frozenset(schedulers)


# Key, smallest, largest, and why: values outside train nothing, or destroy what was learnt.
_RANGES: tuple[tuple[str, float, float, str], ...] = (
    ("num_epochs", 1e-9, 1000, "nothing would be trained"),
    ("micro_batch_size", 1, 4096, "a step needs rows"),
    ("gradient_accumulation_steps", 1, 65536, "a step needs rows"),
    ("weight_decay", 0.0, 1.0, "it shrinks every weight by this share of the learning rate"),
    ("max_grad_norm", 0.0, 1000.0, "gradients are scaled down to this length"),
    ("warmup_ratio", 0.0, 0.9, "it is a share of the run: 0.1, not 10"),
    ("lora_r", 1, 4096, "an adapter of rank 0 is none"),
    ("lora_alpha", 1e-9, 1e6, "it scales the adapter: 0 switches it off"),
    ("lora_dropout", 0.0, 0.9, "it is a probability"),
    ("rl_beta", 1e-9, 1000.0, "it weighs the distance to the reference, or the margin"),
    ("dpo_label_smoothing", 0.0, 0.5, "it is the share of wrong labels, below a half"),
    ("sequence_len", 16, 1e8, "no row fits"),
    ("val_set_size", 0.0, 1e9, "it is a share or a count of rows"),
)


def number_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Numbers outside the range in which they mean something."""
    for key, low, high, reason in _RANGES:
        value = _number(config, key)
        if value is not None and not low <= value <= high:
            yield f"{key}: {config[key]} is not between {low:g} and {high:g}: {reason}"
    rate = _number(config, "learning_rate")
    if rate is not None:
        limit = _RATE_LIMIT if config.get("adapter") else _FULL_RATE_LIMIT
        what = "an adapter" if config.get("adapter") else "all weights"
        if not 0 < rate <= limit:
            yield (
                f"learning_rate: {rate:g} is not above 0 and up to {limit:g}, where {what} can "
                f"learn; try {'1e-4' if config.get('adapter') else '5e-6'}"
            )
    steps, warmup = _number(config, "max_steps"), _number(config, "warmup_steps")
    if steps and warmup and steps <= warmup:
        yield f"warmup_steps: {warmup} is all of max_steps {steps}; use warmup_ratio: 0.1"


def _number(config: Mapping[str, Any], key: str) -> float | None:
    """The value of a key that is a number, None for anything else."""
    value = config.get(key)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None


def evaluation_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Checkpoints that are to be chosen without an evaluation, or resumed without their states."""
    has_data = bool(config.get("test_datasets") or config.get("val_set_size"))
    evaluates = has_data and config.get("eval_strategy") != "no"
    best = config.get("load_best_model_at_end")
    for key in ("load_best_model_at_end", "early_stopping_patience", "metric_for_best_model"):
        if config.get("rl") and config.get(key):
            yield f"{key}: Axolotl ignores it under rl: {config['rl']}; use dev_accuracy instead"
    if best and not evaluates:
        yield "load_best_model_at_end: nothing is evaluated; add test_datasets, or val_set_size"
    save, evaluate = _number(config, "save_steps"), _number(config, "eval_steps")
    if best and save and evaluate:
        ratio = save / evaluate
        if abs(ratio - round(ratio)) > 1e-6 or ratio < 1:
            yield (
                f"save_steps: {save} is no multiple of eval_steps {evaluate}, so the best "
                "checkpoint may not be there; make them equal"
            )
    sharded = bool(config.get("deepspeed") or config.get("fsdp_config"))
    if best and config.get("save_only_model") and sharded:
        yield (
            "load_best_model_at_end: the trainer refuses it with save_only_model under DeepSpeed "
            "and FSDP; drop one of the two"
        )
    if config.get("save_only_model") and config.get("auto_resume_from_checkpoints"):
        yield (
            "auto_resume_from_checkpoints: true needs the optimizer states that save_only_model "
            "leaves out; set one of them to false"
        )
    metric = str(config.get("metric_for_best_model") or "loss").removeprefix("eval_")
    if metric != "loss":
        yield (
            f"metric_for_best_model: {metric!r} is only logged, the trainer looks for it among the "
            "results of the evaluation; leave it out (eval_loss)"
        )
    if config.get("save_strategy") == "no" and not config.get("save_steps"):
        yield "save_strategy: 'no' keeps no checkpoint: a killed run starts anew; use 'epoch'"


def method_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Settings that the method ignores, or that make another method of it."""
    method = method_of(config)
    losses = config.get("dpo_loss_type") or ["sigmoid"]
    smoothed = {"robust", "exo_pair", "aot", "aot_unpaired"}
    if config.get("dpo_label_smoothing") and not smoothed & set(losses):
        yield (
            f"dpo_label_smoothing: {config['dpo_label_smoothing']} is ignored by the loss "
            f"{', '.join(losses)}; use dpo_loss_type: [robust], or smollm2-135m/dpo-conservative"
        )
    head = _HEAD_CLASSES.get(method)
    if head and config.get("model_type") != head:
        yield (
            f"model_type: {config.get('model_type')!r} has no score head, so no reward would be "
            f"trained; write model_type: {head}"
        )
    if config.get("rl") and (config.get("reward_model") or config.get("process_reward_model")):
        yield f"reward_model: is not trained under rl: {config['rl']}; remove one of the two"
    if method == "reward" and config.get("num_labels", 1) != 1:
        yield f"num_labels: {config['num_labels']}: a reward is one number; write num_labels: 1"
    if head and config.get("sample_packing"):
        yield "sample_packing: a score is read at the end of a row; set it to false"
    trl = config.get("trl") or {}
    rewards, weights = trl.get("reward_funcs") or [], trl.get("reward_weights")
    if method == "grpo" and not rewards:
        yield "trl.reward_funcs: none: nothing is rewarded; codefavor.training.rewards has some"
    if weights is not None and len(weights) != len(rewards):
        yield f"trl.reward_weights: {len(weights)} weights for {len(rewards)} reward_funcs"
    group = trl.get("num_generations")
    if group is not None and int(group) < 2:
        yield f"trl.num_generations: {group}: a sample is judged against its group; 4 or more"
    for key in ("simpo_gamma", "orpo_alpha", "kto_desirable_weight"):
        owner = key.split("_", maxsplit=1)[0]
        if config.get(key) is not None and method != owner:
            yield f"{key}: {config[key]} is ignored by {method}; it is a setting of rl: {owner}"


def machine_errors(config: Mapping[str, Any], gpus: int) -> Iterator[str]:
    """Precision, quantisation and sharding that do not go together, or not on this machine."""
    if config.get("bf16") is True and config.get("fp16") is True:
        yield "fp16: true beside bf16: true: a training has one precision; set fp16: false"
    if config.get("load_in_4bit") and config.get("load_in_8bit"):
        yield "load_in_8bit: true beside load_in_4bit: true: weights have one form; remove one"
    adapter = config.get("adapter")
    quantised = config.get("load_in_4bit") or config.get("load_in_8bit")
    if adapter == "qlora" and not config.get("load_in_4bit"):
        yield "adapter: 'qlora' without load_in_4bit: true loads whole weights; set it, or use lora"
    if quantised and not adapter:
        yield "load_in_4bit: quantised weights cannot be trained themselves; set adapter: qlora"
    if adapter and not config.get("lora_r"):
        yield f"lora_r: missing beside adapter: {adapter}; write lora_r: 16"
    name = Path(str(config.get("deepspeed") or "")).stem
    if name.startswith("zero3") and config.get("load_in_4bit"):
        yield (
            f"deepspeed: {name} does not split 4-bit weights: each GPU would hold all of them; use "
            "zero2, or --layer hardware/fsdp2"
        )
    if config.get("deepspeed") and (config.get("fsdp_config") or config.get("fsdp")):
        yield "fsdp_config: beside deepspeed: two ways of the same split; remove one of them"
    if gpus == 0 and (config.get("deepspeed") or config.get("fsdp_config")):
        yield "deepspeed: nothing to split on a CPU; remove it"
    if gpus == 0 and (config.get("bf16") or config.get("fp16")):
        yield "bf16: true is no setting for every machine: most CPUs crawl with it; set it to false"


def data_set_errors(config: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """Splits and roles that are not in the data, and test data that was trained on."""
    trained = {}
    for entry in config.get("datasets") or []:
        path = folder / str(entry.get("path") or "")
        trained[str(entry.get("path"))] = file_sha256(path) if path.is_file() else ""
    for key in ("datasets", "test_datasets"):
        for entry in config.get(key) or []:
            yield from _entry_errors(key, entry, folder)
    for entry in config.get("test_datasets") or []:
        name = str(entry.get("path"))
        path = folder / name
        if name in trained or (path.is_file() and file_sha256(path) in trained.values()):
            yield (
                f"test_datasets: {name} is what is trained on, so its loss says nothing; name the "
                "held-out pairs (codefavor pair writes dev.jsonl)"
            )


def _entry_errors(key: str, entry: Mapping[str, Any], folder: Path) -> Iterator[str]:
    path, split = str(entry.get("path") or ""), str(entry.get("split") or "train")
    is_file = path.endswith((".jsonl", ".json", ".parquet", ".csv")) or is_local_path(path, folder)
    if is_file and not re.match(r"train(\[|$)", split):
        yield f"{key}: {path} has no split {split!r}: a file is one split; write split: train"
    if not isinstance(entry.get("type"), str) or "chat_template" not in entry["type"]:
        return
    for role in entry.get("roles_to_train") or []:
        if role not in _ROLES:
            yield f"{key}: roles_to_train: {_unknown('role', role, _ROLES)}"
    data = folder / path
    mapping = entry.get("message_property_mappings") or {}
    if not data.is_file() or not mapping:
        return
    with open(data, encoding="utf-8") as lines:
        row = json.loads(next(lines, "{}") or "{}")
    messages = row.get(str(entry.get("field_messages") or "messages"))
    turn = messages[0] if isinstance(messages, list) and messages else {}
    for name, field in mapping.items():
        if turn and field not in turn:
            yield (
                f"{key}: message_property_mappings.{name}: {field!r} is no key of the turns of "
                f"{path}, which have {', '.join(turn)}"
            )


def template_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Chat templates that do not parse, or that no installed Axolotl has."""
    text = config.get("chat_template_jinja")
    if config.get("chat_template") == "jinja" and not text:
        yield "chat_template: 'jinja' without chat_template_jinja; write the template there"
    if text:
        from jinja2 import TemplateSyntaxError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        try:
            ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).parse(str(text))
        except TemplateSyntaxError as error:
            yield f"chat_template_jinja: line {error.lineno}: {error.message}"


def model_errors(config: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """What the model's own files contradict; nothing where they are not here and not listed."""
    name = str(config.get("base_model") or "")
    root = find_recipes()
    try:
        words = find_config(name, folder, root)
    except (ConfigError, ValueError):
        return
    text = words.get("text_config") or words
    window = int(text.get("max_position_embeddings") or 0)
    length = _number(config, "sequence_len")
    if window and length and length > window and not config.get("rope_scaling"):
        yield f"sequence_len: {length} is above the {window} tokens that {name} was made for"
    yield from _token_errors(config, name, folder, root)
    head = _HEAD_CLASSES.get(method_of(config), "AutoModelForCausalLM")
    if config.get("trust_remote_code"):
        return  # its class is code of the model's own, which is not run here
    try:
        places = places_of(json.dumps(words, sort_keys=True), head)
    except CodefavorError as error:
        yield f"base_model: {name}: no {head} for this architecture: {str(error)[:160]}"
        return
    if config.get("adapter"):
        yield from target_errors(config, places, name)


@functools.cache
def places_of(words: str, model_class: str) -> AdapterPlaces:
    """The places for adapters of a model, from the JSON of its configuration."""
    return adapter_places(build_on_meta(json.loads(words), model_class))


def target_errors(config: Mapping[str, Any], places: AdapterPlaces, name: str) -> Iterator[str]:
    """LoRA targets that are in no layer of the model."""
    ends = ", ".join(sorted({one.rsplit(".", 1)[-1] for one in places.linear}))
    targets = config.get("lora_target_modules") or []
    if isinstance(targets, str):
        if targets != "all-linear" and not any(re.fullmatch(targets, one) for one in places.linear):
            yield f"lora_target_modules: {targets!r} matches no layer of {name}; it has {ends}"
    else:
        for target in targets:
            if not any(one == target or one.endswith(f".{target}") for one in places.linear):
                yield f"lora_target_modules: {target!r} is no layer of {name}; it has {ends}"
    for target in config.get("lora_target_parameters") or []:
        if not any(one.endswith(f".{target}") for one in places.experts):
            yield f"lora_target_parameters: {target!r} is no tensor of experts of {name}; drop it"
    layers = config.get("peft_layers_to_transform") or []
    beyond = [layer for layer in layers if layer >= places.n_layers]
    if beyond:
        yield (
            f"peft_layers_to_transform: {beyond} is beyond the {places.n_layers} layers of {name}, "
            "counted from 0"
        )


def _token_errors(config: Mapping[str, Any], name: str, folder: Path, root: Path) -> Iterator[str]:
    """Special tokens that the tokenizer does not have: a new, untrained one would be made."""
    known = _known_tokens(name, folder, root)
    for role, token in (config.get("special_tokens") or {}).items():
        if known and token not in known:
            yield (
                f"special_tokens.{role}: {token!r} is no token of {name}, so an untrained one "
                f"would be added; it has {', '.join(sorted(known)[:8])}"
            )


def _known_tokens(name: str, folder: Path, root: Path) -> set[str]:
    """The special tokens of a model: of its tokenizer's file here, else of its family."""
    path = folder / name / "tokenizer.json"
    if not path.is_file():
        path = cached_file(name, "tokenizer.json") or path
    if path.is_file():
        written = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = (written.get("model") or {}).get("vocab") or {}
        pieces = {one for one in vocabulary if isinstance(one, str) and one.startswith("<")}
        return pieces | {str(token["content"]) for token in written.get("added_tokens") or []}
    families = load_yaml(root / _FAMILIES)
    family = next((families[key] for key in families if key in name), None)
    return {*family["tokens"].values(), *family.get("others", [])} if family else set()
