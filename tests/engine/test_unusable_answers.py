"""Answers that say nothing: which are cached, tried again, and by whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from codefavor.backends import FakeBackend, Response, Sampling, TokenLogprob, Usage, make_backend
from codefavor.engine import Context, Limits, ResponseCache, StopRule, run
from codefavor.engine.cache import response_key, unusable_reason
from codefavor.errors import Rejected
from codefavor.journal import Journal
from codefavor.records import Row
from codefavor.redaction import hide
from tests.engine.test_batch import ROWS, PlayedBatches, batch_run, contents
from tests.engine.test_cache import ASK, IDENTITY
from tests.engine.test_faults import ask_once, rows
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

GOOD = Response("text")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (GOOD, ""),
        (Response(" \n"), "empty_answer"),
        (Response("", "filtered"), "filtered_answer"),
        (Response("half", "filtered"), "filtered_answer"),
        (Response("half", "other:error"), "other_answer"),
        # All tokens went into thinking: so they will again, with this max_tokens.
        (Response("", "length", reasoning="hm"), ""),
        # The log-probabilities were what was asked for.
        (Response("", logprobs=(TokenLogprob("A", -0.1),)), ""),
        (Response("", samples=(Response(""), GOOD)), ""),
        (Response("", samples=(Response(""), Response(""))), "empty_answer"),
    ],
)
def test_what_says_nothing_is_not_cached(tmp_path: Path, response: Response, reason: str) -> None:
    assert unusable_reason(response) == reason
    store = ResponseCache(tmp_path / "a")
    store.put(b"k", response, IDENTITY)
    assert (store.get(b"k") is None) == bool(reason)
    store.close()


def test_a_seed_that_is_not_sent_makes_nothing_repeatable() -> None:
    seeded = type(ASK)(ASK.messages, Sampling(temperature=1.0, seed=4))
    silent = {**IDENTITY, "omit": ["seed"]}
    assert response_key(silent, seeded, 0, "r", 0) != response_key(silent, seeded, 1, "r", 0)
    assert response_key(IDENTITY, seeded, 0, "r", 0) == response_key(IDENTITY, seeded, 1, "r", 0)


def ending(call: Call, finish: str, text: str) -> Reply:
    reply = openai_reply(call, text)
    reply.body["choices"][0]["finish_reason"] = finish
    return reply


async def test_an_answer_that_the_server_broke_off_is_asked_for_again_at_once(
    tmp_path: Path,
) -> None:
    def breaks_first(call: Call) -> Reply:
        return ending(call, "error", "ha") if len(server.calls) % 2 else openai_reply(call)

    with LoopbackServer(breaks_first) as server, Journal.open(tmp_path / "o", {}) as journal:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        counts = await run(
            ask_once,
            rows(4),
            journal,
            context=Context(backend),
            limits=Limits(backoff_s=0.01),
            concurrency=1,
        )
        assert (counts.n_ok, counts.n_requests, len(server.calls)) == (4, 8, 8)
    # What was broken off was paid for all the same.
    spent = (tmp_path / "o.spent").read_text().splitlines()
    assert [line[0] for line in spent] == ["+", "="] * 8


async def test_an_answer_broken_off_each_time_is_asked_again_once_the_server_is_healthy(
    tmp_path: Path,
) -> None:
    # Not by a command: its pauses between eight attempts add up to a minute.
    limits = Limits(max_attempts=3, backoff_s=0.01)
    options = {"limits": limits, "concurrency": 4, "stop_rule": StopRule(max_error_rate=1)}
    with LoopbackServer(lambda call: ending(call, "error", "half an ans")) as server:
        for healed, n_calls in ((False, 3 * 4), (True, 3 * 4 + 4)):
            if healed:
                server.handler = openai_reply
            backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
            store = ResponseCache(tmp_path / "answers")
            with Journal.open(tmp_path / "o", {}) as journal:
                context = Context(backend, cache=store)
                counts = await run(
                    ask_once, rows(4), journal, context=context, retry_errors=healed, **options
                )
            store.close()
            assert (counts.n_ok, counts.n_error) == ((4, 0) if healed else (0, 4))
            assert len(server.calls) == n_calls


@pytest.mark.parametrize(
    ("finish", "text", "status", "reason"),
    [
        ("stop", "", "error", "empty_answer"),
        ("tool_calls", "x", "error", "other_answer"),
        ("content_filter", "", "rejected", "filtered_answer"),
    ],
)
async def test_a_batch_ends_such_rows_as_online_mode_does(
    tmp_path: Path, finish: str, text: str, status: str, reason: str
) -> None:
    played = PlayedBatches(lambda call: ending(call, finish, text))
    with LoopbackServer(played) as server:
        for healed in (False, True):
            if healed:
                played.handler = openai_reply
            store = ResponseCache(tmp_path / "answers")
            with Journal.open(tmp_path / "o", {}) as journal:
                work = batch_run(tmp_path, journal, server.url, store, retry_errors=healed)
                counts = await work.run()
            store.close()
            if not healed:
                assert counts.reasons == {reason: len(ROWS)}
                assert {one["status"] for one in contents(tmp_path / "o").values()} == {status}
                assert played.n_answered == len(ROWS)
    # It is asked again, in all its three questions.
    assert played.n_answered == len(ROWS) * 4


async def test_an_empty_answer_online_is_an_error_that_is_paid_once(tmp_path: Path) -> None:
    with LoopbackServer(lambda call: ending(call, "stop", "")) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        with Journal.open(tmp_path / "o", {}) as journal:
            counts = await run(
                ask_once,
                rows(4),
                journal,
                context=Context(backend),
                stop_rule=StopRule(max_error_rate=1),
            )
    assert (counts.n_error, counts.reasons, len(server.calls)) == (4, {"empty_answer": 4}, 4)


async def test_a_row_without_a_result_says_what_it_cost_and_no_secret(tmp_path: Path) -> None:
    hide("key-abcdef0123456789")

    async def step(row: Row, context: Context) -> Row:
        await ask_once(row, context)
        if row["id"] == "r0":
            raise Rejected("no_use", "said by key-abcdef0123456789")
        if row["id"] == "r1":
            raise ValueError("key-abcdef0123456789 is wrong")
        return {"id": row["id"]}

    backend = FakeBackend("m", function=lambda request: Response("a", usage=Usage(30, 4)))
    with Journal.open(tmp_path / "o", {}) as journal:
        await run(step, rows(3), journal, context=Context(backend))
    found = contents(tmp_path / "o")
    for row_id, detail in (("r0", "said by "), ("r1", " is wrong")):
        assert found[row_id]["usage"] == {"fake:m": Usage(30, 4).to_row()}
        assert detail in found[row_id]["detail"]
    assert "usage" not in found["r2"]
    assert "0123456789" not in (tmp_path / "o").read_text()
