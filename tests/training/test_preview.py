"""The preview shows what is trained on: completions with their end of turn, and nothing else."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from datasets import Dataset

from codefavor.prompts.chat import solution_messages, solution_text
from codefavor.records import write_rows
from codefavor.training.data_rows import first_rows, rows_of
from codefavor.training.formats import convert
from codefavor.training.preference_rows import preference_texts
from codefavor.training.preview import Preview, TokenRow, token_budget
from codefavor.training.stand_in import StandIn
from tests.training.conftest import easy_pairs, easy_problems

ROOT = Path(__file__).resolve().parents[2] / "recipes" / "smollm2-135m"


def preview_of(name: str, data_format: str, model: Path, folder: Path):
    records = easy_problems(range(1)) if data_format == "grpo" else easy_pairs(range(1))[:1]
    data = folder / "data.jsonl"
    write_rows(data, convert(records, data_format).rows)
    config = yaml.safe_load((ROOT / f"{name}.yaml").read_text(encoding="utf-8"))
    config["base_model"] = str(model)
    config["datasets"][0]["path"] = str(data)
    reader = Preview(config, folder)
    return reader, list(reader.sequences())


@pytest.mark.axolotl
@pytest.mark.parametrize(
    ("name", "data_format"),
    [
        ("sft", "sft"),
        ("pairwise", "pairwise"),
        ("pairwise-cot", "pairwise_cot"),
        ("dpo", "dpo"),
        ("simpo", "dpo"),
        ("orpo", "dpo"),
        ("kto", "kto"),
    ],
)
def test_only_the_answer_and_its_end_of_turn_are_trained_on(
    name, data_format, embedded_model: Path, tmp_path: Path
):
    reader, sequences = preview_of(name, data_format, embedded_model, tmp_path)
    pair = easy_pairs(range(1))[0]
    assert sequences
    for sequence in sequences:
        trained = [span.text for span in reader.spans(sequence) if span.is_trained]
        untrained = "".join(span.text for span in reader.spans(sequence) if not span.is_trained)
        assert len(trained) == 1
        assert trained[0].endswith("<|im_end|>")
        assert trained[0].count("<|im_end|>") == 1
        assert pair.instruction in untrained
        assert pair.instruction not in trained[0]
        assert untrained.startswith("<|im_start|>system\n<|im_end|>\n<|im_start|>user\n")
    if data_format in {"dpo", "kto"}:
        answer = solution_text(pair.chosen) + "<|im_end|>"
        prompt = reader.tokenizer.apply_chat_template(
            solution_messages(pair.instruction), tokenize=False, add_generation_prompt=True
        )
        texts = ["".join(span.text for span in reader.spans(one)) for one in sequences]
        # what judges show the model, character by character
        assert prompt + answer in texts


@pytest.mark.axolotl
@pytest.mark.parametrize("form", ["json", "parquet"])
def test_rows_of_any_form_are_trained_alike(form: str, embedded_model: Path, tmp_path: Path):
    reader, expected = preview_of("sft", "sft", embedded_model, tmp_path)
    rows = Dataset.from_list([row for _, row in rows_of(tmp_path / "data.jsonl")])
    file = tmp_path / f"data.{form}"
    if form == "parquet":
        rows.to_parquet(file)
    else:
        file.write_text(json.dumps(rows.to_list()))
    reader.config["datasets"][0]["path"] = str(file)
    found = list(reader.sequences())
    assert [one.input_ids for one in found] == [one.input_ids for one in expected]
    assert [row for _, row in first_rows(file)] == [row for _, row in rows_of(file)]


@pytest.mark.axolotl
def test_tables_of_text_are_looked_at(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("text\nfirst\nsecond\n")
    (tmp_path / "rows.txt").write_text("first\nsecond\n")
    found = [[row for _, row in rows_of(tmp_path / f"rows.{one}")] for one in ("csv", "txt")]
    assert found == [[{"text": "first"}, {"text": "second"}]] * 2


@pytest.mark.axolotl
def test_a_process_reward_is_trained_at_the_end_of_every_line(embedded_model: Path, tmp_path: Path):
    _, sequences = preview_of("process", "process", embedded_model, tmp_path)
    assert [one.n_trained for one in sequences] == [2, 2]  # two lines; the second is the fault
    assert all(one.is_trained[-1] for one in sequences)


@pytest.mark.axolotl
def test_the_letters_are_single_tokens(embedded_model: Path, tmp_path: Path):
    reader, _ = preview_of("pairwise", "pairwise", embedded_model, tmp_path)
    assert reader.label_error() == ""
    assert "single token" in reader.label_error(["Alphabetical", "Betical"])


def test_the_budget_names_what_is_too_long():
    rows = [
        TokenRow("f:1", "chosen", tuple(range(10)), (False,) * 4 + (True,) * 6),
        TokenRow("f:2", "", tuple(range(30)), (False,) * 29 + (True,)),
    ]
    budget = token_budget(rows, 16)
    assert (budget.n_tokens, budget.n_trained, budget.longest) == (40, 7, 30)
    assert budget.too_long == ("f:2",)


@pytest.mark.axolotl
@pytest.mark.parametrize("name", ["openai/gpt-oss-20b", "meta-llama/Llama-3.2-3B-Instruct"])
@pytest.mark.parametrize("method", ["orpo", "simpo"])
def test_pairs_as_texts_are_shown_with_the_tokens_that_their_trainer_makes(
    method: str, name: str, tmp_path: Path
):
    """Both put a beginning of text where the tokenizer adds none (gpt-oss), and never a second."""
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    pairs = easy_pairs(range(1))[:1]
    StandIn.of(name, ROOT.parent).save(tmp_path / "model", [pairs[0].chosen])
    config = yaml.safe_load((ROOT / f"{method}.yaml").read_text(encoding="utf-8"))
    del config["chat_template_jinja"]
    config |= {"base_model": str(tmp_path / "model"), "chat_template": "tokenizer_default"}
    config["datasets"][0]["path"] = str(tmp_path / "data.jsonl")
    rows = convert(pairs, "dpo").rows
    write_rows(tmp_path / "data.jsonl", rows)
    reader = Preview(config, tmp_path)
    shown = {one.part: one for one in reader.sequences()}

    trainer: Any = {"orpo": ORPOTrainer, "simpo": CPOTrainer}[method]
    plain = SimpleNamespace(
        is_encoder_decoder=False, processing_class=reader.tokenizer, max_length=4096
    )
    plain.build_tokenized_answer = partial(trainer.build_tokenized_answer, plain)
    made = trainer.tokenize_row(plain, preference_texts(rows[0], reader.tokenizer))
    for side in ("chosen", "rejected"):
        assert list(shown[side].input_ids) == made[f"{side}_input_ids"]
        assert list(shown[side].is_trained) == [one != -100 for one in made[f"{side}_labels"]]
        bos = reader.tokenizer.bos_token_id
        assert [one == bos for one in shown[side].input_ids[:2]] == [True, False]
