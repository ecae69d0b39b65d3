"""`codefavor card`: one folder of several files, runs found beside them, nothing counted twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from codefavor.cli import card as verb
from codefavor.errors import ConfigError, DataError

ROW = {"id": "1", "instruction": "Add.", "chosen": "a + b", "rejected": "a - b", "license": "mit"}


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def card(out: Path, *words: object) -> dict:
    app = typer.Typer()
    app.command()(verb.command)
    arguments = list(map(str, [*words, "--out", out]))
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    facts: dict = json.loads((out / "codefavor.json").read_text())
    return facts


def test_splits_and_the_journal_beside_a_file_are_found(tmp_path):
    train = write(tmp_path / "train.jsonl", ROW)
    test = write(tmp_path / "test.jsonl", {**ROW, "id": "2"})
    write(
        tmp_path / "train.jsonl.journal",
        {"id": "a", "status": "ok", "reason": "", "row": ROW},
        {"id": "b", "status": "rejected", "reason": "gate_no", "row": None},
    )
    facts = card(tmp_path / "out", train, "--split", f"test={test}")
    assert facts["splits"] == {"train": 1, "test": 1}
    assert [(run["name"], run["rejected"]) for run in facts["runs"]] == [
        ("train.jsonl.journal", {"gate_no": 1})
    ]


def test_equal_rows_of_two_files_are_one_row(tmp_path):
    first, second = write(tmp_path / "a.jsonl", ROW), write(tmp_path / "b.jsonl", ROW)
    assert card(tmp_path / "out", first, second)["n_rows"] == 1


def test_one_id_of_two_rows_is_an_error_and_writes_nothing(tmp_path):
    first = write(tmp_path / "a.jsonl", ROW)
    second = write(tmp_path / "b.jsonl", {**ROW, "chosen": "b + a"})
    with pytest.raises(DataError, match=r"b.jsonl: another row has the id 1 too"):
        card(tmp_path / "out", first, second)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("split", ["test", "=x.jsonl", "a-b=x.jsonl"])
def test_a_split_needs_a_name_and_a_file(tmp_path, split):
    with pytest.raises(ConfigError, match="expected NAME=FILE"):
        card(tmp_path / "out", write(tmp_path / "a.jsonl", ROW), "--split", split)
