"""Curricula: shares by stage, nested draws, replayable order."""

from __future__ import annotations

from collections import Counter

import pytest

from codefavor.errors import ConfigError
from codefavor.records import Preference
from codefavor.training.curriculum import curriculum_of_row, order_by_curriculum

PAIRS = [
    Preference(id=f"{level}{n}", instruction="i", chosen="a", rejected="b", level=level)
    for level, size in (("easy", 10), ("medium", 20), ("hard", 10))
    for n in range(size)
]
# E; E + half M; E + half M + 60 % H; all
SEED_SCHEDULE = {
    "stages": [
        {"easy": 1},
        {"easy": 1, "medium": 0.5},
        {"easy": 1, "medium": 0.5, "hard": 0.6},
        {"easy": 1, "medium": 1, "hard": 1},
    ],
    "seed": 5,
}


def stages_of(row: dict) -> list[list[Preference]]:
    ordered = order_by_curriculum(PAIRS, curriculum_of_row(row))
    sizes = [10, 20, 26, 40]
    cuts = [sum(sizes[:n]) for n in range(5)]
    return [ordered[cuts[n] : cuts[n + 1]] for n in range(4)]


def test_each_stage_draws_its_shares():
    counts = [Counter(pair.level for pair in stage) for stage in stages_of(SEED_SCHEDULE)]
    assert counts == [
        {"easy": 10},
        {"easy": 10, "medium": 10},
        {"easy": 10, "medium": 10, "hard": 6},
        {"easy": 10, "medium": 20, "hard": 10},
    ]


def test_a_larger_share_holds_every_pair_of_a_smaller_one():
    stages = stages_of(SEED_SCHEDULE)
    assert {pair.id for pair in stages[1]} <= {pair.id for pair in stages[2]}


def test_a_whole_number_draws_so_many_or_all_there_are():
    row = {"stages": [{"easy": 3}, {"hard": 500, "medium": 2}]}
    levels = [pair.level for pair in order_by_curriculum(PAIRS, curriculum_of_row(row))]
    assert levels[:3] == ["easy"] * 3
    assert Counter(levels[3:]) == {"hard": 10, "medium": 2}


def test_the_order_is_replayable_and_changes_with_the_seed():
    once = stages_of(SEED_SCHEDULE)
    assert stages_of(SEED_SCHEDULE) == once
    assert stages_of({**SEED_SCHEDULE, "seed": 6}) != once


def test_without_shuffle_the_levels_stand_in_order():
    row = {"stages": [{"easy": 1, "medium": 1, "hard": 1}], "shuffle": False}
    levels = [pair.level for pair in order_by_curriculum(PAIRS, curriculum_of_row(row))]
    assert levels == ["easy"] * 10 + ["medium"] * 20 + ["hard"] * 10


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"stages": []}, "must be a list"),
        ({"stages": [{"easy": 1.5}]}, "neither a share"),
        ({"stages": [{"easy": True}]}, "neither a share"),
        ({"stages": [{"easy": 1}], "order": "x"}, "unknown"),
    ],
)
def test_a_curriculum_that_means_nothing_is_refused(row, message):
    with pytest.raises(ConfigError, match=message):
        curriculum_of_row(row)


def test_an_unknown_level_lists_those_found():
    with pytest.raises(ConfigError, match="found: easy, hard, medium"):
        order_by_curriculum(PAIRS, curriculum_of_row({"stages": [{"samples": 1}]}))
