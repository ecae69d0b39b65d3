"""`codefavor rank`: candidates of each problem in the order of a judge."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from codefavor.cli.rank import command
from codefavor.errors import BackendError
from codefavor.evaluation.rank_step import ranked_candidates
from codefavor.records import Problem, read_rows, write_rows

app = typer.Typer()
app.command()(command)

ADDS = [
    "def add(x):\n    return x + 1",
    "def add(x):\n    return x + 2",
    "def add(x):\n    return 2 * x + 2",
    "def add(x):\n    raise ValueError(x)  # 0",
]


def is_down_for_p1(request):
    """A model that prefers the program with the larger last number, and is down for problem p1."""
    text = request.messages[-1]["content"]
    if "Problem p1." in text and is_down_for_p1.is_down:
        raise BackendError("the server is down", retryable=False, reason="server_down")
    first, second = (int(part.split("```")[1].strip()[-1]) for part in text.split("Program ")[1:3])
    return f"[RESULT] {'A' if first > second else 'B' if second > first else 'tie'}"


is_down_for_p1.is_down = True


@pytest.fixture
def files(tmp_path):
    problems, completions = tmp_path / "problems.jsonl", tmp_path / "completions.jsonl"
    tests = "assert add(0) == 2\nassert add(3) == 5\n"
    rows = [Problem(f"p{n}", f"Problem p{n}.", tests, "add").to_row() for n in range(3)]
    write_rows(problems, rows)
    write_rows(
        completions,
        [{"problem_id": f"p{n}", "code": code} for n in range(3) for code in (*ADDS, ADDS[0])],
    )
    return problems, completions


def rank(files, out, *words):
    problems, completions = files
    fixed = [completions, "--problems", problems, "--out", out]
    return CliRunner().invoke(app, [str(word) for word in (*fixed, *words)])


def test_tests_rank_the_candidates(files, tmp_path):
    out = tmp_path / "ranked.jsonl"
    found = rank(files, out, "--model", "execution")
    assert found.exit_code == 0, found.output
    rows = [row for _, row in read_rows(out) if row["problem_id"] == "p0"]
    assert [row["code"] for row in rows] == [ADDS[1], ADDS[2], ADDS[0], ADDS[0], ADDS[3]]
    # x + 2 passes both asserts, 2x + 2 passes one, the others none: they are equal.
    assert [row["ranking"]["rank"] for row in rows] == [1, 2, 3, 3, 3]
    assert [row["ranking"]["points"] for row in rows] == [3, 2, 0.5, 0.5, 0.5]
    assert rows[0]["ranking"]["score"] == 1
    summary = json.loads(found.output[found.output.index("{\n") :])
    # Four different programs: 6 games in 2 orders for each of 3 problems, one of them a tie.
    assert (summary["n_problems"], summary["n_comparisons"], summary["n_ties"]) == (3, 36, 3)
    assert (summary["n_candidates"], summary["n_distinct"]) == (15, 12)


def test_best_of_n_needs_fewer_games_and_keep_leaves_the_winner(files, tmp_path):
    out = tmp_path / "best.jsonl"
    judge = ["--model", "longer"]
    found = rank(files, out, *judge, "--method", "best-of-n", "--keep", "1")
    assert found.exit_code == 0, found.output
    rows = [row for _, row in read_rows(out)]
    assert [row["problem_id"] for row in rows] == ["p0", "p1", "p2"]
    assert all(row["code"] == max(ADDS, key=len) for row in rows)
    assert all(row["ranking"]["n_comparisons"] == 2 * 3 for row in rows)


def says_nothing(request):
    return "Well, well."


def test_a_ranking_that_nobody_decided_fails(files, tmp_path):
    words = ["--model-type", "fake", "--model-id", f"{__name__}:says_nothing"]
    words += ["--mode", "letter", "--cache", tmp_path / "answers.sqlite"]
    found = rank(files, tmp_path / "ranked.jsonl", *words)
    assert found.exit_code == 1
    assert "no usable result came out of 3 rows" in found.output


def test_a_problem_whose_judge_failed_is_an_error_and_can_be_run_again(files, tmp_path):
    out = tmp_path / "ranked.jsonl"
    judge = ["--model", f"fake:{__name__}:is_down_for_p1"]
    judge += ["--cache", tmp_path / "answers.sqlite"]
    is_down_for_p1.is_down = True
    found = rank(files, out, *judge)
    assert "server_down 1" in found.output and '"n_error": 1' in found.output
    assert {row["problem_id"] for _, row in read_rows(out)} == {"p0", "p2"}
    again = rank(files, out, *judge)
    assert "3 had ended before, 1 of them as errors" in " ".join(again.output.split())
    is_down_for_p1.is_down = False
    mended = rank(files, out, *judge, "--retry-errors")
    assert '"n_error": 0' in mended.output and '"n_problems": 3' in mended.output
    last = [row for _, row in read_rows(out) if row["problem_id"] == "p1"]
    # The last numbers are 1, 2, 2 and 0; the program that occurs twice shares its rank.
    assert [row["ranking"]["rank"] for row in last] == [1, 1, 3, 3, 4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "ngram"], "any two programs"),
        (["--model", "jury:a.json,random"], "any two programs"),
    ],
)
def test_what_cannot_rank_is_refused(words, message, files, tmp_path):
    found = rank(files, tmp_path / "r.jsonl", *words)
    assert found.exit_code != 0 and message in str(found.exception)


def test_only_the_first_ranks_are_kept_and_equals_stay_together():
    places = [{"id": str(n), "ranking": {"rank": rank}} for n, rank in enumerate((1, 2, 2, 4))]
    row = {"judge": "j", "method": "tournament", "n_comparisons": 12, "candidates": places}
    assert [one["id"] for one in ranked_candidates(row, keep=2)] == ["0", "1", "2"]
