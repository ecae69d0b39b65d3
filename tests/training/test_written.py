"""Templates that lose a text of the rows, or train what should not be trained, are named."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from codefavor.records import write_rows
from codefavor.training.check_tokens import token_findings
from codefavor.training.formats import convert
from codefavor.training.recipes import load_yaml
from tests.training.conftest import easy_pairs
from tests.training.templates import BEHIND, FOLDED, GOOD, SYSTEMLESS

pytest.importorskip("transformers", reason="it renders the templates")
ROOT = Path(__file__).resolve().parents[2] / "recipes"
NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"


def found_in(template: str, folder: Path, system: str = "", recipe: str = "dpo") -> list[str]:
    """What is said of two pairs under a template; the system's turn says `system`."""
    rows = json.loads(json.dumps(list(convert(easy_pairs(range(1))[:2], recipe).rows)))
    for row in rows:
        row["messages"][0]["content"] = system
    write_rows(folder / "data.jsonl", rows)
    config = load_yaml(ROOT / "smollm2-135m" / f"{recipe}.yaml")
    config |= {"chat_template_jinja": template}
    config["datasets"] = [{**config["datasets"][0], "path": "data.jsonl"}]
    found = token_findings(config, NAME, {}, folder, ROOT)
    return [f"{one.severity}: {one.message}" for one in found]


@pytest.mark.parametrize("recipe", ["dpo", "sft", "kto"])
def test_rows_whose_system_turn_is_left_out_are_counted(recipe: str, tmp_path: Path):
    [said] = found_in(SYSTEMLESS, tmp_path, "Answer in Latin.", recipe)
    assert said.startswith("error: datasets: ") and " rows lose what a turn of the role" in said
    assert "'Answer in Latin.' is not in what chat_template_jinja writes" in said
    assert found_in(GOOD, tmp_path, "Answer in Latin.", recipe) == []


def test_without_such_rows_it_is_a_warning(tmp_path: Path):
    [said] = found_in(SYSTEMLESS, tmp_path)
    assert said.startswith("warning: chat_template_jinja: it leaves out the text of a system's")


def test_a_question_in_the_turn_of_its_answer_is_named(tmp_path: Path):
    assert "written with the answer alone" in found_in(FOLDED, tmp_path)[0]
    assert "written behind the answer, where it is trained" in found_in(BEHIND, tmp_path)[0]
    assert all(one.startswith("error: ") for one in found_in(FOLDED, tmp_path))


def test_the_reasons_of_earlier_turns_may_be_left_out_and_no_other_text(tmp_path: Path):
    from codefavor.training.check_written import lost_turn

    turns = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "<think>long</think> So."},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "<think>short</think> Thus."},
    ]
    whole = "Why? So. And? <think> short </think>Thus."
    assert lost_turn(whole, turns) is None
    assert lost_turn(whole.replace("short", ""), turns) == turns[3]
    assert lost_turn(whole.replace("So", ""), turns) == turns[1]


@pytest.mark.parametrize(
    ("template", "says"),
    [(GOOD, ""), (SYSTEMLESS, "system's turn"), (FOLDED, "alone"), (BEHIND, "behind")],
)
def test_a_rehearsal_names_what_the_template_loses(template: str, says: str):
    from codefavor.training.rehearsal_checks import template_problems

    tokenizer = SimpleNamespace(chat_template=template, bos_token=None, eos_token="<|im_end|>")
    found = list(template_problems(tokenizer, "empty"))
    assert len(found) == bool(says) and says in "".join(found)


def test_no_template_of_the_recipes_loses_a_text():
    from codefavor.training.rehearsal_checks import template_problems
    from codefavor.training.stand_in import template_text

    without_system = set()
    for name, family in load_yaml(ROOT / "stand_ins.yaml").items():
        tokens = family["tokens"]
        tokenizer = SimpleNamespace(
            chat_template=template_text(family),
            bos_token=tokens.get("bos"),
            eos_token=tokens["eos"],
        )
        assert list(template_problems(tokenizer, "none")) == [], name
        without_system |= {name} if list(template_problems(tokenizer, "empty")) else set()
    assert without_system == {"Mistral-7B", "Mistral-Nemo"}  # whose rows have none
