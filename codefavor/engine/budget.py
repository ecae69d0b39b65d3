"""A stop on cost: money and tokens that are reserved before a request and settled after it."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from codefavor.backends.base import Request, Usage
from codefavor.engine.prices import Price
from codefavor.errors import BudgetError, ConfigError, JournalError
from codefavor.journal_file import Syncer

logger = logging.getLogger(__name__)

# Tokens per byte of text before a run has seen any: real text has 0.2 to 0.4.
_FIRST_TOKENS_PER_BYTE = 0.5
# Chat templates add a few tokens around each message.
_TOKENS_PER_MESSAGE = 8


@dataclass(frozen=True)
class Budget:
    """The most that a run may spend, over all its resumed parts. None means: no such cap."""

    usd: float | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if (self.usd is not None and self.usd < 0) or (self.tokens is not None and self.tokens < 0):
            raise ConfigError("a budget must not be negative")


class Ledger:
    """What a run has spent, kept in a small file beside its journal.

    Each received answer adds a line at once, so a killed run continues with the right sum;
    the line is on the disk within `sync_every_s`.
    """

    def __init__(self, path: Path | None = None, *, sync_every_s: float = 1.0) -> None:
        self.usage = Usage()
        self.usd = 0.0
        self._path = path
        self._file: int | None = None
        self._end = 0
        self._unwritten = b""
        self._syncer: Syncer | None = None
        if path is not None:
            self._file = self._open(path)
            self._syncer = Syncer("costs-sync", self.sync, sync_every_s)

    def add(self, usage: Usage, usd: float) -> None:
        """Record one paid answer. A full disk loses nothing: `check` raises from then on."""
        self.usage += usage
        self.usd += usd
        if self._file is not None:
            line = f"{usage.input_tokens} {usage.output_tokens} {usage.cached_tokens} {usd!r}\n"
            self._unwritten += line.encode("ascii")
            self._write()

    def check(self) -> None:
        """Raise JournalError if something spent could not be written: spend nothing more."""
        if self._unwritten:
            self._write()
        if self._unwritten:
            raise JournalError(
                f"{self._path}: the record of costs cannot be written; free some space and run the "
                "same command again"
            )

    def sync(self) -> None:
        """Return when the sums are on the disk."""
        if self._file is not None:
            os.fdatasync(self._file)

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        if self._file is None or self._syncer is None:
            return
        self._syncer.close()
        if self._unwritten:
            self._write()
        if self._unwritten:
            n_lines = self._unwritten.count(b"\n")
            logger.warning("%s: the costs of %d answers could not be written", self._path, n_lines)
        self.sync()
        os.close(self._file)
        self._file = None

    def _write(self) -> None:
        assert self._file is not None
        try:
            n_written = os.write(self._file, self._unwritten)
        except OSError:
            n_written = 0
        if n_written < len(self._unwritten):
            # Half a line would make the whole file unreadable.
            os.ftruncate(self._file, self._end)
            return
        self._end += n_written
        self._unwritten = b""
        if self._syncer is not None:
            self._syncer.note()

    def _open(self, path: Path) -> int:
        try:
            text = path.read_text(encoding="ascii") if path.exists() else ""
            self.usage, self.usd = _sums(text)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            self._end = text.rfind("\n") + 1
            os.ftruncate(handle, self._end)
        except (OSError, ValueError) as error:
            raise JournalError(f"{path}: cannot be read as a record of costs ({error})") from error
        return handle


def ledger_path(journal: Path) -> Path:
    """Where the costs of the run with this journal are kept."""
    return journal.with_name(journal.name + ".spent")


def read_spent(journal: Path) -> tuple[Usage, float] | None:
    """The tokens and US dollars that the run with this journal paid; None if none were kept.

    Raises JournalError for a record of costs that cannot be read.
    """
    path = ledger_path(journal)
    try:
        return _sums(path.read_text(encoding="ascii")) if path.is_file() else None
    except (OSError, ValueError) as error:
        raise JournalError(f"{path}: cannot be read as a record of costs ({error})") from error


def _sums(text: str) -> tuple[Usage, float]:
    usage, total = Usage(), 0.0
    # What follows the last line break was cut off by a kill.
    for line in text.split("\n")[:-1]:
        n_input, n_output, n_cached, usd = line.split(" ")
        usage += Usage(int(n_input), int(n_output), int(n_cached))
        total += float(usd)
    return usage, total


class Forecast:
    """Upper estimates of a request's tokens, from what the run has seen so far."""

    def __init__(self) -> None:
        self._ratio = _FIRST_TOKENS_PER_BYTE

    def tokens(self, request: Request) -> Usage:
        """Likely at most so many: input by the densest text seen, output by `max_tokens`."""
        n_input = int(request.n_input_bytes * self._ratio) + 1
        n_input += _TOKENS_PER_MESSAGE * len(request.messages)
        return Usage(n_input, request.sampling.max_tokens * request.sampling.n)

    def learn(self, request: Request, usage: Usage) -> None:
        """Adapt to the real ratio: up at once, down slowly, with a tenth of margin."""
        n_bytes = request.n_input_bytes
        if n_bytes >= 200 and usage.input_tokens:
            seen = 1.1 * usage.input_tokens / n_bytes
            self._ratio = seen if seen > self._ratio else self._ratio * 0.98 + seen * 0.02


class Reservation:
    """Money and tokens set aside for one request in flight."""

    __slots__ = ("tokens", "usd")

    def __init__(self, tokens: int, usd: float) -> None:
        self.tokens = tokens
        self.usd = usd


class _Reserved:
    """What is set aside for all requests in flight, of one model or of several."""

    def __init__(self) -> None:
        self.usd = 0.0
        self.tokens = 0
        self.n = 0
        self.changed = asyncio.Event()


class BudgetTracker:
    """Keeps spent plus reserved below the budget; a request that does not fit waits or fails.

    `beside` is the budget of another model that is paid out of the same budget.
    """

    def __init__(
        self,
        budget: Budget,
        price: Price | None,
        ledger: Ledger,
        beside: BudgetTracker | None = None,
    ) -> None:
        self._budget = budget
        self._price = price
        self.ledger = ledger
        self._reserved: _Reserved = _Reserved() if beside is None else beside._reserved
        self.is_price_known = price is not None

    async def reserve(self, forecast: Usage) -> Reservation:
        """Set the forecast aside. While it does not fit, wait for requests in flight to settle.

        Raises BudgetError when nothing is in flight any more and it still does not fit, and
        JournalError when what was spent cannot be recorded.
        """
        self.ledger.check()
        usd = self._price.cost_usd(forecast) if self._price else 0.0
        tokens = forecast.input_tokens + forecast.output_tokens
        while not self._fits(tokens, usd):
            if self._reserved.n == 0:
                raise self._spent_error(tokens, usd)
            self._reserved.changed.clear()
            await self._reserved.changed.wait()
        self._reserved.n += 1
        self._reserved.usd += usd
        self._reserved.tokens += tokens
        return Reservation(tokens, usd)

    def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """Replace a reservation by what was really used; None if no answer came."""
        self._reserved.n -= 1
        self._reserved.usd -= reservation.usd
        self._reserved.tokens -= reservation.tokens
        if usage is not None:
            self.ledger.add(usage, self._price.cost_usd(usage) if self._price else 0.0)
        self._reserved.changed.set()

    def _fits(self, tokens: int, usd: float) -> bool:
        spent = self.ledger.usage
        total = spent.input_tokens + spent.output_tokens + self._reserved.tokens + tokens
        if self._budget.tokens is not None and total > self._budget.tokens:
            return False
        total_usd = self.ledger.usd + self._reserved.usd + usd
        return self._budget.usd is None or total_usd <= self._budget.usd

    def _spent_error(self, tokens: int, usd: float) -> BudgetError:
        spent = self.ledger.usage.input_tokens + self.ledger.usage.output_tokens
        caps = []
        if self._budget.usd is not None:
            caps.append(
                f"${self.ledger.usd:.4f} of ${self._budget.usd:.4f} (the next request may "
                f"cost up to ${usd:.4f})"
            )
        if self._budget.tokens is not None:
            caps.append(
                f"{spent} of {self._budget.tokens} tokens (the next request may take up to "
                f"{tokens})"
            )
        return BudgetError(
            f"the budget is spent: {' and '.join(caps)}; what is done is kept, raise the budget "
            "and run the same command to continue"
        )


def budget_tracker(
    budget: Budget | None,
    price: Price | None,
    spec: str,
    ledger: Ledger,
    beside: BudgetTracker | None = None,
) -> BudgetTracker:
    """The budget of a run (see `BudgetTracker`).

    Raises ConfigError for a budget in money without a known price.
    """
    if budget is not None and budget.usd is not None and price is None:
        raise ConfigError(
            f"a budget in dollars needs the price of {spec}, which is in no price table; give it "
            'in a file {"prices": {"' + spec + '": {"input": ..., "output": ...}}} (dollars per '
            "million tokens), or use a budget in tokens"
        )
    return BudgetTracker(budget or Budget(), price, ledger, beside)
