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
from codefavor.reports.compare_page import compare_html
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


def test_ties_are_no_wins_at_equal_length() -> None:
    """What a fitted line leaves over of a tie has a sign: it is never counted."""
    draw = random.Random(0)
    keys = [str(n) for n in range(300)]
    lengths = [{one: float(draw.randint(10, 40)) for one in keys} for _ in range(2)]
    same = {one: float(draw.random() < 0.5) for one in keys}
    other = {**same, "0": 1 - same["0"]}
    sides = contender("a", same, lengths[0]), contender("b", other, lengths[1])
    found = compare_results(sides, n_resamples=1000)
    plain, controlled = found[0].tests
    assert (plain.gain.p_mcnemar, plain.gain.n_only_a + plain.gain.n_only_b) == (1.0, 1)
    assert np.isnan(controlled.gain.p_mcnemar)
    assert controlled.gain.p_permutation > 0.3
    assert comparison_rows(found)[0]["tests"][1]["gain"]["p_mcnemar"] is None
    assert comparison_text(found).count("McNemar") == 1
    assert "p nan" not in compare_html(found)


def test_p_is_uniform_where_nothing_differs_at_equal_length() -> None:
    """By simulation, with differences that go with length alone."""
    draw = np.random.default_rng(1)
    keys = [str(n) for n in range(80)]
    found = []
    for _ in range(400):
        gaps = draw.normal(0.3, 0.5, len(keys))
        a = dict(zip(keys, np.expm1(np.log1p(30.0) + gaps).tolist(), strict=True))
        values = 0.3 * gaps + draw.normal(0, 0.3, len(keys)) * (draw.random(len(keys)) < 0.5)
        ours, theirs = dict(zip(keys, values.tolist(), strict=True)), dict.fromkeys(keys, 0.0)
        controlled = without_length(ours, theirs, a, dict.fromkeys(keys, 30.0))
        assert controlled is not None
        test = paired_test(
            "m", controlled[0], theirs, dict(zip(keys, keys, strict=True)),
            influence=controlled[1], n_resamples=200,
        )  # fmt: skip
        assert np.isnan(test.gain.p_mcnemar)
        found.append(test.gain.p_permutation)
    for level in (0.05, 0.2, 0.5, 0.8):
        share = float(np.mean(np.array(found) <= level))
        assert share == pytest.approx(level, abs=3.5 * (level * (1 - level) / 400) ** 0.5)
