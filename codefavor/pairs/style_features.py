"""Style of code as numbers: n-grams, comments, white space; and the one linear classifier of it.

Counts are hashed, so nothing has to be learned from a text before it is turned into numbers,
and a fold of a cross-validation cannot see another one through a vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codefavor.errors import MissingPackageError
from codefavor.languages import strip_comments

Floats = NDArray[np.float64]
# Enough for hundreds of thousands of different n-grams; collisions cost a little accuracy.
N_HASHES = 1 << 18


def character_ngrams(texts: Sequence[str], longest: int = 4) -> Any:
    """Sparse (texts, `N_HASHES`) counts of 1- to `longest`-grams of characters, as 1 + log,
    each row of length 1."""
    return _hashed(texts, analyzer="char", ngram_range=(1, longest))


def token_ngrams(texts: Sequence[str], longest: int = 2) -> Any:
    """The same for words and signs, which know no white space."""
    return _hashed(texts, token_pattern=r"\w+|[^\w\s]", ngram_range=(1, longest))


def _hashed(texts: Sequence[str], **options: Any) -> Any:
    require_scikit_learn()
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    vectorizer = HashingVectorizer(
        n_features=N_HASHES, alternate_sign=False, norm=None, lowercase=False, **options
    )
    # Half of a surrogate pair, which models do write, has no UTF-8 to be hashed.
    found = vectorizer.transform([text.encode("utf-8", "replace") for text in texts])
    found.data = 1.0 + np.log(found.data)
    return normalize(found)


def require_scikit_learn() -> None:
    """Raise MissingPackageError where it is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("scikit-learn", "analysis", "classifiers of style") from error


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


def fit_direction(x: Any, *, penalty: float = 1e-4) -> Floats:
    """The weights w that make x @ w positive: logistic regression of pairs, no intercept.

    Each row is "better minus worse"; a model that is odd in its input cannot prefer a side.
    Minimises the mean of log(1 + exp(-x @ w)) + penalty / 2 * |w|^2. A row of zeros counts for
    nothing.
    """
    require_scikit_learn()
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression

    n, n_features = x.shape
    # What no pair has keeps the weight 0, and most hashes are of no text.
    used = np.arange(n_features) if isinstance(x, np.ndarray) else np.unique(x.indices)
    x = x[:, used]
    # It wants two classes: every pair both ways round, which is the same loss twice.
    both = np.vstack([x, -x]) if isinstance(x, np.ndarray) else sparse.vstack([x, -x])
    model = LogisticRegression(C=1 / (2 * n * penalty), fit_intercept=False, max_iter=1000)
    model.fit(both, np.repeat([1, 0], n))
    weights = np.zeros(n_features)
    weights[used] = model.coef_[0]
    return weights
