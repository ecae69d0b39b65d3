"""What tokens cost: a dated table that ships, and the user's own prices on top."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.backends.base import Usage
from codefavor.errors import ConfigError

PRICE_FILE = Path(__file__).with_name("prices.json")
FREE_BACKENDS = frozenset({"local", "embedded", "fake", "vllm"})


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens; `cached` is for input the server had in its cache.

    `batch_factor` is what batch mode costs relative to these prices.
    """

    input: float
    output: float
    cached: float | None = None
    batch_factor: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError for what no price is: a budget would hold nothing back."""
        for name, value in vars(self).items():
            is_left_out = name == "cached" and value is None
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_left_out and not (is_number and math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value!r}, not a number from 0")

    def cost_usd(self, usage: Usage) -> float:
        """The cost of these tokens."""
        cached = self.input if self.cached is None else self.cached
        full = usage.input_tokens - usage.cached_tokens
        cost = full * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output
        return cost / 1e6

    def in_batch(self) -> Price:
        """These prices as batch mode charges them."""
        factor = self.batch_factor
        cached = None if self.cached is None else self.cached * factor
        return Price(self.input * factor, self.output * factor, cached)


FREE = Price(0.0, 0.0)


class PriceTable:
    """Prices by "backend:model", exactly as a backend spec is written; nothing is guessed."""

    def __init__(self, prices: Mapping[str, Price], as_of: str = "") -> None:
        self._prices = dict(prices)
        self.as_of = as_of

    @classmethod
    def load(cls, own: Path | None = None) -> PriceTable:
        """The shipped table, with the prices of the file `own` on top.

        Both are JSON: {"as_of", "source", "prices": {"openai:some-model": {"input", "output",
        "cached", "batch_factor"}}}. Raises ConfigError for a file that is not of that form.
        """
        table = cls._read(PRICE_FILE)
        if own is not None:
            mine = cls._read(own)
            table._prices.update(mine._prices)
            table.as_of += f" and {own.name} ({mine.as_of or 'no date'})"
        return table

    @classmethod
    def _read(cls, path: Path) -> PriceTable:
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            prices = {spec: Price(**price) for spec, price in content["prices"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{path}: not a price file ({type(error).__name__}: {error}); expected "
                '{"as_of": ..., "source": ..., "prices": {"openai:some-model": '
                '{"input": 1.0, "output": 2.0}}} in US dollars per million tokens'
            ) from error
        return cls(prices, content.get("as_of", ""))

    def price(self, spec: str) -> Price | None:
        """The price of a model by its "backend:model"; None if it is unknown, never free."""
        return FREE if spec.partition(":")[0] in FREE_BACKENDS else self._prices.get(spec)
