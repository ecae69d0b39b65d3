"""Rows in the forms of APPS, TACO, CodeContests, LiveCodeBench, AceCode and KodCode: each
reference passes its own tests in the sandbox's split lane, and a wrong program fails."""

from __future__ import annotations

import base64
import json
import math
import os
import pickle
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import DataError
from codefavor.records import Problem, Row
from codefavor.sandbox import SandboxPool
from codefavor.sources.problems import load_problems

CASES = [("3\n1 2 3\n", "6\n"), ("1\n5\n", "5\n")]
SUMS = "n = int(input())\nprint(sum(map(int, input().split())))\n"
WRONG_SUMS = "n = int(input())\nprint(max(map(int, input().split())))\n"
METHOD = (
    "class Solution:\n    def add(self, a: int, b: List[int]) -> int:\n        return a + sum(b)\n"
)


def packed(cases: list[Row]) -> str:
    """Hidden cases as LiveCodeBench packs them."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


def lcb(cases: list[tuple[str, str]], kind: str) -> list[Row]:
    """Cases of LiveCodeBench."""
    return [{"input": one, "output": two, "testtype": kind} for one, two in cases]


APPS = {
    "problem_id": 7, "question": "Print the sum.", "difficulty": "interview", "starter_code": "",
    "solutions": json.dumps([SUMS]),
    "input_output": json.dumps({"inputs": [c[0] for c in CASES], "outputs": [c[1] for c in CASES]}),
}  # fmt: skip
APPS_CALL = {
    **APPS, "starter_code": "class Solution:\n    def add(self, a, b):\n        ",
    "solutions": json.dumps([METHOD]),
    "input_output": json.dumps(
        {"fn_name": "add", "inputs": [[1, [2, 3]], [0, [1]]], "outputs": [[6], [1]]}
    ),
}  # fmt: skip
TACO = {k: v for k, v in APPS.items() if k != "problem_id"}
CODE_CONTESTS = {
    "name": "1_A. Sum", "description": "Print the sum.", "difficulty": 7,
    "public_tests": {"input": [CASES[0][0]], "output": [CASES[0][1]]},
    "private_tests": {"input": [CASES[1][0]], "output": [CASES[1][1]]},
    "generated_tests": {"input": [], "output": []},
    "solutions": {"language": [2, 3], "solution": ["int main() {}", SUMS]},
}  # fmt: skip
LCB_STDIN = {
    "question_content": "Print the sum.", "question_id": "abc1_a", "starter_code": "",
    "public_test_cases": json.dumps(lcb(CASES[:1], "stdin")),
    "private_test_cases": packed(lcb(CASES[1:], "stdin")), "metadata": "{}", "difficulty": "easy",
}  # fmt: skip
LCB_CALL = {
    **LCB_STDIN, "question_id": "3",
    "starter_code": "class Solution:\n    def add(self, a, b):\n        ",
    "public_test_cases": json.dumps(lcb([("1\n[2, 3]", "6")], "functional")),
    "private_test_cases": packed(lcb([("0\n[1]", "1")], "functional")),
    "metadata": json.dumps({"func_name": "add"}),
}  # fmt: skip
ACECODE = {
    "id": "oss_1", "source": "oss", "question": "Add.",
    "test_cases": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"], "inferences": [],
}  # fmt: skip
KODCODE = {
    "question_id": "Leetcode_1_I", "question": "Add.",
    "solution": "def add(a, b):\n    return a + b\n",
    "test": "from solution import add\n\ndef test_add():\n    assert add(1, 2) == 3\n\n"
    "def test_zero():\n    assert add(0, 0) == 0\n",
    "test_info": [{"function_name": "add", "parameter_list": "(a, b)"}], "gpt_difficulty": "easy",
}  # fmt: skip
ADD = "def add(a, b):\n    return a + b\n"
WRONG_ADD = "def add(a, b):\n    return a - b\n"
WRONG_METHOD = METHOD.replace("a + sum(b)", "a")
FORMS: dict[str, tuple[Row, str, str, int]] = {
    "apps": (APPS, SUMS, WRONG_SUMS, 2),
    "apps by call": (APPS_CALL, METHOD, WRONG_METHOD, 2),
    "taco": (TACO, SUMS, WRONG_SUMS, 2),
    "code-contests": (CODE_CONTESTS, SUMS, WRONG_SUMS, 2),
    "livecodebench": (LCB_STDIN, SUMS, WRONG_SUMS, 2),
    "livecodebench by call": (LCB_CALL, METHOD, WRONG_METHOD, 2),
    "acecode": (ACECODE, ADD, WRONG_ADD, 2),
    "kodcode": (KODCODE, ADD, WRONG_ADD, 2),
}


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    with SandboxPool(2) as made:
        yield made


def read(tmp_path: Path, *rows: Row) -> list[Problem]:
    """The problems in a file of these rows."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_problems(str(path))


@pytest.mark.parametrize("form", FORMS)
def test_a_reference_passes_and_a_wrong_program_fails(
    tmp_path: Path, pool: SandboxPool, form: str
) -> None:
    row, right, wrong, n_checks = FORMS[form]
    (problem,) = read(tmp_path, row)
    if problem.reference:
        assert problem.reference == right
    for code, passes in ((right, True), (wrong, False)):
        run = pool.run(code, problem.tests, entry_point=problem.entry_point, setup=problem.setup)
        assert (run.outcome == "passed") is passes, run.error
        assert (run.trust, run.total) == ("split", n_checks)
        assert not run.no_evidence


ODD = "class Solution:\n    def add(self, a, b):\n        return {0}\n"


@pytest.mark.parametrize(
    ("row", "expected", "code", "passes"),
    [
        (LCB_CALL, "[1]", ODD.format("1"), False),
        (LCB_CALL, "[1]", ODD.format("(1,)"), True),
        (LCB_CALL, "8", ODD.format("pow(2, 3, 9)"), True),
        (LCB_STDIN, "1 2\n", "print(1)\nprint(2)", False),
        (LCB_STDIN, "1 2\n", "print(' 1.0  2 ')", True),
        (LCB_STDIN, "3", "print(3.0)", True),
        (LCB_STDIN, "Yes", "print('YES')", False),
        (LCB_STDIN, "1 a", "print('1  a')", False),
        (LCB_STDIN, "2", "import sys\nprint(floor(sqrt(4)), end=sys.stdin.read()[9:])", True),
        (LCB_STDIN, "9007199254740993", "print(9007199254740992)", False),
    ],
)  # fmt: skip
def test_livecodebench_is_compared_as_its_own_checker_does(
    tmp_path: Path, pool: SandboxPool, row: Row, expected: str, code: str, passes: bool
) -> None:
    is_call = row is LCB_CALL
    case = ("1\n[2]" if is_call else "x\n", expected)
    changed = {
        **row, "private_test_cases": "[]",
        "public_test_cases": json.dumps(lcb([case], "functional" if is_call else "stdin")),
    }  # fmt: skip
    (problem,) = read(tmp_path, changed)
    run = pool.run(code, problem.tests, entry_point=problem.entry_point, setup=problem.setup)
    assert (run.outcome == "passed") is passes, run.error
    assert run.trust == "split"


@pytest.mark.parametrize(
    ("call", "given", "expected", "code", "passes"),
    [
        ("f", [2], [[[0, 0], [1, 1]]], "def f(n):\n    return [(i, i) for i in range(n)]", True),
        ("f", [2], [[[0, 0], [1, 2]]], "def f(n):\n    return [(i, i) for i in range(n)]", False),
        ("f", [[7]], [7], "def f(xs):\n    return xs[0]", True),
        ("f", [[7]], [7, 8], "def f(xs):\n    return xs[0]", False),
        ("f", [{"1": 2, "3": 4}], [14], "def f(d):\n    return sum(k * d[k] for k in d)", True),
        ("f", [{"a": 2}], [["a"]], "def f(d):\n    return list(d)", True),
        ("f", [3], [{"3": 1}], "def f(n):\n    return {n: 1}", True),
        ("f", [1], [0.333333], "def f(n):\n    return n / 3", False),
        ("f", [2], [math.inf], "def f(n):\n    return float('inf')", True),
        ("f", [2], [[1, -math.inf]], "def f(n):\n    return [1, float('inf')]", False),
        ("f", [[math.inf]], [1], "def f(xs):\n    return xs.count(float('inf'))", True),
        ("", "1\n", "0.333333\n", "print(int(input()) / 3)", True),
        ("", "1\n", "0.34\n", "print(int(input()) / 3)", False),
        ("", "1\n", "1000000\n", "print(1000001)", False),
        ("", "4\n", "2\n", "print(floor(math.sqrt(int(input()))))", True),
    ],
)
def test_apps_is_compared_as_its_own_checker_does(
    tmp_path: Path, pool: SandboxPool, call: str, given: Any, expected: Any, code: str, passes: bool
) -> None:
    found = {"inputs": [given], "outputs": [expected], **({"fn_name": call} if call else {})}
    row = {**APPS, "input_output": json.dumps(found), "solutions": json.dumps([code])}
    (problem,) = read(tmp_path, row)
    run = pool.run(code, problem.tests, entry_point=problem.entry_point, setup=problem.setup)
    assert (run.outcome == "passed") is passes, run.error
    assert run.trust == "split"


@pytest.mark.parametrize(
    ("expected", "printed", "passes"),
    [
        ("66.666666666667\n", "66.66666666666667", True),
        ("YES\n", "Yes", True),
        ("YES\n", "Yes 1", False),
        ("1.5 no", "1.500009\nNO", True),
        ("1.5 no", "1.50002\nNO", False),
        ("1000000", "1000001", False),
        ("1000000", "1e6", True),
        ("9007199254740993", "9007199254740992", False),
        ("12345678901234567890.25", "1.2345678901234567e+19", True),
        ("100000.0", "100000.5", False),
        ("5", "nan", False),
        ("5", "1e999", False),
        ("5", "1e99999999999999999999", False),
        ("nan 1.0", "NaN 1", True),
        ("-0", "+0", True),
        ("1_0", "10", False),
        ("10", "1_0", False),
        ("É", "é", False),
        ("0x10", "16", False),
    ],
)
def test_code_contests_is_compared_as_its_own_checker_does(
    tmp_path: Path, pool: SandboxPool, expected: str, printed: str, passes: bool
) -> None:
    none = {"input": [], "output": []}
    row = {**CODE_CONTESTS, "public_tests": none, "private_tests": none,
           "generated_tests": {"input": ["x\n"], "output": [expected]}}  # fmt: skip
    (problem,) = read(tmp_path, row)
    run = pool.run(f"print({printed!r})\n", problem.tests)
    assert (run.outcome == "passed") is passes, run.error
    assert (run.trust, run.no_evidence) == ("split", "")


def test_rows_without_an_id_that_are_there_twice_count_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = json.dumps({"inputs": ["1\n2\n"], "outputs": ["2\n"]})
    again = {**TACO, "solutions": "[]", "url": "elsewhere"}
    found = read(tmp_path, TACO, again, {**TACO, "input_output": other})
    assert len({one.id for one in found}) == len(found) == 2
    assert "1 rows that repeat an earlier one are left out" in caplog.text
    assert "rows.jsonl:2" in caplog.text


def test_what_is_known_of_a_row_is_kept(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, APPS_CALL)
    assert (problem.id, problem.source, problem.difficulty) == ("apps/7", "APPS", "interview")
    assert problem.instruction.endswith("def add(self, a, b):")
    assert problem.entry_point == "Solution"


def test_rows_without_tests_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = {**APPS, "problem_id": 8, "input_output": ""}
    assert [one.id for one in read(tmp_path, APPS, empty)] == ["apps/7"]
    assert "1 rows without tests are left out" in caplog.text
    with pytest.raises(DataError, match="no row can be used: 1 rows without tests"):
        read(tmp_path, empty)


def test_rows_that_cannot_be_used_are_counted_by_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [
        {**ACECODE, "id": "2", "test_cases": ["assert add(1, 2 == 3", "assert add(0, 0) == 0"]},
        {**ACECODE, "id": "3", "test_cases": ["assert True"]},
        {**KODCODE, "test": "def test_a(:\n    pass"},
        {**APPS, "input_output": "{broken"},
        {**APPS, "input_output": json.dumps([1])},
        {**APPS, "question": None},
        {**LCB_STDIN, "public_test_cases": "[1]"},
        {**CODE_CONTESTS, "description": 3},
    ]
    assert [one.id for one in read(tmp_path, ACECODE, *bad)] == ["acecode/oss_1"]
    assert (
        "6 rows that cannot be read, 2 rows whose tests do not parse are left out; the first: "
        in caplog.text
    )
    assert "rows.jsonl:2" in caplog.text
    with pytest.raises(DataError, match="no row can be used: 6 rows that cannot be read"):
        read(tmp_path, *bad)


@pytest.mark.parametrize(
    ("tests", "name"),
    [
        (
            ["assert Counter(letters('aab')) == Counter('aab')", "assert letters('') == []"],
            "letters",
        ),
        (["assert Counter(letters('aab')) == Counter('aab')"], "letters"),
        (["from m import near\nassert near(half(3), 1.5)"], "half"),
        (["def near(a, b):\n    return a == b\nassert near(half(3), 1.5)"], "half"),
        (["node = Node(1)\nassert depth(node) == 1", "assert depth(Node(1)) == 1"], "depth"),
        (["assert gcd(4, 6) == 2"], "gcd"),
    ],
)
def test_the_entry_point_is_what_the_asserts_are_about(
    tmp_path: Path, tests: list[str], name: str
) -> None:
    (problem,) = read(tmp_path, {**ACECODE, "test_cases": tests})
    assert problem.entry_point == name


def test_tests_may_count_on_the_programs_counter(tmp_path: Path, pool: SandboxPool) -> None:
    row = {**ACECODE, "test_cases": ["assert Counter(letters('aab')) == Counter('aba')"]}
    (problem,) = read(tmp_path, row)
    for body, passes in (("list(s)", True), ("list(s)[1:]", False)):
        code = f"from collections import Counter\ndef letters(s):\n    return {body}\n"
        run = pool.run(code, problem.tests, entry_point=problem.entry_point)
        assert (run.outcome == "passed") is passes, run.error
        assert run.trust == "split"


class Evil:
    """What must never be called."""

    def __reduce__(self) -> Any:
        return (os.system, ("touch /tmp/codefavor-was-here",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_output": "{broken"}, "cannot be read as what these are"),
        ({"input_output": json.dumps({"inputs": ["1"], "outputs": []})}, "rows.jsonl:1"),
    ],
)
def test_a_broken_row_names_its_place(tmp_path: Path, changes: Row, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, {**APPS, **changes})


def test_hidden_cases_may_hold_a_text_alone(tmp_path: Path) -> None:
    evil = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    with pytest.raises(DataError, match="only a text is allowed"):
        read(tmp_path, {**LCB_STDIN, "private_test_cases": evil})
    assert not Path("/tmp/codefavor-was-here").exists()
