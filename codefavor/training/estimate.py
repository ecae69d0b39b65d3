"""Memory, steps, hours and dollars of a recipe before anything is rented; pure arithmetic.

Source: memory by component as in Rajbhandari et al. 2020 (ZeRO), table 1; activations as in
Korthikanti et al. 2022, eq. 2 and 5; 6 (2 forward, 4 backward) FLOPs per weight and token.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.training.model_shapes import ModelShape
from codefavor.training.recipes import global_batch, method_of

GIB = 1 << 30
# Two sequences per row: both are in memory at once, and each costs its FLOPs.
_PAIRED = {"dpo", "ipo", "simpo", "orpo", "reward"}
# Sampling writes one token of a sequence at a time and so reaches far less of a device's speed.
_SAMPLING_FACTOR = 8.0
_WITH_REFERENCE = {"dpo", "ipo", "kto", "grpo", "gdpo"}


@dataclass(frozen=True)
class Card:
    """One accelerator (or CPU): memory, dense bf16 FLOP/s, the share a training reaches, price.

    `usd_per_hour` is an assumed rental price; pass your own where it matters.
    """

    name: str
    memory_gib: float
    flops: float
    utilisation: float
    usd_per_hour: float


CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        # fp32 at 75 GFLOP/s per core, two cores; measured 0.4 of it in training
        Card("cpu", 16.0, 150e9, 0.42, 0.0),
        Card("rtx4090", 24.0, 165e12, 0.35, 0.45),
        Card("a100-40", 40.0, 312e12, 0.40, 1.30),
        Card("a100-80", 80.0, 312e12, 0.40, 1.80),
        Card("h100", 80.0, 989e12, 0.35, 2.70),
        Card("h200", 141.0, 989e12, 0.38, 3.50),
    )
}


@dataclass(frozen=True)
class Estimate:
    """What a recipe needs. Memory in bytes per GPU by component; `hours` of the whole run."""

    trainable: float
    memory: Mapping[str, float]
    fits: bool
    rows: int
    steps: int
    tokens: float
    hours: float
    usd: float

    @property
    def memory_bytes(self) -> float:
        """The peak per GPU."""
        return sum(self.memory.values())


def sequences_per_row(config: Mapping[str, Any]) -> int:
    """2 for methods whose rows hold a chosen and a rejected answer, else 1."""
    return 2 if method_of(config) in _PAIRED else 1


def trainable_parameters(config: Mapping[str, Any], shape: ModelShape) -> float:
    """How many weights are trained: all, or those of the LoRA matrices."""
    if not config.get("adapter"):
        return shape.parameters
    rank, hidden, inner = int(config["lora_r"]), shape.hidden, shape.intermediate
    queries = shape.query_width
    key_value = queries * shape.kv_share
    sizes = {
        "q_proj": hidden + queries,
        "k_proj": hidden + key_value,
        "v_proj": hidden + key_value,
        "o_proj": queries + hidden,
        "gate_proj": hidden + inner,
        "up_proj": hidden + inner,
        "down_proj": inner + hidden,
    }
    targets = config.get("lora_target_modules") or list(sizes)
    layers = len(config.get("peft_layers_to_transform") or []) or shape.layers
    return layers * rank * sum(sizes.get(name, 0.0) for name in targets)


def memory_per_gpu(
    config: Mapping[str, Any], shape: ModelShape, gpus: int, longest: int
) -> dict[str, float]:
    """The peak memory of one GPU in bytes, by component; `longest` tokens in the longest row."""
    word = 2.0 if config.get("bf16") else 4.0
    weight_word = 0.56 if config.get("load_in_4bit") else word
    trainable = trainable_parameters(config, shape)
    zero = _zero_stage(config)
    shards = max(1, gpus)
    small_optimizer = "8bit" in str(config.get("optimizer", ""))
    # DeepSpeed keeps fp32 master weights and moments; else both moments are of the weights' kind.
    state = (12.0 if zero else 2.0 * word) if not small_optimizer else 2.0
    weights = shape.parameters * weight_word / (shards if zero == 3 else 1)
    if config.get("adapter"):
        weights += trainable * 4.0
    if "offload" in str(config.get("deepspeed", "")):
        state = 0.0  # the optimizer's state and step are in the machine's own memory
    tokens = int(config.get("micro_batch_size") or 1) * sequences_per_row(config) * longest
    layer = tokens * shape.hidden * word * 17  # all that one layer keeps for its backward pass
    checkpointing = bool(config.get("gradient_checkpointing"))
    activations = (
        tokens * shape.hidden * word * shape.layers + layer
        if checkpointing
        else layer * shape.layers
    )
    memory = {
        "weights": weights,
        "gradients": trainable * word / (shards if zero >= 2 else 1),
        "optimizer": trainable * state / (shards if zero >= 1 else 1),
        "activations": activations,
        "logits": tokens * shape.vocabulary * (4.0 + 4.0 + word),
        "framework": 1.2e9 if gpus else 0.7e9,
    }
    if method_of(config) in _WITH_REFERENCE and not config.get("adapter"):
        memory["reference model"] = shape.parameters * word / (shards if zero == 3 else 1)
    return memory


def _zero_stage(config: Mapping[str, Any]) -> int:
    """How much is split over the GPUs: the ZeRO stage; FSDP is 3."""
    if config.get("fsdp_config"):
        return 3
    name = Path(str(config.get("deepspeed") or "")).stem
    return int(name[4]) if name.startswith("zero") and name[4:5].isdigit() else 0


def flops_per_token(config: Mapping[str, Any], shape: ModelShape) -> float:
    """Floating-point operations for one token of a sequence, the reference's pass included."""
    backward = 2.0 if config.get("adapter") else 4.0
    forward = 2.0 + (2.0 if config.get("gradient_checkpointing") else 0.0)
    reference = 2.0 if method_of(config) in _WITH_REFERENCE else 0.0
    return shape.active_parameters * (forward + backward + reference)


def estimate(
    config: Mapping[str, Any],
    shape: ModelShape,
    card: Card,
    *,
    gpus: int,
    rows: int,
    tokens_per_row: float,
    longest: int,
    usd_per_hour: float | None = None,
) -> Estimate:
    """What a recipe needs on `gpus` cards for `rows` rows; a row counts both of its sequences."""
    n_gpus = max(1, gpus)
    batch = global_batch(config, gpus)
    epochs = float(config.get("num_epochs") or 1)
    longest = min(longest, int(config.get("sequence_len") or longest))
    sequence_len = int(config.get("sequence_len") or longest)
    group, sampled = _sampling(config)
    # Every question is answered by a group of samples, each as long as it may be.
    rows, tokens_per_row, longest = rows * group, tokens_per_row + sampled, longest + sampled
    if config.get("sample_packing"):
        steps = math.ceil(epochs * rows * tokens_per_row / (0.95 * sequence_len * batch))
        longest = sequence_len
    else:
        steps = math.ceil(rows / batch) * math.ceil(epochs)
    if config.get("max_steps"):
        epochs *= min(1.0, int(config["max_steps"]) / max(1, steps))
        steps = min(steps, int(config["max_steps"]))
    tokens = rows * tokens_per_row * epochs
    work = tokens * flops_per_token(config, shape)
    work += rows * sampled * epochs * 2.0 * shape.active_parameters * _SAMPLING_FACTOR
    hours = work / (card.flops * card.utilisation * n_gpus) / 3600
    price = card.usd_per_hour if usd_per_hour is None else usd_per_hour
    memory = memory_per_gpu(config, shape, gpus, longest)
    fits = sum(memory.values()) < 0.94 * card.memory_gib * GIB
    trainable = trainable_parameters(config, shape)
    return Estimate(trainable, memory, fits, rows, steps, tokens, hours, hours * price * n_gpus)


def _sampling(config: Mapping[str, Any]) -> tuple[int, int]:
    """Samples of one question, and tokens of one sample; (1, 0) for methods that sample nothing."""
    if method_of(config) not in {"grpo", "gdpo"}:
        return 1, 0
    trl = config.get("trl") or {}
    return int(trl.get("num_generations") or 8), int(trl.get("max_completion_length") or 256)
