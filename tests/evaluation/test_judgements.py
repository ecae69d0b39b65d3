"""What is said of answers, and what is not: denominators, reasons, labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codefavor.evaluation.answer_text import read_yes_no
from codefavor.evaluation.truthfulness import _judgement
from tests.evaluation.test_truthfulness import ROWS, chat, result_of, write_lines
from tests.kit.commands import Done, codefavor
from tests.kit.server import LoopbackServer


def evaluate(
    command: str, folder: Path, replies: dict[str, str], judged: dict[str, str] | None = None
) -> tuple[Done, dict[str, Any]]:
    data = write_lines(folder / "qa.json", ROWS)
    with LoopbackServer(chat(replies)) as server, LoopbackServer(chat(judged or {})) as judge:
        words: list[object] = [
            "evaluate", command, "-m", "openai:m", "--set", f'base_url="{server.url}/v1"',
            "--set", "api_key=k", "--data", data, "--out", folder / "out",
        ]  # fmt: skip
        if judged is not None:
            words += ["--judge", "openai:j", "--judge-set", f'base_url="{judge.url}/v1"',
                      "--judge-set", "api_key=k"]  # fmt: skip
        done = codefavor(*words, home=folder)
    assert done.code == 0, done.stderr
    return done, result_of(folder / "out")


@pytest.mark.integration
def test_an_item_without_an_answer_counts_in_its_own_kind(tmp_path: Path) -> None:
    replies = {"Karl Weiss": "Yes", "Anna Weiss": "", "20 km": "No", "12 km": "No",
               "May 2": "Yes", "March 2": "No"}  # fmt: skip
    _, result = evaluate("halueval", tmp_path, replies)
    assert sum(result["metrics"]["unscored"].values()) == 1
    measures = result["metrics"]["measures"]
    found = {name: (one["n"], one["n_items"]) for name, one in measures.items()}
    assert found == {
        "accuracy": (5, 6),
        "accuracy of hallucinated answers": (3, 3),
        "accuracy of right answers": (2, 3),
    }


@pytest.mark.integration
def test_replies_without_a_judgement_are_counted_with_their_reason(tmp_path: Path) -> None:
    replies = {"Karl Weiss": "Yes", "Anna Weiss": "Hard to say", "20 km": "No", "12 km": "No",
               "May 2": "Maybe", "March 2": ""}  # fmt: skip
    done, result = evaluate("halueval", tmp_path, replies)
    found = result["metrics"]["unscored"]
    assert found.pop("undecided") == 2
    assert sum(found.values()) == 1
    assert "3 items have no answer or no judgement" in done.stdout
    n = result["metrics"]["measures"]["accuracy"]["n"]
    assert n + 3 == result["metrics"]["n_items"]


@pytest.mark.integration
def test_a_judge_that_says_nothing_or_fails_is_counted_beside_the_other_measures(
    tmp_path: Path,
) -> None:
    answers = {"mill": "Anna Weiss built it", "lake": "It is 20 km", "fair": "2 March 1991"}
    judged = {"Anna Weiss built": "Yes", "It is 20 km": "Hard to say", "2 March": ""}
    _, result = evaluate("halueval-answers", tmp_path, answers, judged)
    found = result["metrics"]["unscored"]
    assert found["judge: undecided"] >= 1
    assert all(reason.startswith("judge: ") for reason in found)
    assert sum(found.values()) == 2
    measures = result["metrics"]["measures"]
    assert (measures["supported"]["n"], measures["supported"]["n_items"]) == (1, 3)
    assert measures["ROUGE-L"]["n"] == 3


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Hallucinated: Yes", True), ("**Hallucination**: no", False), ("Final answer: Yes", True),
        ("The answer is: No", False), ("Your Judgement: Yes", True), ("Factual: Yes", None),
        ("Supported: No", None), ("Correct: Yes", None), ("No hallucination: No", None),
        ("Factual: Yes\nAnswer: No", False),
    ],
)  # fmt: skip
def test_a_yes_to_another_question_is_undecided(reply: str, expected: bool | None) -> None:
    assert read_yes_no(reply, labels=("hallucination", "hallucinated")) is expected
    row = {"is_hallucinated": True}
    right = None if expected is None else float(expected)
    assert _judgement(row, reply)["accuracy"] == right
