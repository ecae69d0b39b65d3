import pytest

from codefavor.pairs.by_execution import pair_by_execution
from codefavor.records import Execution, Problem, Row

PROBLEMS = {name: Problem(name, f"do {name}", "assert f()", "f") for name in ("p1", "p2")}


def program(problem: str, outcome: str, level: str = "samples", code: str = "", **run) -> Row:
    execution = Execution(outcome, **run)
    return {
        "problem_id": problem,
        "code": code or f"{problem} {outcome} {level}",
        "level": level,
        "kind": "k",
        "execution": execution.to_row(),
    }


def test_pairs_never_mix_problems():
    scored = [program("p1", "passed"), program("p2", "wrong_output")]
    assert pair_by_execution(PROBLEMS, scored).pairs == []


def test_a_passing_draft_is_chosen_over_a_failing_one():
    scored = [program("p1", "wrong_output", passed=1, total=3), program("p1", "passed")]
    (pair,) = pair_by_execution(PROBLEMS, scored).pairs
    assert (pair.chosen, pair.rejected) == ("p1 passed samples", "p1 wrong_output samples")
    assert pair.evidence["rejected"]["passed"] == 1
    assert pair.problem_id == "p1"


def test_a_run_that_a_busy_machine_ended_makes_no_pair():
    scored = [program("p1", "passed"), program("p1", "timeout", error="the wall time ran out")]
    result = pair_by_execution(PROBLEMS, scored)
    assert result.pairs == []
    assert result.reasons["not evidence: wall_timeout"] == 1


def test_a_program_that_occurs_again_makes_no_second_pair_and_is_counted():
    scored = [program("p1", "passed"), program("p1", "wrong_output"), program("p1", "passed")]
    result = pair_by_execution(PROBLEMS, scored)
    assert len(result.pairs) == 1
    assert result.reasons == {"samples: the same program again": 1}


def test_the_reference_is_never_set_against_a_draft():
    # Our program against a model's would teach authorship, not correctness.
    scored = [program("p1", "passed", "reference"), program("p1", "wrong_output", "samples")]
    result = pair_by_execution(PROBLEMS, scored)
    assert result.pairs == []
    assert result.reasons["samples: problem without passing"] == 1


def test_a_mutant_that_passes_is_no_rejected_side():
    scored = [
        program("p1", "passed", "reference"),
        program("p1", "passed", "hard"),
        program("p1", "timeout", "hard"),
    ]
    result = pair_by_execution(PROBLEMS, scored)
    assert [pair.rejected for pair in result.pairs] == ["p1 timeout hard"]
    assert result.reasons["hard: passes the tests, so it is not a wrong program"] == 1


def test_a_failing_reference_is_never_chosen():
    scored = [program("p1", "timeout", "reference"), program("p1", "wrong_output", "hard")]
    assert pair_by_execution(PROBLEMS, scored).pairs == []


@pytest.mark.parametrize(
    "run",
    [
        {"outcome": "infra_error"},
        {"outcome": "test_error"},
        {"outcome": "sandbox_violation"},
        {"outcome": "wrong_output", "trust": "together"},
    ],
    ids=lambda run: "-".join(run.values()),
)
def test_what_proves_nothing_is_no_evidence(run):
    scored = [program("p1", "passed", "reference"), program("p1", level="hard", **run)]
    result = pair_by_execution(PROBLEMS, scored)
    assert result.pairs == []
    assert any(reason.startswith("not evidence") for reason in result.reasons)


def test_each_level_is_paired_with_the_reference():
    scored = [program("p1", "passed", "reference")]
    scored += [program("p1", "wrong_output", level) for level in ("easy", "medium", "hard")]
    pairs = pair_by_execution(PROBLEMS, scored).pairs
    assert sorted(pair.level for pair in pairs) == ["easy", "hard", "medium"]
    assert {pair.chosen for pair in pairs} == {"p1 passed reference"}
