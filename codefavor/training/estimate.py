"""Memory, steps, hours and dollars of a recipe before anything is rented; pure arithmetic.

Source: memory by component as in Rajbhandari et al. 2020 (ZeRO), table 1; activations as in
Korthikanti et al. 2022 (section 4, counted for gated layers without dropout); 6 (2 forward, 4
backward) FLOPs per weight and token.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
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
# What DeepSpeed's ZeRO-3 holds beside a GPU's share, with our recipes/deepspeed/zero3.json: weights
# gathered for use and prefetched (two sets of up to 1e9), fp32 gradients of the group of up to 1e9
# weights that is being stepped, and buckets for the exchange.
_LIVE_WEIGHTS = 1e9
_BUCKETS = 1e9
# DeepSpeed's own rule for the host: half as much again as the states that are there.
_HOST_FACTOR = 1.5
# Reported peaks are within a quarter of these sums (tests/training/test_estimate.py).
_UNCERTAINTY = 1.25


@dataclass(frozen=True)
class Card:
    """One accelerator (or CPU): memory, dense bf16 FLOP/s, the share a training reaches, price.

    `usd_per_hour` is an assumed rental price; pass your own where it matters. Speed and price of a
    card of which only the memory is known are NaN, and so are the hours and dollars of a run on it.
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
    """What a recipe needs. Memory in bytes per GPU by component; `hours` of the whole run.

    `host` is the memory of one machine under offload, `disk` the most that checkpoints and result
    take together; both in bytes. `is_tight`: it fits, and would not with a quarter more, which
    is as far as estimates are off.
    """

    trainable: float
    memory: Mapping[str, float]
    host: float
    disk: float
    fits: bool
    is_tight: bool
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
        return whole_parameters(config, shape)
    rank, layers = int(config["lora_r"]), config.get("peft_layers_to_transform") or []
    total = float(rank * sum(size for name, size in _linear(shape) if _is_target(config, name)))
    if config.get("lora_target_parameters"):
        one = (shape.hidden + 2 * shape.expert_width) + (shape.expert_width + shape.hidden)
        total += (len(layers) or shape.layers) * rank * shape.experts * one
    return total


def _is_target(config: Mapping[str, Any], name: str) -> bool:
    """Whether LoRA is on the linear module of this name, by the rules of peft."""
    layers, targets = config.get("peft_layers_to_transform"), config.get("lora_target_modules")
    number = re.search(r"\.(\d+)\.", name)
    if layers and not (number and int(number[1]) in layers):
        return False
    if isinstance(targets, str) and targets != "all-linear":
        return re.fullmatch(targets, name) is not None
    if not targets or targets == "all-linear":
        return True
    return any(f".{name}".endswith(f".{target}") for target in targets)


def _linear(shape: ModelShape) -> Sequence[tuple[str, float]]:
    """The linear modules of all layers, each with the sum of its widths: Llama's, if not known."""
    if shape.linear:
        return shape.linear
    hidden, inner, queries = shape.hidden, shape.intermediate, shape.query_width
    key_value = queries * shape.kv_share
    sizes = {
        "q_proj": hidden + queries,
        "k_proj": hidden + key_value,
        "v_proj": hidden + key_value,
        "o_proj": queries + hidden,
    }
    if not shape.experts:
        sizes |= {"gate_proj": hidden + inner, "up_proj": hidden + inner}
        sizes["down_proj"] = inner + hidden
    return [
        (f"model.layers.{layer}.x.{name}", size)
        for layer in range(shape.layers)
        for name, size in sizes.items()
    ]


def whole_parameters(config: Mapping[str, Any], shape: ModelShape) -> float:
    """The weights that are loaded: a model with another head has no layer over the vocabulary."""
    return shape.parameters - (shape.head_parameters if _has_own_head(config) else 0.0)


def _has_own_head(config: Mapping[str, Any]) -> bool:
    return bool(config.get("reward_model") or config.get("process_reward_model"))


def memory_per_gpu(
    config: Mapping[str, Any], shape: ModelShape, gpus: int, longest: int
) -> dict[str, float]:
    """The peak memory of one GPU in bytes, by component; `longest` tokens in the longest row."""
    word = 2.0 if config.get("bf16") else 4.0
    trainable = trainable_parameters(config, shape)
    tokens = int(config.get("micro_batch_size") or 1) * sequences_per_row(config) * longest
    layer = tokens * kept_per_token(shape, word)
    checkpointing = bool(config.get("gradient_checkpointing"))
    activations = (
        tokens * shape.hidden * word * shape.layers + layer
        if checkpointing
        else layer * shape.layers
    )
    memory = {
        **_states(config, shape, trainable, word, max(1, gpus)),
        "activations": activations,
        "logits": tokens * _logits_width(config, shape) * (4.0 + 4.0 + word),
        "framework": 1.2e9 if gpus else 0.7e9,
    }
    # RunPlugin drops it once TRL has its log-probabilities, unless dev pairs are measured with it.
    is_known = config.get("precompute_ref_log_probs") and "RunPlugin" in str(config.get("plugins"))
    is_dropped = is_known and not config.get("dev_accuracy")
    is_kept = not config.get("adapter") and not is_dropped
    if method_of(config) in _WITH_REFERENCE and is_kept:
        split = max(1, gpus) if _zero_stage(config) == 3 else 1
        memory["reference model"] = shape.parameters * word / split
    return memory


def kept_per_token(shape: ModelShape, word: float) -> float:
    """Bytes that one layer keeps of one token for its backward pass, `word` per value.

    Source: Korthikanti et al. 2022, section 4.1, counted anew for a layer of today: RMSNorm in
    fp32, gated MLP, no dropout, an attention that keeps no scores (flash, sdpa).
    """
    # Two norms each keep their input in fp32, what is normalised, and what goes on.
    norms = 2 * shape.hidden * (4.0 + 2 * word)
    # Queries, keys, values, and what attention gives.
    attention = 2 * shape.query_width * (1 + shape.kv_share) * word
    # What each of three matrices gives or takes, and the activation between.
    mlp = 4 * shape.inner_width * word
    return norms + attention + mlp


def _states(
    config: Mapping[str, Any], shape: ModelShape, trainable: float, word: float, gpus: int
) -> dict[str, float]:
    """Weights, gradients and optimizer of one GPU in bytes, and what ZeRO-3 gathers."""
    zero = _zero_stage(config)
    loaded = whole_parameters(config, shape)
    # Of the two that split weights, FSDP alone splits those of 4 bits.
    is_split = zero == 3 and (_is_fsdp(config) or not config.get("load_in_4bit"))
    weights = _weight_bytes(config, shape, word) / (gpus if is_split else 1)
    # Adapters are fp32, with fp32 gradients and moments; whole weights under DeepSpeed have fp32
    # masters and moments, else moments of their own kind.
    gradient = 4.0 if config.get("adapter") else word
    state = 8.0 if config.get("adapter") else 12.0 if zero else 2.0 * word
    if "8bit" in str(config.get("optimizer", "")):
        state = 2.0
    offload = _offloads(config)
    if offload:
        state, gradient = 0.0, 0.0 if zero == 3 else gradient
    if offload and zero == 3:
        weights = 0.0
    if config.get("adapter"):
        weights += trainable * 4.0
    states = {
        "weights": weights,
        "gradients": trainable * gradient / (gpus if zero >= 2 else 1),
        "optimizer": trainable * state / (gpus if zero >= 1 else 1),
    }
    if zero == 3:
        live = 2.0 * min(loaded, _LIVE_WEIGHTS) * word
        ends = 2.0 * shape.vocabulary * shape.hidden * word * (1 if config.get("adapter") else 2)
        stepped = 0.0 if offload else 4.0 * min(trainable / gpus, _LIVE_WEIGHTS)
        states["gathered"] = live + ends + stepped + _BUCKETS
    return states


def _weight_bytes(config: Mapping[str, Any], shape: ModelShape, word: float) -> float:
    """All weights as they are loaded, in bytes."""
    loaded = whole_parameters(config, shape)
    if not config.get("load_in_4bit"):
        return loaded * word
    # Embeddings and the output layer stay as they are.
    head = 0.0 if _has_own_head(config) else shape.head_parameters
    kept = shape.vocabulary * shape.hidden + head
    return (loaded - kept) * 0.56 + kept * word


def _is_fsdp(config: Mapping[str, Any]) -> bool:
    return bool(config.get("fsdp_config"))


def fsdp_setting(config: Mapping[str, Any], name: str) -> bool:
    """A setting of FSDP, under its name of today or the older one with a prefix."""
    asked = config.get("fsdp_config") or {}
    return bool(asked.get(name, asked.get(f"fsdp_{name}")))


def _offloads(config: Mapping[str, Any]) -> bool:
    """Whether weights or optimizer states are kept in the host's memory."""
    by_deepspeed = "offload" in str(config.get("deepspeed", ""))
    return by_deepspeed or fsdp_setting(config, "offload_params")


def _logits_width(config: Mapping[str, Any], shape: ModelShape) -> float:
    """Values per token that the output layer makes at once.

    Liger's fused loss makes those of as many tokens as the model is wide at a time.
    """
    if _has_own_head(config):
        return 0.0
    if config.get("liger_fused_linear_cross_entropy"):
        return float(min(shape.hidden, shape.vocabulary))
    return float(shape.vocabulary)


def host_memory(config: Mapping[str, Any], shape: ModelShape, gpus: int) -> float:
    """Bytes that one machine of up to 8 GPUs needs in its own memory under offload, else 0.

    Source: the rules of DeepSpeed's memory page, with `zero.Init` under ZeRO-3. FSDP holds there
    weights, gradients and states of what is trained (16 bytes each), and the weights that are
    not; before, each process loads the whole model, or with cpu_ram_efficient_loading one does.
    """
    if not _offloads(config):
        return 0.0
    here = min(8, max(1, gpus))
    if _is_fsdp(config):
        weights = _weight_bytes(config, shape, 2.0 if config.get("bf16") else 4.0)
        trained = 16.0 * trainable_parameters(config, shape)
        held = (weights if config.get("adapter") else 0.0) + trained
        loading = 1 if fsdp_setting(config, "cpu_ram_efficient_loading") else here
        return max(held * here / max(1, gpus), weights * loading)
    zero = _zero_stage(config)
    each = 18.0 * here / max(1, gpus) if zero == 3 else max(4.0 * here, 16.0)
    return whole_parameters(config, shape) * each * _HOST_FACTOR


def disk_space(config: Mapping[str, Any], shape: ModelShape) -> float:
    """The most bytes that a run's checkpoints and its result take together."""
    word = 2.0 if config.get("bf16") else 4.0
    trained = trainable_parameters(config, shape)
    weights = trained * (4.0 if config.get("adapter") else word)
    states = 0.0 if config.get("save_only_model") else trained * (12.0 if word == 2.0 else 8.0)
    # The new checkpoint is written before the oldest goes.
    kept = int(config.get("save_total_limit") or 1) + 1
    return weights + kept * (weights + states)


def _zero_stage(config: Mapping[str, Any]) -> int:
    """How much is split over the GPUs: the ZeRO stage; FSDP is 3."""
    if _is_fsdp(config):
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
    if int(config.get("max_steps") or 0) > 0:
        # They take the place of num_epochs, beyond it as well.
        epochs *= int(config["max_steps"]) / max(1, steps)
        steps = int(config["max_steps"])
    tokens = rows * tokens_per_row * epochs
    work = tokens * flops_per_token(config, shape)
    work += rows * sampled * epochs * 2.0 * shape.active_parameters * _SAMPLING_FACTOR
    hours = work / (card.flops * card.utilisation * n_gpus) / 3600
    price = card.usd_per_hour if usd_per_hour is None else usd_per_hour
    memory = memory_per_gpu(config, shape, gpus, longest)
    share = sum(memory.values()) / (0.94 * card.memory_gib * GIB)
    return Estimate(
        trainable=trainable_parameters(config, shape),
        memory=memory,
        host=host_memory(config, shape, gpus),
        disk=disk_space(config, shape),
        fits=share < 1,
        is_tight=1 / _UNCERTAINTY < share < 1,
        rows=rows,
        steps=steps,
        tokens=tokens,
        hours=hours,
        usd=hours * price * n_gpus,
    )


def _sampling(config: Mapping[str, Any]) -> tuple[int, int]:
    """Samples of one question, and tokens of one sample; (1, 0) for methods that sample nothing."""
    if method_of(config) not in {"grpo", "gdpo"}:
        return 1, 0
    trl = config.get("trl") or {}
    return int(trl.get("num_generations") or 8), int(trl.get("max_completion_length") or 256)
