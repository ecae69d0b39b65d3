"""Feedback as the reasoning of a judge: both programs by their letters, no result of its own."""

from __future__ import annotations

import re
from typing import Literal

from codefavor.errors import Rejected
from codefavor.records import Preference
from codefavor.text import parse_sections

Letter = Literal["A", "B"]

# The fixed tags by which feedback names the two programs. Prose such as "the improved code" is
# left alone: which program it means is the author's to say, and a wrong guess flips the label.
CHOSEN_TAGS = ("CHOSEN", "CHOSEN_CODE", "IMPROVED_CODE", "ATTEMPT_2")
REJECTED_TAGS = ("REJECTED", "REJECTED_CODE", "NAIVE_CODE", "ATTEMPT_1")


def _tag_pattern(tags: tuple[str, ...]) -> re.Pattern[str]:
    # With its article: "the [CHOSEN]" would read "the Program A".
    return re.compile(rf"(?:\bthe )?`?\[(?:{'|'.join(tags)})\]`?", re.IGNORECASE)


_CHOSEN = _tag_pattern(CHOSEN_TAGS)
_REJECTED = _tag_pattern(REJECTED_TAGS)
# Letters that were given in some order nobody knows any more.
_LETTERED = re.compile(r"\[(?:CODE|PROGRAM)_[AB]\]|\b(?:Code|Program) [AB]\b")


def reasoning(preference: Preference, chosen_letter: Letter) -> str:
    """The feedback with both programs called by their letters, without a result of its own.

    Pairs labelled by test runs need no written feedback: theirs states what the runs showed.
    Raises Rejected where there is neither, or where the feedback already speaks of letters.
    """
    chosen = f"Program {chosen_letter}"
    rejected = f"Program {'B' if chosen_letter == 'A' else 'A'}"
    feedback = without_result(preference.feedback)
    if not feedback:
        return _what_the_runs_showed(preference, chosen, rejected)
    if _LETTERED.search(feedback):
        raise Rejected("letters_in_feedback", preference.id)
    return _REJECTED.sub(rejected, _CHOSEN.sub(chosen, feedback))


def without_result(feedback: str) -> str:
    """The feedback without the sections that a [RESULT] header begins.

    A header stands at the start of a line and outside fenced blocks; a [RESULT] in the middle
    of a sentence is prose.
    """
    return parse_sections(f"[FEEDBACK]\n{feedback}", ("FEEDBACK", "RESULT"))["FEEDBACK"].strip()


def _what_the_runs_showed(preference: Preference, chosen: str, rejected: str) -> str:
    failed = preference.evidence.get("rejected") or {}
    passed = preference.evidence.get("chosen") or {}
    if not failed.get("outcome") or passed.get("outcome") != "passed":
        raise Rejected("no_feedback", preference.id)
    detail = failed.get("failed_assert") or failed.get("error") or failed["outcome"]
    return (
        f"{rejected} does not do what is asked: {str(detail).strip()}. "
        f"{chosen} passes all {passed.get('total', 0)} of its tests."
    )
