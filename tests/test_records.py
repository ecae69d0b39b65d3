import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codefavor.errors import DataError
from codefavor.records import (
    Comparison,
    Execution,
    Preference,
    Verdict,
    content_id,
    read_records,
    read_rows,
    write_rows,
)

TEXTS = st.text()


@given(TEXTS, TEXTS, TEXTS)
def test_a_record_survives_its_row(instruction, chosen, rejected):
    preference = Preference("1", instruction, chosen, rejected, evidence={"a": [1, None]})
    row = json.loads(json.dumps(preference.to_row()))
    assert Preference.from_row(row) == preference


def test_a_missing_field_is_named_with_its_place():
    with pytest.raises(DataError, match=r"pairs.jsonl:3.*'rejected'"):
        Preference.from_row({"id": "1", "instruction": "i", "chosen": "c"}, "pairs.jsonl:3")


def test_a_field_of_another_type_is_refused():
    with pytest.raises(DataError, match="must be a string, found list"):
        Preference.from_row({"id": "1", "instruction": "i", "chosen": ["c"], "rejected": "r"})


def test_ids_depend_on_content_and_not_on_the_order_of_keys():
    assert content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})
    assert content_id("ab", "c") != content_id("a", "bc")


def test_swapping_twice_is_nothing():
    comparison = Comparison("i", "x", "y", id="1")
    assert comparison.swap() == Comparison("i", "y", "x", id="1")
    assert comparison.swap().swap() == comparison
    verdict = Verdict("A", 0.75)
    assert verdict.swap() == Verdict("B", 0.25)
    assert Verdict("tie").swap() == Verdict("tie")


def test_only_the_outcome_passed_is_a_pass():
    assert Execution("passed").is_evidence_of_pass
    assert not Execution("timeout", passed=3, total=3).is_evidence_of_pass


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, [{"id": 1}])

    def broken():
        yield {"id": 2}
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        write_rows(path, broken())
    assert [row for _, row in read_rows(path)] == [{"id": 1}]
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "no rows"), ("[1]\n", "found list"), ('{"id"\n', "not valid JSON")],
    ids=["empty", "no-object", "broken"],
)
def test_a_bad_file_is_refused(tmp_path, content, message):
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(path))


def test_unpaired_surrogates_do_not_stop_a_run(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": "1", "instruction": "\\ud800", "chosen": "c", "rejected": "r"}\n')
    (preference,) = read_records(path, Preference)
    write_rows(path, [preference.to_row()])
    assert read_records(path, Preference) == [preference]


def test_only_the_split_lane_or_what_was_accepted_is_evidence() -> None:
    forgeable = Execution("passed", passed=1, total=1, trust="together")
    assert not forgeable.is_evidence_of_pass
    assert forgeable.no_evidence == "together"
    assert replace(forgeable, accepted="together").is_evidence_of_pass
    assert Execution("unsupported").no_evidence == "unsupported"
    assert Execution("wrong_output", passed=1, total=4).share_of_checks == 0.25
    assert Execution("wrong_output", passed=1, total=4, trust="together").share_of_checks == 0.0
