"""Weights are counted as transformers counts them, for every model that a recipe names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from codefavor.errors import ConfigError
from codefavor.training.matrix import read_matrix
from codefavor.training.model_shapes import (
    build_on_meta,
    find_shape,
    shape_of_config,
    weights_of,
)
from codefavor.training.recipes import build, load_yaml

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
MODELS = load_yaml(RECIPES / "models.yaml")

# What the models' own safetensors files on the Hub hold.
PUBLISHED = {
    "Qwen/Qwen2.5-Coder-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.2-3B-Instruct": 3_212_749_824,
    "mistralai/Mistral-7B-Instruct-v0.3": 7_248_023_552,
    "mistralai/Mistral-Nemo-Instruct-2407": 12_247_782_400,
    "google/gemma-2-9b-it": 9_241_705_984,
    "Qwen/Qwen3-Coder-30B-A3B-Instruct": 30_532_122_624,
    "openai/gpt-oss-20b": 20_914_757_184,
    "outputs/models/SmolLM2-135M-Instruct": 134_515_008,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_are_met_to_the_last_weight(name: str):
    assert shape_of_config(MODELS[name]).parameters == PUBLISHED[name]


@pytest.mark.parametrize("name", MODELS)
def test_the_stated_weights_are_those_of_the_model_itself(name: str):
    """Built without memory on torch's meta device by the installed transformers."""
    pytest.importorskip("torch")
    stated = {key: MODELS[name][key] for key in ("parameters", "active") if key in MODELS[name]}
    assert weights_of(build_on_meta(MODELS[name]), MODELS[name]) == stated


def test_a_token_of_a_mixture_of_experts_passes_through_few_of_its_weights():
    shapes = {name: find_shape({"base_model": name}, RECIPES, RECIPES) for name in PUBLISHED}
    active = {name: shape.active_parameters / 1e9 for name, shape in shapes.items()}
    # Published: 3.6 billion without embeddings, and 3.3.
    assert active["openai/gpt-oss-20b"] == pytest.approx(3.6 + 0.58, abs=0.02)
    assert active["Qwen/Qwen3-Coder-30B-A3B-Instruct"] == pytest.approx(3.35, abs=0.02)
    assert active["Qwen/Qwen3-8B"] == pytest.approx(8.19, abs=0.01)


def test_every_recipes_model_is_known_before_it_is_here(tmp_path: Path):
    unknown = {
        build(line, RECIPES).config["base_model"] for line in read_matrix(RECIPES).values()
    } - set(MODELS)
    assert unknown == set()


def test_a_models_own_folder_comes_first(tmp_path: Path):
    name = "outputs/models/SmolLM2-135M-Instruct"
    folder = tmp_path / name
    folder.mkdir(parents=True)
    own = {**MODELS[name], "num_hidden_layers": 1}
    (folder / "config.json").write_text(json.dumps(own))
    assert find_shape({"base_model": name}, tmp_path, RECIPES).layers == 1


def test_an_unknown_model_asks_for_its_size(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nobody/nothing is neither here .* --parameters"):
        find_shape({"base_model": "nobody/nothing"}, tmp_path, RECIPES)
    found = find_shape({"base_model": "nobody/nothing"}, tmp_path, RECIPES, 7e9)
    assert found.parameters == 7e9


def test_the_file_of_shapes_is_plain_yaml():
    text = (RECIPES / "models.yaml").read_text(encoding="utf-8")
    assert set(yaml.safe_load(text)) == set(MODELS)


def test_a_configuration_that_leaves_out_its_class_defaults_has_a_shape():
    """Gemma 3's files say neither heads nor vocabulary where they are those of the class."""
    text = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    found = shape_of_config({"model_type": "gemma3", "text_config": text})
    assert (found.vocabulary, found.attention, found.kv_share) == (262_208, 8 * 256, 0.5)
