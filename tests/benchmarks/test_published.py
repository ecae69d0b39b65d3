"""Published benchmarks are read in the form they are published in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codefavor.benchmarks.published import load_items
from codefavor.errors import ConfigError, DataError
from codefavor.records import write_rows

FENCED = "Here:\n```python\n{}\n```\nIt works."


def read(tmp_path, name, *rows):
    write_rows(tmp_path / "rows.jsonl", rows)
    return load_items(name, data=tmp_path / "rows.jsonl")


def test_humanevalpack_sets_the_canonical_against_the_buggy_program(tmp_path):
    row = {
        "task_id": "JavaScript/3", "declaration": "const f = (x) => {\n", "instruction": "Add one.",
        "canonical_solution": "  return x + 1\n}", "buggy_solution": "  return x - 1\n}",
    }  # fmt: skip
    (item,) = read(tmp_path, "humanevalpack", row)
    assert item["chosen"] == "const f = (x) => {\n  return x + 1\n}"
    assert item["rejected"] == "const f = (x) => {\n  return x - 1\n}"
    assert (item["language"], item["license"]) == ("javascript", "MIT")


def test_rewardbench_takes_its_code_subsets_only(tmp_path):
    base = {"prompt": "Add.", "chosen": "a + b", "rejected": "a - b", "id": 1}
    (item,) = read(
        tmp_path, "rewardbench", {**base, "subset": "hep-go"}, {**base, "subset": "math-prm"}
    )
    assert (item["level"], item["language"]) == ("hep-go", "go")


def test_rewardbench2_pairs_every_right_answer_that_holds_code(tmp_path):
    row = {
        "id": "7", "prompt": "Add.", "subset": "Precise IF", "chosen": [FENCED.format("a + b")],
        "rejected": [FENCED.format("a - b"), "no code", FENCED.format("b")],
    }  # fmt: skip
    items = read(tmp_path, "rewardbench2", row)
    assert sorted(item["rejected"].strip() for item in items) == ["a - b", "b"]
    assert {item["chosen"].strip() for item in items} == {"a + b"}


def test_rm_bench_gives_nine_pairs_of_three_levels(tmp_path):
    row = {
        "id": "1", "domain": "code", "prompt": "Add.",
        "chosen": ["c0", "c1", "c2"], "rejected": ["r0", "r1", "r2"],
    }  # fmt: skip
    items = read(tmp_path, "rm-bench", row, {**row, "domain": "math"})
    levels = {(item["chosen"], item["rejected"]): item["level"] for item in items}
    assert len(levels) == 9
    # The chosen answer is the plainer one against a more elaborate wrong one: hard.
    assert (levels["c0", "r2"], levels["c1", "r1"], levels["c2", "r0"]) == (
        "hard",
        "normal",
        "easy",
    )


def test_judgebench_reads_its_label(tmp_path):
    row = {
        "pair_id": "p", "source": "livecodebench", "question": "Add.", "label": "B>A",
        "response_A": FENCED.format("a - b"), "response_B": FENCED.format("a + b"),
    }  # fmt: skip
    (item,) = read(tmp_path, "judgebench", row, {**row, "source": "mmlu-pro-law"})
    assert (item["chosen"].strip(), item["rejected"].strip()) == ("a + b", "a - b")
    with pytest.raises(DataError, match=r"rows.jsonl:1: 'label'"):
        read(tmp_path, "judgebench", {**row, "label": "A=B"})


def test_themis_states_the_criterion_of_the_aspect(tmp_path):
    row = {
        "id": "t", "prompt": "Sort.", "chosen": "a", "rejected": "b", "language": "Java",
        "aspect": "Memory_Efficiency", "subset": "S",
    }  # fmt: skip
    (item,) = read(tmp_path, "themis-coderewardbench", row)
    assert "memory" in item["criteria"]
    assert item["level"] == "Memory_Efficiency"
    with pytest.raises(DataError, match="Charm"):
        read(tmp_path, "themis-coderewardbench", {**row, "aspect": "Charm"})


def test_codejudgebench_extracts_the_programs_from_both_answers_or_from_neither(tmp_path):
    row = {"question_id": "q", "question_content": "Add.", "pos_response": FENCED.format("a + b")}
    (item,) = read(tmp_path, "codejudgebench", {**row, "neg_response": FENCED.format("a - b")})
    assert (item["chosen"].strip(), item["rejected"].strip()) == ("a + b", "a - b")
    (item,) = read(tmp_path, "codejudgebench", {**row, "neg_response": "I cannot."})
    assert item["chosen"] == row["pos_response"]


def test_missing_fields_and_unknown_names_are_one_error(tmp_path):
    with pytest.raises(DataError, match=r"rows.jsonl:1: expected the field 'prompt'"):
        read(tmp_path, "rewardbench", {"subset": "hep-go", "chosen": "a", "rejected": "b"})
    with pytest.raises(ConfigError, match="humanevalpack"):
        load_items("humaneval")


def test_the_real_humanevalpack_has_164_pairs_a_language():
    folder = os.environ.get("CODEFAVOR_DATA")
    if not folder:
        pytest.skip("CODEFAVOR_DATA is not set: the real benchmark is not here")
    for name, language in (("humanevalpack", "python"), ("humanevalpack-js", "javascript")):
        items = load_items(name, data_dir=Path(folder))
        assert len(items) == 164
        assert {item["language"] for item in items} == {language}
