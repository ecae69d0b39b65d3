"""Length and style control, and the gain over the best trivial baseline."""

from __future__ import annotations

import math

import pytest

from codefavor.benchmarks.comments import apply_comment_rule
from codefavor.evaluation.controls import controlled_accuracy, gain_over_best, trivial_records


def items(lengths):
    """Pairs with programs of the given (chosen, rejected) lengths."""
    return [
        {
            "id": str(i), "problem_id": str(i), "instruction": "", "criteria": "", "level": "",
            "chosen": "x" * chosen, "rejected": "y" * rejected,
        }
        for i, (chosen, rejected) in enumerate(lengths)
    ]  # fmt: skip


def judged(flags):
    """Stored rows of a judge that is right where the flag is true."""
    return [
        {
            "id": str(i), "problem_id": str(i), "level": "",
            "verdicts": {"chosen_first": {"choice": "A" if flag else "B"}},
        }
        for i, flag in enumerate(flags)
    ]  # fmt: skip


LENGTHS = [(5, 9)] * 6 + [(9, 5)] * 2 + [(7, 7)] * 4


def test_whoever_follows_the_cue_has_50_percent_after_control():
    trivial = trivial_records(items(LENGTHS))
    found = controlled_accuracy(trivial["shorter"], trivial["shorter"], "shorter")
    assert (found.n_right, found.n_wrong) == (6, 2)
    assert (found.accuracy_cue_right, found.accuracy_cue_wrong) == (1, 0)
    assert found.accuracy == pytest.approx(0.5)


def test_controlled_accuracy_is_the_mean_of_both_strata_by_hand():
    trivial = trivial_records(items(LENGTHS))
    # Right on 3 of the 6 where shorter is right, on 2 of the 2 where it is wrong.
    flags = [True] * 3 + [False] * 3 + [True] * 2 + [False] * 4
    found = controlled_accuracy(judged(flags), trivial["shorter"], "shorter")
    assert found.accuracy == pytest.approx((3 / 6 + 2 / 2) / 2)


def test_control_without_one_of_the_strata_has_no_number():
    trivial = trivial_records(items([(1, 2)] * 3))
    found = controlled_accuracy(judged([True] * 3), trivial["shorter"], "shorter")
    assert math.isnan(found.accuracy)
    assert found.to_row()["accuracy"] is None


def test_the_gain_is_over_the_baseline_that_is_best_on_these_pairs():
    trivial = trivial_records(items(LENGTHS))
    name, gain = gain_over_best(judged([True] * 12), trivial)
    assert name == "shorter"
    # shorter: 6 right, 2 wrong, 4 ties.
    assert gain.interval.mean == pytest.approx(1 - (6 + 2) / 12)


CODE = 'def f(x):\n    """Doc."""\n    # note\n    return "#" + x  # end\n'


def test_comments_and_docstrings_go_from_both_sides():
    first, second, is_stripped = apply_comment_rule(
        CODE, "class A:\n    'only a docstring'\n", "strip"
    )
    assert is_stripped
    assert first == "def f(x):\n    return '#' + x"
    assert second == "class A:\n    pass"


def test_comments_stay_on_both_sides_where_one_cannot_be_parsed():
    broken = "print 'python 2'  # note"
    assert apply_comment_rule(CODE, broken, "strip") == (CODE, broken, False)
    assert apply_comment_rule(broken, CODE, "strip") == (broken, CODE, False)
    assert apply_comment_rule(CODE, CODE, "keep") == (CODE, CODE, False)


def test_other_languages_lose_their_comments():
    first, _, _ = apply_comment_rule("int x; // note\n", "int y;\n", "strip", "java")
    assert "note" not in first
