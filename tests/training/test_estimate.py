"""Estimates against what was measured, and against sums done by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codefavor.training.estimate import (
    CARDS,
    GIB,
    estimate,
    memory_per_gpu,
    trainable_parameters,
)
from codefavor.training.model_shapes import (
    ModelShape,
    known_shapes,
    shape_of_config,
    shape_of_size,
)
from codefavor.training.matrix import read_matrix
from codefavor.training.recipes import build

RECIPES = Path(__file__).resolve().parents[2] / "recipes"

# SmolLM2-135M: 134,515,008 weights by the safetensors file.
SMOLLM2 = {
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
LORA = {"adapter": "lora", "lora_r": 16, "micro_batch_size": 1, "sequence_len": 512}
FULL = {"micro_batch_size": 1, "sequence_len": 512}


def test_weights_are_counted_from_the_configuration():
    assert shape_of_config(SMOLLM2).parameters == 134_515_008


def test_lora_weights_are_counted_by_hand():
    # per layer 16 * (q 1152 + k 768 + v 768 + o 1152 + gate 2112 + up 2112 + down 2112)
    assert trainable_parameters(LORA, shape_of_config(SMOLLM2)) == 30 * 16 * 10_176


@pytest.mark.parametrize(
    ("config", "tokens_per_row", "seconds"),
    [
        (FULL, 512, 6.4),
        (LORA, 512, 4.7),
        ({**LORA, "rl": "dpo"}, 1024, 13.4),
        ({**LORA, "rl": "orpo"}, 1024, 9.7),
        ({**LORA, "reward_model": True}, 1024, 7.2),
    ],
    ids=["full", "lora", "dpo", "orpo", "reward"],
)
def test_step_times_are_within_a_factor_of_two_of_the_measured_ones(
    config, tokens_per_row, seconds
):
    """Seconds per row of 512 tokens, measured on two idle cores."""
    found = estimate(
        config,
        shape_of_config(SMOLLM2),
        CARDS["cpu"],
        gpus=0,
        rows=1,
        tokens_per_row=tokens_per_row,
        longest=512,
    )
    assert seconds / 2 < found.hours * 3600 < seconds * 2


@pytest.mark.parametrize(
    ("config", "gigabytes"),
    [(FULL, 3.7), (LORA, 2.8), ({**LORA, "rl": "dpo"}, 4.6), ({**LORA, "rl": "orpo"}, 4.4)],
    ids=["full", "lora", "dpo", "orpo"],
)
def test_memory_is_within_a_third_of_the_measured_peak(config, gigabytes):
    found = sum(memory_per_gpu(config, shape_of_config(SMOLLM2), 0, 512).values()) / 1e9
    assert found == pytest.approx(gigabytes, rel=0.34)


def test_zero3_splits_weights_gradients_and_optimizer_over_the_gpus():
    shape = ModelShape(7e9, 32, 4096, 14336, 128_000, 0.25)
    config = {"bf16": True, "deepspeed": "recipes/deepspeed/zero3.json", "micro_batch_size": 1}
    memory = memory_per_gpu(config, shape, 8, 2048)
    # 2 bytes of weights, 2 of gradients, 12 of fp32 master and moments, over 8 GPUs
    assert [memory[key] for key in ("weights", "gradients", "optimizer")] == [
        7e9 * 2 / 8,
        7e9 * 2 / 8,
        7e9 * 12 / 8,
    ]
    assert "reference model" in memory_per_gpu({**config, "rl": "dpo"}, shape, 8, 2048)


def test_seven_billion_in_full_does_not_fit_one_24_gb_card_but_qlora_does():
    shape = shape_of_size(7.6e9)
    common = {"bf16": True, "gradient_checkpointing": True, "micro_batch_size": 1}
    full = {**common, "sequence_len": 1024}
    qlora = {**full, "adapter": "qlora", "lora_r": 16, "load_in_4bit": True}
    for config, fits in ((full, False), (qlora, True)):
        found = estimate(
            config, shape, CARDS["rtx4090"], gpus=1, rows=100, tokens_per_row=500, longest=1024
        )
        assert found.fits is fits


def test_steps_and_dollars_by_hand():
    batch = {"micro_batch_size": 4, "gradient_accumulation_steps": 2}
    config = {**batch, "num_epochs": 2, "bf16": True}
    shape = ModelShape(1e9, 16, 2048, 8192, 100_000)
    found = estimate(
        config, shape, CARDS["h100"], gpus=8, rows=1000, tokens_per_row=500, longest=500
    )
    assert found.steps == 2 * 16  # 1000 rows in batches of 64: 16 steps an epoch
    seconds = 2 * 1000 * 500 * 6e9 / (989e12 * 0.35 * 8)
    assert found.hours * 3600 == pytest.approx(seconds)
    assert found.usd == pytest.approx(seconds / 3600 * 8 * 2.70)


def test_a_group_of_samples_is_made_and_trained_for_every_question():
    trl = {"num_generations": 4, "max_completion_length": 100}
    config = {"rl": "grpo", "trl": trl, "micro_batch_size": 8, "bf16": True, "sequence_len": 512}
    shape = ModelShape(1e9, 16, 2048, 8192, 100_000)
    found = estimate(config, shape, CARDS["h100"], gpus=1, rows=50, tokens_per_row=60, longest=90)
    assert found.steps == 25  # 50 questions, 4 samples each, in batches of 8
    assert found.tokens == 200 * 160


def test_every_gpu_recipe_fits_the_machine_that_its_folder_names():
    cards = {"24": "rtx4090", "80": "a100-80", "141": "h200"}
    shapes = known_shapes(RECIPES)
    too_large = []
    for name, line in read_matrix(RECIPES).items():
        folder = re.match(r"gpu\dx(\d+)|paper|seeds", name)
        if folder is None:
            continue
        config = build(line, RECIPES).config
        card = cards[folder[1] or "80"]
        found = estimate(
            config,
            shapes[config["base_model"]],
            CARDS[card],
            gpus=line.gpus,
            rows=100,
            tokens_per_row=1000,
            longest=int(config["sequence_len"]),
        )
        if not found.fits:
            too_large.append((name, round(found.memory_bytes / GIB, 1)))
    assert too_large == []
