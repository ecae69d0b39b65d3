"""A part that is held out: what of it stands in training is found, what only looks alike is not."""

from __future__ import annotations

import dataclasses

import pytest

from codefavor.audits.contamination_report import check_split, split_detail
from codefavor.errors import DataError
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
    found = check_split([TRAIN], [OTHER])
    assert split_detail(found).startswith("1 held-out problems against 1 training rows")
    near = dataclasses.replace(OTHER, instruction=f"{OTHER.instruction} Count the parking meters.")
    detail = split_detail(check_split([TRAIN], [near]))
    assert "of 100" in detail
    assert "(p2 and p1; 50 is a leak)" in detail


def test_an_id_on_both_sides_is_a_leak() -> None:
    moved = dataclasses.replace(OTHER, id="p1")
    with pytest.raises(DataError, match="both sides are p1"):
        check_split([TRAIN], [moved])


def test_a_reworded_instruction_is_a_leak() -> None:
    reworded = dataclasses.replace(OTHER, instruction=TRAIN.instruction.replace("noon", "midday"))
    with pytest.raises(DataError, match=r"p2 in p1 \((runs|pairs)\)"):
        check_split([TRAIN], [reworded])


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_a_renamed_program_is_a_leak_in_every_language(language: str) -> None:
    code, new = {
        "python": (
            "def ran_out(meters, noon):\n    late = {}\n    for place, m in enumerate(meters):\n"
            "        if m < noon and place % 7:\n            late[place] = noon - m\n"
            "    return sorted(late.items(), reverse=True)[:5]\n",
            {"ran_out": "f", "late": "rest", "meters": "xs", "place": "i", "noon": "end"},
        ),
        "javascript": (
            "function total(prices) {\n  let due = 0;\n  for (const p of prices) {\n"
            "    due += p * 3;\n  }\n  return due > 90 ? due / 2 : due;\n}\n",
            {"prices": "xs", "due": "acc", "total": "f"},
        ),
    }[language]  # fmt: skip
    renamed = code
    for old, other in new.items():
        renamed = renamed.replace(old, other)
    train = dataclasses.replace(TRAIN, reference=code, language=language)
    with pytest.raises(DataError, match=r"p2 in p1 \(shape\)"):
        check_split([train], [dataclasses.replace(OTHER, reference=renamed, language=language)])


def test_a_program_inside_a_larger_one_and_a_task_in_another_turn_are_leaks() -> None:
    around = OTHER.reference + "\n\n" + TRAIN.reference + "\n\n" + OTHER.reference.upper()
    pair = Preference("x", "Improve it.", around, "pass", problem_id="other")
    with pytest.raises(DataError, match="p1 in x"):
        check_split([pair], [TRAIN])
    told = dataclasses.replace(
        pair, chosen="pass", history=({"role": "user", "content": TRAIN.instruction},)
    )
    with pytest.raises(DataError, match="p1 in x"):
        check_split([told], [TRAIN])


def test_what_all_training_problems_say_is_no_leak() -> None:
    frame = (
        "You are a careful engineer. Write one Python function with type hints, without any "
        "import, and return nothing but its code in a block. "
    )
    train = [problem(f"t{n}", frame + f"Add {n} knots to the rope.") for n in range(40)]
    assert check_split(train, [problem("h", frame + OTHER.instruction)]).removed == set()


def test_preferences_count_as_their_problem() -> None:
    pair = Preference("x", TRAIN.instruction, TRAIN.reference, "pass", problem_id="p1")
    with pytest.raises(DataError, match="both sides are p1"):
        check_split([pair], [dataclasses.replace(pair, id="y", rejected="other")])


def test_empty_sides_do_not_fail() -> None:
    assert check_split([], [TRAIN]).n_rows == 0
    assert check_split([TRAIN], []).removed == set()
