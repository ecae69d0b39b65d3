"""What is on the surface of code: n-grams, comments, white space; and a linear classifier of it.

Counts are hashed, so nothing has to be learned from a text before it is turned into numbers,
and a fold of a cross-validation cannot see another one through a vocabulary.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codefavor.languages import strip_comments

Floats = NDArray[np.float64]
# Enough for hundreds of thousands of different n-grams; collisions cost a little accuracy.
N_HASHES = 1 << 18
_TOKEN = re.compile(r"\w+|[^\w\s]")
_MULTIPLIER = 0x9E3779B97F4A7C15


def character_ngrams(texts: Sequence[str], longest: int = 4) -> Any:
    """Sparse (texts, `N_HASHES`) counts of 1- to `longest`-grams of UTF-8 bytes, as 1 + log,
    each row of length 1."""
    return _hashed([np.frombuffer(text.encode("utf-8", "replace"), np.uint8) for text in texts],
                   longest)  # fmt: skip


def token_ngrams(texts: Sequence[str], longest: int = 2) -> Any:
    """The same for words and signs, which know no white space."""
    numbers: dict[str, int] = {}
    return _hashed(
        [
            np.asarray(
                [
                    numbers.setdefault(token, zlib.crc32(token.encode("utf-8", "replace")))
                    for token in _TOKEN.findall(text)
                ],
                dtype=np.uint64,
            )
            for text in texts
        ],
        longest,
    )


def _hashed(sequences: Sequence[NDArray[Any]], longest: int) -> Any:
    from scipy import sparse

    columns: list[NDArray[np.int32]] = []
    values: list[Floats] = []
    ends = [0]
    for sequence in sequences:
        symbols = sequence.astype(np.uint64) + np.uint64(1)
        grams: list[NDArray[np.uint64]] = []
        running = np.zeros(0, dtype=np.uint64)
        for n in range(1, longest + 1):
            if len(symbols) < n:
                break
            last = symbols[n - 1 :]
            running = last if n == 1 else running[: len(last)] * np.uint64(_MULTIPLIER) + last
            # The upper bits of a product are the well mixed ones.
            mixed = (running + np.uint64(n)) * np.uint64(_MULTIPLIER)
            grams.append(mixed >> np.uint64(64 - 18))
        found = np.concatenate(grams) if grams else np.zeros(0, dtype=np.uint64)
        which, counts = np.unique(found, return_counts=True)
        weights = 1.0 + np.log(counts)
        norm = float(np.sqrt((weights**2).sum())) or 1.0
        columns.append(which.astype(np.int32))
        values.append(weights / norm)
        ends.append(ends[-1] + len(which))
    return sparse.csr_matrix(
        (np.concatenate(values), np.concatenate(columns), np.asarray(ends)),
        shape=(len(sequences), N_HASHES),
    )


def length_features(code: str) -> list[float]:
    """Logarithms of characters, lines and the mean length of a line."""
    lines = [line for line in code.split("\n") if line.strip()]
    mean = sum(map(len, lines)) / max(1, len(lines))
    return [float(np.log1p(n)) for n in (len(code), len(lines), mean)]


def comment_features(code: str, language: str) -> list[float]:
    """Whether there are comments, whether there are docstrings, and their share of the text.

    Zeros where the code does not parse: that it does not is another cue than its comments.
    """
    without = strip_comments(code, language)
    bare = strip_comments(code, language, docstrings=True)
    if not (without.is_done and bare.is_done):
        return [0.0, 0.0, 0.0]
    size = max(1, len(code))
    return [
        float(without.code != code),
        float(bare.code != without.code),
        (len(code) - len(bare.code)) / size,
    ]


def space_features(code: str) -> list[float]:
    """Indentation, blank lines, trailing blanks, spaces around signs, quotes, the last line."""
    lines = code.split("\n")
    filled = [line for line in lines if line.strip()] or [""]
    indents = [len(line) - len(line.lstrip(" \t")) for line in filled]
    widths = [width for width in indents if width]
    signs = re.findall(r" ?[=+\-*/<>,:] ?", code)
    n = max(1, len(filled))
    return [
        float(min(widths, default=0)),
        sum(line.startswith("\t") for line in filled) / n,
        sum(indents) / n / 8,
        (len(lines) - len(filled)) / max(1, len(lines)),
        sum(line != line.rstrip() for line in filled) / n,
        sum(len(sign) > 1 for sign in signs) / max(1, len(signs)),
        code.count('"') / max(1, code.count('"') + code.count("'")),
        float(code.endswith("\n")),
        float(code.startswith(("\n", " "))),
        float("\r" in code),
        float(not code.isascii()),
    ]


def differences(
    first: Sequence[str], second: Sequence[str], features: Callable[[Sequence[str]], Any]
) -> Any:
    """The features of each first text minus those of each second one."""
    both = features([*first, *second])
    return both[: len(first)] - both[len(first) :]


def fit_direction(x: Any, *, penalty: float = 1e-4, max_steps: int = 25) -> Floats:
    """The weights w that make x @ w positive: logistic regression of pairs, no intercept.

    Each row is "better minus worse"; a model that is odd in its input cannot prefer a side.
    Minimises the mean of log(1 + exp(-x @ w)) + penalty / 2 * |w|^2 by Newton's method, whose
    steps conjugate gradients find without a matrix. A row of zeros counts for nothing.
    """
    n, width = x.shape
    transposed = x.T if isinstance(x, np.ndarray) else x.T.tocsr()
    w: Floats = np.zeros(width)
    margin: Floats = np.zeros(n)
    first = 0.0
    for _ in range(max_steps):
        # The derivative of log(1 + exp(-m)) is -chance; written so that it cannot overflow.
        chance = 0.5 * (1.0 - np.tanh(margin / 2))
        gradient = penalty * w - transposed @ chance / n
        size = float(np.sqrt(gradient @ gradient))
        first = first or size
        if size <= 1e-4 * first:
            break
        step = _newton_step(x, transposed, gradient, chance * (1 - chance) / n, penalty)
        along = x @ step
        now = _loss(margin, w, penalty)
        length = 1.0
        while _loss(margin + length * along, w + length * step, penalty) > now and length > 1e-6:
            length /= 2
        w, margin = w + length * step, margin + length * along
    return w


def _loss(margin: Floats, w: Floats, penalty: float) -> float:
    return float(np.logaddexp(0.0, -margin).mean() + penalty / 2 * (w @ w))


def _newton_step(
    x: Any, transposed: Any, gradient: Floats, curvature: Floats, penalty: float
) -> Floats:
    """About the s for which (x.T @ diag(curvature) @ x + penalty) @ s = -gradient."""
    step: Floats = np.zeros_like(gradient)
    rest = -gradient
    direction = rest
    size = start = float(rest @ rest)
    for _ in range(40):
        pushed = transposed @ (curvature * (x @ direction)) + penalty * direction
        alpha = size / float(direction @ pushed)
        step = step + alpha * direction
        rest = rest - alpha * pushed
        size, before = float(rest @ rest), size
        if size <= 0.01 * start:
            break
        direction = rest + size / before * direction
    return step
