"""What LoRA targets name, and PEFT leaves without an adapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codefavor.records import Row
from codefavor.training import new_recipe as making
from codefavor.training.check_model import model_findings
from codefavor.training.derive import Model
from codefavor.training.model_shapes import shape_of_config
from codefavor.training.recipes import find_recipes, load_yaml

pytestmark = pytest.mark.axolotl

ROOT = find_recipes()
USUAL = load_yaml(ROOT / "layers" / "adapter" / "lora.yaml")["lora_target_modules"]
SIZES = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 128, "moe_intermediate_size": 32, "vocab_size": 256,
}  # fmt: skip
QWEN = {"model_type": "qwen3_moe", **SIZES, "num_experts": 4, "num_experts_per_tok": 2}
GLM = {
    "model_type": "glm4_moe", **SIZES, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "n_shared_experts": 1,
}  # fmt: skip
EXPERTS = ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"]


@pytest.mark.parametrize(("config", "is_left"), [(QWEN, False), (GLM, True)], ids=["qwen", "glm"])
def test_layers_that_peft_leaves_out_are_named(tmp_path: Path, config: Row, is_left: bool):
    """PEFT takes the names of shared experts and of a dense first layer for the routed experts'."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
    recipe = {"base_model": "mine", "adapter": "lora", "lora_target_modules": USUAL}
    found = model_findings({**recipe, "lora_target_parameters": EXPERTS}, tmp_path)
    said = [one.message for one in found if "no adapter to" in one.message]
    assert bool(said) is is_left
    if is_left:
        assert "model.layers.N.mlp.shared_experts.up_proj" in said[0]
        assert "model.layers.N.mlp.gate_proj" in said[0]


@pytest.mark.parametrize(("config", "is_left"), [(QWEN, False), (GLM, True)], ids=["qwen", "glm"])
def test_a_new_recipe_says_which_layers_have_no_adapter(monkeypatch, config: Row, is_left: bool):
    model = Model("mine", config, shape_of_config(config), settings={"base_model": "mine"})
    model.settings["sequence_len"] = 512
    monkeypatch.setattr(making, "read_model", lambda *_: model)
    text = making.new_recipe("mine", "dpo", "1x80", root=ROOT)
    header = " ".join(line.strip("# ") for line in text.splitlines() if line.startswith("#"))
    assert ("mlp.shared_experts.up_proj" in header) is is_left
    assert ("not on every linear layer" in header) is is_left
