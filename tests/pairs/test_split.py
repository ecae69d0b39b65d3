import re

import pytest

from codefavor.errors import ConfigError
from codefavor.pairs.split import SPLITS, hold_out, split_of


def test_split_keeps_its_shares_roughly():
    n = 20_000
    counts = dict.fromkeys(SPLITS, 0)
    for i in range(n):
        counts[split_of(f"problem-{i}")] += 1
    for name, share in SPLITS.items():
        # Five standard deviations of a binomial share.
        assert abs(counts[name] / n - share) < 5 * (share * (1 - share) / n) ** 0.5


def test_another_salt_gives_another_split():
    ids = [f"problem-{i}" for i in range(200)]
    assert [split_of(i) for i in ids] != [split_of(i, salt="x") for i in ids]


def test_split_is_stable_across_versions():
    # A changed hash would move held-out problems into training between two releases.
    assert [split_of(f"problem-{i}") for i in range(6)] == EXPECTED


# Worked out with sha256 by a shell: the first 8 bytes of sha256("\0problem-<i>") as a fraction.
EXPECTED = ["train", "test", "test", "train", "test", "train"]


def test_shares_must_sum_to_one():
    with pytest.raises(ConfigError, match="sum to 1"):
        split_of("p", {"train": 0.5, "test": 0.4})


def preference(problem: str, name: str) -> dict[str, str]:
    return {
        "id": name,
        "instruction": "Add.",
        "chosen": "a",
        "rejected": "b",
        "problem_id": problem,
    }


def test_all_rows_of_a_question_are_on_one_side():
    rows = [preference(f"p{number % 50}", f"r{number}") for number in range(200)]
    sides = hold_out([("", row) for row in rows], 0.2)
    questions = {name: {row["problem_id"] for row in sides[name]} for name in sides}
    assert not questions["train"] & questions["dev"]
    assert 3 <= len(questions["dev"]) <= 20
    assert [row for name in sides for row in sides[name]] != [] and sum(
        map(len, sides.values())
    ) == 200


def test_the_labelled_answers_of_one_question_stay_together():
    rows = [
        {"prompt": f"Question {number // 2}", "completion": "x", "label": bool(number % 2)}
        for number in range(80)
    ]
    sides = hold_out([("", row) for row in rows], 0.3)
    assert all(sides.values())
    assert not {row["prompt"] for row in sides["train"]} & {row["prompt"] for row in sides["dev"]}


@pytest.mark.parametrize(
    "row",
    [
        lambda n: {"system": f"Judge {n % 4}.", "input": f"Question {n // 4}", "chosen": "a",
                   "rejected": "b", "language": "Python", "aspect": "x"},
        lambda n: {"prompt": f"Question {n // 4}" + " \n" * (n % 4), "chosen": "a",
                   "rejected": "b"},
        lambda n: {"chosen": [{"role": "system", "content": f"Be {n % 4}."},
                              {"role": "user", "content": f"Question {n // 4}"},
                              {"role": "assistant", "content": "a"}],
                   "rejected": [{"role": "system", "content": f"Be {n % 4}."},
                                {"role": "user", "content": f"Question {n // 4}"},
                                {"role": "assistant", "content": "b"}]},
    ],
    ids=["themis", "blanks", "system"],
)  # fmt: skip
def test_another_system_turn_or_blank_is_no_other_question(row):
    sides = hold_out([("", row(number)) for number in range(200)], 0.3)
    assert all(sides.values())
    questions = {
        name: {re.search(r"Question \d+", str(one))[0] for one in sides[name]} for name in sides
    }
    assert not questions["train"] & questions["dev"]


def test_a_row_that_convert_leaves_out_is_kept_for_its_count():
    bare = {"prompt": "", "chosen": [], "rejected": [{"role": "user", "content": "x"}]}
    assert hold_out([("f:1", bare)], 0.1) == {"train": [bare], "dev": []}


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_that_holds_out_nothing_or_all_is_refused(share: float):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        hold_out([], share)
