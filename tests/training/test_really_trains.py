"""Every method really trains through Axolotl's own command, and its result judges unseen pairs."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from codefavor.backends.local import LocalBackend
from codefavor.errors import TrainingError
from codefavor.judges.likelihood import LikelihoodJudge
from codefavor.judges.llm import LlmJudge
from codefavor.judges.pairwise import PairwiseJudge
from codefavor.judges.process import ProcessJudge
from codefavor.judges.reward import RewardJudge
from codefavor.records import Row, file_sha256
from codefavor.training.recipes import load_yaml
from codefavor.training.stand_in import StandIn
from tests.training.conftest import easy_pairs
from tests.training.really import (
    RECIPES,
    STEPS,
    TRAINING,
    accuracy,
    held_out,
    likelihood_of_chosen,
    share_of,
    train,
    values,
)

pytestmark = [pytest.mark.axolotl]
slow = pytest.mark.slow

# A loss that has no recipe of its own: the recipe it changes, and how.
VARIANTS: dict[str, tuple[str, Row]] = {
    "dpo-ipo": ("dpo", {"dpo_loss_type": ["ipo"]}),
    "dpo-robust": ("dpo", {"dpo_loss_type": ["robust"], "dpo_label_smoothing": 0.1}),
    "dpo-rpo": ("dpo", {"dpo_loss_type": ["sigmoid", "sft"], "dpo_loss_weights": [1.0, 0.2]}),
    "dpo-length-normalised": ("dpo", {"dpo_loss_type": ["sigmoid_norm"], "rl_beta": 2.0}),
    "dpop-additive": ("dpop", {"dpop_form": "additive", "dpop_lambda": 1.0, "rl_beta": 0.1}),
}
PREFERENCE_METHODS = ["dpo", "dpo-conservative", "dpop", "simpo", "orpo", "kto", *VARIANTS]


# One of them runs by default: it has our own trainer, plugin, and the file that must go.
@pytest.mark.parametrize(
    "method",
    [name if name == "dpop" else pytest.param(name, marks=slow) for name in PREFERENCE_METHODS],
)
async def test_preference_methods_learn_to_prefer_the_chosen_code(
    method: str, embedded_model: Path, tmp_path: Path
):
    data_format = "kto" if method == "kto" else "dpo"
    recipe, changes = VARIANTS.get(method, (method, {}))
    batch = {"micro_batch_size": 4} if method == "kto" else {}
    run = train(recipe, data_format, embedded_model, tmp_path, **batch, **changes)
    losses = values(run, "loss")
    assert len(losses) == STEPS
    assert min(losses[-3:]) < losses[0]
    margins = values(run, "rewards/margins")
    assert margins[-1] > margins[0]
    # Axolotl leaves it after DPO and KTO; transformers would load it with random linear layers.
    assert not (run.output_dir / "model.safetensors").exists()
    judge = LikelihoodJudge(embedded_model, adapter=run.output_dir, reduction="implicit_sum")
    assert await accuracy(judge) >= 0.9


@slow
async def test_the_reward_model_learns(embedded_model: Path, tmp_path: Path):
    run = train("reward", "reward", embedded_model, tmp_path)
    losses = values(run, "loss")
    assert sum(losses[-3:]) < sum(losses[:3])
    assert await accuracy(RewardJudge(embedded_model, adapter=run.output_dir)) >= 0.9


@slow
async def test_the_process_reward_model_learns_which_line_is_wrong(
    embedded_model: Path, tmp_path: Path
):
    run = train("process", "process", embedded_model, tmp_path, max_steps=10)
    losses = values(run, "loss")
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    judge = ProcessJudge(embedded_model, adapter=run.output_dir)
    assert await accuracy(judge) >= 0.9
    comparison = held_out()[0]
    first, last = judge.line_probabilities([(comparison.instruction, "", comparison.code_b)])[0]
    assert first > last


@slow
async def test_supervised_training_makes_good_code_likelier(embedded_model: Path, tmp_path: Path):
    run = train("sft", "sft", embedded_model, tmp_path)
    losses = values(run, "loss")
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    before = await likelihood_of_chosen(LikelihoodJudge(embedded_model))
    after = await likelihood_of_chosen(LikelihoodJudge(embedded_model, adapter=run.output_dir))
    assert after > before + 0.1


@slow
async def test_all_weights_can_be_trained(embedded_model: Path, tmp_path: Path):
    run = train("sft-full", "sft", embedded_model, tmp_path, max_steps=3, learning_rate=5e-5)
    losses = values(run, "loss")
    assert losses[-1] < losses[0]
    before = await likelihood_of_chosen(LikelihoodJudge(embedded_model))
    after = await likelihood_of_chosen(LikelihoodJudge(run.output_dir))
    assert after > before


@slow
async def test_the_pairwise_judge_learns_to_answer_by_content(embedded_model: Path, tmp_path: Path):
    """The base model answers A whatever is shown, so it is never right in both orders."""
    run = train(
        "pairwise",
        "pairwise",
        embedded_model,
        tmp_path,
        max_steps=48,
        warmup_steps=4,
        micro_batch_size=8,
        learning_rate=8e-4,
        save_steps=24,
    )
    # Two tokens are trained, the letter and the end of turn: who guesses the letter and knows
    # the end has the loss ln(2) / 2.
    assert fmean(values(run, "loss")[-4:]) < 0.5 * math.log(2) / 2
    assert await accuracy(PairwiseJudge(embedded_model)) <= 0.25
    assert await accuracy(PairwiseJudge(embedded_model, adapter=run.output_dir)) >= 0.9


@slow
async def test_the_reasoning_judge_learns_to_end_with_a_verdict(
    embedded_model: Path, tmp_path: Path
):
    """The base model writes no [RESULT] line; a few steps teach the form, not yet the content."""
    run = train(
        "pairwise-cot", "pairwise_cot", embedded_model, tmp_path, max_steps=12, micro_batch_size=4
    )
    losses = values(run, "loss")
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])
    decided = []
    for adapter in (None, str(run.output_dir)):
        backend = LocalBackend(str(embedded_model), adapter=adapter)
        judge = LlmJudge(backend, mode="reasoned", max_tokens=96, system="empty")
        verdicts = await judge.compare(held_out()[:6])
        decided.append(1.0 - share_of(verdicts, "undecided"))
    assert decided[1] >= 0.8
    assert decided[1] > decided[0]


@slow
def test_grpo_is_rewarded_by_test_runs_and_learns_from_groups_that_differ(
    embedded_model: Path, tmp_path: Path
):
    """So small a model seldom writes a program in 64 tokens: most groups earn nothing."""
    run = train(
        "grpo",
        "grpo",
        embedded_model,
        tmp_path,
        max_steps=8,
        micro_batch_size=8,
        trl__max_completion_length=64,
    )
    rewards = values(run, "reward")
    assert len(rewards) == 8
    assert all(0.0 <= reward <= 1.2 for reward in rewards)
    steps = [row for row in run.metrics if row.get("reward_std") is not None]
    differing = [row for row in steps if row["reward_std"] > 0]
    assert differing
    # Advantages are relative to the group: only where its rewards differ is anything learnt.
    assert all(row["grad_norm"] > 0 for row in differing)
    assert any(row["rewards/passes_tests/mean"] > 0 for row in differing)
    assert (run.output_dir / "adapter_model.safetensors").is_file()


@slow
def test_a_failing_training_ends_in_an_error_with_the_end_of_its_log(
    embedded_model: Path, tmp_path: Path
):
    with pytest.raises(
        TrainingError, match=r"exit code 1: ValueError: Sample exceeds configured sequence_len"
    ):
        train("dpo", "dpo", embedded_model, tmp_path, sequence_len=16)


def log_probability(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> float:
    """The sum over an answer's tokens."""
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        scores = model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return float(scores.gather(1, torch.tensor(answer)[:, None]).sum())


def test_all_weights_are_trained_against_a_reference_that_is_no_longer_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Axolotl loads it whatever the recipe says: 2 bytes a weight on every GPU."""
    monkeypatch.setenv("PYTHONPATH", str(RECIPES.parents[1]))
    model = tmp_path / "model"
    recipe = load_yaml(RECIPES / "dpo.yaml")
    chosen = [one.chosen for one in easy_pairs(TRAINING)]
    StandIn.of(str(recipe["base_model"]), RECIPES.parent).save(model, chosen)
    run = train(
        "dpo",
        "dpo",
        model,
        tmp_path,
        adapter=None,
        precompute_ref_log_probs=True,
        plugins=[*recipe["plugins"], "tests.training.held_models.HeldModels"],
    )
    held = json.loads((run.output_dir / "held.json").read_text())
    assert held["weights"] == held["own"]
    trained, reference = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
        for folder in (run.output_dir, model)
    )
    losses = []
    for row in held["rows"]:
        change = {}
        for side in ("chosen", "rejected"):
            after, before = (
                log_probability(one, row["prompt_ids"], row[f"{side}_ids"])
                for one in (trained, reference)
            )
            assert row[f"ref_{side}_logps"] == pytest.approx(before, abs=1e-3)
            change[side] = after - before
        margin = recipe["rl_beta"] * (change["chosen"] - change["rejected"])
        losses.append(math.log1p(math.exp(-margin)))
    assert values(run, "loss")[0] == pytest.approx(math.log(2), abs=1e-6)
    assert fmean(losses) < math.log(2)
    assert held["loss"] == pytest.approx(fmean(losses), abs=1e-4)


@slow
def test_a_bare_launch_goes_on_behind_a_checkpoint_that_was_cut_short(tmp_path: Path):
    """The same command line without our launcher, and the adapter is the same, bit by bit."""
    model = tmp_path / "model"
    name = str(load_yaml(RECIPES / "dpo.yaml")["base_model"])
    StandIn.of(name, RECIPES.parent).save(model, [one.chosen for one in easy_pairs(TRAINING)])
    run = train("dpo", "dpo", model, tmp_path, max_steps=4, save_steps=2)
    adapter = run.output_dir / "adapter_model.safetensors"
    expected = file_sha256(adapter)
    adapter.unlink()
    cut = run.output_dir / "checkpoint-4"
    (cut / "trainer_state.json").unlink()
    (cut / "optimizer.pt").unlink()
    weights = (cut / adapter.name).read_bytes()
    (cut / adapter.name).write_bytes(weights[: len(weights) // 2])
    log = tmp_path / "bare.log"
    with open(log, "wb") as handle:
        subprocess.run(run.command, cwd=tmp_path, stdout=handle, stderr=handle, check=False)
    assert "checkpoint-4; the run goes on from checkpoint-2" in log.read_text()
    assert file_sha256(adapter) == expected
    rows = [json.loads(line) for line in (run.output_dir / "metrics.jsonl").open()]
    assert [one["step"] for one in rows if one.get("event") == "begin"] == [0, 2]
