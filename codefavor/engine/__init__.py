"""The engine: applies a step to rows, asks any model, loses nothing, stops at the budget."""

from __future__ import annotations

from codefavor.engine.budget import Budget
from codefavor.engine.cache import ResponseCache
from codefavor.engine.context import Context, derived_seed
from codefavor.engine.counts import Counts
from codefavor.engine.health import RunStopped, StopRule
from codefavor.engine.limits import Limits
from codefavor.engine.prices import Price, PriceTable
from codefavor.engine.progress import Progress, TerminalProgress
from codefavor.engine.runner import Step, run, run_sync

__all__ = [
    "Budget",
    "Context",
    "Counts",
    "Limits",
    "Price",
    "PriceTable",
    "Progress",
    "ResponseCache",
    "RunStopped",
    "Step",
    "StopRule",
    "TerminalProgress",
    "derived_seed",
    "run",
    "run_sync",
]
