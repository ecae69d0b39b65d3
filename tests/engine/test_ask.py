"""The client of a run: what waits is let go when the run ends, what is asked twice is sent once."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from codefavor.backends import FakeBackend, Request, Response, Sampling, Usage, make_backend
from codefavor.engine import Context, Limits, ResponseCache, run
from codefavor.errors import BackendError
from codefavor.journal import Journal, read_journal
from codefavor.records import Row
from tests.kit.clock import VirtualClock
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply


def rows(n: int) -> list[Row]:
    return [{"id": f"r{i}", "q": f"question {i}"} for i in range(n)]


async def ask_once(row: Row, context: Context) -> Row:
    response = await context.ask([{"role": "user", "content": row["q"]}])
    return {"id": row["id"], "answer": response.text}


def busy(call: Call) -> Reply:
    error = {"error": {"message": "slow down"}}
    return Reply(error, status=429, headers={"Retry-After": "600"})


@pytest.mark.parametrize(
    ("handler", "limits", "n_sent"),
    [(busy, Limits(), 2), (openai_reply, Limits(requests_per_min=1), 1)],
    ids=["a pause", "a cap"],
)
async def test_who_waits_is_let_go_when_the_run_is_interrupted(
    tmp_path: Path, handler, limits: Limits, n_sent: int
) -> None:
    interrupted = asyncio.Event()
    with LoopbackServer(handler) as server, Journal.open(tmp_path / "o", {}) as journal:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        running = asyncio.ensure_future(
            run(
                ask_once, rows(50), journal, context=Context(backend), concurrency=2,
                limits=limits, interrupted=interrupted,
            )
        )  # fmt: skip
        while server.n_calls < n_sent:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        interrupted.set()
        counts = await asyncio.wait_for(running, 20)
    assert server.n_calls == n_sent
    # Those who waited are rows to do, not errors.
    assert counts.n == len(list(read_journal(tmp_path / "o"))) < 2


async def test_the_same_question_in_flight_is_sent_once_and_its_failure_is_everyones(
    tmp_path: Path,
) -> None:
    async def fail(request: Request) -> Response:
        await asyncio.sleep(0.05)
        raise BackendError("no", retryable=False, reason="bad_request")

    same = [{"id": f"r{i}", "q": "one question"} for i in range(6)]
    backend = FakeBackend(function=fail)
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(ask_once, same, journal, context=Context(backend), concurrency=6)
    assert counts.reasons == {"bad_request": 6}
    assert len(backend.requests) == 1


async def test_retries_wait_longer_each_time_and_never_longer_than_said(tmp_path: Path) -> None:
    clock = VirtualClock()
    times: list[float] = []

    def fail(request: Request) -> str:
        times.append(clock.now)
        raise BackendError("oops", retryable=True, reason="server_error")

    limits = Limits(max_attempts=12, backoff_s=1.0, max_backoff_s=8.0)
    with Journal.open(tmp_path / "o", {}) as journal:
        await run(
            ask_once, rows(1), journal, context=Context(FakeBackend(function=fail), clock=clock),
            limits=limits,
        )  # fmt: skip
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) == 12
    for attempt, wait in enumerate(waits):
        assert 0.0 <= wait <= min(8.0, 2.0**attempt) + 1e-9
    assert max(waits) > 2.0
    assert len({round(wait, 6) for wait in waits}) > 8  # drawn, so that clients do not march


async def test_an_answer_that_came_is_counted_and_sent_requests_too(tmp_path: Path) -> None:
    store = ResponseCache(tmp_path / "answers")
    backend = FakeBackend(function=lambda request: Response("x", usage=Usage(5, 2, 1)))
    drawn = Sampling(temperature=1.0)

    async def step(row: Row, context: Context) -> Row:
        await context.ask([{"role": "user", "content": row["q"]}], sampling=drawn)
        return row

    for expected in ((4, 0), (0, 4)):
        name = f"o{expected[0]}"
        with Journal.open(tmp_path / name, {}) as journal:
            context = Context(backend, cache=store)
            counts = await run(step, rows(4), journal, context=context)
        assert (counts.n_requests, counts.n_cached) == expected
        assert counts.input_tokens == 5 * expected[0]
        assert (counts.n_unsettled, counts.unsettled_usd) == (0, 0.0)
    store.close()
