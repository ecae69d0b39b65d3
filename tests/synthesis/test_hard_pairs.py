"""Hard pairs: what a model writes is checked before it is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.kit.commands import Done, codefavor
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply
from tests.synthesis.test_truth_levels import read, rows, write


def ask(tmp_path: Path, rows: list[dict[str, Any]], handle: Any) -> tuple[Done, Path, list[str]]:
    """The command with a model that answers so, its output, and what the model was asked."""
    data, out = write(tmp_path / "qa.jsonl", rows), tmp_path / "pairs.jsonl"
    with LoopbackServer(handle) as server:
        done = codefavor(
            "synthesise", "levels", "--data", data, "--out", out, "--levels", "hard", "-m",
            "openai:m", "--set", f'base_url="{server.url}/v1"', "--set", "api_key=k",
            "--max-error-rate", "1", home=tmp_path,
        )  # fmt: skip
        asked = [str(call.body["messages"][-1]["content"]) for call in server.calls]
    return done, out, asked


@pytest.mark.integration
def test_a_model_writes_hard_pairs_and_those_that_are_none_are_counted(tmp_path: Path) -> None:
    replies = [
        {"true": "Anna Weiss built the mill.", "false": "Omar Reyes built the mill."},
        {"true": "Somebody built it.", "false": "Nobody built it."},
        {"true": "Ida Lund did.", "false": "Ida Lund's father did, who was a miller."},
        {"true": "Omar Reyes built it.", "false": "Omar Reyes built it!"},
    ]

    def handle(call: Call) -> Reply:
        asked = call.body["messages"][-1]["content"]
        for number, answer in enumerate(replies):
            if f"Who built mill {number}" in asked:
                return openai_reply(call, f"```json\n{json.dumps(answer)}\n```")
        return openai_reply(call, "I would rather not.")

    own = [row for row in rows() if row["question"].startswith("Who")]
    # Both are as near to the question's words.
    own[0]["context"] = "Mill 0 was built by Anna Weiss. Mill 0 was not built by Omar Reyes."
    done, out, asked = ask(tmp_path, own, handle)
    assert done.code == 0, done.stderr
    assert len(asked) == 6
    assert all("Its flaw: " in one and "another name that stands" in one for one in asked)
    (pair,) = read(out)
    assert pair["level"] == "hard"
    assert pair["chosen"] == "Anna Weiss built the mill."
    for reason in ("answer_lost 1", "lengths_differ 1", "same_sentences 1", "no_pair 2"):
        assert reason in done.stderr


# What a text says beside the answer, so that the words of both sides may stand in it.
BESIDE = (
    "Then came Bob Ray, in 1704 or March 3, 1990, with 7 men and $7 million. "
    "Later Bob Ray then said: indeed, a dozen of {form} did."
)


@pytest.mark.parametrize(
    ("answer", "true", "false", "reason"),
    [
        ("5", "It has 150 rooms.", "It has 170 rooms.", "answer_lost"),
        ("Ann Lee", "It was not Ann Lee.", "It was Bob Ray.", "answer_denied"),
        ("Ann Lee", "It wasn't Ann Lee.", "It was Bob Ray.", "answer_denied"),
        ("Ann Lee", "It was Ann Lee.", "It was indeed Ann Lee.", "answer_held"),
        ("Ann Lee", "It was Ann Lee.", "It was Bob Ray, which is wrong.", "flaw_named"),
        ("Ann Lee", "It was Ann Lee.", "It was not Ann Lee.", "flaw_shown"),
        ("Ann Lee", "It was Ann Lee.", "Therefore it was Bob Ray.", "flaw_shown"),
        ("Ann Lee", "It was Ann Lee. It was.", "It was Bob Ray. He was.", "not_one_sentence"),
        (
            "Ann Lee",
            "Hardly anyone believes it was Ann Lee.",
            "It was Bob Ray and Hardly anyone.",
            "not_plain",
        ),
        ("Ann Lee", "It used to be Ann Lee.", "It was Bob Ray then.", "not_plain"),
        ("Ann Lee", "It refused to be Ann Lee.", "It was Bob Ray indeed.", "not_plain"),
        ("Ann Lee", "It was supposedly Ann Lee.", "It was Bob Ray indeed.", "not_plain"),
        ("Ann Lee", "It was Bob rather than Ann Lee.", "It was Bob Ray indeed.", "not_plain"),
        ("Ann Lee", "It was Ann Lee.", "It was Zoe Fox.", "not_contradicted"),
        ("Ann Lee", "It was Ann Lee.", "It was then indeed.", "not_contradicted"),
        # Large for standing first in a sentence of the text.
        ("Ann Lee", "It was Ann Lee.", "It was Later then.", "not_contradicted"),
        # Her last name, and whoever has it.
        ("Ann Lee", "It was Ann Lee.", "It was Lee, Bob Ray.", "answer_held"),
        ("Ann Lee", "It was Ann Lee.", "It was Bob Lee.", "answer_held"),
        ("$5 million", "It was $5 million.", "It was $5,000,000.", "answer_held"),
        ("$5 million", "It was $5 million.", "It was $5m then.", "answer_held"),
        ("March 2, 1991", "It was March 2, 1991.", "It was 2 March 1991.", "answer_held"),
        ("12", "It was 12 men.", "It was a dozen or 7 men.", "answer_held"),
        ("10,000", "It was 10,000 men.", "It was 10 000 men.", "answer_held"),
        ("10,000", "It was 10,000 men.", "It was 10k men.", "answer_held"),
        ("World War II", "It was World War II.", "It was World War 2.", "answer_held"),
        ("New York City", "It was New York City.", "It was NYC, Bob Ray.", "answer_held"),
        ("United Nations", "It was United Nations.", "It was the U.N. of Bob Ray.", "answer_held"),
        ("Ann Lee", "It was Ann Lee.", "It was Bob Ray.", ""),
        ("5", "It was 5 men.", "It was 7 men.", ""),
        ("1811", "It was in 1811.", "It was in 1704.", ""),
    ],
)
@pytest.mark.integration
def test_a_hard_pair_states_the_answer_on_its_true_side_alone(
    tmp_path: Path, answer: str, true: str, false: str, reason: str
) -> None:
    """Denied by default: the false side names another of the answer's kind and no part of it."""
    form = "it" if reason.startswith("not_") else false[:-1]
    text = f"As for it, it was {answer} men in {answer}. {BESIDE.format(form=form)}"
    reply = json.dumps({"true": true, "false": false})
    done, out, _ = ask(
        tmp_path,
        [{"question": "Who or what was it?", "context": text, "answers": [answer]}],
        lambda call: openai_reply(call, reply),
    )
    if reason:
        assert f"{reason} 1" in done.stderr
        assert not out.exists()
    else:
        assert "1 ok, 0 rejected" in done.stderr


@pytest.mark.parametrize(
    ("said", "true", "reason"),
    [
        ("Ann Lee discovered it", "Ann Lee discredited it.", "not_plain"),
        ("Ann Lee converted it", "Ann Lee convicted it.", "not_plain"),
        ("Ann Lee protected it", "Ann Lee protested it.", "not_plain"),
        ("Ann Lee discovered it", "Ann Lee discovers it.", ""),
    ],
)
@pytest.mark.integration
def test_words_of_one_stem_are_told_from_words_that_begin_alike(
    tmp_path: Path, said: str, true: str, reason: str
) -> None:
    text = f"It is so that {said}. Then Bob Ray did."
    reply = json.dumps({"true": true, "false": "Bob Ray did it then."})
    done, _, _ = ask(
        tmp_path,
        [{"question": "Who did it?", "context": text, "answers": ["Ann Lee"]}],
        lambda call: openai_reply(call, reply),
    )
    assert (f"{reason} 1" if reason else "1 ok, 0 rejected") in done.stderr


@pytest.mark.integration
def test_no_model_is_asked_where_nobody_can_tell_what_contradicts_the_answer(
    tmp_path: Path,
) -> None:
    text = "Ann Lee of Lyon burnt oxygen (O2) in the old mill. So did not Bob Ray."
    own = [
        {"question": "What did she burn?", "context": text, "answers": ["oxygen"]},
        {"question": "Where was she from?", "context": text, "answers": ["Lyon"]},
        {"question": "Who did not do it?", "context": text, "answers": ["Bob Ray"]},
        {"question": "What town now had her?", "context": text, "answers": ["Lyon"]},
        {"question": "Who came?", "context": text, "answers": ["Cy Young"]},
    ]
    done, out, asked = ask(tmp_path, own, lambda call: openai_reply(call, "{}"))
    assert asked == []
    assert not out.exists()
    assert "may be one of several': 5" in done.stderr


@pytest.mark.integration
def test_what_is_copied_or_near_tells_nothing_of_hard_pairs(tmp_path: Path) -> None:
    """A model that copies the sentence of the answer gives none; the command says why."""
    own, truths = [], {}
    for number in range(20):
        text = f"Mill {number} was built by Ann Lee. Long after that came Bob Ray to see it."
        own.append(
            {"question": f"Who built mill {number}?", "context": text, "answers": ["Ann Lee"]}
        )
        truths[f"Who built mill {number}?"] = f"Mill {number} was built by Ann Lee."

    def handle(call: Call) -> Reply:
        asked = str(call.body["messages"][-1]["content"])
        true = next(one for question, one in truths.items() if question in asked)
        false = true.replace("Ann Lee", "Bob Ray")
        return openai_reply(call, json.dumps({"true": true, "false": false}))

    done, out, _ = ask(tmp_path, own, handle)
    assert "20 ok, 0 rejected" in done.stderr
    assert (done.code, out.exists()) == (2, False)
    assert "copied more or nearer" in done.stderr


@pytest.mark.integration
def test_the_flaw_of_a_pair_is_the_one_that_its_false_side_has(tmp_path: Path) -> None:
    """Whichever was asked for, which is kept beside it."""
    own = []
    for number in range(8):
        text = f"Mill {number} was built by Ann Lee. Mill {number} was not built by Bob Ray."
        own.append(
            {"question": f"Who built mill {number}?", "context": text, "answers": ["Ann Lee"]}
        )
    reply = json.dumps({"true": "Ann Lee built the mill.", "false": "Bob Ray built the mill."})
    done, out, _ = ask(tmp_path, own, lambda call: openai_reply(call, reply))
    assert done.code == 0, done.stderr
    pairs = read(out)
    assert len(pairs) == 8
    assert {pair["meta"]["rejected_kind"] for pair in pairs} == {"altered detail"}
    assert len({pair["meta"]["asked_flaw"] for pair in pairs}) > 1
    assert all(pair["meta"]["parts"] == ["Ann Lee", "Bob Ray"] for pair in pairs)
