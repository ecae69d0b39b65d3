"""Two systems that differ on few problems: an interval, and what an exact test can find."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from codefavor.statistics.intervals import Interval

if TYPE_CHECKING:
    from codefavor.statistics.intervals import Floats

# Differences are searched to a tenth of a point.
_STEP = 0.001


def adjusted_interval(sums: Floats, counts: Floats, *, level: float = 0.95) -> Interval:
    """The mean of differences in [-1, 1], whose sum and number in each cluster are given.

    Source: Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data": one cluster of differences of +1 and one of -1 are added,
    of the mean size of the others. The mean is that of the differences themselves.
    """
    import numpy as np
    from scipy import special

    size = float(counts.mean())
    totals, sizes = np.append(sums, [size, -size]), np.append(counts, [size, size])
    n = float(sizes.sum())
    middle = float(totals.sum()) / n
    errors = totals - middle * sizes
    half = float(special.ndtri((1 + level) / 2)) * math.sqrt(float((errors**2).sum())) / n
    mean = float(sums.sum() / counts.sum())
    return Interval(mean, max(-1.0, middle - half), min(1.0, middle + half), level)


def mcnemar_detects(n: int, n_differ: int, *, power: float, level: float) -> float | None:
    """The smallest difference of shares that McNemar's exact test of `n` problems finds.

    As many problems differ as here, (n_differ + 1) / (n + 2), or all that have to for such a
    difference. None where none is found with this power.
    """
    import numpy as np
    from scipy import stats

    least = (n_differ + 1) / (n + 2)

    def power_at(difference: float) -> float:
        share = max(least, difference)
        chance = min(1.0, (1 + difference / share) / 2)
        # How many of the m that differ one side has to win: so many or more, or the rest or fewer.
        won = stats.binom.isf(level / 2, differing, 0.5)
        found = stats.binom.sf(won, differing, chance)
        found += stats.binom.cdf(differing - won - 1, differing, chance)
        return float((stats.binom.pmf(differing, n, share) * found).sum())

    differing = np.arange(n + 1)
    low, high = 0, round(1 / _STEP)
    if power_at(1.0) < power:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_at(middle * _STEP) >= power else (middle, high)
    return high * _STEP
