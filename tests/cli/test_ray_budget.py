"""Shards of a budgeted run on Ray whose process is lost: nobody hangs, and all goes on later."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import SimpleNamespace

import pytest

from codefavor.cli import ray_worker
from codefavor.cli.ray_earlier import spent_before
from codefavor.cli.ray_nodes import NodeCheck
from codefavor.cli.ray_worker import Job, run_shard
from codefavor.engine import Budget, Limits
from codefavor.engine.coordinator import Coordinator
from tests.cli.test_shards import DRAFTS, home, merge
from tests.kit.clock import VirtualClock
from tests.kit.commands import codefavor

__all__ = ["home"]

WORDS = DRAFTS.replace("%", "shared")


class Answer:
    """What a call of an actor gives: `ray.get` and `await` both wait for it."""

    def __init__(self, future):
        self.future = future

    def __await__(self):
        return asyncio.wrap_future(self.future).__await__()


class Actor:
    """A coordinator in a loop of its own, called as Ray's actors are."""

    def __init__(self, coordinator):
        self._coordinator, self._loop = coordinator, asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def __getattr__(self, name):
        def call(*args, **options):
            asked = getattr(self._coordinator, name)(*args, **options)
            return Answer(asyncio.run_coroutine_threadsafe(asked, self._loop))

        return SimpleNamespace(remote=call)


@pytest.fixture
def ray(home, monkeypatch):
    def get(asked):
        return [get(one) for one in asked] if isinstance(asked, list) else asked.future.result(60)

    exceptions = SimpleNamespace(RayError=ArithmeticError)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(get=get, exceptions=exceptions))
    monkeypatch.setattr(NodeCheck, "error_here", lambda self: "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.chdir(home)
    return SimpleNamespace(get=get)


def job_of(home, *words):
    known = NodeCheck({"folder": str(home)}, {}, str(home / "problems.jsonl"))
    return Job((*WORDS.split(), *words), None, 2, str(home / "shared" / "shards"), known)


def test_the_shard_of_a_lost_process_goes_on_with_the_next_run(home, ray):
    clock, budget = VirtualClock(), 40_000
    job = job_of(home, "--budget-tokens", str(budget))
    journals = [home / "shared" / "o.jsonl.journal"]
    actor = Actor(Coordinator(Budget(tokens=budget), Limits(), 1, {}, clock))
    ledger = str(job.folder(0) / "o.jsonl.journal.spent")
    # Killed before it had sent anything; Ray has no room to run its shard again.
    ray.get(actor.begin.remote(0))
    loan = ray.get(actor.lend.remote(0, ledger, (0.0, 0), (0.0, budget), True))
    assert loan.caps == (None, budget)
    clock.now += 31
    ended = run_shard(job, 1, None, actor)
    assert "the budget is spent by all shards together" in ended.error
    assert "run the same command to continue" in ended.error
    # The same command later.
    again = Actor(Coordinator(Budget(tokens=budget), Limits(), 1, spent_before(journals), clock))
    assert [run_shard(job, index, None, again).error for index in range(2)] == ["", ""]
    assert merge(f"{WORDS} --budget-tokens {budget}", home).code == 0
    alone = DRAFTS.replace("%", "alone").split()
    assert codefavor(*alone, "--budget-tokens", budget, home=home).code == 0
    out = [home / folder / "o.jsonl" for folder in ("shared", "alone")]
    assert out[0].read_bytes() == out[1].read_bytes()


def test_a_process_says_that_it_is_there_whatever_it_is_at(home, ray, monkeypatch):
    monkeypatch.setattr(ray_worker, "_HERE_EVERY_S", 0.01)
    heard = threading.Event()

    class Heard(Coordinator):
        async def here(self, shard):
            heard.set()

    def command(words):
        # Neither asks nor records anything. That it begins was heard before.
        heard.clear()
        return "" if heard.wait(60) else "nobody heard of it"

    monkeypatch.setattr(ray_worker, "_run", command)
    actor = Actor(Heard(None, Limits(), 1, {}))
    assert run_shard(job_of(home), 1, None, actor).error == ""
