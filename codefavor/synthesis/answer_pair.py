"""A pair of a true and a false answer to a question about a text."""

from __future__ import annotations

from typing import Any

from codefavor.prompts import render
from codefavor.records import Preference, content_id
from codefavor.sources.answered import Answered

SOURCE = "levels"
CRITERIA = "truthfulness"
NO_ANSWER = "The text does not say."


def pair_of(row: Answered, true: str, false: str, level: str, kind: str, **meta: Any) -> Preference:
    """A pair of a row's question: its true side chosen."""
    return Preference(
        id=content_id(SOURCE, row.id, level, true, false),
        instruction=question_of(row),
        chosen=true,
        rejected=false,
        criteria=CRITERIA,
        source=SOURCE,
        level=level,
        problem_id=row.id,
        language="markdown",
        meta={"rejected_kind": kind, "question": row.question, **meta},
    )


def question_of(row: Answered) -> str:
    """The text and the question as one instruction."""
    return render("answer_from_text", task="qa", context=row.context, question=row.question)
