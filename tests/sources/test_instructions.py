"""Instructions without tests are problems too; a file of them needs nothing but the texts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from codefavor.errors import DataError
from codefavor.records import Row
from codefavor.sources.instructions import stream_instructions


def file_of(folder: Path, *rows: Row, name: str = "i.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_needs_only_instructions_and_keeps_what_else_there_is(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        {"instruction": "Add."},
        {"instruction": "Sub.", "id": "s", "language": "Golang", "license": "MIT", "tests": "t"},
        {"instruction": "Add."},
    )
    skipped = Counter()
    first, second = stream_instructions(str(path), skipped=skipped)
    assert skipped == {"duplicate": 1}
    assert (first.instruction, first.language, first.tests, first.entry_point) == (
        "Add.", "python", "", "",
    )  # fmt: skip
    assert len(first.id) == 64
    assert (second.id, second.language, second.license, second.tests) == ("s", "go", "MIT", "t")


def test_self_oss_instruct_is_read_from_the_data_folder_without_its_answers(tmp_path: Path) -> None:
    name = "selfoss/self-oss-instruct-sc2-exec-filter-50k.jsonl"
    file_of(tmp_path, {"id": 7, "instruction": "Add.", "response": "secret"}, name=name)
    (problem,) = stream_instructions("self-oss-instruct", data_dir=tmp_path)
    assert (problem.instruction, problem.license) == ("Add.", "ODC-By-1.0")
    assert "secret" not in json.dumps(problem.to_row())


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"prompt": "x"}], "i.jsonl:1: 'instruction' must be a text"),
        ([{"instruction": "a"}, {"instruction": " "}], "i.jsonl:2"),
        ([{"instruction": "a", "id": "1"}, {"instruction": "b", "id": "1"}], "two different"),
    ],
    ids=["no instruction", "blank", "one id twice"],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list[Row], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        list(stream_instructions(str(file_of(tmp_path, *rows))))


def test_an_unknown_set_names_the_known_one() -> None:
    with pytest.raises(DataError, match="self-oss-instruct"):
        stream_instructions("self-os-instruct")
