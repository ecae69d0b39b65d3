"""Recipes for any model, method and GPUs: what fits, from the model's own files."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.errors import ConfigError
from codefavor.records import Row, read_rows, write_rows
from codefavor.training.check import RecipeChecker
from codefavor.training.derive import LIGER_KINDS, RATES, Hardware, Model, derive, listed_model
from codefavor.training.matrix import read_matrix
from codefavor.training.model_shapes import ModelShape
from codefavor.training.new_recipe import new_recipe, template_settings
from codefavor.training.recipes import build, load_yaml, processes_of
from codefavor.training.stand_in import StandIn

ROOT = Path(__file__).resolve().parents[2] / "recipes"


def config_of(model: str, method: str, hardware: str) -> Row:
    listed = listed_model(model, ROOT)
    return build(derive("x", listed, method, Hardware.parse(hardware), ROOT), ROOT).config


@pytest.mark.parametrize(
    ("model", "method", "hardware", "expected"),
    [
        ("qwen3-8b", "dpo", "1x80", {"adapter": "lora", "deepspeed": None, "learning_rate": 5e-6}),
        ("qwen3-8b", "dpo", "4x80", {"adapter": None, "deepspeed": "zero2", "learning_rate": 5e-7}),
        ("qwen2.5-coder-32b", "dpo", "2x8x80", {"adapter": None, "deepspeed": "zero3"}),
        ("qwen2.5-coder-14b", "pairwise", "1x24", {"adapter": "qlora", "load_in_4bit": True}),
        ("llama-3.3-70b", "pairwise", "8x80", {"adapter": "lora", "deepspeed": "zero3"}),
        ("qwen3-8b", "reward", "4x24", {"adapter": "lora", "deepspeed": None}),
    ],
)
def test_what_is_trained_and_how_it_is_split_follows_from_the_memory(
    model: str, method: str, hardware: str, expected: Row
):
    config = config_of(model, method, hardware)
    config["deepspeed"] = Path(config["deepspeed"]).stem if "deepspeed" in config else None
    assert {key: config.get(key) for key in expected} == expected


@pytest.mark.parametrize("method", RATES)
def test_every_method_has_a_recipe_of_its_batch_that_says_why(method: str):
    line = derive("x", listed_model("qwen3-8b", ROOT), method, Hardware.parse("1x80"), ROOT)
    config = build(line, ROOT).config
    batch = config["micro_batch_size"] * config["gradient_accumulation_steps"]
    assert batch == (8 if config.get("sample_packing") else 32)
    assert config["micro_batch_size"] > 1 or method != "kto"
    assert {"learning_rate", "micro_batch_size"} <= set(line.reasons)
    assert not {"warmup_steps", "warmup_ratio"} <= set(config)
    assert "by the estimate" in line.header["notes"][-1]


def test_a_reference_is_computed_before_where_it_would_be_a_second_model():
    assert config_of("qwen3-8b", "dpo", "4x80")["precompute_ref_log_probs"] is True
    assert "precompute_ref_log_probs" not in config_of("qwen3-8b", "dpo", "1x80")


def test_whole_weights_are_saved_without_the_states_that_a_resume_needs():
    config = config_of("qwen3-8b", "dpo", "4x80")
    assert (config["save_only_model"], config["save_total_limit"]) == (True, 1)
    assert config["auto_resume_from_checkpoints"] is False
    adapter = config_of("qwen3-8b", "dpo", "1x80")
    assert adapter["auto_resume_from_checkpoints"] is True
    assert adapter["dev_accuracy"] == {
        "data": "outputs/pairs/dev.jsonl",
        "every": 0.1,
        "system": "none",
    }
    assert config_of("qwen3-8b", "pairwise", "1x80")["dev_accuracy"]["judge"] == "pairwise"
    assert config_of("qwen3-8b", "pairwise-cot", "1x80")["load_best_model_at_end"] is True
    assert adapter["test_datasets"][0]["path"] == "outputs/data/dpo-dev-no-system.jsonl"


def test_what_does_not_fit_says_what_it_needs():
    with pytest.raises(ConfigError, match=r"does not fit 1x24: .* needs about \d+ GiB of 24"):
        config_of("llama-3.3-70b", "dpo", "1x24")


@pytest.mark.parametrize("text", ["4", "80x", "x80", "4*80", "1x2x3x4", "0x80"])
def test_malformed_hardware_is_refused(text: str):
    with pytest.raises(ConfigError, match="expected GPUSxGB"):
        Hardware.parse(text)


def test_nodes_are_machines():
    two = Hardware.parse("2x8x80")
    assert (two.gpus, two.memory_gb, two.text) == (16, 80, "2x8x80")


def test_an_unknown_method_lists_the_known_ones():
    model = Model("m", {}, ModelShape(1e9, 10, 1000, 3000, 30_000))
    with pytest.raises(ConfigError, match="unknown method 'ppo'; known: pairwise"):
        derive("x", model, "ppo", Hardware.parse("1x80"), ROOT)


@pytest.mark.axolotl
def test_liger_has_kernels_for_the_architectures_that_get_them():
    """Read from its source: importing it needs a GPU's compiler."""
    from importlib.metadata import files

    [table] = [
        one.read_text()
        for one in files("liger-kernel") or ()
        if str(one) == "liger_kernel/transformers/monkey_patch.py"
    ]
    assert all(f'"{kind}": apply_liger_kernel_to' in table for kind in LIGER_KINDS)


class Tokenizer:
    """As much of a tokenizer as its template's settings need."""

    def __init__(self, template: str, eos: str, pad: str | None, vocabulary: list[str]) -> None:
        self.name_or_path = "mine"
        self.chat_template = template
        self.eos_token = eos
        self.pad_token = pad
        self.all_special_tokens = vocabulary

    def get_added_vocab(self) -> dict[str, int]:
        return {}

    def get_vocab(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.all_special_tokens)}

    def apply_chat_template(self, messages: list[Row], tokenize: bool) -> str:
        import jinja2

        assert not tokenize
        return jinja2.Template(self.chat_template).render(messages=messages)


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
DEFAULT_SYSTEM = "<|im_start|>system\nYou are helpful.<|im_end|>\n"


@pytest.mark.parametrize(
    ("tokenizer", "settings", "header"),
    [
        (
            Tokenizer(CHATML, "<|endoftext|>", "<|endoftext|>", ["<|im_end|>", "<|endoftext|>"]),
            {"special_tokens": {"eos_token": "<|im_end|>"}},
            {"system": "none"},
        ),
        (
            Tokenizer(DEFAULT_SYSTEM + CHATML, "<|im_end|>", "<|im_end|>", ["<|im_end|>", "<pad>"]),
            {"special_tokens": {"pad_token": "<pad>"}},
            {"system": "empty"},
        ),
        (Tokenizer(CHATML, "<|im_end|>", "<pad>", ["<|im_end|>", "<pad>"]), {}, {"system": "none"}),
    ],
    ids=["end of turn", "padding and default system", "nothing"],
)
def test_the_template_decides_special_tokens_and_the_system_turn(tokenizer, settings, header):
    assert template_settings(tokenizer) == (settings, header)


def test_a_model_that_was_not_tuned_for_chat_is_refused():
    with pytest.raises(ConfigError, match="has no chat template, so it is no chat model"):
        template_settings(Tokenizer("", "</s>", None, []))


def test_a_model_that_is_not_here_says_how_to_get_its_files():
    with pytest.raises(ConfigError, match=r"hf download nobody/nothing config\.json"):
        new_recipe("nobody/nothing", "dpo", "1x80", data=None, out=None, root=ROOT)


@pytest.mark.axolotl
@pytest.mark.parametrize(
    ("like", "method", "expected"),
    [
        ("Qwen/Qwen3-8B", "dpo", {"special_tokens": None, "lora_target_parameters": None}),
        (
            "Qwen/Qwen3-Coder-30B-A3B-Instruct",
            "pairwise",
            {"lora_target_parameters": ["mlp.experts.down_proj", "mlp.experts.gate_up_proj"]},
        ),
        ("Qwen/Qwen3.5-9B", "pairwise", {"liger_rope": None}),
    ],
    ids=["dense", "experts", "linear attention"],
)
def test_a_recipe_for_a_folder_passes_the_check(
    like: str, method: str, expected: Row, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    StandIn.of(like, ROOT).save(Path("my-model"), ["def f(x):\n    return x"] * 8)
    pairs = Path("my pairs.jsonl")
    pairs.write_text("{}\n")
    out = Path("mine.yaml")
    out.write_text(new_recipe("my-model", method, "4x80", data=pairs, out=out, root=ROOT))
    text = out.read_text()
    assert text.startswith("# Made by `codefavor recipes new --model my-model")
    config: dict[str, Any] = yaml.safe_load(text)
    assert {key: config.get(key) for key in expected} == expected
    assert config["datasets"][0]["path"] == "outputs/data/mine.jsonl"
    assert processes_of(out) == 4
    findings = RecipeChecker().check(out, gpus=4, folder=tmp_path)
    assert [one.message for one in findings if one.severity == "error"] == []


def needs(text: str) -> list[list[str]]:
    """The commands of a recipe's header that make what it reads, as words."""
    lines = [line for line in text.splitlines() if line.startswith("# Needs:")]
    return [shlex.split(line.removeprefix("# Needs:")) for line in lines]


@pytest.mark.axolotl
def test_of_own_pairs_a_part_is_held_out_and_measured(tmp_path: Path, monkeypatch):
    """The commands of the header are run as they stand; then every file of the recipe is there."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"prompt": f"Question {n // 2}", "chosen": "good", "rejected": f"bad {n}"}
        for n in range(80)
    ]
    write_rows(Path("my pairs.jsonl"), rows)
    text = new_recipe("Qwen/Qwen3-8B", "reward", "1x80", data=Path("my pairs.jsonl"), root=ROOT)
    assert "a tenth of the questions is held out" in text
    for words in needs(text):
        result = CliRunner().invoke(app, words[1:])
        assert result.exit_code == 0, result.output
    config = yaml.safe_load(text)
    [data], [dev] = config["datasets"], config["test_datasets"]
    held_out = {row["prompt"] for row in read(config["dev_accuracy"]["data"])}
    trained = {row["input"] for row in read(data["path"])}
    assert held_out and trained and not held_out & trained
    assert {row["input"] for row in read(dev["path"])} == held_out


def read(path: str) -> list[Row]:
    return [row for _, row in read_rows(Path(path))]


@pytest.mark.axolotl
def test_own_held_out_pairs_are_measured_as_they_are(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train.jsonl", "held.jsonl"):
        Path(name).write_text("{}\n")
    paths = {"data": Path("train.jsonl"), "dev": Path("held.jsonl")}
    text = new_recipe("Qwen/Qwen3-8B", "dpo", "1x80", **paths, root=ROOT)
    assert [words[2] for words in needs(text)] == ["train.jsonl", "held.jsonl"]
    assert yaml.safe_load(text)["dev_accuracy"]["data"] == "held.jsonl"
    assert "a tenth" not in text


@pytest.mark.axolotl
def test_own_problems_are_what_grpo_samples_from(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.jsonl").write_text("{}\n")
    model = "Qwen/Qwen3-4B-Instruct-2507"
    text = new_recipe(model, "grpo", "1x80", data=Path("mine.jsonl"), root=ROOT)
    [words] = needs(text)
    assert words[2] == "mine.jsonl"
    assert words[-1] == yaml.safe_load(text)["datasets"][0]["path"]


@pytest.mark.parametrize("hardware", ["1x80", "4x80", "8x80"])
def test_each_process_of_grpo_samples_whole_groups(hardware: str):
    """Axolotl refuses others, by `generation_batch_size` where there are several."""
    config = config_of("qwen3-8b", "grpo", hardware)
    batch = config["micro_batch_size"] * config["gradient_accumulation_steps"]
    gpus, group = Hardware.parse(hardware).gpus, config["trl"]["num_generations"]
    assert batch % group == 0
    assert config["trl"].get("generation_batch_size", batch) == batch * gpus >= group * gpus


def test_data_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"--data no\.jsonl: no such file"):
        new_recipe("Qwen/Qwen3-8B", "dpo", "1x80", data=Path("no.jsonl"), root=ROOT)


def test_a_rehearsal_needs_a_file():
    words = ["recipes", "new", "--model", "x", "--method", "dpo", "--gpus", "1x80", "--rehearse"]
    result = CliRunner().invoke(app, words)
    assert "--rehearse needs --out" in str(result.exception)


@pytest.mark.axolotl
def test_a_tokenizer_is_described_as_the_rehearsals_do(tmp_path: Path):
    """Made from a row of stand_ins.yaml, and read back from the files alone."""
    from transformers import AutoTokenizer

    from codefavor.training.rehearse_new import family_of

    families = load_yaml(ROOT / "stand_ins.yaml")
    for name in ("Qwen2.5", "Mistral-7B", "Llama-3.2"):
        stand_in = replace(StandIn.of(MODELS[name], ROOT), n_layers=1)
        stand_in.save(tmp_path / name, ["def f(x):\n    return x"] * 8)
        found = family_of(AutoTokenizer.from_pretrained(tmp_path / name), {})
        written = {"adds_bos": None, "metaspace": None, **families[name]}
        assert found["tokens"] == written["tokens"]
        assert found["template"] == stand_in.family["template"]
        assert {key: found.get(key) for key in ("adds_bos", "metaspace")} == {
            key: written[key] for key in ("adds_bos", "metaspace")
        }


MODELS = {
    "Qwen2.5": "Qwen/Qwen2.5-Coder-7B-Instruct",
    "Mistral-7B": "mistralai/Mistral-7B-Instruct-v0.3",
    "Llama-3.2": "meta-llama/Llama-3.2-3B-Instruct",
}


@pytest.mark.axolotl
def test_an_architecture_without_the_class_that_a_method_needs_is_refused():
    with pytest.raises(
        ConfigError,
        match=r"AutoModelForSequenceClassification of .gemma4_unified.*have no such class for it$",
    ):
        new_recipe("google/gemma-4-12B-it", "reward", "1x141", data=None, out=None, root=ROOT)


def test_the_gpu_recipes_of_the_matrix_are_products_of_the_same_derivation():
    lines = read_matrix(ROOT)
    line = lines["gpu4x80/qwen3-8b-dpo"]
    again = derive(line.name, listed_model("qwen3-8b", ROOT), "dpo", Hardware.parse("4x80"), ROOT)
    assert again == line
    assert all(bool(one.reasons) == bool(one.hardware) for one in lines.values())
