"""A model as a writer of tests, from the server's answers to the result file and comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codefavor.evaluation.compare import compare_results, read_contender
from codefavor.records import Problem, write_rows
from tests.kit.commands import codefavor
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

PROBLEMS = [
    Problem(
        f"p{n}", f"The smaller of x and {n}.",
        f"assert low({n - 1}) == {n - 1}\nassert low({n + 3}) == {n}\nassert low({n}) == {n}",
        "low", reference=f"def low(x):\n    if x < {n}:\n        return x\n    return {n}",
        license="MIT",
    )
    for n in range(3)
]  # fmt: skip
GOOD = (
    "```python\nfrom solution import low\ndef test_it():\n"
    "    assert [low(x) for x in range(-3, 9)] == [min(x, P) for x in range(-3, 9)]\n```"
)
VACUOUS = "```python\nfrom solution import low\ndef test_it():\n    assert callable(low)\n```"
WRONG = "```python\nfrom solution import low\ndef test_it():\n    assert low(5) == 77\n```"


def answers(*texts: str) -> Any:
    """A server whose n-th sample of problem p is texts[n] with P for its number."""

    def handle(call: Call) -> Reply:
        number = call.body["messages"][-1]["content"].partition("smaller of x and ")[2][0]
        reply = openai_reply(call, "")
        for index, choice in enumerate(reply.body["choices"]):
            choice["message"]["content"] = texts[index % len(texts)].replace("P", number)
        return reply

    return handle


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with three problems."""
    write_rows(tmp_path / "problems.jsonl", (one.to_row() for one in PROBLEMS))
    return tmp_path


def evaluate(home: Path, name: str, *texts: str) -> tuple[Any, dict]:
    with LoopbackServer(answers(*texts)) as server:
        done = codefavor(
            "evaluate", "test-writing", "--problems", "problems.jsonl", "--model", "openai:m",
            "--samples", 3, "--temperature", 0.8, "--set", f"base_url={server.url}", "--no-cache",
            "--mutants", 6, "--workers", 1, "--out", name, home=home,
        )  # fmt: skip
    assert done.code == 0, done.stderr
    (path,) = (home / name).glob("test-writing.*.json")
    return done, json.loads(path.read_text())


def test_suites_become_pass_at_k_with_parts_and_the_older_measure_beside(home):
    done, result = evaluate(home, "a", GOOD, VACUOUS, WRONG)
    metrics = result["metrics"]
    assert metrics["pass_at_k"]["1"]["mean"] == pytest.approx(1 / 3)
    assert metrics["pass_at_k"]["3"]["mean"] == 1.0
    assert metrics["failures"] == {"vacuous": 3, "fails_right_program": 3}
    # A vacuous suite "runs and ends OK": two of three do.
    assert metrics["suites"]["runs_and_ends_ok"] == pytest.approx(2 / 3)
    assert "runs and ends OK" in done.stdout
    (rows,) = (home / "a" / "rows").glob("*.jsonl")
    records = [json.loads(line) for line in rows.read_text().splitlines()]
    vacuous = next(
        one
        for record in records
        if record.get("status") == "ok"
        for one in record["row"]["completions"]
        if one["quality"]["defect"] == "vacuous"
    )
    assert len(vacuous["missed_programs"]) >= 3 and vacuous["missed_programs"][0]["code"]

    _, worse = evaluate(home, "b", VACUOUS, VACUOUS, WRONG)
    assert worse["metrics"]["pass_at_k"]["3"]["mean"] == 0.0
    paths = [next((home / name).glob("test-writing.*.json")) for name in ("a", "b")]
    (found,) = compare_results([read_contender(one, one.parent.name) for one in paths])
    assert sorted(found.lost) == ["p0", "p1", "p2"]
    assert found.moves["passed", "vacuous"] == 3
    # Of three suites one is good; two pass on the right program; what has a defect kills nothing.
    means = {test.measure: (test.mean_a, test.mean_b) for test in found.tests}
    third, two_thirds = pytest.approx(1 / 3), pytest.approx(2 / 3)
    assert next(iter(means)) == "pass@1"
    assert means["score"] == means["mutants killed"] == (0.0, third)
    assert means["passes on the right program"] == means["runs and ends OK"]
    assert means["runs and ends OK"] == (two_thirds, two_thirds)
    assert means["runs"] == (1.0, 1.0)
    # `assert callable(low)` runs no line of it but the `def`; the other two run more.
    assert 0 < means["line coverage"][0] < means["line coverage"][1]
    done = codefavor("compare", *paths, "--out", "compare.html", home=home)
    assert done.code == 0, done.stderr
    page = (home / "compare.html").read_text(encoding="utf-8")
    assert "mutants killed" in page and "branch coverage" in page
    (row,) = json.loads((home / "compare.json").read_text())
    (kills,) = [one for one in row["tests"] if one["measure"] == "mutants killed"]
    # The same loss on each of the three problems.
    assert kills["gain"]["gain"]["mean"] == pytest.approx(-1 / 3)
    assert kills["p_holm"] >= kills["gain"]["p_permutation"] == pytest.approx(1 / 4)


def test_an_option_for_programs_is_refused(home):
    words = ("evaluate", "test-writing", "--model", "openai:m", "--cpu-s", "3")
    done = codefavor(*words, home=home)
    assert done.code == 2 and "--cpu-s" in done.stderr


def test_the_page_shows_each_suite_with_what_it_missed_and_why(home):
    thin = "```python\nfrom solution import low\ndef test_it():\n    assert low(-50) == -50\n```"
    evaluate(home, "a", GOOD, thin, VACUOUS.replace("callable(low)", "'<b>' and low"))
    (path,) = (home / "a").glob("test-writing.*.json")
    done = codefavor("report", "suites", path, "--out", "page.html", home=home)
    assert done.code == 0, done.stderr
    page = (home / "page.html").read_text(encoding="utf-8")
    # `low(-50)` runs line 2 and cannot tell 0 from -1 there; what checks the name runs nothing.
    assert "Test suites of openai:m" in page
    assert "line 3 never ran" in page
    assert "line 2 ran, and no check saw the difference" in page
    assert "assert low(-50) == -50" in page and "&#39;&lt;b&gt;&#39; and low" in page
    # All suites end with OK; a third of them is good.
    assert "33.3% reach the score of 0.9; 100.0% run and end with OK" in page
    assert page.count("vacuous: it passes on a program that does nothing") == 3
    rows = home / "a" / "rows" / f"{path.stem}.jsonl"
    rows.unlink()
    done = codefavor("report", "suites", path, "--out", "page.html", home=home)
    assert done.code and str(rows.name) in done.stderr
