"""Numbers of a recipe against the ranges in which they mean something, and those in use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from codefavor.training.check_readers import SAMPLING_METHODS
from codefavor.training.findings import Finding, error, number, warning
from codefavor.training.recipes import PREFERENCES, WITH_REFERENCE, method_of


class Range(NamedTuple):
    """A key, the smallest and the largest value that can work, why, and the values in use.

    Outside of `usual` (None: the whole range) a value is odd. `methods` (empty: all) are those that
    the range holds for.
    """

    key: str
    low: float
    high: float
    reason: str
    usual: tuple[float, float] | None = None
    methods: tuple[str, ...] = ()


_TINY = 1e-9
_REWARD_RATIO = "it weighs the distance to the reference"
RANGES: tuple[Range, ...] = (
    Range("num_epochs", _TINY, 1000, "nothing would be trained", (0.01, 100)),
    Range("micro_batch_size", 1, 4096, "a step needs rows"),
    Range("gradient_accumulation_steps", 1, 65536, "a step needs rows"),
    Range(
        "weight_decay", 0, 1, "it shrinks every weight by this share of the learning rate", (0, 0.3)
    ),
    Range("max_grad_norm", 0, 1000, "gradients are scaled down to this length", (0, 100)),
    Range("warmup_ratio", 0, 0.9, "it is a share of the run: 0.1, not 10", (0, 0.5)),
    Range("cosine_min_lr_ratio", 0, 1, "so much of the learning rate is left", (0, 0.5)),
    Range("adam_beta1", 0, 0.99999, "it is the share of the mean that is kept", (0.5, 0.99)),
    Range("adam_beta2", 0, 0.99999, "it is the share of the mean that is kept", (0.9, 0.9999)),
    Range("adam_epsilon", 1e-16, 0.1, "it is added to the divisor of a step", (1e-15, 1e-4)),
    Range("lora_r", 1, 4096, "an adapter of rank 0 is none", (1, 1024)),
    Range("lora_alpha", _TINY, 1e6, "it scales the adapter: 0 switches it off", (1, 2048)),
    Range("lora_dropout", 0, 0.9, "it is a probability", (0, 0.5)),
    Range("neftune_noise_alpha", 0, 1000, "it scales the noise on the embeddings", (0, 20)),
    Range("sequence_len", 16, 1e8, "no row fits", (64, 1e7)),
    Range("val_set_size", 0, 1e9, "it is a share or a count of rows"),
    Range("early_stopping_patience", 1, 1e6, "it counts evaluations without gain"),
    Range("save_total_limit", 1, 1e6, "it counts the checkpoints that are kept"),
    Range("dpo_label_smoothing", 0, 0.4999, "it is the share of wrong labels", (0, 0.3)),
    Range("rl_beta", _TINY, 20, _REWARD_RATIO, (0.005, 5), WITH_REFERENCE),
    Range("rl_beta", _TINY, 200, "it scales the mean log-probability", (0.5, 20), ("simpo",)),
    Range("rl_beta", _TINY, 20, "it weighs the odds ratio", (0.01, 2), ("orpo",)),
    Range("simpo_gamma", 0, 20, "it is the margin of the rewards, beta of 2 to 10", (0, 6)),
    Range("orpo_alpha", _TINY, 20, "it weighs the odds ratio beside the likelihood", (0.01, 2)),
    Range("cpo_alpha", 0, 100, "it weighs the likelihood beside the preference", (0, 2)),
    Range("rpo_alpha", 0, 100, "it weighs the likelihood beside the preference", (0, 5)),
    Range("dpop_lambda", _TINY, 1e4, "it weighs the penalty: 0 is plain DPO", (1e-3, 100)),
    Range("kto_desirable_weight", _TINY, 100, "answers of weight 0 teach nothing", (0.1, 10)),
    Range("kto_undesirable_weight", _TINY, 100, "answers of weight 0 teach nothing", (0.1, 10)),
    Range("center_rewards_coefficient", 0, 10, "it pulls rewards to a mean of 0", (0, 0.1)),
    Range("trl.temperature", 0.01, 10, "samples of one question would all be equal", (0.3, 1.5)),
    Range("trl.top_p", 0.01, 1, "it is a share of the probability", (0.5, 1)),
    Range("trl.beta", 0, 10, _REWARD_RATIO, (0, 0.5)),
    Range("trl.epsilon", _TINY, 10, "ratios are cut off beyond it", (1e-5, 0.5)),
    Range("trl.epsilon_high", _TINY, 10, "ratios are cut off beyond it", (1e-5, 1)),
    Range("trl.top_k", -1, 1e7, "it is a count of tokens; 0 (vLLM: -1) takes all"),
    Range("trl.min_p", 0, 1, "it is a share of the likeliest token's probability", (0, 0.5)),
    Range("trl.repetition_penalty", 0.01, 10, "it divides scores: 1 changes none", (0.8, 1.5)),
    Range("trl.num_iterations", 1, 1000, "a sample is trained on so many times", (1, 10)),
    Range("trl.ref_model_mixup_alpha", 0, 1, "it is the share of the policy in the reference"),
    Range("trl.replay_buffer_size", 0, 1e7, "it is a count of groups"),
    Range("loraplus_lr_ratio", _TINY, 1000, "it multiplies the learning rate of B", (1, 64)),
    Range("sample_packing_eff_est", 0.01, 1, "it is the share of a window that rows fill"),
    Range("dataset_num_proc", 0, 4096, "it counts processes"),
    Range("save_steps", _TINY, 1e9, "no checkpoint would be written"),
    Range("eval_steps", _TINY, 1e9, "nothing would be evaluated"),
    Range("logging_steps", _TINY, 1e9, "the trainer divides by it"),
    Range("trl.num_generations", 2, 4096, "a sample is judged against its group"),
    Range("trl.max_completion_length", 1, 1e7, "nothing would be sampled", (16, 1e6)),
    Range("dev_accuracy.limit", 1, 1e9, "the accuracy on so few pairs is chance", (20, 1e9)),
    Range("ddp_timeout", 60, 1e7, "processes wait for one another for so many seconds"),
    Range("lr_scheduler_kwargs.num_cycles", 0.01, 1000, "it counts waves", (0.25, 20)),
    Range("overrides_of_model_config.attention_dropout", 0, 0.9, "it is a probability", (0, 0.3)),
    Range("max_steps", -1, 1e9, "it counts steps; -1 and none are the epochs'"),
    Range("seed", 0, 2**32 - 1, "it begins the generators of random numbers"),
    Range("trl.vllm_server_port", 1, 65535, "it is a port"),
    Range("vllm.port", 1, 65535, "it is a port"),
    Range("vllm.gpu_memory_utilization", 0.01, 1, "it is a share of the GPU's memory"),
)


class Rates(NamedTuple):
    """Learning rates: the smallest and the largest in use, and the largest that can work."""

    low: float
    high: float
    limit: float


# Whether it is a preference method, whether an adapter is trained. Sources: the lines of
# `derive.RATES`, and for supervised training of all weights what small models are trained with.
_RATES = {
    (False, False): Rates(1e-8, 1e-4, 5e-3),
    (False, True): Rates(1e-7, 1e-3, 1e-2),
    (True, False): Rates(1e-9, 2e-5, 1e-3),
    (True, True): Rates(1e-8, 5e-4, 1e-2),
}
# Below it a step of Adam is lost in the rounding of a weight of 0.01 in single precision.
_NO_STEP = 1e-10
# The length of a whole gradient below which the parts of it are lost beside adam_epsilon, and the
# shortest that anybody uses.
_NO_GRADIENT, _SHORT = 1e-5, 1e-2
# Optimizers whose steps have a length of their own: Muon's rates are 100 times Adam's.
_OWN_SCALE = ("muon", "dion", "sgd", "lion", "adafactor", "schedule_free", "prodigy")


def number_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Numbers outside the range in which they mean something, or far from those in use."""
    method = method_of(config)
    for one in RANGES:
        value = number(config, one.key)
        if value is None or (one.methods and method not in one.methods):
            continue
        if not one.low <= value <= one.high:
            text = f"{one.key}: {value} is not between {one.low:g} and {one.high:g}"
            yield error(f"{text}: {one.reason}")
        elif one.usual and not one.usual[0] <= value <= one.usual[1]:
            usual = f"{one.usual[0]:g} to {one.usual[1]:g}"
            text = f"{one.key}: {value:g} is far from what is in use ({usual})"
            yield warning(f"{text}: {one.reason}; write a value of that range")
    yield from _rate_findings(config, method)
    yield from _clipping_findings(config)
    steps, warmup = number(config, "max_steps"), number(config, "warmup_steps")
    if steps == 0:
        yield warning("max_steps: 0 is no limit: num_epochs counts; remove it, or write a number")
    if steps and warmup and steps <= warmup:
        yield error(f"warmup_steps: {warmup} is all of max_steps {steps}; use warmup_ratio: 0.1")
    yield from _weight_findings(config)


def _clipping_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Gradients that are cut down to nothing; 0 switches the cutting off."""
    longest = number(config, "max_grad_norm")
    if not longest or not 0 < longest < _SHORT:
        return
    text = f"max_grad_norm: {longest:g} scales every gradient down to this length"
    remedy = "write 1.0, or 0 to cut none"
    if longest < _NO_GRADIENT:
        yield error(f"{text}, too short to move a weight; {remedy}")
    else:
        yield warning(f"{text}, and 0.1 to 10 are in use; {remedy}")


def _rate_findings(config: Mapping[str, Any], method: str) -> Iterator[Finding]:
    rate = number(config, "learning_rate")
    if rate is None:
        return
    is_adapter = bool(config.get("adapter"))
    rates = _RATES[method in {*PREFERENCES, *SAMPLING_METHODS}, is_adapter]
    what = "an adapter" if is_adapter else "all weights"
    has_own_scale = any(name in str(config.get("optimizer")) for name in _OWN_SCALE)
    limit = 1.0 if has_own_scale else rates.limit
    if 0 < rate < _NO_STEP:
        yield error(
            f"learning_rate: {rate:g} is below what a weight of 32 bits can hold of a step, so "
            f"nothing is trained; try {'1e-4' if is_adapter else '5e-6'}"
        )
        return
    if not 0 < rate <= limit:
        yield error(
            f"learning_rate: {rate:g} is not above 0 and up to {limit:g}, where {what} can "
            f"learn; try {'1e-4' if is_adapter else '5e-6'}"
        )
    elif not has_own_scale and not rates.low <= rate <= rates.high:
        yield warning(
            f"learning_rate: {rate:g} is far from what is in use for {method} of {what} "
            f"({rates.low:g} to {rates.high:g}); a small model may bear it"
        )


def _weight_findings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Several weights that are wrong together."""
    weights = (config.get("trl") or {}).get("reward_weights")
    if isinstance(weights, list) and weights and not any(weights):
        yield error(f"trl.reward_weights: {weights}: nothing is rewarded; give one a weight")
    adapters, alpha = number(config, "lora_r"), number(config, "lora_alpha")
    if not adapters or not alpha or adapters < 0:
        return
    is_root = bool(config.get("peft_use_rslora"))
    scale = alpha / (math.sqrt(adapters) if is_root else adapters)
    if not 1 / 16 <= scale <= 16:
        by = " (by the root of lora_r: peft_use_rslora)" if is_root else ""
        yield warning(
            f"lora_alpha: {alpha:g} with lora_r {adapters:g} scales the adapter by {scale:g}{by}; "
            "1 or 2 is usual"
        )
