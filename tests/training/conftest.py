"""The embedded model, and pairs that any model can learn to tell apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from codefavor.backends.embedded import default_folder, ensure_embedded_model
from codefavor.records import Preference, Problem, content_id
from codefavor.training.rehearsal_checks import PRACTICE_BODIES


def easy_pairs(numbers: range) -> list[Preference]:
    """A working one-liner against a stub, for functions of several names."""
    pairs = []
    for number in numbers:
        for word, body in PRACTICE_BODIES.items():
            name = f"{word}_{number}"
            stub = "pass" if number % 2 else "raise NotImplementedError"
            pairs.append(
                Preference(
                    id=content_id("easy", name),
                    instruction=f"Write {name}(xs), the {word} of the list xs.",
                    chosen=f"def {name}(xs):\n    return {body}",
                    rejected=f"def {name}(xs):\n    {stub}",
                    problem_id=name,
                    feedback="[REJECTED] is a stub. [CHOSEN] does what is asked.",
                )
            )
    return pairs


def easy_problems(numbers: range) -> list[Problem]:
    """The same functions as problems with tests."""
    return [
        Problem(
            id=f"total_{number}",
            instruction=f"Write total_{number}(xs), the sum of the list xs.",
            tests=f"assert total_{number}([1, 2]) == 3\nassert total_{number}([]) == 0",
            entry_point=f"total_{number}",
        )
        for number in numbers
    ]


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    return ensure_embedded_model(default_folder())
