"""Settings that train nothing, no preference or another model are found before a launch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("axolotl", reason="optimizers and schedulers are the trainer's own")

from codefavor.records import Row, write_rows
from codefavor.training.check_data import data_findings
from codefavor.training.check_model import model_findings
from codefavor.training.mistakes import mistakes
from codefavor.training.preflight import token_findings
from codefavor.training.recipes import load_yaml

pytestmark = pytest.mark.axolotl

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
DPO, FULL, GRPO, SFT = (f"smollm2-135m/{one}" for one in ("dpo", "sft-full", "grpo", "sft"))
OPEN = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


def said_of(name: str, changes: Row) -> list[str]:
    config = load_yaml(RECIPES / f"{name}.yaml")
    if "trl" in changes:
        changes = {**changes, "trl": {**config["trl"], **changes["trl"]}}
    return [one.message for one in mistakes({**config, **changes}, 0)]


def sides(**fields: Any) -> Row:
    return {"datasets": [{"path": "x/y", "type": {"prompt_format": OPEN, **fields}}]}


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        (DPO, {"overrides_of_model_config": {"num_hidden_layers": 6}}, "num_hidden_layers: 6"),
        (DPO, {"overrides_of_model_config": {"vocab_size": 32000}}, "another model"),
        (DPO, {"overrides_of_model_config": {"hidden_act": "relu"}}, "hidden_act: relu"),
        (DPO, {"overrides_of_model_config": {"attention_dropout": 0.9}}, "attention_dropout"),
        (DPO, {"dpo_loss_type": ["sft"]}, "no preference is trained"),
        (DPO, {"dpo_loss_type": ["sigmoid", "sft"], "dpo_loss_weights": [0.0, 1.0]}, "no pref"),
        (DPO, {"optimizer": "sgd", "learning_rate": 2e-4}, "hardly moves a weight"),
        (FULL, {"optimizer": "lion_32bit", "learning_rate": 1e-3}, "moves every weight too far"),
        (FULL, {"optimizer": "muon", "learning_rate": 5e-6}, "hardly moves a weight"),
        (FULL, {"embedding_lr": 1.0}, "embedding_lr: 1 is not between"),
        (FULL, {"lr_groups": [{"name": "o", "modules": ["o_proj"], "lr": 5.0}]}, "lr_groups.o.lr"),
        (GRPO, {"trl": {"top_k": 1}}, "trl.top_k: 1: all samples"),
        (GRPO, {"trl": {"min_p": 1.0}}, "trl.min_p: 1.0: all samples"),
        (GRPO, {"trl": {"generation_kwargs": {"do_sample": False}}}, "do_sample: False: all"),
        (
            GRPO,
            {"trl": {"mask_truncated_completions": True, "max_completion_length": 16}},
            "what is cut trains nothing",
        ),
        (SFT, {"min_sample_len": 8192}, "min_sample_len: 8192 is above"),
        (DPO, sides(field_rejected="chosen"), "are both 'chosen'"),
        (DPO, sides(field_chosen="rejected", field_rejected="chosen"), "worse answer"),
        (DPO, sides(chosen_format="{rejected}<|im_end|>"), "chosen_format"),
        (DPO, {"dev_accuracy": {"data": "d", "limit": 1}}, "dev_accuracy.limit: 1"),
        (DPO, {"lr_scheduler": "polynomial", "lr_scheduler_kwargs": {"lr_end": 1.0}}, "lr_end"),
        (DPO, {"lr_scheduler_kwargs": {"num_cycles": 400}}, "num_cycles"),
        (DPO, {"ddp_timeout": 1}, "ddp_timeout"),
    ],
    ids=str,
)
def test_what_trains_nothing_is_named(name: str, changes: Row, says: str):
    found = said_of(name, changes)
    assert any(says in one for one in found), found


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (DPO, {"overrides_of_model_config": {"rope_scaling": {"type": "yarn", "factor": 2.0}}}),
        (DPO, {"dpo_loss_type": ["sigmoid", "sft"], "dpo_loss_weights": [1.0, 0.2]}),
        (DPO, {"optimizer": "lion_32bit", "learning_rate": 5e-5}),
        (FULL, {"embedding_lr": 1e-5}),
        (GRPO, {"trl": {"top_k": 20, "min_p": 0.05, "generation_kwargs": {"do_sample": True}}}),
        (SFT, {"min_sample_len": 10}),
        (DPO, sides(field_chosen="good", field_rejected="bad", chosen_format="{chosen}\n")),
    ],
    ids=str,
)
def test_what_is_in_use_is_let_pass(name: str, changes: Row):
    assert said_of(name, changes) == said_of(name, {})


@pytest.mark.parametrize(("split", "is_told"), [("train[:2]", True), ("train[:90%]", False)])
def test_a_slice_of_a_try_is_named(split: str, is_told: bool, tmp_path: Path):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    write_rows(tmp_path / "data.jsonl", [{"messages": turns, "n": n} for n in range(100)])
    entry = {"path": "data.jsonl", "split": split, "type": "chat_template"}
    found = data_findings({"datasets": [entry]}, tmp_path, 0)
    assert any("as for a try" in one.message for one in found) == is_told


@pytest.mark.parametrize(("template", "is_told"), [("alpaca", True), ("chatml", False)])
def test_a_template_that_marks_turns_otherwise_is_named(template: str, is_told: bool):
    config = load_yaml(RECIPES / "gpu1x80" / "qwen2.5-coder-7b-dpo.yaml")
    found = model_findings({**config, "chat_template": template}, RECIPES.parent)
    assert any("marks a turn" in one.message for one in found) == is_told


def test_turn_tokens_of_another_family_are_named(embedded_model: Path, tmp_path: Path):
    row = {"instruction": "q", "prompt": "q", "chosen": "a", "rejected": "b"}
    write_rows(tmp_path / "data.jsonl", [row])
    config = {**load_yaml(RECIPES / f"{DPO}.yaml"), "base_model": str(embedded_model)}
    for kind, is_told in (("llama3.prompt_pairs", True), ("chatml.prompt_pairs", False)):
        config["datasets"] = [{"path": "data.jsonl", "split": "train", "type": kind}]
        found = [one.message for one in token_findings(config, tmp_path)]
        assert any("<|eot_id|>" in one for one in found) == is_told, found


def test_rows_below_the_shortest_length_are_counted(embedded_model: Path, tmp_path: Path):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    write_rows(tmp_path / "data.jsonl", [{"messages": turns}])
    config = {**load_yaml(RECIPES / f"{SFT}.yaml"), "base_model": str(embedded_model)}
    config["datasets"] = [{"path": "data.jsonl", "split": "train", "type": "chat_template"}]
    [found] = token_findings({**config, "min_sample_len": 500}, tmp_path)
    assert (found.severity, "drops 1 of 1" in found.message) == ("error", True)
