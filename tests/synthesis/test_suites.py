"""From a model's replies to scored suites, pairs, GRPO rows and problems with new tests."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace

import pytest

from codefavor.backends import FakeBackend, Request, Response, Sampling, Usage
from codefavor.engine import Context
from codefavor.errors import Rejected
from codefavor.pairs.split import SPLITS, split_of
from codefavor.pairs.suite_pairs import pair_suites
from codefavor.records import Problem, read_records, write_rows
from codefavor.scoring.suite_prompt import suite_question
from codefavor.synthesis.drafts import completions_of
from codefavor.synthesis.suites import load_functions, make_suites_step
from codefavor.training.formats import FORMATS, FormatOptions
from tests.kit.commands import codefavor

PROBLEM = Problem(
    "p", "The smaller one.", "assert low(1, 2) == 1\nassert low(3, 2) == 2\nassert low(2, 2) == 2",
    "low", reference="def low(x, y):\n    # remark\n    if x < y:\n        return x\n    return y",
)  # fmt: skip
GOOD = (
    "from solution import low\n\ndef test_it():\n"
    "    assert low(1, 2) == 1\n    assert low(3, 2) == 2\n"
)
VACUOUS = "from solution import low\n\ndef test_it():\n    assert low\n"


def fake_writer(request: Request) -> Response:
    """Good and vacuous suites in turns, as a backend of the command line."""
    fake_writer.n += 1  # type: ignore[attr-defined]
    suite = GOOD if fake_writer.n % 2 else VACUOUS  # type: ignore[attr-defined]
    return Response(f"Here it is:\n```python\n{suite}```\nDone.", "stop", Usage(10, 5))


fake_writer.n = 0  # type: ignore[attr-defined]


async def test_suites_are_read_out_of_replies_and_keep_their_question():
    context = Context(FakeBackend(function=fake_writer))
    row = await make_suites_step(Sampling(n=2))(PROBLEM.to_row(), context)
    suites = list(completions_of(row))
    assert sorted(one["code"] for one in suites) == sorted([GOOD, VACUOUS])
    assert {one["instruction"] for one in suites} == {suite_question(PROBLEM)}


def test_the_question_shows_the_program_and_not_its_tests():
    question = suite_question(PROBLEM, "unittest")
    assert "unittest" in question and "def low(x, y):" in question and "The smaller" in question
    assert "remark" not in question and "low(3, 2)" not in question


def scored(code: str, score: float, defect: str = "", problem: str = "p") -> dict:
    quality = {"score": score, "defect": defect, "trust": "tests"}
    return {"id": code, "problem_id": problem, "code": code, "instruction": "q", "quality": quality}


def test_pairs_have_their_margin_and_show_each_defect_once_first():
    rows = [
        scored("good", 1.0), scored("good too", 0.95), scored("near", 0.9),
        scored("empty checks", 0, "no_checks"), scored("v1", 0, "vacuous"),
        scored("v2", 0, "vacuous"), scored("thin", 0.4), scored("", 0, "empty"),
        scored("bad", 0.2, problem="other"),
    ]  # fmt: skip
    found = pair_suites(rows, least_chosen=0.95, margin=0.25, per_problem=3)
    assert [pair.meta["defect"] for pair in found.pairs] == ["no_checks", "vacuous", ""]
    assert [pair.chosen for pair in found.pairs] == ["good", "good too", "good"]
    assert found.pairs[2].rejected == "thin"
    assert found.without == {"no_good_suite": 1}


def test_grpo_rows_for_tests_carry_the_right_program():
    (row,) = FORMATS["grpo"](PROBLEM, FormatOptions(task="tests"))
    assert row["reference"] == PROBLEM.reference and row["tests"] == PROBLEM.tests
    assert row["prompt"][-1]["content"] == suite_question(PROBLEM)


UNMEASURABLE = {
    "class Full(Exception):\n    pass": "no_wrong_program",
    "LOW = 1": "no_function",
    "def (:": "right_program_does_not_parse",
}


@pytest.mark.parametrize("reference", UNMEASURABLE)
def test_no_grpo_row_is_written_on_which_no_suite_can_be_measured(reference):
    problem = replace(PROBLEM, tests="", reference=reference)
    with pytest.raises(Rejected) as error:
        FORMATS["grpo"](problem, FormatOptions(task="tests"))
    assert error.value.reason == UNMEASURABLE[reference]


def test_functions_of_a_folder_become_problems_with_what_they_need(tmp_path):
    (tmp_path / "a.py").write_text(
        "import math\nfrom .b import x\nLIMIT = 3\ndef _half(v):\n    return v / 2\n"
        "def area(r):\n    '''Of a circle.'''\n    return _half(math.pi * r * r) * LIMIT\n"
        "def relative():\n    return x\n"
    )
    (tmp_path / "test_a.py").write_text("def test_it(): pass\n")
    (tmp_path / "bad.py").write_text("def (:\n")
    skipped = Counter[str]()
    (problem,) = load_functions(tmp_path, skipped)
    assert problem.id == "a.py:area" and problem.instruction == "Of a circle."
    scope: dict = {}
    exec(problem.reference, scope)
    assert scope["area"](1) == pytest.approx(3 * 3.14159265 / 2)
    assert skipped.total() == 3


def test_an_asynchronous_function_is_asked_for_too(tmp_path):
    (tmp_path / "a.py").write_text(
        "import asyncio\nPAUSE = 0\nasync def double(x):\n"
        "    await asyncio.sleep(PAUSE)\n    return 2 * x\n"
    )
    skipped = Counter[str]()
    (problem,) = load_functions(tmp_path / "a.py", skipped)
    scope: dict = {}
    exec(problem.reference, scope)
    assert asyncio.run(scope["double"](4)) == 8 and not skipped


def test_the_commands_go_from_functions_to_pairs_rows_and_kept_problems(tmp_path):
    (tmp_path / "code.py").write_text(PROBLEM.reference)
    fake_writer.n = 0  # type: ignore[attr-defined]
    backend = "fake:tests.synthesis.test_suites:fake_writer"
    asked = ("--functions", "code.py", "--n", "2", "--backend", backend, "--out", "s.jsonl")
    done = codefavor("synthesise", "tests", *asked, home=tmp_path)
    assert done.code == 0, done.stderr
    words = ("--tests", "--problems", "s.problems.jsonl", "--workers", "1", "--threshold", "0.5")
    more = ("--keep", "kept.jsonl", "--out", "scored.jsonl")
    done = codefavor("score", "s.jsonl", *words, *more, home=tmp_path)
    assert done.code == 0, done.stderr
    (kept,) = (json.loads(line) for line in (tmp_path / "kept.jsonl").read_text().splitlines())
    assert kept["tests"] == GOOD and kept["tests_checked"]["suite_score"] >= 0.5
    # The problem had no tests of its own, so nobody has shown the mutants to be wrong.
    problem = Problem.from_row(kept)
    assert problem.tests_by == "model" and not problem.may_label
    assert next(iter(read_records(tmp_path / "kept.jsonl", Problem))).entry_point == "low"
    least = ("--least", "0.5", "--out", "pairs.jsonl")
    done = codefavor("pair", "suites", "scored.jsonl", *least, home=tmp_path)
    assert done.code == 0, done.stderr
    # The problem is of one split alone, by the hash of its id.
    own = split_of("code.py:low")
    for name in SPLITS:
        words = ("--split", name, "--least", "0.5", "--out", f"{name}.jsonl")
        done = codefavor("pair", "suites", "scored.jsonl", *words, home=tmp_path)
        assert (done.code == 0, (tmp_path / f"{name}.jsonl").exists()) == ((name == own),) * 2
    for form in ("sft", "dpo", "kto"):
        done = codefavor(
            "convert", "pairs.jsonl", "--format", form, "--out", f"{form}.jsonl", home=tmp_path
        )
        assert done.code == 0, done.stderr
        assert GOOD.strip().splitlines()[-1].strip() in (tmp_path / f"{form}.jsonl").read_text()


@pytest.mark.parametrize("framework", ["pytest", "unittest"])
def test_suites_of_the_problems_own_checks_are_worth_what_they_hold(tmp_path, framework):
    check = "def check(candidate):\n    " + PROBLEM.tests.replace("\n", "\n    ").replace(
        "low(", "candidate("
    )
    other = replace(PROBLEM, id="q", tests=f"import math\n{check}\ncheck(low)\n")
    odd = replace(PROBLEM, id="r", tests="for x in range(3):\n    assert low(x, 4) == x")
    write_rows(tmp_path / "p.jsonl", (one.to_row() for one in (PROBLEM, other, odd)))
    words = ("--problems", "p.jsonl", "--own-tests", "--framework", framework, "--out", "s.jsonl")
    done = codefavor("synthesise", "tests", *words, home=tmp_path)
    assert done.code == 0 and "no_plain_checks 1" in done.stdout, done.stderr
    words = ("--tests", "--problems", "p.jsonl", "--out", "scored.jsonl", "--workers", 1)
    done = codefavor("score", "s.jsonl", *words, home=tmp_path)
    assert done.code == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert {("unittest" in row["code"]) for row in rows} == {framework == "unittest"}
    for name in ("p", "q"):
        found = {
            row["sampling"]["kind"]: (row["quality"]["score"], row["quality"]["defect"])
            for row in rows
            if row["problem_id"] == name
        }
        assert found["wrong"] == (0.0, "fails_right_program")
        assert found["vacuous"] == (0.0, "vacuous")
        assert found["whole"] == (1.0, "") and 0 < found["one"][0] < found["half"][0]
    done = codefavor("synthesise", "tests", "--out", "s.jsonl", home=tmp_path)
    assert done.code == 2 and "--own-tests" in done.stderr


NO_FUNCTIONS = """
import unittest
from dataclasses import dataclass
from enum import Enum

class Full(Exception):
    \"\"\"Nothing more goes in.\"\"\"

class Level(Enum):
    LOW = 1

@dataclass
class Version:
    major: int = 0

def later(x): ...

def test_low(): assert low(1, 2) == 1

class LowCase(unittest.TestCase):
    def test_it(self): self.assertEqual(low(1, 2), 1)

class TestLow:
    def test_it(self): assert low(1, 2) == 1

class TestBench:
    def run(self): return 1

def low(x, y): return min(x, y)
"""


def test_only_what_has_a_body_and_is_no_test_is_asked_for(tmp_path):
    (tmp_path / "a.py").write_text(NO_FUNCTIONS, encoding="utf-8")
    skipped = Counter[str]()
    found = load_functions(tmp_path / "a.py", skipped)
    assert [one.entry_point for one in found] == ["TestBench", "low"]
    assert skipped == {"has no body to test": 4, "a test": 3}
