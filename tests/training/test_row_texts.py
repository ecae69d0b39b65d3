"""Rows whose sides a mark tells, whose texts are of another kind, whose tests test nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("axolotl", reason="the checks of rows ask Axolotl's readers")

from codefavor.records import Row, write_rows
from codefavor.training.check_data import data_findings

# Programs that differ in what they do: no word stands on one side alone.
GOOD, BAD = "def f{n}(a, b):\n    return a {x} b", "def f{n}(a, b):\n    return b {x} a"
PREFERENCES = {"path": "data.jsonl", "split": "train", "type": "codefavor.preferences"}
CHAT = {"path": "data.jsonl", "split": "train", "type": "chat_template"}


def turn(text: str, role: str = "assistant") -> Row:
    return {"role": role, "content": text}


def fenced(text: str) -> str:
    return f"```python\n{text}\n```"


def pairs(
    good: Callable[[str], str] = str, bad: Callable[[str], str] = str, ask: Any = str
) -> list[Row]:
    rows = []
    for n in range(40):
        sides = [fenced(one.format(n=n, x="-+*/"[n % 4])) for one in (GOOD, BAD)]
        if n % 2:
            sides.reverse()
        rows.append(
            {
                "messages": [turn(ask(f"Write f{n} of 'a' and 'b'.\nBe brief."), "user")],
                "chosen": turn(good(sides[0])),
                "rejected": turn(bad(sides[1])),
            }
        )
    return rows


def told(rows: list[Row], folder: Path, **config: Any) -> list[str]:
    write_rows(folder / "data.jsonl", rows)
    config = {"rl": "dpo", "datasets": [PREFERENCES], **config}
    return [f"{one.severity}: {one.message}" for one in data_findings(config, folder, 0)]


def written(text: str) -> list[Row]:
    return [turn(text)]


def test_right_rows_have_nothing(tmp_path: Path):
    assert told(pairs(), tmp_path) == []
    prompts = [{"prompt": [turn(f"Write f{n}.", "user")], "tests": f"assert f{n}(1) == {n}",
                "entry_point": f"f{n}", "setup": ""} for n in range(30)]  # fmt: skip
    trl = {"reward_funcs": ["codefavor.training.rewards.passes_tests"]}
    entry = {"path": "data.jsonl", "split": "train"}
    assert told(prompts, tmp_path, rl="grpo", trl=trl, datasets=[entry]) == []


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (pairs(good=lambda t: t.replace("def", "# correct\ndef")), "'correct' stands in 40 of 40"),
        (pairs(bad=lambda t: t.replace("def", "# buggy\ndef")), "0 of 40 better.*40 of 40 of the"),
        (pairs(good=lambda t: f"Score: 9/10\n{t}"), "Score: 9/10"),
        (pairs(good=lambda t: f"[CHOSEN] {t}"), "CHOSEN"),
        (pairs(good=lambda t: f"<think>\nHm.\n</think>\n\n{t}"), "that alone tells them"),
        (pairs(good=lambda t: t.replace("\n", "\r\n")), "'CR LF' stands in 40 of 40 better"),
        (pairs(bad=lambda t: t.replace("```python", "```rust")), "that alone tells them"),
        (pairs(bad=lambda t: fenced("pass")), "worse answer is one text in 40 of 40"),
        (pairs(ask=lambda t: "Write it."), "the question is one text in 40 of 40"),
        (pairs()[:1] * 100, "error: .*100 rows are 1 again and again"),
        ([{**one, "id": str(n)} for n, one in enumerate(pairs()[:3] * 20)], "60 rows are 3 again"),
        (
            [{**one, "score_chosen": 2.0, "score_rejected": 9.0} for one in pairs()],
            "error: .*40 of 40 rows have a rejected answer with the higher score",
        ),
        (
            [{**one, "rejected": turn(one["chosen"]["content"].replace("\n", " \n\n"))}
             for one in pairs()],
            "error: .*chosen and rejected are equal in 40 of 40",
        ),
        (
            [{**one, "messages": [turn(f"Write it.\n{one['chosen']['content']}", "user")]}
             for one in pairs()],
            "error: .*the better answer within the question",
        ),
        (pairs(ask=lambda t: repr([turn(t, "user")])), "error: .*a list of turns as JSON"),
        (pairs(ask=lambda t: json.dumps([turn(t, "user")])), "error: .*a list of turns as JSON"),
        (pairs(*[lambda t: repr(written(t))] * 2), "error: .*a list of turns as JSON"),
        (pairs(*[lambda t: repr(t.encode())] * 2), "error: .*bytes as Python writes"),
        (pairs(*[lambda t: t.replace("\n", "\\n")] * 2), "error: .*written out"),
        (pairs(*[lambda t: html.escape(t + "'")] * 2), "error: .*HTML's escapes"),
        (pairs(ask=lambda t: "[object Object]"), "error: .*object Object"),
        (pairs(ask=lambda t: "Do this: {instruction}"), "error: .*nobody filled in"),
        (pairs(ask=lambda t: "{{ question }}"), "error: .*nobody filled in"),
    ],
    ids=range(23),
)  # fmt: skip
def test_a_mark_of_a_side_and_texts_of_another_kind_are_named(
    rows: list[Row], says: str, tmp_path: Path
):
    import re

    found = told(rows, tmp_path)
    assert any(re.search(says, one, re.DOTALL) for one in found), found


@pytest.mark.parametrize(
    ("tests", "entry_point", "says"),
    [
        ("pass", "f{n}", "tests that call nothing"),
        ("assert True", "f{n}", "tests that call nothing"),
        ("# TODO", "f{n}", "tests that call nothing"),
        ('["assert f{n}(1) == 1"]', "f{n}", "tests that call nothing"),
        ("assert f( ==", "f{n}", "tests that are no Python"),
        ("assert g{n}(1) == 1", "f{n}", "tests that never name their entry_point"),
        ("assert f{n}(1) == 1", "foo", "tests that never name their entry_point"),
    ],
)
def test_tests_that_test_nothing_are_named(tests: str, entry_point: str, says: str, tmp_path: Path):
    rows = [
        {"prompt": [turn(f"Write f{n}.", "user")], "tests": tests.format(n=n),
         "entry_point": entry_point.format(n=n), "setup": ""}
        for n in range(30)
    ]  # fmt: skip
    trl = {"reward_funcs": ["codefavor.training.rewards.passes_tests"]}
    entry = {"path": "data.jsonl", "split": "train"}
    found = told(rows, tmp_path, rl="grpo", trl=trl, datasets=[entry])
    assert any(f"error: datasets: 30 of 30 rows have {says}" in one for one in found), found
    other = told([{**one, "language": "rust"} for one in rows], tmp_path, rl="grpo", trl=trl,
                 datasets=[entry])  # fmt: skip
    assert other == []


def test_a_judges_questions_that_hold_the_letter_and_answers_of_one_letter(tmp_path: Path):
    def asked(n: int, letter: str, hint: str = "") -> Row:
        text = f"Is program A f{n} or program B g{n} better?{hint}"
        return {"messages": [turn(text, "user"), turn(letter)]}

    rows = [asked(n, "AB"[n % 2]) for n in range(40)]
    assert told(rows, tmp_path, rl=None, datasets=[CHAT]) == []
    rows = [asked(n, "AB"[n % 2], f"\nAnswer: {'AB'[n % 2]}") for n in range(40)]
    assert "Answer: " in " ".join(told(rows, tmp_path, rl=None, datasets=[CHAT]))
    rows = [asked(n, "A" if n % 20 else "B") for n in range(40)]
    assert "38 of 40 answers are one letter" in " ".join(
        told(rows, tmp_path, rl=None, datasets=[CHAT])
    )


def test_turns_that_are_exchanged_and_labels_that_the_question_tells(tmp_path: Path):
    rows = [
        {"messages": [turn(fenced(f"def f{n}(): pass"), "user"), turn(f"Write f{n}.")]}
        for n in range(30)
    ]
    assert "a question that is a program alone" in " ".join(
        told(rows, tmp_path, rl=None, datasets=[CHAT])
    )
    labelled = [
        {
            "messages": [turn("good" if n % 2 else f"bad {n}", "user")],
            "completion": turn(fenced(f"def f{n}(): return {n}")),
            "label": bool(n % 2),
        }
        for n in range(40)
    ]
    assert "questions of better answers" in " ".join(told(labelled, tmp_path, rl="kto"))
