"""A hundred forms in which models write a program: the one that is read does what was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from codefavor.scoring.answers import continued, program_of

# What the base model continues, and the chat model was shown.
PROMPT = 'def count_vowels(text):\n    """Return the number of vowels in text."""\n'
_TEXT = Path(__file__).with_name("replies.txt").read_text(encoding="utf-8")
REPLIES = [one.split("\n", 1) for one in _TEXT.split("@@@ ")[1:]]


def test_there_are_a_hundred_forms() -> None:
    assert len({name for name, _ in REPLIES}) == len(REPLIES) >= 100


@pytest.mark.parametrize(("name", "reply"), REPLIES, ids=[name for name, _ in REPLIES])
def test_the_program_of_this_form_does_what_was_asked(name: str, reply: str) -> None:
    if name.startswith("base"):
        code = continued(PROMPT, reply, "count_vowels")
    else:
        code = program_of(reply, "count_vowels", prompt=PROMPT)
    found: dict[str, object] = {"__name__": "answer"}
    exec(code, found)
    texts = ["banana", "", "xyz", "AEiou"]
    assert [found["count_vowels"](text) for text in texts] == [3, 0, 0, 5]  # type: ignore[operator]


_ONE = "```python\ndef f(x):\n    return 1\n```\n"
_TWO = "```python\ndef f(x):\n    return 2\n```\n"


@pytest.mark.parametrize(
    "reply",
    [
        f"A simple version:\n{_ONE}\nA version that fails fast on bad input:\n{_TWO}",
        f"A draft:\n{_ONE}\nHere is one with the common error cases covered:\n{_TWO}",
        f"A draft:\n{_ONE}\nAfter removing the buggy code:\n{_TWO}",
        f"A draft:\n{_ONE}\nNow with the bug out of the way:\n{_TWO}",
        f"A draft:\n{_ONE}\nFinal version:\n{_TWO}\nNote that this will not work in Python 2.\n",
        f"A draft:\n{_ONE}\nOptimal:\n{_TWO}\nIt fails if x is None, which the task excludes.\n",
        f"A draft:\n{_ONE}\nBetter:\n{_TWO}\nThis does not work with floats, only ints.\n",
        f"Recommended:\n{_TWO}\nWhat was wrong with yours:\n{_ONE}",
        f"Fixed code:\n{_TWO}\nThe code you gave me:\n{_ONE}",
        f"Fixed code:\n{_TWO}\nThe code in your question:\n{_ONE}",
        f"Fixed code:\n{_TWO}\nYour code, for reference:\n{_ONE}",
        f"Fixed:\n{_TWO}\nBefore the fix:\n{_ONE}",
        f"Fixed:\n{_TWO}\nDoes not work:\n{_ONE}",
        f"Fixed:\n{_TWO}\nEarlier attempt:\n{_ONE}",
        f"Fixed:\n{_TWO}\nThe version below is broken:\n{_ONE}",
        f"A:\n{_TWO}\nB:\n{_ONE}\nThis one is buggy, don't use it.\n",
    ],
)
def test_ordinary_words_about_a_program_are_no_warning_and_short_warnings_are(reply: str) -> None:
    assert program_of(reply, "f") == "def f(x):\n    return 2\n"


@pytest.mark.parametrize(
    "behind", ["", "\n\nThis adds one.", "\n\n\ndef test_f():\n    assert f(1) == 2\n\nprint("]
)
def test_a_body_is_put_behind_its_beginning_whatever_follows_it(behind: str) -> None:
    found = program_of(f"    return x + 1{behind}", "f", prompt="def f(x):\n    '''Add 1.'''\n")
    assert found == "def f(x):\n    '''Add 1.'''\n    return x + 1\n"
