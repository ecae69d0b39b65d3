"""Recipes for any model, method and GPUs: what fits, from the model's own files."""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.errors import ConfigError
from codefavor.pairs.split import split_of
from codefavor.records import Row, read_rows, write_rows
from codefavor.training.check import RecipeChecker
from codefavor.training.derive import LIGER_KINDS, RATES, Hardware, Model, derive, listed_model
from codefavor.training.matrix import read_matrix
from codefavor.training.model_shapes import ModelShape, complete_config
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
            {"adapter": None, "lora_target_parameters": None},  # so small that all is trained
        ),
        ("Qwen/Qwen3.5-9B", "pairwise", {"liger_rope": None}),
        (
            "openai/gpt-oss-20b",
            "pairwise-cot",
            {"attn_implementation": "eager", "sample_packing": False},
        ),
    ],
    ids=["dense", "experts", "linear attention", "attention sinks"],
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


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("phi3", [True, True]), ("granite", [True, None]), ("mixtral", [True, True]),
     ("cohere", [None, None])],
)  # fmt: skip
def test_ligers_kernels_are_those_that_it_has_and_their_lack_is_said(kind: str, expected: list):
    shape = listed_model("qwen3-8b", ROOT).shape
    model = Model("me/mine", {"model_type": kind}, shape, settings={"sequence_len": 2048})
    line = derive("x", model, "pairwise", Hardware.parse("1x80"), ROOT)
    keys = ("liger_rms_norm", "liger_fused_linear_cross_entropy")
    assert [line.set.get(key) for key in keys] == expected
    assert line.set["lora_mlp_kernel"] is False  # which knows none of these layers
    told = any("without Liger's kernels" in note for note in line.header["notes"])
    assert told is (expected[0] is None)


def test_numbers_of_a_recipe_are_those_of_the_data(tmp_path: Path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("{}\n" * 1600)
    text = new_recipe("Qwen/Qwen3-8B", "simpo", "1x80", data=pairs, root=ROOT)
    assert "has 1600 rows, of which 1440 are trained on: about 45 steps of 32 rows" in (
        re.sub(r"\n# +", " ", text)
    )
    assert "641" not in text and yaml.safe_load(text)["warmup_steps"] == 4  # a tenth of 45


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
        write_rows(Path(name), [{"prompt": f"Of {name}?", "chosen": "a", "rejected": "b"}])
    paths = {"data": Path("train.jsonl"), "dev": Path("held.jsonl")}
    text = new_recipe("Qwen/Qwen3-8B", "dpo", "1x80", **paths, root=ROOT)
    assert [words[2] for words in needs(text)] == ["train.jsonl", "held.jsonl"]
    assert yaml.safe_load(text)["dev_accuracy"]["data"] == "held.jsonl"
    assert "a tenth" not in text


@pytest.mark.axolotl
@pytest.mark.parametrize("method", ["dpo", "grpo"])
def test_what_is_trained_on_is_not_measured(method: str, tmp_path: Path, monkeypatch):
    """By the questions: the same file, a copy, other answers, and for GRPO the problems."""
    monkeypatch.chdir(tmp_path)
    problems = [
        {"id": f"p{n}", "instruction": f"Question {n}?", "tests": "assert f", "entry_point": "f"}
        for n in range(40)
    ]
    pairs = [
        {"prompt": row["instruction"], "chosen": "good", "rejected": "bad"} for row in problems
    ]
    own = [
        {"id": row["id"], "instruction": f"  {row['instruction']}", "chosen": "1", "rejected": "2"}
        for row in problems
    ]
    write_rows(Path("data.jsonl"), pairs if method == "dpo" else problems)
    write_rows(Path("copy.jsonl"), pairs)
    write_rows(Path("own.jsonl"), own)
    n_trained = sum(split_of(row["id"]) == "train" for row in problems)
    n_shared = len(pairs) if method == "dpo" else n_trained
    for dev in ("copy.jsonl", "own.jsonl", *(["data.jsonl"] if method == "dpo" else [])):
        with pytest.raises(
            ConfigError, match=rf"{n_shared} of its 40 questions are in data\.jsonl"
        ):
            new_recipe(
                "Qwen/Qwen3-8B", method, "1x80", data=Path("data.jsonl"), dev=Path(dev), root=ROOT
            )


LLAMA = {
    "model_type": "llama",
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 32_000,
    "max_position_embeddings": 512,
}


def a_folder(config: Any) -> str:
    Path("my-model").mkdir()
    Path("my-model/config.json").write_text(json.dumps(config))
    return "my-model"


@pytest.mark.axolotl
@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"model_type": "llama", "quantization_config": {"quant_method": "awq", "bits": 4}},
            r"my-model is quantised already \(awq\): .*take the model that it was made from",
        ),
        (
            {"model_type": "qwen2", "quantization_config": {"quant_method": "gptq"}},
            r"quantised already \(gptq\)",
        ),
        (
            {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12},
            r"my-model \(gpt2\): its configuration does not say intermediate_size",
        ),
        ({"model_type": "llama", "quantization_config": "fp8"}, r"quantised already \(fp8\)"),
        ({"model_type": "nobody"}, r"the configuration of my-model cannot be used: .*nobody"),
        ({}, r"the configuration of my-model cannot be used"),
        ([1], r"the configuration of my-model cannot be used"),
        ({"model_type": "llama", "text_config": "x"}, r"the configuration of my-model cannot be"),
        ({"model_type": "llama", "num_attention_heads": "12"}, r"expected int, got str"),
        ({"model_type": "llama", "hidden_size": 770, "num_attention_heads": 12}, r"not a multiple"),
        (LLAMA, r"the tokenizer of my-model cannot be read"),
    ],
    ids=[
        "awq", "gptq", "names of its own", "fp8", "unknown", "empty", "a list", "no mapping",
        "a text", "no multiple", "no tokenizer",
    ],
)  # fmt: skip
def test_a_model_that_no_recipe_can_be_made_for_says_why(
    config: Row, message: str, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        new_recipe(a_folder(config), "dpo", "1x80", root=ROOT)


@pytest.mark.axolotl
@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{{ raise_exception('only in pairs') }}",
            "chat template, cannot be used: .*only in pairs",
        ),
        ("{% for m in messages %}", "chat template, cannot be used: TemplateSyntaxError"),
        ("{{ 'hello' }}", "does not write what the user and the assistant say"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(template, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    like = StandIn.of("Qwen/Qwen3-8B", ROOT)
    replace(like, family={**like.family, "template": template}).save(Path("my-model"), ["x = 1"])
    with pytest.raises(ConfigError, match=message):
        new_recipe("my-model", "dpo", "1x80", root=ROOT)


@pytest.mark.parametrize(
    ("model", "longest"),
    [
        ("gpt-oss-20b", 4096),
        ("gemma-4-12b", 4096),
        ("qwen3-8b", 4096),
        ("qwen3-4b", 1024),
        ("qwen2.5-coder-7b", 1024),
    ],
)
def test_samples_of_a_model_whose_template_thinks_may_be_longer(model: str, longest: int):
    assert config_of(model, "grpo", "8x80")["trl"]["max_completion_length"] == longest


@pytest.mark.parametrize(
    ("window", "settings", "expected"),
    [(512, 512, (256, 256)), (2048, 2048, (1024, 1024)), (8192, 2048, (None, None))],
)
def test_question_and_sample_of_grpo_fit_the_window(window, settings, expected):
    shape = ModelShape(1e9, 10, 1000, 3000, 30_000)
    config = {"model_type": "llama", "max_position_embeddings": window}
    model = Model("m", config, shape, settings={"base_model": "m", "sequence_len": settings})
    line = derive("x", model, "grpo", Hardware.parse("1x80"), ROOT)
    assert line.set["sequence_len"] == (expected[0] or settings)
    assert line.set.get("trl", {}).get("max_completion_length") == expected[1]


def test_more_gpus_than_rows_of_a_step_are_said():
    listed = listed_model("qwen3-4b", ROOT)
    line = derive("x", listed, "dpo", Hardware.parse("8x8x80"), ROOT)
    assert "take more than the 32 rows of a step" in line.reasons["micro_batch_size"]


@pytest.mark.axolotl
def test_sizes_that_a_configuration_leaves_out_are_those_of_its_class():
    """As Gemma 3 does: what is the default of its class does not stand in its file."""
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34}
    found = complete_config({"model_type": "gemma3", "text_config": text}, "gemma")
    assert found["text_config"]["num_attention_heads"] == 8
    assert found["text_config"]["hidden_size"] == 2560


def test_the_reason_of_a_rate_is_how_it_was_computed():
    for model in ("qwen3-4b", "qwen3-8b", "qwen2.5-coder-32b"):
        for method in RATES:
            line = derive("x", listed_model(model, ROOT), method, Hardware.parse("8x80"), ROOT)
            said = re.search(r"; (\S+) times (\S+) for this size", line.reasons["learning_rate"])
            rate = float(line.set["learning_rate"])
            if said is None:
                assert rate in (RATES[method].lora, RATES[method].full)
            else:
                exact = float(said[1]) * float(said[2])
                assert abs(exact - rate) <= 0.51 * 10 ** math.floor(math.log10(exact))


@pytest.mark.axolotl
def test_what_a_recipe_needs_is_named_with_its_own_file(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(Path("p.jsonl"), [{"prompt": "Q", "chosen": "a", "rejected": "b"}])
    name, out = "outputs/models/SmolLM2-135M-Instruct", Path("my recipe.yaml")
    text = new_recipe(name, "dpo", "1x24", data=Path("p.jsonl"), out=out, root=ROOT)
    assert ["codefavor", "recipes", "prepare", "my recipe.yaml"] in needs(text)
    assert ["--out", "outputs/pairs/my recipe"] in [words[-2:] for words in needs(text)]
    launches = [line for line in text.splitlines() if line.startswith("# Launch:")]
    assert shlex.split(launches[0])[-1] == "my recipe.yaml"


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
