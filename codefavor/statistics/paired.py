"""Two systems on the same items: difference, tests, effect size, and what could have been seen."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from codefavor.statistics.intervals import Figures, Gain, compare_scores, holm

POWER = 0.8
LEVEL = 0.05


@dataclass(frozen=True)
class PairedTest(Figures):
    """What is known of the difference of A over B in one measure.

    `gain` holds difference, interval and the two exact or permuted p-values; `p_t` is the paired
    t-test over clusters, None where all differences are equal; `effect` is Cohen's d of paired
    differences. `detectable` is the smallest true difference that so many clusters would find with
    a power of 0.8 at the 5 % level, if differences spread as they do here. `p_holm` is the
    permutation test's p after Holm's correction for all tests of the comparison.
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
    seed: int = 0,
    n_resamples: int = 10_000,
) -> PairedTest:
    """A against B on the items that both have; raises ValueError if there are none."""
    ids = [one for one in scores_a if one in scores_b]
    a, b = [scores_a[one] for one in ids], [scores_b[one] for one in ids]
    groups = [clusters[one] for one in ids]
    gain = compare_scores(a, b, groups, seed=seed, n_resamples=n_resamples)
    p_t, effect, detectable = _spread([x - y for x, y in zip(a, b, strict=True)], groups)
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


def with_holm(tests: Sequence[PairedTest]) -> list[PairedTest]:
    """The tests with the p-values that hold for all of them together."""
    adjusted = holm([one.gain.p_permutation for one in tests])
    return [replace(one, p_holm=p) for one, p in zip(tests, adjusted, strict=True)]


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
    if len(means) < 2 or not (spread := float(means.std(ddof=1))):
        return None, None, None
    needed = float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER))
    p = float(stats.ttest_1samp(means, 0.0).pvalue)
    return p, float(means.mean()) / spread, needed * spread / math.sqrt(len(means))
