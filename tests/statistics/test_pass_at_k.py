"""pass@k against brute force, its interval against simulation, paired tests against SciPy."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from scipy import stats

from codefavor.statistics.intervals import effective_interval, holm, share_interval
from codefavor.statistics.paired import paired_test, with_holm
from codefavor.statistics.pass_at_k import pass_at_k, pass_rates


@pytest.mark.parametrize(("n", "n_passed"), [(1, 0), (1, 1), (5, 0), (5, 2), (7, 6), (8, 8)])
def test_pass_at_k_is_the_share_of_all_choices_of_k_samples_with_a_pass(
    n: int, n_passed: int
) -> None:
    samples = [True] * n_passed + [False] * (n - n_passed)
    for k in range(1, n + 1):
        choices = [any(chosen) for chosen in itertools.combinations(samples, k)]
        assert pass_at_k(n, n_passed, k) == pytest.approx(sum(choices) / len(choices), abs=1e-12)


def test_pass_at_k_equals_the_published_product_formula() -> None:
    for n, n_passed, k in [(200, 3, 1), (200, 3, 100), (200, 150, 10), (100, 1, 100), (10, 9, 2)]:
        published = 1.0
        if n - n_passed >= k:
            published = 1.0 - np.prod(1.0 - k / np.arange(n - n_passed + 1, n + 1))
        assert abs(pass_at_k(n, n_passed, k) - published) < 1e-9


@pytest.mark.parametrize(("n", "n_passed", "k"), [(5, 2, 6), (5, 2, 0), (5, 6, 1), (5, -1, 1)])
def test_what_has_no_pass_at_k_is_refused(n: int, n_passed: int, k: int) -> None:
    with pytest.raises(ValueError, match="no pass@"):
        pass_at_k(n, n_passed, k)


def test_where_all_problems_agree_the_interval_is_wilsons() -> None:
    found = effective_interval([0.0, 0.0, 0.0])
    # Wilson for 0 of 3: z^2 / (n + z^2).
    z = 1.959963984540054
    assert (found.mean, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(z * z / (3 + z * z), abs=1e-9)
    assert effective_interval([1.0, 1.0]).low == pytest.approx(2 / (2 + z * z), abs=1e-9)
    # Wilson for 1/2 of n: 1/2 +- z sqrt((n + z^2) / n^2) / (2 (1 + z^2/n)).
    found, half = effective_interval([0.5, 0.5]), z / (2 * math.sqrt(2 + z * z))
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-9)


def test_the_interval_covers_a_models_skill() -> None:
    """A model that solves problem i with probability p_i, five samples each, 200 times over."""
    rng = random.Random(7)
    n_covered, n_runs = 0, 200
    for _ in range(n_runs):
        # Problems are drawn too: their mean skill is 1/2.
        skills = [rng.random() for _ in range(60)]
        passed = {
            str(i): (5, sum(rng.random() < p for _ in range(5))) for i, p in enumerate(skills)
        }
        found = effective_interval(list(pass_rates(passed, 1).values()))
        n_covered += found.low <= 0.5 <= found.high
    # 95 % within three standard errors of 200 runs.
    assert 0.904 <= n_covered / n_runs <= 0.996


def _scores(rng: random.Random, n: int, shift: float = 0.0) -> dict[str, float]:
    return {str(i): min(1.0, max(0.0, rng.random() + shift)) for i in range(n)}


def test_a_paired_test_is_that_of_scipy() -> None:
    rng = random.Random(3)
    a, b = _scores(rng, 40, 0.1), _scores(rng, 40)
    found = paired_test("pass@1", a, b, {key: key for key in a}, n_resamples=200)
    expected = stats.ttest_rel(list(a.values()), list(b.values()))
    difference = np.array(list(a.values())) - np.array(list(b.values()))
    assert found.p_t == pytest.approx(float(expected.pvalue), abs=1e-9)
    assert found.effect == pytest.approx(difference.mean() / difference.std(ddof=1), abs=1e-9)
    assert found.mean_a - found.mean_b == pytest.approx(found.gain.interval.mean, abs=1e-12)


def test_what_could_have_been_seen_is_seen_four_times_of_five() -> None:
    rng = np.random.default_rng(5)
    n, spread = 50, 0.3
    zeros = {str(i): 0.0 for i in range(n)}
    drawn = dict(zip(zeros, rng.normal(0, spread, n), strict=True))
    found = paired_test("m", drawn, zeros, {key: key for key in zeros}, n_resamples=50)
    assert found.detectable is not None
    true = found.detectable * spread / float(np.std(list(drawn.values()), ddof=1))
    p_values = [stats.ttest_1samp(rng.normal(true, spread, n), 0).pvalue for _ in range(2000)]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.8, abs=0.04)


def test_equals_are_told_apart_in_one_comparison_of_twenty() -> None:
    rng = random.Random(11)
    n_found, n_runs = 0, 200
    for run in range(n_runs):
        skills = [rng.random() for _ in range(40)]
        a, b = (
            pass_rates({str(i): (5, sum(rng.random() < p for _ in range(5)))
                        for i, p in enumerate(skills)}, 1)
            for _ in range(2)
        )  # fmt: skip
        found = paired_test("pass@1", a, b, {key: key for key in a}, seed=run, n_resamples=200)
        n_found += found.gain.p_permutation < 0.05
    assert n_found / n_runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n_runs)


def test_several_tests_are_corrected_together() -> None:
    rng = random.Random(1)
    ids = {str(i): i for i in range(30)}
    tests = [
        paired_test(str(k), _scores(rng, 30, k / 20), _scores(rng, 30), ids, n_resamples=200)
        for k in range(4)
    ]
    adjusted = [one.p_holm for one in with_holm(tests)]
    assert adjusted == holm([one.gain.p_permutation for one in tests])
    assert all(p >= one.gain.p_permutation for p, one in zip(adjusted, tests, strict=True))


def test_differences_without_spread_have_no_t_test() -> None:
    same = {"a": 1.0, "b": 0.5}
    found = paired_test("m", same, same, {"a": 1, "b": 2})
    assert (found.p_t, found.effect, found.detectable) == (None, None, None)
    assert found.gain.p_permutation == 1.0


def test_every_problem_has_its_own_rate() -> None:
    # 1 of 4 passed, two are drawn: of the six pairs three hold it.
    assert pass_rates({"a": (4, 1), "b": (2, 2)}, 2) == {"a": 0.5, "b": 1.0}


def test_effect_and_detectable_difference_by_hand() -> None:
    ids = {name: name for name in "abcd"}
    found = paired_test("m", {"a": 0.5, "b": 0.5, "c": 0.0, "d": 0.0}, dict.fromkeys(ids, 0.0), ids)
    # Differences 1/2, 1/2, 0, 0: their mean is 1/4, their spread half the root of 1/3; the
    # quantiles of 0.975 and 0.8 are 1.959964 and 0.841621.
    assert found.effect == pytest.approx(0.5 / math.sqrt(1 / 3))
    assert found.detectable == pytest.approx((1.959964 + 0.841621) * math.sqrt(1 / 3) / 4, abs=1e-6)
    assert (found.mean_a, found.mean_b, found.gain.n_clusters) == (0.25, 0.0, 4)


@pytest.mark.parametrize("rate", [1.0, 0.2], ids=["by all samples", "by one of five"])
def test_one_problem_more_that_is_solved_never_lowers_a_bound(rate: float) -> None:
    before = effective_interval([0.0] * 164)
    for n_solved in range(1, 164):
        found = effective_interval([rate] * n_solved + [0.0] * (164 - n_solved))
        assert (found.low, found.high) >= (before.low - 1e-9, before.high - 1e-9)
        assert found.high >= before.high - 1e-9
        before = found


def test_one_sample_a_problem_has_wilsons_interval() -> None:
    found = effective_interval([1.0] * 5 + [0.0] * 95)
    # Published for 5 of 100, for example by statsmodels' proportion_confint(5, 100, "wilson").
    assert (found.low, found.high) == pytest.approx((0.0215436, 0.1117505), abs=1e-6)


def test_one_error_of_a_judge_does_not_narrow_what_may_be() -> None:
    perfect = share_interval([1.0] * 164, range(164))
    one_error = share_interval([1.0] * 163 + [0.0], range(164), n_resamples=2000)
    assert one_error.low <= perfect.low


@pytest.mark.parametrize("n_samples", [1, 5])
@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.98])
def test_the_interval_covers_rare_and_frequent_passes(n_samples: int, p: float) -> None:
    rng = np.random.default_rng(9)
    rates = rng.binomial(n_samples, p, size=(1500, 164)) / n_samples
    found = [effective_interval(list(one)) for one in rates]
    covered = np.mean([one.low <= p <= one.high for one in found])
    # 94 to 97.5 %, within three standard errors of 1500 runs.
    assert 0.94 - 0.017 <= covered <= 0.975 + 0.013


@pytest.mark.parametrize(("n", "k", "p"), [(10, 1, 0.3), (10, 3, 0.3), (20, 1, 0.5), (20, 3, 0.3)])
def test_the_interval_covers_where_problems_are_few(n: int, k: int, p: float) -> None:
    rng = np.random.default_rng(4)
    of_passed = np.array([pass_at_k(10, passed, k) for passed in range(11)])
    rates = of_passed[rng.binomial(10, p, size=(6000, n))]
    found = [effective_interval(one) for one in rates.tolist()]
    covered = np.mean([one.low <= 1 - (1 - p) ** k <= one.high for one in found])
    # 94.5 to 96 %, within two and a half standard errors of 6000 runs.
    assert 0.945 - 0.007 <= covered <= 0.96 + 0.007


def _with_losses(n: int, won: int, lost: int) -> tuple[dict[str, float], dict[str, float]]:
    ids = [str(i) for i in range(n)]
    a = {one: float(not won <= i < won + lost) for i, one in enumerate(ids)}
    return a, {one: float(i >= won) for i, one in enumerate(ids)}


def test_the_interval_of_few_differences_is_that_of_bonett_and_price() -> None:
    a, b = _with_losses(40, 0, 1)
    found = paired_test("m", a, b, {one: one for one in a}, n_resamples=500)
    # By the published formula, of 0 + 1 and 1 + 1 differences in 40 + 2.
    p, q = 1 / 42, 2 / 42
    half = 1.959963985 * math.sqrt((p + q - (p - q) ** 2) / 42)
    interval = found.gain.interval
    assert interval.mean == pytest.approx(-1 / 40)
    assert (interval.low, interval.high) == pytest.approx((p - q - half, p - q + half), abs=1e-9)
    assert interval.high > 0 and found.gain.p_mcnemar == 1.0


def test_the_interval_of_few_differences_covers_the_true_one() -> None:
    rng = np.random.default_rng(4)
    for n, won, lost in ((164, 0.02, 0.0), (40, 0.1, 0.02)):
        n_covered = 0
        for b, c, _ in rng.multinomial(n, [won, lost, 1 - won - lost], size=300):
            one, other = _with_losses(n, int(b), int(c))
            found = paired_test("m", one, other, {i: i for i in one}, n_resamples=20)
            n_covered += found.gain.interval.low <= won - lost <= found.gain.interval.high
        assert n_covered / 300 >= 0.94 - 0.038


def test_what_mcnemars_test_could_have_seen_it_sees_four_times_of_five() -> None:
    rng = np.random.default_rng(0)
    for n, won, lost in ((40, 1, 0), (164, 3, 3), (164, 20, 16)):
        a, b = _with_losses(n, won, lost)
        found = paired_test("m", a, b, {one: one for one in a}, n_resamples=50).detectable
        assert found is not None
        differ = max((won + lost + 1) / (n + 2), found)
        drawn = rng.multinomial(
            n, [(differ + found) / 2, (differ - found) / 2, 1 - differ], size=3000
        )
        seen = [stats.binomtest(int(x), int(x + y)).pvalue <= 0.05 for x, y, _ in drawn if x + y]
        assert 0.79 <= sum(seen) / 3000 <= 0.83


def test_five_problems_can_show_no_difference_to_mcnemars_test() -> None:
    a, b = _with_losses(5, 4, 0)
    assert paired_test("m", a, b, {one: one for one in a}, n_resamples=50).detectable is None
