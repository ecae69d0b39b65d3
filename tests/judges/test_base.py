"""What all judges share: verdicts of scores, both orders, each program scored once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from codefavor.errors import BackendError
from codefavor.judges import base
from codefavor.judges.base import (
    Answer,
    Text,
    TextJudge,
    bind,
    in_both_orders,
    merge_orders,
    raise_errors,
    verdict_by_scores,
)
from codefavor.records import Comparison, Verdict

NAN, INFINITE = float("nan"), float("inf")


class ByLength(TextJudge[int]):
    """The longer program wins; a program without text cannot be scored."""

    def __init__(self) -> None:
        super().__init__()
        self.scored: list[str] = []

    def score(self, texts: Sequence[Text]) -> list[int | BackendError]:
        self.scored += [text.code for text in texts]
        return [
            len(text.code) if text.code else BackendError("no text", reason="no_code")
            for text in texts
        ]

    def verdict(self, score_a: int, score_b: int) -> Answer:
        return verdict_by_scores(score_a, score_b)


@pytest.mark.parametrize("scores", [(NAN, 1.0), (1.0, NAN), (INFINITE, 0.0), (INFINITE, INFINITE)])
def test_scores_that_are_not_finite_are_an_error_and_no_verdict(scores):
    answer = verdict_by_scores(*scores)
    assert isinstance(answer, BackendError)
    assert answer.reason == "not_finite"
    with pytest.raises(BackendError):
        raise_errors(answer)


@pytest.mark.parametrize(("margin", "choice", "p_a"), [(1e9, "A", 1), (-1e9, "B", 0)])
def test_a_huge_difference_is_a_probability_all_the_same(margin, choice, p_a):
    verdict = raise_errors(verdict_by_scores(margin, 0.0))
    assert verdict.choice == choice
    assert verdict.p_a == pytest.approx(p_a)


def test_equal_scores_tie():
    assert verdict_by_scores(2.5, 2.5, raw="x") == Verdict("tie", 0.5, "x")


def test_one_order_without_a_probability_leaves_none():
    for first, second in ((0.9, None), (None, 0.9), (None, None)):
        assert merge_orders(Verdict("A", first), Verdict("A", second)).p_a is None


def test_undecided_in_either_order_is_undecided():
    for first, second in (("A", "undecided"), ("undecided", "A"), ("undecided", "undecided")):
        assert merge_orders(Verdict(first), Verdict(second)).choice == "undecided"


def test_replies_of_both_orders_are_kept_and_silent_ones_leave_no_gap():
    assert merge_orders(Verdict("A", raw="one"), Verdict("A", raw="two")).raw == "one\n\ntwo"
    assert merge_orders(Verdict("A"), Verdict("A", raw="two")).raw == "two"
    whole, cut = {"raw": "A", "is_cut": False}, {"raw": "B", "is_cut": True}
    merged = merge_orders(Verdict("A", second=whole), Verdict("A", second=cut))
    assert merged.second == {"raw": "A\n\nB", "is_cut": True}
    assert merge_orders(Verdict("A"), Verdict("A")).second is None


def test_a_judge_in_both_orders_asks_through_the_context_of_its_row():
    class Asks:
        name = "asks"

        def __init__(self, context: object = None) -> None:
            self.context = context

        def with_context(self, context: object) -> Asks:
            return Asks(context)

    bound = bind(in_both_orders(Asks()), "the row's")
    assert bound.judge.context == "the row's"


async def test_each_program_is_scored_once_and_the_error_of_either_side_is_raised():
    judge = ByLength()
    first, second = Comparison("i", "aa", "b"), Comparison("i", "b", "aa")
    assert [one.choice for one in await judge.compare([first, second])] == ["A", "B"]
    await judge.compare([first])
    assert judge.scored == ["aa", "b"]
    for a, b in (("x", ""), ("", "x")):
        with pytest.raises(BackendError, match="no text"):
            await judge.compare([Comparison("i", a, b)])


async def test_no_more_programs_are_remembered_than_memory_is_for(monkeypatch):
    monkeypatch.setattr(base, "_MEMO_SIZE", 3)
    judge = ByLength()
    await judge.compare([Comparison("i", "a" * n, "b" * n) for n in range(1, 4)])
    assert len(judge._memo) == 3
    await judge.compare([Comparison("i", "a", "bbb")])
    # The last ones stay; the first one was forgotten, and is scored again.
    assert judge.scored.count("a") == 2
    assert judge.scored.count("bbb") == 1
