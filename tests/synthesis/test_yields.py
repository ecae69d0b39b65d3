"""The table accounts for every row: nothing leaves the denominator."""

from __future__ import annotations

from codefavor.records import Row
from codefavor.synthesis.yields import STAGES, count_yield, stage_of


def record(status: str, reason: str = "", row: Row | None = None) -> Row:
    return {"id": "x", "status": status, "reason": reason, "row": row}


def pair(aspect: str, **evidence: Row) -> Row:
    return record("ok", row={"evidence": {"static": {}, **evidence}, "meta": {"aspect": aspect}})


RUN = {"outcome": "wrong_output"}
RECORDS = [
    pair("correctness", chosen={"outcome": "passed"}, rejected=RUN, tests={"origin": "problem"}),
    pair("other"),
    record("ok", row={"kind": "good_enough"}),
    record("rejected", "gate_no", {}),
    record("rejected", "gate_no", {}),
    record("rejected", "missing_section:feedback", None),
    record("rejected", "own_reason", None),
    record("error", "timeout"),
]


def test_every_record_is_counted_once() -> None:
    total = count_yield(RECORDS)
    assert (total.n_pairs, total.n_good_enough, total.n_rejected, total.n_error) == (2, 1, 4, 1)
    assert total.n == len(RECORDS) == 8


def test_the_table_shows_stage_reason_number_and_share() -> None:
    lines = [" ".join(line.split()) for line in count_yield(RECORDS).table().splitlines()]
    assert lines == [
        "rows that ended 8 100.0%",
        "pairs 2 25.0%",
        "good enough 1 12.5%",
        "rejected 4 50.0%",
        "at gate 2 25.0%",
        "gate_no 2 25.0%",
        "at read 1 12.5%",
        "missing_section:feedback 1 12.5%",
        "at another stage 1 12.5%",
        "own_reason 1 12.5%",
        "errors 1 12.5%",
        "timeout 1 12.5%",
        "pairs backed: separated: tests (problem) 1 12.5%",
        "pairs backed: none 1 12.5%",
        "pairs about correctness 1 12.5%",
        "pairs about other 1 12.5%",
    ]


def test_no_rows_are_a_table_too() -> None:
    assert "rows that ended" in count_yield([]).table()


def test_every_reason_belongs_to_one_stage() -> None:
    names = [name for names in STAGES.values() for name in names]
    assert len(names) == len(set(names))
    assert stage_of("judge_says:tie") == "evidence"
    assert stage_of("something_new") == ""
