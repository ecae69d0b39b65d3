"""Rows that lie in a file are the rows that were given, as often as they are read."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from codefavor.engine.shards import ALL_SHARDS, Shard
from codefavor.engine.stored_rows import StoredRows

# What JSON would not give back: a tuple, half a surrogate pair, a large number.
ODD = {"id": "odd", "history": ({"role": "user"},), "text": "\ud800", "n": 1 << 70}


def rows(n):
    return ({**ODD, "id": f"r{number}"} for number in range(n))


@pytest.mark.parametrize("n", [0, 1, 2_000, 2_001, 5_000])
def test_rows_are_read_again_as_they_were(n):
    stored = StoredRows(rows(n))
    assert len(stored) == stored.n_read == n
    assert list(stored) == list(stored) == list(rows(n))


def test_two_readers_do_not_move_each_other():
    stored = StoredRows(rows(5_000))
    first = iter(stored)
    assert [one["id"] for one in itertools.islice(first, 3_000)][-1] == "r2999"
    assert len(list(stored)) == 5_000
    assert next(first)["id"] == "r3000"


def test_of_a_shard_the_rows_of_others_are_not_kept():
    shard = Shard(1, 3)
    stored = StoredRows(rows(5_000), shard)
    assert [one["id"] for one in stored] == [
        one["id"] for one in rows(5_000) if shard.has(one["id"])
    ]
    assert stored.n_read == 5_000
    assert len(StoredRows(rows(10), ALL_SHARDS)) == 10
    # The runner says which rows have no id.
    assert len(StoredRows([{"text": "x"}], shard)) == 1


# What a process holds of 20,000 rows of 2 kB beyond what it holds of 4,000, in MB.
GROWTH = """
from codefavor.engine.stored_rows import StoredRows

def peak(n):
    made = StoredRows({"id": f"r{k}", "text": f"{k} " + "x" * 2000} for k in range(n))
    assert sum(1 for _ in made) == n
    # Not `ru_maxrss`, in which a process begins with the peak of its parent.
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024

first = peak(4_000)
print(peak(20_000) - first)
"""


def test_memory_does_not_grow_with_the_rows():
    done = subprocess.run(
        [sys.executable, "-c", GROWTH],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert float(done.stdout) < 8
