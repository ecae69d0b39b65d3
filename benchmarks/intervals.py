"""How often intervals hold the truth: of pass@1, of pass@k, and of the difference of two models.

    python benchmarks/intervals.py

Models pass each sample of each problem with probability p, the same for all problems or spread
over them (Beta(4p, 4 - 4p)). Differences: shares of problems that only one of both solves.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from codefavor.statistics.intervals import effective_interval
from codefavor.statistics.paired import paired_test
from codefavor.statistics.pass_at_k import pass_at_k as estimate

RUNS = 3000
PAIRS = 1000
SHARES = (0.02, 0.05, 0.1, 0.3, 0.5, 0.9, 0.98)


def pass_at_1(rng: np.random.Generator) -> None:
    """A row for each number of problems and samples, in percent of runs."""
    print(f"| problems | samples | skills | {' | '.join(map(str, SHARES))} |")
    print("|---" * (3 + len(SHARES)) + "|")
    for n_samples, skills in ((1, "equal"), (5, "equal"), (5, "spread")):
        for n in (20, 68, 164):
            cells = []
            for p in SHARES:
                chances = np.full((RUNS, n), p)
                if skills == "spread":
                    chances = rng.beta(4 * p, 4 - 4 * p, size=(RUNS, n))
                rates = rng.binomial(n_samples, chances) / n_samples
                found = [effective_interval(one) for one in rates.tolist()]
                cells.append(f"{100 * np.mean([one.low <= p <= one.high for one in found]):.1f}")
            print(f"| {n} | {n_samples} | {skills} | {' | '.join(cells)} |")


def pass_at_k(rng: np.random.Generator) -> None:
    """The same for more than one sample of ten."""
    print(f"\n| problems | k | skills | {' | '.join(map(str, SHARES))} |")
    print("|---" * (3 + len(SHARES)) + "|")
    for k, skills in itertools.product((3, 5, 10), ("equal", "spread")):
        of_passed = np.array([estimate(10, passed, k) for passed in range(11)])
        for n in (20, 68, 164):
            cells = []
            for p in SHARES:
                chances = np.full((RUNS, n), p)
                truth = 1 - (1 - p) ** k
                if skills == "spread":
                    chances = rng.beta(4 * p, 4 - 4 * p, size=(RUNS, n))
                    truth = 1 - math.prod((4 - 4 * p + i) / (4 + i) for i in range(k))
                rates = of_passed[rng.binomial(10, chances)]
                found = [effective_interval(one) for one in rates.tolist()]
                covered = [one.low - 1e-12 <= truth <= one.high + 1e-12 for one in found]
                cells.append(f"{100 * np.mean(covered):.1f}")
            print(f"| {n} | {k} | {skills} | {' | '.join(cells)} |")


def differences(rng: np.random.Generator) -> None:
    """A row for each share of problems that one model alone solves."""
    print("\n| problems | only one | only the other | covered |\n|---|---|---|---|")
    for n, won, lost in (
        (40, 0.05, 0.0),
        (40, 0.1, 0.02),
        (40, 0.3, 0.3),
        (164, 0.02, 0.0),
        (164, 0.02, 0.01),
        (164, 0.1, 0.1),
    ):
        n_covered = 0
        for b, c, _ in rng.multinomial(n, [won, lost, 1 - won - lost], size=PAIRS):
            ids = {str(i): i for i in range(n)}
            a = {one: float(not b <= i < b + c) for one, i in ids.items()}
            other = {one: float(i >= b) for one, i in ids.items()}
            interval = paired_test("pass@1", a, other, ids, n_resamples=100).gain.interval
            n_covered += interval.low <= won - lost <= interval.high
        print(f"| {n} | {won} | {lost} | {100 * n_covered / (PAIRS):.1f} |")


if __name__ == "__main__":
    pass_at_1(np.random.default_rng(0))
    pass_at_k(np.random.default_rng(2))
    differences(np.random.default_rng(1))
