"""Two systems on the same items: difference, tests, effect size, and what could have been seen."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from codefavor.statistics.discordant import adjusted_interval, mcnemar_detects
from codefavor.statistics.intervals import (
    Figures,
    Gain,
    cluster_sums,
    compare_scores,
    holm,
    is_constant,
)

POWER = 0.8
LEVEL = 0.05
# Texts are about as long as others within this difference of logarithms; so many must be.
_NEAR = 0.5
_NEAR_SHARE = 0.1
# With fewer problems that differ, resampling shows too few of the ways in which they might.
_FEW = 30


@dataclass(frozen=True)
class PairedTest(Figures):
    """What is known of the difference of A over B in one measure.

    `gain` holds difference, interval and the two exact or permuted p-values; `p_t` is the paired
    t-test over clusters, None where all differences are equal; `effect` is Cohen's d of paired
    differences. `detectable` is the smallest true difference that so many clusters would find with
    a power of 0.8 at the 5 % level, if differences spread as they do here: by McNemar's exact test
    for scores of 0 and 1, None where it would find none. `p_holm` is the permutation test's p
    after Holm's correction for all tests of the comparison.

    Where few clusters differ and scores lie in [0, 1] the interval is `adjusted_interval`.
    """

    measure: str
    mean_a: float
    mean_b: float
    gain: Gain
    p_t: float | None
    effect: float | None
    detectable: float | None
    p_holm: float


def paired_test(
    measure: str,
    scores_a: Mapping[str, float],
    scores_b: Mapping[str, float],
    clusters: Mapping[str, Hashable],
    *,
    influence: Mapping[str, float] | None = None,
    seed: int = 0,
    n_resamples: int = 10_000,
) -> PairedTest:
    """A against B on the items that both have; raises ValueError if there are none.

    `influence` (of `without_length`) takes the place of the differences in what tells how sure the
    mean difference is: interval, permutation and t-test, effect and power. There is then no
    McNemar's test (`p_mcnemar` is not-a-number, the items won and lost are 0).
    """
    ids = [one for one in scores_a if one in scores_b]
    a, b = [scores_a[one] for one in ids], [scores_b[one] for one in ids]
    groups = [clusters[one] for one in ids]
    sides = (a, b) if influence is None else ([influence[one] for one in ids], [0.0] * len(ids))
    gain = compare_scores(*sides, groups, seed=seed, n_resamples=n_resamples)
    differences = [x - y for x, y in zip(*sides, strict=True)]
    if influence is not None:
        # What a fitted line leaves over has a sign on every item: ties would be counted as won.
        gain = replace(gain, n_only_a=0, n_only_b=0, p_mcnemar=math.nan)
    p_t, effect, detectable = _spread(differences, groups)
    if influence is None:
        gain = _adjusted(gain, differences, groups, (*a, *b))
        if len(set(groups)) == len(ids) and {*a, *b} <= {0.0, 1.0}:
            detectable = mcnemar_detects(
                len(ids), gain.n_only_a + gain.n_only_b, power=POWER, level=LEVEL
            )
    return PairedTest(
        measure=measure,
        mean_a=math.fsum(a) / len(a),
        mean_b=math.fsum(b) / len(b),
        gain=gain,
        p_t=p_t,
        effect=effect,
        detectable=detectable,
        p_holm=gain.p_permutation,
    )


def _adjusted(
    gain: Gain, differences: Sequence[float], groups: Sequence[Hashable], scores: Sequence[float]
) -> Gain:
    """The gain with the interval for few clusters that differ, where it holds."""
    sums, counts = cluster_sums(differences, groups)
    n_differ = sum(abs(one) > 1e-12 for one in sums)
    is_share = all(0 <= one <= 1 for one in scores)
    if is_share and len(sums) > 1 and n_differ < _FEW and not is_constant(sums / counts):
        return replace(gain, interval=adjusted_interval(sums, counts))
    return gain


def with_holm(tests: Sequence[PairedTest]) -> list[PairedTest]:
    """The tests with the p-values that hold for all of them together."""
    adjusted = holm([one.gain.p_permutation for one in tests])
    return [replace(one, p_holm=p) for one, p in zip(tests, adjusted, strict=True)]


def without_length(
    scores_a: Mapping[str, float],
    scores_b: Mapping[str, float],
    lengths_a: Mapping[str, float],
    lengths_b: Mapping[str, float],
) -> tuple[dict[str, float], dict[str, float]] | None:
    """A's scores less what goes with its texts being longer or shorter than B's, by least squares.

    The differences of scores are regressed on those of the logarithms of length (in words, plus
    one); what the slope explains is taken off, so that the mean difference left is the one at
    equal length. Source: Dubois et al. 2024, "Length-Controlled AlpacaEval", in linear form.

    Also each item's influence on that difference, which is their mean: their spread is that of the
    intercept with the slope's own uncertainty (White 1980). None where lengths do not differ in
    more than one way, and where equal length lies outside the data: all of A's texts longer (or
    all shorter), or fewer than a tenth within half a unit (a factor of 1.65) of B's.
    """
    import numpy as np

    ids = [one for one in scores_a if one in scores_b and one in lengths_a and one in lengths_b]
    longer = np.log1p([lengths_a[one] for one in ids]) - np.log1p([lengths_b[one] for one in ids])
    if len(ids) < 3 or not float(np.ptp(longer)):
        return None
    if longer.min() > 0 or longer.max() < 0 or np.mean(np.abs(longer) <= _NEAR) < _NEAR_SHARE:
        return None
    differences = np.array([scores_a[one] - scores_b[one] for one in ids])
    slope, level = (float(one) for one in np.polyfit(longer, differences, 1))
    middle, spread = float(longer.mean()), float(longer.var())
    weights = 1 - middle * (longer - middle) / spread
    influence = level + weights * (differences - level - slope * longer)
    return (
        {one: scores_a[one] - slope * float(gap) for one, gap in zip(ids, longer, strict=True)},
        {one: float(value) for one, value in zip(ids, influence, strict=True)},
    )


def _spread(
    differences: Sequence[float], clusters: Sequence[Hashable]
) -> tuple[float | None, float | None, float | None]:
    """p of the paired t-test, Cohen's d, and the detectable difference, over cluster means."""
    import numpy as np
    from scipy import stats

    found: dict[Hashable, list[float]] = {}
    for difference, cluster in zip(differences, clusters, strict=True):
        found.setdefault(cluster, []).append(difference)
    means = np.array([math.fsum(one) / len(one) for one in found.values()])
    if len(means) < 2 or is_constant(means):
        return None, None, None
    spread = float(means.std(ddof=1))
    needed = float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER))
    p = float(stats.ttest_1samp(means, 0.0).pvalue)
    return p, float(means.mean()) / spread, needed * spread / math.sqrt(len(means))
