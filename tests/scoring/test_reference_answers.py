"""Answers of a reference are computed once and change nothing of what a run says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from codefavor.records import Execution
from codefavor.sandbox import Limits, SandboxPool
from codefavor.sandbox.lane import choose_lane
from codefavor.scoring.reference_answers import ReferenceAnswers
from codefavor.sources.evalplus import evalplus_tests

HALF = "def f(x):\n    return x / 2\n"


def make_tests(reference: str, inputs: list[Any], **changes: Any) -> str:
    row = {"task_id": "Mbpp/0", "entry_point": "f", "contract": "\n    assert x != 13\n",
           "base_input": inputs[:1], "plus_input": inputs[1:], "atol": 0, **changes}  # fmt: skip
    return evalplus_tests(row, "file:1", reference)


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(1) as opened:
        yield opened


def put(folder: Path | None, tests: str, pool: SandboxPool, times: int = 1) -> list[str]:
    known = ReferenceAnswers(folder)

    async def all_at_once() -> list[tuple[str, Limits]]:
        return await asyncio.gather(*(known.put_into(tests, pool, None) for _ in range(times)))

    return [text for text, _ in asyncio.run(all_at_once())]


def n_runs(pool: SandboxPool) -> int:
    return sum(worker.n_runs for worker in pool._workers)


def evidence(pool: SandboxPool, code: str, tests: str) -> Execution:
    return replace(pool.run(code, tests, entry_point="f"), seconds=0.0, peak_bytes=0)


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("x", "x + 1"), ("x == 1", "1"), ("x / 2", "x // 2"), ("-0.0 * x", "0"),
        ("float('inf')", "1e308"), ("'a\\ud800\"\\n' * x", "'a'"), ("None", "False"),
        ("(x, [x, (x,)])", "[x, [x, (x,)]]"), ("{x: {'a': (1, 2)}}", "{str(x): {'a': (1, 2)}}"),
        ("{(1, x)}", "frozenset([x])"), ("frozenset([x])", "[x]"), ("complex(x, 1)", "x"),
        ("10 ** 5000 + x", "10 ** 5000"), ("[[x] * 3] * 3", "[[x] * 3] * 2"), ("b'ab'", "b'a'"),
        ("1 // (x - 2)", "x"), ("'a' * 2_000_000", "'a'"), ("range(x)", "list(range(x))"),
    ],
    ids=str,
)  # fmt: skip
def test_a_run_says_the_same_with_the_answers_as_with_the_reference(
    pool: SandboxPool, answer: str, wrong: str
) -> None:
    reference, other = (f"def f(x):\n    return {value}\n" for value in (answer, wrong))
    tests = make_tests(reference, [[1], [13], [2], [3]])
    (answered,) = put(None, tests, pool)
    for code in (reference, other, other.replace("return", "return 1 // (x - 3) or"), "f = 1"):
        assert evidence(pool, code, answered) == evidence(pool, code, tests)


@pytest.mark.parametrize("inputs", [[[[3, 1]], [[2, 1]]], [[(3, 1)], [(2, 1)]]], ids=str)
def test_a_program_that_changes_its_arguments_spoils_nothing(
    pool: SandboxPool, inputs: list[Any]
) -> None:
    reference = "def f(x):\n    return sorted(x)\n"
    tests = make_tests(reference, [*inputs, *inputs])
    (answered,) = put(None, tests, pool)
    in_place = (
        "def f(x):\n    y = sorted(x)\n    if type(x) is list:\n        x.clear()\n    return y\n"
    )
    assert evidence(pool, in_place, answered).passed == 4


def test_a_reference_is_computed_once_for_all_samples_and_kept(
    pool: SandboxPool, tmp_path: Path
) -> None:
    tests = make_tests(HALF, [[1], [2]])
    before = n_runs(pool)
    first = put(tmp_path / "answers", tests, pool, times=10)
    assert n_runs(pool) == before + 1
    again = put(tmp_path / "answers", tests, pool)
    assert n_runs(pool) == before + 1
    assert {*first, *again} == {first[0]}
    assert "return x / 2" not in first[0]
    put(tmp_path / "answers", make_tests(HALF, [[1], [4]]), pool)
    put(tmp_path / "answers", make_tests(HALF.replace("2", "3"), [[1], [2]]), pool)
    assert n_runs(pool) == before + 3


def test_tests_with_answers_can_be_judged_by_a_process_that_stays(pool: SandboxPool) -> None:
    tests = make_tests(HALF, [[1], [2]])
    (answered,) = put(None, tests, pool)
    assert [choose_lane(text, "f").may_share for text in (tests, answered)] == [False, True]


def test_tests_of_another_form_stay_as_they_are(pool: SandboxPool) -> None:
    before = n_runs(pool)
    for tests in ("assert f(1) == 2", make_tests(HALF, [[1]]).replace("enumerate", "list")):
        assert put(None, tests, pool) == [tests]
    assert n_runs(pool) == before


def test_a_reference_that_needs_the_together_lane_stays_in_the_tests(pool: SandboxPool) -> None:
    tests = make_tests("import sys\ndef f(x):\n    return sys.getsizeof(x)\n", [[1], [2]])
    before = n_runs(pool)
    assert put(None, tests, pool) == [tests]
    assert n_runs(pool) == before


def test_what_others_may_write_is_not_read(pool: SandboxPool, tmp_path: Path) -> None:
    tests = make_tests(HALF, [[1]])
    put(tmp_path, tests, pool)
    (file,) = tmp_path.iterdir()
    file.write_text('[0.0,[false,[["forged"]]]]')
    assert "forged" in put(tmp_path, tests, pool)[0]
    tmp_path.chmod(0o777)
    assert "forged" not in put(tmp_path, tests, pool)[0]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[0.0,[1,[]]]", '[0.0,[false,{"a":1}]]', "\x00", "[0.0,[false,[]]]",
     "[0.0,[false,[[0.5],[1.0]]]]", "[0.0,[false,[0.5]]]", "[0.0,[false,[[0.5,1]]]]",
     '[0.0,[false,[[{"tuple":[1]}]]]]', '[0.0,[true,[[{"tupel":[1]}]]]]',
     '[0.0,[true,[[{"set":[[1]]}]]]]', '[0.0,[true,[[{"complex":[1]}]]]]',
     '[0.0,[true,[[{"int":"1","a":0}]]]]', f"[0.0,[false,[{'[' * 5000}{']' * 5000}]]]",
     "[" * 200_000, "[null,null]", "[-1.0,null]", "[1e9,null]", "[NaN,null]", "[false,[[0.5]]]"],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_damaged_file_is_written_anew(pool: SandboxPool, tmp_path: Path, text: str) -> None:
    tests = make_tests(HALF, [[1]])
    whole = put(tmp_path, tests, pool)
    (file,) = tmp_path.iterdir()
    written = file.read_text()
    file.write_text(text)
    assert put(tmp_path, tests, pool) == whole
    assert [one.read_text() for one in tmp_path.iterdir()] == [written]


def test_a_script_that_does_not_end_well_says_nothing(pool: SandboxPool) -> None:
    limits = Limits(cpu_s=0.5)
    assert pool.said_by("__said__ = 'a' * 300_000", limits) == "a" * 300_000
    for script in ("__said__ = 1 / 0", "x = 1", "while True:\n    pass", "import os\nos._exit(0)"):
        assert pool.said_by(script, limits) == ""


@pytest.mark.parametrize("answer", ["x", "'a' * 2_000_000", "range(x)"])
def test_a_slow_reference_gives_its_programs_four_times_its_time(
    pool: SandboxPool, tmp_path: Path, answer: str
) -> None:
    slow = f"def f(x):\n    for _ in range(30_000_000):\n        pass\n    return {answer}\n"
    tests, short = make_tests(slow, [[1]]), Limits(cpu_s=0.1, wall_s=20.0)
    assert pool.run(slow, tests, short, entry_point="f").outcome in ("timeout", "unsupported")

    def put_short(text: str) -> tuple[str, Limits]:
        return asyncio.run(ReferenceAnswers(tmp_path).put_into(text, pool, short))

    answered, limits = put_short(tests)
    assert pool.run(slow, answered, limits, entry_point="f").outcome != "timeout"
    assert limits.wall_s / short.wall_s == pytest.approx(limits.cpu_s / short.cpu_s)
    assert put_short(tests) == (answered, limits)
    assert put_short(make_tests(HALF, [[1]]))[1] == short
