"""A loaded judge among threads, forks and interrupts: by the requests that the server got."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

import codefavor
from codefavor import Comparison
from codefavor.errors import BudgetError
from tests.kit.server import LoopbackServer
from tests.test_api import PAIRS, answer
from tests.test_api_chat_judge import MANY, asked, loaded, own_cache  # noqa: F401


def slowly(call):
    reply = answer(call)
    reply.delay_s = 0.5
    return reply


def until(is_so):
    for _ in range(3000):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to this")


def started(function):
    thread = threading.Thread(target=function)
    thread.start()
    return thread


LOOPS = """
import asyncio, threading, time
made = []
def new_loop(make=asyncio.new_event_loop):
    made.append(make())
    time.sleep(0.2)
    return made[-1]
asyncio.new_event_loop = new_loop
import codefavor
judge = codefavor.load_judge("shorter")
one = codefavor.Comparison("x", "a", "aa")
threads = [threading.Thread(target=judge.compare, args=[one]) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(made))
"""


def said_by(program, **options):
    command = [sys.executable, "-c", program]
    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=100, **options
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split("\n")[:-1]


def test_threads_that_compare_first_share_one_loop():
    assert said_by(LOOPS) == ["1"]


FORK = """
import os, signal, sys
import codefavor
one = codefavor.Comparison("x", "a", "aa")
with codefavor.load_judge("openai:m", backend_options={"api_key": "k"}) as judge:
    print(judge.compare(one).choice, flush=True)
    child = os.fork()
    if not child:
        signal.alarm(30)
        try:
            judge.compare(one)
        except codefavor.CodefavorError as error:
            print(error, flush=True)
        judge.close()
        with codefavor.load_judge("openai:n", backend_options={"api_key": "k"}) as own:
            print(own.compare(one).choice, flush=True)
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
    print(judge.compare(codefavor.Comparison("y", "a", "aa")).choice)
"""


def test_a_fork_compares_with_judges_that_it_loads_and_leaves_its_parents_alone(tmp_path):
    with LoopbackServer(answer) as server:
        own = {"OPENAI_BASE_URL": f"{server.url}/v1", "XDG_CACHE_HOME": str(tmp_path)}
        said = said_by(FORK, env={**os.environ, **own})
        assert "loaded in another process, of which this one is a fork; load it here" in said[1]
        assert [len(said), said[0], said[3]] == [4, said[2], said[2]]
        assert len(server.calls) == 3


def test_close_waits_for_what_another_thread_compares():
    with LoopbackServer(slowly) as server:
        judge, found = loaded(server, concurrency=20), []
        comparing = started(lambda: found.extend(judge.compare(MANY)))
        until(lambda: len(server.calls) >= 20)
        judge.close()
        comparing.join()
        assert [one.choice for one in found] == ["A"] * 20
        with loaded(server) as again:
            again.compare(MANY)
        assert len(server.calls) == 20


def test_no_more_are_in_flight_than_said_from_all_threads_together():
    def handle(call):
        reply = answer(call)
        reply.delay_s = 0.05
        return reply

    with LoopbackServer(handle) as server, loaded(server, concurrency=3) as judge:
        parts = [MANY[n : n + 5] for n in range(0, 20, 5)]
        for thread in [started(partial(judge.compare, part)) for part in parts]:
            thread.join()
        assert (len(server.calls), server.max_open) == (20, 3)


def test_an_interrupt_waits_for_the_answers_in_flight_and_keeps_them():
    with LoopbackServer(slowly) as server, loaded(server, concurrency=5) as judge:

        def interrupt():
            until(lambda: len(server.calls) >= 5)
            os.kill(os.getpid(), signal.SIGINT)

        interrupting = started(interrupt)
        with pytest.raises(KeyboardInterrupt):
            judge.compare(MANY)
        interrupting.join()
        n_calls = len(server.calls)
        assert n_calls < 20 and server.n_open == 0
        server.handler = answer
        assert [one.choice for one in judge.compare(MANY)] == ["A"] * 20
        # None was asked twice.
        assert len({asked(call) for call in server.calls}) == len(server.calls) == 20


def test_the_budget_is_that_of_comparisons_and_evaluations_together(tmp_path):
    def handle(call):
        reply = answer(call)
        reply.body["usage"] = {"prompt_tokens": 1900, "completion_tokens": 100}
        return reply

    budget = {"budget_tokens": 50_000, "concurrency": 1}
    with LoopbackServer(handle) as server, loaded(server, **budget) as judge:
        judge.compare(MANY[:10])
        n_compared = len(server.calls)
        codefavor.evaluate(judge, PAIRS, out=tmp_path / "a")
        n_evaluated = len(server.calls)
        assert (n_compared, n_evaluated) == (10, 22)
        more = [Comparison(f"More {n}.", "result", "") for n in range(20)]
        with pytest.raises(BudgetError):
            judge.compare(more)
        assert len(server.calls) <= 25
        n_calls = len(server.calls)
        with pytest.raises(BudgetError):
            codefavor.evaluate(judge, PAIRS, out=tmp_path / "b", cache=tmp_path / "c.sqlite")
        assert len(server.calls) <= n_calls + 1
        # Its own rows are there: nothing is asked.
        assert codefavor.evaluate(judge, PAIRS, out=tmp_path / "a").accuracy == 1
