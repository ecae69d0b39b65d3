"""A loaded chat model asks as every command does: by the requests that the server got."""

from __future__ import annotations

import pytest

import codefavor
from codefavor import Comparison
from codefavor.engine import RunStopped
from codefavor.errors import BackendError, BudgetError, ConfigError
from tests.kit.server import LoopbackServer, Reply
from tests.test_api import PAIRS, answer

MANY = [Comparison(f"Add {n}.", f"result = {n}", f"{n}") for n in range(20)]
AGAIN = Reply({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0.01"})


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def loaded(server, **options):
    own = {"api_key": "k", "base_url": f"{server.url}/v1", **options.pop("own", {})}
    return codefavor.load_judge("openai:m", backend_options=own, **options)


def slowly(call):
    reply = answer(call)
    reply.delay_s = 0.02
    return reply


def asked(call):
    return call.body["messages"][-1]["content"]


def failing_once(reply):
    """Every question but the first is answered; that one when it is asked again."""
    seen = []

    def handle(call):
        seen.append(asked(call))
        return reply if len(seen) == 1 else answer(call)

    return handle


@pytest.mark.parametrize("reply", [AGAIN, Reply({"detail": "oops"}, status=500)], ids=str)
def test_what_fails_in_passing_is_asked_again(reply):
    with LoopbackServer(failing_once(reply)) as server, loaded(server) as judge:
        assert [one.choice for one in judge.compare(MANY)] == ["A"] * 20
        assert len(server.calls) == 21


def test_a_call_that_is_repeated_pays_only_for_what_was_not_answered():
    def handle(call):
        return Reply({"detail": "no"}, status=400) if "Add 7." in asked(call) else answer(call)

    with LoopbackServer(handle) as server:
        for n_calls in (20, 21):
            with loaded(server) as judge, pytest.raises(BackendError, match="HTTP 400: no"):
                judge.compare(MANY)
            assert len(server.calls) == n_calls
        server.handler = answer
        with loaded(server) as judge:
            assert [one.choice for one in judge.compare(MANY)] == ["A"] * 20
        assert len(server.calls) == 22


def test_no_more_are_in_flight_than_said():
    with LoopbackServer(slowly) as server:
        with loaded(server, concurrency=3) as judge:
            judge.compare(MANY)
        assert server.max_open <= 3
        with loaded(server) as judge:
            judge.compare([Comparison(f"{n}", "result", "") for n in range(300)])
        assert 3 < server.max_open <= 64


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error": {"message": "wrong key"}}, status=401),
        Reply({"error": {"message": "later"}}, status=429, headers={"Retry-After": "86400"}),
    ],
    ids=["key", "pause"],
)
def test_what_no_other_request_escapes_ends_a_call_and_no_later_one(reply):
    with LoopbackServer(lambda call: reply) as server, loaded(server, concurrency=2) as judge:
        with pytest.raises(RunStopped):
            judge.compare(MANY)
        assert len(server.calls) <= 2
        server.handler = answer
        assert [one.choice for one in judge.compare(MANY)] == ["A"] * 20


def test_the_budget_is_that_of_all_comparisons():
    def handle(call):
        reply = answer(call)
        reply.body["usage"] = {"prompt_tokens": 400, "completion_tokens": 100}
        return reply

    with LoopbackServer(handle) as server:
        with loaded(server, budget_tokens=10_000, concurrency=1) as judge:
            for one in MANY[:5]:
                judge.compare(one)
            with pytest.raises(BudgetError, match="of 10000 tokens"):
                judge.compare(MANY)
            n_calls = len(server.calls)
            assert 5 < n_calls < 20
            # What was answered costs nothing.
            assert judge.compare(MANY[0]).choice == "A"
        with pytest.raises(ConfigError, match="needs the price of openai:m"):
            loaded(server, budget_usd=1.0).compare(MANY)
        assert len(server.calls) == n_calls


def test_the_same_comparison_several_times_is_several_draws_that_are_kept():
    with LoopbackServer(answer) as server:
        for _ in range(2):
            # To one that takes a seed it would be the same question.
            own = {"features": ["json_schema"]}
            with loaded(server, temperature=1.0, own=own) as judge:
                assert len(judge.compare([MANY[0], MANY[1], MANY[0]])) == 3
            assert len(server.calls) == 3


def test_all_members_of_a_jury_ask_so():
    with LoopbackServer(failing_once(AGAIN)) as server:
        options = {"api_key": "k", "base_url": f"{server.url}/v1"}
        for _ in range(2):
            jury = codefavor.load_judge("jury:openai:m,openai:n,longer", backend_options=options)
            with jury as judge:
                assert [one.choice for one in judge.compare(MANY)] == ["A"] * 20
            assert len(server.calls) == 41


def test_an_evaluation_asks_as_its_judge_was_told_to(tmp_path):
    with LoopbackServer(slowly) as server:
        judge = loaded(server, cache=tmp_path / "own.sqlite", concurrency=1, budget_tokens=1)
        with pytest.raises(BudgetError):
            codefavor.evaluate(judge, PAIRS, out=tmp_path / "a")
        found = codefavor.evaluate(judge, PAIRS, out=tmp_path / "b", budget_tokens=10**6)
        assert found.accuracy == 1 and server.max_open == 1
        again = codefavor.evaluate(judge, PAIRS, out=tmp_path / "c", budget_tokens=10**6)
        assert again.accuracy == 1 and len(server.calls) == 12
        judge.close()


def test_a_closed_judge_says_so():
    with LoopbackServer(answer) as server:
        judge = loaded(server)
        judge.close()
        with pytest.raises(ConfigError, match="openai:m is closed; load it again"):
            judge.compare(MANY)
        assert server.calls == []
