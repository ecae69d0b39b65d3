"""pass@k of a model: the share of problems that one of k samples solves.

Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code", section 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import comb


def pass_at_k(n: int, n_passed: int, k: int) -> float:
    """The unbiased estimate, in [0, 1], that one of k samples passes; `n_passed` of `n` did.

    Raises ValueError unless 1 <= k <= n and 0 <= n_passed <= n.
    """
    if not 1 <= k <= n or not 0 <= n_passed <= n:
        raise ValueError(f"no pass@{k} of {n_passed} passes in {n} samples")
    return 1 - comb(n - n_passed, k) / comb(n, k)


def pass_rates(passed: Mapping[str, tuple[int, int]], k: int) -> dict[str, float]:
    """pass@k of each problem; `passed` holds its samples and how many of them passed."""
    return {name: pass_at_k(n, n_passed, k) for name, (n, n_passed) in passed.items()}
