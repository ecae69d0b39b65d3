"""Copies go, the first stays, and what only looks alike stays too."""

from __future__ import annotations

import random

import numpy as np
import pytest

from codefavor.pairs.dedup import deduplicate, jaccard, near_duplicates
from codefavor.records import Preference


def program(rng: random.Random, n: int = 30) -> str:
    names = "abcdefghij"
    return "".join(
        f"{rng.choice(names)} = {rng.choice(names)} + {rng.randint(0, 999)}\n" for _ in range(n)
    )


def pair(name: str, chosen: str, rejected: str, problem: str = "") -> Preference:
    return Preference(name, f"Task {name}", chosen, rejected, problem_id=problem)


def test_exact_copies_go_whatever_their_comments_and_instruction() -> None:
    rows = [
        pair("a", "x = 1\n", "x = 2\n"),
        pair("b", "x=1  # one\n", "x = 2"),
        pair("c", "x = 2\n", "x = 1\n"),  # the other way round is another pair
    ]
    found = deduplicate(rows)
    assert [row.id for row in found.kept] == ["a", "c"]
    assert found.exact == [("b", "a", 1.0)]


def test_near_copies_go_and_the_first_of_them_stays() -> None:
    rng = random.Random(0)
    rows = [pair(str(i), program(rng), program(rng)) for i in range(200)]
    copies = [
        pair(f"{i}'", rows[i].chosen.replace(" = ", " = 0 + ", 1), rows[i].rejected)
        for i in range(0, 200, 10)
    ]
    mixed = [*rows, *copies]
    found = deduplicate(mixed)
    assert [row.id for row in found.kept] == [row.id for row in rows]
    assert {(row.row_id, row.kept_id) for row in found.near} == {
        (copy.id, copy.id.strip("'")) for copy in copies
    }
    assert all(0.8 <= row.similarity < 1 for row in found.near)
    assert deduplicate(mixed, threshold=None).near == []
    assert deduplicate(mixed) == found


def test_pairs_of_one_problem_share_programs_on_purpose() -> None:
    rng = random.Random(1)
    chosen, rejected = program(rng), program(rng)
    other = rejected.replace("+", "-", 1)
    assert len(deduplicate([pair("a", chosen, rejected), pair("b", chosen, other)]).kept) == 1
    same = [pair("a", chosen, rejected, "p"), pair("b", chosen, other, "p")]
    assert len(deduplicate(same).kept) == 2


def test_jaccard_by_hand() -> None:
    one, two = np.asarray([1, 2, 3], np.uint32), np.asarray([2, 3, 4, 5], np.uint32)
    assert jaccard(one, two) == pytest.approx(2 / 5)
    assert jaccard(one[:0], two[:0]) == 1.0


@pytest.mark.parametrize("share", [0.85, 0.95])
def test_bands_miss_next_to_nothing_above_the_threshold(share: float) -> None:
    rng = np.random.default_rng(0)
    sets, n = [], 200
    for _ in range(n):
        base = rng.choice(1 << 30, size=400, replace=False)
        n_common = round(400 * 2 * share / (1 + share))  # so that common / union is the share
        twin = np.concatenate([base[:n_common], rng.choice(1 << 30, size=400 - n_common)])
        sets += [np.unique(base).astype(np.uint32), np.unique(twin).astype(np.uint32)]
    groups = [str(i) for i in range(2 * n)]
    found = near_duplicates(sets, groups, threshold=share - 0.02)
    assert len(found) >= n - 1
    assert all(later == earlier + 1 for later, (earlier, _) in found.items())
    assert near_duplicates(sets, groups, threshold=share + 0.02) == {}


def test_successive_edits_of_one_function_are_different_pairs() -> None:
    first = program(random.Random(2))
    lines = first.splitlines(keepends=True)
    second = "".join([*lines[:10], "total = total + 1\n", *lines[11:]])
    third = "".join([*second.splitlines(keepends=True)[:20], "rest = limit - 5\n", *lines[21:]])
    edits = [pair("1", second, first), pair("2", third, second), pair("undone", first, second)]
    assert deduplicate(edits).near == []
    again = pair("again", "size = 0\n" + second, "size = 0\n" + first)
    assert [row.row_id for row in deduplicate([*edits, again]).near] == ["again"]
