"""Which blocks of a reply it presents as wrong: "a common mistake would be", "This is wrong."."""

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
            r"\b(?:do not|don't|never) (?:copy|do|use|try|write)\W*$",
            r"\bnot recommended\b",
            r"\bavoid (?:this|writing|the following)\b",
            rf"\b{_THIS} (?:is|are|would be|will be) {_BAD}\b",
            rf"\b{_THIS} (?:fails|(?:will|would) fail|(?:does not|doesn't|won't) work)\b",
            r"^\W*(?:bad|before|buggy|don't|incorrect|mistake|never|old|original|wrong)"
            r"(?: \([^)]*\))?\W*$",
            r"^\W*(?:bad|broken|buggy|incorrect|wrong)\s*[-\u2013\u2014:!,.(]",
            # What the reply replaces, if it says no more of it.
            rf"^\W*(?:(?:here|this) (?:is|was) |for (?:comparison|reference),? )?(?:(?:the|your) )?"
            rf"(?:old|original) (?:\w+ )?{_PROGRAM}(?: (?:is|was|looked like this))?"
            r"(?:,? \(?for (?:comparison|reference)\)?)?\W*$",
        )
    ),
    re.IGNORECASE,
)
# The same, also where the sentence has words of `_RIGHT`: "is using max instead", "my first idea".
_SURELY_WRONG = re.compile(
    "|".join(
        (
            r"\b(?:common|classic|easy|frequent|subtle|typical) (?:\w+ )?"
            r"(?:bug|error|mistake|pitfall|trap)s? (?:is|are|was|would be)\b.*\binstead\W*$",
            rf"\b(?:this|that|which|it) (?:\w+ )?(?:gives?|gave|produces?|returns?|yields?) "
            rf"(?:\w+ )?{_BAD} (?:answer|output|result|value)s?\b",
            rf"\byour (?:\w+ )?{_PROGRAM} (?:is|was|looked like(?: this)?)\W*$",
            r"^\W*you (?:had|posted|wrote)\W*$",
        )
    ),
    re.IGNORECASE,
)
# What stands behind a block and speaks of it.
_WAS_WRONG = re.compile(
    r"^\W*(?:(?:but|however|hmm|no|note that|oops|unfortunately|wait)\W+)*"
    rf"(?:(?:(?:this|that|the|the above)(?: {_PROGRAM})?(?: above)?|it) "
    rf"(?:(?:is|was) (?:\w+ )?(?:{_BAD}|not (?:correct|recommended|right))\b"
    rf"|(?:gives?|produces?|returns?|yields?) (?:\w+ )?{_BAD} (?:answer|output|result|value)s?\b"
    r"|(?:does not|doesn't|will not|won't) work\b|fails (?:because|for|on)\b)"
    r"|(?:do not|don't|never) (?:copy|do|use|write) (?:it|that|this)\b(?! (?:if|when)\b))",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[*_`]+")
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

    What counts is the last sentence before it, the first one behind it that speaks of it, its own
    first line if that is a comment, and the heading that it stands under; a sentence that speaks
    of a correction or of what came before outweighs the heading.
    """
    heading = ""
    for fence in fences:
        lines = _lines(fence.before)
        for line in lines:
            if found := _HEADING.match(line):
                heading = found["hash"] or found["bold"]
        last = _plain(_SENTENCE_END.split(lines[-1])[-1]) if lines else ""
        first = fence.content.strip().partition("\n")[0]
        said = [one for one in (last, first if first.startswith("#") else "") if one]
        if _was_wrong(fence.after) or any(map(_SURELY_WRONG.search, said)):
            yield False
        elif any(map(_RIGHT.search, said)):
            yield True
        else:
            yield not any(_is_wrong(one) for one in (*said, _plain(heading)))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in lines_of(text) if line.strip()]


def _plain(text: str) -> str:
    return _MARKUP.sub("", text)


def _is_wrong(text: str) -> bool:
    return bool(_WRONG.search(text)) and not _RIGHT.search(text)


def _was_wrong(after: str) -> bool:
    """Whether what follows a block calls it wrong; a line that ends in a colon is of the next."""
    lines = _lines(after)
    if not lines or lines[0].endswith(":"):
        return False
    return bool(_WAS_WRONG.search(_plain(_SENTENCE_END.split(lines[0])[0])))
