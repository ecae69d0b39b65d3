"""Mistakes that people make in recipes, all of them found before a model loads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from datasets import Dataset

from codefavor.records import Row, write_rows
from codefavor.training.check import RecipeChecker
from codefavor.training.check_files import gpus_of
from codefavor.training.check_model import model_findings
from codefavor.training.formats import FormatOptions, convert
from codefavor.training.recipes import dump, processes_of
from tests.training.conftest import easy_pairs, easy_problems

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
DPOP, PROCESS = "smollm2-135m/dpop", "smollm2-135m/process"
ORPO, HEAD = "smollm2-135m/orpo", "AutoModelForSequenceClassification"
PAIRWISE, COT = "smollm2-135m/pairwise", "smollm2-135m/pairwise-cot"
GPU_REWARD, SIMPO = "gpu1x80/qwen3-8b-reward", "smollm2-135m/simpo"
GEMMA_2, GEMMA_4 = "paper/gemma-2-9b-commit-cls", "gpu1x80/gemma-4-12b-pairwise"
LLAMA = "gpu8x80/llama-3.1-8b-reward"
MOE, OSS = "gpu1x141/qwen3-coder-30b-a3b-pairwise", "gpu1x80/gpt-oss-20b-pairwise"
GRPO_8 = "gpu8x80/qwen3-4b-grpo"
COLOCATED = {"use_vllm": True, "vllm_mode": "colocate"}
REWARDS = "codefavor.training.rewards"
BY_LOSS = {"load_best_model_at_end": True, "dev_accuracy": None}
REWARD_TYPE = "bradley_terry.chat_template"
PREFERENCES = {"split": "train", "type": "codefavor.preferences"}
PAIRS = {"path": "outputs/data/dpo.jsonl", **PREFERENCES}
CHAT = {
    "path": "outputs/data/sft.jsonl",
    "ds_type": "json",
    "split": "train",
    "type": "chat_template",
}
ALL = ["system", "user", "assistant"]
TURN = "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
CLOSED = "{% for m in messages %}" + TURN + "{% endfor %}"
DROPS = "{% set m = messages[1] %}" + TURN + "{% if add_generation_prompt %}<|im_start|>{% endif %}"
TWICE = CLOSED.replace("|im_end|>", "|im_end|><|im_end|>").replace(
    "{% endfor %}", "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ASKS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
BEGUN_TWICE = f"<|endoftext|><|endoftext|>{CLOSED}{ASKS}"
OTHER_ROLE = f"{CLOSED}{ASKS}".replace("|>assistant", "|>model")
ENDOFTEXT = {"special_tokens": {"eos_token": "<|endoftext|>"}}
SAMPLED = {
    "num_generations": 4,
    "reward_funcs": [f"{REWARDS}.passes_tests", f"{REWARDS}.is_runnable"],
    "max_completion_length": 256,
}


def pays_answers(prompts: list[str], completions: list[str], answer: list[str], **more: object):
    return [float(one == wanted) for one, wanted in zip(completions, answer, strict=True)]


def sft_on(name: str) -> Row:
    return {"datasets": [{**CHAT, "path": f"outputs/data/{name}"}]}


def preferences_on(name: str) -> Row:
    return {"datasets": [{**PAIRS, "path": f"outputs/data/{name}"}]}


def measured_on(name: str) -> Row:
    return {"test_datasets": [{**PAIRS, "path": f"outputs/data/{name}"}], "eval_steps": 10}


def rewards_on(name: str) -> Row:
    return {"datasets": [{**PAIRS, "path": f"outputs/data/{name}"} | {"type": REWARD_TYPE}]}


def steps_on(name: str) -> Row:
    entry = {"path": f"outputs/data/{name}", "split": "train", "type": "stepwise_supervised"}
    return {"datasets": [entry]}


def problems_on(name: str) -> Row:
    return {"datasets": [{"path": f"outputs/data/{name}", "split": "train"}]}


def dev_of(path: str, **settings: Any) -> Row:
    return {"dev_accuracy": {"data": f"outputs/{path}", "every": 0.1, **settings}}


def fsdp_with(layer: str, prefix: str = "") -> Row:
    config = {
        f"{prefix}transformer_layer_cls_to_wrap": layer,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    }
    return {"deepspeed": None, "fsdp_version": 2, "fsdp_config": config, "save_only_model": None}


MISTAKES = [
    # names that only the trainer reads
    Mistake(DPO, {"optimizer": "adamw_torhc"}, "optimizer: 'adamw_torhc'.*'adamw_torch'"),
    Mistake(GPU, {"optimizer": "adam_8bits"}, "optimizer: 'adam_8bits'"),
    Mistake(DPO, {"lr_scheduler": "cosin"}, "lr_scheduler: 'cosin'.*'cosine'"),
    Mistake(DPO, {"lr_scheduler": "linear_with_warmup"}, "lr_scheduler: 'linear_with_warmup'"),
    Mistake(GPU, {"attn_implementation": "flash_attention2"}, "attn_implementation.*_2'"),
    Mistake(
        FULL, {"save_strategy": "epochs", "save_steps": None}, "save_strategy: epochs is refused"
    ),
    Mistake(GPU, {"eval_strategy": "step"}, "eval_strategy"),
    Mistake(GPU, {"eval_strategy": "step", "eval_steps": None}, "eval_strategy: step is refused"),
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
    Mistake(FULL, {"learning_rate": 2e-4}, "learning_rate: 0.0002 is far from.*all weights"),
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
    Mistake(SFT, {"load_best_model_at_end": True}, "it needs test_datasets"),
    Mistake(
        GPU,
        {**BY_LOSS, "save_strategy": "epoch", "save_steps": None},
        "load_best_model_at_end: Axolotl leaves it out",
    ),
    Mistake(SFT, {"lr_scheduler": "reduce_lr_on_plateau"}, "lr_scheduler: reduce_lr.* refused"),
    Mistake(DPO, {"eval_steps": 10}, "schema.*eval_steps"),
    Mistake(
        GPU,
        {**BY_LOSS, "save_steps": 0.25},
        r"save_steps \(0.25\) that are a multiple of eval_steps \(0.1\)",
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
    Mistake(KTO, {"micro_batch_size": 1}, "micro_batch_size: 1: it must be above 1"),
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
    # templates and tokens of another family
    Mistake(GPU, {"chat_template": "llama3"}, r"error: chat_template: 'llama3': .*eot_id.* no tok"),
    Mistake(GPU, {"chat_template": "gemma"}, "error: chat_template: 'gemma': <end_of_turn>"),
    Mistake(ZERO, {"chat_template": "mistral_v3_tekken"}, r"error: chat_template: .*\[INST\]"),
    Mistake(LLAMA, {"chat_template": "chatml"}, r"error: chat_template: 'chatml': .*im_end"),
    Mistake(
        SFT,
        {"chat_template_jinja": "{% for m in messages %}{{ m.role }}{% endfor %}"},
        "error: chat_template_jinja: the answer's text is not written",
    ),
    Mistake(GEMMA_2, {"special_tokens": None}, r"ends with <end_of_turn>.*eot_tokens: \[<end_of_"),
    Mistake(GEMMA_4, {"special_tokens": None}, r"ends with <turn\|>"),
    Mistake(
        GPU_REWARD,
        {"special_tokens": {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}},
        "error: special_tokens.pad_token.*end of text as well",
    ),
    Mistake(GPU, {"special_tokens": {"eos_token": "<|im_ned|>"}}, "error: special_tokens.eos_tok"),
    Mistake(SFT, {"datasets": [{**CHAT, "train_on_eos": "none"}]}, "train_on_eos: none never"),
    # rows
    Mistake(KTO, dev_of("data/kto.jsonl"), "error: dev_accuracy.data: outputs/data/kto.jsonl is"),
    Mistake(KTO, dev_of("data/kto-copy.jsonl"), "error: dev_accuracy.data: .*copy.* is what is"),
    Mistake(KTO, dev_of("pairs/train.jsonl"), "error: dev_accuracy.data: outputs/pairs/train"),
    Mistake(KTO, dev_of("pairs/again.jsonl"), r"error: dev_accuracy.data: .* (\d+) of \1 pairs"),
    Mistake(DPO, measured_on("other-ids.jsonl"), r"error: test_datasets: (\d+) of \1 rows of"),
    Mistake(DPO, measured_on("half.jsonl"), r"warning: test_datasets: 1 of \d+ rows of"),
    Mistake(
        SFT, sft_on("no-answer.jsonl"), r"error: datasets: 1 of \d+ rows have no turn of assis"
    ),
    Mistake(SFT, sft_on("blank.jsonl"), r"error: datasets: (\d+) of \1 rows have no turn"),
    Mistake(SFT, sft_on("broken.jsonl"), "error: datasets: .*broken.jsonl:2: not valid JSON"),
    Mistake(SFT, sft_on("formats"), r"error: datasets: .*several formats \(csv, jsonl\)"),
    Mistake(SFT, sft_on("forms"), "error: datasets: the files of .*rows of several forms"),
    Mistake(
        SFT, {"datasets": [{**CHAT, "split": "train[:0%]"}]}, "error: datasets: split: .*no row"
    ),
    Mistake(
        DPO, {"datasets": [{**PAIRS, "split": "train[90:]"}]}, "error: datasets: split: .*no row"
    ),
    Mistake(SFT, {"datasets": [{**CHAT, "roles_to_train": ["user"]}]}, "warning: .*no answer"),
    Mistake(DPO, {"datasets": [PAIRS, PAIRS]}, "warning: datasets: .*stands twice"),
    Mistake(DPO, preferences_on("equal.jsonl"), "error: datasets: chosen and rejected are equal"),
    Mistake(KTO, preferences_on("liked.jsonl"), "error: datasets: all .* have label true"),
    Mistake(
        KTO, preferences_on("no-label.jsonl"), r"error: .*no-label.jsonl: .*needs .*label \(bool"
    ),
    Mistake(
        KTO,
        {"datasets": [{**PAIRS, "path": "outputs/data/kto.jsonl", "type": "chatml.intel"}]},
        "error: .*kto.jsonl: the type 'chatml.intel' reads 'question'; its rows have completion",
    ),
    Mistake(
        "smollm2-135m/orpo",
        {"datasets": [{"path": "outputs/data/texts.jsonl", "type": "chat_template.argilla"}]},
        "error: .*texts.jsonl: the type 'chat_template.argilla' reads that form .*chosen .str.",
    ),
    Mistake(
        SFT,
        {"datasets": [{**CHAT, "path": "json", "data_files": ["./nowhere.jsonl"]}]},
        "error: datasets: data_files: ./nowhere.jsonl is not there",
    ),
    # names that the model does not have
    Mistake(
        DPO, {"lora_modules_to_save": ["embed_token"]}, "error: lora_modules_to_save: 'embed_t"
    ),
    Mistake(
        FULL, {"unfrozen_parameters": ["^lm_haed.weight$"]}, "error: unfrozen_parameters: '.*ha"
    ),
    Mistake(ZERO, fsdp_with("LlamaDecoderLayer"), "error: fsdp_config.*it has Qwen3DecoderLayer"),
    Mistake(ZERO, fsdp_with("LlamaDecoderLayer", "fsdp_"), "error: fsdp_config.*Qwen3DecoderLayer"),
    Mistake(
        GRPO,
        {"trl": {**SAMPLED, "max_completion_length": 20_000}},
        "error: trl.max_completion_length: 20000 is above the 8192 tokens",
    ),
    # files
    Mistake(DPO, {"lora_model_dir": "./outputs/no"}, "error: lora_model_dir: ./outputs/no is not"),
    Mistake(
        DPO, {"lora_model_dir": "me/adapter"}, "warning: lora_model_dir: me/adapter.*not check"
    ),
    Mistake(
        DPO, {"resume_from_checkpoint": "./outputs/no"}, "error: resume_from_checkpoint: ./out"
    ),
    Mistake(DPO, {"base_model": "outputs/adapter"}, "error: base_model: .*holds an adapter"),
    Mistake(DPO, {"base_model": "outputs/hollow"}, "error: base_model: .*holds no weights"),
    Mistake(GPU, {"base_model": "b/Qwen2.5-7B-GGUF"}, "error: base_model: .*form of llama.cpp"),
    Mistake(ZERO, {"base_model": "Qwen/Qwen2.5-7B-AWQ"}, "error: base_model: .*quantised weights"),
    Mistake(
        GPU, {"base_model": "me/unheard-of-7b"}, "warning: base_model: me/.*not known here, so"
    ),
    Mistake(
        DPO, {"output_dir": "outputs/models/SmolLM2-135M-Instruct"}, "error: output_dir: .*own"
    ),
    Mistake(
        ZERO, {"deepspeed": "micro.json"}, "error: deepspeed: .*train_micro_batch_size_per_gpu"
    ),
    Mistake(ZERO, {"deepspeed": "fp16.json"}, "error: deepspeed: fp16.json has fp16.enabled: True"),
    # numbers, names and the machine
    Mistake(
        GPU, {"hub_strategy": "evry_save", "hub_model_id": "a/b"}, "hub_strategy: evry_save is ref"
    ),
    Mistake(GPU, {"bf16": False, "fp16": False, "tf32": False}, "error: attn_implementation.*half"),
    Mistake(
        GRPO,
        {"trl": {**SAMPLED, "reward_funcs": [f"{REWARDS}.test_quality"]}},
        "error: .*grpo.jsonl: trl.reward_funcs: .*test_quality reads reference; its rows have",
    ),
    Mistake(
        GRPO,
        {"trl": {**SAMPLED, "reward_funcs": [f"{__name__}.pays_answers"]}},
        "error: .*pays_answers reads answer; its rows have",
    ),
    Mistake(GRPO, {"trl": {**SAMPLED, "temperature": 0.0}}, "error: trl.temperature: 0.0 is not"),
    Mistake(GRPO, {"trl": {**SAMPLED, "beta": 40}}, "error: trl.beta: 40 is not between"),
    Mistake(GRPO, {"trl": {**SAMPLED, "reward_weights": [0.0, 0.0]}}, "error: trl.reward_weights"),
    Mistake(SIMPO, {"simpo_gamma": 50}, "error: simpo_gamma: 50 is not between 0 and 20"),
    Mistake(DPO, {"rl_beta": 50}, "error: rl_beta: 50 is not between"),
    Mistake(DPO, {"rl_beta": 8}, "warning: rl_beta: 8 is far from"),
    Mistake(
        DPO, {"dpo_label_smoothing": 0.49, "dpo_loss_type": ["robust"]}, "warning: dpo_label_s"
    ),
    Mistake(KTO, {"kto_desirable_weight": 0.0}, "error: kto_desirable_weight"),
    Mistake(ZERO, {"learning_rate": 1e-4}, "warning: learning_rate: 0.0001 is far from.* for dpo"),
    Mistake(GPU, {"learning_rate": 1e-9}, "warning: learning_rate: 1e-09 is far from"),
    Mistake(DPO, {"adam_beta2": 1.5}, "error: adam_beta2"),
    Mistake(DPO, {"cosine_min_lr_ratio": 2.0}, "error: cosine_min_lr_ratio|schema"),
    Mistake(DPO, {"warmup_steps": 1000}, "warning: warmup_steps: 1000 of the"),
    # what an outsider's second trial planted
    Mistake(GPU, {"attn_implementation": None}, "error: sample_packing: this attention"),
    Mistake(GPU, {"eval_batch_size": 7}, "warning: Axolotl: eval_batch_size != micro_batch"),
    Mistake(SFT, {"datasets": [{**CHAT, "path": "data/typo.jsonl"}]}, "error: .*typo.jsonl is not"),
    Mistake(SFT, {"datasets": [{**CHAT, "path": "a/b/typo.jsonl"}]}, "error: .*typo.jsonl is not"),
    Mistake(SFT, {"datasets": [{**CHAT, "path": "a/b/typo"}]}, "error: .*a/b/typo is not there"),
    Mistake(SFT, {"datasets": [{**CHAT, "path": "data/typo"}]}, "warning: .*data/typo is no file"),
    Mistake(DPO, {"lr_scheduler": "cosine_with_min_lr"}, "error: lr_scheduler: .*min_lr"),
    Mistake(
        DPO,
        {"lr_scheduler": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_rl": 0.1}},
        "error: lr_scheduler: .*min_rl",
    ),
    Mistake(
        GPU, {"gradient_checkpointing_kwargs": {"use_reentrent": False}}, "error: .*use_reentrant'"
    ),
    Mistake(
        ZERO,
        {
            **fsdp_with("Qwen3DecoderLayer"),
            "optimizer": "paged_adamw_8bit",
            "fsdp_config": {"offload_params": True},
        },
        "error: optimizer: 'paged_adamw_8bit' steps on the GPU",
    ),
    Mistake(GPU, {"tokens": ["<tool>"]}, "error: tokens: .*lora_modules_to_save"),
    Mistake(SFT, {"val_set_size": 16, "test_datasets": None}, "error: val_set_size: 16 of"),
    Mistake(GPU, {"base_model": "Qwen/Qwne3-8B"}, "warning: base_model: Qwen/Qwne3-8B"),
    Mistake(
        GPU,
        {"base_model": "Qwen/Qwen2.5-Coder-7B-Instrct"},
        "error: base_model: .*did you mean 'Qwen/Qwen2.5-Coder-7B-Instruct'",
    ),
    Mistake(GPU, {"liger_rope": True, "plugins": None}, "error: liger_.*LigerPlugin"),
    Mistake(DPO, {"lr": 1e-4}, "error: .*drops the key 'lr' .*did you mean 'learning_rate'"),
    # what an outsider's third trial planted: rows
    *(
        Mistake(recipe, on(name), f"error: datasets: 1 of .* rows have {says}")
        for recipe, on, name, says in (
            (DPO, preferences_on, "no-chosen.jsonl", "chosen without a text"),
            (DPO, preferences_on, "null-rejected.jsonl", "rejected without a text"),
            (DPO, preferences_on, "text-chosen.jsonl", "chosen of another type"),
            (DPO, preferences_on, "chosen-by-user.jsonl", "chosen of the role 'user'"),
            (DPO, preferences_on, "no-question.jsonl", "messages without a question"),
            (DPO, preferences_on, "answered.jsonl", "messages that end with an assistant's turn"),
            (KTO, preferences_on, "no-completion.jsonl", "completion without a text"),
            (KTO, preferences_on, "null-label.jsonl", "a label that is neither true nor false"),
            (REWARD, rewards_on, "reward-null.jsonl", "rejected without a text"),
            (REWARD, rewards_on, "reward-blank.jsonl", "chosen without a text"),
            (
                PROCESS,
                steps_on,
                "step-labels.jsonl",
                "labels that are not one true or false a step",
            ),
            (PROCESS, steps_on, "step-blank.jsonl", "completions without a text"),
            (GRPO, problems_on, "no-tests.jsonl", "no tests, which the reward runs"),
            (GRPO, problems_on, "no-prompt.jsonl", "prompt without a question"),
        )
    ),
    Mistake(
        DPO, preferences_on("turned.jsonl"), "warning: .* stand there with chosen and rejected"
    ),
    Mistake(KTO, preferences_on("both.jsonl"), "warning: .* stand there with the other label"),
    Mistake(DPO, preferences_on("blanks.jsonl"), "error: datasets: chosen and rejected are equal"),
    Mistake(SFT, sft_on("all-a.jsonl"), "error: datasets: all of the first 8 answers are A"),
    Mistake(
        SFT, {**sft_on("pairwise.jsonl"), "train_on_inputs": True}, "error: .*train_on_inputs: true"
    ),
    Mistake(
        SFT,
        {"datasets": [{**CHAT, "path": "outputs/data/pairwise.jsonl", "roles_to_train": ALL}]},
        "error: datasets: roles_to_train trains the questions too",
    ),
    Mistake(DPO, {"datasets": [{**PAIRS, "ds_type": "parquet"}]}, "error: .*ds_type: parquet can"),
    # settings
    Mistake(
        DPO, {"output_dir": "outputs/data"}, "error: output_dir: outputs/data is or holds data of"
    ),
    Mistake(DPO, {"output_dir": "."}, "error: output_dir: . is or holds the folder of the launch"),
    Mistake(GRPO, {"trl": {**SAMPLED, "loss_type": "dr_grp"}}, "error: trl.loss_type.*'dr_grpo'"),
    Mistake(DPO, {"peft_init_lora_weights": "pissaa"}, "error: peft_init_lora_weights.*'pissa'"),
    Mistake(DPO, {"optim_args": "betas"}, "error: optim_args: betas is refused by adamw"),
    Mistake(DPO, {"optim_args": "betass=0.9"}, "error: optim_args: betass=0.9: adamw.*not read it"),
    Mistake(DPO, {"optim_args": {"momentum": 0.9}}, "error: optim_args: momentum=0.9: adamw"),
    Mistake(SFT, {"optimizer": "came_pytorch"}, "error: optimizer: came_pytorch is not installed"),
    Mistake(SFT, {"optimizer": "lomo"}, "error: optimizer: lomo is not installed"),
    *(
        Mistake(ZERO, {"deepspeed": told}, f"error: deepspeed: .* has {key}: .* refuses that")
        for told, key in (
            ({"scheduler": {"params": {"warmup_max_lr": 0.01}}}, "scheduler.params.warmup_max_lr"),
            ({"optimizer": {"params": {"betas": [0.5, 0.9]}}}, "optimizer.params.betas"),
            ({"optimizer": {"params": {"eps": 1e-3}}}, "optimizer.params.eps"),
            ({"optimizer": {"params": {"weight_decay": 0.5}}}, "optimizer.params.weight_decay"),
            ({"gradient_accumulation_steps": 3}, "gradient_accumulation_steps"),
            ({"train_batch_size": 7}, "train_batch_size"),
        )
    ),
    Mistake(
        ZERO,
        {"deepspeed": {"scheduler": {"params": {"total_num_steps": 5}}}, "max_steps": 90},
        "error: deepspeed: .* has scheduler.params.total_num_steps: 5",
    ),
    Mistake(DPO, {"val_set_size": 1.5}, "error: val_set_size: 1.5 is neither"),
    Mistake(DPO, {"logging_steps": 0}, "error: logging_steps"),
    Mistake(SIMPO, {"precompute_ref_log_probs": True}, "error: precompute_ref_log_probs: simpo"),
    Mistake(DPOP, {"dpo_loss_type": ["ipo"]}, "error: dpo_loss_type: .* is ignored by DPOPTrainer"),
    Mistake(
        DPO,
        {"dpo_loss_type": ["sigmoid", "sft"], "dpo_loss_weights": [1.0, -0.2]},
        "error: dpo_loss_weights",
    ),
    *(
        Mistake(GRPO, {"trl": {**SAMPLED, **changes}}, says)
        for changes, says in (
            ({"epsilon": 0.2, "epsilon_high": 0.1}, "error: trl.epsilon_high: 0.1 is below"),
            ({"top_k": -5}, "error: trl.top_k: -5"),
            ({"min_p": 2.0}, "error: trl.min_p: 2.0"),
            ({"repetition_penalty": 0.0}, "error: trl.repetition_penalty"),
            ({"num_iterations": 0}, "error: trl.num_iterations: 0"),
            ({"max_completion_length": 8192}, "error: trl.max_completion_length: 8192 is"),
            ({"reward_weights": [-1.0, 0.2]}, "warning: trl.reward_weights: .*negative"),
            ({"reward_funcs": [f"{REWARDS}.is_runnable"] * 2}, "warning: trl.reward_funcs: .*twi"),
        )
    ),
    Mistake(DPO, {**dev_of("pairs/dev.jsonl", every=5000)}, "error: dev_accuracy.every: 5000 is"),
    Mistake(DPO, dev_of("pairs/dev.jsonl", system="none"), "error: dev_accuracy.system: none, and"),
    Mistake(
        DPO,
        {**preferences_on("dpo-no-system.jsonl"), **dev_of("pairs/dev.jsonl")},
        "error: dev_accuracy.system: empty, and .* have no system turn",
    ),
    # files of the model
    Mistake(DPO, {"peft_layers_to_transform": [0]}, "error: peft_layers_to_transform: PEFT ref"),
    Mistake(GPU, {"tokenizer_config": "meta-llama/Llama-3.1-8B-Instruct"}, "error: tokenizer_conf"),
    Mistake(GPU, {"tokenizer_config": "me/unheard-of"}, "warning: tokenizer_config: me/unheard-of"),
    Mistake(
        FULL, {"overrides_of_model_config": {"num_hidden_layer": 9}}, "error: .*'num_hidden_layers'"
    ),
    Mistake(SFT, {"chat_template_jinja": DROPS}, "error: chat_template_jinja: the .* not written"),
    Mistake(DPO, {"chat_template_jinja": CLOSED}, "error: chat_template_jinja: .*add_generation_p"),
    Mistake(ZERO, {"deepspeed": "typo.json"}, "error: .*zero_optimization.stag is unk.* stage"),
    Mistake(
        ZERO, {"deepspeed": "rate.json"}, "error: deepspeed: rate.json has optimizer.params.lr"
    ),
    # what an outsider's fourth trial planted: an adapter that is none, or is on nothing
    Mistake(
        DPO, {"adapter": None}, "error: lora_r, lora_alpha, lora_target_modules: nothing reads"
    ),
    Mistake(FULL, {"loraplus_lr_ratio": 16.0}, "error: loraplus_lr_ratio: nothing reads"),
    Mistake(DPO, {"lora_target_modules": None}, "error: lora_target_modules: missing"),
    Mistake(MOE, {"lora_target_parameters": None}, "warning: .*experts of .*mlp.experts.down_proj"),
    Mistake(OSS, {"lora_mlp_kernel": True}, "error: lora_mlp_kernel: true is for dense"),
    Mistake(FULL, {"unfrozen_parameters": ["^lm_head.weight$"]}, "warning: unfrozen.* is tied"),
    Mistake(DPO, {"unfrozen_parameters": ["lm_head"]}, "error: unfrozen_.* beside an adapter"),
    Mistake(DPO, {"lr_groups": [{"name": "x", "modules": ["nope"], "lr": 1e-3}]}, "error: lr_gro"),
    Mistake(DPO, {"loraplus_lr_ratio": -16.0}, "error: loraplus_lr_ratio"),
    # files
    Mistake(DPO, {"base_model": "outputs/models/Nope"}, "error: base_model: .* is not there"),
    Mistake(DPO, {"base_model": "outputs/models/Nope"}, "warning: base_model: .* not checked"),
    Mistake(DPO, {"base_model_config": "outputs/models/Nope"}, "error: base_model_config: .*there"),
    Mistake(DPO, {"tokenizer_config": "outputs/models/Nope"}, "error: tokenizer_config: .*there"),
    Mistake(DPO, preferences_on("dpo.jsonl.manifest.json"), "error: datasets: .* holds no rows"),
    Mistake(SFT, {"datasets": [{**CHAT, "shards": 1000}]}, "error: datasets: shards: 1000 of"),
    # DeepSpeed's settings, in a file and in the recipe
    Mistake(ZERO, {"deepspeed": {"zero_optimization": {"stage": 4}}}, "error: .*stage: 4 is none"),
    Mistake(ZERO, {"deepspeed": "stage.json"}, "error: .*stage: 4 is none"),
    Mistake(ZERO, {"deepspeed": {"zero_optimization": {"stag": 2}}}, "error: .*did you mean stage"),
    Mistake(ZERO, {"deepspeed": {"fp16": {"enabled": True}}}, "error: .* has fp16.enabled: True"),
    Mistake(
        ZERO, {"deepspeed": {"gradient_clipping": 9.0}}, "error: .* has gradient_clipping: 9.0"
    ),
    Mistake(ZERO, fsdp_with("Qwen3DecoderLayer") | {"fsdp_version": 3}, "error: fsdp_version: 3"),
    # forms
    Mistake(DPO, {"datasets": PAIRS}, "error: datasets: .* is a dict; write a list"),
    Mistake(DPO, {"datasets": ["outputs/data/dpo.jsonl"]}, "error: datasets: .* is no mapping"),
    Mistake(SFT, {"special_tokens": ["<|im_end|>"]}, "error: special_tokens: .* write a mapping"),
    Mistake(DPO, {"lora_target_modules": "(*bad"}, "error: lora_target_modules: .*no regular exp"),
    # what the libraries' own classes refuse
    Mistake(DPO, {"save_steps": 1.5}, "error: save_steps: 1.5.* is refused when the"),
    Mistake(DPO, {"save_steps": 0}, "error: save_steps: 0"),
    Mistake(DPO, {"eval_batch_size": 0}, "error: eval_batch_size: 0 is refused by the data loader"),
    Mistake(DPO, {"dataloader_num_workers": -1}, "error: dataloader_num_workers"),
    Mistake(DPO, {"model_type": "LlamaForCasualLM"}, "error: model_type: .*'LlamaForCausalLM'"),
    Mistake(DPO, {"model_type": "MistralForCausalLM"}, "error: model_type: .*class of mistral"),
    Mistake(DPO, {"tokenizer_type": "LlamaTokenzier"}, "error: tokenizer_type: .*did you mean"),
    Mistake(DPO, {"wandb_mode": "offlin"}, "error: wandb_mode: .*did you mean 'offline'"),
    Mistake(DPO, {"wandb_log_model": "checkpoints"}, "error: wandb_log_model: .*'checkpoint'"),
    Mistake(DPO, {"hub_model_id": "a b/c"}, "error: hub_model_id: 'a b/c' is refused"),
    # the method
    Mistake(PROCESS, {"num_labels": 1}, "error: num_labels: 1: a step is right or wrong"),
    Mistake(DPO, {"dpo_loss_type": ["robust"]}, "error: dpo_loss_type: robust is the loss sigmoid"),
    Mistake(DPO, {"trl": {"num_generations": 4}}, "error: trl: num_generations: dpo samples"),
    Mistake(GRPO, {"rl_beta": 0.04}, "error: rl_beta: 0.04 is ignored beside trl.beta"),
    Mistake(GRPO, {"trl": {**SAMPLED, "ref_model_mixup_alpha": 9}}, "error: trl.ref_model_mixup"),
    Mistake(GRPO, {"use_vllm": True}, "error: .*did you mean 'trl.use_vllm'"),
    Mistake(DPO, {"val_set_size": 1.0}, "error: val_set_size: 1 is neither"),
    Mistake(DPO, {"dataset_num_proc": -2}, "error: dataset_num_proc"),
    Mistake(GPU, {"sample_packing_eff_est": 9.0}, "error: sample_packing_eff_est"),
    Mistake(DPO, {"bf16": "auto"}, "error: bf16: auto is no setting"),
    # keys that another method reads, and what fails once the model is loaded
    Mistake(ORPO, {"rl_beta": 0.3}, "error: orpo_alpha: 0.1 is ignored beside rl_beta: 0.3"),
    Mistake(ORPO, {"cpo_alpha": 1.0}, "error: cpo_alpha: 1.0 is ignored by orpo.* simpo"),
    Mistake(ORPO, {"dpo_label_smoothing": 0.1}, "error: dpo_label_smoothing: 0.1 .* by orpo.* dpo"),
    Mistake(KTO, {"dpo_label_smoothing": 0.1}, "error: dpo_label_smoothing: 0.1 .* by kto.* dpo"),
    Mistake(DPO, {"center_rewards_coefficient": 0.01}, "error: center_rewards.* ignored by dpo"),
    Mistake(SFT, {"center_rewards_coefficient": 0.01}, "error: center_rewards.* ignored by sft"),
    Mistake(SFT, {"rl_beta": 0.1}, "error: rl_beta: 0.1 is ignored by sft"),
    Mistake(REWARD, {"rl_beta": 0.1}, "error: rl_beta: 0.1 is ignored by reward"),
    Mistake(DPO, {"do_causal_lm_eval": True}, "warning: do_causal_lm_eval: True is ignored by dpo"),
    Mistake(DPO, {"dpo_padding_free": True}, "warning: dpo_padding_free: true is switched off"),
    Mistake(SFT, {"default_system_message": "Judge."}, "warning: default_system_message"),
    Mistake(DPO, {"lr_scheduler": "constant"}, "warning: warmup_steps: 5 is ignored by lr_sch"),
    Mistake(DPO, {"model_type": f"{HEAD}", "num_labels": 1}, "error: model_type: .*score head"),
    Mistake(SFT, {"model_type": f"{HEAD}", "num_labels": 1}, "error: num_labels: 1 is ignored"),
    Mistake(DPO, {"lora_alpha": None}, "error: lora_alpha: missing.*write lora_alpha: 32"),
    Mistake(DPO, {"peft_init_lora_weights": "loftq"}, "error: peft_init_lora_weights: 'loftq' is"),
    Mistake(DPO, {"peft_init_lora_weights": "loftQ"}, "error: peft_init_lora_weights: 'loftQ' is"),
    Mistake(FULL, {"optimizer": "galore_adamw"}, "error: optim_target_modules: missing beside"),
    Mistake(OSS, {"attn_implementation": "sdpa"}, "error: attn_impl.*sdpa: GptOss.*write.*eager"),
    Mistake(
        OSS, {"attn_implementation": "flash_attention_2"}, "warning: attn.*write that, or eager"
    ),
    Mistake(
        OSS,
        {"sample_packing": True, "attn_implementation": "flash_attention_2"},
        "warning: attn_implementation: .*vllm-flash-attn3 .*eager and sample_packing: false$",
    ),
    Mistake(
        OSS,
        {"sample_packing": True, "attn_implementation": "kernels-community/vllm-flash-attn3"},
        "error: sample_packing: this attention.*set it to false$",
    ),
    Mistake(
        OSS, {"sample_packing": True}, "error: sample_packing: true with .*eager: GptOss.*false$"
    ),
    Mistake(
        GPU,
        {"attn_implementation": "kernels-community/vllm-flash-attn3"},
        "error: sample_packing: this attention.*flash_attention_2 or sdpa or eager$",
    ),
    # ends, control tokens and turns of the system
    Mistake(DPO, ENDOFTEXT, r"error: chat_template_jinja: an answer ends with <\|im_end\|>, and"),
    Mistake(KTO, ENDOFTEXT, r"error: chat_template_jinja: .* trainer puts .*<\|endoftext\|>"),
    Mistake(ORPO, ENDOFTEXT, r"error: chat_template_jinja: .*write special_tokens: .*<\|im_end"),
    Mistake(ZERO, ENDOFTEXT, r"error: chat_template: .*write special_tokens: .*<\|im_end\|>"),
    Mistake(
        DPO, {"chat_template_jinja": TWICE}, r"error: chat_template_jinja: it writes <\|im_end"
    ),
    Mistake(DPO, preferences_on("ended.jsonl"), r"error: .* \d+ of \d+ rows hold <\|im_end\|> or"),
    Mistake(DPO, preferences_on("chatml.jsonl"), r"error: .*<\|im_start\|>.*first .*chatml.*:1:"),
    Mistake(DPO, preferences_on("one-end.jsonl"), r"warning: .*1 of \d+ rows hold <\|endoftext"),
    Mistake(
        GEMMA_2,
        {"datasets": [{**CHAT, "path": "outputs/data/pairwise.jsonl"}]},
        r"error: datasets: (\d+) of \1 rows have a system's turn.*--system none",
    ),
    # rows that take back what others teach, and labels that nobody asks for
    Mistake(PAIRWISE, sft_on("both-letters.jsonl"), "error: datasets: .*with the other letter"),
    Mistake(
        PAIRWISE, sft_on("one-letter.jsonl"), r"error: datasets: (\d+) of \1 rows.*same letter"
    ),
    Mistake(
        PAIRWISE, sft_on("pair-alike.jsonl"), r"error: datasets: 2 of \d+ rows have the same letter"
    ),
    # what the trainer would be, what it would follow, and what it would be measured on
    *(
        Mistake(DPO, {"trainer_cls": name}, rf"error: trainer_cls: '{name}' is {says}")
        for name, says in (
            ("collections.OrderedDict", "no trainer; .*DPOTrainer"),
            ("transformers.LlamaForCausalLM", "no trainer; .*DPOTrainer"),
            ("trl.SFTTrainer", "a trainer of another method than dpo; .*DPOTrainer"),
        )
    ),
    Mistake(
        GPU, {"liger_rms_norm": None, "liger_rmsnorm": True}, "liger_rmsnorm'.*'liger_rms_norm"
    ),
    Mistake(
        GRPO, {"trl": {**SAMPLED, "sync_ref_model": True}}, "sync_ref_model: true with an adap"
    ),
    Mistake(
        GRPO,
        {"trl": {**SAMPLED, "sync_ref_model": True, "beta": 0.0}, "adapter": None},
        "error: trl.sync_ref_model: true with beta: 0",
    ),
    Mistake(GRPO, {"plugins": []}, r"error: trl.reward_funcs: codefavor.*write plugins: \[codef"),
    Mistake(
        SFT,
        {**BY_LOSS, "val_set_size": 0.1, "eval_steps": 20, "greater_is_better": True},
        "error: greater_is_better: true keeps the checkpoint with the highest loss",
    ),
    Mistake(
        PAIRWISE,
        {"val_set_size": 0.1, "eval_steps": 10},
        "error: val_set_size: 0.1 of rows that stand there in both orders",
    ),
    Mistake(
        COT,
        {"val_set_size": 0.1, "eval_steps": 10},
        "error: val_set_size: 0.1 of rows that stand there in both orders",
    ),
    Mistake(
        GRPO_8,
        {"trl": {**SAMPLED, **COLOCATED}, "vllm": {"tensor_parallel_size": 3}},
        "error: vllm.tensor_parallel_size: 3 does not divide the 8 GPUs",
    ),
    Mistake(GRPO_8, {"vllm": {"tensor_parallel_size": 1}}, "warning: vllm: nothing reads it"),
    Mistake(
        GRPO_8,
        {"trl": {**SAMPLED, "vllm_server_port": 70000}},
        "trl.vllm_server_port: 70000 is not",
    ),
    Mistake(DPO, {"seed": -7}, "error: seed: -7 is not between"),
    Mistake(DPO, {"max_steps": 0}, "warning: max_steps: 0 is no limit"),
    Mistake(DPO, {"deepspeed_config": "zero2.json"}, "deepspeed_config'.*did you mean 'deepspeed'"),
    # reasons that end with a letter
    *(
        Mistake(COT, sft_on(f"cot-{name}.jsonl"), rf"{severity}: datasets: (\d+) of \1 rows {says}")
        for name, severity, says in (
            ("other", "error", "end with no letter that the judge reads"),
            ("small", "error", "end with no letter that the judge reads"),
            ("without", "error", "end with no letter that the judge reads"),
            ("first", "error", "end with no letter that the judge reads"),
            ("bare", "error", "have no reasons before the letter"),
            ("against", "error", "choose the program of which they say"),
            ("answer", "warning", "end otherwise than with the line"),
        )
    ),
    Mistake(COT, sft_on("cot-all-a.jsonl"), r"error: datasets: all of the first \d+ answers are A"),
    Mistake(COT, sft_on("cot-alike.jsonl"), r"error: datasets: 2 of \d+ rows have the same letter"),
    Mistake(
        COT,
        sft_on("pairwise.jsonl"),
        r"error: .* answered by a letter alone.*--format pairwise_cot",
    ),
    Mistake(
        PAIRWISE, sft_on("pairwise_cot.jsonl"), r"error: .* answered by reasons.*--format pairwise"
    ),
    Mistake(PAIRWISE, sft_on("small.jsonl"), "error: datasets: the answers are a and b.*has A and"),
    Mistake(PAIRWISE, sft_on("numbers.jsonl"), "error: datasets: the answers are 1 and 2"),
    Mistake(PROCESS, steps_on("all-right.jsonl"), "error: datasets: all steps .* label true"),
    Mistake(DPO, measured_on("turned-dev.jsonl"), r"error: test_datasets: (\d+) of \1 .*way round"),
    Mistake(
        DPO, {**measured_on("held.jsonl"), "eval_steps": 500}, "warning: eval_steps: 500 is be"
    ),
    Mistake(
        KTO, preferences_on("unequal.jsonl"), "warning: datasets: 144 rows have label true and 1"
    ),
    # evidence that is none
    Mistake(
        PAIRWISE,
        sft_on("worded.jsonl"),
        r"error: datasets: (\d+) of \1 rows answer in words, .*'Program A is better\.'",
    ),
    Mistake(
        PAIRWISE, sft_on("one-worded.jsonl"), r"error: datasets: 1 of \d+ rows answer in words"
    ),
    *(
        Mistake(recipe, on(f"{name}.jsonl"), rf"{severity}: datasets: 1 of \d+ rows have {says}")
        for recipe, on, name, severity, says in (
            (DPO, preferences_on, "echo", "error", "an answer that is the question itself"),
            (DPO, preferences_on, "worse-echo", "warning", "a worse answer that is the question"),
            (DPO, preferences_on, "nan", "error", "a question that is no text but a lost value"),
            (KTO, preferences_on, "kto-none", "error", "a question that is no text but a lost"),
            (SFT, sft_on, "sft-nan", "error", "a question that is no text but a lost value"),
            (SFT, sft_on, "sft-blank", "error", "a question without a text"),
            (REWARD, rewards_on, "reward-nan", "error", "a question that is no text but a lost"),
            (DPO, preferences_on, "null-text", "warning", "an answer that is no text but a lost"),
            (DPO, preferences_on, "one-refusal", "warning", "a refusal as the better answer"),
            (DPO, preferences_on, "fence", "warning", "a fenced program on one side alone"),
        )
    ),
    Mistake(DPO, preferences_on("refusals.jsonl"), r"error: datasets: (\d+) of \1 .*a refusal as"),
    Mistake(
        DPO,
        {"dpo_use_weighting": True, "dpo_loss_type": ["sigmoid", "sft"]},
        "error: dpo_use_weighting: true fails in the trainer beside dpo_loss_type: sft; remove",
    ),
    Mistake(DPOP, {"dpo_use_weighting": True}, "error: dpo_use_weighting: true is ignored by DPOP"),
    # values that train nothing, or too late
    Mistake(DPO, {"max_grad_norm": 1e-9}, "error: max_grad_norm: 1e-09 scales .*write 1.0, or 0"),
    Mistake(DPO, {"max_grad_norm": 1e-3}, "warning: max_grad_norm: 0.001 scales .*write 1.0, or 0"),
    Mistake(DPO, {"learning_rate": 1e-12}, "error: learning_rate: 1e-12 is below .*try 1e-4"),
    Mistake(DPO, {"weight_decay": 1.0}, r"warning: weight_decay: 1 is far .*\(0 to 0.3\).*; write"),
    Mistake(
        DPO, {"logging_steps": 500}, "warning: logging_steps: 500 is beyond the .*; write a sh"
    ),
    Mistake(DPO, {"save_steps": 500}, "warning: save_steps: 500 is beyond the .*; write a share"),
    Mistake(GRPO, {"max_steps": 9, "save_steps": 50}, "warning: save_steps: 50 is beyond the 9 st"),
    Mistake(DPO, {"base_model": "outputs/whole-adapter"}, "error: base_model: .*holds an adapter"),
    # two beginnings, two forms of the place where an answer begins
    Mistake(DPO, {"chat_template_jinja": BEGUN_TWICE}, "error: chat_template_jinja: it begins a "),
    Mistake(
        DPO,
        {"chat_template_jinja": OTHER_ROLE},
        r"error: chat_template_jinja: it asks for an answer with '.*model', and writes .*assistant",
    ),
    Mistake(SFT, {"eot_tokens": ["<|nothing|>"]}, "error: eot_tokens: '<.nothing.>' is no token"),
    # settings that a run does not survive, or ignores
    Mistake(SFT, {"skip_prepare_dataset": True}, "error: skip_prepare_dataset: true leaves rows"),
    Mistake(
        SFT,
        {"datasets": [{**CHAT, "shards": 2, "shards_idx": 7}]},
        "error: datasets: shards_idx: 7 is none of the 2 shards",
    ),
    Mistake(
        DPO,
        {"liger_rope": True, "plugins": ["axolotl.integrations.liger.LigerPlugin"]},
        "error: liger_rope: Liger's kernels run on GPUs alone",
    ),
    Mistake(
        "smollm2-135m/dpo-curriculum-staged",
        {"group_by_length": True},
        "error: group_by_length: true takes the rows out of curriculum_order",
    ),
    Mistake(
        DPO, {"excess_length_strategy": "truncate"}, "warning: rows above sequence_len are cut"
    ),
    # turns and texts of another form
    *(
        Mistake(recipe, on(f"{name}.jsonl"), rf"error: datasets: (\d+) of \1 rows have {says}")
        for recipe, on, name, says in (
            (SFT, sft_on, "dict-content", "a turn whose content is neither a text nor parts"),
            (SFT, sft_on, "reversed", "a system's turn behind another"),
            (SFT, sft_on, "answered-first", "an answer before any question"),
            (SFT, sft_on, "thought-alone", "an answer that is a thought alone"),
            (SFT, sft_on, "thought-open", "an answer that is a thought alone, or one that never"),
            (DPO, preferences_on, "mojibake", "a text whose characters were read in another"),
            (DPO, preferences_on, "numbered", "a program whose lines are numbered"),
            (DPO, preferences_on, "flat", "a program that has lost its indentation"),
        )
    ),
    Mistake(GPU, sft_on("thoughts.jsonl"), r"error: datasets: (\d+) of \1 rows answer with a thou"),
    Mistake(GRPO, problems_on("shown.jsonl"), "warning: datasets: 1 of 1 rows have its tests with"),
    # what figures are measured on
    Mistake(GRPO, problems_on("of-test.jsonl"), "error: datasets: .*of the split test"),
    Mistake(DPO, preferences_on("pairs-of-test.jsonl"), "error: datasets: .*of the split test"),
    # keys of plugins that are not there
    Mistake(DPOP, {"plugins": None}, "error: dpop_lambda.*DPOPPlugin"),
    Mistake(DPO, {"curriculum_order": True}, "error: curriculum_order.*CurriculumPlugin"),
    Mistake(
        DPO, {**dev_of("pairs/dev.jsonl"), "plugins": None}, "error: dev_accuracy: .*RunPlugin"
    ),
    # one answer, numbers in quotes, and a scale by the root of the rank
    Mistake(
        SFT, sft_on("one-answer.jsonl"), "warning: datasets: the answer is one text in 20 of 20"
    ),
    Mistake(DPO, {"learning_rate": "0.5"}, "error: learning_rate: 0.5 is not above 0"),
    Mistake(DPO, {"lora_dropout": "1.5"}, "error: lora_dropout: 1.5 is not between"),
    Mistake(
        DPO,
        {"peft_use_rslora": True, "lora_r": 256, "lora_alpha": 512},
        "warning: lora_alpha: 512 with lora_r 256 scales the adapter by 32 .*rslora",
    ),
    # judges' rows whose letters are never read, or mean nothing
    Mistake(
        PAIRWISE,
        sft_on("spaced.jsonl"),
        "error: datasets: 32 of 32 rows have white space around the letter",
    ),
    Mistake(
        PAIRWISE, sft_on("itself.jsonl"), "error: datasets: 2 of 34 rows compare a program with its"
    ),
    Mistake(PAIRWISE, sft_on("sft.jsonl"), "error: datasets: none of the 16 answers is a letter"),
    Mistake(
        PAIRWISE,
        dev_of("pairs/dev.jsonl", judge="likelihood"),
        "error: dev_accuracy.judge: likelihood measures how likely",
    ),
    # most rows are left out, or give few steps
    Mistake(DPO, {"val_set_size": 0.95}, r"warning: val_set_size: 0.95: .* \(1 of 16\)"),
    Mistake(DPO, {"val_set_size": 8}, r"warning: val_set_size: 8: trains on .*\(8 of 16\)"),
    Mistake(DPO, {"num_epochs": 0.1}, "warning: num_epochs: 0.1: trains on 10% of the rows"),
    Mistake(
        DPO,
        {"datasets": [{**PAIRS, "path": "a/b", "split": "train[:10%]"}]},
        r"warning: split: train\[:10%\]: trains on 10% of the rows",
    ),
    Mistake(
        SFT,
        {"datasets": [{**CHAT, "shards": 4}]},
        r"warning: shards: 4: trains on 25% of the rows \(4 of 16\)",
    ),
    Mistake(
        DPO,
        {"gradient_accumulation_steps": 8},
        "warning: gradient_accumulation_steps: 32 rows a step and 16 trained rows are 1 steps",
    ),
    # adapters on a matrix that is two parts of the model
    Mistake(
        DPO,
        {"lora_target_modules": ["q_proj", "lm_head"]},
        "warning: lora_target_modules: lm_head: embeddings and head of .* one matrix",
    ),
    Mistake(
        DPO,
        {"lora_target_modules": r".*(q_proj|embed_tokens)"},
        "warning: lora_target_modules: model.embed_tokens: embeddings and head",
    ),
    # rows of any form are looked at
    Mistake(DPO, preferences_on("equal-list.json"), "error: datasets: chosen and rejected are eq"),
    Mistake(DPO, preferences_on("equal-table.parquet"), "error: datasets: chosen and rejected are"),
    Mistake(
        DPO, dev_of("pairs/again-table.parquet"), r"error: dev_accuracy.data: .* 16 of 16 pairs"
    ),
    Mistake(
        DPO,
        {**preferences_on("dpo-table.parquet"), **dev_of("pairs/again.jsonl")},
        "error: dev_accuracy.data: .*pairs",
    ),
    # keys whose absence is another loss, or none
    Mistake(SIMPO, {"cpo_alpha": None}, "error: cpo_alpha: missing under simpo: .*CPO-SimPO"),
    Mistake(SIMPO, {"simpo_gamma": None}, "error: simpo_gamma: missing under simpo"),
    Mistake(SIMPO, {"rl_beta": None}, "error: rl_beta: missing under simpo"),
    Mistake(DPOP, {"dpop_lambda": None}, "error: dpop_lambda: missing under dpop"),
    Mistake(DPOP, {"dpop_lambda": 0}, "error: dpop_lambda: 0 is not between .*plain DPO"),
]


@pytest.fixture(scope="module")
def checker() -> RecipeChecker:
    return RecipeChecker()


@pytest.fixture(scope="module")
def errors_of(checker, tmp_path_factory) -> Callable[[str, Row], list[str]]:
    """The findings on a committed recipe after some keys were changed; its data is there."""
    folder = tmp_path_factory.mktemp("mistakes")
    data = folder / "outputs" / "data"
    data.mkdir(parents=True)
    write_data(folder)
    for name in ("micro", "fp16"):
        settings = {"train_micro_batch_size_per_gpu": 99} if name == "micro" else {}
        enabled = {"fp16": {"enabled": True}} if name == "fp16" else {}
        (folder / f"{name}.json").write_text(json.dumps({**settings, **enabled}))
    (folder / "stage.json").write_text('{"zero_optimization": {"stage": 4}}')
    (folder / "typo.json").write_text('{"zero_optimization": {"stag": 2}}')
    (folder / "rate.json").write_text('{"optimizer": {"type": "AdamW", "params": {"lr": 0.001}}}')
    (folder / "outputs" / "adapter").mkdir()
    (folder / "outputs" / "adapter" / "adapter_config.json").write_text("{}")
    whole = folder / "outputs" / "whole-adapter"
    whole.mkdir()
    for name in ("adapter_config.json", "config.json", "adapter_model.safetensors"):
        (whole / name).write_text('{"model_type": "llama"}')
    (folder / "outputs" / "hollow").mkdir()
    (folder / "outputs" / "hollow" / "config.json").write_text('{"model_type": "llama"}')

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
        return [f"{finding.severity}: {finding.message}" for finding in findings]

    return find


def write_data(folder: Path) -> None:
    """What recipes train on, and the same with one thing wrong each."""
    data, pairs = folder / "outputs" / "data", easy_pairs(range(2))
    rows: dict[str, list[Row]] = {}
    for name in ("dpo", "sft", "kto", "reward", "pairwise", "pairwise_cot"):
        rows[name] = list(convert(pairs, name).rows)
        write_rows(data / f"{name}.jsonl", rows[name])
        without = convert(pairs, name, FormatOptions(system="none")).rows
        write_rows(data / f"{name}-no-system.jsonl", without)
    write_rows(data / "grpo.jsonl", convert(easy_problems(range(2)), "grpo").rows)
    (data / "copy.jsonl").write_bytes((data / "dpo.jsonl").read_bytes())
    (data / "kto-copy.jsonl").write_bytes((data / "kto.jsonl").read_bytes())
    (folder / "outputs" / "pairs").mkdir()
    dev = [one.to_row() for one in easy_pairs(range(7, 9))]
    write_rows(folder / "outputs" / "pairs" / "dev.jsonl", dev)
    for name in ("train", "again"):
        write_rows(folder / "outputs" / "pairs" / f"{name}.jsonl", [one.to_row() for one in pairs])
    held_out = list(convert(easy_pairs(range(7, 9)), "dpo").rows)
    asked = rows["sft"][0]["messages"][:-1]
    broken = {
        "other-ids": [{**row, "id": str(n)} for n, row in enumerate(rows["dpo"][::-1])],
        "held": held_out,
        "half": [*held_out, rows["dpo"][0]],
        "texts": [{"prompt": "Why?", "chosen": "a", "rejected": "b"}] * 12,
        "no-answer": [*rows["sft"][1:], {"messages": asked}],
        "blank": [{"messages": [*asked, {"role": "assistant", "content": " "}]}] * 2,
        "equal": [{**row, "rejected": row["chosen"]} for row in rows["dpo"]],
        "liked": [row for row in rows["kto"] if row["label"]],
        "no-label": [{key: row[key] for key in row if key != "label"} for row in rows["kto"]],
        "formats/one": rows["sft"],
        "forms/one": rows["sft"],
        "forms/two": rows["dpo"],
    }
    for name, wrong in {**broken, **wrong_rows(rows)}.items():
        (data / name).parent.mkdir(exist_ok=True)
        write_rows(data / f"{name}.jsonl", wrong)
    for name in ("of-test", "pairs-of-test"):
        (data / f"{name}.jsonl.manifest.json").write_text('{"split": "test"}')
    (data / "formats" / "two.csv").write_text("messages\n")
    (data / "equal-list.json").write_text(json.dumps(broken["equal"]))
    Dataset.from_list(broken["equal"]).to_parquet(data / "equal-table.parquet")
    Dataset.from_list(rows["dpo"]).to_parquet(data / "dpo-table.parquet")
    kept = ("id", "instruction", "chosen", "rejected")
    again = [{name: getattr(one, name) for name in kept} for one in pairs]
    Dataset.from_list(again).to_parquet(folder / "outputs" / "pairs" / "again-table.parquet")
    (data / "broken.jsonl").write_text(json.dumps(rows["sft"][0]) + "\n{oops\n")


LONG_TESTS = "assert f([1, 2, 3]) == 6\nassert f([]) == 0"
CHATML = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


def with_text(turn: Row, text: str) -> Row:
    return {**turn, "content": text.format(turn["content"])}


def answered(rows: list[Row], letters: dict[str, str]) -> list[Row]:
    """Rows of a judge with other answers."""
    return [
        {
            "messages": [
                *row["messages"][:-1],
                {"role": "assistant", "content": letters[row["messages"][-1]["content"]]},
            ]
        }
        for row in rows
    ]


def with_itself(row: Row) -> Row:
    """A row of a judge that compares its first program with itself."""
    *before, question, letter = row["messages"]
    again = r"(Program A:\n)(.*?)(\n\nProgram B:\n).*(\n\nAnswer)"
    text = re.sub(again, r"\1\2\3\2\4", question["content"], flags=re.DOTALL)
    return {"messages": [*before, {**question, "content": text}, letter]}


def wrong_rows(rows: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Good rows, and one with one thing wrong."""
    pair, labelled, scored = rows["dpo"][-1], rows["kto"][-1], rows["reward"][-1]
    said, asked = pair["chosen"], pair["messages"]
    steps = {"prompt": "Why?", "completions": ["a", "b"], "labels": [True, False]}
    problem = {"prompt": asked, "tests": "assert f()", "entry_point": "f", "setup": ""}
    blank = {"role": "assistant", "content": " "}
    letter = {"role": "assistant", "content": "A"}
    others: dict[str, tuple[list[Row], Row]] = {
        "no-chosen": (rows["dpo"], {**pair, "chosen": blank}),
        "null-rejected": (rows["dpo"], {**pair, "rejected": None}),
        "text-chosen": (rows["dpo"], {**pair, "chosen": "x = 1"}),
        "chosen-by-user": (rows["dpo"], {**pair, "chosen": {**said, "role": "user"}}),
        "no-question": (rows["dpo"], {**pair, "messages": []}),
        "answered": (rows["dpo"], {**pair, "messages": [*asked, said]}),
        "no-completion": (rows["kto"], {**labelled, "completion": blank}),
        "null-label": (rows["kto"], {**labelled, "label": None}),
        "reward-null": (rows["reward"], {**scored, "rejected": None}),
        "reward-blank": (rows["reward"], {**scored, "chosen": ""}),
        "step-labels": ([steps], {**steps, "labels": [True]}),
        "step-blank": ([steps], {**steps, "completions": ["a", ""]}),
        "no-tests": ([problem], {**problem, "tests": ""}),
        "no-prompt": ([problem], {**problem, "prompt": []}),
        "echo": (rows["dpo"], {**pair, "chosen": with_text(said, asked[-1]["content"])}),
        "worse-echo": (rows["dpo"], {**pair, "rejected": with_text(said, asked[-1]["content"])}),
        "nan": (rows["dpo"], {**pair, "messages": [with_text(asked[-1], "nan")]}),
        "kto-none": (rows["kto"], {**labelled, "messages": [with_text(asked[-1], "None")]}),
        "sft-nan": (rows["sft"], {"messages": [with_text(asked[-1], "NaN"), said]}),
        "sft-blank": (rows["sft"], {"messages": [with_text(asked[-1], " "), said]}),
        "reward-nan": (rows["reward"], {**scored, "input": "nan"}),
        "null-text": (rows["dpo"], {**pair, "rejected": with_text(said, "None")}),
        "one-refusal": (rows["dpo"], {**pair, "chosen": with_text(said, "I cannot do that.")}),
        "fence": (rows["dpo"], {**pair, "rejected": with_text(said, "def f(): pass")}),
    }
    turned = [{**pair, "chosen": pair["rejected"], "rejected": said}]
    tail = {**said, "content": f"{said['content']}\n"}
    shown = {**problem, "prompt": [with_text(asked[-1], f"{{}}\n{LONG_TESTS}")]}

    def answers(change: Callable[[str], Any]) -> list[Row]:
        talks = [row["messages"] for row in rows["sft"]]
        return [
            {"messages": [*t[:-1], {**t[-1], "content": change(t[-1]["content"])}]} for t in talks
        ]

    def reasons(change: Callable[[str, str], str], n_rows: int | None = None) -> list[Row]:
        """The rows of a judge that reasons, the first of them with other answers."""
        talks = [row["messages"] for row in rows["pairwise_cot"]]
        parts = [talk[-1]["content"].split("[RESULT] ") for talk in talks]
        changed = [
            {"messages": [*talk[:-1], {**talk[-1], "content": change(*part)}]}
            for talk, part in zip(talks, parts, strict=True)
        ]
        return [*changed[:n_rows], *(rows["pairwise_cot"][n_rows:] if n_rows else [])]

    def sides(change: Callable[[str], str]) -> list[Row]:
        names = ("chosen", "rejected")
        return [
            {**row, **{one: {**said, "content": change(row[one]["content"])} for one in names}}
            for row in rows["dpo"]
        ]

    return {
        "dict-content": answers(lambda text: {"text": text}),
        "reversed": [{"messages": row["messages"][::-1]} for row in rows["sft"]],
        "answered-first": [
            {"messages": [row["messages"][-1], *row["messages"]]} for row in rows["sft"]
        ],
        "thought-alone": answers(lambda text: "<think>hm</think>"),
        "thought-open": answers(lambda text: f"<think>hm {text}"),
        "thoughts": answers(lambda text: f"<think>\nhm\n</think>\n\n{text}"),
        "mojibake": sides(lambda text: f"Donâ€™t: cafÃ©\n{text}"),
        "numbered": sides(
            lambda text: "\n".join(f"{n + 1} {one}" for n, one in enumerate(text.split("\n")))
        ),
        "flat": sides(lambda text: "\n".join(map(str.strip, text.split("\n")))),
        "shown": [{**shown, "tests": LONG_TESTS}],
        "of-test": [problem],
        "pairs-of-test": rows["dpo"],
        **{name: [*good, wrong] for name, (good, wrong) in others.items()},
        "turned": [*rows["dpo"], *turned],
        "both": [*rows["kto"], {**labelled, "label": not labelled["label"]}],
        "blanks": [{**pair, "rejected": tail}] * 2,
        "turned-dev": [
            {**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows["dpo"][:2]
        ],
        "ended": [
            {**row, "chosen": with_text(row["chosen"], "{}<|im_end|>")} for row in rows["dpo"]
        ],
        "chatml": [
            {**row, "messages": [with_text(row["messages"][-1], CHATML)]} for row in rows["dpo"]
        ],
        "one-end": [*rows["dpo"], {**pair, "chosen": with_text(said, "{}<|endoftext|>")}],
        "both-letters": [*rows["pairwise"], *answered(rows["pairwise"], {"A": "B", "B": "A"})],
        "worded": answered(rows["pairwise"], {one: f"Program {one} is better." for one in "AB"}),
        "one-worded": [
            *rows["pairwise"],
            *answered(rows["pairwise"][:1], {one: f"Program {one} is better." for one in "AB"}),
        ],
        "refusals": [
            {**row, "chosen": with_text(row["chosen"], "I'm sorry, but I can't help with that.")}
            for row in rows["dpo"]
        ],
        "one-letter": [
            row
            for place, couple in enumerate(zip(*[iter(rows["pairwise"])] * 2, strict=True))
            for row in answered(list(couple), dict.fromkeys("AB", "AB"[place % 2]))
        ],
        "pair-alike": [
            *answered(rows["pairwise"][:2], {"A": "A", "B": "A"}),
            *rows["pairwise"][2:],
        ],
        "cot-other": reasons(lambda why, letter: f"{why}[RESULT] C"),
        "cot-small": reasons(lambda why, letter: f"{why}[RESULT] {letter.lower()}"),
        "cot-without": reasons(lambda why, letter: why.strip()),
        "cot-first": reasons(lambda why, letter: f"[RESULT] {letter}\n{why}"),
        "cot-bare": reasons(lambda why, letter: f"[RESULT] {letter}"),
        "cot-answer": reasons(lambda why, letter: f"{why}Answer: {letter}"),
        "cot-against": reasons(
            lambda why, letter: f"Program {letter} does not do what is asked: x.\n[RESULT] {letter}"
        ),
        "cot-all-a": reasons(lambda why, letter: f"{why}[RESULT] A"),
        "cot-alike": reasons(lambda why, letter: f"{why}[RESULT] A", 2),
        "one-answer": [
            {"messages": [{**asked[-1], "content": f"Do {n}."}, {**said, "content": "Here it is."}]}
            for n in range(20)
        ],
        "spaced": answered(rows["pairwise"], {"A": " A", "B": " B"}),
        "itself": [*rows["pairwise"], *map(with_itself, rows["pairwise"][:2])],
        "small": answered(rows["pairwise"], {"A": "a", "B": "b"}),
        "numbers": answered(rows["pairwise"], {"A": "1", "B": "2"}),
        "all-right": [{**steps, "labels": [True, True], "n": n} for n in range(2)],
        "unequal": [
            *[row for row in rows["kto"] if row["label"]] * 9,
            next(row for row in rows["kto"] if not row["label"]),
        ],
        "all-a": [{"messages": [*asked, letter], "n": n} for n in range(8)],
    }


def test_every_planted_mistake_is_found(errors_of):
    assert len(MISTAKES) == 397
    missed = {}
    for number, mistake in enumerate(MISTAKES):
        found = errors_of(mistake.recipe, mistake.changes)
        if not any(re.search(mistake.says, message) for message in found):
            missed[number] = (mistake.changes, found)
    assert missed == {}


@pytest.mark.parametrize(
    "recipe",
    [
        DPO,
        SFT,
        REWARD,
        GRPO,
        KTO,
        FULL,
        PAIRWISE,
        COT,
        GPU,
        ZERO,
        SIMPO,
        ORPO,
        GPU_REWARD,
        GEMMA_2,
        GEMMA_4,
        LLAMA,
        MOE,
        OSS,
    ],
)
def test_the_recipes_themselves_have_none(errors_of, recipe: str):
    # Two pairs give fewer steps than a recipe warms up for, or saves after.
    found = [one for one in errors_of(recipe, {}) if "steps of the run" not in one]
    assert [one for one in found if "warmup_steps" not in one] == []


@pytest.mark.parametrize("warmup", [{}, {"warmup_steps": None, "warmup_ratio": 0.1}])
def test_one_step_that_is_all_warm_up_is_named(errors_of, warmup: Row):
    """Its learning rate is 0: the model that comes out is the one that went in."""
    said = "rows give one step, whose learning rate is 0"
    changes: Row = {"micro_batch_size": 64, "gradient_accumulation_steps": 1, "num_epochs": 1}
    assert any(said in one for one in errors_of(DPO, changes | warmup))
    for other in ({"warmup_steps": 0}, {"micro_batch_size": 1, "warmup_steps": 1}):
        assert not any(said in one for one in errors_of(DPO, changes | other))


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
    [error] = model_findings({**config, "trust_remote_code": True}, tmp_path)
    assert "special_tokens.eos_token: '<|im_end|>' is no token of mine" in error.message
    known = {"special_tokens": {"eos_token": "<|eot_id|>", "pad_token": "<unk>"}}
    assert list(model_findings({**config, **known, "trust_remote_code": True}, tmp_path)) == []


# In the form of the examples that come with Axolotl: no header of ours, GPUs not named.
BARE_LORA = """
base_model: meta-llama/Llama-3.1-8B-Instruct
datasets: [{path: someone/chats, type: chat_template}]
val_set_size: 0.05
output_dir: ./outputs/out
dataset_prepared_path: last_run_prepared
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
sequence_len: 2048
micro_batch_size: 2
learning_rate: 0.0002
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
bf16: auto
attn_implementation: flash_attention_2
"""
OLD_FSDP = {
    "optimizer": "adamw_torch",
    "fsdp_version": 2,
    "fsdp_config": {
        "fsdp_offload_params": False,
        "fsdp_state_dict_type": "FULL_STATE_DICT",
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_transformer_layer_cls_to_wrap": "LlamaDecoderLayer",
        "fsdp_limit_all_gathers": True,
        "fsdp_sharding_strategy": "FULL_SHARD",
        "fsdp_forward_prefetch": True,
    },
}
GEMMA_TARGETS = r"model.language_model.layers.[\d]+.(mlp|self_attn).(up|down|gate|q|k|v|o)_proj"
MAPPED = {"path": "a/b", "type": "chat_template.default", "roles": {"user": ["user"]}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"deepspeed": "zero3.json"},
        {"attn_implementation": "kernels-community/vllm-flash-attn3"},
        {"attn_implementation": None, "flash_attention": True},
        OLD_FSDP,
        {"base_model": "google/gemma-4-12B-it", "lora_target_modules": GEMMA_TARGETS,
         "lora_target_linear": None, "chat_template": "gemma4_unified", "eot_tokens": ["<turn|>"]},
        {"base_model": "codellama/CodeLlama-34b-hf", "special_tokens": {"eos_token": "</s>"}},
        {"base_model": "mistralai/Mistral-7B-v0.1", "chat_template": "chatml"},
        {"rl": "dpo", "datasets": [MAPPED], "learning_rate": 2e-5},
        {"adapter": None, "learning_rate": 2e-4, "lora_r": None, "lora_alpha": None,
         "lora_target_linear": None},
        {"auto_resume_from_checkpoints": True, "save_strategy": "no"},
        {"wandb_mode": "offline", "dataloader_num_workers": 2, "dataloader_prefetch_factor": 2},
        {"save_steps": 0.25, "eval_steps": 0.25, "model_type": "LlamaForCausalLM"},
        {"loraplus_lr_ratio": 16, "tokenizer_type": "AutoTokenizer", "eval_batch_size": 2},
        {"deepspeed": {"zero_optimization": {"stage": 2}, "bf16": {"enabled": "auto"}}},
        {"rl": "grpo", "datasets": [{"path": "asked.jsonl"}], "micro_batch_size": 8,
         "trl": {"num_generations": 8, "reward_funcs": ["trl.rewards.think_format_reward"]}},
        {"plugins": ["axolotl.integrations.llm_compressor.LLMCompressorPlugin"]},
        {"save_strategy": "no"},
        {"base_model": "meta-llama/Llama-3.1-8B"},
        {"lr_scheduler": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
        {"gradient_checkpointing_kwargs": {"use_reentrant": False}},
        {"rl": "dpo", "datasets": [{**MAPPED, "ds_type": "json"}], "learning_rate": 2e-5},
        {"sample_packing": True, "attn_implementation": "sdpa"},
        {"tokens": ["<tool>"], "lora_modules_to_save": ["embed_tokens", "lm_head"]},
        {"lora_target_modules": ["q_proj", "embed_tokens", "lm_head"], "lora_target_linear": None},
        {"peft_init_lora_weights": "pissa_niter_16"},
        {"optimizer": "sgd", "learning_rate": 0.1, "optim_args": "momentum=0.9, nesterov=true"},
        {"tokenizer_config": "meta-llama/Llama-3.1-8B-Instruct"},
        {"datasets": [{"path": "a/b", "split": "train[:90%]", "type": "chat_template"}],
         "test_datasets": [{"path": "a/b", "split": "train[90%:]", "type": "chat_template"}],
         "val_set_size": None},
        {"datasets": [{"path": "a/b", "split": "train", "type": "chat_template"}],
         "test_datasets": [{"path": "a/b", "split": "test", "type": "chat_template"}],
         "val_set_size": None},
        # As in all of Axolotl's examples for images: their processor makes the tokens.
        {"base_model": "google/gemma-4-12B-it", "processor_type": "AutoProcessor",
         "skip_prepare_dataset": True, "remove_unused_columns": False, "sample_packing": False,
         "chat_template": "gemma4_unified", "eot_tokens": ["<turn|>"],
         "lora_target_modules": GEMMA_TARGETS,
         "lora_target_linear": None},
    ],
    ids="-".join,
)  # fmt: skip
def test_a_recipe_of_another_hand_is_not_refused(checker, tmp_path: Path, changes: Row):
    recipe = tmp_path / "bare.yaml"
    config = {**yaml.safe_load(BARE_LORA), **changes}
    recipe.write_text(dump({key: config[key] for key in config if config[key] is not None}))
    write_rows(tmp_path / "asked.jsonl", [{"prompt": "How?", "answer": "so"}])
    (tmp_path / "zero3.json").write_text('{"zero_optimization": {"stage": 3}}')
    findings = checker.check(recipe, gpus=gpus_of(recipe), folder=tmp_path)
    assert [one.message for one in findings if one.severity == "error"] == []
