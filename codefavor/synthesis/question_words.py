"""What the words of a question alone tell of whether its text answers it.

Who writes questions that a text does not answer writes otherwise than who has its answer before
him. A classifier that sees no text finds that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from codefavor.pairs.style_features import Floats, require_scikit_learn

_FOLDS = 10
# Fewer questions teach a classifier nothing.
_FEWEST = 50
_NAMES = re.compile(r"\b[A-Z]\w+|\b\d[\d,.]*\d|\b\d\b")


def unsaid_odds(words: Sequence[str], is_unsaid: Sequence[bool], texts: Sequence[str]) -> Floats:
    """The log-odds that a question is not answered, by its words and pairs of neighbouring ones.

    Logistic regression; each question is rated by a model of the questions about other texts. All
    0 where there are too few to learn from.
    """
    labels = np.array(is_unsaid, dtype=int)
    n_folds = min(_FOLDS, len(set(texts)))
    if min(labels.sum(), len(labels) - labels.sum()) < _FEWEST // 2 or n_folds < 2:
        return np.zeros(len(labels))
    require_scikit_learn()
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold

    features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2).fit_transform(words)
    odds = np.zeros(len(labels))
    for seen, own in GroupKFold(n_folds).split(features, labels, list(texts)):
        if len(set(labels[seen])) == 2:
            model = LogisticRegression(C=3, max_iter=500).fit(features[seen], labels[seen])
            odds[own] = model.decision_function(features[own])
    return odds


def lacks_a_name(question: str, text: str) -> bool:
    """Whether a name (behind the first letter) or a number of a question is not in its text."""
    return any(one not in text for one in _NAMES.findall(question[1:]))
