"""Charts put data where the axis says, and say in text what they draw."""

from __future__ import annotations

import pytest

from codefavor.reports.charts import (
    Axis,
    Plot,
    Point,
    Series,
    nice_axis,
    percent,
    points,
    share_axis,
)
from codefavor.reports.page import environment

DRAWN = environment().get_template("charts.html.j2").module


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 1.0], ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        ([3, 97], ["0", "25", "50", "75", "100"]),
        ([7.0], ["6.50", "6.75", "7.00", "7.25", "7.50"]),
        ([-0.02, 0.05], ["-0.02", "0.00", "0.02", "0.04", "0.06"]),
    ],
)
def test_nice_axis_has_round_ticks_that_cover_the_values(
    values: list[float], ticks: list[str]
) -> None:
    axis = nice_axis(values, "x")
    assert [label for _, label in axis.ticks] == ticks
    assert axis.low <= min(values)
    assert axis.high >= max(values)


def test_share_axis_always_shows_chance_and_stays_within_percent() -> None:
    axis = share_axis([0.81, 0.999], "accuracy")
    assert axis.low <= 0.5 <= axis.high <= 1.0
    assert "50%" in [label for _, label in axis.ticks]


def test_interval_strip_places_mark_and_whisker() -> None:
    axis = Axis(0.0, 1.0, [(0.0, "0%"), (1.0, "100%")], "accuracy")
    markup = DRAWN.strip("trained", 0.75, 0.5, 0.9, axis, "<b>")
    assert 'x="75.00%"' in markup
    assert 'x1="50.00%" x2="90.00%"' in markup
    assert "<title>&lt;b&gt;</title>" in markup


def test_an_unmeasured_value_draws_no_mark() -> None:
    axis = Axis(0.0, 1.0, [(0.0, "0%")], "accuracy")
    assert 'class="mark' not in DRAWN.strip("trained", None, None, None, axis, "x")


def test_the_ideal_line_follows_both_axes() -> None:
    x_axis = Axis(0.4, 1.0, [(0.4, "40%"), (1.0, "100%")], "stated")
    y_axis = Axis(0.0, 1.0, [(0.0, "0%"), (1.0, "100%")], "right")
    series = [Series("s", "trained", [Point(0.7, 0.7)])]
    markup = DRAWN.plot(Plot("t", series, x_axis, y_axis, has_diagonal=True))
    assert 'class="ideal" x1="0.00%" y1="60.00%" x2="100.00%" y2="0.00%"' in markup


def test_stacked_bar_segments_fill_the_bar() -> None:
    markup = DRAWN.stacked_bar([("passed", 1), ("wrong", 0), ("error", 3)], 4, "easy")
    assert 'x="0.000%" width="25.000%"' in markup
    assert 'x="25.000%" width="75.000%"' in markup
    assert markup.count("<rect") == 2


def test_a_logarithmic_axis_places_powers_evenly() -> None:
    axis = Axis(0.01, 100.0, [], "seconds", is_log=True)
    assert [axis.place(x) for x in (0.01, 0.1, 1.0, 100.0)] == pytest.approx([0, 25, 50, 100])


def test_numbers_say_their_unit() -> None:
    assert percent(0.8449) == "84.5%"
    assert percent(None) == "not measured"
    assert points(-0.031) == "−3.1"
    assert points(0.0) == "+0.0"
