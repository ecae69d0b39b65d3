"""Sixty-eight mistakes that people make in recipes, all of them found before a model loads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from codefavor.records import Row, write_rows
from codefavor.training.check import RecipeChecker
from codefavor.training.formats import convert
from codefavor.training.mistakes import model_errors
from codefavor.training.recipes import dump, processes_of
from tests.training.conftest import easy_pairs

pytestmark = pytest.mark.axolotl

ROOT = Path(__file__).resolve().parents[2] / "recipes"


class Mistake(NamedTuple):
    """What is changed in a recipe, and what a message must say of it."""

    recipe: str
    changes: Row
    says: str


DPO, SFT, REWARD = "smollm2-135m/dpo", "smollm2-135m/sft", "smollm2-135m/reward"
GRPO, KTO, FULL = "smollm2-135m/grpo", "smollm2-135m/kto", "smollm2-135m/sft-full"
GPU, ZERO = "gpu1x80/qwen3-8b-pairwise", "gpu4x80/qwen3-8b-dpo"
REWARDS = "codefavor.training.rewards"
PREFERENCES = {"split": "train", "type": "codefavor.preferences"}
PAIRS = {"path": "outputs/data/dpo.jsonl", **PREFERENCES}
CHAT = {
    "path": "outputs/data/sft.jsonl",
    "ds_type": "json",
    "split": "train",
    "type": "chat_template",
}

MISTAKES = [
    # names that only the trainer reads
    Mistake(DPO, {"optimizer": "adamw_torhc"}, "optimizer: 'adamw_torhc'.*'adamw_torch'"),
    Mistake(GPU, {"optimizer": "adam_8bits"}, "optimizer: 'adam_8bits'"),
    Mistake(DPO, {"lr_scheduler": "cosin"}, "lr_scheduler: 'cosin'.*'cosine'"),
    Mistake(DPO, {"lr_scheduler": "linear_with_warmup"}, "lr_scheduler: 'linear_with_warmup'"),
    Mistake(GPU, {"attn_implementation": "flash_attention2"}, "attn_implementation.*_2'"),
    Mistake(FULL, {"save_strategy": "epochs", "save_steps": None}, "save_strategy: 'epochs'"),
    Mistake(GPU, {"eval_strategy": "step"}, "eval_strategy"),
    Mistake(DPO, {"dpo_loss_type": ["sigmod"]}, "dpo_loss_type: unknown 'sigmod'"),
    Mistake(DPO, {"rl": "dop"}, "schema"),
    Mistake(DPO, {"gradient_checkpoint": True}, "'gradient_checkpoint'.*'gradient_checkpointing'"),
    Mistake(GRPO, {"trl": {"num_generation": 4}}, "trl.num_generation'"),
    Mistake(SFT, {"datasets": [{**CHAT, "train_on_eos": "trun"}]}, "train_on_eos"),
    Mistake(SFT, {"datasets": [{**CHAT, "roles_to_train": ["asistant"]}]}, "'asistant'.*assistant"),
    Mistake(SFT, {"chat_template": "chatm", "chat_template_jinja": None}, "chat_template"),
    # numbers
    Mistake(DPO, {"learning_rate": 0.0}, "learning_rate: 0 is not above 0"),
    Mistake(DPO, {"learning_rate": 2.0}, "learning_rate: 2 is not"),
    Mistake(FULL, {"learning_rate": 2e-4}, "learning_rate: 0.0002.*all weights.*try 5e-6"),
    Mistake(GPU, {"warmup_ratio": 10}, "warmup_ratio"),
    Mistake(GPU, {"warmup_steps": 20}, "mutually exclusive"),
    Mistake(DPO, {"max_steps": 5}, "warmup_steps: 5 is all of max_steps 5"),
    Mistake(DPO, {"num_epochs": 0}, "num_epochs"),
    Mistake(DPO, {"weight_decay": 10.0}, "weight_decay: 10.0"),
    Mistake(DPO, {"micro_batch_size": 0}, "micro_batch_size"),
    Mistake(DPO, {"rl_beta": 0.0}, "rl_beta"),
    Mistake(DPO, {"lora_r": 0}, "lora_r"),
    Mistake(DPO, {"lora_alpha": 0}, "lora_alpha"),
    Mistake(DPO, {"lora_dropout": 1.5}, "lora_dropout"),
    Mistake(DPO, {"sequence_len": 100_000}, "sequence_len: 100000 is above the 8192 tokens"),
    # adapters
    Mistake(DPO, {"lora_target_modules": ["c_attn"]}, "'c_attn' is no layer of .*it has .*q_proj"),
    Mistake(DPO, {"lora_target_modules": r".*\.query_key_value"}, "matches no layer"),
    Mistake(DPO, {"lora_target_parameters": ["mlp.experts.down_proj"]}, "no tensor of experts"),
    Mistake(
        DPO,
        {"peft_layers_to_transform": [29, 30], "lora_target_modules": ["q_proj"]},
        r"peft_layers_to_transform: \[30\] is beyond the 30 layers",
    ),
    Mistake(DPO, {"lora_r": None}, "lora_r"),
    Mistake(DPO, {"adapter": "lorra"}, "schema"),
    Mistake(GPU, {"adapter": "qlora"}, "adapter: 'qlora' without load_in_4bit|load_in_4bit"),
    Mistake(ZERO, {"load_in_4bit": True}, "load_in_4bit: quantised weights"),
    # the machine
    Mistake(
        ZERO, {"fsdp_version": 2, "fsdp_config": {"offload_params": False}}, "fsdp_config: beside"
    ),
    Mistake(ZERO, {"deepspeed": "recipes/deepspeed/zero4.json"}, "zero4.json does not exist"),
    Mistake(
        ZERO,
        {
            "deepspeed": "recipes/deepspeed/zero3.json",
            "adapter": "qlora",
            "load_in_4bit": True,
            "lora_r": 16,
            "lora_alpha": 32,
            "lora_target_modules": ["q_proj"],
        },
        "zero3 does not split 4-bit weights",
    ),
    Mistake(DPO, {"deepspeed": "recipes/deepspeed/zero3.json"}, "deepspeed: nothing to split"),
    Mistake(GPU, {"fp16": True}, "fp16"),
    Mistake(DPO, {"bf16": True}, "bf16: true is no setting"),
    # data
    Mistake(DPO, {"datasets": [{**PAIRS, "split": "trian"}]}, "no split 'trian'"),
    Mistake(DPO, {"datasets": [{**PAIRS, "split": "test"}]}, "no split 'test'"),
    Mistake(DPO, {"datasets": [{**PAIRS, "path": "outputs/data/dpp.jsonl"}]}, "dpp.jsonl is not"),
    Mistake(DPO, {"datasets": [{**PAIRS, "type": "chat_template.nope"}]}, "no reader for the type"),
    Mistake(SFT, {"datasets": [{**CHAT, "type": "bradley_terry.chat_template"}]}, "not for the"),
    Mistake(DPO, {"test_datasets": [PAIRS], "eval_steps": 10}, "dpo.jsonl is what is trained on"),
    Mistake(
        DPO,
        {"test_datasets": [{**PAIRS, "path": "outputs/data/copy.jsonl"}], "eval_steps": 10},
        "copy.jsonl is what is trained on",
    ),
    Mistake(DPO, {"test_datasets": [PAIRS], "val_set_size": 0.1}, "val_set_size"),
    Mistake(SFT, {"datasets": [{**CHAT, "message_property_mappings": {"role": "from"}}]}, "'from'"),
    Mistake(DPO, {"datasets": []}, "dataset"),
    # evaluation and checkpoints
    Mistake(DPO, {"load_best_model_at_end": True}, "nothing is evaluated"),
    Mistake(DPO, {"eval_steps": 10}, "schema.*eval_steps"),
    Mistake(
        GPU,
        {"load_best_model_at_end": True, "save_steps": 0.25},
        "save_steps: 0.25 is no multiple of eval_steps 0.1",
    ),
    Mistake(ZERO, {"load_best_model_at_end": True}, "refuses it with save_only_model"),
    Mistake(ZERO, {"auto_resume_from_checkpoints": True}, "auto_resume_from_checkpoints"),
    Mistake(GPU, {"metric_for_best_model": "eval_acuracy"}, "metric_for_best_model: 'acuracy'"),
    # templates and tokens
    Mistake(DPO, {"chat_template_jinja": "{% for m in messages %}"}, "chat_template_jinja: line 1"),
    Mistake(GPU, {"special_tokens": {"eos_token": "<|eot_id|>"}}, r"'<\|eot_id\|>' is no token"),
    # the method
    Mistake(DPO, {"dpo_label_smoothing": 0.1}, "dpo_label_smoothing: 0.1 is ignored"),
    Mistake(REWARD, {"model_type": "AutoModelForCausalLM"}, "no score head"),
    Mistake(REWARD, {"num_labels": 2}, "num_labels: 2"),
    Mistake(DPO, {"simpo_gamma": 0.5}, "simpo_gamma: 0.5 is ignored by dpo"),
    Mistake(KTO, {"micro_batch_size": 1}, "micro_batch_size must be above 1"),
    Mistake(GRPO, {"trl": {"num_generations": 4, "reward_funcs": ["json.dumps"]}}, "is no reward"),
    Mistake(
        GRPO,
        {
            "trl": {
                "num_generations": 4,
                "reward_funcs": [f"{REWARDS}.is_runnable"],
                "reward_weights": [1.0, 0.2],
            }
        },
        "2 weights for 1 reward_funcs",
    ),
    Mistake(GRPO, {"trl": {"num_generations": 3}}, "num_generations"),
]


@pytest.fixture(scope="module")
def errors_of(tmp_path_factory) -> Callable[[str, Row], list[str]]:
    """The errors of a committed recipe after some keys were changed; its data is there."""
    folder = tmp_path_factory.mktemp("mistakes")
    checker = RecipeChecker()
    data = folder / "outputs" / "data"
    data.mkdir(parents=True)
    pairs = easy_pairs(range(2))
    for name in ("dpo", "sft", "kto", "reward"):
        write_rows(data / f"{name}.jsonl", convert(pairs, name).rows)
    (data / "copy.jsonl").write_bytes((data / "dpo.jsonl").read_bytes())

    def find(name: str, changes: Row) -> list[str]:
        original = ROOT / f"{name}.yaml"
        text = original.read_text(encoding="utf-8")
        header = "".join(line for line in text.splitlines(True) if line.startswith("#"))
        config: dict[str, Any] = {**yaml.safe_load(text), **changes}
        path = folder / "recipes" / "x" / "recipe.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = {key: config[key] for key in config if config[key] is not None}
        path.write_text(header + dump(kept), encoding="utf-8")
        findings = checker.check(path, gpus=processes_of(original), folder=folder)
        return [finding.message for finding in findings if finding.severity == "error"]

    return find


def test_every_planted_mistake_is_found(errors_of):
    assert len(MISTAKES) == 68
    missed = {}
    for number, mistake in enumerate(MISTAKES):
        found = errors_of(mistake.recipe, mistake.changes)
        if not any(re.search(mistake.says, message) for message in found):
            missed[number] = (mistake.changes, found)
    assert missed == {}


@pytest.mark.parametrize("recipe", [DPO, SFT, REWARD, GRPO, KTO, FULL, GPU, ZERO])
def test_the_recipes_themselves_have_none(errors_of, recipe: str):
    assert errors_of(recipe, {}) == []


def test_a_token_of_another_family_is_found_in_a_models_own_folder(tmp_path: Path):
    """A Qwen recipe on a Llama folder would train a new, random token in silence."""
    model = tmp_path / "mine"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 64}')
    tokens = [{"content": "<|eot_id|>"}, {"content": "<|end_of_text|>"}]
    vocabulary = {"<unk>": 0, "a": 1}
    (model / "tokenizer.json").write_text(
        json.dumps({"added_tokens": tokens, "model": {"vocab": vocabulary}})
    )
    config = {"base_model": "mine", "special_tokens": {"eos_token": "<|im_end|>"}}
    [error] = model_errors({**config, "trust_remote_code": True}, tmp_path)
    assert "special_tokens.eos_token: '<|im_end|>' is no token of mine" in error
    known = {"special_tokens": {"eos_token": "<|eot_id|>", "pad_token": "<unk>"}}
    assert list(model_errors({**config, **known, "trust_remote_code": True}, tmp_path)) == []
