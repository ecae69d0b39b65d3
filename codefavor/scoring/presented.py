"""Which blocks of a reply it presents as wrong: "a common mistake would be", "Incorrect:"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from codefavor.text import Fence, lines_of

_BAD = r"(?:broken|buggy|erroneous|faulty|flawed|incorrect|wrong)"
_PROGRAM = (
    r"(?:answer|approach|attempt|code|example|function|implementation|program|snippet|solution|"
    r"version|way)s?"
)
_THIS = r"(?:this|which|the following)(?: \w+)?"
_WRONG = re.compile(
    "|".join(
        (
            r"\b(?:common|classic|easy|frequent|subtle|typical) (?:\w+ )?"
            r"(?:bug|error|mistake|pitfall|trap)s?\b",
            r"\bpitfalls?\b",
            r"\banti-?patterns?\b",
            rf"\b{_BAD} (?:\w+ )?{_PROGRAM}\b",
            r"\b(?:what|how) not to\b",
            r"\bnot (?:do )?(?:like )?this\b",
            r"\b(?:do not|don't|never) (?:copy|do|use|try|write) (?:it )?(?:like )?"
            r"(?:this|the following)\b",
            r"\bavoid (?:this|writing|the following)\b",
            rf"\b{_THIS} (?:is|are|would be|will be) {_BAD}\b",
            rf"\b{_THIS} (?:fails|(?:will|would) fail|(?:does not|doesn't|won't) work)\b",
            r"^\W*(?:bad|before|buggy|don't|incorrect|mistake|never|old|original|wrong)"
            r"(?: \([^)]*\))?\W*$",
            r"^\W*(?:bad|buggy|incorrect|wrong): ",
            # What the reply replaces, if it says no more of it.
            rf"^\W*(?:(?:here|this) (?:is|was) |for (?:comparison|reference),? )?(?:(?:the|your) )?"
            rf"(?:old|original) (?:\w+ )?{_PROGRAM}(?: (?:is|was|looked like this))?"
            r"(?:,? \(?for (?:comparison|reference)\)?)?\W*$",
        )
    ),
    re.IGNORECASE,
)
# What follows is the mended program, one that deals with errors, or the author speaks of himself
# or of what came before.
_RIGHT = re.compile(
    r"\b(?:better|correct|corrected|corrects|fix|fixed|fixes|improved|instead|mended|right|"
    r"to avoid|avoids|without|i|my|we|previous|above|earlier|"
    r"(?:catch|check|handl|rais|report|validat)\w*)\b",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^ {0,3}(?:#{1,6} +(?P<hash>.+?)#*|\*\*(?P<bold>[^*]+)\*\*:?) *$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=\S)")


def not_presented_as_wrong(fences: Sequence[Fence]) -> Iterator[bool]:
    """For each block of a reply, whether the reply does not call it wrong.

    What counts is the last sentence before it, its own first line if that is a comment, and the
    heading that it stands under; a sentence that speaks of a correction or of what came before
    outweighs the heading.
    """
    heading = ""
    for fence in fences:
        lines = [line.strip() for line in lines_of(fence.before) if line.strip()]
        for line in lines:
            if found := _HEADING.match(line):
                heading = found["hash"] or found["bold"]
        last = _SENTENCE_END.split(lines[-1])[-1] if lines else ""
        first = fence.content.strip().partition("\n")[0]
        said = [one for one in (last, first if first.startswith("#") else "") if one]
        if any(map(_RIGHT.search, said)):
            yield True
        else:
            yield not any(_is_wrong(one) for one in (*said, heading))


def _is_wrong(text: str) -> bool:
    return bool(_WRONG.search(text)) and not _RIGHT.search(text)
