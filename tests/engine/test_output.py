"""The result file: sorted by id whatever its size, and never a folder's place."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from codefavor.engine.output import journal_of, sorted_outside
from codefavor.errors import ConfigError


@pytest.mark.parametrize("n", [0, 1, 6, 7, 8, 14, 50])
def test_sorting_outside_gives_what_sorting_gives(n: int, tmp_path: Path) -> None:
    rng = random.Random(n)
    items = [(f"{rng.randrange(40)}é\ud800", i) for i in range(n)]
    assert list(sorted_outside(iter(items), tmp_path, n_in_memory=7)) == sorted(items)
    assert list(tmp_path.iterdir()) == []


def test_sorting_many_needs_the_memory_of_few(tmp_path: Path) -> None:
    def most_bytes(n: int) -> int:
        items = ((f"{i * 7919 % n:064d}", i) for i in range(n))
        tracemalloc.start()
        assert sum(1 for _ in sorted_outside(items, tmp_path, n_in_memory=1000)) == n
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert most_bytes(40_000) < 2 * most_bytes(4_000)


def test_a_folder_is_refused_before_anything_is_paid_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        journal_of(tmp_path)
