"""Exactly when a run stops by itself, and what it says."""

from __future__ import annotations

import pytest

from codefavor.engine import RunStopped, StopRule
from codefavor.engine.health import CUT_OFF_VERDICTS, RequestHealth, RowHealth, describe_reasons
from codefavor.errors import BackendError
from codefavor.records import Row


def fail(health: RequestHealth, reason: str, n: int = 1) -> None:
    for _ in range(n):
        health.note_failure(BackendError(reason, reason=reason))


def record(status: str = "ok", reason: str = "") -> Row:
    return {"id": "r", "status": status, "reason": reason, "row": None}


def stopped_at(health: RowHealth, records: list[Row], useless: str = "") -> int | None:
    """The number of the record at which the run stops."""
    for number, one in enumerate(records, 1):
        if health.note(one, useless) or health.without_result():
            return number
    return None


def test_the_first_failure_that_all_will_meet_stops_a_run_without_answers() -> None:
    with pytest.raises(RunStopped, match="no other request would fare better"):
        fail(RequestHealth(), "auth")


def test_with_answers_it_takes_three_in_a_row() -> None:
    health = RequestHealth()
    health.note_success()
    fail(health, "auth", 2)
    health.note_success()
    fail(health, "auth", 2)
    with pytest.raises(RunStopped):
        fail(health, "auth")


def test_a_busy_server_is_no_reason_to_stop_and_other_failures_are_after_forty() -> None:
    health = RequestHealth()
    fail(health, "rate_limited", 100)
    fail(health, "server_error", 39)
    with pytest.raises(RunStopped, match="none of the first 40 requests"):
        fail(health, "server_error")


def test_after_an_answer_failures_are_the_rows_affair() -> None:
    health = RequestHealth()
    health.note_success()
    fail(health, "server_error", 200)


def test_half_of_the_rows_may_go_wrong_and_no_more() -> None:
    half = [record(), record("error", "timeout")] * 60
    assert stopped_at(RowHealth(StopRule()), half) is None
    assert stopped_at(RowHealth(StopRule()), [*half, record("error", "timeout")]) == 121


def test_no_run_is_judged_by_its_first_rows() -> None:
    assert stopped_at(RowHealth(StopRule()), [record("error", "timeout")] * 30) == 20


def test_answers_of_no_use_count_as_errors_and_decisions_do_not() -> None:
    cut, chosen = record("rejected", "truncated_answer:chosen"), record("rejected", "too_alike")
    assert stopped_at(RowHealth(StopRule()), [cut] * 30) == 20
    assert stopped_at(RowHealth(StopRule()), [record(), *[chosen] * 300]) is None


def test_results_that_rest_on_nothing_but_cut_off_replies_count_too() -> None:
    health = RowHealth(StopRule())
    stopped = [health.note(record(), CUT_OFF_VERDICTS) for _ in range(20)]
    assert stopped[:19] == [None] * 19
    assert "20 x undecided:truncated_answer (" in str(stopped[19]) and "--fresh asks" in str(
        stopped[19]
    )
    assert "--retry-errors" not in str(stopped[19])


def test_answers_to_a_benchmark_that_are_cut_off_are_answers() -> None:
    rows = [record(), *[record("ok", "truncated_answer")] * 300]
    assert stopped_at(RowHealth(StopRule()), rows) is None


@pytest.mark.parametrize("useless", ["undecided", ""])
def test_a_hundred_rows_without_a_result_stop_a_run(useless: str) -> None:
    rows = [record()] if useless else [record("rejected", "too_alike")]
    assert stopped_at(RowHealth(StopRule()), rows * 150, useless) == 100
    assert stopped_at(RowHealth(StopRule(max_error_rate=1)), rows * 150, useless) is None


def test_the_commonest_reasons_come_first_with_a_short_example_and_what_helps() -> None:
    counts = {"a": 1, "truncated_answer:x": 9, "b": 4, "c": 3, "d": 1}
    words = describe_reasons(counts, {"b": "y" * 1000})
    assert words.startswith("9 x truncated_answer:x (what helps: raise --max-tokens (a judge of ")
    assert "); 4 x b (for" in words
    assert "y" * 300 in words and "y" * 301 not in words
    assert words.endswith("; 3 x c; 2 others")
    assert "others" not in describe_reasons({"a": 1})
