"""Numbers of a recipe against the ranges in which they mean something, and those in use."""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.training.check_readers import SAMPLING_METHODS
from codefavor.training.findings import Finding, error, number, warning
from codefavor.training.recipes import PREFERENCES, method_of


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


@functools.cache
def _ranges() -> tuple[Range, ...]:
    """Those of `ranges.csv`."""
    with open(Path(__file__).with_name("ranges.csv"), encoding="utf-8", newline="") as lines:
        return tuple(
            Range(
                line["key"],
                float(line["low"]),
                float(line["high"]),
                line["reason"],
                (float(line["usual_low"]), float(line["usual_high"]))
                if line["usual_low"]
                else None,
                tuple(line["methods"].split()),
            )
            for line in csv.DictReader(lines)
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
    for one in _ranges():
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
