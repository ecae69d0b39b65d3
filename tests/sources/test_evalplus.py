"""EvalPlus rows become tests that agree with the reference, tolerances and types included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import DataError
from codefavor.sandbox import SandboxPool
from codefavor.sources.argument_types import restore_types
from codefavor.sources.evalplus import evalplus_tests

REFERENCE = "def half(x):\n    return x / 2\n"


def row(**changes: Any) -> dict[str, Any]:
    return {
        "task_id": "Mbpp/0",
        "entry_point": "half",
        "contract": "\n\tassert isinstance(x, (int, float)), 'invalid inputs'\n\tassert x >= 0\n",
        "base_input": [[1]],
        "plus_input": [[3.0], [-8]],
        "atol": 0,
        "assertion": "",
        **changes,
    }


@pytest.fixture(scope="module")
def pool() -> Any:
    with SandboxPool(workers=1) as opened:
        yield opened


def run(pool: SandboxPool, code: str, reference: str = REFERENCE, **changes: Any) -> Any:
    fields = row(**changes)
    tests = evalplus_tests(fields, "file:1", reference)
    return pool.run(code, tests, entry_point=fields["entry_point"])


def test_the_reference_passes_and_another_answer_fails(pool: SandboxPool) -> None:
    assert run(pool, REFERENCE).is_evidence_of_pass
    wrong = run(pool, "def half(x):\n    return x // 2\n")
    assert wrong.outcome == "wrong_output"
    assert "half(1) gave 0, expected 0.5" in wrong.error


def test_a_plus_input_outside_of_the_contract_is_not_asked(pool: SandboxPool) -> None:
    picky = "def half(x):\n    if x < 0:\n        raise ValueError\n    return x / 2\n"
    assert run(pool, picky).is_evidence_of_pass
    assert not run(pool, picky, base_input=[[-1]]).is_evidence_of_pass


def test_floats_agree_within_the_tolerance_only(pool: SandboxPool) -> None:
    near = "def half(x):\n    return x / 2 + 0.00005\n"
    assert not run(pool, near).is_evidence_of_pass
    assert run(pool, near, atol=0.0001).is_evidence_of_pass
    assert run(pool, "def half(x):\n    return x / 2 + 5e-7\n").is_evidence_of_pass


def test_a_tolerance_does_not_excuse_another_type(pool: SandboxPool) -> None:
    assert not run(pool, "def half(x):\n    return [x / 2 + 1e-9]\n", atol=0.01).is_evidence_of_pass


def test_arguments_that_the_program_changes_do_not_spoil_the_next_run(pool: SandboxPool) -> None:
    total = "def total(xs):\n    return sum(xs)\n"
    popping = "def total(xs):\n    s = 0\n    while xs:\n        s += xs.pop()\n    return s\n"
    changes = {"entry_point": "total", "contract": "\n    assert xs\n", "plus_input": [],
               "base_input": [[[1, 2]], [[1, 2]]]}  # fmt: skip
    assert run(pool, popping, total, **changes).is_evidence_of_pass


def test_a_root_is_right_when_the_polynomial_vanishes_there(pool: SandboxPool) -> None:
    reference = "def find_zero(xs):\n    return 1.0\n"
    changes = {"task_id": "HumanEval/32", "entry_point": "find_zero", "atol": 0.0001,
               "contract": "\n    assert xs\n", "base_input": [[[-2, 3, -1]]],
               "plus_input": []}  # fmt: skip
    right = run(pool, "def find_zero(xs):\n    return 2.0\n", reference, **changes)
    wrong = run(pool, "def find_zero(xs):\n    return 1.5\n", reference, **changes)
    assert right.is_evidence_of_pass
    assert not wrong.is_evidence_of_pass


def test_the_tests_are_the_same_text_in_every_process() -> None:
    script = (
        "from codefavor.sources.evalplus import evalplus_tests\n"
        "from tests.sources.test_evalplus import REFERENCE, row\n"
        "letters = [[['c', 'a', 'd', 'b', 'e', 'f']]]\n"
        "fields = row(base_input=letters, plus_input=[], assertion="
        "\"assert half({'c', 'a', 'd', 'b', 'e', 'f'}) == 1\")\n"
        "print(evalplus_tests(fields, '', REFERENCE))\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)}, cwd=Path(__file__).parents[2],
        ).stdout
        for seed in range(4)
    }  # fmt: skip
    assert len(texts) == 1
    assert "{'a', 'b', 'c', 'd', 'e', 'f'}" in texts.pop()


def test_inputs_with_answers_beyond_any_limit_are_left_out() -> None:
    inputs = [[[n], n] for n in range(112)]
    fields = row(task_id="Mbpp/255", base_input=inputs[:3], plus_input=inputs[3:])
    text = evalplus_tests({**fields, "contract": "", "entry_point": "half"}, "", REFERENCE)
    asked = {n for n in range(112) if f"[[{n}], {n}]" in text}
    assert asked == set(range(112)) - {88, 89, 93, 99, 103}


def test_inputs_are_counted_though_they_stand_as_json(pool: SandboxPool) -> None:
    dies = "import os\ndef half(x):\n    return x / 2 if x < 3 else os._exit(0)\n"
    found = run(pool, dies, plus_input=[[n] for n in range(9)])
    assert "json.loads" in evalplus_tests(row(), "", REFERENCE)
    # Ten checks, and the call that ended them, which stands outside of any.
    assert (found.outcome, found.passed, found.total) == ("runtime_error", 4, 11)


def test_a_tuple_is_no_list_among_the_inputs(pool: SandboxPool) -> None:
    kind = "def half(x):\n    return type(x).__name__\n"
    changes = {"assertion": "assert half((1, 2)) == 1", "base_input": [[[1, 2]]],
               "plus_input": [], "contract": ""}  # fmt: skip
    assert run(pool, "def half(x):\n    return 'tuple'\n", kind, **changes).is_evidence_of_pass


def test_infinity_in_an_input_survives(pool: SandboxPool) -> None:
    assert run(pool, REFERENCE, plus_input=[[float("inf")]]).is_evidence_of_pass
    finite = "def half(x):\n    return 7.5 if x == float('inf') else x / 2\n"
    assert not run(pool, finite, plus_input=[[float("inf")]]).is_evidence_of_pass


@pytest.mark.parametrize("name", ["base_input", "contract", "entry_point"])
def test_a_row_without_a_field_is_named(name: str) -> None:
    with pytest.raises(DataError, match=f"file:1: an EvalPlus row needs the field '{name}'"):
        evalplus_tests(row(**{name: None}), "file:1", REFERENCE)


def test_a_row_without_inputs_is_refused() -> None:
    with pytest.raises(DataError, match="no inputs"):
        evalplus_tests(row(base_input=[], plus_input=[]), "file:1", REFERENCE)


@pytest.mark.parametrize(
    ("assertion", "base", "plus", "restored"),
    [
        ("assert f((1, 2)) == 1", [[[1, 2]]], [[3]], (3,)),
        ("assert f([1, 2]) == 1", [[[1, 2]]], [[3]], [3]),
        ("assert f([(1, 'a')]) == 1", [[[[1, "a"]]]], [[[2, "b"]]], [(2, "b")]),
        ("assert f((1, (2, (3, 4)))) == 1", [[[1, [2, [3, 4]]]]], [[1, [2, [3, [4]]]]],
         (1, (2, (3, (4,))))),
        ("assert f({'a': (1, 2)}) == 1", [[{"a": [1, 2]}]], [{"b": [3]}], {"b": (3,)}),
        ("assert f(1j) == 1", [["1j"]], ["(1+2j)"], 1 + 2j),
        ("assert f('j') == 1", [["j"]], ["2j"], "2j"),
        ("assert f(x()) == 1", [[[1]]], [[2]], [2]),
    ],
    ids=["tuple", "list", "inside", "deeper", "dict", "complex", "text", "no literal"],
)  # fmt: skip
def test_types_that_json_lost_come_from_the_sample_calls(
    assertion: str, base: list[Any], plus: list[Any], restored: Any
) -> None:
    fields = row(entry_point="f", assertion=assertion, base_input=base)
    [[found]] = restore_types([plus], fields)
    assert (found, type(found)) == (restored, type(restored))
    if isinstance(restored, list | tuple):
        assert [type(item) for item in found] == [type(item) for item in restored]
