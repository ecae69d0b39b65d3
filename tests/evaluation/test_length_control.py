"""Differences at equal length: where there are any, and how sure they are."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codefavor.evaluation.compare import (
    Contender,
    compare_results,
    comparison_rows,
    comparison_text,
)
from codefavor.result_file import ITEM_FORMAT
from codefavor.statistics.paired import paired_test, without_length


def contender(name: str, scores: dict[str, float], lengths: dict[str, float]) -> Contender:
    result: dict[str, Any] = {
        "format": ITEM_FORMAT, "benchmark": "b", "items_sha256": "", "settings": {},
    }  # fmt: skip
    clusters = {one: one for one in scores}
    return Contender(name, Path(name), result, {"share": scores}, clusters, lengths=lengths)


def test_equal_length_outside_the_data_is_not_extrapolated_to() -> None:
    draw = random.Random(0)
    keys = [str(n) for n in range(100)]
    short = {one: float(draw.randint(5, 9)) for one in keys}
    long = {one: float(draw.randint(40, 80)) for one in keys}
    scores = [{one: float(draw.random() < 0.5) for one in keys} for _ in range(2)]
    sides = contender("short", scores[0], short), contender("long", scores[1], long)
    found = compare_results(sides, n_resamples=100)
    assert [test.measure for test in found[0].tests] == ["share"]
    assert "lengths do not overlap: no length-controlled share" in comparison_text(found)
    assert json.loads(json.dumps(comparison_rows(found)))[0]["without_overlap"] == ["share"]
    # One pair on the other side of equal length is not enough.
    assert without_length(scores[0], scores[1], {**long, "0": 4.0}, short) is None
    same = compare_results((sides[0], contender("b", scores[1], short)), n_resamples=100)
    assert "overlap" not in comparison_text(same)


def test_the_interval_carries_the_uncertainty_of_the_slope() -> None:
    """As wide as that of intercepts which are fitted anew to resampled items."""
    draw = np.random.default_rng(0)
    gaps = draw.normal(0.8, 0.5, 300)
    keys = [str(n) for n in range(300)]
    b = dict.fromkeys(keys, 30.0)
    a = {one: float(np.expm1(np.log1p(30.0) + gap)) for one, gap in zip(keys, gaps, strict=True)}
    values = 0.1 * gaps + draw.normal(0, 0.3, 300)
    ours, theirs = dict(zip(keys, values.tolist(), strict=True)), dict.fromkeys(keys, 0.0)
    found = without_length(ours, theirs, a, b)
    assert found is not None
    controlled, influence = found
    clusters = {one: one for one in keys}
    plain = paired_test("m", controlled, theirs, clusters).gain.interval
    ends = paired_test("m", controlled, theirs, clusters, influence=influence).gain.interval
    drawn = (draw.integers(0, 300, 300) for _ in range(2000))
    fits = [np.polyfit(gaps[at], values[at], 1)[1] for at in drawn]
    low, high = np.quantile(fits, [0.025, 0.975])
    assert ends.mean == pytest.approx(plain.mean)
    assert ends.high - ends.low == pytest.approx(high - low, rel=0.1)
    assert plain.high - plain.low < 0.7 * (high - low)
