"""Which blocks of a reply are captioned as wrong: "Common mistake:", "Your original code was:"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from codefavor.text import Fence, lines_of

_BAD = r"(?:bad|broken|buggy|erroneous|faulty|flawed|incorrect|wrong)"
_OLD = r"(?:before|earlier|first|former|given|initial|old|original|previous(?:ly)?)"
_MISTAKE = r"(?:common |typical )?(?:anti-?pattern|bug|error|mistake|pitfall)s?(?: to avoid)?"
_PROGRAM = (
    r"(?:alternative|approach|attempt|code|example|function|idea|implementation|one|practice|"
    r"program|snippet|version|way|(?<!your )(?:answer|solution))s?"
)
_YOU_WROTE = r"(?:(?:that|what) )?(?:i had|you (?:gave|had|posted|sent|wrote))(?: \w+)?"
_FAILS = (
    r"(?:(?:would |will )?(?:crash(?:es)?|fails?)|(?:do|does|will|would) not work|"
    r"ha[ds] an? (?:bug|error|flaw|mistake))"
)
# Each is a whole caption, so that no word of it can take back what the others say, as in "no
# pitfalls" or "the wrong line, mended". What a caption says in any other form is not understood.
_REJECTS = re.compile(
    "|".join(
        (
            # The name of what is wrong, or was before: "A common mistake would be to ...".
            rf"(?:(?:an?|another|my|one|the|your) (?:[\w-]+ ){{0,2}}?|\w+ but )?"
            rf"(?:(?:{_BAD}|{_OLD})(?: {_PROGRAM})?|{_MISTAKE})"
            rf"(?: (?:above|below|in your \w+|that you may see|{_YOU_WROTE}))?(?:, which [^,]+,)?"
            r"(?: (?:had|is|are|was|were|would be)(?: (?:here|this|(?:to|\w+ing)\b[^,]*))?)?"
            r"(?:, which [^,]+)?",
            rf"{_BAD}\W*[-\u2013\u2014:].*",
            # Whose program it is: "The code you posted".
            rf"(?:in your {_PROGRAM},? )?(?:the )?(?:{_PROGRAM} )?"
            rf"(?:{_YOU_WROTE}|(?:from|in) (?:the|your) question)(?: was)?",
            rf"(?:yours|your {_PROGRAM})(?: was)?",
            # What follows, or one of its kind, fails: "This does not work for ...".
            rf"(?:(?:an? (?:\w+ )?{_PROGRAM} (?:that|which)|(?:this|the following)(?: \w+)??"
            rf"(?: {_PROGRAM})?|the {_PROGRAM} below) )?"
            rf"(?:(?:is|are|would be|will be) {_BAD}|{_FAILS}(?: (?:for|if|on|the|when)\b[^,]*)?)",
            # What not to do: "You should never write it like this".
            r"(?:please |this is )?(?:what )?(?:you )?(?:should )?(?:avoid|do not|never|not)"
            r"(?: (?:copy|do|doing|recommended|use|using|write|writing))?"
            r"(?: (?:code|it|like|that|the following|this|version))*",
            r"(?:how|what) not to \w+",
            r"(?:instead of|rather than)(?: (?:doing|that|this|using|writing))*",
            r"before (?:the|this) (?:change|fix)",
            r"what (?:goes|was) wrong(?: with \w+)?",
            r"(?:it would be wrong|you (?:may|might) be tempted) (?:by|to \w+)",
        )
    )
)
_CROSS = ("\u274c", "\u2717", "\u2718", "\U0001f6ab")
# Said behind a block, in the first clause there.
_IS_WRONG = re.compile(rf"(?:\w+\W+)?(?:this|that|it)(?: {_PROGRAM})?(?:'s| is) {_BAD}")
# "Here is your code" may be the answer.
_LEAD = re.compile(
    r"^(?:(?:but|compare(?: this)? (?:to|with)|here(?:'s| is| was)|note that|this (?:is|was)|"
    r"unlike)\b\W*)+(?=\w+ )(?!your \w+$)"
)
_REFERENCE = re.compile(r"\W*\bfor (?:comparison|reference)\b\W*")
_MARKUP = re.compile(r"</?\w+>|[*_`#]+| \([^)]*\)")
_HEADING = re.compile(r"^ {0,3}(?:#{1,6} +(?P<hash>.+?)#*|\*\*(?P<bold>[^*]+)\*\*:?) *$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=\S)")
# A caption that outweighs the heading which it stands under.
_RIGHT = re.compile(r"\b(?:better|correct|corrected|final|fix|fixed|right|solution)\b")


def not_presented_as_wrong(fences: Sequence[Fence]) -> Iterator[bool]:
    """For each block of a reply, whether its own caption or heading does not reject it.

    The caption is the last sentence of the line before it, unless that ends as sentences do, or
    its own first line if that is a comment. The heading is one of Markdown or a bold line. Of what
    stands behind it only a plain "This is wrong" counts: nearly every program fails somewhere.
    """
    heading = bold = ""
    for fence in fences:
        lines = [line.strip() for line in lines_of(fence.before) if line.strip(" \t-=")]
        for line in lines:
            if found := _HEADING.match(line):
                heading = found["hash"] or heading
                bold = "" if found["hash"] else line
        caption = _SENTENCE_END.split(lines[-1])[-1] if lines else ""
        first = fence.content.strip().partition("\n")[0]
        yield not (
            _is_called_wrong(fence.after)
            or (not caption.endswith((".", "!")) and _rejects(caption))
            or (first.startswith("#") and _rejects(first))
            or (not _RIGHT.search(_plain(caption)) and (_rejects(heading) or _rejects(bold)))
        )
        if _plain(bold).endswith(":"):
            bold = ""  # of this block alone


def _plain(text: str) -> str:
    plain = _MARKUP.sub("", text).replace("\u2019", "'").lower().strip()
    return plain.replace("won't", "will not").replace("n't", " not")


def _rejects(said: str) -> bool:
    plain = _plain(said)
    bare = re.sub(r"^[\W\d]+|\W+$", "", _REFERENCE.sub("", plain))
    return plain.startswith(_CROSS) or bool(_REJECTS.fullmatch(_LEAD.sub("", bare)))


def _is_called_wrong(after: str) -> bool:
    """Whether the line behind a block begins so; one with a colon at its end is the next one's."""
    line = _plain(next((one for one in lines_of(after) if one.strip()), ""))
    clause = re.split(r"[,.:;!]| because\b", line)[0]
    return not line.endswith(":") and bool(_IS_WRONG.fullmatch(clause))
