"""A stop on cost: the most a request may take is reserved before it is sent, and settled after."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import orjson

from codefavor.backends.base import Request, Response, Usage
from codefavor.engine.ledger import Ledger, Reservation
from codefavor.engine.prices import Price
from codefavor.errors import BudgetError, ConfigError

# Tokens per byte of text before a run has seen any: real text has 0.2 to 0.4.
_FIRST_TOKENS_PER_BYTE = 0.5
# Chat templates add a few tokens around each message, and some a few lines of their own.
_TOKENS_PER_MESSAGE = 8
_TOKENS_PER_TEMPLATE = 64
# What services add to a prompt to have a schema filled in: 200 to 810 tokens by their own pages.
_TOKENS_PER_SCHEMA = 1000
# Which requests stay at the most they may have taken.
OF_UNKNOWN_COST = (
    "whose cost is unknown (timeouts, broken connections, servers that failed, kills, answers that "
    "cannot be read or come without a token count)"
)


class Lender(Protocol):
    """Who holds the budget of several processes, and lends each a part."""

    async def lend(self, ledger: str, used: Amount, needed: Amount, n_reserved: int) -> Loan:
        """What a ledger may come to, of which so much is used, `n_reserved` requests in flight."""
        ...


Amount = tuple[float, int]
Caps = tuple[float | None, int | None]
# How long a process waits for what others may give back, before it asks again.
_ASKED_AGAIN_S = 0.2


class Loan(NamedTuple):
    """What a ledger may come to from now on; None: not so much more, but more `may_come`.

    What `n_lost` lost processes had been lent is not among what may come.
    """

    caps: Caps | None
    may_come: bool = False
    n_lost: int = 0


class MoreMayComeError(Exception):
    """A request does not fit yet, and other processes may give something back."""


@dataclass(frozen=True)
class Budget:
    """The most that a run may spend, over all its resumed parts. None means: no such cap.

    With a `lender` the caps are what it has lent so far, of the `whole` that all may spend; more
    is asked for when they do not do.
    """

    usd: float | None = None
    tokens: int | None = None
    lender: Lender | None = None
    whole: Budget | None = None

    def __post_init__(self) -> None:
        for value in (self.usd, self.tokens):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"a budget must be a number from 0; found {value}")


class TokenForecast:
    """What a request will take: at most for the budget, likely for the rate limits."""

    def __init__(self) -> None:
        self._ratio = _FIRST_TOKENS_PER_BYTE
        # What servers counted above the bound so far: text of their own that nobody sees.
        self._hidden_input = self._hidden_output = 0

    def at_most(self, request: Request) -> Usage:
        """A bound: a token a byte of text, all of `max_tokens`, and what servers add."""
        n_input = request.n_input_bytes + _TOKENS_PER_TEMPLATE + self._hidden_input
        n_input += _TOKENS_PER_MESSAGE * len(request.messages)
        if request.sampling.json_schema is not None:
            n_input += _TOKENS_PER_SCHEMA + len(orjson.dumps(request.sampling.json_schema))
        n_output = request.sampling.max_tokens * request.sampling.n + self._hidden_output
        return Usage(n_input, n_output)

    def likely(self, request: Request) -> Usage:
        """Input by the densest text seen, output by `max_tokens`."""
        n_input = int(request.n_input_bytes * self._ratio) + 1
        n_input += _TOKENS_PER_MESSAGE * len(request.messages)
        return Usage(n_input, request.sampling.max_tokens * request.sampling.n)

    def learn(self, request: Request, usage: Usage) -> None:
        """Adapt to the real numbers: up at once, the ratio also down slowly."""
        n_bytes = request.n_input_bytes
        if n_bytes >= 200 and usage.input_tokens:
            seen = 1.1 * usage.input_tokens / n_bytes
            self._ratio = seen if seen > self._ratio else self._ratio * 0.98 + seen * 0.02
        bound = self.at_most(request)
        self._hidden_input += max(0, usage.input_tokens - bound.input_tokens)
        self._hidden_output += max(0, usage.output_tokens - bound.output_tokens)


class BudgetTracker:
    """Keeps what is spent, may have been spent, and is in flight below the budget.

    A request that does not fit waits or fails. Several models that are paid out of one budget
    have a tracker each, on the same ledger. Raises ConfigError for a budget in money without a
    known price (of `spec`).
    """

    def __init__(self, budget: Budget, price: Price | None, ledger: Ledger, spec: str = "") -> None:
        if budget.usd is not None and price is None:
            raise ConfigError(
                f"a budget in dollars needs the price of {spec}, which is in no price table; give "
                'it in a file {"prices": {"' + spec + '": {"input": ..., "output": ...}}} (dollars '
                "per million tokens), or use a budget in tokens"
            )
        self._budget = budget
        self._price = price
        self.ledger = ledger
        self._borrowing, self._looking = asyncio.Lock(), asyncio.Lock()
        self._n_lost, self._is_refused = 0, False
        self.is_price_known = price is not None

    async def reserve(self, most: Usage) -> Reservation:
        """Set aside the most a request may take; while it does not fit, wait for others to end.

        Raises BudgetError when nothing is in flight any more and it still does not fit, and
        JournalError when what was spent cannot be recorded. Raises MoreMayComeError where other
        processes may give something back: `look_again` says when to try again.
        """
        self.ledger.check()
        while not self.fits(most):
            if await self._borrow(most):
                continue
            if not self.ledger.n_reserved:
                raise self.error(most)
            self.ledger.changed.clear()
            await self.ledger.changed.wait()
        return self.ledger.reserve(most, self.cost(most))

    def settle(self, reservation: Reservation, usage: Usage) -> None:
        """Replace a reservation by what the answer took."""
        self.ledger.settle(reservation, usage, self.cost(usage))

    def cost(self, usage: Usage) -> float:
        """The price of these tokens in US dollars; 0 if it is unknown."""
        return self._price.cost_usd(usage) if self._price else 0.0

    def fits(self, most: Usage) -> bool:
        """Whether a request that takes so much would stay within the budget now."""
        total_usd, total = self.ledger.in_use()
        if self._budget.tokens is not None and total + _tokens(most) > self._budget.tokens:
            return False
        return self._budget.usd is None or total_usd + self.cost(most) <= self._budget.usd

    async def look_again(self, stop_if_ending: Callable[[], None]) -> None:
        """Return, to one after the other, when others may have given something back.

        What they have may never come: `stop_if_ending` raises what ends the wait.
        """
        async with self._looking:
            stop_if_ending()
            # Who comes after one that was lent something may be lent something too.
            if self._is_refused:
                self.ledger.changed.clear()
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self.ledger.changed.wait(), _ASKED_AGAIN_S)

    async def _borrow(self, most: Usage) -> bool:
        """Whether more was lent. Raises MoreMayComeError."""
        lender = self._budget.lender
        if lender is None:
            return False
        async with self._borrowing:
            if self.fits(most):
                return True
            used, n_reserved = self.ledger.in_use(), self.ledger.n_reserved
            # While it asks it uses no more than this: the rest of what it was lent goes back.
            self._allow(used)
            needed = self.cost(most), _tokens(most)
            loan = await lender.lend(self.ledger.name, used, needed, n_reserved)
            self._n_lost, self._is_refused = loan.n_lost, loan.may_come
            if loan.may_come:
                raise MoreMayComeError
            if loan.caps is not None:
                self._allow(loan.caps)
            return loan.caps is not None

    def _allow(self, caps: Caps) -> None:
        usd = None if self._budget.usd is None else caps[0]
        tokens = None if self._budget.tokens is None else caps[1]
        self._budget = replace(self._budget, usd=usd, tokens=tokens)

    def error(self, most: Usage) -> BudgetError:
        """What to raise when such a request does not fit."""
        spent, budget = self.ledger.spent, self._budget.whole or self._budget
        caps = []
        if budget.usd is not None:
            caps.append(
                f"${spent.usd:.4f} of ${budget.usd:.4f} (the next request may cost up to "
                f"${self.cost(most):.4f})"
            )
        if budget.tokens is not None:
            caps.append(
                f"{_tokens(spent.usage)} of {budget.tokens} tokens (the next request may "
                f"take up to {_tokens(most)})"
            )
        unsettled = ""
        if spent.n_unsettled:
            unsettled = (
                f", and {spent.n_unsettled} requests {OF_UNKNOWN_COST} may have taken up to "
                f"${spent.unsettled_usd:.4f}, {_tokens(spent.unsettled_usage)} tokens"
            )
        who = "" if self._budget.whole is None else " by all shards together; this one took"
        how = "raise the budget and run the same command to continue"
        if self._n_lost:
            how = (
                "run the same command to continue with what was lent to processes that were lost "
                f"({self._n_lost}) and is not spent"
            )
        used = " and ".join(caps) + unsettled
        return BudgetError(f"the budget is spent{who}: {used}; what is done is kept, {how}")


def is_counted(response: Response) -> bool:
    """Whether the server said what this answer took: no text comes out of no tokens."""
    usage = response.usage
    answers = response.samples or (response,)
    has_text = any(answer.text or answer.reasoning for answer in answers)
    return usage.input_tokens > 0 and (usage.output_tokens > 0 or not has_text)


def _tokens(usage: Usage) -> int:
    return usage.input_tokens + usage.output_tokens
