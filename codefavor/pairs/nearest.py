"""The most similar of many texts, exactly, without looking at all of them.

Similarity is the share (0 to 100) of two texts that their longest common subsequence covers,
2 * common / (length + length). Two texts cannot have more in common than the characters that
both contain, which is counted for all texts at once; only those that could beat the best of the
likeliest few are really compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import fuzz, process

_GROUPS = 256
_LIKELIEST = 64
# Similarities are 32-bit numbers: 70 may be a little less.
_ROUNDING = 1e-4


class Found(NamedTuple):
    """For one query: the place and similarity of the nearest text, and all places at or above
    the threshold."""

    nearest: int
    similarity: float
    over: list[tuple[int, float]]


class NearestTexts:
    """An index of texts, for many queries.

    Memory: about 520 bytes a text beside the texts themselves.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        lengths = np.asarray([len(text) for text in texts], dtype=np.int64)
        self._order = np.argsort(lengths, kind="stable")
        self._lengths = lengths[self._order]
        self._texts = np.asarray([*texts, ""], dtype=object)[self._order]
        # [group, text]: one group of characters of all texts lies together.
        self._counts = np.zeros((_GROUPS, len(texts)), dtype=np.uint16)
        for place, text in enumerate(self._texts):
            self._counts[:, place] = _histogram(text)

    def find(self, query: str, *, threshold: float = 101.0, floor: float = 0.0) -> Found:
        """The nearest text, and all that are at least `threshold` similar.

        Exact for similarities of at least `floor` (and `threshold`); where even the nearest is
        below, it is the best of those that share most characters. There must be a text.
        """
        first, bounds = self._bounds(query, min(floor, threshold))
        if not len(bounds):
            first, bounds = self._bounds(query, 0.0)
        scores = np.zeros(len(bounds), dtype=np.float32)

        def compare(places: NDArray[np.int64], cutoff: float) -> None:
            texts = self._texts[places + first].tolist()
            scores[places] = process.cdist(
                [query], texts, scorer=fuzz.ratio, score_cutoff=cutoff, dtype=np.float32
            )[0]

        n_likeliest = min(_LIKELIEST, len(bounds))
        likeliest = np.argpartition(-bounds, n_likeliest - 1)[:n_likeliest]
        compare(likeliest, 0.0)
        limit = min(max(float(scores.max()), floor), threshold) - _ROUNDING
        can_matter = bounds >= limit
        can_matter[likeliest] = False
        compare(np.flatnonzero(can_matter), limit)
        best = scores.max()
        over = np.flatnonzero(scores >= threshold - _ROUNDING)
        return Found(
            # Of equally near texts the first one.
            nearest=int(self._order[np.flatnonzero(scores == best) + first].min()),
            similarity=float(best),
            over=sorted((int(self._order[i + first]), float(scores[i])) for i in over),
        )

    def _bounds(self, query: str, floor: float) -> tuple[int, NDArray[np.float32]]:
        """Where the texts of a fitting length begin, and the highest similarity of each."""
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
        return first, (bounds + _ROUNDING).astype(np.float32)


def _histogram(text: str) -> NDArray[np.uint16]:
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return np.bincount(characters % _GROUPS, minlength=_GROUPS).astype(np.uint16)
