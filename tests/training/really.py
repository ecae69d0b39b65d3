"""A few real steps of a committed recipe on pairs that can be learnt, and how its result judges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from codefavor.judges.base import Judge, in_both_orders
from codefavor.records import Comparison, Row, Verdict, write_rows
from codefavor.training.formats import convert
from codefavor.training.launch import TrainingRun, launch
from codefavor.training.recipes import load_yaml
from tests.training.conftest import easy_pairs, easy_problems

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "smollm2-135m"
STEPS = 4
TRAINING, HELD_OUT = range(12), range(100, 102)


def train(
    method: str, data_format: str, model: Path, folder: Path, *, gpus: int = 0, **overrides: Any
) -> TrainingRun:
    """A few steps of a recipe on easy pairs, by `accelerate launch -m axolotl.cli.train`."""
    records = easy_problems(TRAINING) if data_format == "grpo" else easy_pairs(TRAINING)
    data = folder / f"{data_format}.jsonl"
    write_rows(data, convert(records, data_format).rows)
    settings = {
        "base_model": str(model),
        "max_steps": STEPS,
        "warmup_steps": 1,
        "micro_batch_size": 2,
        "learning_rate": 5e-4,
        "save_steps": 3,
    }
    return launch(
        RECIPES / f"{method}.yaml",
        folder=folder,
        gpus=gpus,
        overrides={**with_data(RECIPES / f"{method}.yaml", data), **settings, **overrides},
    )


def with_data(recipe: Path, data: Path) -> Row:
    """The override by which a recipe reads this file."""
    [entry] = load_yaml(recipe)["datasets"]
    return {"datasets": [{**entry, "path": str(data)}]}


def values(run: TrainingRun, name: str) -> list[float]:
    """A metric at every step that logged it."""
    return [row[name] for row in run.metrics if row.get(name) is not None]


def held_out() -> list[Comparison]:
    """Questions on functions that no training saw; A is the better program."""
    return [
        Comparison(pair.instruction, pair.chosen, pair.rejected) for pair in easy_pairs(HELD_OUT)
    ]


async def accuracy(judge: Judge) -> float:
    """The share of held-out pairs that the judge gets right in both orders."""
    verdicts = await in_both_orders(judge).compare(held_out())
    return share_of(verdicts, "A")


def share_of(verdicts: Sequence[Verdict], choice: str) -> float:
    """The share of the verdicts with this choice."""
    return sum(verdict.choice == choice for verdict in verdicts) / len(verdicts)


async def likelihood_of_chosen(judge: Judge) -> float:
    """The mean score of the held-out good programs: log-probability per token."""
    verdicts = await judge.compare(held_out())
    return fmean(json.loads(verdict.raw)["score_a"] for verdict in verdicts)
