"""How much of the label of preference pairs trivial classifiers recover.

Metric: accuracy of a classifier that does not read the instruction (`copied` only looks whose words
stand there), cross-validated so that all pairs of one instruction are in one fold; a pair on which
it is silent counts one half. Chance is 0.5. What such a classifier can do, a judge that was trained
on the pairs can learn instead of reading code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codefavor.errors import DataError
from codefavor.judges.baselines import copied_sign
from codefavor.pairs import style_features
from codefavor.pairs.balance import balance_by_length, length_sign
from codefavor.records import Preference, Row
from codefavor.statistics.intervals import Figures, Interval, cluster_bootstrap_interval

Floats = NDArray[np.float64]
N_FOLDS = 5
N_RESAMPLES = 2000


@dataclass(frozen=True)
class Cue:
    """One trivial classifier: what it looks at, and its accuracy in [0, 1] with an interval.

    `n_silent` pairs gave it nothing to go by.
    """

    name: str
    n: int
    n_silent: int
    accuracy: Interval

    @property
    def recovered(self) -> float:
        """The share of the label that it recovers: 0 at chance, 1 if it is always right."""
        return max(0.0, 2 * self.accuracy.mean - 1)

    @property
    def is_leak(self) -> bool:
        """Whether the whole interval is above chance."""
        return self.accuracy.low > 0.5


@dataclass(frozen=True)
class Audit(Figures):
    """The cues of a set of pairs; `n` pairs were looked at of `n_given`, under `n_groups`
    instructions."""

    n: int
    n_given: int
    n_groups: int
    cues: Mapping[str, Cue]

    def to_row(self) -> Row:
        """Plain JSON."""
        row = super().to_row()
        for name, cue in self.cues.items():
            row["cues"][name] |= {"recovered": cue.recovered, "is_leak": cue.is_leak}
        return row


def audit_pairs(pairs: Sequence[Preference], *, max_pairs: int = 4000, seed: int = 0) -> Audit:
    """What each trivial classifier makes of the pairs; the same for the same pairs and seed.

    More than `max_pairs` pairs are sampled, whole instructions at a time. Needs two instructions
    at least; raises DataError below that. Languages whose grammar is not installed raise
    MissingPackageError.
    """
    kept = _sample(pairs, max_pairs, seed)
    groups = [group_of(pair) for pair in kept]
    n_groups = len(set(groups))
    if n_groups < 2:
        raise DataError(
            f"an audit needs pairs of two different instructions at least, found {n_groups}"
        )
    folds = _folds(groups, seed)
    scores: dict[str, Floats] = {
        "shorter": np.asarray([length_sign(pair) for pair in kept], dtype=float),
        "longer": -np.asarray([length_sign(pair) for pair in kept], dtype=float),
        "copied": np.asarray(
            [copied_sign(pair.instruction, pair.chosen, pair.rejected) for pair in kept],
            dtype=float,
        ),
    }
    for name, make in _FEATURES.items():
        scores[name] = _cross_validated(make(kept), folds)
    cues = {name: _cue(name, margins, groups, seed) for name, margins in scores.items()}
    return Audit(len(kept), len(pairs), n_groups, cues)


def group_of(pair: Preference) -> str:
    """What pairs of one fold have in common: the words of the instruction."""
    return " ".join(pair.instruction.lower().split())


def balanced_for_audit(pairs: Sequence[Preference], *, seed: int = 0) -> list[Preference]:
    """The pairs that balancing by length keeps: within each source, level and language."""
    return balance_by_length(
        pairs,
        per_problem=len(pairs),
        group_of=lambda pair: f"{pair.source}/{pair.level}/{pair.language}",
        seed=seed,
    )


def audit_both_ways(
    pairs: Sequence[Preference], *, max_pairs: int = 4000, seed: int = 0
) -> tuple[Audit, Audit | None]:
    """The audit of the pairs as they are, and of those that balancing keeps (None: too few)."""
    kept = balanced_for_audit(pairs, seed=seed)
    has_two = len({pair.instruction for pair in kept}) > 1
    plain = audit_pairs(pairs, max_pairs=max_pairs, seed=seed)
    return plain, audit_pairs(kept, max_pairs=max_pairs, seed=seed) if has_two else None


def audit_facts(plain: Audit, balanced: Audit | None) -> dict[str, dict[str, str]]:
    """For a card or a table: each cue's accuracy in words, as the pairs are and as balanced."""
    facts: dict[str, dict[str, str]] = {}
    for name, cue in plain.cues.items():
        other = balanced.cues.get(name) if balanced is not None else None
        facts[name] = {"plain": _words(cue), "balanced": _words(other) if other else "not measured"}
    return facts


def _words(cue: Cue) -> str:
    found = cue.accuracy
    text = f"{found.mean:.1%}"
    if not np.isnan(found.low):
        text += f" ({max(0.0, found.low):.1%} to {min(1.0, found.high):.1%})"
    return text


def _sample(pairs: Sequence[Preference], max_pairs: int, seed: int) -> list[Preference]:
    if len(pairs) <= max_pairs:
        return list(pairs)
    by_group: dict[str, list[Preference]] = {}
    for pair in pairs:
        by_group.setdefault(group_of(pair), []).append(pair)
    order = sorted(by_group)
    random.Random(seed).shuffle(order)
    kept: list[Preference] = []
    for name in order:
        kept += by_group[name][: max_pairs - len(kept)]
        if len(kept) == max_pairs:
            break
    return kept


def _folds(groups: Sequence[str], seed: int) -> NDArray[np.int64]:
    names = sorted(set(groups))
    random.Random(seed).shuffle(names)
    fold_of = {name: index % N_FOLDS for index, name in enumerate(names)}
    return np.asarray([fold_of[group] for group in groups])


def _cross_validated(x: Any, folds: NDArray[np.int64]) -> Floats:
    """The margin of each pair (positive: the chosen side wins) by a model of the other folds."""
    if not isinstance(x, np.ndarray):
        # What fewer than two pairs have cannot be learned from one and seen in another.
        seen = np.asarray((x != 0).sum(axis=0)).ravel()
        x = x[:, np.flatnonzero(seen >= 2)]
    margins = np.zeros(x.shape[0])
    for fold in np.unique(folds):
        is_test = folds == fold
        weights = style_features.fit_direction(x[np.flatnonzero(~is_test)])
        margins[is_test] = np.asarray(x[np.flatnonzero(is_test)] @ weights).ravel()
    return margins


def _cue(name: str, margins: Floats, groups: Sequence[str], seed: int) -> Cue:
    # Rounding noise of sums of floats is no opinion.
    signs = np.sign(np.where(np.abs(margins) < 1e-12, 0.0, margins))
    right = (signs + 1) / 2
    interval = cluster_bootstrap_interval(
        right.tolist(), groups, seed=seed, n_resamples=N_RESAMPLES
    )
    return Cue(name, len(right), int((signs == 0).sum()), interval)


def _dense(pairs: Sequence[Preference], features: Callable[[str, str], Sequence[float]]) -> Floats:
    """Better minus worse, by the features of a program in its language."""
    both = [(features(p.chosen, p.language), features(p.rejected, p.language)) for p in pairs]
    return _scaled(np.asarray([np.subtract(*one) for one in both], dtype=float))


def _scaled(x: Floats) -> Floats:
    """Each column with a mean square of 1."""
    scale = np.sqrt((x**2).mean(axis=0))
    return np.asarray(x / np.where(scale > 0, scale, 1.0), dtype=np.float64)


def _authors(pairs: Sequence[Preference]) -> Floats:
    """One column for each author or kind of program that the rows name: +1, -1 or 0."""
    named = [authors_of(pair) for pair in pairs]
    names = sorted({name for both in named for name in both})
    x = np.zeros((len(pairs), len(names)))
    for row, (chosen, rejected) in enumerate(named):
        x[row, names.index(chosen)] += 1
        x[row, names.index(rejected)] -= 1
    return _scaled(x)


def authors_of(pair: Preference) -> tuple[str, str]:
    """Who or what wrote the chosen and the rejected program; "" where the row does not say.

    Test pairs name the kind of each program; a critique's teacher wrote the chosen one and the
    drafting model the other; of a commit, the teacher wrote both.
    """
    meta = pair.meta
    draft = meta.get("draft")
    # A kind of the rejected side alone says what is wrong with it, not whose it is.
    if "chosen_kind" in meta and "rejected_kind" in meta:
        return str(meta["chosen_kind"]), str(meta["rejected_kind"])
    teacher = str(meta.get("model") or "")
    if isinstance(draft, Mapping):
        return teacher, str(draft.get("model") or "draft")
    return teacher, teacher


def _text_features(
    features: Callable[[Sequence[str]], Any],
) -> Callable[[Sequence[Preference]], Any]:
    return lambda pairs: style_features.differences(
        [pair.chosen for pair in pairs], [pair.rejected for pair in pairs], features
    )


_FEATURES: Mapping[str, Callable[[Sequence[Preference]], Any]] = {
    "lengths": lambda pairs: _dense(pairs, lambda code, _: style_features.length_features(code)),
    "character n-grams": _text_features(style_features.character_ngrams),
    "token n-grams": _text_features(style_features.token_ngrams),
    "comments": lambda pairs: _dense(pairs, style_features.comment_features),
    "white space": lambda pairs: _dense(pairs, lambda code, _: style_features.space_features(code)),
    "author": _authors,
}
