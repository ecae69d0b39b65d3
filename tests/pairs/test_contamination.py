"""Contamination and leaks: what is the same is found, what only looks alike is not."""

from __future__ import annotations

import dataclasses

import pytest

from codefavor.errors import DataError
from codefavor.pairs.contamination import leak_check, prose_of
from codefavor.records import Preference, Problem


def problem(name: str, instruction: str, reference: str = "") -> Problem:
    return Problem(name, instruction, "assert True", "f", reference=reference)


TRAIN = problem(
    "p1",
    "Count the parking meters that ran out before noon and give their sum of minutes.",
    "def ran_out(meters, noon):\n    late = [m for m in meters if m < noon]\n    return sum(late)",
)
OTHER = problem(
    "p2",
    "A knitter swaps two colours in every second row; list the rows she must undo.",
    "def undo(rows):\n    seen = {}\n    for i, row in enumerate(rows):\n"
    "        seen.setdefault(row, i)\n    return sorted(seen.values(), reverse=True)[1:]",
)


def test_different_problems_pass_and_the_nearest_pair_is_told() -> None:
    report = leak_check([TRAIN], [OTHER])
    assert (report.n_train, report.n_held_out) == (1, 1)
    assert report.nearest_instruction is not None
    assert report.nearest_instruction.similarity < 55
    assert "p2 and p1" in report.detail()


def test_an_id_on_both_sides_is_a_leak() -> None:
    moved = dataclasses.replace(OTHER, id="p1")
    with pytest.raises(DataError, match="both sides are p1"):
        leak_check([TRAIN], [moved])


def test_a_reworded_instruction_is_a_leak() -> None:
    reworded = dataclasses.replace(OTHER, instruction=TRAIN.instruction.replace("noon", "midday"))
    with pytest.raises(DataError, match="instruction more than 55"):
        leak_check([TRAIN], [reworded])


def test_a_renamed_program_is_a_leak() -> None:
    renamed = TRAIN.reference.replace("late", "rest").replace("meters", "xs").replace(" m ", " q ")
    with pytest.raises(DataError, match="program more than 90"):
        leak_check([TRAIN], [dataclasses.replace(OTHER, reference=renamed)])


def test_ten_words_in_common_are_a_leak_and_nine_are_not() -> None:
    words = ["the", "ferry", "leaves", "when", "all", "of", "the", "cars", "are", "aboard"]
    head = "Return the number of sailings a harbour master has to write down, given that "
    tail = "For a list of bookings by minute decide in which order lorries go first if "
    train = problem("a", head + " ".join(words))
    near = problem("b", " ".join(words[:9]) + ", " + tail)
    assert leak_check([train], [near], max_instruction=100).n_held_out == 1
    with pytest.raises(DataError, match="share the 10 words 'the ferry leaves"):
        leak_check([train], [problem("b", " ".join(words).upper() + "! " + tail)],
                   max_instruction=100)  # fmt: skip


def test_preferences_count_as_their_problem() -> None:
    pair = Preference("x", TRAIN.instruction, TRAIN.reference, "pass", problem_id="p1")
    with pytest.raises(DataError, match="both sides are p1"):
        leak_check([pair], [dataclasses.replace(pair, id="y", rejected="other")])


def test_empty_sides_do_not_fail() -> None:
    report = leak_check([], [TRAIN])
    assert report.nearest_code is None


def test_a_renamed_program_is_a_leak_in_every_language() -> None:
    code = "function total(prices) { let due = 0; for (const p of prices) due += p; return due; }"
    renamed = code.replace("prices", "xs").replace("due", "acc").replace("total", "f")
    train = dataclasses.replace(TRAIN, reference=code, language="javascript")
    with pytest.raises(DataError, match="program more than 90"):
        leak_check([train], [dataclasses.replace(OTHER, reference=renamed, language="javascript")])


def test_prose_leaves_out_signature_examples_and_asserts() -> None:
    prompt = 'def f(x: int):\n    """ Double the tide.\n    >>> f(2)\n    4\n    """\n'
    humaneval = Problem("h", "Complete this", "assert 1", "f", prompt=prompt)
    assert prose_of(humaneval) == "Double the tide."
    mbpp = problem("m", "Double the tide.\nFor example, this holds: assert f(2) == 4")
    assert prose_of(mbpp) == "Double the tide."
