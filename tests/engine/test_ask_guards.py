"""What stands between a question and its answer: pauses, retries, costs, the end of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from codefavor.backends import FakeBackend, Request, Response, Sampling, Usage
from codefavor.engine import Budget, Limits, RunStopped
from codefavor.engine.ask import ModelClient, RunEnding
from codefavor.engine.budget import BudgetTracker
from codefavor.engine.ledger import Ledger
from codefavor.errors import BackendError
from tests.kit.clock import VirtualClock

Asked = Callable[[Request], Any]


class Case:
    """A client of one backend, its clock, and what it told the user."""

    def __init__(
        self, answer: Asked, *, concurrency: int = 4, tokens: int | None = None, **limits: Any
    ) -> None:
        self.backend, self.clock = FakeBackend(function=answer), VirtualClock()
        self.told: list[str] = []
        self.ledger = Ledger()
        self.client = ModelClient(
            self.backend,
            limits=Limits(**limits),
            budget=BudgetTracker(Budget(tokens=tokens), None, self.ledger),
            cache=None,
            clock=self.clock,
            seed=0,
            max_concurrency=concurrency,
            report=self.told.append,
        )

    async def ask(self, text: str = "q") -> Response:
        request = Request([{"role": "user", "content": text}], Sampling(max_tokens=10))
        return await self.client.ask(request, text, 0)

    @property
    def n_sent(self) -> int:
        return len(self.backend.requests)


def failing(**options: Any) -> Asked:
    def answer(request: Request) -> str:
        raise BackendError("no", **options)

    return answer


@pytest.mark.parametrize(("seconds", "n_told"), [(4.0, 0), (6.0, 1)])
async def test_only_a_pause_that_is_noticed_is_announced(seconds: float, n_told: int) -> None:
    case = Case(lambda request: Response("a", usage=Usage(1, 1), pause_s=seconds))
    start = case.clock.now
    await case.ask("one")
    await case.ask("two")
    assert case.clock.now - start >= seconds
    # The second answer asks for the same pause again.
    assert len(case.told) == 2 * n_told


async def test_a_pause_of_just_the_longest_length_is_waited_for() -> None:
    case = Case(lambda request: Response("a", usage=Usage(1, 1), pause_s=900.0), max_pause_s=900.0)
    await case.ask("one")
    await case.ask("two")
    assert case.n_sent == 2


async def test_a_request_is_sent_so_often_and_no_more() -> None:
    case = Case(failing(retryable=True, reason="server_error"), max_attempts=3)
    with pytest.raises(BackendError):
        await case.ask()
    assert case.n_sent == 3


async def test_an_error_that_wants_a_longer_pause_than_the_run_waits_ends_it() -> None:
    wish = {"retryable": True, "reason": "server_error", "retry_after_s": 901.0}
    case = Case(failing(**wish))
    with pytest.raises(RunStopped, match="asks for a pause of "):
        await case.ask()
    assert case.n_sent == 1


async def test_the_server_s_own_wish_is_kept_and_spread_by_a_tenth() -> None:
    wish = {"retryable": True, "reason": "server_error", "retry_after_s": 100.0}
    case = Case(failing(**wish), max_attempts=2)
    start = case.clock.now
    with pytest.raises(BackendError):
        await case.ask()
    assert 100.0 < case.clock.now - start <= 110.0


async def test_pauses_grow_to_a_longest_one_and_are_random() -> None:
    options = {"max_attempts": 9, "backoff_s": 10.0, "max_backoff_s": 20.0}
    case = Case(failing(retryable=True, reason="server_error"), **options)
    start = case.clock.now
    with pytest.raises(BackendError):
        await case.ask()
    # 10 s and seven times 20 s at the most; 2,550 s without an end to their growth.
    assert 0 < case.clock.now - start < 10 + 7 * 20


@pytest.mark.parametrize(("reason", "n_unsettled"), [("timeout", 1), ("rate_limited", 0)])
async def test_what_may_be_on_the_bill_counts_and_what_cannot_does_not(
    reason: str, n_unsettled: int
) -> None:
    case = Case(failing(reason=reason))
    with pytest.raises(BackendError):
        await case.ask()
    assert case.ledger.spent.n_unsettled == n_unsettled
    assert case.ledger.n_reserved == 0


async def test_a_request_that_is_cancelled_may_have_been_answered() -> None:
    sent = asyncio.Event()

    async def never(request: Request) -> str:
        sent.set()
        await asyncio.Event().wait()
        return ""

    case = Case(never)
    asking = asyncio.ensure_future(case.ask())
    await sent.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert case.ledger.spent.n_unsettled == 1


async def test_an_answer_that_is_not_counted_is_not_free() -> None:
    case = Case(lambda request: Response("text", usage=Usage()))
    await case.ask()
    assert case.ledger.spent.n_unsettled == 1
    assert case.ledger.spent.unsettled_usage.output_tokens == 10


async def test_an_error_that_no_other_request_escapes_is_met_once() -> None:
    case = Case(failing(reason="auth"), concurrency=1)
    ended = await asyncio.gather(*(case.ask(text) for text in "abc"), return_exceptions=True)
    assert [type(one) for one in ended] == [RunStopped, RunEnding, RunEnding]
    assert case.n_sent == 1


async def test_one_who_waits_for_the_budget_is_not_sent_once_the_run_ends() -> None:
    async def refused(request: Request) -> str:
        await asyncio.sleep(0.01)
        raise BackendError("no", reason="auth")

    # There is room for one request at a time: 64 + 8 tokens around a word, and 10 out.
    case = Case(refused, tokens=100)
    ended = await asyncio.gather(case.ask("a"), case.ask("b"), return_exceptions=True)
    assert [type(one) for one in ended] == [RunStopped, RunEnding]
    assert case.n_sent == 1


async def test_one_who_waits_for_the_same_answer_may_go_without_harm() -> None:
    answered = asyncio.Event()

    async def late(request: Request) -> str:
        await answered.wait()
        return "late"

    case = Case(late)
    first, second = (asyncio.ensure_future(case.ask()) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second.cancel()
    answered.set()
    assert (await first).text == "late"
    assert case.n_sent == 1


async def test_what_a_server_counts_above_the_bound_is_expected_of_the_next() -> None:
    reserved = []

    def answer(request: Request) -> Response:
        reserved.append(case.ledger.reserved_tokens)
        return Response("text", usage=Usage(5000, 10))

    case = Case(answer)
    await case.ask("one")
    await case.ask("two")
    assert reserved[0] < 500
    assert reserved[1] >= 5000


async def test_more_requests_are_in_flight_once_the_first_went_well() -> None:
    in_flight, most = 0, 0

    async def answer(request: Request) -> str:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.01)
        in_flight -= 1
        return "x"

    case = Case(answer, concurrency=4)
    case.client._in_flight.width = 1.0
    await asyncio.gather(*(case.ask(str(n)) for n in range(12)))
    assert most > 1


async def test_an_answer_that_the_server_broke_off_is_asked_for_again() -> None:
    answers = [Response("", "other:error", Usage(3, 1)), Response("whole", usage=Usage(3, 1))]
    case = Case(lambda request: answers.pop(0))
    assert (await case.ask()).text == "whole"
    assert case.n_sent == 2
