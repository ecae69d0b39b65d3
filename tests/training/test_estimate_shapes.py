"""LoRA is counted on the layers that a model has, and cards that nobody knows are unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("transformers", reason="models are built on the meta device")

from codefavor.cli.main import app
from codefavor.training.estimate import trainable_parameters
from codefavor.training.model_shapes import shape_of_config

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SIZES = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3, "vocab_size": 500}
NEOX = {"model_type": "gpt_neox", "num_attention_heads": 4, **SIZES}
PHI = {"model_type": "phi", "num_attention_heads": 4, **SIZES}


@pytest.mark.parametrize(
    ("model", "targets", "widths"),
    [
        # query_key_value 64 -> 192, dense 64 -> 64, dense_h_to_4h and back
        (NEOX, ["query_key_value", "dense_h_to_4h"], 64 + 192 + 64 + 256),
        (NEOX, None, 64 + 192 + 64 + 64 + 2 * (64 + 256)),
        (PHI, ["q_proj", "fc1", "fc2", "dense"], 2 * (64 + 64) + 2 * (64 + 256)),
        (PHI, r"model\.layers\.\d+\.mlp\.fc[12]", 2 * (64 + 256)),
    ],
    ids=str,
)
def test_lora_is_counted_on_the_layers_that_there_are(model: Any, targets: Any, widths: int):
    config = {"adapter": "lora", "lora_r": 8, "lora_target_modules": targets}
    assert trainable_parameters(config, shape_of_config(model)) == 3 * 8 * widths
    one = {**config, "peft_layers_to_transform": [1]}
    assert trainable_parameters(one, shape_of_config(model)) == 8 * widths


@pytest.mark.parametrize("gpus", ["1x16", "1x8", "7x48"])
def test_a_card_of_no_known_size_is_called_unknown(gpus: str, tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    text = (RECIPES / "gpu1x80" / "qwen2.5-coder-7b-dpo.yaml").read_text(encoding="utf-8")
    n_gpus, size = gpus.split("x")
    runs_on = f"{n_gpus} GPU(s), {gpus};"
    recipe.write_text(text.replace("1 GPU(s), 1x80;", runs_on), encoding="utf-8")
    words = ["recipes", "estimate", str(recipe), "--rows", "100", "--tokens", "500"]
    said = " ".join(CliRunner().invoke(app, words).output.split())
    assert f"unknown {size} GB card" in said, said
    assert "a100" not in said.partition("trained weights")[0]
    assert "unknown: name a card" in said and "USD" not in said
    named = " ".join(CliRunner().invoke(app, [*words, "--card", "h100"]).output.split())
    assert "h100" in named and "USD" in named
