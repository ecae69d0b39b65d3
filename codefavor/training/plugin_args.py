"""The keys that our Axolotl plugins add to a recipe; imports no trainer (see `plugins`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, Field


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
