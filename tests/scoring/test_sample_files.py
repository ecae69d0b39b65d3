"""Samples in the forms that EvalPlus, the bigcode harness and lm-eval write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import DataError
from codefavor.records import Problem
from codefavor.scoring.sample_files import (
    evalplus_rows,
    problems_of,
    read_samples,
    refuse_uneven,
)

PROMPT = 'def add(a, b):\n    """Add."""\n'
PROBLEMS = {
    "HumanEval/0": Problem("HumanEval/0", "Add.", "t", "add", prompt=PROMPT),
    "Mbpp/2": Problem("Mbpp/2", "Add.", "t", "add"),
}
CODE = "def add(a, b):\n    return a + b\n"


def write(path: Path, *rows: Any) -> Path:
    """A JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_evalplus_solutions_and_completions(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.jsonl",
        {"task_id": "HumanEval/0", "completion": "    return a + b\n"},
        {"task_id": "Mbpp/2", "solution": CODE},
    )
    found = read_samples(path, PROBLEMS)
    assert found["HumanEval/0"][0].code == f"{PROMPT}    return a + b\n"
    assert found["Mbpp/2"][0].code == CODE


def test_lists_of_the_bigcode_harness_go_by_order(tmp_path: Path) -> None:
    path = tmp_path / "generations.json"
    path.write_text(json.dumps([["a = 1", "a = 2"], ["b = 1", "b = 2"]]))
    found = read_samples(path, PROBLEMS)
    assert [one.code for one in found["HumanEval/0"]] == ["a = 1", "a = 2"]
    assert [one.code for one in found["Mbpp/2"]] == ["b = 1", "b = 2"]
    path.write_text(json.dumps([["a = 1"]]))
    with pytest.raises(DataError, match="1 lists of programs, and nothing says of which problems"):
        read_samples(path, PROBLEMS)


def test_logged_samples_of_lm_eval(tmp_path: Path) -> None:
    rows = [
        {
            "doc_id": 0,
            "doc": {"task_id": "HumanEval/0", "prompt": PROMPT},
            "resps": [["    return a + b\n", "    return 0\n"]],
            "filtered_resps": [[f"{PROMPT}    return a + b\n", f"{PROMPT}    return 0\n"]],
        },
        {
            "doc_id": 1,
            "doc": {"task_id": 2},
            "resps": [[f"```python\n{CODE}```", "pass"]],
            "filtered_resps": [],
        },
    ]
    found = read_samples(write(tmp_path / "samples.jsonl", *rows), PROBLEMS)
    assert [one.code for one in found["HumanEval/0"]] == [
        f"{PROMPT}    return a + b\n",
        f"{PROMPT}    return 0\n",
    ]
    assert found["Mbpp/2"][0].code == CODE


def test_what_is_written_is_read_by_evalplus_form(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", *({"task_id": k, "solution": CODE} for k in PROBLEMS))
    found = [one for samples in read_samples(path, PROBLEMS).values() for one in samples]
    again = write(tmp_path / "again.jsonl", *evalplus_rows(found))
    assert read_samples(again, PROBLEMS) == read_samples(path, PROBLEMS)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"task_id": "HumanEval/9", "solution": "x"}], "no problem 'HumanEval/9'"),
        ([{"task_id": "Mbpp/2", "solution": "x"}], "1 of 2 problems have fewer than 1 samples"),
        ([{"doc": {"task_id": 7}, "resps": [["x"]]}], "no problem 7"),
        ([{"doc": {"task_id": 2}, "resps": []}], "neither 'filtered_resps' nor 'resps'"),
        ([], "the file has no rows"),
        (
            [{"id": "a", "problem_id": one, "code": "x"} for one in PROBLEMS],
            "the id 'a' stands twice",
        ),
        ([{"doc": {"task_id": 2}, "resps": [["x"]]}] * 2, "the id 'Mbpp/2' stands twice"),
    ],
)
def test_samples_that_fit_no_problem_are_one_clear_error(
    tmp_path: Path, rows: list[Any], message: str
) -> None:
    path = write(tmp_path / "s.jsonl", *rows)
    with pytest.raises(DataError, match=message):
        refuse_uneven(path, read_samples(path, PROBLEMS), list(PROBLEMS))


MBPP = {
    name: Problem(name, "Add.", "t", "add")
    for name in (f"Mbpp/{number}" for number in range(1, 975))
}


def test_the_mbpp_lists_of_the_bigcode_harness_are_of_its_test_problems(tmp_path: Path) -> None:
    path = tmp_path / "generations.json"
    path.write_text(json.dumps([[f"x = {number}"] for number in range(11, 511)]))
    found = read_samples(path, MBPP)
    assert list(found) == list(problems_of(found, MBPP)) == list(MBPP)[10:510]
    assert all(one.code == f"x = {name[5:]}" for name, (one,) in found.items())
    # MBPP+ has some of these.
    plus = {name: MBPP[name] for name in ("Mbpp/2", "Mbpp/12", "Mbpp/430")}
    found = read_samples(path, plus)
    assert [one[0].code for one in found.values()] == ["x = 12", "x = 430"]
    assert list(problems_of(found, plus)) == ["Mbpp/12", "Mbpp/430"]
    with pytest.raises(DataError, match="500 lists of programs, and nothing says"):
        read_samples(path, {"HumanEval/0": PROBLEMS["HumanEval/0"]})


def test_lists_of_some_problems_are_refused_as_they_may_be_any(tmp_path: Path) -> None:
    path = tmp_path / "generations.json"
    path.write_text(json.dumps([[f"x = {number}"] for number in range(11, 31)]))
    with pytest.raises(DataError, match=r'Name the problems: one line \{"task_id": '):
        read_samples(path, MBPP)


def test_samples_of_mbpps_test_problems_are_measured_on_these(tmp_path: Path) -> None:
    rows = [{"doc": {"task_id": n}, "resps": [[CODE]]} for n in range(11, 511)]
    found = read_samples(write(tmp_path / "s.jsonl", *rows), MBPP)
    assert list(problems_of(found, MBPP)) == list(MBPP)[10:510]
    # Any other part of the set may be a failure of whoever sampled.
    fewer = read_samples(write(tmp_path / "s.jsonl", *rows[1:]), MBPP)
    assert problems_of(fewer, MBPP) == MBPP
    assert list(problems_of(fewer, MBPP, only_sampled=True)) == list(MBPP)[11:510]


def test_samples_of_two_filters_of_lm_eval_are_not_counted_twice(tmp_path: Path) -> None:
    rows = [
        {"doc": {"task_id": 2}, "resps": [[CODE]], "filtered_resps": [CODE], "filter": name}
        for name in ("strict", "loose")
    ]
    path = write(tmp_path / "s.jsonl", *rows)
    with pytest.raises(DataError, match=r"several filters \('strict', 'loose'\)"):
        read_samples(path, {"Mbpp/2": PROBLEMS["Mbpp/2"]})


def test_a_completion_may_begin_with_a_future_import(tmp_path: Path) -> None:
    prompt = 'import math\n\n\ndef add(a, b):\n    """Add."""\n'
    problem = Problem("HumanEval/0", "Add.", "t", "add", prompt=prompt)
    text = f"from __future__ import annotations\n\n\n{CODE}"
    path = write(tmp_path / "s.jsonl", {"task_id": "HumanEval/0", "completion": text})
    ((one,),) = read_samples(path, {"HumanEval/0": problem}).values()
    compile(one.code, "", "exec", dont_inherit=True)
