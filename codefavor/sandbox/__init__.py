"""Running programs nobody trusts, and believing only what cannot be forged."""

from __future__ import annotations

from codefavor.sandbox.lane import Lane, choose_lane
from codefavor.sandbox.outcome import LEVELS, OUTCOMES, Limits
from codefavor.sandbox.pool import SandboxPool, run_tests

__all__ = [
    "LEVELS",
    "OUTCOMES",
    "Lane",
    "Limits",
    "SandboxPool",
    "choose_lane",
    "run_tests",
]
