"""The browser of rows: every row of every kind of file is in it, and none of it can run."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import DataError
from codefavor.records import Execution
from codefavor.reports.data_browser import BLOCK_ROWS, render_data_report
from tests.reports.test_demo_report import ATTACK, Page, squeeze

PAIR = {
    "id": "id1", "instruction": "Write f.", "chosen": "def f(x):\n    return x + 1\n",
    "rejected": "def f(x):\n    return x\n", "level": "hard", "source": "tests",
    "problem_id": "starter/lists/f", "criteria": "Off by one", "feedback": "[CHOSEN] adds one.",
    "evidence": {
        "chosen": Execution("passed", 8, 8).to_row(),
        "rejected": Execution("wrong_output", 3, 8, failed_assert="assert f(1) == 2").to_row(),
    },
    "meta": {"aspect": "correctness", "conversation": [{"role": "user", "content": "Look at f."}]},
}  # fmt: skip


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def open_page(text: str) -> tuple[Page, dict[str, Any], list[dict[str, Any]]]:
    """The page, its index, and the bodies of all rows as the browser's script reads them."""
    page = Page(text)
    [index] = [text for attrs, text in page.scripts if attrs.get("id") == "rows-index"]
    bodies = []
    for attrs, packed in page.scripts:
        if attrs.get("class") == "block":
            bodies += json.loads(zlib.decompress(base64.b64decode(packed)))
    return page, json.loads(index), bodies


def facet(index: dict[str, Any], row: int, name: str) -> str:
    number = index["rows"][row][2 + index["facets"].index(name)]
    return index["values"][name][number]


def test_a_pair_shows_its_evidence_its_conversation_and_what_differs(tmp_path):
    page, index, [body] = open_page(render_data_report([write(tmp_path / "a.jsonl", PAIR)], "a"))
    assert "1 rows." in squeeze(page.text)
    assert index["rows"][0][:2] == ["id1", "starter/lists/f"]
    assert facet(index, 0, "level") == "hard"
    assert facet(index, 0, "criterion") == "correctness"
    assert body["notes"] == ["passed, 8/8 asserts", "wrong output, 3/8 asserts"]
    assert body["evidence"]["rejected"]["failed_assert"] == "assert f(1) == 2"
    assert body["conversation"] == [["user", "Look at f."]]
    assert body["lines"][1] == [
        [["    return x", False], [" + 1", True]],
        [["    return x", False]],
    ]


def test_a_journal_shows_what_was_rejected_and_what_failed(tmp_path):
    rejected = {
        "id": "in2", "status": "rejected", "reason": "gate_no", "detail": "Only a rename.",
        "row": {"source": "commit-instruct", "language": "go", "meta": {
            "conversation": [{"role": "assistant", "content": "[NO]"}]}},
    }  # fmt: skip
    failed = {
        "id": "in3",
        "status": "error",
        "reason": "rate_limited",
        "row": None,
        "detail": "429",
    }
    path = write(
        tmp_path / "x.jsonl.journal",
        {"id": "in1", "status": "ok", "reason": "", "row": PAIR},
        rejected,
        failed,
    )
    page, index, bodies = open_page(render_data_report([path], "x"))
    assert [facet(index, n, "status") for n in range(3)] == ["ok", "rejected", "error"]
    assert [facet(index, n, "reason") for n in range(3)] == ["", "gate_no", "rate_limited"]
    assert facet(index, 1, "language") == "go"
    assert bodies[1]["detail"] == "Only a rename."
    assert bodies[1]["conversation"] == [["assistant", "[NO]"]]
    assert bodies[2]["detail"] == "429"
    assert "gate_no 1 33.3%" in squeeze(page.text)


def test_a_row_rejected_before_it_had_programs_is_named_by_its_commit(tmp_path):
    commit = {"message": "Simplify total\n\nMore.", "path": "a.py"}
    row = {"instruction": "", "chosen": "", "rejected": "", "meta": {"commit": commit}}
    record = {"id": "in1", "status": "rejected", "reason": "gate_no", "row": row}
    path = write(tmp_path / "x.journal", record)
    _, index, [body] = open_page(render_data_report([path], "x"))
    assert index["rows"][0][:2] == ["in1", "Simplify total"]
    assert body["lines"] is None


def test_rows_of_any_other_step_are_shown_as_they_are(tmp_path):
    made = {"id": "p", "completions": [{"code": "x = 1"}], "reflection": "Good.\nEnough."}
    path = write(tmp_path / "d.journal", {"id": "p", "status": "ok", "reason": "", "row": made})
    _, _, [body] = open_page(render_data_report([path], "d"))
    assert body["texts"] == [["reflection", "Good.\nEnough."], ["draft 1", "x = 1"]]
    assert json.loads(body["raw"]) == {"id": "p", "completions": [{"code": "x = 1"}]}


def test_several_files_are_told_apart_and_blocks_keep_the_order(tmp_path):
    n = BLOCK_ROWS + 3
    first = write(tmp_path / "a.jsonl", *({**PAIR, "id": f"a{k}"} for k in range(n)))
    second = write(tmp_path / "b.jsonl", {**PAIR, "id": "b0", "instruction": "Write b."})
    _, index, bodies = open_page(render_data_report([first, second], "both"))
    assert [row[0] for row in index["rows"]] == [*(f"a{k}" for k in range(n)), "b0"]
    assert len(bodies) == n + 1
    assert bodies[-1]["instruction"] == "Write b."
    assert index["values"]["file"] == ["a.jsonl", "b.jsonl"]


def test_a_filter_with_one_value_is_not_offered(tmp_path):
    rows = [{**PAIR, "id": level, "level": level} for level in ("easy", "hard")]
    _, index, _ = open_page(render_data_report([write(tmp_path / "a.jsonl", *rows)], "a"))
    assert index["shown"] == ["level"]


def test_no_text_of_the_rows_can_become_markup(tmp_path):
    hostile = dict.fromkeys(("instruction", "chosen", "feedback", "source", "level"), ATTACK)
    row = {**PAIR, **hostile, "id": ATTACK, "problem_id": ATTACK, "meta": {"model": ATTACK}}
    text = render_data_report([write(tmp_path / "a.jsonl", row)], ATTACK)
    page, _, [body] = open_page(text)
    assert body["instruction"] == ATTACK
    assert "<img" not in text
    assert "alert(1)</script>" not in text
    # Ours: theme, index, one block, the two scripts of the page in one element.
    assert len(page.scripts) == 4
    assert not [attrs for tag, attrs in page.tags if tag in {"img", "iframe", "object"}]


def test_the_page_loads_nothing(tmp_path):
    page = Page(render_data_report([write(tmp_path / "a.jsonl", PAIR)], "a"))
    loaded = [
        attrs for _, attrs in page.tags if "src" in attrs or attrs.get("href", "#")[:1] != "#"
    ]
    assert [attrs for attrs in loaded if attrs.get("href") != "data:,"] == []


def test_a_row_without_a_field_is_named_with_file_and_line(tmp_path):
    path = write(tmp_path / "a.jsonl", PAIR, {**PAIR, "id": "2", "chosen": None})
    with pytest.raises(DataError, match=r"a.jsonl:2: Preference needs the field 'chosen'"):
        render_data_report([path], "a")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium to open the page in")
def test_a_real_browser_shows_the_row_and_runs_nothing_of_it(tmp_path):
    row = {**PAIR, "chosen": f"def f(x):\n    return x + 1  {ATTACK}\n", "problem_id": ""}
    page = tmp_path / "page.html"
    page.write_text(render_data_report([write(tmp_path / "a.jsonl", row)], "a"))
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000",
         "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    shown = Page(done.stdout).text
    assert "wrong output, 3/8 asserts" in shown
    assert "Look at f." in shown
    assert "alert(1)" in shown
    assert not [attrs for tag, attrs in Page(done.stdout).tags if tag == "img"]
