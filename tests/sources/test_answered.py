"""Questions with answers, in the forms that data sets have: what is an answer, and what is none."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import DataError
from codefavor.sources.answered import Answered, load_answered

ROW: dict[str, Any] = {"question": "Who built it?", "context": "Ann built it."}


def load(folder: Path, *rows: dict[str, Any]) -> tuple[list[Answered], Counter[str]]:
    path = folder / "qa.jsonl"
    path.write_text("".join(json.dumps({**ROW, **row}) + "\n" for row in rows), encoding="utf-8")
    skipped: Counter[str] = Counter()
    return load_answered(path, skipped), skipped


@pytest.mark.parametrize(
    "answers", [[None], [["Ann", "Ann B."], ["A."]], [{"value": "Ann"}], [1911]], ids=str
)
def test_what_is_no_text_is_no_answer(tmp_path: Path, answers: list[Any]) -> None:
    assert load(tmp_path, {"answers": answers}) == (
        [],
        {"no answer, and nothing that says there is none": 1},
    )


@pytest.mark.parametrize("mark", ["CANNOTANSWER", "No Answer Present."])
def test_a_mark_in_the_place_of_an_answer_says_that_there_is_none(
    tmp_path: Path, mark: str
) -> None:
    (one,), skipped = load(tmp_path, {"answers": [mark], "context": "Ann built it. CANNOTANSWER"})
    assert (one.answers, one.context, skipped) == ((), "Ann built it.", {})


@pytest.mark.parametrize(
    "row",
    [
        {"answers": ["Ann"], "is_impossible": True},
        {"answer": "Ann", "has_answer": False},
        {"answers": ["CANNOTANSWER", "Ann"]},
    ],
    ids=str,
)
def test_an_answer_beside_a_mark_that_there_is_none_is_not_used(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    assert load(tmp_path, row) == ([], {"an answer, and a mark that there is none": 1})


@pytest.mark.parametrize(
    "context",
    [
        [["Mill", ["Ann built it.", " It is old."]], ["Lake", ["It is long."]]],
        {"title": ["Mill", "Lake"],
         "sentences": [["Ann built it.", "It is old."], ["It is long."]]},
        ["Mill\nAnn built it. It is old.", "Lake\nIt is long."],
    ],
    ids=["hotpot", "hotpot-hub", "texts"],
)  # fmt: skip
def test_a_text_in_parts_is_joined(tmp_path: Path, context: Any) -> None:
    (one,), _ = load(tmp_path, {"context": context, "answers": ["Ann"]})
    assert one.context == "Mill\nAnn built it. It is old.\n\nLake\nIt is long."


@pytest.mark.parametrize("context", [{"a": 1}, [["Mill", "Ann"]], 7, [None]], ids=str)
def test_a_text_of_another_form_is_refused(tmp_path: Path, context: Any) -> None:
    with pytest.raises(DataError, match="expected a text, a list of texts"):
        load(tmp_path, {"context": context, "answers": ["Ann"]})
