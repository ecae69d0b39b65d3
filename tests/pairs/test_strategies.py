"""Each strategy's pairs from programs of known runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import FakeBackend, Response, Sampling, Usage
from codefavor.engine import Context
from codefavor.errors import ConfigError
from codefavor.pairs.by_execution import pair_by_execution
from codefavor.pairs.strategies import STRATEGIES, Choice
from codefavor.records import Execution, Problem, Row, read_rows, write_rows
from codefavor.scoring.by_tests import digest_of_tests
from codefavor.synthesis.drafts import make_drafts_step
from tests.kit.commands import codefavor

PROBLEMS = {name: Problem(name, f"do {name}", "assert f()", "f") for name in ("p1", "p2")}
# Name, checks that held of 10, class of the failure, author.
PROGRAMS = [
    ("right", 10, "", "m1"),
    ("right too", 10, "", "m2"),
    ("near", 9, "wrong_answer", "m1"),
    ("half", 5, "exception", "m2"),
    ("half again", 5, "wrong_answer", "m1"),
    ("nothing", 0, "hang", "m1"),
]


def rows(problem: str = "p1", without: tuple[str, ...] = ()) -> list[Row]:
    """The programs as scored completions."""
    return [
        {
            "id": name,
            "problem_id": problem,
            "code": f"x = {name!r}\n",
            "level": "samples",
            "kind": "completion",
            "failure": failure,
            "model": model,
            "tests_sha256": digest_of_tests(PROBLEMS[problem].to_row()),
            "execution": Execution(
                "passed" if passed == 10 else "wrong_output", passed, 10
            ).to_row(),
        }
        for name, passed, failure, model in PROGRAMS
        if name not in without
    ]


def of_evaluation(problem: str) -> Row:
    """The samples of a problem as `evaluate` keeps them."""
    samples = rows(problem)
    digests = {one.pop("tests_sha256") for one in samples}
    return {"id": problem, "tests_sha256": digests.pop(), "completions": samples}


def couples(scored: list[Row], choice: Choice) -> set[tuple[str, str]]:
    """Names of the better and the worse program of each pair."""
    found = pair_by_execution(PROBLEMS, scored, choice=choice).pairs
    return {(p.chosen.split("'")[1], p.rejected.split("'")[1]) for p in found}


FAILING = ("near", "half", "half again", "nothing")


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("pass-fail", {(g, b) for g in ("right", "right too") for b in FAILING}),
        ("best-worst", {("right", "nothing")}),
        ("margin", {(g, b) for g in ("right", "right too") for b in FAILING}),
        ("hardest", {("right", "near"), ("right too", "near")}),
        ("per-class", {("right", "near"), ("right too", "half"), ("right", "nothing")}),
        ("all", {(g, b) for g in ("right", "right too") for b in FAILING}),
    ],
)
def test_a_strategy_pairs_what_it_says(strategy: str, expected: set[tuple[str, str]]) -> None:
    assert couples(rows(), Choice(strategy)) == expected


def test_margin_is_the_least_difference_of_shares() -> None:
    assert ("right", "near") not in couples(rows(), Choice("margin", margin=0.2))
    assert ("right", "half") in couples(rows(), Choice("margin", margin=0.5))


def test_a_failing_side_is_chosen_only_where_that_was_asked_for() -> None:
    scored = rows(without=("right", "right too"))
    assert couples(scored, Choice("all")) == set()
    found = couples(scored, Choice("all", may_fail=True))
    assert found == {
        ("near", "half"), ("near", "half again"), ("near", "nothing"),
        ("half", "nothing"), ("half again", "nothing"),
    }  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_tie_is_never_a_pair(strategy: str) -> None:
    found = couples(rows(), Choice(strategy, may_fail=True))
    share = {name: passed for name, passed, _, _ in PROGRAMS}
    assert found
    assert all(share[good] > share[bad] for good, bad in found)


def test_programs_of_one_author_only() -> None:
    author = {name: model for name, _, _, model in PROGRAMS}
    found = couples(rows(), Choice("pass-fail", same_author=True))
    assert found
    assert all(author[good] == author[bad] for good, bad in found)


def test_programs_of_unknown_authors_are_not_of_one_author() -> None:
    nobody = [{**row, "model": ""} for row in rows()]
    found = pair_by_execution(PROBLEMS, nobody, choice=Choice(same_author=True))
    assert found.pairs == []
    reason = "samples: no model named, so of no author that is known"
    assert found.reasons[reason] == len(nobody)
    assert reason not in pair_by_execution(PROBLEMS, nobody, choice=Choice()).reasons


def test_equivalent_programs_never_meet() -> None:
    scored = rows()
    twin = {**scored[0], "id": "twin", "code": "# note\nx = 'near'  # other layout\n"}
    found = pair_by_execution(PROBLEMS, [*scored, twin], choice=Choice())
    sides = {side for pair in found.pairs for side in (pair.chosen, pair.rejected)}
    assert not any("near" in side for side in sides)
    assert found.reasons["samples: the same program as another but for comments and layout"] == 2


def test_a_problem_without_couples_is_counted() -> None:
    found = pair_by_execution(PROBLEMS, rows(without=FAILING), choice=Choice())
    assert found.reasons == Counter({"samples: problem without failing": 1})
    # Nothing passes, and nothing has to: what is missing is a difference.
    found = pair_by_execution(
        PROBLEMS, rows(without=("right", "right too", "half", "near", "nothing")),
        choice=Choice("margin", may_fail=True),
    )  # fmt: skip
    assert found.reasons == Counter({"samples: problem without a couple of this strategy": 1})


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """Scored completions of two starter problems."""
    path = tmp_path / "scored.jsonl"
    problems = tmp_path / "problems.jsonl"
    write_rows(problems, (one.to_row() for one in PROBLEMS.values()))
    write_rows(path, [row for name in PROBLEMS for row in rows(name)])
    return path


def test_a_plan_says_what_each_strategy_would_give(tmp_path: Path, scored: Path) -> None:
    words: list[Any] = ["pair", "tests", scored, "--problems", "problems.jsonl"]
    done = codefavor(*words, "--plan", "--no-balance", home=tmp_path)
    assert done.code == 0, done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert set(STRATEGIES) <= set(lines)
    assert lines["best-worst"][1:4] == ["2", "2", "2"]
    assert lines["pass-fail"][1] == "16"
    out = codefavor(
        *words, "--strategy", "best-worst", "--no-balance", "--out", "pairs.jsonl", home=tmp_path
    )
    assert out.stdout.startswith("2 of 2 pairs kept")
    capped = codefavor(
        *words, "--no-balance", "--per-problem", 3, "--out", "p.jsonl", home=tmp_path
    )
    assert capped.stdout.startswith("6 of 16 pairs kept")


def test_runs_that_ended_at_the_first_failure_have_no_shares(tmp_path: Path) -> None:
    cut = [{**row, "execution": {**row["execution"], "passed": 0, "total": 0}} for row in rows()]
    failing = {("right", other) for other in FAILING} | {("right too", other) for other in FAILING}
    # The first two pass, and passing says all of theirs.
    cut[:2] = rows()[:2]
    assert couples(cut, Choice()) == failing
    with pytest.raises(ConfigError, match="margin needs the share of checks"):
        couples(cut, Choice("margin"))
    write_rows(tmp_path / "problems.jsonl", (one.to_row() for one in PROBLEMS.values()))
    write_rows(tmp_path / "cut.jsonl", cut)
    words = ("pair", "tests", "cut.jsonl", "--problems", "problems.jsonl", "--plan")
    done = codefavor(*words, home=tmp_path)
    assert done.code == 0, done.stderr
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert (lines["pass-fail"][1], lines["hardest"][1]) == ("8", "-")


def test_a_plan_writes_nothing_and_pairs_need_a_file(tmp_path: Path, scored: Path) -> None:
    words: list[Any] = ["pair", "tests", scored, "--problems", "problems.jsonl"]
    assert codefavor(*words, home=tmp_path).code == 2
    assert codefavor(*words, "--plan", "--out", "x.jsonl", home=tmp_path).code == 2
    assert not (tmp_path / "x.jsonl").exists()


def test_what_a_cap_leaves_out_is_told(tmp_path: Path, scored: Path) -> None:
    words: list[Any] = ["pair", "tests", scored, "--problems", "problems.jsonl", "--no-balance"]
    done = codefavor(*words, "--per-problem", "1", "--out", "x.jsonl", home=tmp_path)
    kept, of = (int(done.stdout.split()[n]) for n in (0, 2))
    assert f"{of - kept} over the cap of a problem" in done.stderr
    assert of > kept == len((tmp_path / "x.jsonl").read_text().splitlines())


def test_the_rows_of_an_evaluation_are_paired(tmp_path: Path, scored: Path) -> None:
    records = [{"id": name, "status": "ok", "row": of_evaluation(name)} for name in PROBLEMS]
    write_rows(tmp_path / "rows.jsonl", [*records, {"id": "p3", "status": "error", "row": None}])
    done = codefavor(
        "pair", "tests", "rows.jsonl", "--problems", "problems.jsonl", "--no-balance",
        "--out", "pairs.jsonl", home=tmp_path,
    )  # fmt: skip
    assert done.stdout.startswith("8 of 16 pairs kept"), done.stderr


@pytest.mark.parametrize("verb", ["tests", "efficiency", "security"])
@pytest.mark.parametrize("is_evaluation", [False, True], ids=["score", "evaluate"])
def test_runs_of_other_tests_label_nothing(
    tmp_path: Path, scored: Path, is_evaluation: bool, verb: str
) -> None:
    if is_evaluation:
        records = [{"id": "p1", "status": "ok", "row": of_evaluation("p1")}]
        write_rows(scored, records)
    mended = {"p1": {"tests": "assert x\nassert x == 'right'\n"}}
    changed = [{**one.to_row(), **mended.get(one.id, {})} for one in PROBLEMS.values()]
    write_rows(tmp_path / "mended.jsonl", changed)
    words = ["pair", verb, scored, "--problems", "mended.jsonl", "--out", "pairs.jsonl"]
    done = codefavor(*words, home=tmp_path)
    assert done.code == 2 and not (tmp_path / "pairs.jsonl").exists()
    digests = [digest_of_tests(one) for one in (PROBLEMS["p1"].to_row(), changed[0])]
    assert f"scored.jsonl:1: 'p1' was scored by the tests {digests[0]}" in done.stderr
    assert f"those of mended.jsonl are {digests[1]}" in done.stderr
    assert "--problems mended.jsonl" in done.stderr and "--rerun-changed" in done.stderr


def test_rows_that_do_not_say_by_which_tests_label_nothing(tmp_path: Path, scored: Path) -> None:
    write_rows(scored, [{**row, "tests_sha256": None} for row in rows()])
    words = ["pair", "tests", scored, "--problems", "problems.jsonl", "--out", "pairs.jsonl"]
    done = codefavor(*words, home=tmp_path)
    assert done.code == 2 and not (tmp_path / "pairs.jsonl").exists()
    assert "scored.jsonl:1: the row of 'p1' does not say by which tests" in done.stderr


def test_what_score_and_evaluate_write_is_paired_with_the_same_tests_alone(tmp_path: Path) -> None:
    problem = Problem("p", "Add one.", "assert f(1) == 2\n", "f", setup="k = 1\n")
    write_rows(tmp_path / "problems.jsonl", [problem.to_row()])
    # Neither the words of a problem nor its reference decide what a program does in its tests.
    same = {**problem.to_row(), "instruction": "Add 1.", "reference": "f = None\n"}
    write_rows(tmp_path / "same.jsonl", [same])
    for name in ("tests", "setup", "entry_point"):
        other = {**problem.to_row(), name: getattr(problem, name) + " "}
        write_rows(tmp_path / f"{name}.jsonl", [other])
    codes = ["def f(x):\n    return x + k\n", "def f(x):\n    return x - k\n"]
    write_rows(tmp_path / "samples.jsonl", [{"task_id": "p", "solution": one} for one in codes])
    words = ["score", "samples.jsonl", "--problems", "problems.jsonl", "--out", "scored.jsonl"]
    assert codefavor(*words, home=tmp_path).code == 0
    words = ["evaluate", "problems", "--data", "problems.jsonl", "--samples-file", "samples.jsonl",
             "--name", "m", "--out", "results"]  # fmt: skip
    done = codefavor(*words, home=tmp_path)
    assert done.code == 0, done.stderr
    (rows_file,) = (tmp_path / "results" / "rows").glob("*.jsonl")
    for file in ("scored.jsonl", "scored.jsonl.journal", rows_file):
        for problems in ("problems", "same", "tests", "setup", "entry_point"):
            words = ["pair", "tests", str(file), "--problems", f"{problems}.jsonl", "--no-balance"]
            done = codefavor(*words, "--out", "pairs.jsonl", home=tmp_path)
            assert done.code == (0 if problems in ("problems", "same") else 2), done.stderr


def test_pairs_can_ask_what_the_sampled_model_was_asked(tmp_path: Path, scored: Path) -> None:
    done = codefavor(
        "pair", "tests", scored, "--problems", "problems.jsonl", "--as-asked",
        "--out", "pairs.jsonl", home=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    done = codefavor(
        "convert", "pairs.jsonl", "--format", "dpo", "--out", "dpo.jsonl", home=tmp_path
    )
    assert done.code == 0, done.stderr
    # What the trainer reads is, to the letter, what the sampling step sends.
    backend = FakeBackend(function=lambda _: Response("```python\nx\n```", "stop", Usage(1, 1)))
    backend.features = frozenset({"system"})
    step = make_drafts_step(Sampling())
    for problem in PROBLEMS.values():
        asyncio.run(step(problem.to_row(), Context(backend)))
    sent = {one.messages[-1]["content"] for one in backend.requests}
    trained = [row["messages"] for _, row in read_rows(tmp_path / "dpo.jsonl")]
    assert {messages[-1]["content"] for messages in trained} == sent
    assert {messages[0]["content"] for messages in trained} == {""}


def test_a_program_whose_checks_differ_from_run_to_run_is_in_no_pair() -> None:
    scored = rows(without=("right too",))
    base = scored[0]
    held = ([True] * 10 + [False] * 2, [True] * 8 + [False] * 4, [False] * 2 + [True] * 10)
    for number, checks in enumerate(held):
        run = Execution("wrong_output", sum(checks), 12, asserts=tuple(checks)).to_row()
        code = f"x = 'random'\n# {number}\n"
        scored.append({**base, "id": f"random {number}", "code": code, "execution": run})
    choice = Choice("all", may_fail=True)
    found = couples(scored, choice)
    assert found
    assert not any("random" in one for one in found)
    # As often the same number, but of others.
    assert not any("random" in one for one in couples([*scored[:-2], scored[-1]], choice))
    # The same each time counts once.
    scored[-2:] = [{**scored[-3], "id": "again", "code": "x = 'random'\n"}]
    assert any("random" in one for one in couples(scored, choice))
