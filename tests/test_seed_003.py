"""The published numbers of seed system 003 under our statistics: which of its differences are real.

`evaluation/truthfulness_seed.csv` holds them, with how many rows each trained model got right that
the baseline got wrong and the reverse, counted in the rows that it released.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from codefavor.statistics.paired import PairedTest, paired_test, with_holm

TABLE = Path(__file__).parents[1] / "evaluation" / "truthfulness_seed.csv"
# Exact, where the p-values of the table are of the chi-square approximation without correction.
EXACT = {
    ("halueval-similarity", "best"): 0.0669,
    ("halueval-similarity", "latest"): 0.00288,
    ("halueval-judged", "best"): 0.342,
    ("halueval-judged", "latest"): 1.07e-21,
    ("truthfulqa", "best"): 0.00593,
    ("truthfulqa", "latest"): 0.117,
}


def rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def verdicts(row: dict[str, str]) -> tuple[dict[str, float], dict[str, float]]:
    """The verdicts of a model and of the baseline, item by item, as the counts determine them."""
    n, better, worse = (int(row[name]) for name in ("n", "n_better", "n_worse"))
    n_both = round(n * float(row["value"]) / 100) - better
    model = [1.0] * better + [0.0] * worse + [1.0] * n_both
    base = [0.0] * better + [1.0] * worse + [1.0] * n_both
    return tuple(
        {str(place): one for place, one in enumerate(side + [0.0] * (n - len(side)))}
        for side in (model, base)
    )  # type: ignore[return-value]


@pytest.fixture(scope="module")
def tests() -> dict[tuple[str, str], PairedTest]:
    counted = [row for row in rows() if row["n_better"]]
    found = []
    for row in counted:
        model, base = verdicts(row)
        found.append(
            paired_test(row["measure"], model, base, {one: one for one in model}, n_resamples=500)
        )
    keys = [(row["benchmark"], row["model"]) for row in counted]
    return dict(zip(keys, with_holm(found), strict=True))


def test_the_counts_give_the_published_shares(tests: dict[tuple[str, str], PairedTest]) -> None:
    shares = {
        (row["benchmark"], row["model"]): float(row["value"])
        for row in rows()
        if row["measure"] in ("not hallucinated", "truthful")
    }
    assert set(tests) == set(EXACT)
    for (benchmark, model), test in tests.items():
        assert round(100 * test.mean_a, 2) == shares[benchmark, model]
        assert round(100 * test.mean_b, 2) == shares[benchmark, "baseline"]


def test_mcnemar_agrees_with_the_known_p_values(tests: dict[tuple[str, str], PairedTest]) -> None:
    from scipy import stats

    for row in rows():
        if not row["p_chi2"]:
            continue
        gain = tests[row["benchmark"], row["model"]].gain
        b, c = gain.n_only_a, gain.n_only_b
        approximate = float(stats.chi2.sf((b - c) ** 2 / (b + c), 1))
        if row["p_chi2"].startswith("<"):
            assert approximate < float(row["p_chi2"][1:])
        else:
            digits = len(row["p_chi2"].partition(".")[2])
            assert round(approximate, digits) == float(row["p_chi2"])
        assert gain.p_mcnemar == pytest.approx(EXACT[row["benchmark"], row["model"]], rel=5e-3)


def test_no_headline_gain_is_real(tests: dict[tuple[str, str], PairedTest]) -> None:
    """A gain is none at the 5 % level; three losses are, also as one of six tests (Holm)."""
    from codefavor.statistics.intervals import holm

    corrected = dict(zip(tests, holm([one.gain.p_mcnemar for one in tests.values()]), strict=True))
    real = {key for key, p in corrected.items() if p < 0.05}
    assert real == {
        ("halueval-similarity", "latest"), ("halueval-judged", "latest"), ("truthfulqa", "best"),
    }  # fmt: skip
    assert all(tests[key].gain.interval.mean < 0 for key in real)
