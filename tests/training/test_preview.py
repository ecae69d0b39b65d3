"""The preview shows what is trained on: completions with their end of turn, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from codefavor.prompts.chat import solution_messages, solution_text
from codefavor.records import write_rows
from codefavor.training.formats import convert
from codefavor.training.preview import Preview, TokenRow, token_budget
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
