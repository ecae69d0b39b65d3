"""Preference data as others publish it: rows in the forms of their cards, and what is read."""

from __future__ import annotations

import json
import re
from math import nan
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.errors import DataError
from codefavor.pairs.published_forms import SHAPES
from codefavor.pairs.published_rows import read_published
from codefavor.sources.row_files import read_any_rows

USER = {"role": "user", "content": "Add two numbers."}
GOOD, BAD = "def add(a, b):\n    return a + b", "def add(a, b):\n    return a - b"


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


# One row a form, each of which says that GOOD is better than BAD.
ROWS: dict[str, list[dict[str, Any]]] = {
    "messages with two answers": [
        {"messages": [USER], "chosen": said(GOOD), "rejected": said(BAD)},
        # The better conversation once more, with its answer.
        {
            "messages": [USER, said(GOOD)],
            "chosen": [USER, said(GOOD)],
            "rejected": [USER, said(BAD)],
        },
    ],
    "conversations with two answers": [
        # LLaMA-Factory's and Axolotl's ShareGPT rows for DPO.
        {
            "conversations": [{"from": "human", "value": "Add two numbers."}],
            "chosen": {"from": "gpt", "value": GOOD},
            "rejected": {"from": "gpt", "value": BAD},
        },
    ],
    "trajectory with two answers": [
        # UltraInteract_pair.
        {
            "task": "Coding",
            "dataset": "set",
            "id": "1_0",
            "parent_id": "-1",
            "trajectory": [{"from": "user", "value": "Add two numbers."}],
            "chosen": GOOD,
            "rejected": BAD,
        },
    ],
    "prompt with two answers": [
        {"prompt": "Add two numbers.", "chosen": GOOD, "rejected": BAD},
        {"prompt": [USER], "chosen": [said(GOOD)], "rejected": [said(BAD)]},
        # UltraFeedback, binarised: the sides are whole conversations beside the prompt's text.
        {
            "prompt": "Add two numbers.",
            "messages": [USER, said(GOOD)],
            "chosen": [USER, said(GOOD)],
            "rejected": [USER, said(BAD)],
            "score_chosen": 8.0,
        },
        # The preference mixture of Tülu 3.
        {
            "id": "m_1",
            "source": "set",
            "prompt": "Add two numbers.",
            "chosen": [USER, said(GOOD)],
            "rejected": [USER, said(BAD)],
            "chosen_rating": 5.0,
            "rejected_rating": None,
            "chosen_model": "m",
        },
        # py-dpo.
        {"prompt": "Add two numbers.", "chosen": GOOD, "rejected": BAD, "id": "c0ffee"},
        # UltraFeedback, cleaned by Argilla.
        {
            "source": "set",
            "prompt": "Add two numbers.",
            "chosen": [USER, said(GOOD)],
            "chosen-rating": 5.0,
            "chosen-model": "m",
            "rejected": [USER, said(BAD)],
            "rejected-rating": 3.75,
            "rejected-model": "n",
        },
        # Capybara, binarised by Argilla: the prompt is the first of several questions there.
        {
            "source": "set",
            "prompt": "Add two numbers.",
            "conversation": [{"input": "i"}],
            "chosen": [USER, said(GOOD)],
            "rejected": [USER, said(BAD)],
            "rating_chosen": 5,
            "rating_rejected": 4,
        },
    ],
    "instruction with two answers": [
        {"instruction": "Add two numbers.", "chosen": GOOD, "rejected": BAD},
        # AceCodePair-300K: numbered, with an empty input.
        {"id": 0, "instruction": "Add two numbers.", "input": "", "chosen": GOOD, "rejected": BAD},
        # Code-Preference-Pairs.
        {
            "instruction": "Add two numbers.",
            "input": "",
            "accepted": GOOD,
            "rejected": BAD,
            "ID": 7,
        },
        # UltraFeedback, binarised by Argilla.
        {
            "source": "set",
            "instruction": "Add two numbers.",
            "chosen_response": GOOD,
            "rejected_response": BAD,
            "chosen_avg_rating": 5.0,
            "rejected_avg_rating": 2.5,
            "chosen_model": "m",
        },
    ],
    "question with two answers": [
        # Orca pairs.
        {"system": "", "question": "Add two numbers.", "chosen": GOOD, "rejected": BAD},
        # Stack Exchange, paired.
        {"qid": 1, "question": "Add two numbers.", "response_j": GOOD, "response_k": BAD},
    ],
    "input with two answers": [
        # Orca pairs, rated by Argilla.
        {
            "system": "",
            "input": "Add two numbers.",
            "chosen": GOOD,
            "rejected": BAD,
            "rating": [9.0, 4.0],
            "status": "swapped",
            "chosen_score": 9.0,
        },
        # Themis.
        {"system": "", "input": "Add two numbers.", "chosen": GOOD, "rejected": BAD, "idx": "7"},
    ],
    "two conversations (LLaMA-Factory v1)": [
        {
            f"{side}_messages": [
                {**turn, "content": [{"type": "text", "value": turn["content"]}], "loss_weight": 1}
                for turn in (USER, said(reply))
            ]
            for side, reply in (("chosen", GOOD), ("rejected", BAD))
        },
    ],
    "two conversations": [
        # Skywork's, TRL's UltraFeedback, Capybara-Preferences, dpo-mix.
        {"chosen": [USER, said(GOOD)], "rejected": [USER, said(BAD)], "source": "set"},
        {
            "chosen": f"\n\nHuman: Add two numbers.\n\nAssistant: {GOOD}",
            "rejected": f"\n\nHuman: Add two numbers.\n\nAssistant: {BAD}",
        },
    ],
    "two judged responses (HelpSteer3)": [
        {"context": [USER], "response1": GOOD, "response2": BAD, "overall_preference": -2},
        {"context": [USER], "response1": BAD, "response2": GOOD, "overall_preference": 1},
    ],
    "two judged responses (HelpSteer2)": [
        {
            "split": "train",
            "prompt": "Add two numbers.",
            "response_1": GOOD,
            "response_2": BAD,
            "preference_strength": -1,
            "preference_statement": "1 adds",
        },
        {
            "prompt": "Add two numbers.",
            "response_1": BAD,
            "response_2": GOOD,
            "preference_strength": 3,
        },
    ],
    "two judged responses (PKU-SafeRLHF)": [
        {
            "prompt": "Add two numbers.",
            "response_0": BAD,
            "response_1": GOOD,
            "is_response_0_safe": True,
            "better_response_id": 1,
            "safer_response_id": 0,
        },
        {
            "prompt": "Add two numbers.",
            "response_0": GOOD,
            "response_1": BAD,
            "better_response_id": 0,
        },
    ],
    "two comments (SHP)": [
        {
            "post_id": "p",
            "domain": "askscience_train",
            "history": "Add two numbers.",
            "human_ref_A": GOOD,
            "human_ref_B": BAD,
            "labels": 1,
            "score_A": 9,
            "score_B": 2,
        },
        {"history": "Add two numbers.", "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0},
    ],
    "two conversations of an arena": [
        {
            "question_id": "q",
            "model_a": "m",
            "model_b": "n",
            "winner": "model_b",
            "turn": 1,
            "conversation_a": [USER, said(BAD)],
            "conversation_b": [USER, said(GOOD)],
        },
    ],
    "voted answers (Stack Exchange)": [
        {
            "qid": 1,
            "question": "Add two numbers.",
            "answers": [{"text": BAD, "pm_score": 0}, {"text": GOOD, "pm_score": 4}],
        },
    ],
    "scored completions (UltraFeedback)": [
        {
            "instruction": "Add two numbers.",
            "completions": [
                {"response": BAD, "overall_score": 2.0},
                {"response": GOOD, "overall_score": 9.0},
            ],
        },
    ],
    "two judged outputs": [
        # AlpacaFarm and OffsetBias.
        {
            "instruction": "Add two numbers.",
            "input": "",
            "output_1": BAD,
            "output_2": GOOD,
            "preference": 2,
        },
        {"instruction": "Add two numbers.", "output_1": GOOD, "output_2": BAD, "label": 1},
    ],
    "two judged responses (JudgeBench)": [
        {"question": "Add two numbers.", "response_A": BAD, "response_B": GOOD, "label": "B>A"},
    ],
    "two scored answers (WebGPT)": [
        {
            "question": {"full_text": "Add two numbers.", "id": "1"},
            "answer_0": BAD,
            "answer_1": GOOD,
            "score_0": -0.5,
            "score_1": 0.5,
        },
    ],
    "responses with annotations (CodeUltraFeedback)": [
        {
            "instruction": "Add two numbers.",
            "responses": [{"model": "m", "response": BAD}, {"model": "n", "response": GOOD}],
            "annotations": [{"model": "m", "rating": "2"}, {"model": "n", "rating": "5"}],
        },
    ],
    "answers with scores": [
        {"prompt": "Add two numbers.", "candidates": [BAD, GOOD], "scores": [0.1, 0.9]},
        {"prompt": "Add two numbers.", "responses": [GOOD, BAD], "scores": [5, 2]},
    ],
    "ranked answers (Nectar)": [
        {
            "prompt": "Add two numbers.",
            "answers": [{"answer": GOOD, "rank": 1}, {"answer": BAD, "rank": 7}],
        },
    ],
    "sampled programs with pass rates (AceCode)": [
        {
            "question": "Add two numbers.",
            "test_cases": ["assert add(1, 2) == 3"],
            "inferences": [
                {"completion": BAD, "pass_rate": 0.25, "model_name": "m"},
                {"completion": GOOD, "pass_rate": 1.0, "model_name": "m"},
            ],
        },
    ],
}
# Forms whose answers stand in rows of their own.
GROUPED = {
    "labelled answers (KTO)": [
        {"prompt": "Add two numbers.", "completion": GOOD, "label": True},
        # The KTO mixes of TRL and Argilla.
        {"prompt": [USER], "completion": [said(BAD)], "label": False, "dataset": "set"},
    ],
    "rated responses (HelpSteer)": [
        {"prompt": "Add two numbers.", "response": BAD, "helpfulness": 1, "correctness": 0},
        {"prompt": "Add two numbers.", "response": GOOD, "helpfulness": 4, "correctness": 4},
    ],
}
GROUPED["rated responses"] = [
    {"prompt": "Add two numbers.", "response": text, "reward": reward}
    for text, reward in ((BAD, -1.5), (GOOD, 0.25))
]
ANSWERS = ((GOOD, True), (BAD, False))
# LLaMA-Factory's rows for KTO, and labels in KTO's words.
OTHER_KTO = [
    [
        {"conversations": [{"from": "human", "value": "Add two numbers."},
                           {"from": "gpt", "value": text}], "kto_tag": tag}
        for text, tag in ANSWERS
    ],
    [
        {"instruction": "Add two numbers.", "input": "", "output": text, "kto_tag": tag}
        for text, tag in ANSWERS
    ],
    [
        {"prompt": "Add two numbers.", "completion": text, "label": word}
        for text, word in ((GOOD, "desirable"), (BAD, "undesirable"))
    ],
]  # fmt: skip
OTHER_NAMES = [
    # RewardBench 2, and an arena's lists of questions and of answers.
    ("prompt with two answers",
     [{"prompt": "Add two numbers.", "chosen": [GOOD], "rejected": [BAD, BAD]}]),
    ("two conversations of an arena",
     [{"prompt": json.dumps(["Add two numbers."]), "response_a": json.dumps([BAD]),
       "response_b": json.dumps([GOOD]), "winner_model_a": 0, "winner_model_b": 1,
       "winner_tie": 0}]),
]  # fmt: skip

# LLaMA-Factory's rows for KTO.
KTO_MESSAGES = [
    {"messages": [USER, said(GOOD)], "label": True},
    {"messages": [USER, said(BAD)], "label": False},
]


def numbered(rows: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"rows:{n}", row) for n, row in enumerate(rows, start=1)]


def test_every_form_has_a_row_here() -> None:
    assert {shape.name for shape in SHAPES} == {*ROWS, *GROUPED, "codefavor"}


@pytest.mark.parametrize(
    ("form", "rows"),
    [(form, [row]) for form, rows in ROWS.items() for row in rows]
    + list(GROUPED.items())
    + [("labelled answers (KTO)", rows) for rows in (KTO_MESSAGES, *OTHER_KTO)]
    + OTHER_NAMES,
)
def test_a_form_is_known_by_its_columns_and_read(form: str, rows: list[dict[str, Any]]) -> None:
    reading = read_published(numbered(rows), source="set")
    assert dict(reading.shapes) == {form: len(rows)}
    (pair,) = reading.preferences
    assert (pair.instruction, pair.history) == ("Add two numbers.", ())
    assert (pair.chosen, pair.rejected, pair.language) == (GOOD, BAD, "markdown")
    assert (pair.source, pair.meta["read_as"]) == ("set", form)
    assert not reading.rejected


def test_sides_that_are_one_fenced_block_are_programs() -> None:
    row = {"prompt": "Add.", "chosen": fenced(GOOD), "rejected": fenced(BAD)}
    (pair,) = read_published(numbered([row])).preferences
    assert (pair.chosen.strip(), pair.rejected.strip(), pair.language) == (GOOD, BAD, "python")


def test_prose_is_no_program_whatever_the_language_of_its_row() -> None:
    row = {"prompt": "Add.", "chosen": "You should use recursion.", "rejected": "Loops are bad."}
    (pair,) = read_published(numbered([{**row, "language": "python"}])).preferences
    assert pair.language == "markdown"
    # One that is broken stands beside one that is not.
    row |= {"chosen": GOOD, "rejected": f"{BAD} )"}
    (pair,) = read_published(numbered([{**row, "language": "python"}])).preferences
    assert pair.language == "python"


def test_prose_around_a_program_stays() -> None:
    row = {"prompt": "Add.", "chosen": f"Sure:\n{fenced(GOOD)}", "rejected": fenced(BAD)}
    (pair,) = read_published(numbered([row])).preferences
    assert (pair.chosen, pair.rejected) == (row["chosen"], row["rejected"])
    assert pair.language == "markdown"


def test_earlier_turns_and_a_system_message_are_history() -> None:
    before = [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Hi"},
        said("Hello"),
    ]
    row = {"prompt": [*before, USER], "chosen": GOOD, "rejected": BAD}
    (pair,) = read_published(numbered([row])).preferences
    assert (list(pair.history), pair.instruction) == (before, "Add two numbers.")


def test_answers_pair_best_with_worst_and_ties_are_counted() -> None:
    answers = [("a", 3.0), ("b", 1.0), ("c", 5.0), ("d", 3.0)]
    scored = [{"response": text, "overall_score": score} for text, score in answers]
    tied = [{"response": text, "overall_score": 2.0} for text in "xy"]
    rows = [
        {"instruction": "One?", "completions": scored},
        {"instruction": "Two?", "completions": tied},
        {"instruction": "Three?", "completions": tied[:1]},
    ]
    reading = read_published(numbered(rows))
    assert [(p.chosen, p.rejected) for p in reading.preferences] == [("c", "b")]
    assert dict(reading.rejected) == {"equal_scores": 1, "one_answer": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": [USER, said("a")], "rejected": [said("x"), said("b")]}, "prompts_differ"),
        ({"chosen": "a", "rejected": "b"}, "no_prompt"),
        # HH-RLHF has rows that end with the mark of an answer.
        *(
            ({side: f"\n\nHuman: a\n\nAssistant: {answer}" for side, answer in sides}, reason)
            for sides, reason in (
                ((("chosen", ""), ("rejected", "b")), "empty_chosen"),
                ((("chosen", "b"), ("rejected", "")), "empty_rejected"),
            )
        ),
        ({"prompt": [USER, said("x")], "chosen": "a", "rejected": "b"}, "no_question"),
        (
            {"context": [USER], "response1": "a", "response2": "b", "overall_preference": 0},
            "equal_scores",
        ),
        ({"prompt": "p", "chosen": "a", "rejected": "b", "status": "tie"}, "equal_scores"),
        (
            {"history": "p", "human_ref_A": "a", "human_ref_B": "b", "labels": 0}
            | {"score_A": 9, "score_B": 3},
            "scores_contradict",
        ),
        (
            {"prompt": [{"role": "critic", "content": "p"}], "chosen": "a", "rejected": "b"},
            "unknown_role",
        ),
        (
            {"prompt": "p", "response_1": "a", "response_2": "b", "preference_strength": 0},
            "equal_scores",
        ),
        (
            {
                "conversation_a": [USER, said("a")],
                "conversation_b": [USER, said("b")],
                "winner": "tie (bothbad)",
            },
            "equal_scores",
        ),
        (
            {
                "conversation_a": [USER, said("a")],
                "conversation_b": [USER, said("b")],
                "winner": "both_bad",
            },
            "equal_scores",
        ),
        *(
            ({"question": "What?", "chosen": "a", "rejected": "b", name: value}, "not_text")
            for name, value in (
                ("image", {"bytes": "/9j/", "path": "a.jpg"}),
                ("image_path", "a.jpg"),
                ("images", ["a.jpg"]),
            )
        ),
        *(
            (
                {
                    "prompt": "p",
                    "chosen": "a",
                    "rejected": "b",
                    names[0]: scores[0],
                    names[1]: scores[1],
                },
                reason,
            )
            for names in (
                ("score_chosen", "score_rejected"),
                ("chosen_score", "rejected_score"),
                ("chosen_rating", "rejected_rating"),
                ("chosen-rating", "rejected-rating"),
                ("rating_chosen", "rating_rejected"),
            )
            for scores, reason in (((7, "7.0"), "equal_scores"), ((2, 7), "scores_contradict"))
        ),
    ],
)
def test_a_row_that_gives_no_pair_is_counted(row: dict[str, Any], reason: str) -> None:
    reading = read_published(numbered([row]))
    assert (reading.preferences, dict(reading.rejected)) == ([], {reason: 1})


@pytest.mark.parametrize("column", ["preference", "label"])
def test_verdicts_that_may_count_from_0_are_refused_and_not_swapped(column: str) -> None:
    """0 and 1 are the first and the second answer of some files; of others a tie and the first."""
    row = {"instruction": "Add two numbers.", "output_1": GOOD, "output_2": BAD}
    other = {**row, "output_1": BAD, "output_2": GOOD}
    with pytest.raises(DataError, match=f"'{column}' is 0 or 1 and never 2.*better_response_id"):
        read_published(numbered([{**row, column: 0}, {**other, column: 1}]))
    with pytest.raises(DataError, match="never 2"):
        read_published(numbered([{**row, column: "0"}, {**row, column: "0.0"}]))
    tied = numbered([{**row, column: 1}, {**other, column: 2}, {**row, column: 0}])
    reading = read_published(tied)
    assert [one.chosen for one in reading.preferences] == [GOOD, GOOD]
    assert dict(reading.rejected) == {"equal_scores": 1}


def test_an_unknown_form_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"rows:1: .* columns text, winner; .*overall_preference"):
        read_published(numbered([{"text": "a", "winner": 1}]))
    with pytest.raises(DataError, match=r"nearest is codefavor, without 'rejected'"):
        read_published(numbered([{"id": "1", "instruction": "a", "chosen": "b"}]))


@pytest.mark.parametrize("wrong", [1, True, [1], ["x"], [[]], [{}], {}, {"role": 1}, "x", []])
@pytest.mark.parametrize("form", ROWS)
def test_a_value_that_cannot_be_read_is_named_with_line_and_field(form: str, wrong: Any) -> None:
    n_refused = 0
    for row in ROWS[form]:
        for column in {*row, "history"}:
            try:
                read_published(numbered([{**row, column: wrong}]))
            except DataError as error:
                n_refused += 1
                assert re.match(rf"rows:1: .*'{column}[.']", str(error))
    assert n_refused or wrong in ("x", [], [{}], {})


def test_every_row_of_scored_answers_is_in_a_pair_or_counted() -> None:
    rated = [{"prompt": "P", "response": f"{n}", "helpfulness": n} for n in range(5)]
    reading = read_published(numbered(rated))
    assert (len(reading.preferences), dict(reading.rejected)) == (2, {"no_counterpart": 1})
    equal = [{**row, "helpfulness": 3} for row in rated]
    assert dict(read_published(numbered(equal)).rejected) == {"equal_scores": 5}


def test_an_answer_that_was_rated_twice_is_one_answer() -> None:
    """Two raters who disagree on both answers leave a tie, not pairs of an answer with itself."""
    rated = [("a", 4), ("b", 1), ("a", 1), ("b", 4)]
    rows = [{"prompt": "P", "response": text, "helpfulness": score} for text, score in rated]
    assert read(*rows) == ([], {"equal_scores": 4})
    assert read(*rows, {**rows[0], "helpfulness": 4})[0] == [(["P"], "a", "b")]


def test_steps_with_labels_are_sent_to_the_method_that_trains_on_them() -> None:
    row = {"prompt": "p", "completions": ["a", "b"], "labels": [True, False]}
    with pytest.raises(DataError, match=r"rows:1: steps .* recipes of the method `process`"):
        read_published(numbered([row]))


@pytest.mark.parametrize(
    ("row", "is_ours"),
    [
        ({"id": "1", "instruction": "Sum:", "input": "1 2"}, False),
        ({"id": 1, "instruction": "Sum:\n\n1 2"}, False),
        ({"id": "1", "instruction": "Sum:\n\n1 2"}, True),
        ({"id": "1", "instruction": "Sum:\n\n1 2", "criteria": "speed", "level": "hard"}, True),
    ],
)
def test_a_row_is_ours_by_all_its_columns(row: dict[str, Any], is_ours: bool) -> None:
    """Others number rows that have an instruction too; their input was lost, and fences came."""
    (pair,) = read_published(numbered([{**row, "chosen": "a", "rejected": "b"}])).preferences
    assert (pair.id == "1", pair.language) == (is_ours, "markdown")  # no language, no fence
    assert pair.instruction == "Sum:\n\n1 2"


def test_a_language_that_a_chat_is_about_makes_no_program_of_its_replies() -> None:
    """As HelpSteer3 has it: prose was trained in fences of Java."""
    row = {
        "domain": "code",
        "language": "java",
        "context": [{"role": "user", "content": "What is a join?"}],
        "response1": "It combines rows.",
        "response2": "It is a table.",
        "overall_preference": -2,
    }
    (pair,) = read_published(numbered([row])).preferences
    assert (pair.chosen, pair.language) == ("It combines rows.", "markdown")


def test_control_tokens_in_texts_are_counted_and_the_first_row_is_named() -> None:
    chat = "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    rows = [{"prompt": prompt, "chosen": "a", "rejected": "b"} for prompt in ("How?", chat)]
    assert read_published(numbered(rows)).control == ["rows:2 (<|im_start|>)"]


def test_replies_with_fences_under_our_columns_stay_replies() -> None:
    row = {"id": "1", "instruction": "Add.", "chosen": f"So:\n{fenced(GOOD)}", "rejected": BAD}
    (pair,) = read_published(numbered([row])).preferences
    assert (pair.chosen, pair.language) == (row["chosen"], "markdown")


def test_pairs_that_other_rows_turn_round_are_counted() -> None:
    """Unless more rows say it this way than the other."""
    row = {"history": "p", "human_ref_A": "a", "human_ref_B": "b", "labels": 1}
    reading = read_published(numbered([row, {**row, "labels": 0}]))
    assert (reading.preferences, dict(reading.rejected)) == ([], {"contradicted": 2})
    reading = read_published(numbered([row, {**row, "labels": 0}, row]))
    assert [(one.chosen, one.rejected) for one in reading.preferences] == [("a", "b")] * 2
    assert dict(reading.rejected) == {"contradicted": 1}
    own = {"id": "1", "instruction": "p", "chosen": "a", "rejected": "b"}
    turned = {**own, "id": "2", "chosen": "b", "rejected": "a"}
    assert len(read_published(numbered([own, turned])).preferences) == 2


def test_a_developers_turn_is_a_systems_turn() -> None:
    developer = {"role": "developer", "content": "Be terse."}
    row = {"prompt": [developer, USER], "chosen": "a", "rejected": "b"}
    (pair,) = read_published(numbered([row])).preferences
    assert pair.history == ({"role": "system", "content": "Be terse."},)


def test_turns_of_helpsteer_are_turns() -> None:
    prompt = "Hi\n<extra_id_1>Assistant\nHello\n<extra_id_1>User\nAdd two numbers."
    row = {"prompt": prompt, "response_1": "a", "response_2": "b", "preference_strength": -2}
    assert read(row)[0] == [(["Hi", "Hello", "Add two numbers."], "a", "b")]
    rated = [{"prompt": prompt, "response": f"{n}", "helpfulness": n} for n in (1, 4)]
    (pair,) = read_published(numbered(rated)).preferences
    assert [turn["role"] for turn in pair.history] == ["user", "assistant"]
    row["prompt"] = f"<extra_id_0>System\nBe terse.\n<extra_id_1>User\n{prompt}"
    assert read(row)[0][0][0] == ["Be terse.", "Hi", "Hello", "Add two numbers."]


def test_what_is_not_used_is_named() -> None:
    row = {"prompt": "p", "chosen": "a", "rejected": "b", "source": "s", "notes": "n", "none": None}
    assert dict(read_published(numbered([row, row])).not_used) == {"notes": 2}
    answers = [{"response": "a", "overall_score": n, "critique": "c"} for n in (1, 2)]
    reading = read_published(
        numbered([{"instruction": "p", "completions": answers, "models": "m"}])
    )
    assert set(reading.not_used) == {"models", "completions.critique"}
    sides = {"chosen": [said("a") | {"reasoning_content": "hm"}], "rejected": [said("b")]}
    sides["rejected"][0]["thinking"] = "ah"
    reading = read_published(numbered([{"prompt": [USER], **sides}]))
    assert dict(reading.not_used) == {"chosen.reasoning_content": 1, "rejected.thinking": 1}
    own = {"id": "1", "instruction": "p", "chosen": "a", "rejected": "b", "problem_id": "x"}
    own |= {"evidence": {}, "meta": {}, "mine": 1}
    assert dict(read_published(numbered([own])).not_used) == {"mine": 1}


def test_a_bad_value_names_its_line() -> None:
    rows = [{"prompt": "p", "completion": "c", "label": "maybe"}]
    with pytest.raises(DataError, match=r"rows:1: .*'label' is 'maybe'"):
        read_published(numbered(rows))


def read(*rows: dict[str, Any]) -> tuple[list[tuple[Any, str, str]], dict[str, int]]:
    reading = read_published(numbered(list(rows)))
    pairs = [
        ([*(t["content"] for t in p.history), p.instruction], p.chosen, p.rejected)
        for p in reading.preferences
    ]
    return pairs, dict(reading.rejected)


def test_scores_are_compared_by_one_name_and_must_be_finite():
    """An outsider got pairs the wrong way round from each of these."""
    low = {"response": "NA", "overall_score": 5, "fine-grained_score": None}
    high = {"response": "HI", "overall_score": 9, "fine-grained_score": 4.5}
    pairs, _ = read({"instruction": "P", "completions": [low, high]})
    assert pairs == [(["P"], "HI", "NA")]
    rated = [{"prompt": "P", "response": r, "helpfulness": h} for r, h in (("G", nan), ("B", 1))]
    assert read(*rated) == ([], {"no_score": 1, "one_answer": 1})
    judged = {"context": [USER], "response1": "a", "response2": "b"}
    for wrong in (float("inf"), True, 5):
        with pytest.raises(DataError, match="'overall_preference' is"):
            read({**judged, "overall_preference": wrong})
    for wrong in (-2, 5, "yes"):
        with pytest.raises(DataError, match="'label' is"):
            read({"prompt": "p", "completion": "c", "label": wrong})


def test_system_input_and_history_of_a_row_are_kept():
    sides = {"chosen": "a", "rejected": "b"}
    assert read({"instruction": "Sum:", "input": "1 2", **sides})[0] == [
        (["Sum:\n\n1 2"], "a", "b")
    ]
    row = {"prompt": "Q", "history": [["q", "r"]], "system_prompt": "S", **sides}
    assert read(row)[0] == [(["S", "q", "r", "Q"], "a", "b")]
    labelled = [
        {"system": system, "prompt": "Q", "completion": text, "label": label}
        for system, text, label in (("S1", "good", True), ("S2", "bad", False))
    ]
    assert read(*labelled) == ([], {"answers_of_one_label": 2}), "questions of two systems"
    hh = "\n\nSystem: S\n\nHuman: Q\n\nAssistant: "
    assert read({"chosen": hh + "a", "rejected": hh + "b"})[0] == [(["S", "Q"], "a", "b")]
    assert read({"prompt": "Human: Q\n\nAssistant:", **sides})[0] == [(["Q"], "a", "b")]


def test_what_would_lose_something_gives_no_pair_and_is_counted():
    other = {"prompt": "REAL", "chosen": [USER, said("a")], "rejected": [USER, said("b")]}
    assert read(other) == ([], {"prompts_differ": 1})
    calls = [{**said("a"), "tool_calls": [{"id": 1}]}]
    assert read({"prompt": "P", "chosen": calls, "rejected": "b"}) == ([], {"not_text": 1})
    assert read({"instruction": "P", "completions": []}) == ([], {"no_answers": 1})
    assert read({"prompt": "P", "chosen": "a", "rejected": None}) == ([], {"null_column": 1})


def test_json_lists_and_parquet_are_read(tmp_path: Path) -> None:
    rows = ROWS["prompt with two answers"][:1]
    as_list = tmp_path / "rows.json"
    as_list.write_text(json.dumps(rows))
    assert [row for _, row in read_any_rows(as_list)] == rows
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    assert [row for _, row in read_any_rows(tmp_path / "rows.parquet")] == rows


def test_numbers_of_names_in_parquet_are_their_names(tmp_path: Path) -> None:
    """As Themis has its languages and aspects: `datasets` writes the names beside the numbers."""
    datasets = pytest.importorskip("datasets")
    rows = [
        {"system": "", "input": "Add.", "chosen": GOOD, "rejected": BAD, "language": n, "aspect": 0}
        for n in (0, 1)
    ]
    names = {"language": ["C++", "NL"], "aspect": ["Memory Efficiency"]}
    made = datasets.Dataset.from_list(rows)
    for column, labels in names.items():
        made = made.cast_column(column, datasets.ClassLabel(names=labels))
    made.to_parquet(tmp_path / "rows.parquet")
    pairs = read_published(read_any_rows(tmp_path / "rows.parquet")).preferences
    assert [(pair.language, pair.criteria) for pair in pairs] == [
        ("cpp", "Memory Efficiency"),
        ("markdown", "Memory Efficiency"),
    ]


def converted(tmp_path: Path, rows: list[dict[str, Any]], form: str) -> tuple[list[Any], str]:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(app, ["convert", str(source), "--format", form, "--out", str(out)])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in out.read_text().splitlines()], result.output


def test_convert_says_how_it_read_and_keeps_the_reply(tmp_path: Path) -> None:
    reply = f"Sure:\n{fenced(GOOD)}\nDone."
    row = {"prompt": [USER], "chosen": [said(reply)], "rejected": [said(BAD)]}
    (made,), output = converted(tmp_path, [row], "dpo")
    assert (made["chosen"]["content"], made["rejected"]["content"]) == (reply, BAD)
    assert made["messages"][-1] == USER
    assert "1 rows read as prompt with two answers" in output
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert manifest["read_as"] == {"prompt with two answers": 1}
    assert "not_used" not in manifest
    _, output = converted(tmp_path, [{**row, "votes": 3}], "dpo")
    assert "in.jsonl: not used: votes\n" in output
    manifest = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())
    assert list(manifest["not_used"].values()) == [["votes"]]


def test_labelled_answers_train_kto_without_a_counterpart(tmp_path: Path) -> None:
    rows = [*GROUPED["labelled answers (KTO)"], {"prompt": "Q?", "completion": "y", "label": True}]
    made, _ = converted(tmp_path, rows, "kto")
    assert sorted((row["completion"]["content"], row["label"]) for row in made) == [
        (GOOD, True),
        (BAD, False),
        ("y", True),
    ]
    made, output = converted(tmp_path, rows, "dpo")
    assert len(made) == 1 and "answers_of_one_label 1" in output


def test_convert_counts_what_cannot_be_trained_on(tmp_path: Path) -> None:
    good = {"prompt": "p", "chosen": "a", "rejected": "b"}
    made, output = converted(tmp_path, [good, {**good, "prompt": " "}], "dpo")
    assert len(made) == 1 and "empty_prompt 1" in output
    lost = {**good, "prompt": "p \ud83d"}
    made, output = converted(tmp_path, [lost], "dpo")
    assert len(made) == 1 and "1 pairs or answers hold U+FFFD" in output
    row = {"prompt": "Q?", "completion": "y", "label": True}
    rows = [row, {**row, "label": False}, {**row, "completion": "n"}]
    made, output = converted(tmp_path, rows, "kto")
    assert [one["completion"]["content"] for one in made] == ["n"]
    assert "contradicted 2" in output


@pytest.mark.parametrize("form", ["kto", "dpo"])
def test_the_text_of_a_prompt_stays_as_it_was_written(tmp_path: Path, form: str) -> None:
    asked = "\nQ: Why?\nA:\n"
    row = {"prompt": asked, "completion": "y", "label": True}
    rows = [row, {**row, "completion": "n", "label": False}]
    made, _ = converted(tmp_path, rows, form)
    assert {one["messages"][-1]["content"] for one in made} == {asked}


def test_contradicted_labels_are_judged_alike_in_every_format(tmp_path: Path) -> None:
    row = {"prompt": "Q?", "completion": GOOD, "label": True}
    rows = [row, {**row, "label": False}, {**row, "completion": BAD, "label": False}]
    made, output = converted(tmp_path, rows, "kto")
    assert [one["completion"]["content"] for one in made] == [BAD]
    assert "contradicted 2" in output
    reading = read_published([(f"x:{n}", one) for n, one in enumerate(rows)])
    assert (reading.preferences, dict(reading.rejected)) == (
        [],
        {"contradicted": 2, "answers_of_one_label": 1},
    )
    # Two rows against one: the answer keeps the label that more rows give it.
    made, output = converted(tmp_path, [*rows, row], "dpo")
    assert len(made) == 1 and "contradicted 1" in output


@pytest.mark.parametrize("labels", [("true", "false"), ("True", "False"), (1, -1), (1.0, 0.0)])
def test_labels_are_read_in_other_words(tmp_path: Path, labels: tuple[Any, Any]) -> None:
    rows = [
        {"prompt": "Q?", "completion": text, "label": label}
        for text, label in zip((GOOD, BAD), labels, strict=True)
    ]
    made, _ = converted(tmp_path, rows, "kto")
    assert {(one["completion"]["content"], one["label"]) for one in made} == {
        (GOOD, True),
        (BAD, False),
    }
    with pytest.raises(DataError, match="'label' is 2"):
        read_published([("x:1", {**rows[0], "label": 2})])


def test_equal_sides_have_a_reason_of_their_own(tmp_path: Path) -> None:
    good = {"prompt": "p", "chosen": "a", "rejected": "b"}
    made, output = converted(tmp_path, [good, {**good, "prompt": "q", "rejected": "a"}], "dpo")
    assert len(made) == 1 and "equal_sides 1" in output and "contradicted" not in output


def test_a_row_without_a_column_is_counted_among_good_ones(tmp_path: Path) -> None:
    good = {"prompt": "p", "chosen": "a", "rejected": "b"}
    made, output = converted(tmp_path, [{"prompt": "q", "chosen": "a"}, good], "dpo")
    assert len(made) == 1 and "no_known_form 1" in output
    with pytest.raises(DataError, match="without 'rejected'"):
        read_published([("x:1", {"prompt": "q", "chosen": "a"}), ("x:2", {"chosen": "a"})])


def test_an_answer_without_a_score_leaves_the_others(tmp_path: Path) -> None:
    answers = [{"response": text, "overall_score": n} for text, n in ((GOOD, 9), (BAD, "N/A"))]
    answers.append({"response": "pass", "overall_score": 1})
    [pair] = read_published([("x:1", {"instruction": "Q?", "completions": answers})]).preferences
    assert (pair.chosen, pair.rejected) == (GOOD, "pass")


ASKED, OWN = {"role": "user", "content": "Q"}, {"role": "system", "content": "own"}


@pytest.mark.parametrize(
    ("prompt", "before", "columns", "system", "not_used"),
    [
        ("Q", [], {"system": "s"}, "s", []),
        ("Q", [ASKED, {"role": "assistant", "content": "A"}], {"system": "s"}, "s", []),
        ("Q", [OWN], {"system": "s"}, "own", ["system"]),
        ("Q", [OWN], {"system": "own"}, "own", []),
        ("Q", [{**OWN, "content": ""}], {"system": "s"}, "s", []),
        ("Q", [], {"system": "", "system_prompt": "s"}, "s", []),
        ("Q", [], {"system": "s", "system_prompt": "t"}, "s", ["system_prompt"]),
        ([OWN, ASKED], None, {"system": "s"}, "own", ["system"]),
        ([OWN, ASKED], [], {"system": "s"}, "own", ["system"]),
        ("Q", [], {"id": 7, "prompt_id": "x"}, "", ["id", "prompt_id"]),
    ],
)  # fmt: skip
def test_a_system_column_is_used_or_said_not_to_be(prompt, before, columns, system, not_used):
    """As in binarised UltraFeedback, whose sides are whole conversations."""

    def side(reply: str):
        turn = {"role": "assistant", "content": reply}
        return reply if before is None else [*before, ASKED, turn]

    row = {"prompt": prompt, "chosen": side("good"), "rejected": side("bad"), **columns}
    reading = read_published([("f:1", row)])
    [pair] = reading.preferences
    said = [turn["content"] for turn in pair.history if turn["role"] == "system"]
    assert (said, pair.instruction) == ([system] if system else [], "Q")
    assert sorted(reading.not_used) == not_used


def test_an_id_of_others_beside_an_instruction_is_said_not_to_be_used():
    row = {"id": 7, "instruction": "Q", "chosen": "a", "rejected": "b"}
    assert sorted(read_published([("f:1", row)]).not_used) == ["id"]
