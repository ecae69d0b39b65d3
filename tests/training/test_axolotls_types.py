"""Axolotl's own data set types are read as Axolotl reads them, and the right turns are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("axolotl", reason="rows are read by Axolotl's own readers")

from codefavor.records import Row, write_rows
from codefavor.training.check_data import data_findings
from codefavor.training.preflight import token_findings
from codefavor.training.preview import Preview
from codefavor.training.recipes import load_yaml

pytestmark = pytest.mark.axolotl

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "smollm2-135m"
ASKED, GOOD, BAD = "Add two numbers.", "return a + b", "return a - b"
OPEN = "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
PAIR = {"chosen": GOOD, "rejected": BAD}
LABELLED = {"completion": GOOD, "label": True}
TURNS = {
    "chosen": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": GOOD}],
    "rejected": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": BAD}],
}
OWN_PAIR = {
    "prompt_format": OPEN,
    "chosen_format": "{chosen}<|im_end|>",
    "rejected_format": "{rejected}<|im_end|>",
}
OWN_LABEL = {"prompt_format": OPEN, "completion_format": "{completion}<|im_end|>"}


def recipe(name: str, row: Row, kind: Any, model: Path, folder: Path, **own: Any) -> Row:
    write_rows(folder / "data.jsonl", [row])
    entry = {"path": "data.jsonl", "split": "train", "type": kind, **own}
    return {**load_yaml(RECIPES / f"{name}.yaml"), "base_model": str(model), "datasets": [entry]}


def trained(config: Row, folder: Path) -> list[str]:
    reader = Preview(config, folder)
    return [
        "".join(span.text for span in reader.spans(one) if span.is_trained).strip()
        for one in reader.sequences()
    ]


@pytest.mark.parametrize(
    ("name", "kind", "row"),
    [
        ("dpo", "chatml.intel", {"system": "Be exact.", "question": ASKED, **PAIR}),
        ("dpo", "chatml.ultra", {"prompt": ASKED, **TURNS}),
        ("dpo", "chatml.icr", {"input": ASKED, **PAIR}),
        ("dpo", "chatml.prompt_pairs", {"prompt": ASKED, **PAIR}),
        ("dpo", "chatml.argilla_chat", TURNS),
        ("dpo", OWN_PAIR, {"prompt": ASKED, **PAIR}),
        ("kto", "chatml.argilla", {"instruction": ASKED, **LABELLED}),
        ("kto", "chatml.intel", {"question": ASKED, **LABELLED}),
        ("kto", "chatml.ultra", {"prompt": ASKED, **LABELLED}),
        ("kto", OWN_LABEL, {"prompt": ASKED, **LABELLED}),
    ],
    ids=str,
)
def test_preference_types_are_read(name, kind, row, embedded_model: Path, tmp_path: Path):
    sides = [GOOD] if name == "kto" else [GOOD, BAD]
    config = recipe(name, row, kind, embedded_model, tmp_path)
    assert trained(config, tmp_path) == [f"{side}<|im_end|>" for side in sides]


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("alpaca", {"instruction": ASKED, "input": "", "output": GOOD}),
        ("alpaca:chat", {"instruction": ASKED, "input": "", "output": GOOD}),
        (
            {"field_instruction": "q", "field_output": "a", "format": "{instruction} "},
            {"q": ASKED, "a": GOOD},
        ),
    ],
    ids=str,
)
def test_supervised_types_are_read(kind, row, embedded_model: Path, tmp_path: Path):
    [text] = trained(recipe("sft", row, kind, embedded_model, tmp_path), tmp_path)
    assert GOOD in text and ASKED not in text


def test_a_long_text_gives_a_sequence(embedded_model: Path, tmp_path: Path):
    config = recipe("sft", {"text": f"{ASKED} {GOOD}"}, "completion", embedded_model, tmp_path)
    [text] = trained(config, tmp_path)
    assert ASKED in text and GOOD in text


def test_a_role_that_is_made_another_is_an_error(embedded_model: Path, tmp_path: Path):
    row = {"messages": TURNS["chosen"]}
    roles = {"assistant": ["user"], "user": ["assistant"]}
    config = recipe("sft", row, "chat_template", embedded_model, tmp_path, roles=roles)
    found = [one.message for one in data_findings(config, tmp_path, 0)]
    assert any("roles: assistant: [user] makes a turn of the user" in one for one in found), found
    names = {"assistant": ["gpt", "bot"], "user": ["human"]}
    others = [{"role": "human", "content": ASKED}, {"role": "bot", "content": GOOD}]
    config = recipe(
        "sft", {"messages": others}, "chat_template", embedded_model, tmp_path, roles=names
    )
    assert list(token_findings(config, tmp_path)) == []
    assert not [one for one in data_findings(config, tmp_path, 0) if "roles" in one.message]


def test_answers_that_are_not_trained_are_named(embedded_model: Path, tmp_path: Path):
    asked, answer = TURNS["chosen"]
    flags = {"message_field_training": "train"}
    for is_on in (True, False):
        turns = [{**asked, "train": not is_on}, {**answer, "train": is_on}]
        row = {"messages": turns}
        config = recipe("sft", row, "chat_template", embedded_model, tmp_path, **flags)
        said = [one.message for one in token_findings(config, tmp_path)]
        assert any("do not train the answer" in one for one in said) != is_on, said
