"""Code preference: make the data, train the judge, measure both."""

from __future__ import annotations

from codefavor.errors import CodefavorError
from codefavor.records import Comparison, Completion, Execution, Preference, Problem, Verdict

__version__ = "0.1.0"

__all__ = [
    "CodefavorError",
    "Comparison",
    "Completion",
    "Execution",
    "Preference",
    "Problem",
    "Verdict",
    "__version__",
]
