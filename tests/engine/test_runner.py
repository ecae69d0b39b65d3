"""Each input row ends as exactly one record, and what was paid for is never asked again."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import FakeBackend, Request, Response, Sampling, Usage
from codefavor.engine import (
    Budget,
    Context,
    Limits,
    Price,
    PriceTable,
    ResponseCache,
    RunStopped,
    StopRule,
    run,
)
from codefavor.engine.ledger import read_spent
from codefavor.errors import BackendError, BudgetError, ConfigError, DataError, Rejected
from codefavor.journal import Journal, read_journal
from codefavor.records import Row
from tests.kit.clock import VirtualClock

NEVER = StopRule(max_error_rate=1.0)


def rows(n: int) -> list[Row]:
    return [{"id": f"r{i}", "q": f"question {i}"} for i in range(n)]


async def ask_once(row: Row, context: Context) -> Row:
    response = await context.ask([{"role": "user", "content": row["q"]}])
    return {"id": row["id"], "answer": response.text}


async def ask_twice(row: Row, context: Context) -> Row:
    drawn = Sampling(temperature=1.0)
    first = await context.ask([{"role": "user", "content": row["q"]}], sampling=drawn)
    second = await context.ask([{"role": "user", "content": row["q"]}], sampling=drawn)
    return {"id": row["id"], "answers": [first.text, second.text]}


def records(path: Path) -> dict[str, Row]:
    found = list(read_journal(path))
    assert len({record["id"] for record in found}) == len(found)
    return {record["id"]: record for record in found}


async def test_every_row_ends_once_as_ok_rejected_or_error(tmp_path: Path) -> None:
    async def step(row: Row, context: Context) -> Row:
        number = int(row["id"][1:])
        if number % 5 == 1:
            raise Rejected("odd_one", "because")
        if number % 5 == 2:
            raise BackendError("no", retryable=False, reason="bad_request")
        if number % 5 == 3:
            raise KeyError("missing")
        return {"id": row["id"]}

    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(step, rows(50), journal, context=Context(), stop_rule=NEVER)
    assert (counts.n, counts.n_ok, counts.n_rejected, counts.n_error) == (50, 20, 10, 20)
    assert counts.reasons == {"odd_one": 10, "bad_request": 10, "KeyError": 10}
    assert {record["status"] for record in records(tmp_path / "o").values()} == {
        "ok", "rejected", "error",
    }  # fmt: skip
    assert records(tmp_path / "o")["r1"]["detail"] == "because"


async def test_a_rejection_keeps_what_there_was_of_its_row(tmp_path: Path) -> None:
    async def step(row: Row, context: Context) -> Row:
        raise Rejected("no", row={"said": row["q"]})

    with Journal.open(tmp_path / "o", {}) as journal:
        await run(step, rows(1), journal, context=Context())
    record = records(tmp_path / "o")["r0"]
    assert (record["status"], record["row"]) == ("rejected", {"said": rows(1)[0]["q"]})


async def test_resume_skips_finished_rows_and_retry_errors_runs_exactly_the_failed(
    tmp_path: Path,
) -> None:
    asked: list[str] = []
    is_broken = True

    async def step(row: Row, context: Context) -> Row:
        asked.append(row["id"])
        if is_broken and row["id"] in ("r3", "r4"):
            raise BackendError("down", retryable=False, reason="bad_request")
        if row["id"] == "r5":
            raise Rejected("never")
        return {"id": row["id"]}

    with Journal.open(tmp_path / "o", {}) as journal:
        await run(step, rows(8), journal, context=Context())
    asked.clear()
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(step, rows(10), journal, context=Context())
    assert sorted(asked) == ["r8", "r9"]
    assert (counts.n_resumed, counts.n_old_errors) == (8, 2)
    asked.clear()
    is_broken = False
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(step, rows(10), journal, context=Context(), retry_errors=True)
    assert sorted(asked) == ["r3", "r4"]
    assert counts.n_ok == 2
    assert {record["status"] for record in records(tmp_path / "o").values()} == {"ok", "rejected"}


async def test_rows_are_read_only_as_fast_as_they_are_worked_on(tmp_path: Path) -> None:
    n_read = n_done = 0
    worst = 0

    def stream() -> Any:
        nonlocal n_read
        for row in rows(500):
            n_read += 1
            yield row

    async def step(row: Row, context: Context) -> Row:
        nonlocal n_done, worst
        worst = max(worst, n_read - n_done)
        await asyncio.sleep(0)
        n_done += 1
        return {"id": row["id"]}

    with Journal.open(tmp_path / "o", {}) as journal:
        await run(step, stream(), journal, context=Context(), concurrency=7)
    assert worst <= 7
    assert n_done == 500


async def test_a_repeated_id_runs_once_and_is_counted(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(ask_once, [*rows(3), *rows(2)], journal, context=Context(FakeBackend()))
    assert (counts.n, counts.n_ok, counts.n_duplicates) == (5, 3, 2)


async def test_a_row_without_an_id_is_one_clear_error(tmp_path: Path) -> None:
    with (
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(DataError, match=r"has no 'id'.*its fields are q"),
    ):
        await run(ask_once, [{"q": "x"}], journal, context=Context(FakeBackend()))


async def test_a_wrong_key_stops_at_the_first_answers_and_leaves_the_rows_to_do(
    tmp_path: Path,
) -> None:
    def refuse(request: Request) -> str:
        raise BackendError("HTTP 401: wrong key", retryable=False, reason="auth")

    backend = FakeBackend(function=refuse)
    backend.start_concurrency = 16
    with (
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(RunStopped, match="wrong key"),
    ):
        await run(ask_once, rows(10_000), journal, context=Context(backend), concurrency=64)
    assert len(backend.requests) <= 16
    assert records(tmp_path / "o") == {}


async def test_an_unreachable_server_stops_the_run_early_and_says_why(tmp_path: Path) -> None:
    def refuse(request: Request) -> str:
        raise BackendError("cannot be reached", retryable=True, reason="unreachable")

    backend = FakeBackend(function=refuse)
    backend.start_concurrency = 16
    context = Context(backend, clock=VirtualClock())
    with (
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(RunStopped, match=r"none of the first 40 .*unreachable.*cannot be reached"),
    ):
        await run(ask_once, rows(10_000), journal, context=context, concurrency=64)
    assert len(backend.requests) < 60


async def test_too_many_errors_stop_the_run_with_the_commonest_reasons(tmp_path: Path) -> None:
    def mostly_fail(request: Request) -> str:
        number = int(request.messages[-1]["content"].split()[1])
        if number < 10:
            return "fine"
        reason = "context_too_long" if number % 3 else "bad_request"
        raise BackendError(f"said {reason}", retryable=False, reason=reason)

    backend = FakeBackend(function=mostly_fail)
    with (
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(RunStopped, match=r"context_too_long \(for example: row r\d+: said"),
    ):
        await run(ask_once, rows(10_000), journal, context=Context(backend), concurrency=1)
    assert len(backend.requests) == 21  # 11 errors of 21 rows are the first more than half


async def test_an_interrupted_row_gets_its_own_draws_back(tmp_path: Path) -> None:
    answers = iter(range(1000))
    backend = FakeBackend(function=lambda request: f"draw {next(answers)}")

    async def dies_between(row: Row, context: Context) -> Row:
        result = await ask_twice(row, context)
        if row["id"] == "r1":
            raise BackendError("killed here", retryable=False, reason="x")
        return result

    store = ResponseCache(tmp_path / "answers")
    with Journal.open(tmp_path / "o", {}) as journal:
        await run(dies_between, rows(3), journal, context=Context(backend, cache=store))
        n_paid = len(backend.requests)
    with Journal.open(tmp_path / "o", {}) as journal:
        await run(
            ask_twice, rows(3), journal, context=Context(backend, cache=store), retry_errors=True
        )
    store.close()
    assert n_paid == len(backend.requests) == 6
    drawn = [text for r in records(tmp_path / "o").values() for text in r["row"]["answers"]]
    assert len(set(drawn)) == 6


async def test_greedy_answers_are_shared_between_rows_and_runs(tmp_path: Path) -> None:
    backend = FakeBackend(function=lambda request: "same")
    store = ResponseCache(tmp_path / "answers")
    same = [{"id": str(i), "q": "one question"} for i in range(20)]
    for name in ("first", "second"):
        with Journal.open(tmp_path / name, {}) as journal:
            counts = await run(ask_once, same, journal, context=Context(backend, cache=store))
            assert counts.n_ok == 20
    store.close()
    assert len(backend.requests) == 1


async def test_a_budget_is_never_exceeded_and_can_be_raised(tmp_path: Path) -> None:
    async def answer(request: Request) -> Response:
        await asyncio.sleep(0)
        return Response("x", usage=Usage(100, 100))

    prices = PriceTable({"fake2:m": Price(1000.0, 1000.0)})
    backend = FakeBackend("echo", function=answer)
    backend.name, backend.model = "fake2", "m"  # type: ignore[misc]
    context = Context(backend, prices=prices)
    sampled = Sampling(max_tokens=100)

    async def step(row: Row, context: Context) -> Row:
        text = "word " * 40
        message = {"role": "user", "content": f"{row['id']} {text}"}
        return {"id": row["id"], "a": (await context.ask([message], sampling=sampled)).text}

    n_ok = 0
    for usd in (2.05, 4.05, 100.0):
        with Journal.open(tmp_path / "o", {}) as journal:
            try:
                counts = await run(
                    step, rows(40), journal, context=context, budget=Budget(usd=usd), concurrency=8
                )
            except BudgetError as error:
                assert "raise the budget" in str(error)
        spent = read_spent(tmp_path / "o")
        assert spent is not None
        assert spent.usd <= usd
        assert len(records(tmp_path / "o")) > n_ok
        n_ok = len(records(tmp_path / "o"))
    assert n_ok == counts.n == 40
    assert len(backend.requests) == 40
    assert counts.usd == pytest.approx(8.0)


async def test_a_budget_in_dollars_without_a_price_is_refused_at_the_start(tmp_path: Path) -> None:
    backend = FakeBackend()
    backend.name = "openai"  # type: ignore[misc]
    backend.model = "nobody-knows-it"
    with (
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(ConfigError, match="price of openai:nobody-knows-it"),
    ):
        await run(ask_once, rows(3), journal, context=Context(backend), budget=Budget(usd=1.0))
    assert backend.requests == []


async def test_an_unknown_price_is_never_zero(tmp_path: Path) -> None:
    backend = FakeBackend()
    backend.name = "openai"  # type: ignore[misc]
    backend.model = "nobody-knows-it"
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(ask_once, rows(3), journal, context=Context(backend))
    assert counts.usd is None
    assert counts.input_tokens > 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Response(""), "empty_answer"),
        (Response("", "filtered"), "filtered_answer"),
        (Response("ab", "other:weird"), "other_answer"),
    ],
    ids=["empty", "filtered", "other"],
)
async def test_unusable_answers_are_rejections_with_a_name(
    tmp_path: Path, answer: Response, reason: str
) -> None:
    backend = FakeBackend(function=lambda request: answer)
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(ask_once, rows(2), journal, context=Context(backend))
    assert counts.reasons == {reason: 2}
    assert len(backend.requests) == 2  # they are paid for and not asked again


async def test_truncated_answers_are_a_reason_where_the_step_wants_whole_ones(
    tmp_path: Path,
) -> None:
    async def whole(row: Row, context: Context) -> Row:
        message = {"role": "user", "content": row["q"]}
        return {"id": row["id"], "a": (await context.ask([message], accept=("stop",))).text}

    backend = FakeBackend(function=lambda request: Response("ab", "length"))
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(whole, rows(1), journal, context=Context(backend))
    assert counts.reasons == {"truncated_answer": 1}


async def test_random_numbers_of_a_row_do_not_depend_on_order(tmp_path: Path) -> None:
    async def step(row: Row, context: Context) -> Row:
        return {"id": row["id"], "x": context.rng(row["id"]).random()}

    for name, data in (("a", rows(20)), ("b", rows(20)[::-1])):
        with Journal.open(tmp_path / name, {}) as journal:
            await run(step, data, journal, context=Context(seed=3))
    forward, backward = records(tmp_path / "a"), records(tmp_path / "b")
    assert {k: v["row"]["x"] for k, v in forward.items()} == {
        k: v["row"]["x"] for k, v in backward.items()
    }
    assert len({v["row"]["x"] for v in forward.values()}) == 20


async def test_a_request_is_retried_as_the_server_wishes_and_then_given_up(tmp_path: Path) -> None:
    clock = VirtualClock()
    times: list[float] = []

    def always_busy(request: Request) -> str:
        if request.messages[-1]["content"] == "question 0":
            return "ok"
        times.append(clock.now)
        raise BackendError("busy", retryable=True, retry_after_s=30.0, reason="rate_limited")

    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(
            ask_once,
            rows(2),
            journal,
            context=Context(FakeBackend(function=always_busy), clock=clock),
            limits=Limits(max_attempts=4),
            concurrency=1,
        )
    assert counts.reasons == {"rate_limited": 1}
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) == 4
    assert all(30.0 <= gap <= 33.1 for gap in gaps)


async def test_one_bad_request_never_stops_the_rest(tmp_path: Path) -> None:
    def picky(request: Request) -> str:
        if request.messages[-1]["content"].endswith(" 7"):
            raise BackendError("too long", retryable=False, reason="context_too_long")
        return "ok"

    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(
            ask_once, rows(30), journal, context=Context(FakeBackend(function=picky))
        )
    assert (counts.n_ok, counts.n_error, counts.reasons) == (29, 1, {"context_too_long": 1})
