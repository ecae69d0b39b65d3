"""Code preference: make the data, train the judge, measure both."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codefavor.api import convert, evaluate, load_judge, load_pairs, run_tests
    from codefavor.errors import CodefavorError
    from codefavor.records import Comparison, Preference, Problem, Verdict

__version__ = "0.1.0"

# Imported when first used: `import codefavor` costs nothing of what is not.
_WHERE = {
    "load_judge": "codefavor.api",
    "evaluate": "codefavor.api",
    "run_tests": "codefavor.api",
    "load_pairs": "codefavor.api",
    "convert": "codefavor.api",
    "Comparison": "codefavor.records",
    "Preference": "codefavor.records",
    "Problem": "codefavor.records",
    "Verdict": "codefavor.records",
    "CodefavorError": "codefavor.errors",
    # Not for Python: a recipe names it as the type of a data set, and Axolotl finds only what
    # the top of a package has.
    "preferences": "codefavor.training.preference_rows",
}
__all__ = [
    "CodefavorError",
    "Comparison",
    "Preference",
    "Problem",
    "Verdict",
    "convert",
    "evaluate",
    "load_judge",
    "load_pairs",
    "run_tests",
]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'codefavor' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
