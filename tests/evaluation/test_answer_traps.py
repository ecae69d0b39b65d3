"""Forms in which a known answer only seems to stand, or does; rows of which nothing can be said."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from codefavor.backends.local import n_positions
from codefavor.evaluation.truthfulness import _judgement
from codefavor.judges.answer_text import contains
from codefavor.sources.answered import load_answered
from codefavor.sources.truthful import read_halueval


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        ("Nobody; no one knew.", "1"), ("It is one or the other.", "1"), ("Each one left.", "1"),
        ("It may be true.", "May"), ("They march north.", "March"), ("May I ask?", "May"),
        ("10^6 cells", "10"), ("At 7:30.", "7"), ("5-10 million people", "5"),
        ("It ended at 10:12.", "10-12"),
    ],
)  # fmt: skip
def test_what_only_looks_like_the_answer_does_not_contain_it(answer: str, known: str) -> None:
    assert contains(answer, known) == 0.0


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        ("in nineteen ninety-nine", "1999"), ("in twenty twenty", "2020"),
        ("Nineteen Eighty-Four", "1984"),
        ("nineteen oh five", "1905"), ("1.5M people", "1.5 million"), ("500k", "500,000"),
        ("half a million", "500,000"), ("5 USD", "$5"), ("USD 5", "$5"),
        ("World War II", "World War 2"),
        ("World War Two", "World War II"), ("7 p.m.", "7 pm"), ("AD 44", "44 AD"),
        ("44 BCE", "44 BC"),
        ("2½ hours", "2.5"), ("1991/03/03", "March 3, 1991"), ("May the second", "2 May"),
        ("6 ft 2 in", "6 feet 2 inches"), ("The 1,000th", "1000th"), ("on May 5", "May"),
        ("It was in May.", "May"), ("one of the two", "one"), ("5-10 million people", "5 million"),
        ("they won 3:1", "3-1"), ("thirteen days", "13"), ("twenty-one", "21"),
    ],
)  # fmt: skip
def test_another_form_of_the_answer_contains_it(answer: str, known: str) -> None:
    assert contains(answer, known) == 1.0


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("Yes, there is no hallucination.", None),
        ("No, the answer does contain a hallucination.", None),
        ("Yes, the answer contains a hallucination.", True),
        ("No. It has no hallucination.", False),
        ("Hallucination: no", False), ("Yes: hallucinated details", True),
        ("No, the answer is not hallucinated.", False),
    ],
)  # fmt: skip
def test_a_judgement_that_contradicts_itself_is_none(reply: str, said: bool | None) -> None:
    right = _judgement({"is_hallucinated": True}, reply)["accuracy"]
    assert right == (None if said is None else float(said))


def test_an_answer_that_reads_like_a_mark_is_no_row_without_an_answer(tmp_path: Path) -> None:
    rows = [
        {"question": "Symbol of sodium?", "context": "Sodium (Na) is a metal.", "answers": ["Na"]},
        {"question": "Which film?", "context": "He was in Unknown (2011).", "answers": ["Unknown"]},
        {"question": "Who won?", "context": "They played.", "answers": ["unknown"]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    skipped: Counter[str] = Counter()
    (left,) = load_answered(path, skipped)
    assert (left.question, left.answers) == ("Who won?", ())
    assert skipped == {"an answer that reads like a mark that there is none": 2}


def test_equal_answers_of_halueval_are_a_row_that_nobody_is_asked_about(tmp_path: Path) -> None:
    row = {
        "knowledge": "k",
        "question": "q",
        "right_answer": "Kyoto ",
        "hallucinated_answer": "Kyoto",
    }
    other = {**row, "hallucinated_answer": "Nara"}
    path = tmp_path / "qa.json"
    path.write_text(json.dumps(row) + "\n" + json.dumps(other) + "\n")
    one, two = read_halueval("qa", path, None)
    assert (one.get("flaw"), two.get("flaw")) == ("equal_answers", None)


def test_positions_of_roberta_begin_behind_the_padding_token() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.RobertaConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=14,
    )  # fmt: skip
    model = transformers.RobertaForSequenceClassification(config)
    n = n_positions(model)
    assert n is not None
    model(input_ids=torch.full((1, n), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, n + 1), 5))


def test_positions_of_others_are_what_the_configuration_says() -> None:
    model = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=64))
    model.base_model = model
    assert n_positions(model) == 64
