"""Before anything is sent: which rows, what the prompts look like, and what it would cost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from codefavor.backends.base import Request, Response, Usage
from codefavor.engine.budget import Forecast
from codefavor.engine.context import Context
from codefavor.engine.prices import PriceTable
from codefavor.engine.runner import Step
from codefavor.errors import CodefavorError, ConfigError
from codefavor.records import Row

_N_SHOWN = 3
_N_MEASURED = 200


def first_rows(rows: Iterable[Row], limit: int | None) -> Iterator[Row]:
    """The first `limit` rows, all of them for None."""
    return iter(rows) if limit is None else itertools.islice(rows, limit)


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
class Forecasted:
    """What a run would ask. Tokens and dollars are estimates for the first question of each row.

    `prompts` are the first three as they would be sent. `usd_at_most` counts the full
    `max_tokens` of each answer at the prices of `prices_as_of`; None: the price is unknown.
    """

    prompts: list[str]
    n_rows: int
    n_requests: int
    input_tokens: int
    output_tokens_at_most: int
    usd_at_most: float | None
    prices_as_of: str = ""


class _Captured(CodefavorError):
    """Ends a step at its first question."""


class _CapturingClient:
    """Sends nothing: keeps what would have been sent, and ends the step."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def ask(self, request: Request, row_id: str, occurrence: int) -> Response:
        self.requests.append(request)
        raise _Captured("captured")


def forecast(
    step: Step, rows: Iterable[Row], context: Context, *, in_batch: bool = False
) -> Forecasted:
    """Run the step up to its first question on up to 200 rows, and extrapolate to all.

    What a step asks several times at once (samples of a backend that has no `n`) is counted
    so. Raises ConfigError without a backend.
    """
    if context.backend is None:
        raise ConfigError("a forecast needs the backend that would be asked")
    asked_by_row: list[list[Request]] = []
    n_rows = 0
    for row in rows:
        n_rows += 1
        if n_rows <= _N_MEASURED:
            asked_by_row.append(asyncio.run(_first_questions(step, row, context)))
    measured = [request for requests in asked_by_row for request in requests]
    n_measured_rows = min(n_rows, _N_MEASURED)
    scale = n_rows / n_measured_rows if n_measured_rows else 0.0
    estimate = Forecast()
    usages = [estimate.tokens(request) for request in measured]
    n_input = round(scale * sum(usage.input_tokens for usage in usages))
    n_output = round(scale * sum(usage.output_tokens for usage in usages))
    table = context.prices or PriceTable.load()
    price = table.price(context.backend.name, context.backend.model)
    if price is not None and in_batch:
        price = price.in_batch()
    usd = None if price is None else price.cost_usd(Usage(n_input, n_output))
    shown = [requests[0] for requests in asked_by_row if requests][:_N_SHOWN]
    return Forecasted(
        prompts=[render_prompt(request) for request in shown],
        n_rows=n_rows,
        n_requests=round(scale * len(measured)),
        input_tokens=n_input,
        output_tokens_at_most=n_output,
        usd_at_most=usd,
        prices_as_of=table.as_of,
    )


async def _first_questions(step: Step, row: Row, context: Context) -> list[Request]:
    client = _CapturingClient()
    # Captured at its first question, or rejected before it had any.
    with contextlib.suppress(CodefavorError):
        await step(row, context.with_client(client).for_row(str(row.get("id"))))
    return client.requests


def render_prompt(request: Request) -> str:
    """A request as people read it."""
    turns = [f"[{message['role']}]\n{message['content']}" for message in request.messages]
    stops = f"\n[stop] {list(request.stop)!r}" if request.stop else ""
    return "\n".join(turns) + f"\n[sampling] {request.sampling.to_row()}" + stops
