"""Answers that begin with a thought: one block, trained whole, or named as what it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codefavor.records import Row, write_rows
from codefavor.training.check_tokens import token_findings
from codefavor.training.stand_in import StandIn

pytestmark = pytest.mark.axolotl
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
CODE = "```python\ndef f(x):\n    return x + 1\n```"
THOUGHT = f"<think>\nAdd one.\n</think>\n\n{CODE}"
QUESTION = {"role": "user", "content": "Write f"}
ASKED = "<|im_start|>user\nWrite f<|im_end|>\n<|im_start|>assistant\n"


def said(text: str) -> Row:
    return {"role": "assistant", "content": text}


PAIRS: list[Row] = [
    {"messages": [QUESTION], "chosen": said(THOUGHT), "rejected": said(CODE.replace("+", "-"))}
]
TALKS: list[Row] = [{"messages": [QUESTION, said(THOUGHT)]}]


def config_of(folder: Path, rows: list[Row], kind: str, **more: Any) -> Row:
    write_rows(folder / "data.jsonl", rows)
    entry = {"path": "data.jsonl", "split": "train", "type": kind}
    return {"datasets": [entry], "chat_template": "tokenizer_default", **more}


def test_a_thought_is_trained_as_the_one_block_of_its_answer(tmp_path: Path):
    from codefavor.training.preview import Preview

    StandIn.of("Qwen/Qwen3-8B", RECIPES).save(tmp_path / "model", [THOUGHT])
    config = config_of(tmp_path, PAIRS, "codefavor.preferences", rl="dpo", base_model="model")
    reader = Preview({**config, "sequence_len": 512}, tmp_path)
    found = {one.part: [span.text for span in reader.spans(one)] for one in reader.sequences()}
    assert found["chosen"] == [ASKED, f"{THOUGHT}<|im_end|>"]
    # Both sides have one question, so that the template's empty thought is part of the other.
    other = f"<think>\n\n</think>\n\n{PAIRS[0]['rejected']['content']}<|im_end|>"
    assert found["rejected"] == [ASKED, other]


def named(folder: Path, rows: list[Row], kind: str, model: str, **more: Any) -> list[str]:
    config = config_of(folder, rows, kind, base_model=model, **more)
    found = token_findings(config, model, {}, folder, RECIPES)
    return [one.message for one in found if one.severity == "error"]


def test_a_thought_that_the_template_begins_itself_is_an_error(tmp_path: Path):
    qwen, oss, chat = "Qwen/Qwen3-8B", "openai/gpt-oss-20b", "chat_template"
    [error] = named(tmp_path, TALKS, chat, qwen)
    assert "1 of 1 rows answer with a thought of their own" in error and "chatml" in error
    assert named(tmp_path, TALKS, chat, qwen, chat_template="chatml") == []
    plain = [{"messages": [QUESTION, said(CODE)]}]
    assert named(tmp_path, plain, chat, qwen) == []
    # Within gpt-oss's own marks it would be a text of the final answer.
    [error] = named(tmp_path, PAIRS, "codefavor.preferences", oss, rl="dpo")
    assert "<|channel|>final<|message|>" in error
    assert named(tmp_path, PAIRS, "codefavor.preferences", qwen, rl="dpo") == []
    assert named(tmp_path, TALKS, chat, "HuggingFaceTB/SmolLM2-135M-Instruct") == []
