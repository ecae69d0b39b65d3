"""What an edit shows: two edits are opposite where one puts back what the other takes away."""

from __future__ import annotations

import random

import pytest

from codefavor.pairs.balance import Cues
from codefavor.pairs.edit_cues import edit_cues
from codefavor.pairs.number_cues import number_accuracies
from codefavor.pairs.opposite_edits import draw_of_opposites, token_judge
from codefavor.records import Preference

CODE = "def f(x, n):\n    return {}"


def cues(right: str, wrong: str, task: str = "Write f.") -> Cues:
    return edit_cues(task, CODE.format(right), CODE.format(wrong))


@pytest.mark.parametrize(
    ("right", "wrong", "other_right", "other_wrong"),
    [
        ("x < n", "x <= n", "n <= x", "n < x"),
        ("x[:n]", "x[:n + 1]", "x[:x + 1]", "x[:x]"),
        ("x.append(n)", "x.split(n)", "n.split(x)", "n.append(x)"),
        # Of a program's own names the way is by the alphabet.
        ("g(n, x)", "g(x, n)", "h(x, n)", "h(n, x)"),
        ("str(x)", "x", "n", "str(n)"),
    ],
)
def test_opposite_edits_of_two_programs(
    right: str, wrong: str, other_right: str, other_wrong: str
) -> None:
    one, other = cues(right, wrong), cues(other_right, other_wrong)
    assert one.signs != (0, 0)
    assert one.mirrored == other


@pytest.mark.parametrize(
    ("right", "wrong", "other_right", "other_wrong"),
    [
        ("x < n", "x <= n", "x < n", "x <= n"),
        # `% 1` is right in no program: who sees what stands beside a number knows that.
        ("x % 2", "x % 1", "x[1]", "x[2]"),
        # Of 10 and 11 the round one is more often right.
        ("x + 10", "x + 11", "x + 21", "x + 20"),
        # What is called of a text, or with two arguments, or in what, tells which method is right.
        ("x.append(n)", "x.split(n)", "''.split(x)", "''.append(x)"),
        ("x.append(n)", "x.split(n)", "n.split(x, 1)", "n.append(x, 1)"),
        ("x.append(n)", "x.split(n)", "[n.split(x)]", "[n.append(x)]"),
    ],
)
def test_what_is_no_opposite(right: str, wrong: str, other_right: str, other_wrong: str) -> None:
    assert cues(right, wrong).mirrored != cues(other_right, other_wrong)


def test_a_number_of_the_task_is_set_against_one_that_is_not() -> None:
    task = "Write f, which adds 3."
    assert cues("x + 3", "x + 4", task).mirrored != cues("x + 4", "x + 3")
    assert cues("x + 3", "x + 4", task).mirrored == cues("x + 4", "x + 3", task)


def pairs(sides: list[tuple[str, str]]) -> list[Preference]:
    return [
        Preference(
            id=f"{n}", instruction="Write f.", chosen=CODE.format(right).replace("x", f"x{n}"),
            rejected=CODE.format(wrong).replace("x", f"x{n}"), criteria="correctness", source="s",
            level="hard", problem_id=f"{n}",
        )
        for n, (right, wrong) in enumerate(sides)
    ]  # fmt: skip


def test_lengths_and_numbers_are_evened_where_the_coin_would_not() -> None:
    sides = [("x < n", "x <= n")] * 60 + [("x <= n", "x < n")] * 60
    sides += [("x + 1", "x + 2")] * 60 + [("x + 2", "x + 1")] * 60
    random.Random(0).shuffle(sides)
    kept = draw_of_opposites(pairs(sides), per_problem=1)
    assert len(kept) == 120
    shorter = sum(len(one.chosen) < len(one.rejected) for one in kept)
    longer = sum(len(one.chosen) > len(one.rejected) for one in kept)
    assert abs(shorter - longer) <= 0.06 * len(kept) + 2
    assert abs(number_accuracies(kept)["smaller numbers"] - 0.5) <= 0.04


def test_a_judge_of_tokens_learns_what_recurs_and_nothing_of_one_problem_alone() -> None:
    assert token_judge(pairs([("x < n", "x <= n")] * 9)) == 1.0
    assert token_judge(pairs([("x < n", "x <= n"), ("g(1)", "h(2)")])) == 0.5
    assert token_judge([]) == 0.5
