"""`codefavor score --tests` from the command line to the rows."""

from __future__ import annotations

import json

from tests.kit.commands import codefavor

PROBLEM = {
    "id": "p", "instruction": "clamp", "entry_point": "low",
    "reference": "def low(x, y):\n    if x < y:\n        return x\n    return y",
    "tests": "assert low(1, 2) == 1\nassert low(3, 2) == 2\nassert low(2, 2) == 2",
}  # fmt: skip
GOOD = (
    "from solution import low\ndef test_it():\n"
    "    assert low(1, 2) == 1\n    assert low(3, 2) == 2\n"
)


def test_suites_become_rows_with_parts_and_a_summary(tmp_path):
    (tmp_path / "problems.jsonl").write_text(json.dumps(PROBLEM))
    suites = [{"problem_id": "p", "code": code} for code in (GOOD, "", "def test_it(: pass")]
    (tmp_path / "suites.jsonl").write_text("\n".join(map(json.dumps, suites)))
    known = (
        "def low(x, y):\n    return 1 if x == 1 else 7",
        "def low(x, y):\n    return min(x, y)",
    )
    wrong = [{"problem_id": "p", "code": code} for code in known]
    (tmp_path / "wrong.jsonl").write_text("\n".join(map(json.dumps, wrong)))
    words = ("score", "suites.jsonl", "--tests", "--problems", "problems.jsonl", "--workers", "1")
    more = ("--known-wrong", "wrong.jsonl", "--out", "scored.jsonl")
    done = codefavor(*words, *more, home=tmp_path)
    assert done.code == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["n"] == 3 and summary["defects"] == {"empty": 1, "does_not_parse": 1}
    assert summary["known_wrong_left_out"] == 1
    rows = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    (good,) = [row["quality"] for row in rows if row["code"] == GOOD]
    assert good["score"] == 1.0 and good["parts"]["catches_known"] == 1.0
    assert good["by_operator"]["known"] == [1, 1] and good["trust"] == "tests"


def test_an_option_that_would_do_nothing_is_refused(tmp_path):
    (tmp_path / "suites.jsonl").write_text("")
    for option in (("--tests", "--cpu-s", "1"), ("--mutants", "3")):
        done = codefavor("score", "suites.jsonl", *option, "--out", "x.jsonl", home=tmp_path)
        assert done.code == 2 and "--tests" in done.stderr
