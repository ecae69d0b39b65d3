"""The one place that turns an instruction and code into chat messages, for training and judging."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from codefavor.records import Comparison

Messages = list[dict[str, str]]
SystemTurn = Literal["empty", "none"]
AnswerForm = Literal["letter", "reasoned", "scores"]

# Feedback names the two programs by these tags and nothing else, so that a converter can call
# them Program A and Program B in either order.
CHOSEN_TAG = "[CHOSEN]"
REJECTED_TAG = "[REJECTED]"

# Every judge and every training row must show a model exactly the same text, or the trained
# model is asked about something else than it was trained on. So these are short, fixed
# strings: rows are cut at a few hundred tokens and each word here is paid for in every row.
_CRITERIA = "\n\nCriteria: {criteria}"
_COMPARISON = (
    "Which of two programs better follows the instruction{by_criteria}?\n\n"
    "Instruction:\n{instruction}\n\n"
    "Program A:\n{code_a}\n\n"
    "Program B:\n{code_b}\n\n"
    "{criteria}"
    "{answer}"
)
_ANSWERS: Mapping[AnswerForm, str] = {
    "letter": "Answer with one letter, A or B.",
    "reasoned": (
        "First compare the two programs in a few sentences, calling them Program A and Program B. "
        "Then end with one line, either [RESULT] A or [RESULT] B."
    ),
    "scores": (
        "First compare the two programs in a few sentences, calling them Program A and Program B. "
        "Then end with one line that scores each from 1 (worst) to 10 (best): "
        "[RESULT] A: <score>, B: <score>"
    ),
}
# What a judge is asked whose reply states no verdict that can be read.
_CONCLUDE = (
    "Conclude now: answer with one letter and nothing else, A or B for the better program, or "
    "with the word tie if neither is better."
)
_CONCLUDE_AS_JSON = (
    'Conclude now, with one JSON object and nothing else: {"winner": "A", "B" or "tie"}.'
)


def system_turn(system: SystemTurn = "empty") -> Messages:
    """The messages before the user's turn.

    "empty": an empty system message, so that no chat template inserts its own default one.
    "none": no system message, for templates that refuse the role (Gemma) or that merge it into
    the user's turn (Mistral).
    """
    if system == "empty":
        return [{"role": "system", "content": ""}]
    return []


def solution_messages(
    instruction: str,
    criteria: str = "",
    *,
    system: SystemTurn = "empty",
    history: Sequence[Mapping[str, str]] = (),
) -> Messages:
    """The question that a solution answers: the instruction, then the criteria if there are any.

    `history` holds the turns before it; where they have a system turn it is the only one.
    """
    content = instruction.strip()
    if criteria.strip():
        content += _CRITERIA.format(criteria=criteria.strip())
    before = [dict(turn) for turn in history]
    if not any(turn["role"] == "system" for turn in before):
        before = [*system_turn(system), *before]
    return [*before, {"role": "user", "content": content}]


def solution_text(code: str, language: str = "python") -> str:
    """A solution as the assistant writes it: one fenced block, no blank lines around the code.

    The fence is longer than any run of backticks in the code, so that no code can close it.
    A whole reply (language "markdown") has its own fences and stays as it is.
    """
    if language == "markdown":
        return code
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    body = code.strip("\n").rstrip()
    return f"{fence}{language}\n{body}\n{fence}"


STEP_END = "\n"


def process_prompt(instruction: str, criteria: str = "") -> str:
    """What stands before the steps of a program that a process reward model reads: plain text."""
    return solution_messages(instruction, criteria, system="none")[0]["content"] + STEP_END


def code_steps(code: str) -> list[str]:
    """The steps of a program for a process reward: its lines, blank ones left out.

    Behind each stands STEP_END, the token at which the model says whether the step is right.
    """
    return [line.rstrip() for line in code.splitlines() if line.strip()]


def comparison_messages(
    comparison: Comparison,
    *,
    language: str = "python",
    system: SystemTurn = "empty",
    answer: AnswerForm = "letter",
) -> Messages:
    """The question of a pairwise judge, which asks for one letter.

    "reasoned" asks for a short comparison that ends with `[RESULT] A` or `[RESULT] B`, "scores"
    for one that ends with a score of each program.
    """
    criteria = comparison.criteria.strip()
    content = _COMPARISON.format(
        by_criteria=" by the criteria" if criteria else "",
        instruction=comparison.instruction.strip(),
        code_a=solution_text(comparison.code_a, language),
        code_b=solution_text(comparison.code_b, language),
        criteria=f"Criteria: {criteria}\n\n" if criteria else "",
        answer=_ANSWERS[answer],
    )
    return [*system_turn(system), {"role": "user", "content": content}]


def second_question(question: Messages, reply: str, *, as_json: bool = False) -> Messages:
    """The same conversation once more, which now asks for the verdict alone.

    A `reply` without any text was no turn: then the question itself ends with it.
    """
    conclude = _CONCLUDE_AS_JSON if as_json else _CONCLUDE
    if reply:
        said = {"role": "assistant", "content": reply}
        return [*question, said, {"role": "user", "content": conclude}]
    *earlier, last = question
    return [*earlier, {**last, "content": f"{last['content']}\n\n{conclude}"}]


def assistant_turn(content: str) -> Mapping[str, str]:
    """The assistant's message with this text."""
    return {"role": "assistant", "content": content}
