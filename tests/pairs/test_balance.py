import random

from codefavor.pairs.balance import balance_by_length, length_sign, shorter_accuracy
from codefavor.records import Preference


def pair(problem: str, n_chosen: int, n_rejected: int, level: str = "hard") -> Preference:
    name = f"{problem}-{n_chosen}-{n_rejected}"
    return Preference(name, "i", "c" * n_chosen, "r" * n_rejected, problem_id=problem, level=level)


def test_shorter_accuracy_counts_ties_as_half():
    pairs = [pair("p", 1, 2), pair("q", 2, 1), pair("r", 1, 1), pair("s", 1, 5)]
    # right, wrong, half, right
    assert shorter_accuracy(pairs) == (1 + 0 + 0.5 + 1) / 4


def test_lengths_are_balanced_although_most_candidates_are_shorter():
    rng = random.Random(3)
    pairs = []
    for problem in range(60):
        for _ in range(6):
            # Five of six rejected programs are shorter, as with lost statements.
            longer = rng.random() < 1 / 6
            pairs.append(pair(f"p{problem}", 50, 50 + (7 if longer else -rng.randint(1, 20))))
    assert shorter_accuracy(pairs) < 0.3
    kept = balance_by_length(pairs, per_problem=1, group_of=lambda p: p.level)
    assert abs(sum(map(length_sign, kept))) <= 1
    assert len({p.problem_id for p in kept}) == len(kept) >= 50


def test_each_group_is_balanced_by_itself():
    pairs = [pair(f"a{i}", 10, 20, "easy") for i in range(20)]
    pairs += [pair(f"b{i}", 20, 10, "hard") for i in range(20)]
    kept = balance_by_length(pairs, per_problem=1, group_of=lambda p: p.level)
    # Nothing in either group can balance it; a surplus of one is all that may stay.
    assert len(kept) == 2


def test_the_choice_does_not_depend_on_the_order_of_the_rows():
    rng = random.Random(0)
    pairs = [
        pair(f"p{i % 9}", 30, 30 + rng.randint(-5, 5), rng.choice(["easy", "hard"]))
        for i in range(200)
    ]
    shuffled = pairs[:]
    rng.shuffle(shuffled)
    first = balance_by_length(pairs, per_problem=2, group_of=lambda p: p.level, seed=4)
    second = balance_by_length(shuffled, per_problem=2, group_of=lambda p: p.level, seed=4)
    assert first == second


def test_no_problem_gives_more_than_its_share():
    pairs = [pair("p", 10, 10 + d) for d in range(-9, 10)]
    kept = balance_by_length(pairs, per_problem=3, group_of=lambda p: p.level)
    assert len(kept) == 3
