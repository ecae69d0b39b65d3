"""The most similar of many texts, exactly, without looking at all of them.

Similarity is the share (0 to 100) of two texts that their longest common subsequence covers,
2 * common / (length + length). Two texts cannot have more in common than the characters that
both contain, which is counted for all texts at once; only those that could beat the best so far
are really compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from codefavor.errors import MissingPackageError

_GROUPS = 256
_FIRST_LOOK = 64
# Similarities are 32-bit numbers: 70 may be a little less.
_ROUNDING = 1e-4


class Found(NamedTuple):
    """For one query: the place and similarity of the nearest text, and all places at or above
    the threshold. `is_exact` says that no other text is nearer; below the floor one may be."""

    nearest: int
    similarity: float
    is_exact: bool
    over: list[tuple[int, float]]


class NearestTexts:
    """An index of texts, for many queries.

    Memory: about 520 bytes a text beside the texts themselves.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        try:
            from rapidfuzz import fuzz, process
        except ImportError as error:
            raise MissingPackageError("rapidfuzz", "analysis", "similarity search") from error
        self._cdist, self._ratio = process.cdist, fuzz.ratio
        lengths = np.asarray([len(text) for text in texts], dtype=np.int64)
        self._order = np.argsort(lengths, kind="stable")
        self._lengths = lengths[self._order]
        self._texts = [texts[i] for i in self._order]
        # [group, text]: one group of characters of all texts lies together.
        self._counts = np.zeros((_GROUPS, len(texts)), dtype=np.uint16)
        for place, text in enumerate(self._texts):
            self._counts[:, place] = _histogram(text)

    def find(self, query: str, *, threshold: float = 101.0, floor: float = 0.0) -> Found | None:
        """The nearest text, and all that are at least `threshold` similar.

        Exact for similarities of at least `floor` (and `threshold`); where even the nearest is
        below, it is the best of those that share most characters. None without texts.
        """
        if not self._texts:
            return None
        bounds, first = self._bounds(query, min(floor, threshold))
        if not len(bounds):
            bounds, first = self._bounds(query, 0.0)
        best, place, over, looked = -1.0, 0, [], 0
        order = _descending(bounds, _FIRST_LOOK)
        while looked < len(order):
            part = order[looked : looked + max(_FIRST_LOOK, looked)]
            limit = min(max(best, floor), threshold)
            if looked:
                part = part[bounds[part] >= limit]
            if not len(part):
                break
            scores = self._compare(query, part + first)
            top = float(scores.max())
            if top >= best:
                # Of equally near texts the first one, in whatever order they are looked at.
                same = int(self._order[part[scores == top] + first].min())
                best, place = top, same if top > best else min(place, same)
            over += [
                (int(self._order[part[i] + first]), float(scores[i]))
                for i in np.flatnonzero(scores >= threshold - _ROUNDING)
            ]
            looked += len(part)
            if looked == _FIRST_LOOK:
                # Only what can still matter is sorted; the rest is never looked at.
                limit = min(max(best, floor), threshold)
                order = np.concatenate([order, _rest(bounds, order, limit)])
        is_exact = best >= floor - _ROUNDING
        return Found(place, best, is_exact, sorted(over))

    def _compare(self, query: str, places: NDArray[np.int64]) -> NDArray[np.float32]:
        texts = [self._texts[place] for place in places]
        scores = self._cdist([query], texts, scorer=self._ratio, dtype=np.float32)
        return np.asarray(scores[0], dtype=np.float32)

    def _bounds(self, query: str, floor: float) -> tuple[NDArray[np.float32], int]:
        """The highest similarity each text of a fitting length could have, and where they begin."""
        share = max(0.0, min(floor, 100.0)) / 100.0
        low = len(query) * share / (2 - share)
        high = len(query) * (2 - share) / share if share else float("inf")
        first = int(np.searchsorted(self._lengths, np.floor(low), side="left"))
        last = int(np.searchsorted(self._lengths, np.ceil(min(high, 1e18)), side="right"))
        common = np.zeros(last - first, dtype=np.uint16)
        own = _histogram(query)
        for group in np.flatnonzero(own):
            common += np.minimum(self._counts[group, first:last], own[group])
        total = self._lengths[first:last] + len(query)
        # Two empty texts are equal.
        bounds = np.where(total > 0, 200.0 * common / np.maximum(total, 1), 100.0)
        return (bounds + _ROUNDING).astype(np.float32), first


def _histogram(text: str) -> NDArray[np.uint16]:
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return np.bincount(characters % _GROUPS, minlength=_GROUPS).astype(np.uint16)


def _descending(bounds: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """The places of the `n` highest bounds, highest first; of equals the first."""
    if len(bounds) <= n:
        return np.argsort(-bounds, kind="stable")
    top = np.argpartition(-bounds, n - 1)[:n]
    return np.asarray(top[np.lexsort((top, -bounds[top]))], dtype=np.int64)


def _rest(bounds: NDArray[np.float32], taken: NDArray[np.int64], limit: float) -> NDArray[np.int64]:
    can_matter = bounds >= limit
    can_matter[taken] = False
    places = np.flatnonzero(can_matter)
    return np.asarray(places[np.argsort(-bounds[places], kind="stable")], dtype=np.int64)
