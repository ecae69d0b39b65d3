"""Before anything is sent: which rows, what the prompts look like, and what it would cost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from codefavor.backends.base import Backend, Request, Response, Usage
from codefavor.engine.budget import TokenForecast
from codefavor.engine.context import Context
from codefavor.engine.prices import PriceTable
from codefavor.engine.runner import Step
from codefavor.errors import CodefavorError, ConfigError
from codefavor.records import Row

_N_SHOWN = 3


def chosen_rows(
    rows: Iterable[Row], sample: int | None, limit: int | None, seed: int
) -> Iterator[Row]:
    """The first `limit` of `sample` drawn rows; None: all of them."""
    drawn = rows if sample is None else sample_rows(rows, sample, seed)
    return itertools.islice(drawn, limit)


def sample_rows(rows: Iterable[Row], n: int, seed: int) -> list[Row]:
    """n rows drawn evenly from a stream of any length, in their order; only n are in memory."""
    rng = random.Random(seed)
    kept: list[tuple[int, Row]] = []
    for index, row in enumerate(rows):
        if len(kept) < n:
            kept.append((index, row))
        elif (slot := rng.randrange(index + 1)) < n:
            kept[slot] = (index, row)
    return [row for _, row in sorted(kept, key=lambda pair: pair[0])]


@dataclass(frozen=True)
class Question:
    """What a row asks; of a later question, without what answers will add to it.

    `backend` is another than the run's own, if another is asked.
    """

    request: Request
    backend: Backend | None = None


Later = Callable[[Row, Request], Iterable[Question]]


@dataclass(frozen=True)
class Forecasted:
    """What a run would ask, at most: tokens and dollars are bounds, failures apart.

    `prompts` are the first three as they would be sent. `usd_at_most` counts a token for each
    byte of text and the full `max_tokens` of each answer, at the prices of `prices_as_of`;
    None: a price is unknown.
    """

    prompts: list[str]
    n_rows: int
    n_requests: int
    input_tokens_at_most: int
    output_tokens_at_most: int
    usd_at_most: float | None
    prices_as_of: str = ""


class _Captured(CodefavorError):
    """Ends a step at its first question."""


class _CapturingClient:
    """Sends nothing: keeps what would have been sent, and ends the step.

    Or it goes on (`answers`) with an answer that says nothing and is as long as it may be.
    """

    def __init__(self, *, answers: bool) -> None:
        self.questions: list[Question] = []
        self._answers = answers

    async def ask(
        self, backend: Backend, request: Request, row_id: str, occurrence: int
    ) -> Response:
        self.questions.append(Question(request, backend))
        if not self._answers:
            raise _Captured("captured")
        return Response("?" * request.sampling.max_tokens)


def forecast(
    step: Step,
    rows: Iterable[Row],
    context: Context,
    *,
    later: Later | None = None,
    in_batch: bool = False,
    answers: bool = False,
) -> Forecasted:
    """Run the step up to its first question on every row, and add what `later` says may follow.

    What a step asks several times at once (samples of a backend that has no `n`) is counted
    so. With `answers` the step goes on, each time with an answer that no reader can use: so a
    judge asks all that it may. Raises ConfigError without a backend.
    """
    if context.backend is None:
        raise ConfigError("a forecast needs the backend that would be asked")
    totals = _Totals(context.backend)
    asyncio.run(_add_up(step, rows, context, later, totals, answers=answers))
    table = context.prices or PriceTable.load()
    usd: float | None = 0.0
    for backend, usage in totals.usages.values():
        price = table.price(backend.spec)
        if price is not None and in_batch:
            price = price.in_batch()
        usd = None if price is None or usd is None else usd + price.cost_usd(usage)
    total = sum((usage for _, usage in totals.usages.values()), Usage())
    return Forecasted(
        prompts=[render_prompt(request) for request in totals.shown],
        n_rows=totals.n_rows,
        n_requests=totals.n_requests,
        input_tokens_at_most=total.input_tokens,
        output_tokens_at_most=total.output_tokens,
        usd_at_most=usd,
        prices_as_of=table.as_of,
    )


class _Totals:
    """Sums over all rows, by backend."""

    def __init__(self, backend: Backend) -> None:
        self.usages: dict[int, tuple[Backend, Usage]] = {id(backend): (backend, Usage())}
        self.shown: list[Request] = []
        self.n_rows = self.n_requests = 0
        self._backend = backend
        self._bounds = TokenForecast()

    def add(self, first: list[Question], later: Iterable[Question]) -> None:
        """The questions of one row, in order."""
        self.n_rows += 1
        if first and len(self.shown) < _N_SHOWN:
            self.shown.append(first[0].request)
        n_answered = 0
        for question in first:
            n_answered += self._count(question, 0)
        for question in later:
            # Whatever it takes from earlier answers, it cannot hold more than all of them.
            n_answered += self._count(question, n_answered)

    def _count(self, question: Question, n_answered: int) -> int:
        backend = question.backend or self._backend
        most = self._bounds.at_most(question.request) + Usage(n_answered)
        _, before = self.usages.get(id(backend), (backend, Usage()))
        self.usages[id(backend)] = backend, before + most
        self.n_requests += 1
        return most.output_tokens


async def _add_up(
    step: Step,
    rows: Iterable[Row],
    context: Context,
    later: Later | None,
    totals: _Totals,
    *,
    answers: bool,
) -> None:
    for row in rows:
        client = _CapturingClient(answers=answers)
        # Captured at its first question, or rejected before it had any.
        with contextlib.suppress(CodefavorError):
            await step(row, context.asking(client).for_row(str(row.get("id"))))
        first = client.questions
        totals.add(first, later(row, first[0].request) if later and first else ())


def render_prompt(request: Request) -> str:
    """A request as people read it."""
    turns = [f"[{message['role']}]\n{message['content']}" for message in request.messages]
    stops = f"\n[stop] {list(request.stop)!r}" if request.stop else ""
    return "\n".join(turns) + f"\n[sampling] {request.sampling.to_row()}" + stops
