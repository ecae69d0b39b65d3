"""Feedback as the reasoning of a judge: both programs by their letters, no result of its own."""

from __future__ import annotations

import re
from typing import Literal

from codefavor.errors import Rejected
from codefavor.records import Execution, Preference
from codefavor.text import is_closing_fence, lines_of, opening_fence

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
_HEADER = re.compile(
    r"^[ \t]*(?:\*\*)?\[(?P<name>RESULT|FEEDBACK)\](?:\*\*)?:?[ \t]*(?P<rest>.*)$", re.IGNORECASE
)
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
    names_them = _CHOSEN.search(feedback) or _REJECTED.search(feedback)
    if not names_them and _were_run(preference):
        # Such a feedback is the error of a run: it does not say whose.
        return _what_the_runs_showed(preference, chosen, rejected)
    if not feedback:
        raise Rejected("no_feedback", preference.id)
    if _LETTERED.search(feedback):
        raise Rejected("letters_in_feedback", preference.id)
    return _REJECTED.sub(rejected, _CHOSEN.sub(chosen, feedback))


def without_result(feedback: str) -> str:
    """The feedback without the parts that a [RESULT] header begins, and without its own header.

    A header stands at the start of a line and outside fenced blocks; a [RESULT] in the middle
    of a sentence is prose.
    """
    kept: list[str] = []
    is_result = False
    fence = ""
    for line in lines_of(feedback):
        header = _HEADER.match(line) if not fence else None
        if header:
            is_result = header["name"].upper() == "RESULT"
            line = header["rest"]  # noqa: PLW2901
        elif not fence:
            fence = opening_fence(line)
        elif is_closing_fence(line, fence):
            fence = ""
        if not is_result:
            kept.append(line)
    return "\n".join(kept).strip()


def _were_run(preference: Preference) -> bool:
    runs = [preference.evidence.get(side) or {} for side in ("chosen", "rejected")]
    if not all(run.get("outcome") for run in runs):
        return False
    passed, failed = (Execution.from_row(run, preference.id) for run in runs)
    return passed.is_evidence_of_pass and not failed.no_evidence


def _what_the_runs_showed(preference: Preference, chosen: str, rejected: str) -> str:
    failed, passed = preference.evidence["rejected"], preference.evidence["chosen"]
    detail = failed.get("failed_assert") or failed.get("error") or failed["outcome"]
    return (
        f"{rejected} does not do what is asked: {str(detail).strip()}. "
        f"{chosen} passes all {passed.get('total', 0)} of its tests."
    )
