"""Pairs that say the same twice: exact copies and near ones.

Source: MinHash (Broder 1997) with bands (Leskovec et al., "Mining of Massive Datasets", 3.4):
each text keeps the smallest of its shingles' hashes under many hash functions; two texts that
agree on all of one band become candidates, and candidates are compared shingle by shingle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codefavor.pairs.code_tokens import token_string
from codefavor.records import Preference

Shingles = NDArray[np.uint32]

SHINGLE = 5
# 20 bands of 5: two texts with 80 % of their shingles in common meet with probability 0.9996,
# with 50 % in common 0.47; below the threshold a meeting only costs a comparison.
BANDS, ROWS = 20, 5
# The share of an edit that two pairs have in common if they are one.
SAME_EDIT = 0.5
_PRIME = np.uint64((1 << 61) - 1)
_MOST_IN_BUCKET = 64


class Duplicate(NamedTuple):
    """A row that goes, the earlier row that stays, and the share of shingles in common."""

    row_id: str
    kept_id: str
    similarity: float


class Deduplicated(NamedTuple):
    """The pairs that stay, in their order, and those that go, by kind."""

    kept: list[Preference]
    exact: list[Duplicate]
    near: list[Duplicate]


def deduplicate(
    pairs: Sequence[Preference], *, threshold: float | None = 0.8, seed: int = 0
) -> Deduplicated:
    """Each pair once: the first of those with the same two programs, or nearly the same.

    Exact: both programs have the same tokens, whatever the instruction. Near: at least
    `threshold` (0 to 1, None for exact copies only) of the shingles of both programs together
    are the same, and half of those that only one of the two programs has: another edit of the
    same function is another pair. Pairs of one problem, which share a program on purpose, are
    not near each other. The same for the same pairs and seed.
    """
    keys = [
        (token_string(p.chosen, p.language), token_string(p.rejected, p.language)) for p in pairs
    ]
    first: dict[tuple[str, str], int] = {}
    exact: list[Duplicate] = []
    left: list[int] = []
    for place, key in enumerate(keys):
        earlier = first.setdefault(key, place)
        if earlier == place:
            left.append(place)
        else:
            exact.append(Duplicate(pairs[place].id, pairs[earlier].id, 1.0))
    if threshold is None:
        return Deduplicated([pairs[place] for place in left], exact, [])
    shingles = [_shingles(*keys[place]) for place in left]
    groups = [pairs[place].problem_id or pairs[place].id for place in left]
    edits = [_edit(*keys[place]) for place in left]
    twins = near_duplicates(shingles, groups, threshold=threshold, seed=seed, edits=edits)
    near = [
        Duplicate(pairs[left[later]].id, pairs[left[earlier]].id, share)
        for later, (earlier, share) in twins.items()
    ]
    kept = [pairs[place] for number, place in enumerate(left) if number not in twins]
    return Deduplicated(kept, exact, near)


def near_duplicates(
    shingles: Sequence[Shingles],
    groups: Sequence[str],
    *,
    threshold: float,
    seed: int = 0,
    edits: Sequence[Shingles] | None = None,
) -> dict[int, tuple[int, float]]:
    """For each text that goes, the earlier one that stays and their Jaccard similarity.

    `shingles` are sorted distinct hashes; texts of one group are never duplicates of each other,
    nor are those whose `edits` have less than `SAME_EDIT` in common.
    """
    rng = np.random.default_rng(seed)
    n_hashes = BANDS * ROWS
    multipliers = rng.integers(1, 1 << 32, size=n_hashes, dtype=np.uint64)
    offsets = rng.integers(0, 1 << 61, size=n_hashes, dtype=np.uint64)
    buckets: list[dict[bytes, list[int]]] = [{} for _ in range(BANDS)]
    found: dict[int, tuple[int, float]] = {}
    for number, own in enumerate(shingles):
        if not len(own):
            continue
        bands = _signature(own, multipliers, offsets).reshape(BANDS, ROWS)
        names = [band.tobytes() for band in bands]
        seen: set[int] = set()
        for band, name in enumerate(names):
            seen.update(buckets[band].get(name, ()))
        best = (-1, 0.0)
        for other in sorted(seen):
            if groups[other] != groups[number]:
                share = jaccard(own, shingles[other])
                is_same = edits is None or jaccard(edits[number], edits[other]) >= SAME_EDIT
                if share >= threshold and share > best[1] and is_same:
                    best = (other, share)
        if best[0] >= 0:
            found[number] = best
            continue
        for band, name in enumerate(names):
            bucket = buckets[band].setdefault(name, [])
            # Boilerplate that thousands share would make every comparison a scan.
            if len(bucket) < _MOST_IN_BUCKET:
                bucket.append(number)
    return found


def jaccard(one: Shingles, two: Shingles) -> float:
    """Common shingles divided by all shingles of two sorted sets; 1 for two empty ones."""
    common = len(np.intersect1d(one, two, assume_unique=True))
    total = len(one) + len(two) - common
    return common / total if total else 1.0


def _signature(
    own: Shingles, multipliers: NDArray[np.uint64], offsets: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    # Products wrap around at 2**64, which mixes as well as the prime does afterwards.
    hashed = (multipliers[:, None] * own.astype(np.uint64)[None, :] + offsets[:, None]) % _PRIME
    return np.asarray(hashed.min(axis=1), dtype=np.uint64)


def _shingles(chosen: str, rejected: str) -> Shingles:
    """The distinct runs of `SHINGLE` tokens of each program; which side they are on counts."""
    parts = [_runs(chosen, 1), _runs(rejected, 2)]
    return np.unique(np.concatenate(parts))


def _edit(chosen: str, rejected: str) -> Shingles:
    """The shingles that only one of the two programs has, and which has them."""
    one, two = (np.unique(_runs(code, 0)) for code in (chosen, rejected))
    added = np.setdiff1d(one, two, assume_unique=True)
    gone = np.setdiff1d(two, one, assume_unique=True)
    # The sides apart: undoing an edit is another one.
    return np.unique(np.concatenate([added, ~gone]))


def _runs(tokens: str, side: int) -> Shingles:
    symbols = np.frombuffer(tokens.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    n = max(1, len(symbols) - SHINGLE + 1)
    padded = np.concatenate([symbols, np.zeros(SHINGLE, dtype=np.uint32)]).astype(np.uint64)
    value = np.full(n, side, dtype=np.uint64)
    for offset in range(SHINGLE):
        value = value * np.uint64(0x9E3779B97F4A7C15) + padded[offset : offset + n]
        value ^= value >> np.uint64(29)
    return (value >> np.uint64(32)).astype(np.uint32)
