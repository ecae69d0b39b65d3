"""A set that a model was trained on is known by what its rows hold, in whatever form they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from codefavor.audits.trained_on import refuse_trained
from codefavor.errors import ConfigError
from codefavor.records import Problem, Row, write_rows

CODE = """def lock_level(levels, gates):
    total = 0
    for upper, lower in zip(levels, levels[1:]):
        drop = upper - lower
        if drop > 7 and gates % 3 == 1:
            total += drop * gates - 11
        elif drop < -4:
            total -= gates // 2
    return total + len(levels) * 13
"""
ASSERTS = """assert lock_level([40, 21, 3], 4) == 137
assert lock_level([5, 17, 2, 90], 10) == 181
assert lock_level([61], 8) == 13"""
PROBLEM = Problem(
    "Canal/7",
    "A barge descends a staircase of locks on the canal. Charge its skipper for every steep drop.",
    ASSERTS,
    "lock_level",
    CODE,
)
OTHER_WORDS = "Write a function for the toll of a boat that goes down through several locks."
FORMS: dict[str, Row] = {
    "under another id, in other words": {"task_id": 7, "text": OTHER_WORDS, "code": CODE},
    "as an answer in a chat": {
        "messages": [
            {"role": "user", "content": OTHER_WORDS},
            {"role": "assistant", "content": f"Sure:\n\n```python\n{CODE}```\n"},
        ]
    },
    "one text": {"text": f"# toll\n{CODE}"},
    "other names": {"output": CODE.replace("drop", "d").replace("gates", "n")},
    "its tests alone": {"prompt": OTHER_WORDS, "test_list": ASSERTS.split("\n")},
    "a buggy variant beside it": {
        "declaration": "def lock_level(levels, gates):\n",
        "buggy_solution": CODE.partition("\n")[2].replace("> 7", "< 7"),
        "canonical_solution": CODE.partition("\n")[2],
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_a_problem_is_known_without_its_id_and_its_words(tmp_path: Path, form: str) -> None:
    rows: list[Row] = [{"text": "Unrelated."}, FORMS[form]]
    write_rows(tmp_path / "train.jsonl", rows)
    with pytest.raises(ConfigError, match=r"1 of 1 problems .*: Canal/7 \(.*train.jsonl:2"):
        refuse_trained([PROBLEM], [tmp_path / "train.jsonl"])


def test_rows_of_other_problems_are_no_reason_to_refuse(tmp_path: Path) -> None:
    others: list[Row] = [
        {"instruction": "Reverse a list.", "output": "def rev(xs):\n    return xs[::-1]\n"},
        {"text": "def mean(xs):\n    total = 0\n    for x in xs:\n        total += x\n"
                 "    return total / len(xs)\n\nassert mean([1, 2, 3]) == 2"},
        {"task_id": 7, "text": OTHER_WORDS, "code": "def toll(boat):\n    return boat.toll\n"},
        {"messages": [{"role": "user", "content": "Which canal has the most locks?"}]},
    ]  # fmt: skip
    write_rows(tmp_path / "train.jsonl", others)
    refuse_trained([PROBLEM], [tmp_path / "train.jsonl"])
