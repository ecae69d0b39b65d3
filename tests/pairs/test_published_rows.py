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
from codefavor.pairs.published_rows import SHAPES, read_published
from codefavor.pairs.row_files import read_any_rows

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
    ],
    "instruction with two answers": [
        {"instruction": "Add two numbers.", "chosen": GOOD, "rejected": BAD},
    ],
    "question with two answers": [
        {"system": "", "question": "Add two numbers.", "chosen": GOOD, "rejected": BAD},
    ],
    "input with two answers": [
        {"system": "", "input": "Add two numbers.", "chosen": GOOD, "rejected": BAD, "idx": "7"},
    ],
    "two conversations": [
        {"chosen": [USER, said(GOOD)], "rejected": [USER, said(BAD)]},
        {
            "chosen": f"\n\nHuman: Add two numbers.\n\nAssistant: {GOOD}",
            "rejected": f"\n\nHuman: Add two numbers.\n\nAssistant: {BAD}",
        },
    ],
    "two judged responses (HelpSteer3)": [
        {"context": [USER], "response1": GOOD, "response2": BAD, "overall_preference": -2},
        {"context": [USER], "response1": BAD, "response2": GOOD, "overall_preference": 1},
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
        {"prompt": "Add two numbers.", "completion": BAD, "label": False},
    ],
    "rated responses (HelpSteer)": [
        {"prompt": "Add two numbers.", "response": BAD, "helpfulness": 1, "correctness": 0},
        {"prompt": "Add two numbers.", "response": GOOD, "helpfulness": 4, "correctness": 4},
    ],
}


def numbered(rows: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"rows:{n}", row) for n, row in enumerate(rows, start=1)]


def test_every_form_has_a_row_here() -> None:
    assert {shape.name for shape in SHAPES} == {*ROWS, *GROUPED, "codefavor"}


@pytest.mark.parametrize(
    ("form", "rows"),
    [(form, [row]) for form, rows in ROWS.items() for row in rows] + list(GROUPED.items()),
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
        ({"prompt": [USER, said("x")], "chosen": "a", "rejected": "b"}, "no_question"),
        (
            {"context": [USER], "response1": "a", "response2": "b", "overall_preference": 0},
            "equal_scores",
        ),
    ],
)
def test_a_row_that_gives_no_pair_is_counted(row: dict[str, Any], reason: str) -> None:
    reading = read_published(numbered([row]))
    assert (reading.preferences, dict(reading.rejected)) == ([], {reason: 1})


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
    for wrong in (-1, 5, "yes"):
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
