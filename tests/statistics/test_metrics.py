"""Metrics of stored verdicts, every expected value counted by hand."""

from __future__ import annotations

import pytest

from codefavor.errors import ConfigError, DataError
from codefavor.evaluation.result_text import remarks_on
from codefavor.records import write_rows
from codefavor.statistics.metrics import compare_systems, judged_pairs, score
from codefavor.statistics.subgroups import subgroups


def stored(item_id, first, second=None, *, level="easy", problem=None, p=(None, None)):
    """A stored row: the verdicts with the chosen program as A, and (if given) as B."""
    verdicts = {"chosen_first": {"choice": first, "p_a": p[0]}}
    if second is not None:
        verdicts["rejected_first"] = {"choice": second, "p_a": p[1]}
    row = {"id": item_id, "problem_id": problem or item_id, "level": level, "verdicts": verdicts}
    return {"id": item_id, "status": "ok", "reason": "", "row": row}


def failed(item_id):
    return {"id": item_id, "status": "error", "reason": "too_long", "row": None}


RECORDS = [
    stored("right", "A", "B", p=(0.9, 0.2)),
    stored("biased", "A", "A", p=(0.8, 0.7)),
    stored("wrong", "B", "A", level="hard", p=(0.4, 0.6)),
    stored("tie", "tie", "tie", level="hard", p=(0.5, 0.5)),
    stored("unclear", "A", "undecided", level="hard"),
    failed("failed"),
]


def test_every_number_of_a_small_set_by_hand():
    found = score(RECORDS).overall
    assert (found.n, found.n_judged, found.n_error, found.n_missing) == (6, 5, 1, 0)
    # right 1, biased 1/2, wrong 0, tie 1/2, unclear (1 + 1/2) / 2
    assert found.accuracy == pytest.approx((1 + 0.5 + 0 + 0.5 + 0.75) / 5)
    assert found.accuracy_errors_wrong == pytest.approx(2.75 / 6)
    assert found.strict_accuracy == pytest.approx(1 / 5)
    # decided in both orders: right, biased, wrong, tie; the same program twice: all but biased
    assert found.consistency == pytest.approx(3 / 4)
    # verdicts A: right 1, biased 2, wrong 1, unclear 1; B: right 1, wrong 1; of ten
    assert found.position_bias == pytest.approx((5 - 2) / 10)
    assert found.n_verdicts == 10
    assert found.n_undecided == 1
    assert found.tie_rate == pytest.approx(2 / 10)
    assert found.n_forecasts == 8
    # outcomes: 1 where the chosen program was A
    errors = [0.1, 0.2, 0.2, 0.7, 0.6, 0.6, 0.5, 0.5]
    assert found.brier == pytest.approx(sum(e * e for e in errors) / 8)
    # the two forecasts of 0.5 share a bin and balance; every other one is alone in its own
    assert found.ece == pytest.approx(sum(errors[:6]) / 8)
    assert [one.n for one in found.bins] == [0, 0, 1, 0, 1, 2, 1, 1, 1, 1]
    first = found.to_row()["bins"][0]
    assert (first["n"], first["mean_forecast"], first["mean_outcome"]) == (0, None, None)


def test_the_majority_of_orders_counts_a_tie_as_neither():
    rows = [
        stored("1", "A", "B"),  # right twice
        stored("2", "A", "tie"),  # right once, wrong never
        stored("3", "A", "A"),  # once each
        stored("4", "tie", "tie"),
        stored("5", "B", "tie"),
    ]
    found = score(rows).overall
    assert (found.majority_accuracy, found.strict_accuracy) == (0.4, 0.2)
    assert found.accuracy == pytest.approx((1 + 0.75 + 0.5 + 0.5 + 0.25) / 5)


def test_a_result_of_judgebench_says_what_its_published_rule_gives():
    metrics = score([stored("1", "A", "tie", level="gpt"), stored("2", "A", "A", level="gpt")])
    result = {"benchmark": "judgebench", "metrics": metrics.to_row()}
    said = "as published (right in more orders than wrong): all 50.0, gpt 50.0"
    assert said in remarks_on(result)
    assert said not in remarks_on({**result, "benchmark": "llmbar"})


def test_without_probabilities_nothing_is_said_about_calibration():
    found = score([stored("a", "A", "B"), stored("b", "A", "A")]).overall
    assert (found.n_forecasts, found.ece, found.brier, found.bins) == (0, None, None, [])


def test_nothing_judged_is_no_number():
    row = score([]).overall.to_row()
    numbers = ("accuracy", "accuracy_errors_wrong", "strict_accuracy", "tie_rate")
    assert row["n"] == 0
    assert [row[name] for name in numbers] == [None] * 4


def test_levels_are_reported_apart_in_their_order():
    found = score(RECORDS).by_level
    assert list(found) == ["easy", "hard"]
    assert found["easy"].accuracy == pytest.approx(0.75)
    assert found["hard"].accuracy == pytest.approx((0 + 0.5 + 0.75) / 3)


def test_with_the_items_errors_belong_to_their_level_and_missing_pairs_count():
    items = {r["id"]: {"id": r["id"], "level": "easy"} for r in RECORDS[:2]}
    items |= {r["id"]: {"id": r["id"], "level": "hard"} for r in RECORDS[2:]}
    items["never asked"] = {"id": "never asked", "level": "hard"}
    found = score(RECORDS, items)
    assert (found.overall.n, found.overall.n_missing) == (7, 1)
    hard = found.by_level["hard"]
    assert (hard.n, hard.n_judged, hard.n_error, hard.n_missing) == (5, 3, 1, 1)
    assert hard.accuracy_errors_wrong == pytest.approx(1.25 / 5)


def test_one_order_has_no_consistency_and_no_position_bias():
    found = score([stored("a", "A"), stored("b", "undecided")]).overall
    assert found.accuracy == pytest.approx(0.75)
    assert found.consistency is None
    assert found.position_bias is None


def test_a_set_of_errors_only_has_no_accuracy():
    found = score([failed("x")]).overall
    assert (found.n, found.n_error) == (1, 1)
    assert found.to_row()["accuracy"] is None
    assert found.accuracy_errors_wrong == 0


def test_a_later_record_replaces_an_earlier_one():
    assert judged_pairs([stored("a", "B"), stored("a", "A")])[0].score == 1
    assert judged_pairs([stored("a", "B"), failed("a")]) == []
    retried = score([failed("a"), stored("a", "A", "B")]).overall
    assert (retried.n, retried.n_error) == (1, 0)


def test_plain_rows_score_like_journal_records():
    assert score([r["row"] for r in RECORDS[:5]]).overall == score(RECORDS[:5]).overall


def test_other_groups_than_the_level():
    items = {r["id"]: {"id": r["id"], "kind": r["id"][0]} for r in RECORDS}
    found = score(RECORDS, {key: {**item, "level": item["kind"]} for key, item in items.items()})
    assert {name: metrics.n for name, metrics in found.by_level.items()} == {
        "b": 1, "f": 1, "r": 1, "t": 1, "u": 1, "w": 1,
    }  # fmt: skip


def test_pairs_that_were_not_asked_for_are_not_missing_less_than_none():
    found = score(RECORDS, {"right": {"id": "right", "level": "easy"}}).overall
    assert (found.n_judged, found.n_missing) == (5, 0)


def test_pairs_of_one_problem_are_one_cluster_and_a_tie_is_not_right():
    pairs = [stored("a", "A", problem="p"), stored("b", "tie", problem="p"), stored("c", "B")]
    assert score(pairs).overall.n_clusters == 2
    assert [one.is_right for one in judged_pairs(pairs)] == [True, False, False]


def test_systems_are_compared_within_a_level():
    first = [stored("a", "A"), stored("b", "A", level="hard")]
    second = [stored("a", "B"), stored("b", "A", level="hard")]
    assert compare_systems(first, second, level="easy").interval.mean == 1
    assert compare_systems(first, second).interval.mean == 0.5


def test_rows_without_verdicts_are_refused():
    with pytest.raises(DataError, match="no verdicts"):
        judged_pairs([{"id": "x", "chosen": "a"}])


def test_systems_are_compared_on_the_pairs_both_judged():
    first = [stored("a", "A", "B", problem="p"), stored("b", "A", "B"), stored("c", "A", "B")]
    second = [stored("a", "B", "A", problem="p"), stored("b", "A", "A"), failed("c")]
    gain = compare_systems(first, second)
    assert gain.n == 2
    assert gain.interval.mean == pytest.approx((1 + 0.5) / 2)
    assert (gain.n_only_a, gain.n_only_b) == (2, 0)
    with pytest.raises(DataError, match="both systems"):
        compare_systems(first[2:], second)


def test_second_questions_are_counted():
    asked = stored("a", "A", "B")
    asked["row"]["verdicts"]["chosen_first"]["second"] = {"raw": "A", "is_cut": False}
    assert score([asked, *RECORDS]).overall.n_second_questions == 1


def test_levels_have_the_order_of_their_difficulty_and_others_follow_by_name():
    levels = ["security", "samples", "hard", "efficiency", "medium", "easy"]
    found = score([stored(level, "A", level=level) for level in levels]).by_level
    assert list(found) == ["easy", "medium", "hard", "samples", "efficiency", "security"]


def test_a_field_of_too_many_values_or_of_none_makes_no_groups():
    rows = [stored(str(i), "A") for i in range(51)]
    items = [{"id": str(i), "chosen": "a", "rejected": "b", "author": i} for i in range(51)]
    with pytest.raises(ConfigError, match="51 values are no groups"):
        subgroups(rows, items, ["author"])
    with pytest.raises(ConfigError, match="no pair has this field"):
        subgroups(rows, items, ["reviewer"])
    fifty = [{**item, "author": min(item["author"], 49)} for item in items]
    assert len(subgroups(rows, fifty, ["author"], n_resamples=1)["author"]) == 50
    # All as long as each other: no groups by length.
    assert set(subgroups(rows, fifty, ["author"], n_resamples=1)) == {"author"}


def test_groups_by_length_know_three_cases_and_a_missing_value_is_a_group():
    rows = [stored(name, "A") for name in "abc"]
    lengths = {"a": ("x", "xx"), "b": ("xx", "x"), "c": ("x", "y")}
    items = [{"id": name, "chosen": c, "rejected": r} for name, (c, r) in lengths.items()]
    items[0]["is_stripped"] = True
    found = subgroups(rows, items, n_resamples=1)
    assert set(found["better program is"]) == {"shorter", "longer", "as long"}
    assert set(found["comments removed"]) == {"yes", "none"}


def test_an_attacked_pair_is_in_the_group_of_its_original(tmp_path):
    write_rows(tmp_path / "d.jsonl", [{"id": "a", "author": "x"}, {"id": "b", "author": "y"}])
    sides = {"chosen": "a", "rejected": "b"}
    items = [{"id": f"{name}@rename", "attacked": name, **sides} for name in "ab"]
    rows = [stored(item["id"], "A") for item in items]
    found = subgroups(rows, items, ["author"], data=tmp_path / "d.jsonl", n_resamples=1)
    assert set(found["author"]) == {"x", "y"}
