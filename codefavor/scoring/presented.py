"""Which blocks of a reply it presents as wrong: "a common mistake would be", "This is wrong."."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from codefavor.text import Fence, lines_of

_BAD = r"(?:bad|broken|buggy|erroneous|faulty|flawed|incorrect|wrong)"
_PROGRAM = (
    r"(?:answer|approach|attempt|code|example|function|implementation|one|practice|program|snippet|"
    r"solution|version|way)s?"
)
_MISTAKE = (
    r"(?:common|classic|easy|frequent|subtle|typical) (?:\w+ )?(?:bug|error|mistake|pitfall|trap)s?"
)
_THIS = r"(?:this|which|the following)(?: \w+){0,3}?"
_NEVER = r"(?:(?:do|must|should)(?: not|n't)|never|avoid)"
_WRITE = r"(?:copy|do|try|us|writ)(?:e|ing)?"
_FAILS = (
    r"(?:fails?(?! (?:early|fast|gracefully|loudly|safely))|"
    r"(?:does|did|will|would)(?: not|n't) work|won't work)"
)
_WRONG = re.compile(
    "|".join(
        (
            rf"\b{_MISTAKE}\b",
            r"\bpitfalls?\b",
            r"\banti-?patterns?\b",
            rf"\b{_BAD} (?:\w+ )?{_PROGRAM}\b",
            r"\b(?:what|how) not to\b",
            r"\bnot (?:do )?(?:like )?this\b",
            rf"\b{_NEVER} {_WRITE} (?:code |it )?(?:like )?(?:that|this|the following)\b",
            rf"\b{_NEVER} {_WRITE}\W*$",
            r"\bnot recommended\b",
            r"\bavoid (?:this|writing|the following)\b",
            rf"\b{_THIS} (?:is|are|would be|will be) {_BAD}\b",
            rf"\b(?:{_THIS}|(?<=\w )that)(?: (?:still|will|would))? {_FAILS}\b",
            r"\b(?:wrong|tempted) to\b",
            r"\bwhat (?:can go|goes|went) wrong\b",
            r"\bwith (?:a|the|this|your) (?:bug|error|mistake)\b",
            r"^\W*(?:compare (?:\w+ )?(?:to|with)|unlike)\b[^,]*$",
            r"^\W*(?:avoid|bad|before|buggy|don't|incorrect|mistake|never|old|original|wrong)"
            r"(?: \([^)]*\))?\W*$",
            rf"^\W*{_BAD}\s*[-\u2013\u2014:!,.(]",
            r"^\W*what(?:'s| is| was) wrong with\b",
            rf"\b{_PROGRAM} (?:above|below) (?:is|are) {_BAD}\b",
            r"^\W*(?:does not|doesn't) work\W*$",
        )
    ),
    re.IGNORECASE,
)
# What a reply replaces: the same, also where the sentence has words of `_RIGHT`, as "is using max
# instead" or "my first idea was".
_OLD = r"(?:earlier|first|former|initial|naive|old|original|previous)"
_FOR_REFERENCE = r"(?:\(?for (?:comparison|reference)\)?)"
_SURELY_WRONG = re.compile(
    "|".join(
        (
            rf"\b{_MISTAKE} (?:is|are|was|would be)\b.*\binstead\W*$",
            rf"\b(?:this|that|which|it) (?:\w+ )?(?:gives?|gave|produces?|returns?|yields?) "
            rf"(?:\w+ )?{_BAD} (?:answer|output|result|value)s?\b",
            # What was, and is no more.
            rf"^(?!.*\b(?:better|correct|fix|improve|new)).*\b(?:bug|{_BAD}|{_OLD}|your?)\b.*"
            r"\b(?:did|had|looked like|posted|was|were|wrote)(?: (?:this|that))?\W*$",
            rf"\byour (?:\w+ )?{_PROGRAM} is\W*$",
            rf"^\W*(?:(?:here(?:'s| is| was)|this (?:is|was)|{_FOR_REFERENCE}),? )*(?:the |your )?"
            rf"(?:old|original) (?:\w+ )?{_PROGRAM}(?: is)?(?:,? {_FOR_REFERENCE})?\W*$",
            rf"^\W*(?:the |your )?{_PROGRAM}\b.*\b"
            r"(?:you (?:gave|had|posted|sent|wrote)|your question)\b",
            rf"^\W*your (?:\w+ )?{_PROGRAM},? {_FOR_REFERENCE}\W*$",
            r"^\W*(?:(?:before|without) (?:the|this) (?:change|fix|patch)|previously)\W*$",
            rf"^\W*(?:given|{_OLD}) {_PROGRAM}\W*$",
            r"^\W*(?:instead of|rather than)(?: (?:doing|that|this|using|writing))*\W*$",
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
    rf"|(?!fail){_FAILS}\b|fails (?:because|for|if|on|when)\b)"
    r"|(?:do not|don't|never) (?:copy|do|use|write) (?:it|that|this)\b(?! (?:if|when)\b))",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"</?\w+>|[*_`]+")
# What follows is the mended program, one that deals with errors, or the author speaks of himself
# or of what came before.
_RIGHT = re.compile(
    r"\b(?:better|correct|corrected|corrects|fix|fixed|fixes|improved|instead|mended|right|, so|"
    r"to avoid|avoids|without|i|my|we|previous|above|earlier|after|now|covered|remov\w*|"
    r"(?:catch|check|handl|rais|report|validat)\w*)\b",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^ {0,3}(?:#{1,6} +(?P<hash>.+?)#*|\*\*(?P<bold>[^*]+)\*\*:?) *$")
# A warning is short; a longer sentence says of a program when it fails, which most do somewhere.
_MOST_WORDS = 7
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=\S)")


def not_presented_as_wrong(fences: Sequence[Fence]) -> Iterator[bool]:
    """For each block of a reply, whether the reply does not call it wrong.

    What counts is the last sentence before it, the first one behind it that speaks of it, its own
    first line if that is a comment, and the heading that it stands under; a sentence that speaks
    of a correction or of what came before outweighs the heading.
    """
    heading = caption = ""
    for fence in fences:
        lines = _lines(fence.before)
        for line in lines:
            if found := _HEADING.match(line):
                heading = found["hash"] or heading
                caption = "" if found["hash"] else _plain(line)
        last = _plain(_SENTENCE_END.split(lines[-1])[-1]) if lines else ""
        first = _plain(fence.content.strip().partition("\n")[0])
        said = [one for one in (last, first if first.startswith("#") else "") if one]
        if _was_wrong(fence.after) or any(map(_SURELY_WRONG.search, said)):
            yield False
        elif any(map(_RIGHT.search, said)):
            yield True
        else:
            yield not any(_is_wrong(one) for one in (*said, _plain(heading), caption))
        if caption.endswith(":"):
            caption = ""  # of this block alone


def _lines(text: str) -> list[str]:
    """The lines that say something, without what underlines a heading."""
    return [line.strip() for line in lines_of(text) if line.strip(" \t-=")]


def _plain(text: str) -> str:
    return _MARKUP.sub("", text).replace("\u2019", "'").strip()


def _is_wrong(text: str) -> bool:
    return bool(_WRONG.search(text)) and not _RIGHT.search(text)


def _was_wrong(after: str) -> bool:
    """Whether what follows a block calls it wrong; a caption or heading is of the next block."""
    line = next(iter(_lines(after)), "")
    said = _plain(line)
    if said.endswith(":") or (_HEADING.match(line) and not said.endswith((".", "!"))):
        return False
    first = re.split(r",? because |: ", _SENTENCE_END.split(said)[0])[0]
    return bool(_WAS_WRONG.search(first)) and len(first.split()) <= _MOST_WORDS
