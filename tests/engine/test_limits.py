"""Caps hold in every minute, and concurrency follows what the server can take."""

from __future__ import annotations

import asyncio
import random

import pytest

from codefavor.engine.limits import SPAN_S, ConcurrencyLimiter, Limits, MinuteCap, RateLimiter
from codefavor.errors import ConfigError
from tests.kit.clock import VirtualClock


def most_in_a_minute(events: list[tuple[float, float]]) -> float:
    """The largest sum of amounts in any window [t, t + 60) that begins at an event."""
    return max(
        sum(amount for when, amount in events if start <= when < start + 60.0)
        for start, _ in events
    )


@pytest.mark.parametrize("cap", [1, 7, 60, 600])
async def test_no_minute_has_more_requests_than_the_cap(cap: int) -> None:
    clock = VirtualClock()
    rate_limiter = RateLimiter(Limits(requests_per_min=cap), clock)
    events = []
    for _ in range(3 * cap + 2):
        await rate_limiter.take(10, 10)
        events.append((clock.now, 1.0))
    assert most_in_a_minute(events) <= cap
    # And it is used: three spans and a bit are enough for three caps.
    assert events[-1][0] - events[0][0] <= SPAN_S * (3 * cap + 2) / cap + 1


@pytest.mark.parametrize("late_s", [0.05, 1.5])
async def test_first_requests_that_arrive_late_are_not_more_than_the_cap(late_s: float) -> None:
    clock = VirtualClock()
    rate_limiter = RateLimiter(Limits(requests_per_min=150), clock)
    arrivals = []
    for n in range(600):
        await rate_limiter.take(10, 10)
        # Connections take their time; once they are kept, a request is there at once.
        arrivals.append((clock.now + (late_s if n < 4 else 0.001), 1.0))
    assert most_in_a_minute(arrivals) <= 150


async def test_a_pause_holds_those_who_wait_for_a_cap_too() -> None:
    clock = VirtualClock()
    rate_limiter = RateLimiter(Limits(requests_per_min=60), clock)
    times: list[float] = []

    async def work() -> None:
        await rate_limiter.take(1, 1)
        times.append(clock.now)

    tasks = [asyncio.ensure_future(work()) for _ in range(6)]
    await asyncio.sleep(0)
    begun, start = len(times), clock.now
    assert rate_limiter.hold(40.0) == pytest.approx(40.0)
    assert rate_limiter.hold(30.0) == 0.0  # no longer than before
    await asyncio.gather(*tasks)
    assert begun < 6
    assert min(times[begun:]) >= start + 40.0


async def test_tokens_in_any_minute_stay_below_the_caps_whatever_the_sizes() -> None:
    clock, rng = VirtualClock(), random.Random(2)
    rate_limiter = RateLimiter(
        Limits(input_tokens_per_min=10_000, output_tokens_per_min=5_000), clock
    )
    inputs, outputs = [], []
    for _ in range(150):
        n_input, n_output = rng.choice([50, 400, 3000]), rng.choice([10, 900])
        await rate_limiter.take(n_input, n_output)
        inputs.append((clock.now, n_input))
        outputs.append((clock.now, n_output))
    assert most_in_a_minute(inputs) <= 10_000
    assert most_in_a_minute(outputs) <= 5_000


async def test_tokens_that_were_not_used_are_given_back() -> None:
    clock = VirtualClock()
    rate_limiter = RateLimiter(Limits(output_tokens_per_min=1000), clock)
    start = clock.now
    for _ in range(50):
        permit = await rate_limiter.take(0, 100)
        rate_limiter.settle(permit, 0, 10)
    # 50 x 10 real tokens fit into half a minute although 50 x 100 were asked for.
    assert clock.now - start < 61


async def test_input_and_output_are_settled_each_at_its_own_cap() -> None:
    limits = Limits(requests_per_min=9, input_tokens_per_min=1000, output_tokens_per_min=1000)
    rate_limiter = RateLimiter(limits, VirtualClock())
    permit = await rate_limiter.take(500, 600)
    rate_limiter.settle(permit, 450, 7)
    used = {kind: cap._used for kind, cap in rate_limiter._caps}
    assert used == {"requests": 1, "input": 450, "output": 7}


def test_a_clock_that_stands_still_never_lets_more_through() -> None:
    cap = MinuteCap(10, 0.0)
    taken = 0
    while cap.wait_s(1, 0.0) == 0 and taken < 100:
        cap.take(1, 0.0)
        taken += 1
    assert 1 <= taken <= 10


def test_waiting_is_for_as_much_as_is_needed_and_no_longer() -> None:
    cap = MinuteCap(10, 0.0)
    cap.take(5, 0.0)
    cap.take(5, 30.0)
    assert cap.wait_s(3, 32.0) == pytest.approx(SPAN_S - 32.0)  # until the first five are forgotten
    assert cap.wait_s(6, 32.0) == pytest.approx(SPAN_S - 2.0)  # until all are
    assert cap.wait_s(99, 32.0) == pytest.approx(SPAN_S - 2.0)  # more than the cap goes alone
    assert cap.wait_s(99, 30.0 + SPAN_S) == 0.0


def test_memory_grows_neither_with_the_speed_nor_with_time() -> None:
    cap = MinuteCap(10**9, 0.0)
    for number in range(20_000):
        assert cap.wait_s(1, 0.01 * number) == 0
        cap.take(1, 0.01 * number)
    # 200 seconds of 100 a second: ten records for each second of the last span.
    assert len(cap._taken) <= 11 * SPAN_S


async def test_concurrency_grows_to_the_cap_while_all_goes_well() -> None:
    concurrency = ConcurrencyLimiter(64, VirtualClock(), start=4)
    for _ in range(60):
        round_number = await concurrency.enter()
        concurrency.leave()
        concurrency.succeeded()
    assert concurrency.width == 64
    assert round_number == 0


async def test_overload_narrows_once_for_requests_in_flight_together() -> None:
    concurrency = ConcurrencyLimiter(100, VirtualClock())
    rounds = [await concurrency.enter() for _ in range(100)]
    for round_number in rounds:
        concurrency.overloaded(round_number)
        concurrency.leave()
    assert concurrency.width == pytest.approx(70.0)
    again = await concurrency.enter()
    concurrency.overloaded(again)
    assert concurrency.width == pytest.approx(49.0)
    for _ in range(49):
        concurrency.succeeded()
    # A round of successes adds one, not 49.
    assert concurrency.width == pytest.approx(50.0, abs=0.1)


async def test_never_more_than_the_width_are_inside_and_cancelled_waiters_lose_no_place() -> None:
    concurrency = ConcurrencyLimiter(3, VirtualClock())
    inside = worst = 0

    async def work() -> None:
        nonlocal inside, worst
        await concurrency.enter()
        try:
            inside += 1
            worst = max(worst, inside)
            await asyncio.sleep(0.001)
            inside -= 1
        finally:
            concurrency.leave()

    tasks = [asyncio.ensure_future(work()) for _ in range(40)]
    await asyncio.sleep(0.002)
    for task in tasks[10:25]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert worst == 3
    assert concurrency.in_flight == 0


async def test_a_place_given_to_one_who_is_cancelled_at_that_moment_goes_to_the_next() -> None:
    limiter = ConcurrencyLimiter(1, VirtualClock())
    await limiter.enter()
    second, third = (asyncio.ensure_future(limiter.enter()) for _ in range(2))
    await asyncio.sleep(0)
    limiter.leave()  # the place is the second's now
    second.cancel()
    await asyncio.wait_for(third, 5)
    assert second.cancelled()
    assert limiter.in_flight == 1


async def test_widening_lets_the_next_one_in() -> None:
    limiter = ConcurrencyLimiter(4, VirtualClock(), start=1)
    await limiter.enter()
    waiting = asyncio.ensure_future(limiter.enter())
    await asyncio.sleep(0)
    assert not waiting.done()
    limiter.succeeded()
    await asyncio.wait_for(waiting, 5)


async def test_when_a_run_ends_everyone_is_let_in() -> None:
    limiter = ConcurrencyLimiter(1, VirtualClock())
    waiting = [asyncio.ensure_future(limiter.enter()) for _ in range(5)]
    await asyncio.sleep(0)
    limiter.open_wide()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)


async def test_a_request_larger_than_a_part_of_a_cap_is_not_sent() -> None:
    alone, part = (
        RateLimiter(Limits(input_tokens_per_min=400, n_parts=n), VirtualClock()) for n in (1, 4)
    )
    await alone.take(794, 10)
    await part.take(400, 10)
    with pytest.raises(ConfigError, match="this one of 4 shards has 400"):
        await part.take(794, 10)


def test_a_cap_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="requests_per_min"):
        Limits(requests_per_min=0)
    with pytest.raises(ConfigError, match="max_attempts"):
        Limits(max_attempts=0)


def test_what_a_request_gave_back_is_not_given_back_again_a_minute_later() -> None:
    cap = MinuteCap(100, 0.0)
    first = cap.take(100.0, 0.0)
    cap.correct(first, -90.0, 1.0)
    cap.take(50.0, 50.0)
    # The first ten are forgotten, and fifty are not.
    assert cap.wait_s(40.0, 90.0) == 0.0
    assert cap.wait_s(60.0, 90.0) == pytest.approx(50.0 + SPAN_S - 90.0)


async def test_overload_after_overload_leaves_one_at_a_time() -> None:
    limiter = ConcurrencyLimiter(8, VirtualClock())
    for _ in range(20):
        limiter.overloaded(limiter.round)
    await asyncio.wait_for(limiter.enter(), 5)
    waiting = asyncio.ensure_future(limiter.enter())
    await asyncio.sleep(0)
    assert not waiting.done()
    limiter.leave()
    await asyncio.wait_for(waiting, 5)
