"""Rows whose turns a table holds as texts, whose scores have other names, and begun answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codefavor.pairs.published_rows import read_published

USER = {"role": "user", "content": 'Say "it\'s" twice.'}
GOOD, BAD = {"role": "assistant", "content": "a\nb"}, {"role": "assistant", "content": "c"}


def read(row: dict[str, Any]) -> Any:
    return read_published([("file:1", row)])


@pytest.mark.parametrize("write", [json.dumps, repr, lambda value: f" {json.dumps(value)}\n"])
@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": USER["content"], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
        {"prompt": [USER], "chosen": GOOD, "rejected": BAD},
        {"id": "1", "instruction": USER["content"], "chosen": [GOOD], "rejected": [BAD]},
        {"id": "1", "instruction": USER["content"], "chosen": [USER, GOOD], "rejected": [USER, BAD],
         "language": "python"},
    ],
    ids=str,
)  # fmt: skip
def test_turns_that_a_table_holds_as_texts_are_turns(row: dict[str, Any], write: Any) -> None:
    texts = {name: value if isinstance(value, str) else write(value) for name, value in row.items()}
    [pair] = read(texts).preferences
    assert (pair.instruction, pair.chosen, pair.rejected) == (USER["content"], "a\nb", "c")


def test_labelled_turns_that_a_table_holds_as_texts_are_turns() -> None:
    row = {"prompt": repr([USER]), "completion": repr([GOOD]), "label": "True"}
    [one] = read(row).labelled
    assert (one.instruction, one.completion, one.label) == (USER["content"], "a\nb", True)


def test_turns_that_cannot_be_read_from_their_text_are_told() -> None:
    torn = {
        "prompt": "p",
        "chosen": "[{'role': 'user', 'content': 'x'}\n {'role': 'as",
        "rejected": "b",
    }
    fine = {"prompt": "p", "chosen": "a", "rejected": "b"}
    reading = read_published([("f:1", torn), ("f:2", fine)])
    assert (
        "'chosen' is" in reading.unreadable[0]
        and "neither JSON nor Python" in reading.unreadable[0]
    )
    assert len(reading.preferences) == 1


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "{'role': 'a dict literal of a program'}"])
def test_an_answer_that_is_data_stays_a_text(text: str) -> None:
    [pair] = read({"prompt": "Give JSON.", "chosen": text, "rejected": "no"}).preferences
    assert pair.chosen == text


@pytest.mark.parametrize(
    "scores",
    [
        {"chosen_reward": 1, "rejected_reward": 5},
        {"rm_score_chosen": -3.0, "rm_score_rejected": 2.0},
        {"chosen_avg_rating": 1, "rejected_avg_rating": 5},
        {"margin": -3.0},
        {"reward_margin": "-1"},
    ],
    ids=str,
)
def test_pairs_that_their_own_scores_turn_round_are_counted(scores: dict[str, Any]) -> None:
    pair = {"prompt": "p", "chosen": "a", "rejected": "b"}
    assert dict(read({**pair, **scores}).rejected) == {"scores_contradict": 1}
    turned = {name: -float(value) for name, value in scores.items()}
    assert len(read({**pair, **turned}).preferences) == 1


def test_both_answers_go_on_from_the_steps_that_they_share() -> None:
    row = {
        "prompt": "p",
        "initial_reason_steps": "Step 1: x.\nStep 2:",
        "chosen": " y",
        "rejected": " z",
    }
    [pair] = read(row).preferences
    assert (pair.chosen, pair.rejected) == ("Step 1: x.\nStep 2: y", "Step 1: x.\nStep 2: z")


def answers_and_annotations(*models: Any, key: str = "model") -> dict[str, Any]:
    """A row of CodeUltraFeedback; `models` are those of its annotations, "good" rates 5."""
    return {
        "instruction": "p",
        "responses": [{"model": one, "response": one} for one in ("good", "bad", "worse")],
        "annotations": [
            {key: one, "rating": {"good": "5", "bad": "2"}.get(one, "1")} for one in models
        ],
    }


def test_annotations_are_those_of_the_model_that_they_name() -> None:
    """Their authors shuffle them: by their place the program rated 5 became the rejected one."""
    [pair] = read(answers_and_annotations("worse", "good", "bad")).preferences
    assert (pair.chosen, pair.rejected) == ("good", "worse")


@pytest.mark.parametrize(
    "row",
    [
        answers_and_annotations("good", "bad", "other"),
        answers_and_annotations("good", "bad", "bad"),
        answers_and_annotations("good", "bad", "worse", key="name"),
        answers_and_annotations("good", "bad", None),
    ],
    ids=["another", "twice", "no model", "null"],
)
def test_annotations_whose_models_are_others_are_counted(row: dict[str, Any]) -> None:
    found = read(row)
    assert (found.preferences, dict(found.rejected)) == ([], {"models_differ": 1})


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("Human: Q\nAssistant:", ["Q"]),
        ("Human: Q\n\nAssistant:", ["Q"]),
        ("Human: Q1\nAssistant: A1\nHuman: Q2\nAssistant:", ["Q1", "A1", "Q2"]),
        ("\n\nHuman: Q1\n\nAssistant: a\nHuman: b\n\nHuman: Q2", ["Q1", "a\nHuman: b", "Q2"]),
        ("\n\nHuman: Q", ["Q"]),
        ("Human: the species. Describe it.", ["Human: the species. Describe it."]),
        ("Human: a\n\nSystem: b", ["Human: a\n\nSystem: b"]),
    ],
)
def test_marks_are_marks_where_an_answer_has_one_too(prompt: str, turns: list[str]) -> None:
    [pair] = read({"prompt": prompt, "chosen": "a", "rejected": "b"}).preferences
    assert [*(turn["content"] for turn in pair.history), pair.instruction] == turns


@pytest.mark.parametrize("write", [int, float, str, bool, lambda value: str(float(value))])
def test_votes_of_an_arena_are_read_however_they_are_written(write: Any) -> None:
    """As texts both had won, which was counted as a tie."""
    row = {"prompt": '["p"]', "response_a": '["a"]', "response_b": '["b"]', "id": 1}
    votes = {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}
    found = read(row | {name: write(value) for name, value in votes.items()})
    assert [(one.chosen, one.rejected) for one in found.preferences] == [("a", "b")]
    assert set(found.not_used) == {"id"}  # not that from which the pair was taken
    wrong = read_published([("f:1", row | votes | {"winner_model_a": "maybe"})], max_error_rate=1)
    assert "'winner_model_a' is 'maybe'" in wrong.unreadable[0]


@pytest.mark.parametrize(
    "name", ["pass_rate", "passed", "accuracy", "correctness", "votes", "n_tests_passed"]
)
def test_a_measure_tells_where_there_is_no_score(name: str) -> None:
    pair = {"prompt": "p", "chosen": "a", "rejected": "b"}
    measured = {f"chosen_{name}": 0.1, f"rejected_{name}": 0.9}
    assert dict(read({**pair, **measured}).rejected) == {"scores_contradict": 1}
    scored = {"chosen_score": 8, "rejected_score": 5}
    assert len(read({**pair, **measured, **scored}).preferences) == 1


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "response_0": "b", "response_1": "a", "better_response_id": "1"},
        {"prompt": "p", "response_0": "b", "response_1": "a", "better_response_id": 1.0},
        {"input": "p", "output_1": "b", "output_2": "a", "label": 2},
        {"question": "p", "response_A": "a", "response_B": "b", "label": "A>B", "source": "s"},
        {"instruction": "p", "input": "", "output": ["a", "b"]},
        {
            "input": {"messages": [{"role": "user", "content": "p"}], "tools": []},
            "preferred_output": [{"role": "assistant", "content": "a"}],
            "non_preferred_output": [{"role": "assistant", "content": "b"}],
        },
    ],
    ids=["PKU", "PKU float", "LLMBar", "JudgeBench", "LLaMA-Factory", "OpenAI"],
)
def test_more_forms_of_the_hub_are_read(row: dict[str, Any]) -> None:
    [pair] = read(row).preferences
    assert (pair.instruction, pair.chosen, pair.rejected) == ("p", "a", "b")
