import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codefavor.errors import DataError
from codefavor.records import (
    Comparison,
    Completion,
    Execution,
    Preference,
    Problem,
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
    with pytest.raises(DataError, match="must be a string, found a list"):
        Preference.from_row({"id": "1", "instruction": "i", "chosen": ["c"], "rejected": "r"})


@pytest.mark.parametrize(
    ("kind", "row", "words"),
    [
        (Preference, {"meta": "x"}, "'meta' of Preference must be an object, found a string"),
        (Preference, {"evidence": []}, "'evidence' of Preference must be an object, found a list"),
        (Execution, {"passed": "1"}, "'passed' of Execution must be an integer, found a string"),
        (Execution, {"asserts": [True, 1]}, r"'asserts\[1\]' of Execution must be true or false"),
        (Verdict, {"choice": "C"}, "'choice' of Verdict is 'C'"),
        (Verdict, {"p_a": "0.5"}, "'p_a' of Verdict must be a number, found a string"),
        (Completion, {"usage": 3}, "'usage' of Completion must be an object, found an integer"),
        (Problem, {"prompt": 7}, "'prompt' of Problem must be a string, found an integer"),
        (Comparison, {"code_a": None}, "Comparison needs the field 'code_a'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_every_field_of_every_row_has_its_type(kind, row, words):
    whole = {
        **{"id": "1", "instruction": "i", "chosen": "c", "rejected": "r", "outcome": "passed"},
        **{"choice": "A", "problem_id": "p", "code": "c", "tests": "", "entry_point": ""},
        **{"code_a": "a", "code_b": "b"},
    }
    assert isinstance(kind.from_row(whole), kind)
    with pytest.raises(DataError, match=f"rows.jsonl:3: {words}"):
        kind.from_row(whole | row, "rows.jsonl:3")


def test_what_json_writes_otherwise_is_read_as_it_was():
    execution = Execution("passed", 2, 2, seconds=3.0, asserts=(True, True))
    written = json.dumps(execution.to_row()).replace("3.0", "3")
    assert Execution.from_row(json.loads(written)) == execution
    # Null is as good as missing, as in rows that others wrote.
    assert Verdict.from_row({"choice": "A", "p_a": None, "raw": None, "other": 1}) == Verdict("A")


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


def test_files_that_are_no_text_or_too_deep_are_errors_with_their_name(tmp_path):
    latin, deep, gz = (tmp_path / name for name in ("latin.jsonl", "deep.jsonl", "x.jsonl.gz"))
    latin.write_bytes('{"a": "\xe9"}\n'.encode("latin-1"))
    deep.write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    gz.write_bytes(b"abcdef")
    for path in (latin, deep, gz):
        with pytest.raises(DataError, match=path.name):
            list(read_rows(path))


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n')
    assert [row for _, row in read_rows(path)] == [{"a": 1}]
