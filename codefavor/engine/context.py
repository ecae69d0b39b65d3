"""What a step may use: a model, a sandbox, and randomness that belongs to its row."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from codefavor.backends.base import (
    GREEDY,
    NO_USAGE,
    Backend,
    Feature,
    Message,
    Request,
    Response,
    Sampling,
    Usage,
)
from codefavor.backends.microbatch import gather_all
from codefavor.engine.ask import ModelClient
from codefavor.engine.budget import Budget, BudgetTracker
from codefavor.engine.cache import ResponseCache
from codefavor.engine.clock import Clock
from codefavor.engine.ledger import Ledger
from codefavor.engine.limits import Limits
from codefavor.engine.prices import PriceTable
from codefavor.errors import BackendError, ConfigError, Rejected
from codefavor.records import content_id

if TYPE_CHECKING:
    from codefavor.sandbox import SandboxPool

DEFAULT_ACCEPT = ("stop", "length")
_UNACCEPTED = {"filtered": "filtered_answer", "length": "truncated_answer", "stop": "empty_answer"}


class Asks(Protocol):
    """What answers the questions of a step: the network, a batch file, a forecast."""

    async def ask(
        self, backend: Backend, request: Request, row_id: str, occurrence: int
    ) -> Response:
        """The answer to the question that this row asks as its n-th."""
        ...


@dataclass
class Context:
    """What a step may use. The runner hands each row its own copy.

    `cache` holds what was paid for; without it, a row that is interrupted between two of its
    questions asks the first one again. `prices` None means the shipped table. `others` are
    backends that a step asks through contexts of its own; they are released with the run.
    """

    backend: Backend | None = None
    sandbox: SandboxPool | None = None
    seed: int = 0
    cache: ResponseCache | None = None
    prices: PriceTable | None = None
    clock: Clock = field(default_factory=Clock)
    row_id: str = ""
    others: tuple[Backend, ...] = ()
    _asks: Asks | None = field(default=None, repr=False)
    _n_asked: int = field(default=0, repr=False)
    _used: dict[str, Usage] = field(default_factory=dict, repr=False)
    _responses: list[int] = field(default_factory=lambda: [0, 0], repr=False)

    @property
    def used(self) -> dict[str, Usage]:
        """The tokens of all answers this row has had, cached ones too.

        By "backend:model", as prices are.
        """
        return dict(self._used)

    @property
    def n_responses(self) -> tuple[int, int]:
        """How many answers this row has had, and how many of them came from the cache."""
        n, n_cached = self._responses
        return n, n_cached

    async def ask(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
        accept: Sequence[str] = DEFAULT_ACCEPT,
        may_be_empty: bool = False,
    ) -> Response:
        """The model's answer, with the store, caps, budget and retries of the run applied.

        An answer whose finish reason is not in `accept` or, unless it `may_be_empty` (say, where
        the log-probabilities are what was asked for), has no text is none. Raises Rejected where
        that is the model's doing (`filtered_answer`, `truncated_answer`), and BackendError, which
        --retry-errors asks again, where it is the server's (`empty_answer`, `other_answer`).
        """
        request = Request(messages, sampling or GREEDY, tuple(stop))
        response = await self._ask(request)
        problems = [
            "" if may_be_empty and answer.finish_reason in accept else _problem(answer, accept)
            for answer in response.answers()
        ]
        if all(problems):
            raise _failure(problems[0], f"finish reason {response.finish_reason}")
        return response

    async def samples(
        self, messages: Sequence[Message], *, sampling: Sampling, stop: Sequence[str] = ()
    ) -> tuple[Response, ...]:
        """`sampling.n` answers, whatever their finish reasons; one request where that is possible.

        A backend that answers once per request is asked n times at once, with seeds of their
        own. Raises as `ask` does if not one of the answers has any text.
        """
        if sampling.n == 1 or self.can("n"):
            answers = (await self._ask(Request(messages, sampling, tuple(stop)))).answers()
        else:
            answers = await self._ask_each(messages, sampling, tuple(stop))
        problems = [_problem(answer, DEFAULT_ACCEPT) for answer in answers]
        if all(problems) and not any(answer.text.strip() for answer in answers):
            raise _failure(problems[0], f"all {len(answers)} answers")
        return answers

    async def _ask_each(
        self, messages: Sequence[Message], sampling: Sampling, stop: tuple[str, ...]
    ) -> tuple[Response, ...]:
        """All n at once: in batch mode they then go into the same job."""
        requests = []
        for index in range(sampling.n):
            seed = None if sampling.seed is None else derived_seed(sampling.seed, str(index))
            one = msgspec.structs.replace(sampling, n=1, seed=seed)
            requests.append(self._ask(Request(messages, one, stop)))
        return tuple(await gather_all(requests))

    def can(self, feature: Feature) -> bool:
        """Whether the backend honours this part of a request; what it cannot do it refuses."""
        return self.backend is not None and feature in self.backend.features

    def rng(self, row_id: str) -> random.Random:
        """A generator that depends on the run's seed and the row alone, never on order."""
        return random.Random(derived_seed(self.seed, row_id))

    def for_row(self, row_id: str, *, counted_in: Context | None = None) -> Context:
        """A copy that counts the questions of one row.

        Its answers count as those of `counted_in` too: the row's own context, where another asks.
        """
        row_context = self._copied()
        row_context.row_id = row_id
        row_context._n_asked = 0
        row_context._used = {}
        row_context._responses = [0, 0]
        if counted_in is not None:
            row_context._used, row_context._responses = counted_in._used, counted_in._responses
        return row_context

    def asking(self, asks: Asks | None) -> Context:
        """A copy whose questions go there."""
        return dataclasses.replace(self, _asks=asks)

    def through(self, backend: Backend) -> Context:
        """The same row's context asking another backend; its answers count too."""
        other = self._copied()
        other.backend = backend
        return other

    def _copied(self) -> Context:
        # By hand: copy.copy takes four times as long, and this happens for every row.
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    async def _ask(self, request: Request) -> Response:
        if self.backend is None:
            raise ConfigError("this step asks a model, and no backend was given")
        if self._asks is None:
            self._asks = Clients(self, Ledger())
        occurrence, self._n_asked = self._n_asked, self._n_asked + 1
        response = await self._asks.ask(self.backend, request, self.row_id, occurrence)
        self._responses[0] += 1
        self._responses[1] += response.is_cached
        spec = self.backend.spec
        self._used[spec] = self._used.get(spec, NO_USAGE) + response.usage
        return response


class Clients:
    """The clients of a run, one for each backend, made when it is first asked.

    They share the budget and the ledger; `options`, such as caps, hold for each by itself.
    Raises ConfigError for a budget in money without a known price.
    """

    def __init__(
        self,
        context: Context,
        ledger: Ledger,
        *,
        budget: Budget | None = None,
        limits: Limits | None = None,
        max_concurrency: int = 64,
        **options: Any,
    ) -> None:
        self.ledger = ledger
        self._context, self._budget = context, budget or Budget()
        self._options = {
            "limits": limits or Limits(),
            "max_concurrency": max_concurrency,
            "cache": context.cache,
            "clock": context.clock,
            "seed": context.seed,
            **options,
        }
        self._made: dict[int, ModelClient] = {}
        if context.backend is not None:
            self._client(context.backend)

    async def ask(
        self, backend: Backend, request: Request, row_id: str, occurrence: int
    ) -> Response:
        """The answer of this backend, as `ModelClient.ask` gives it."""
        return await self._client(backend).ask(request, row_id, occurrence)

    def all(self) -> list[ModelClient]:
        """Those that were made."""
        return list(self._made.values())

    def end(self) -> None:
        """Send nothing more: answers in flight still arrive, everything else unwinds."""
        for client in self.all():
            client.end()

    @property
    def usd(self) -> float | None:
        """What was paid; None if the price of any model that was asked is unknown."""
        is_known = all(client.budget.is_price_known for client in self.all())
        return self.ledger.spent.usd if is_known else None

    def _client(self, backend: Backend) -> ModelClient:
        made = self._made.get(id(backend))
        if made is None:
            price = (self._context.prices or PriceTable.load()).price(backend.spec)
            tracker = BudgetTracker(self._budget, price, self.ledger, backend.spec)
            made = self._made[id(backend)] = ModelClient(backend, budget=tracker, **self._options)
        return made


def derived_seed(seed: int, name: str) -> int:
    """A seed below 2^31 that depends on both, the same on every machine and version."""
    return int(content_id(seed, name)[:8], 16) & 0x7FFFFFFF


def _failure(reason: str, detail: str) -> Rejected | BackendError:
    if reason in ("filtered_answer", "truncated_answer"):
        return Rejected(reason, detail)
    return BackendError(f"{reason}: {detail}", reason=reason)


def _problem(answer: Response, accept: Sequence[str]) -> str:
    """Why an answer cannot be used; "" if it can."""
    if answer.finish_reason not in accept:
        return _UNACCEPTED.get(answer.finish_reason, "other_answer")
    if answer.text.strip():
        return ""
    # A reasoning model that spent all its tokens on thinking was cut off, not silent.
    return "truncated_answer" if answer.finish_reason == "length" else "empty_answer"
