"""A row that is none: one line that names file, line and field, whichever command reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


PAIR = {"prompt": "Add.", "chosen": "a + b", "rejected": "a - b"}
QUESTION = {"role": "user", "content": "Add."}
BAD_ROWS = {
    "a number": ({**PAIR, "chosen": 5}, "'chosen' is 5; expected a text or a list of messages"),
    "an empty list": ({**PAIR, "chosen": []}, "empty_chosen, the first such row"),
    "an empty question": ({**PAIR, "prompt": []}, "empty_prompt, the first such row"),
    "no role": ({**PAIR, "rejected": [{"content": "a"}]}, "'rejected' has a message without"),
    "no answer": ({**PAIR, "chosen": [QUESTION]}, "no_answer, the first such row"),
    "no column": ({"prompt": "Add.", "chosen": "a + b"}, "without 'rejected'"),
    "ours": (GOOD.to_row() | {"evidence": [1]}, "'evidence' of Preference must be an object"),
    "a label": ({"prompt": "Add.", "completion": "a", "label": "maybe"}, "'label' is 'maybe'"),
}


def good_rows(n: int) -> list[dict[str, object]]:
    return [{"prompt": f"Add {i}.", "chosen": f"a + {i}", "rejected": f"a - {i}"} for i in range(n)]


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("row", "says"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_convert_counts_and_names_a_bad_row_and_goes_on(
    tmp_path: Path, row: dict[str, object], says: str
) -> None:
    write(tmp_path / "pairs.jsonl", [*good_rows(2), row, *good_rows(5)[2:]])
    words = ("convert", "pairs.jsonl", "--format", "dpo", "--out", "dpo.jsonl")
    done = codefavor(*words, home=tmp_path)
    assert done.code == 0, done.stderr
    [named] = [line for line in done.stderr.splitlines() if "pairs.jsonl:3:" in line]
    assert says in named
    made = read(tmp_path / "dpo.jsonl")
    assert [one["chosen"]["content"] for one in made] == [f"a + {i}" for i in range(5)]
    assert "5 rows from 6 records (1 rejected: " in done.stdout
    manifest = json.loads((tmp_path / "dpo.jsonl.manifest.json").read_text())
    assert sum(manifest["rejected"].values()) == 1
    (tmp_path / "dpo.jsonl").unlink()
    if "left out" in named:
        strict = codefavor(*words, "--max-error-rate", "0", home=tmp_path)
        assert strict.code == 2 and "pairs.jsonl:3: " in strict.stderr
        assert "(1 of 6 rows cannot be read)" in strict.stderr
        assert not (tmp_path / "dpo.jsonl").exists()


def test_convert_refuses_a_file_of_bad_rows(tmp_path: Path) -> None:
    rows = [{**PAIR, "prompt": f"Add {i}.", "chosen": i} for i in range(3)]
    for given, says in (([*good_rows(2), *rows], "3 of 5"), (rows, "3 of 3")):
        write(tmp_path / "pairs.jsonl", given)
        done = codefavor(
            "convert", "pairs.jsonl", "--format", "dpo", "--out", "dpo.jsonl", home=tmp_path
        )
        assert done.code == 2 and f"({says} rows cannot be read)" in done.stderr
        assert not (tmp_path / "dpo.jsonl").exists()


def test_convert_counts_a_bad_problem(tmp_path: Path) -> None:
    problems = [
        {"id": f"p{i}", "instruction": f"Write f{i}.", "tests": f"assert f{i}() == 1"}
        | {"entry_point": f"f{i}"}
        for i in range(4)
    ]
    write(tmp_path / "problems.jsonl", [*problems, {**problems[0], "id": "p9", "tests": 5}])
    words = ("convert", "problems.jsonl", "--format", "grpo", "--split", "all", "--out", "g.jsonl")
    done = codefavor(*words, home=tmp_path)
    assert done.code == 0, done.stderr
    assert "left out: problems.jsonl:5: 'tests' of Problem must be a string" in done.stderr
    assert "4 rows from 5 records (1 rejected: bad_value 1" in done.stdout
    assert codefavor(*words, "--max-error-rate", "0", home=tmp_path).code == 2


@pytest.mark.parametrize("row", [one for one, _ in BAD_ROWS.values()], ids=list(BAD_ROWS))
def test_training_on_ones_own_data_leaves_a_bad_row_out(
    tmp_path: Path, row: dict[str, object]
) -> None:
    """The command without its training: what it splits and converts the file into."""
    from codefavor.cli.train_data import data_for
    from codefavor.training.recipes import find_recipes

    write(tmp_path / "pairs.jsonl", [*good_rows(20), row, *good_rows(40)[20:]])
    recipe = find_recipes() / "gpu1x80" / "qwen2.5-coder-7b-dpo.yaml"
    found = data_for(recipe, tmp_path / "pairs.jsonl", tmp_path / "made", {})
    made = read(Path(found["datasets"][0]["path"]))
    dev = read(Path(found["dev_accuracy"]["data"]))
    answers = {one["chosen"]["content"] for one in made}
    answers |= {str(one["chosen"]) for one in dev if one != row}
    assert answers == {f"a + {i}" for i in range(40)}
