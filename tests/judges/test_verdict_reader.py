"""The reader reads the forms that are asked for, and of anything else never a wrong winner."""

from __future__ import annotations

import pytest

from codefavor.judges.verdict_reader import read_verdict, visible_text

READ = [
    # What the prompts ask for.
    ("A", "A"),
    ("**B**", "B"),
    ("Program A", "A"),
    ("It handles None.\n\n[RESULT] B", "B"),
    ("**[RESULT]** **A**", "A"),
    ('{"feedback": "A says \\"winner\\": \\"B\\".", "winner": "A"}', "A"),
    ('{"winner": "tie", "feedback": "one\ntwo"}', "tie"),
    ('```json\n{"winner": "B"}\n```', "B"),
    ("tie", "tie"),
    # What others ask for.
    ("It is right. [[B]]", "B"),
    ("My final verdict is: [[A]]", "A"),
    ("Feedback: A is right, as asked. [RESULT] A", "A"),
    ("Verdict: tie", "tie"),
    ("**Final answer:** B", "B"),
    ("## Final verdict\n\n**Program B**", "B"),
    ("The better program is A.", "A"),
    # Around the verdict.
    ("<think>\nAnswer: A\n</think>\nAnswer: B", "B"),
    ("Thoughts of a template that opens them.\n</think>\n\nB", "B"),
    ("**Program A**\n- slow.\n\n**Program B**\n- fast.\n\n[RESULT] B", "B"),
    ("```\nAnswer: B\n```\nAnswer: A", "A"),
    ("It is right.\n\n---\n\n[RESULT] A", "A"),
    ("It prints too.\n\nHence:\n\n[RESULT] A", "A"),
    ("It prints too.\n\nThe final result:\n[RESULT] A", "A"),
    ("It is right.\n\n[RESULT]\nA", "A"),
    ("It is right.\n\n**[RESULT]**\n\n**B**", "B"),
    ("It is right.\n\n`[RESULT] A`", "A"),
    ("It is right.\n\n**Result:** B", "B"),
    ("It is right.\n\nRESULT: B", "B"),
    ("Program B 使用循环，更稳健。\n\n[RESULT] B", "B"),
    ("It is right.\n\n[RESULT] A</s>", "A"),
    ("It is right.\n\n[RESULT] A<|im_end|>", "A"),
    ('Here is the JSON object:\n{"feedback": "B crashes.", "winner": "A"}', "A"),
    ('Here is my answer:\n\n```json\n{"winner": "A"}\n```', "A"),
]
NOT_READ = [
    # Sentences, whatever they say.
    "Answer: A is incorrect and B is correct.",
    "Program A is better than Program B because it is shorter.",
    "Answer: A careful look shows that B is right.",
    "Verdict: A, but only for speed",
    "The wrong answer is A.",
    "My second choice: A",
    "I would not answer [[A]]",
    # Questions, forms and prompts repeated.
    "Answer: A?",
    "Which program is worse?\nAnswer: A",
    "either [RESULT] A or [RESULT] B.",
    "[[A]] or [[B]]",
    'It should look like this:\n{"winner": "A"}',
    '{"winner": "A", "B" or "tie"}',
    "Program A ends with this comment:\nAnswer: A",
    "The comment in Program B says: judge, be fair. [[A]]",
    # Contradictions and turns that follow.
    "Answer: A\n\nAnswer: B",
    "[RESULT] A\n\nWait, I misread it.\n\n[RESULT] B",
    "Answer: B, since A fails.\n\nQuestion: another\n\nAnswer: A",
    "B\n\nInstruction: sort\n\nAnswer: A",
    "Winner: A\nLoser: B",
    '{"winner": "A", "winner": "B"}',
    '{"winner": "A"} {"winner": "B"}',
    # Code.
    "def f():\n    return 1\n# Answer: A",
    "```python\nAnswer: A",
    "It prints what follows.\n\n    Answer: A",
    "Running it gives\nResult: A",
    '```python\n{"winner": "A"}\n```',
    # Objects that do not answer.
    '{"winner": ["A"]}',
    '{"winner": null}',
    '{"worse": "A"}',
    '{"question": "Which is worse?", "answer": "A"}',
    '{"winner": "A", "choice": "B"}',
    # A letter under a mark goes on from the line above it too, and so does one under a rule.
    "The winner is not\n[RESULT]\nA",
    "The winner is not\n\n---\n[RESULT] A",
    "The loser:\n---\n[RESULT] A",
    "B is better.\n---\n[RESULT]\nA",
    "B is better.\nHence:\n[RESULT] A",
    "Result: B\n[RESULT] A",
    "Program A prints this. `[RESULT] A`",
    'Here is the JSON object of the loser:\n{"winner": "A"}',
    # Replies without an end.
    "It is right. " * 4000 + "\n[RESULT] A",
    "<reasoning>" * 60 + "It is right.\n[RESULT] A",
    # Thoughts that never end.
    "<think>\nAnswer: A",
    "<|channel|>analysis<|message|>\nAnswer: A",
    "A\nB",
    "AB",
    "C",
    "a",
    "",
]


@pytest.mark.parametrize(("reply", "expected"), READ)
def test_forms_that_are_asked_for_are_read(reply, expected):
    assert read_verdict(reply) == expected


@pytest.mark.parametrize("reply", NOT_READ)
@pytest.mark.parametrize("asked", ["line", "scores"])
def test_everything_else_is_not_read(reply, asked):
    assert read_verdict(reply, asked) is None


@pytest.mark.parametrize("reply", ["Reasons.\n\nAnswer: A", "Answer: A", "A", "It is right. [[A]]"])
def test_a_last_line_that_may_be_cut_off_is_not_read(reply):
    assert read_verdict(reply) == "A"
    # "Answer: A" may have gone on with "is incorrect".
    assert read_verdict(reply, is_cut=True) is None


def test_an_object_that_is_closed_was_not_cut_off():
    assert read_verdict('{"winner": "A"}', is_cut=True) == "A"
    assert read_verdict('{"winner": "A", "feedback": "It', is_cut=True) is None


def test_a_letter_above_prose_is_no_verdict_for_the_prose_may_take_it_back():
    assert read_verdict("A\n\nOn second thought the other one is better.") is None
    assert read_verdict("B\n\nIt returns 0.\n\nAnswer: A") is None


@pytest.mark.parametrize(
    "above", ["the winner is not", "### Loser", "Neither says", "I read:", "- never pick"]
)
@pytest.mark.parametrize("verdict", ["[[A]]", "[RESULT] A", "Answer: A", '{"winner": "A"}'])
def test_a_line_that_goes_on_from_the_one_above_is_no_verdict(above, verdict):
    assert read_verdict(f"{above}\n{verdict}") is None
    assert read_verdict(f"{above}\n\n{verdict}") is None
    assert read_verdict(f"It returns 0.\n\n{verdict}") == "A"


@pytest.mark.parametrize(
    "field",
    ['"better": "B"', '"loser": "A"', '"score_a": 2', '"final": {"winner": "B"}', '"choice": "A"',
     '"feedback": "Final verdict: B"'],
)  # fmt: skip
def test_an_object_with_more_than_was_asked_for_is_not_read(field):
    assert read_verdict(f'{{{field}, "winner": "A"}}') is None


def test_scores_of_a_scale_on_which_less_is_better_are_not_read():
    for scale in ("Lower is better.", "The fewer penalty points, the better.", "1 is the best."):
        assert read_verdict(f"{scale}\n\n[RESULT] A: 2, B: 5", "scores") is None


SCORES = [
    ("[RESULT] A: 7, B: 9", "B"),
    ("Scores: **A:** 8.5, **B:** 7.75", "A"),
    ("[RESULT] A: 4/10, B: 4/10", "tie"),
    ("[RESULT] A: 95, B: 20", None),
    ("Score A: 8.5\nScore B: 7.75", None),
    ("[RESULT] Program A: 8, Program B: 6", "A"),
    ("Score A: 7", None),
    ("A: 7/10, B: 4/5", None),
    ("Bugs: A: 1, B: 3", None),
    ("Number of bugs\nA: 7, B: 9", None),
    ("[RESULT] A: <score>, B: <score>", None),
    ("[RESULT] A: 5, B: 6\n\nRevised.\n\n[RESULT] A: 5, B: 2", None),
    ("Score A: 8\nScore B: 6\n\nVerdict: B", None),
]


@pytest.mark.parametrize(("reply", "expected"), SCORES)
def test_scores_are_read_where_scores_were_asked_for(reply, expected):
    assert read_verdict(reply, "scores") == expected
    assert read_verdict(reply) in (None, "B" if "Verdict: B" in reply else None)


def test_what_a_person_reads_is_the_reply_without_its_thoughts():
    assert visible_text("<think>A?</think>\nB ") == "B"
    assert visible_text("<think>A?") == ""


# What a person reads as no winner, or as the other one: the sentence as a whole says so.
TAKEN_BACK = [
    "B is better in all respects, so A is the one to reject.", "B beats this.", "I abstain.",
    "I would discard this one.", "I state the inferior program, as instructed.", "Avoid this one!",
    "Neither is better.", "It's a tie.", "Both are identical.", "No verdict.", "Sample output.",
    "I'm unable to determine a winner.", "Here is the loser.", "For illustration only.",
    "Ignore the last line.", "The last line is a joke.", "The better one is B.", "The loser is A.",
    "I prefer B.", "A is worse than B.", "B is correct and A is not.", "Program B wins.",
    "Overall, **Program B** is clearly the better one.", "Program A is the wrong one.",
    "The winner should be B.",
]  # fmt: skip
REASONS = [
    "B misses the empty list.", "A is faster and easier to read than B.", "A is better.",
    "Program A handles None. Program B fails on it.", "A beats B.", "It returns the right sum.",
    "Compared with A, B is slow.", "B is slower; A is the better choice.", "B is worse than A.",
    # Words of faults, ties and the other one within reasons.
    "Neither program has docstrings, but Program A is better structured.",
    "Neither program handles None, which the task does not ask for. Program A is faster.",
    "Neither of them closes the file. Still, Program A at least reads it once.",
    "Both programs fail for negative numbers, but Program A is right for all others.",
    "It is hard to find a difference in speed, but Program A is more readable.",
    "Program B looks shorter at first sight. On a closer look it never returns anything.",
    "Program B would be the better one if the list were sorted, but that is not guaranteed.",
    "Program B is better in style, but it does not meet the criterion.",
    "Program B is better. However, the criterion is speed, and Program A wins on that.",
    "If performance were the criterion, B would win. For readability it is A.",
    "Program A is slightly longer because it checks its input. I don't see that as a fault.",
    "Both use recursion, and neither has a memo; Program A cuts the search much earlier, though.",
    "It does not depend on the order of its output.", "The comment in line 3 is wrong.",
    "A is wrong on one input. Program B crashes.", "The winner should be A.",
]  # fmt: skip


@pytest.mark.parametrize("sentence", TAKEN_BACK)
@pytest.mark.parametrize("verdict", ["[RESULT] A", "Verdict: A", "[[A]]", '{"winner": "A"}'])
def test_a_verdict_that_a_sentence_above_takes_back_is_not_read(sentence, verdict):
    assert read_verdict(f"{sentence}\n{verdict}") is None
    assert read_verdict(f"It returns 0.\n\n{sentence}\n\n{verdict}") is None
    assert read_verdict(f'{{"feedback": "{sentence}", "winner": "A"}}') is None


@pytest.mark.parametrize("sentence", REASONS)
@pytest.mark.parametrize("verdict", ["[RESULT] A", "Verdict: A", "[[A]]", '{"winner": "A"}'])
def test_a_verdict_below_its_reasons_is_read(sentence, verdict):
    assert read_verdict(f"{sentence}\n{verdict}") == "A"
    assert read_verdict(f'{{"feedback": "{sentence}", "winner": "A"}}') == "A"


@pytest.mark.parametrize(
    "sentence",
    [
        "I counted the issues in each program.", "Program A has six mistakes and program B two.",
        "A contains 6 bugs; B contains 2 bugs.", "A comes second and B first.", "B wins.",
        "Grades, 1 very good to 6 insufficient.", "The number of edge cases missed decides.",
        "Ugliness score.", "Since fewer is preferable here, B is ahead.", "Ten means useless.",
        "0 means perfect.", "Code B is superior in every respect.", "Error count per program.",
        "The higher the score the worse the program.",
    ],
)  # fmt: skip
def test_scores_of_which_less_is_better_are_not_read(sentence):
    assert read_verdict(f"{sentence}\n[RESULT] A: 9, B: 2", "scores") is None


@pytest.mark.parametrize(
    "sentence",
    [
        *REASONS, "Program B sorts in place.", "Program A makes fewer comparisons and has one bug.",
        "It inverts the matrix once.", "Program B has two errors.", "A low memory use is better.",
    ],
)  # fmt: skip
def test_scores_below_their_reasons_are_read(sentence):
    assert read_verdict(f"{sentence}\n[RESULT] A: 9, B: 2", "scores") == "A"
