"""Answers that hold no program: what is written of a problem to which there is none."""

from __future__ import annotations

import ast
from collections import Counter

from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import Rejected
from codefavor.records import Row
from codefavor.text import parse_fences

NO_PROGRAM = "no_program"
CUT_OFF = "truncated_answer"
_N_SHOWN = 200


def only_with_programs(step: Step) -> Step:
    """The step, where a problem to which not one answer holds a whole program is rejected.

    By `truncated_answer` or `no_program`, whichever is commoner; what was paid for is kept in the
    journal.
    """

    async def checked(row: Row, context: Context) -> Row:
        found = await step(row, context)
        reasons = [why_no_program(one) for one in found["completions"]]
        if all(reasons):
            reason = Counter(reasons).most_common(1)[0][0]
            raw = found["completions"][reasons.index(reason)]["raw"]
            shown = f"an answer begins {raw[:_N_SHOWN]!r}"
            raise Rejected(reason, shown, row=found)
        return found

    return checked


def why_no_program(completion: Row) -> str:
    """Why an answer is no program: it has none, or was cut off within it; "" where it is one."""
    is_cut = completion["finish_reason"] == "length"
    if not completion["code"].strip():
        return CUT_OFF if is_cut else NO_PROGRAM
    return CUT_OFF if is_cut and not _is_whole(completion) else ""


def without_program(row: Row) -> str:
    """Why a problem's row is no result, for the stop rule of an evaluation: none has a program."""
    return "" if any(one["code"].strip() for one in row["completions"]) else NO_PROGRAM


def _is_whole(completion: Row) -> bool:
    """Whether what was cut off came after the program."""
    if completion.get("language", "python") != "python":
        return any(fence.is_closed for fence in parse_fences(completion["raw"]))
    try:
        ast.parse(completion["code"])
    except (SyntaxError, ValueError):
        return False
    return True
