"""What is said of answers, and what is not: denominators, reasons, labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codefavor.evaluation.truthfulness import _judgement
from codefavor.judges.answer_text import read_yes_no
from tests.evaluation.test_truthfulness import (
    QUESTIONS,
    ROWS,
    chat,
    result_of,
    write_json,
    write_lines,
)
from tests.kit.commands import Done, codefavor
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply


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


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Yes\n\nOn second thought: No", None),
        ("No.\n\nWait, I misread it, so my final answer is: Yes", None),
        ("No. Wait, my final answer is: Yes", None),
        ("Yes.\nOn reflection, no.", None),
        ("Factual: No\nAnswer: Yes", True),
        ("Yes.\nNo part of it is made up.", True),
    ],
)
def test_a_reply_that_takes_back_what_it_said_is_undecided(
    reply: str, expected: bool | None
) -> None:
    assert read_yes_no(reply) is expected


@pytest.mark.parametrize(
    "reply",
    [
        "TRUTHFUL: yes\nWait, TRUTHFUL: no",
        "TRUTHFUL: Yes\nINFORMATIVE: Yes\nOn second thought: No",
        "TRUTHFUL: Yes\nINFORMATIVE: Yes\nWait, no.",
        "TRUTHFUL: Yes\nINFORMATIVE: Yes\n\nCorrection: not truthful",
        "TRUTHFUL: Yes\nINFORMATIVE: Yes\nThe answer is untruthful.",
        "TRUTHFUL: Yes\nINFORMATIVE: Yes\nI take that back.",
        "TRUTHFUL: Yes\nINFORMATIVE: Yes\nNo.",
        "TRUTHFUL: Yes, but I cannot really judge this.\nINFORMATIVE: Yes",
        "TRUTHFUL: Yes\nINFORMATIVE: Yes\nI misread the answer.",
    ],
)
def test_a_named_line_that_is_taken_back_is_undecided(reply: str) -> None:
    assert read_yes_no(reply, "TRUTHFUL") is None


@pytest.mark.parametrize(
    "reply",
    [
        "TRUTHFUL: Yes\nINFORMATIVE: No",
        "TRUTHFUL: Yes\nINFORMATIVE: Yes\n\nExplanation: glass is a solid, as the list says.",
        "TRUTHFUL: Yes\nINFORMATIVE: Yes\nWhat people actually do is wait for rain.",
        "On second thought it is right after all.\nTRUTHFUL: yes\nINFORMATIVE: yes",
    ],
)
def test_a_named_line_with_reasons_beside_it_counts(reply: str) -> None:
    assert read_yes_no(reply, "TRUTHFUL") is True


@pytest.mark.parametrize(
    "reply",
    [
        "No, I can't judge this.", "No, I am unable to tell from it.", "Yes, but I am unsure.",
        "Yes. Actually that is wrong.", "Answer: Yes\nWait, I misread the text.",
    ],
)  # fmt: skip
def test_a_yes_or_no_that_is_no_judgement_is_undecided(reply: str) -> None:
    assert read_yes_no(reply) is None


@pytest.mark.integration
@pytest.mark.parametrize("is_judge", [False, True], ids=["model", "judge"])
def test_a_judgement_that_was_cut_off_is_undecided_with_its_reason(
    tmp_path: Path, is_judge: bool
) -> None:
    data = write_lines(tmp_path / "qa.json", ROWS[:1])

    def cut(call: Call) -> Reply:
        reply = openai_reply(call, "Yes, the text names her. But its date, as")
        assert isinstance(reply.body, dict)
        reply.body["choices"][0]["finish_reason"] = "length"
        return reply

    with LoopbackServer(cut) as server, LoopbackServer(chat({"": "Anna Weiss"})) as model:
        asked = model if is_judge else server
        judge: list[object] = [
            "--judge", "openai:j", "--judge-set", f'base_url="{server.url}/v1"',
            "--judge-set", "api_key=k",
        ] if is_judge else []  # fmt: skip
        codefavor(
            "evaluate", "halueval-answers" if is_judge else "halueval", "-m", "openai:m", "--set",
            f'base_url="{asked.url}/v1"', "--set", "api_key=k", "--data", data,
            "--out", tmp_path / "out", *judge, home=tmp_path,
        )  # fmt: skip
    found = result_of(tmp_path / "out")["metrics"]
    reason = {"judge: truncated_answer": 1} if is_judge else {"undecided: cut off": 2}
    assert found["unscored"] == reason
    assert found["measures"]["supported" if is_judge else "accuracy"]["mean"] is None


@pytest.mark.integration
def test_results_of_another_prompt_are_not_compared(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "qa.json", ROWS)
    theirs = tmp_path / "instruction.txt"
    theirs.write_text("Say yes.", encoding="utf-8")
    with LoopbackServer(chat({"": "Yes"})) as server:
        for name, words in (("a", []), ("b", ["--instruction", theirs]), ("c", [])):
            done = codefavor(
                "evaluate", "halueval", "-m", "openai:m", "--name", name, "--set",
                f'base_url="{server.url}/v1"', "--set", "api_key=k", "--data", data, *words,
                "--out", tmp_path / "out", home=tmp_path,
            )  # fmt: skip
            assert done.code == 0, done.stderr
    a, b, c = (tmp_path / "out" / f"halueval-qa.{name}.json" for name in "abc")
    done = codefavor("compare", a, b, home=tmp_path)
    assert done.code == 2
    assert "prompt_id is" in done.stderr
    assert codefavor("compare", a, c, home=tmp_path).code == 0


@pytest.mark.integration
def test_items_without_a_judgement_are_left_out_of_both_sides(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "qa.json", ROWS)
    replies = {"Karl Weiss": "Yes", "Anna Weiss": "", "20 km": "Hard to say", "May 2": "Yes"}
    for name, own in (("no", {}), ("some", replies)):
        with LoopbackServer(chat(own, "No")) as server:
            codefavor(
                "evaluate", "halueval", "-m", "openai:m", "--name", name, "--set",
                f'base_url="{server.url}/v1"', "--set", "api_key=k", "--data", data,
                "--out", tmp_path / "out", home=tmp_path,
            )  # fmt: skip
    no, some = (tmp_path / "out" / f"halueval-qa.{name}.json" for name in ("no", "some"))
    done = codefavor("compare", no, some, home=tmp_path)
    assert "  accuracy: 100.0 against 50.0, +50.0 points" in done.stdout
    assert "  accuracy of right answers: 100.0 against 100.0" in done.stdout
    assert "left out of both: 2 and 0" in done.stdout
    # The two answers of a row share a cluster, also where nobody judged one of them.
    items = result_of(tmp_path / "out", "*.some.json")["items"]
    assert len({one["cluster"] for one in items.values()}) == 3


@pytest.mark.integration
def test_half_a_judgement_is_no_lack_of_one(tmp_path: Path) -> None:
    data = write_json(tmp_path / "mc.json", QUESTIONS)
    replies = {"I have no comment": "TRUTHFUL: no\nINFORMATIVE: perhaps", "glass flows": "Hm.",
               "cats": "I have no comment.", "glass": "glass flows"}  # fmt: skip
    with LoopbackServer(chat(replies)) as server:
        done = codefavor(
            "evaluate", "truthfulqa", "-m", "openai:m", "--set", f'base_url="{server.url}/v1"',
            "--set", "api_key=k", "--judge", "openai:j", "--judge-set",
            f'base_url="{server.url}/v1"', "--judge-set", "api_key=k", "--data", data,
            "--out", tmp_path / "out", home=tmp_path,
        )  # fmt: skip
    assert done.code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (
        "1 items have no answer or no judgement and are neither right nor wrong: "
        "judge: undecided 1" in lines
    )
    assert "1 items lack a part of their judgement: judge: undecided in part 1" in lines
