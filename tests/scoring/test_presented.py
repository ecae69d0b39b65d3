"""The last whole program counts unless its own caption or heading, as a whole, says it is wrong."""

from __future__ import annotations

import pytest

from codefavor.scoring.answers import program_of

RIGHT = "def f(xs):\n    return max(xs) if xs else None\n"
WRONG = "def f(xs):\n    return max(xs)\n"


def fence(code: str) -> str:
    """A block as a model writes it."""
    return f"```python\n{code}```"


@pytest.mark.parametrize(
    "caption",
    [
        # A fault denied, mended, or named beside what is shown.
        "Here is a version which does not fail on empty lists:",
        "The following will not fail on an empty list:",
        "This one does not fail for empty lists:",
        "Here's the code with the error resolved:",
        "Here is the function with the bug addressed:",
        "Here's the function with the bug gone:",
        "Here is the updated version with this mistake eliminated:",
        "Here is the same thing with the bug ironed out:",
        "Your code, with the bug taken out, is:",
        "Wrong approach avoided:",
        "Let's avoid the pitfall with a guard:",
        "Note the common pitfall of empty lists:",
        "Empty lists are a common pitfall, hence:",
        "A classic pitfall is the empty list, which this version takes care of:",
        "It is wrong to call max on an empty list, hence the guard:",
        # What came before it.
        "Replace the incorrect code with:",
        "Swap the faulty function for this one:",
        "Unlike the naive one:",
        "If that fails on empty lists:",
        "This approach does not work for empty lists, use this one:",
        "What was wrong with the first version was the empty list:",
        "This fails on an empty list.",
        # Headings.
        "**Final code (no pitfalls):**",
        "### Final code, avoiding the pitfall",
        "### Avoiding Common Mistakes",
        # Whose it is.
        "Here is your code:",
        "Your solution:",
        "The code you asked for:",
    ],
)
def test_a_caption_that_only_speaks_of_a_fault_rejects_nothing(caption: str) -> None:
    assert (
        program_of(f"A first try:\n\n{fence(WRONG)}\n\n{caption}\n\n{fence(RIGHT)}", "f") == RIGHT
    )


@pytest.mark.parametrize(
    "caption",
    [
        "The bug in your code was here:",
        "Here is what I had before:",
        "Your version:",
        "Yours:",
        "The version from the question:",
        "You may be tempted by:",
        "The following crashes on an empty list:",
        "This shorter version would crash on []:",
        "Simple but incorrect:",
        "For reference, your code:",
        "This is what you should not write:",
        "\u274c Without the guard:",
        "### Mistakes to avoid",
        "Your previous code:",
        "My first (wrong) attempt:",
        "1. A tempting but wrong alternative:",
    ],
)
def test_a_caption_that_is_a_rejection_rejects(caption: str) -> None:
    assert program_of(f"Use this:\n\n{fence(RIGHT)}\n\n{caption}\n\n{fence(WRONG)}", "f") == RIGHT


@pytest.mark.parametrize(
    "said",
    [
        "Note that this fails for non-numeric items.",
        "This does not work for dicts.",
        "It won't work for sets.",
        "It fails on nothing.",
        "It returns wrong results for NaN.",
        "This is not recommended for huge lists.",
        "This was wrong before.",
        "That was wrong in the first version.",
        "This is wrong without the guard.",
        "The version above was wrong.",
        "The code above returns wrong values.",
    ],
)
def test_a_caveat_behind_the_last_program_does_not_take_it_back(said: str) -> None:
    reply = f"The simplest:\n\n{fence(WRONG)}\n\nBetter:\n\n{fence(RIGHT)}\n\n{said}\n"
    assert program_of(reply, "f") == RIGHT


def test_what_the_reply_rejects_lends_nothing_that_another_block_has() -> None:
    helper = "def g(xs):\n    return max(xs) if xs else None\n"
    wrong = "def g(xs):\n    return max(xs)\n"
    main = "def f(xs):\n    return g(xs)\n"
    reply = f"{fence(helper)}\n\nA common mistake would be:\n\n{fence(wrong)}\n\nMain:\n\n"
    assert program_of(reply + fence(main), "f") == f"{helper}\n{main}"
    # Better than none.
    assert program_of(f"Buggy code:\n\n{fence(wrong)}\n\n{fence(main)}", "f") == f"{wrong}\n{main}"
