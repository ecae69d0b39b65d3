"""The keys that our Axolotl plugins add to a recipe; imports no trainer (see `plugins`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, Field

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
