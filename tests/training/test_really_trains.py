"""Every method really trains through Axolotl's own command, and its result is reloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from codefavor.errors import TrainingError
from codefavor.judges.base import in_both_orders
from codefavor.judges.likelihood import LikelihoodJudge
from codefavor.judges.scalar import ScalarJudge
from codefavor.records import Comparison, write_rows
from codefavor.training.formats import convert
from codefavor.training.launch import TrainingRun, launch
from tests.training.conftest import easy_pairs, easy_problems

pytestmark = [pytest.mark.axolotl, pytest.mark.slow]

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "smollm2-135m"
STEPS = 6
TRAINING, HELD_OUT = range(12), range(100, 102)


def train(method: str, data_format: str, model: Path, folder: Path, **overrides) -> TrainingRun:
    """A few steps of a committed recipe on easy pairs."""
    records = easy_problems(TRAINING) if data_format == "grpo" else easy_pairs(TRAINING)
    data = folder / f"{data_format}.jsonl"
    write_rows(data, convert(records, data_format).rows)
    return launch(
        RECIPES / f"{method}.yaml",
        folder=folder,
        data=data,
        gpus=0,
        overrides={
            "base_model": str(model),
            "max_steps": STEPS,
            "warmup_steps": 1,
            "micro_batch_size": 4 if method in {"kto", "grpo"} else 2,
            "learning_rate": 5e-4,
            "save_steps": 3,
            **overrides,
        },
    )


def values(run: TrainingRun, name: str) -> list[float]:
    return [row[name] for row in run.metrics if row.get(name) is not None]


async def accuracy(judge) -> float:
    """The share of held-out pairs that the judge gets right in both orders."""
    comparisons = [
        Comparison(pair.instruction, pair.chosen, pair.rejected) for pair in easy_pairs(HELD_OUT)
    ]
    verdicts = await in_both_orders(judge).compare(comparisons)
    return sum(verdict.choice == "A" for verdict in verdicts) / len(verdicts)


@pytest.mark.parametrize("method", ["dpo", "dpop", "dpop-additive", "simpo", "orpo", "kto"])
async def test_preference_methods_learn_to_prefer_the_chosen_code(
    method: str, embedded_model: Path, tmp_path: Path
):
    data_format = method if method in {"orpo", "kto"} else "dpo"
    run = train(method, data_format, embedded_model, tmp_path)
    losses = values(run, "loss")
    assert len(losses) == STEPS
    assert min(losses[-3:]) < losses[0]
    assert not (run.output_dir / "model.safetensors").exists()
    judge = LikelihoodJudge(embedded_model, adapter=run.output_dir, reduction="implicit_sum")
    assert await accuracy(judge) >= 0.9


@pytest.mark.parametrize(
    "method", ["dpo-ipo", "dpo-conservative", "dpo-robust", "dpo-rpo", "dpo-length-normalised"]
)
def test_every_loss_of_the_dpo_family_trains(method: str, embedded_model: Path, tmp_path: Path):
    run = train(method, "dpo", embedded_model, tmp_path, max_steps=3)
    margins = values(run, "rewards/margins")
    assert margins[0] == 0.0
    assert margins[-1] > 0.0


async def test_the_reward_model_learns(embedded_model: Path, tmp_path: Path):
    run = train("reward", "reward", embedded_model, tmp_path)
    losses = values(run, "loss")
    assert sum(losses[-3:]) < sum(losses[:3])
    assert await accuracy(ScalarJudge(embedded_model, adapter=run.output_dir)) >= 0.9


@pytest.mark.parametrize(
    ("method", "data_format"),
    [("sft", "sft"), ("pairwise", "pairwise"), ("pairwise-cot", "pairwise_cot")],
)
def test_supervised_methods_learn(method, data_format, embedded_model: Path, tmp_path: Path):
    run = train(method, data_format, embedded_model, tmp_path)
    losses = values(run, "loss")
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_all_weights_can_be_trained(embedded_model: Path, tmp_path: Path):
    run = train("sft-full", "sft", embedded_model, tmp_path, max_steps=3, learning_rate=5e-5)
    losses = values(run, "loss")
    assert losses[-1] < losses[0]
    assert (run.output_dir / "model.safetensors").is_file()


def test_grpo_is_rewarded_by_test_runs(embedded_model: Path, tmp_path: Path):
    run = train(
        "grpo", "grpo", embedded_model, tmp_path, max_steps=2, trl__max_completion_length=48
    )
    rewards = values(run, "rewards/passes_tests/mean")
    assert len(rewards) == 2
    assert all(0.0 <= reward <= 1.0 for reward in rewards)


def test_a_failing_training_ends_in_an_error_with_the_end_of_its_log(
    embedded_model: Path, tmp_path: Path
):
    with pytest.raises(
        TrainingError, match=r"exit code 1: ValueError: Sample exceeds configured sequence_len"
    ):
        train("dpo", "dpo", embedded_model, tmp_path, sequence_len=16)
