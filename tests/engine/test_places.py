"""One width for many processes: what is lent is never more, whoever is lost, and none starves."""

from __future__ import annotations

import asyncio
import random

import pytest

from codefavor.backends import make_backend
from codefavor.engine import Context, Limits
from codefavor.engine.coordinator import Coordinator
from codefavor.engine.limits import Said
from codefavor.engine.places import PlaceLender
from codefavor.engine.runner import run
from codefavor.journal import Journal
from tests.kit.clock import VirtualClock
from tests.kit.server import LoopbackServer, Reply, openai_reply


@pytest.mark.parametrize("seed", range(10))
def test_what_is_lent_never_adds_up_to_more_than_the_width(seed):
    rng, clock = random.Random(seed), VirtualClock()
    lender = PlaceLender(20, 5, clock)
    lent: dict[int, int] = {}
    most = 0
    for _ in range(3000):
        holder = rng.randrange(12)
        in_flight = rng.randint(0, lent.get(holder, 0))
        overloaded = 0 if rng.random() < 0.01 else None
        said = Said(in_flight, rng.randrange(30), rng.randrange(5), overloaded)
        before = sum(lent.values())
        lent[holder] = lender.ask(holder, said).n
        # Only what is in flight already may be above a width that has shrunk.
        assert sum(lent.values()) <= max(20, before)
        assert lent[holder] <= said.in_flight + said.waiting
        most = max(most, sum(lent.values()))
        if rng.random() < 0.05:
            # Lost; whoever takes up its work begins with nothing.
            lender.forget(holder)
            del lent[holder]
    assert most == 20


def test_a_process_that_comes_late_gets_its_even_part():
    lender = PlaceLender(8, None, VirtualClock())
    assert lender.ask(0, Said(0, 64, 0, None)).n == 8
    assert lender.ask(1, Said(0, 64, 0, None)).n == 0
    # Three of the eight have ended by now: the first may not start others in their place.
    assert lender.ask(0, Said(5, 64, 3, None)).n == 5
    assert lender.ask(1, Said(0, 64, 0, None)).n == 3
    assert lender.ask(0, Said(3, 64, 2, None)).n == 4
    assert lender.ask(1, Said(3, 64, 0, None)).n == 4


def test_what_one_does_not_need_another_may_use():
    lender = PlaceLender(8, None, VirtualClock())
    assert lender.ask(0, Said(0, 1, 0, None)).n == 1
    assert lender.ask(1, Said(0, 64, 0, None)).n == 7


def test_places_of_a_process_that_is_not_heard_of_are_free_again():
    clock = VirtualClock()
    lender = PlaceLender(8, None, clock)
    assert lender.ask(0, Said(0, 64, 0, None)).n == 8
    clock.now += 31
    assert lender.ask(1, Said(0, 64, 0, None)).n == 8


def test_processes_that_are_overloaded_together_narrow_once():
    lender = PlaceLender(100, None, VirtualClock())
    rounds = [lender.ask(holder, Said(0, 50, 0, None)).round for holder in range(2)]
    for holder in range(2):
        lender.ask(holder, Said(50, 0, 0, rounds[holder]))
    lender.forget(0)
    lender.forget(1)
    assert lender.ask(2, Said(0, 200, 0, None)).n == 70


class Lent:
    """A shard's view of a coordinator, as Ray gives it."""

    def __init__(self, coordinator, shard):
        self.coordinator, self.shard = coordinator, shard

    async def places(self, model, cap, start, said):
        return await self.coordinator.places(self.shard, model, cap, start, said)


async def ask(context, row):
    text = await context.ask([{"role": "user", "content": row["id"]}])
    return {"id": row["id"], "text": text.text}


async def run_shards(server, folder, n_shards, concurrency):
    coordinator = Coordinator(None, Limits(), 2, {})

    async def run_one(shard):
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        rows = [{"id": f"{shard} {n}"} for n in range(20)]
        with Journal.open(folder / f"{shard}.journal", {}) as journal:
            return await run(
                lambda row, context: ask(context, row),
                rows,
                journal,
                context=Context(backend),
                concurrency=concurrency,
                limits=Limits(places=Lent(coordinator, shard), backoff_s=0.01),
            )

    return await asyncio.gather(*map(run_one, range(n_shards)))


async def test_eight_processes_have_no_more_in_flight_than_one(tmp_path):
    def handle(call):
        reply = openai_reply(call)
        reply.delay_s = 0.05
        return reply

    with LoopbackServer(handle) as server:
        found = await run_shards(server, tmp_path, 8, concurrency=4)
    assert [one.n_ok for one in found] == [20] * 8
    assert server.n_calls == 160
    assert server.max_open == 4


async def test_processes_find_the_width_of_a_server_together(tmp_path):
    """A server that stands six at a time: without a common width each would try its own."""
    refused = 0

    def handle(call):
        nonlocal refused
        if server.n_open >= 6:
            refused += 1
            return Reply({"error": {"message": "busy"}}, status=429)
        reply = openai_reply(call)
        reply.delay_s = 0.05
        return reply

    with LoopbackServer(handle) as server:
        found = await run_shards(server, tmp_path, 4, concurrency=64)
    assert [one.n_ok for one in found] == [20] * 4
    assert server.n_calls == 80 + refused and refused < 80


async def test_a_lost_coordinator_leaves_nobody_waiting(tmp_path):
    class Gone:
        async def places(self, *asked):
            raise ConnectionError("gone")

    with LoopbackServer(openai_reply) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        with Journal.open(tmp_path / "journal", {}) as journal:
            counts = await run(
                lambda row, context: ask(context, row),
                [{"id": "a"}, {"id": "b"}],
                journal,
                context=Context(backend),
                limits=Limits(places=Gone()),
            )
    assert counts.n_error == 2 and server.n_calls == 0
