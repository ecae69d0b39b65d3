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
        code = continued(PROMPT, reply)
    else:
        code = program_of(reply, "count_vowels", prompt=PROMPT)
    found: dict[str, object] = {"__name__": "answer"}
    exec(code, found)
    texts = ["banana", "", "xyz", "AEiou"]
    assert [found["count_vowels"](text) for text in texts] == [3, 0, 0, 5]  # type: ignore[operator]
