"""`codefavor report`: writes a page whole, or one clear error and no file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from codefavor.cli.report import app
from codefavor.errors import DataError

ROW = {"id": "1", "instruction": "Add.", "chosen": "a + b", "rejected": "a - b"}


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_data_shows_any_preference_rows(tmp_path: Path) -> None:
    source, out = tmp_path / "pairs.jsonl", tmp_path / "pairs.html"
    source.write_text(json.dumps(ROW) + "\n")
    call("data", source, "--out", out)
    text = out.read_text()
    assert "<h1>pairs.jsonl</h1>" in text
    assert "1 rows." in text


@pytest.mark.parametrize(
    ("command", "content", "message"),
    [
        ("data", None, "no such file"),
        ("data", "", "the file has no rows"),
        ("data", json.dumps({**ROW, "chosen": None}), "in.json:1: Preference needs .*'chosen'"),
    ],
)
def test_bad_input_is_one_error_and_leaves_the_old_page(
    tmp_path: Path, command: str, content: Any, message: str
) -> None:
    source, out = tmp_path / "in.json", tmp_path / "out.html"
    out.write_text("old")
    if content is not None:
        source.write_text(content)
    with pytest.raises(DataError, match=message):
        call(command, source, "--out", out)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_demo_wants_the_folder_of_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"settings\.json: no such file; is .* of a finished"):
        call("demo", tmp_path, "--out", tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
