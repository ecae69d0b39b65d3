"""The sentences of a task."""

from __future__ import annotations

from codefavor.pairs.prose import prose_of
from codefavor.records import Problem


def test_prose_leaves_out_signature_examples_and_asserts() -> None:
    prompt = 'def f(x: int):\n    """ Double the tide.\n    >>> f(2)\n    4\n    """\n'
    humaneval = Problem("h", "Complete this", "assert 1", "f", prompt=prompt)
    assert prose_of(humaneval) == "Double the tide."
    mbpp = Problem(
        "m", "Double the tide.\nFor example, this holds: assert f(2) == 4", "assert 1", "f"
    )
    assert prose_of(mbpp) == "Double the tide."
