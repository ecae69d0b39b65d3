"""Intervals, paired tests and calibration, with every source of randomness seeded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codefavor.records import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Resampled weights are drawn in blocks, so that memory stays small for many clusters.
_BLOCK = 500
# With this many clusters or fewer, all sign patterns are tried: the test is exact.
_EXACT_CLUSTERS = 16
# Means that differ by less are rounded ones of the same values.
_SAME = 1e-12


class Figures:
    """Base of the dataclasses of figures."""

    def to_row(self) -> Row:
        """Plain JSON: null for not-a-number."""
        row: Row = _plain(dataclasses.asdict(self))  # type: ignore[call-overload]
        return row


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return none_if_nan(value) if isinstance(value, float) else value


@dataclass(frozen=True)
class Interval(Figures):
    """A mean with its interval; `low` and `high` are not-a-number for fewer than two clusters."""

    mean: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True)
class Gain(Figures):
    """How much better system A is than system B on the same items.

    `interval` is of the mean difference of scores; `n_only_a` and `n_only_b` count the items
    on which one system scores higher, which `p_mcnemar` (exact, two-sided) compares;
    `p_permutation` is the two-sided sign-flip test by cluster.
    """

    n: int
    n_clusters: int
    interval: Interval
    n_only_a: int
    n_only_b: int
    p_mcnemar: float
    p_permutation: float

    def to_row(self) -> Row:
        """Plain JSON, the interval under the name "gain"."""
        row = super().to_row()
        return {"gain": row.pop("interval"), **row}


@dataclass(frozen=True)
class Bin(Figures):
    """One bin of a reliability plot: forecasts in [low, high), their mean and the outcome's
    (not-a-number in an empty bin)."""

    low: float
    high: float
    n: int
    mean_forecast: float
    mean_outcome: float


def none_if_nan(value: float) -> float | None:
    """The value, None for not-a-number (which JSON does not have)."""
    return None if math.isnan(value) else value


def cluster_bootstrap_interval(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    n_resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """The mean of all values with a bootstrap interval that resamples whole clusters.

    Source: Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.3: the
    expanded percentile interval, whose tails are widened by the t quantile and the factor
    sqrt(k / (k - 1)) for k clusters (the plain percentile interval is too narrow for small k).
    Raises ValueError for no values or lengths that differ.
    """
    import numpy as np
    from scipy import special  # not stats, whose import takes longer than the interval

    sums, counts = cluster_sums(values, clusters)
    mean = float(sums.sum() / counts.sum())
    k = len(sums)
    if k < 2:
        return Interval(mean, math.nan, math.nan, level)
    rng = np.random.default_rng(seed)
    means = np.empty(n_resamples)
    for start in range(0, n_resamples, _BLOCK):
        size = min(_BLOCK, n_resamples - start)
        drawn = rng.integers(0, k, size=(size, k))
        means[start : start + size] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    wider = math.sqrt(k / (k - 1)) * float(special.stdtrit(k - 1, (1 - level) / 2))
    tail = float(special.ndtr(wider))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high), level)


def share_interval(
    shares: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    n_resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """The same for values from 0 to 1, also where all clusters agree and resampling shows nothing.

    Their interval is then Wilson's of so many clusters: that of values of 0 and 1, which vary the
    most of all with this mean. Nor does it ever end nearer to 0 or 1 than were all 0 or 1.
    """
    sums, counts = cluster_sums(shares, clusters)
    means = sums / counts
    if is_constant(means):
        return wilson_interval(float(sums.sum() / counts.sum()), len(sums), level=level)
    found = cluster_bootstrap_interval(
        shares, clusters, seed=seed, n_resamples=n_resamples, level=level
    )
    return _with_unseen(found, len(sums))


def wilson_interval(share: float, n: float, *, level: float = 0.95) -> Interval:
    """Wilson's interval of a share of `n` (Wilson 1927)."""
    from scipy import special

    z = float(special.ndtri((1 + level) / 2))
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(max(share * (1 - share), 0.0) / n + z * z / (4 * n * n))
    low, high = (round((middle + end) / (1 + z * z / n), 12) for end in (-half, half))
    return Interval(share, max(0.0, low), min(1.0, high), level)


def effective_interval(rates: Sequence[float], *, level: float = 0.95) -> Interval:
    """The mean of the rates of problems with Wilson's interval of their effective number.

    That is how many independent values of 0 and 1 with this mean would have the variance that the
    mean of the rates has: the number of problems for one sample each, more for several samples,
    as far as Student's quantile allows for a spread that is known from these problems alone.
    Where all rates are the same it is the number of problems: their spread is then not known.
    """
    import numpy as np
    from scipy import special

    values = np.asarray(rates, dtype=np.float64)
    n, share = len(values), math.fsum(rates) / len(rates)
    spread = 0.0 if n < 2 or is_constant(values) else float(values.var(ddof=1))
    effective = float(n)
    if spread:
        tail = (1 + level) / 2
        known = float(special.ndtri(tail) / special.stdtrit(n - 1, tail)) ** 2
        effective = max(n, n * share * (1 - share) / spread * known)
    return _with_unseen(wilson_interval(share, effective, level=level), n)


def _with_unseen(interval: Interval, n: int) -> Interval:
    """The interval, not nearer to 0 or 1 than that of `n` which all are 0 or 1.

    One pass more can then not lower what may be.
    """
    none = wilson_interval(0.0, n, level=interval.level).high
    return dataclasses.replace(
        interval, low=min(interval.low, 1 - none), high=max(interval.high, none)
    )


def cluster_sums(values: Sequence[float], clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """The sum and the count of the values of each cluster, in order of first appearance."""
    import numpy as np

    if not values or len(values) != len(clusters):
        raise ValueError(f"{len(values)} values with {len(clusters)} clusters")
    numbers: dict[Hashable, int] = {}
    index = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    sums = np.bincount(index, weights=np.asarray(values, dtype=float))
    return np.asarray(sums, dtype=np.float64), np.bincount(index).astype(np.float64)


def compare_scores(
    scores_a: Sequence[float],
    scores_b: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    n_resamples: int = 10_000,
) -> Gain:
    """Gain of A over B on the same items.

    McNemar's test counts the items on which one scores higher. For scores of 0 and 1 that is the
    test as published; with half points (a tie, or right in one order) it is the sign test, which
    unlike a cut at 1/2 does not punish a judge for being half right.

    Where the differences of all clusters are the same, resampling shows nothing. For scores from 0
    to 1 the interval then reaches as far as a share of other clusters could move the mean of which
    so many show none: Wilson's upper end for 0 of them. For other scores there is none.
    """
    differences = [a - b for a, b in zip(scores_a, scores_b, strict=True)]
    n_only_a = sum(difference > 0 for difference in differences)
    n_only_b = sum(difference < 0 for difference in differences)
    sums, counts = cluster_sums(differences, clusters)
    if len(sums) > 1 and is_constant(sums / counts):
        is_share = all(0 <= score <= 1 for score in (*scores_a, *scores_b))
        mean = float(sums.sum() / counts.sum())
        interval = _of_equal_differences(mean, len(sums) if is_share else 0)
    else:
        interval = cluster_bootstrap_interval(
            differences, clusters, seed=seed, n_resamples=n_resamples
        )
    return Gain(
        n=len(differences),
        n_clusters=len(set(clusters)),
        interval=interval,
        n_only_a=n_only_a,
        n_only_b=n_only_b,
        p_mcnemar=mcnemar(n_only_a, n_only_b),
        p_permutation=permutation_test(
            differences, clusters, seed=seed, n_permutations=n_resamples
        ),
    )


def is_constant(values: Floats) -> bool:
    """Whether the values are one value, but for rounding."""
    return float(values.max() - values.min()) <= _SAME


def _of_equal_differences(difference: float, n: int, level: float = 0.95) -> Interval:
    from scipy import special

    if not n:
        return Interval(difference, math.nan, math.nan, level)
    z = float(special.ndtri((1 + level) / 2))
    unseen = z * z / (n + z * z)
    seen = difference * (1 - unseen)
    return Interval(difference, seen - unseen, seen + unseen, level)


def mcnemar(b: int, c: int) -> float:
    """Exact two-sided p of McNemar's test; `b` and `c` count the two kinds of disagreement."""
    from scipy import stats

    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c, 0.5).pvalue)


def permutation_test(
    differences: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    seed: int = 0,
    n_permutations: int = 10_000,
) -> float:
    """Two-sided p that the mean difference is zero, by flipping the sign of whole clusters.

    All sign patterns are tried for 16 clusters or fewer; otherwise random ones are drawn, and p
    counts the observed pattern among them (it is never 0).
    """
    import numpy as np

    sums, _ = cluster_sums(differences, clusters)
    k = len(sums)
    # By the size of the summands: what rounding leaves of a sum of zero is no share of the sum.
    observed = abs(sums.sum()) - 1e-12 * np.abs(sums).sum()
    if k <= _EXACT_CLUSTERS:
        patterns = (np.arange(2**k)[:, None] >> np.arange(k)) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ sums) >= observed))
    rng = np.random.default_rng(seed)
    n_extreme = 1
    for start in range(0, n_permutations, _BLOCK):
        size = min(_BLOCK, n_permutations - start)
        signs = rng.integers(0, 2, size=(size, k)) * 2 - 1
        n_extreme += int(np.sum(np.abs(signs @ sums) >= observed))
    return n_extreme / (n_permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values that control the family-wise error rate, in the order given.

    Source: Holm 1979.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def reliability_bins(
    forecasts: Sequence[float], outcomes: Sequence[float], *, n_bins: int = 10
) -> list[Bin]:
    """Bins of equal width over [0, 1]; a forecast of exactly 1 falls into the last."""
    grouped: list[list[tuple[float, float]]] = [[] for _ in range(n_bins)]
    for forecast, outcome in zip(forecasts, outcomes, strict=True):
        if not 0 <= forecast <= 1:
            raise ValueError(f"{forecast} is not a probability")
        grouped[min(int(forecast * n_bins), n_bins - 1)].append((forecast, outcome))
    return [
        Bin(
            low=number / n_bins,
            high=(number + 1) / n_bins,
            n=len(members),
            mean_forecast=_mean([forecast for forecast, _ in members]),
            mean_outcome=_mean([outcome for _, outcome in members]),
        )
        for number, members in enumerate(grouped)
    ]


def expected_calibration_error(
    forecasts: Sequence[float], outcomes: Sequence[float], *, n_bins: int = 10
) -> float:
    """The mean distance between forecast and outcome over bins of equal width, by their size.

    Source: Naeini et al. 2015. Not-a-number for no forecasts.
    """
    if not forecasts:
        return math.nan
    bins = reliability_bins(forecasts, outcomes, n_bins=n_bins)
    gaps = (one.n * abs(one.mean_forecast - one.mean_outcome) for one in bins if one.n)
    return sum(gaps) / len(forecasts)


def brier(forecasts: Sequence[float], outcomes: Sequence[float]) -> float:
    """The mean squared distance of forecast and outcome; not-a-number for no forecasts."""
    return _mean([(f - o) ** 2 for f, o in zip(forecasts, outcomes, strict=True)])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
