"""Feedback in training rows: tags become letters, prose stays as it is, no second result."""

import pytest

from codefavor.errors import Rejected
from codefavor.judges.verdict_reader import read_verdict
from codefavor.records import Preference
from codefavor.training.feedback import reasoning, without_result
from codefavor.training.formats import FORMATS, FormatOptions, convert


def pair(feedback: str) -> Preference:
    return Preference(id="p", instruction="i", chosen="a = 1", rejected="a = 2", feedback=feedback)


@pytest.mark.parametrize(
    ("feedback", "expected"),
    [
        ("[CHOSEN] returns 1, [REJECTED] 2.", "Program A returns 1, Program B 2."),
        ("[IMPROVED_CODE] beats the [NAIVE_CODE].", "Program A beats Program B."),
        ("`[ATTEMPT_2]` is shorter than [Attempt_1].", "Program A is shorter than Program B."),
    ],
    ids=["own", "commit_instruct", "critic_evol"],
)
def test_tags_become_letters(feedback, expected):
    assert reasoning(pair(feedback), "A") == expected


@pytest.mark.parametrize(
    "prose",
    [
        "The initial attempt at parsing fails, which the improved code path of the library hides.",
        "It rejected code 7 and the chosen program name is wrong; the original code was 4.",
        "A list [CHOSEN_ONES] is built.",
        "The words RESULT and [RESULT] stand in the middle of this sentence.",
    ],
)
def test_prose_is_never_rewritten(prose):
    # C8: replacing phrases such as "improved code" changed what the sentence says.
    assert reasoning(pair(prose), "A") == prose
    assert reasoning(pair(prose), "B") == prose


@pytest.mark.parametrize(
    "feedback",
    [
        "[CHOSEN] is faster.\n[RESULT] [CHOSEN] is better than [REJECTED] on speed.",
        "[CHOSEN] is faster.\r\n**[RESULT]**\r\nTherefore [REJECTED] is worse.\r\n",
        "[RESULT] A\n[FEEDBACK] [CHOSEN] is faster.",
        "[FEEDBACK]\n[CHOSEN] is faster.\n\n[RESULT]: B",
    ],
    ids=["one_line", "bold_and_crlf", "before", "both_headers"],
)
def test_a_result_in_the_feedback_is_cut_and_ours_is_the_only_one(feedback):
    # C8: one such row used to end the whole conversion with an assertion.
    for row, letter in zip(FORMATS["pairwise_cot"](pair(feedback)), "AB", strict=True):
        answer = row["messages"][-1]["content"]
        assert answer == f"Program {letter} is faster.\n[RESULT] {letter}"
        assert read_verdict(answer) == letter


def test_a_result_header_inside_a_code_block_is_code():
    text = "[CHOSEN] prints it:\n```\n[RESULT]\n```\nand ends."
    assert without_result(text) == text


@pytest.mark.parametrize("feedback", ["[RESULT] [CHOSEN] is better.", "  \n"])
def test_feedback_with_nothing_but_a_result_is_no_feedback(feedback):
    with pytest.raises(Rejected, match="no_feedback"):
        reasoning(pair(feedback), "A")


@pytest.mark.parametrize("feedback", ["[CODE_A] is right.", "Program B is right.", "Code A wins."])
def test_letters_from_elsewhere_are_rejected_because_they_are_wrong_in_one_order(feedback):
    found = convert([pair(feedback), pair("[CHOSEN] works.")], "pairwise_cot")
    assert (dict(found.rejected), len(found.rows)) == ({"letters_in_feedback": 1}, 2)


@pytest.mark.parametrize(
    "feedback",
    ["[CHOSEN] is shorter.\nVerdict: [REJECTED]", "[CHOSEN] writes <think> and never ends it."],
    ids=["other_verdict", "open_thinking"],
)
def test_an_answer_that_the_judge_would_read_otherwise_is_rejected(feedback):
    found = convert([pair(feedback)], "pairwise_cot", FormatOptions())
    assert dict(found.rejected) == {"unreadable_answer": 1}


def test_the_error_of_a_run_is_told_of_the_program_that_had_it():
    runs = {
        "chosen": {"outcome": "passed", "total": 3},
        "rejected": {"outcome": "runtime_error", "error": "TypeError: f() takes 1 argument"},
    }
    row = {**pair("TypeError: f() takes 1 argument").to_row(), "evidence": runs}
    assert reasoning(Preference.from_row(row), "A") == (
        "Program B does not do what is asked: TypeError: f() takes 1 argument. "
        "Program A passes all 3 of its tests."
    )
