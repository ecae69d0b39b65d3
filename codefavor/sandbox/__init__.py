"""Running programs nobody trusts, and believing only what cannot be forged."""

from __future__ import annotations

from codefavor.sandbox.outcome import LEVELS, OUTCOMES, Limits
from codefavor.sandbox.pool import SandboxPool, run_tests

__all__ = ["LEVELS", "OUTCOMES", "Limits", "SandboxPool", "run_tests"]
