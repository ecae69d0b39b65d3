"""The parser decides what is plainly said, and nothing else."""

from __future__ import annotations

import pytest

from codefavor.judges.verdict_parser import parse_verdict

# The 24 forms on which the first generation of such parsers was measured (14 went wrong).
PROBES = [
    ("[CODE_A] is better than [CODE_B]", "A"),
    ("Therefore, [CODE_B] is better than [CODE_A] on the mentioned criteria.", "B"),
    ("[CODE_A] is better.", "A"),
    ("Neither [CODE_A] nor [CODE_B] is better.", "tie"),
    ("**[CODE_B]** is better than **[CODE_A]**.", "B"),
    ("Code A is better than Code B because it is shorter.", "A"),
    ("The better code is [CODE_B].", "B"),
    ("CODE_A is much better than CODE_B.", "A"),
    ("I cannot decide.", "undecided"),
    ("", "undecided"),
    ("[CODE_A] is not better than [CODE_B]", "undecided"),
    ("[CODE_A] is worse than [CODE_B]", "B"),
    ("[CODE_B]", "B"),
    ("CODE_B outperforms CODE_A", "B"),
    ("A superior to B", "A"),
    ("A is better than B", "A"),
    ("Compared with [CODE_A], [CODE_B] is better", "B"),
    ("The code better suited is [CODE_A]", "A"),
    ("[CODE_A] is better than [CODE_B], while neither is perfect", "A"),
    ("There is no better code: A and B are the same", "tie"),
    ("[CODE_A] and [CODE_B] are equally good", "tie"),
    ("[CODE_A] is better than [CODE_B]. This Result follows from the criteria.", "A"),
    ("[CODE_B] is superior to [CODE_A]", "B"),
    ("[CODE_A] is preferable", "A"),
]

# Written before the parser was first run on them, and not used to make it.
CLEAR = [
    ("[RESULT] A", "A"),
    ("[RESULT] B", "B"),
    ("Program A misses the empty list.\n[RESULT] B", "B"),
    ("Program B is better at first sight.\n\n[RESULT] A\n", "A"),
    ('{"feedback": "B loops forever", "winner": "A"}', "A"),
    ('```json\n{"winner": "B"}\n```', "B"),
    ('{"winner": "tie"}', "tie"),
    ("A", "A"),
    ("b", "B"),
    ("(B)", "B"),
    ("**A**", "A"),
    ("Answer: B", "B"),
    ("Final answer: A", "A"),
    ("**Verdict:** B", "B"),
    ("The answer is B.", "B"),
    ("I prefer Program A over Program B.", "A"),
    ("I would choose B.", "B"),
    ("Program B wins.", "B"),
    ("The winner is Program A.", "A"),
    ("Program A is beaten by Program B.", "B"),
    ("Program B is inferior to Program A.", "A"),
    ("Program A is better at readability, but overall Program B is better.", "B"),
    ("It is a tie.", "tie"),
    ("tie", "tie"),
    ("Both programs are equivalent.", "tie"),
    ("A > B", "A"),
    ("B is clearly the better choice.", "B"),
    ("Unlike Program A, Program B is better.", "B"),
    ("<think>A is better</think>\n[RESULT] B", "B"),
    ("Solution B is slightly better than solution A.", "B"),
    ("A careful look shows that B is better.", "B"),
    ("Program A is not better than Program B. Program B is better.", "B"),
    ("[RESULT]\nProgram B", "B"),
    ("### Verdict\nProgram A is better because it handles None.", "A"),
    ("My choice: B", "B"),
    (
        "Program A fails on n = 0, whereas Program B is correct and therefore better. [RESULT] B",
        "B",
    ),
    ("Neither program is better.", "tie"),
]
UNCLEAR = [
    "Program A is better. Program B is better.",
    "Either could be better.",
    "Is A better than B?",
    "If the input is sorted, A is better.",
    "A or B",
    "Program A is longer than Program B.",
    "Program A might be better.",
    "It depends on the input.",
    "A better program would check its input.",
    "[RESULT] Both",
    "[RESULT] The first program",
    "<think>B is better",
    '{"winner": "C"}',
    '{"winner": "A", "choice": "B"}',
    "B is not worse than A.",
    "As an AI, I cannot say which one is better.",
    "The author claims that A is better.",
    "Program A is correct.",
    "[RESULT]",
    "Neither is correct.",
    "Program A is not worse.",
    '{"winner": null}',
    "See the table above.",
]


@pytest.mark.parametrize(("reply", "expected"), PROBES)
def test_probe_replies(reply, expected):
    assert parse_verdict(f"[FEEDBACK]\nBoth run.\n[RESULT]\n{reply}").choice == expected


@pytest.mark.parametrize(("reply", "expected"), CLEAR)
def test_clear_replies_are_read_right(reply, expected):
    assert parse_verdict(reply).choice == expected


@pytest.mark.parametrize("reply", UNCLEAR)
def test_unclear_replies_are_undecided(reply):
    assert parse_verdict(reply).choice == "undecided"


def test_the_raw_reply_is_kept():
    assert parse_verdict("[RESULT] A").raw == "[RESULT] A"
