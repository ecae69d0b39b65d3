"""Drafts from every kind of file become the same rows, each different draft once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from codefavor.errors import DataError
from codefavor.records import Problem, Row
from codefavor.synthesis.draft_rows import load_drafts

PROBLEM = Problem(
    "HumanEval/9", "Add one.", "assert f(1) == 2\n", "f", prompt="def f(x):\n", license="MIT"
)
KNOWN = {PROBLEM.id: PROBLEM}


def file_of(folder: Path, *rows: Row) -> Path:
    path = folder / "drafts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_completions_of_our_own_need_nothing_else(tmp_path: Path) -> None:
    row = {"id": "x", "problem_id": "p", "code": "x = 1\n", "instruction": "Set x.",
           "language": "Python", "license": "MIT", "model": "fake:weak"}  # fmt: skip
    (draft,) = load_drafts(file_of(tmp_path, row), {})
    assert (draft["instruction"], draft["code"], draft["language"]) == (
        "Set x.",
        "x = 1\n",
        "python",
    )
    assert (draft["problem_id"], draft["license"], draft["model"]) == ("p", "MIT", "fake:weak")
    assert (draft["tests"], draft["entry_point"]) == ("", "")


def test_a_response_is_unpacked_and_a_code_is_taken_as_it_is(tmp_path: Path) -> None:
    fenced = "Sure:\n```python\nx = 1\n```\nDone."
    path = file_of(
        tmp_path, {"instruction": "a", "response": fenced}, {"instruction": "a", "code": fenced}
    )
    assert [draft["code"] for draft in load_drafts(path, {})] == ["x = 1\n", fenced]


def test_samples_are_joined_with_their_problems_tests(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        {"task_id": "HumanEval/9", "completion": "    return x + 1\n"},
        {"problem_id": "HumanEval/9", "code": "f = None\n"},
    )
    first, second = load_drafts(path, KNOWN)
    assert first["code"] == "def f(x):\n    return x + 1\n"
    assert (first["tests"], first["entry_point"], first["license"]) == (PROBLEM.tests, "f", "MIT")
    assert second["instruction"] == "Add one."


def test_a_draft_that_occurs_again_is_one_row(tmp_path: Path) -> None:
    row = {"instruction": "a", "code": "x = 1\n"}
    path = file_of(tmp_path, row, {**row, "code": "x = 2\n"}, row, {**row, "language": "ruby"})
    skipped = Counter()
    drafts = list(load_drafts(path, {}, skipped))
    assert skipped == {"duplicate": 1}
    assert [d["code"] for d in drafts] == ["x = 1\n", "x = 2\n", "x = 1\n"]
    assert len({d["id"] for d in drafts}) == 3


@pytest.mark.parametrize(
    ("rows", "known", "complaint"),
    [
        ([{"task_id": "a", "solution": "x"}], {}, "--problems"),
        ([{"task_id": "a", "solution": "x"}], KNOWN, "no problem 'a'"),
        ([{"instruction": "a"}], {}, "drafts.jsonl:1: a draft needs"),
        ([{"instruction": "a", "code": "x"}, {"code": "x"}], {}, "drafts.jsonl:2"),
    ],
    ids=["no problems", "unknown problem", "no code", "second row"],
)  # fmt: skip
def test_what_cannot_be_a_draft_is_named(
    tmp_path: Path, rows: list[Row], known: dict[str, Problem], complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        list(load_drafts(file_of(tmp_path, *rows), known))
