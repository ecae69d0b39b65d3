"""Statistics against SciPy, statsmodels, scikit-learn and examples worked by hand."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss
from statsmodels.stats.contingency_tables import mcnemar as reference
from statsmodels.stats.multitest import multipletests

from codefavor.statistics.intervals import (
    brier,
    cluster_bootstrap_interval,
    cluster_sums,
    compare_scores,
    expected_calibration_error,
    holm,
    mcnemar,
    permutation_test,
    reliability_bins,
    share_interval,
)
from codefavor.statistics.paired import paired_test


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (5, 5), (10, 2), (3, 41), (120, 80)])
def test_mcnemar_equals_statsmodels_exact(counts):
    b, c = counts
    expected = reference([[7, b], [c, 9]], exact=True).pvalue if b + c else 1.0
    assert mcnemar(b, c) == pytest.approx(expected, abs=1e-9)


def test_mcnemar_by_hand():
    # 1 against 9: two-sided exact binomial = 2 * (1 + 10) / 2**10.
    assert mcnemar(1, 9) == pytest.approx(22 / 1024, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_holm_equals_statsmodels(seed):
    p_values = [random.Random(f"{seed}:{i}").random() ** 3 for i in range(9)] + [0.01, 0.01]
    expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(list(expected), abs=1e-9)


def test_brier_equals_scikit_learn():
    rng = random.Random(0)
    forecasts = [rng.random() for _ in range(200)]
    outcomes = [float(rng.random() < p) for p in forecasts]
    assert brier(forecasts, outcomes) == pytest.approx(
        brier_score_loss(outcomes, forecasts), abs=1e-9
    )


def test_calibration_error_by_hand():
    # Bin [0.2, 0.4): two forecasts of mean 0.3, outcomes 0 and 1: gap 0.2, weight 2/4.
    # Bin [0.8, 1.0]: 0.9 and 1.0, both outcomes 1: gap 0.05, weight 2/4.
    forecasts, outcomes = [0.25, 0.35, 0.9, 1.0], [0.0, 1.0, 1.0, 1.0]
    found = expected_calibration_error(forecasts, outcomes, n_bins=5)
    assert found == pytest.approx(0.5 * 0.2 + 0.5 * 0.05, abs=1e-12)
    assert [one.n for one in reliability_bins(forecasts, outcomes, n_bins=5)] == [0, 2, 0, 0, 2]


def test_a_forecast_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match="not a probability"):
        reliability_bins([1.2], [1.0])


def test_permutation_test_with_few_clusters_equals_scipy_exact():
    values = [0.5, 1.0, -0.5, 1.0, 0.25, 0.75, -0.25, 1.0]
    expected = stats.permutation_test(
        (np.array(values),),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    ).pvalue
    found = permutation_test(values, range(len(values)))
    assert found == pytest.approx(float(expected), abs=1e-9)


def test_permutation_test_of_differences_whose_sum_is_zero_but_for_rounding():
    ours, theirs = [1.0, 0.6, 0.6, 0.3, 0.2, 0.1], [0.1, 0.2, 0.7, 0.9, 0.6, 0.3]
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    assert 0 < abs(sum(differences)) < 1e-15
    assert permutation_test(differences, range(6)) == 1
    # Behind them, so many that signs are drawn.
    assert permutation_test([*differences, *[0.1, -0.1] * 7], range(20), n_permutations=500) == 1


def test_permutation_test_flips_whole_clusters():
    # Two clusters: of the four sign patterns, two are as extreme as the observed one.
    assert permutation_test([1.0] * 50 + [1.0] * 50, ["a"] * 50 + ["b"] * 50) == 0.5


def test_a_drawn_p_counts_the_observed_pattern_and_is_never_zero():
    # None of 99 drawn patterns of 60 signs is as extreme, and the observed one is.
    assert permutation_test([1.0] * 60, range(60), n_permutations=99) == 1 / 100


def test_sixteen_clusters_are_tried_whole_and_seventeen_are_drawn():
    values = [random.Random(i).gauss(0.3, 1) for i in range(17)]
    found = {permutation_test(values[:16], range(16), seed=seed) for seed in range(3)}
    assert len(found) == 1
    assert (2**16 * found.pop()).is_integer()
    drawn = {permutation_test(values, range(17), seed=seed) for seed in range(3)}
    assert len(drawn) > 1


def test_patterns_as_extreme_count_whatever_the_order_of_the_sum():
    # All signs alike: 2 of 16 patterns, though the two sums differ in their last digit.
    assert permutation_test([0.7, 0.4, 0.5, 1.0], range(4)) == 2 / 16


def test_random_permutations_agree_with_the_exact_count():
    rng = random.Random(3)
    values = [rng.gauss(0.2, 1) for _ in range(16)]
    exact = permutation_test(values, range(16))
    more = permutation_test([*values, 0.0], range(17), n_permutations=100_000)
    assert more == pytest.approx(exact, abs=0.01)


def test_cluster_sums_keep_the_order_of_appearance():
    sums, counts = cluster_sums([1.0, 0.0, 0.5, 1.0], ["x", "y", "x", "z"])
    assert sums.tolist() == [1.5, 0.0, 1.0]
    assert counts.tolist() == [2.0, 1.0, 1.0]


def test_interval_without_clusters_of_several_values_is_close_to_the_t_interval():
    rng = np.random.default_rng(0)
    values = rng.normal(0.3, 1.0, size=60)
    found = cluster_bootstrap_interval(values.tolist(), range(60), n_resamples=40_000)
    low, high = stats.t.interval(0.95, 59, loc=values.mean(), scale=stats.sem(values))
    assert found.mean == pytest.approx(values.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03)


@pytest.mark.parametrize("k", [4, 6])
def test_interval_is_the_expanded_percentile_one_of_all_resamples(k):
    """Against every resample there is, with the tail that the source's formula gives.

    t(0.025; 3) = -3.182446, times sqrt(4/3) = -3.674772, normal tail 0.000119041;
    t(0.025; 5) = -2.570582, times sqrt(6/5) = -2.815931, normal tail 0.002431722.
    """
    tail = {4: 0.000119041, 6: 0.002431722}[k]
    values = [0.0, 1.0, 4.0, 9.0, 16.0, 25.0][:k]
    weights: dict[float, int] = {}
    for counts in itertools.product(range(k + 1), repeat=k):
        if sum(counts) == k:
            mean = sum(n * v for n, v in zip(counts, values, strict=True)) / k
            ways = math.factorial(k) // math.prod(math.factorial(n) for n in counts)
            weights[mean] = weights.get(mean, 0) + ways
    means = sorted(weights)
    shares = np.cumsum([weights[mean] for mean in means]) / k**k
    found = cluster_bootstrap_interval(values, range(k), n_resamples=200_000)
    # All resamples have k**k equally likely means; 200,000 drawn ones are off by one step at most.
    for bound, share in ((found.low, tail), (found.high, 1 - tail)):
        exact = int(np.searchsorted(shares, share))
        near = means[max(0, exact - 1) : exact + 2]
        assert near[0] <= bound <= near[-1]
    assert found.mean == pytest.approx(sum(values) / k)
    assert found.level == 0.95


def test_two_clusters_have_an_interval():
    found = cluster_bootstrap_interval([0.0, 1.0, 1.0], ["a", "b", "b"])
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize("n_resamples", [1, 499, 500, 501, 1250])
def test_every_resample_counts_whatever_the_size_of_a_block(n_resamples):
    found = cluster_bootstrap_interval([3.0, 3.0, 3.0], range(3), n_resamples=n_resamples)
    assert (found.low, found.high) == (3.0, 3.0)
    # With 17 clusters signs are drawn; of one-sided differences hardly one pattern is as extreme.
    p = permutation_test([1.0] * 17, range(17), n_permutations=n_resamples)
    assert p == pytest.approx(1 / (n_resamples + 1), abs=3 / (n_resamples + 1))


def test_interval_is_a_function_of_the_seed():
    values, clusters = [0.0, 1.0, 1.0, 0.5], ["a", "b", "c", "d"]
    first = cluster_bootstrap_interval(values, clusters, seed=1)
    assert first == cluster_bootstrap_interval(values, clusters, seed=1)


@pytest.mark.parametrize(
    ("shares", "clusters"),
    [([1.0, 1.0], "ab"), ([1.0, 0.0, 1.0, 0.0], "aabb"), ([0.3, 0.3, 0.1 + 0.2], "abc")],
)
def test_shares_that_all_clusters_have_keep_an_interval(shares, clusters):
    found, n = share_interval(shares, clusters), len(set(clusters))
    # Wilson's ends are where the mean is 1.96 standard errors away, by the error that they imply.
    for end in (found.low, found.high):
        gap = 1.959963985 * math.sqrt(end * (1 - end) / n)
        assert abs(found.mean - end) == pytest.approx(gap, abs=1e-6)


def test_equal_differences_have_an_interval_of_what_so_many_clusters_did_not_show():
    one = compare_scores([1.0, 0.0, 1.0], [1.0, 0.0, 1.0], "abc").interval
    # Wilson's upper end for 0 of 3: z^2 / (3 + z^2).
    unseen = 1.959963985**2 / (3 + 1.959963985**2)
    assert (one.mean, one.low, one.high) == pytest.approx((0.0, -unseen, unseen), abs=1e-9)
    # Float noise between (k + 1) / 5 - k / 5 is no spread.
    a, b = [(k + 1) / 5 for k in range(5)], [k / 5 for k in range(5)]
    some = compare_scores(a, b, "abcde").interval
    unseen = 1.959963985**2 / (5 + 1.959963985**2)
    assert some.low == pytest.approx(0.2 - unseen * 1.2, abs=1e-9)
    assert some.high == pytest.approx(0.2 + unseen * 0.8, abs=1e-9)
    lost = compare_scores([0.0] * 9, [1.0] * 9, range(9)).interval
    assert lost.low == -1.0 < lost.high < 0.0
    assert math.isnan(compare_scores([3.0, 3.0], [2.0, 2.0], "ab").interval.low)
    mixed = compare_scores([1.0, 0.0, 0.5], [0.0, 0.0, 0.0], "aab").interval
    assert (mixed.mean, mixed.high) == pytest.approx((0.5, 0.5 + 0.5 * 3.8414588 / 5.8414588))


def test_float_noise_between_equal_differences_is_no_spread():
    ids = [str(n) for n in range(5)]
    scores = [{one: (n + more) / 5 for n, one in enumerate(ids)} for more in (1, 0)]
    found = paired_test("pass@1", *scores, dict(zip(ids, ids, strict=True)))
    assert (found.p_t, found.effect, found.detectable) == (None, None, None)


def test_one_cluster_has_no_interval():
    found = cluster_bootstrap_interval([1.0, 0.0], ["a", "a"])
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert found.to_row()["low"] is None


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="0 values"):
        cluster_bootstrap_interval([], [])
    with pytest.raises(ValueError, match="1 values with 2 clusters"):
        cluster_sums([1.0], ["a", "b"])


def test_duplicating_every_item_within_its_cluster_does_not_narrow_the_interval():
    rng = random.Random(0)
    values = [float(rng.random() < 0.7) for _ in range(80)]
    once = cluster_bootstrap_interval(values, range(80), seed=5)
    twice = cluster_bootstrap_interval(values * 4, list(range(80)) * 4, seed=5)
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high), abs=1e-9)


def test_gain_by_hand():
    scores_a, scores_b = [1.0, 1.0, 0.5, 0.0, 1.0], [0.0, 1.0, 0.5, 0.5, 0.5]
    gain = compare_scores(scores_a, scores_b, "abcde")
    assert gain.interval.mean == pytest.approx((1 + 0 + 0 - 0.5 + 0.5) / 5)
    # A is ahead on the first and the last item, B on the fourth: both signs of 3 are as extreme.
    assert (gain.n_only_a, gain.n_only_b) == (2, 1)
    assert gain.p_mcnemar == 1
    # Of the 8 sign patterns of (1, -0.5, 0.5), those with |sum| >= 1: |±1 -.5+.5| has 1 in
    # 2 * (two of the four patterns) and 2 in 2 * one; 0 in 2 * one: 6 of 8.
    assert gain.p_permutation == pytest.approx(6 / 8)
    assert gain.n_clusters == 5
    differences = [1.0, 0.0, 0.0, -0.5, 0.5]
    assert gain.interval == cluster_bootstrap_interval(differences, "abcde")


def test_interval_covers_the_truth_in_94_to_96_percent_of_simulations():
    """Clusters of 1 to 6 items whose chance of being right varies between clusters."""
    rng = np.random.default_rng(12345)
    n_simulations, n_clusters, n_covered = 2500, 100, 0
    truth = 0.7  # the mean of Beta(3.5, 1.5); cluster size is independent of it
    for simulation in range(n_simulations):
        chances = rng.beta(3.5, 1.5, size=n_clusters)
        sizes = rng.integers(1, 7, size=n_clusters)
        clusters = np.repeat(np.arange(n_clusters), sizes)
        values = (rng.random(len(clusters)) < chances[clusters]).astype(float)
        found = cluster_bootstrap_interval(
            values.tolist(), clusters.tolist(), seed=simulation, n_resamples=1000
        )
        n_covered += found.low <= truth <= found.high
    assert 0.94 <= n_covered / n_simulations <= 0.96
