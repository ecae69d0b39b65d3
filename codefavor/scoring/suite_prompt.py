"""What a model is asked that is to write a test suite: one text for data and rewards."""

from __future__ import annotations

from typing import Literal

from codefavor.errors import DataError, Rejected
from codefavor.prompts import render
from codefavor.records import Problem
from codefavor.scoring.suite_target import plain_program

Framework = Literal["pytest", "unittest"]


def suite_question(problem: Problem, framework: Framework = "pytest") -> str:
    """The question for one problem: its program without comments, and what it is for.

    The program is shown as suites meet it. Raises Rejected for a problem without a program that
    parses (`no_reference`).
    """
    code = "\n".join(part for part in (problem.setup, problem.reference) if part.strip())
    try:
        shown = plain_program(code)
    except DataError as error:
        raise Rejected("no_reference", str(error)) from error
    if not shown.strip():
        raise Rejected("no_reference", problem.id)
    return render("suite", framework=framework, instruction=problem.instruction.strip(), code=shown)
