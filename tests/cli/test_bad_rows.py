"""A row that is none: one line that names file, line and field, whichever command reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codefavor.records import Preference
from tests.kit.commands import codefavor

GOOD = Preference("p1", "Add.", "def f(a, b):\n    return a + b\n", "def f(a, b):\n    return b\n")


@pytest.mark.parametrize(
    "words",
    [
        ("report", "data", "pairs.jsonl", "--out", "page.html"),
        ("card", "pairs.jsonl", "--out", "folder"),
        ("pair", "audit", "pairs.jsonl"),
        ("convert", "pairs.jsonl", "--format", "dpo", "--out", "dpo.jsonl"),
        ("evaluate", "pairs", "--data", "pairs.jsonl", "--model-type", "random"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
@pytest.mark.parametrize(
    ("field", "value", "found"),
    [("meta", "x", "an object, found a string"), ("evidence", [1], "an object, found a list")],
)
def test_a_field_of_another_type_is_one_line(
    tmp_path: Path, words: tuple[str, ...], field: str, value: object, found: str
) -> None:
    rows = [GOOD.to_row(), GOOD.to_row() | {"id": "p2", field: value}]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = codefavor(*words, home=tmp_path)
    assert done.code == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert errors == [f"error: pairs.jsonl:2: {field!r} of Preference must be {found}"]
