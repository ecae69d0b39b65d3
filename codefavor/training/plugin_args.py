"""The keys that our Axolotl plugins add to a recipe; imports no trainer (see `plugins`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field

from codefavor.training.recipes import method_of

# What a supervised training can be for: answers that are likelier, or letters of pairs.
SFT_JUDGES = {"sft": "likelihood", "pairwise": "pairwise"}


class DevAccuracySettings(BaseModel, extra="forbid"):
    """How to measure dev pairs while training (`dev_accuracy.DevAccuracy`).

    `data`: pairs in any form that `convert` reads; at most `limit` of them are judged every `every`
    optimiser steps, below 1 a share of the run, as in `eval_steps`. `judge` is for sft alone,
    which trains both. `keep_best`: the run ends with the weights of the best measurement.
    `patience`: measurements without gain before it ends.
    """

    data: str
    every: float = Field(default=0.1, gt=0)
    limit: int = Field(default=200, ge=1)
    judge: Literal["pairwise", "likelihood"] | None = None
    system: Literal["empty", "none"] = "empty"
    keep_best: bool = True
    patience: int | None = Field(default=None, ge=1)


class DevAccuracyArgs(BaseModel):
    """Key of a recipe."""

    dev_accuracy: DevAccuracySettings | None = None


# What lets the trainer choose a checkpoint, or an end, by the loss of its own evaluation.
_BY_LOSS = ("load_best_model_at_end", "metric_for_best_model", "early_stopping_patience")


def dev_accuracy_errors(config: Mapping[str, Any]) -> Iterator[str]:
    """Why the dev pairs of a recipe could not be measured, or its best weights not be kept."""
    asked = config.get("dev_accuracy")
    if not asked:
        return
    if (asked.get("judge") is None) == (method_of(config) == "sft"):
        yield (
            "dev_accuracy.judge: pairwise or likelihood says what sft trains, so it is needed "
            "there, and for no other method"
        )
    if config.get("fsdp_config") or config.get("fsdp"):
        yield "dev_accuracy: is not measured under FSDP; use DeepSpeed, or leave it out"
    if not asked.get("keep_best", True):
        return
    for key in _BY_LOSS:
        if config.get(key):
            yield (
                f"{key}: {config[key]} chooses by the evaluation's loss, dev_accuracy by its own "
                f"measurements: remove {key}, or set dev_accuracy.keep_best: false"
            )
    if config.get("save_only_model") and config.get("deepspeed"):
        yield "dev_accuracy.keep_best: under DeepSpeed it needs save_only_model: false"
    if config.get("save_strategy") in {"no", "best"}:
        yield (
            f"save_strategy: {config['save_strategy']!r} keeps no checkpoint for "
            "dev_accuracy.keep_best: use save_steps, or set keep_best: false"
        )


class DPOPArgs(BaseModel):
    """Keys of a recipe: the weight of DPOP's penalty, and where it stands (`losses.dpop_loss`)."""

    dpop_lambda: float | None = Field(default=None, ge=0.0)
    dpop_form: Literal["paper", "additive"] | None = None


@dataclass
class DPOPTrainingArgs:
    """The same two, as fields of the trainer's arguments."""

    dpop_lambda: float | None = field(default=None)
    dpop_form: str | None = field(default=None)


class CurriculumArgs(BaseModel):
    """Key of a recipe: whether rows are trained on in the order of the data file."""

    curriculum_order: bool | None = None


# The plugins of ours that add keys to a recipe (`plugins.py`), and those keys.
PLUGIN_ARGS: dict[str, type[BaseModel]] = {
    "RunPlugin": DevAccuracyArgs,
    "DPOPPlugin": DPOPArgs,
    "CurriculumPlugin": CurriculumArgs,
}
