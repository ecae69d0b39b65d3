"""Every way to name one of two candidates, put into one sign each before anything is read."""

from __future__ import annotations

import re

# Signs that no reply holds: NFKC turns circled digits of a reply into plain ones beforehand.
A, B, BOTH = "①", "②", "③"
LABEL = f"([{A}{B}])"
NOUN = (
    r"(?:code|program|solution|snippet|option|implementation|candidate|version|response|answer|"
    r"assistant|model|function|script|submission|approach|algorithm|alternative|variant|choice)"
)

# Bounded, or a reply of a thousand asterisks is read a thousand times over.
_OPEN, _CLOSE = r"[\[(`*\"'{]{0,6}", r"(?:(?!['’]s\b)[\])`*\"'}]){0,6}"
_ENDS = (
    r"(?=\s*(?:$|[.,;:!?)\]`*\"'>=<|]|(?:is|was|wins|and|or|over|than|because|beats|outperforms|has|"
    r"does|seems|appears)\b))"
)
_NAMED_UPPER = re.compile(rf"{_OPEN}\b(?i:{NOUN})[ _-]*{_OPEN}([AB])(?![\w+#-]){_CLOSE}")
_NAMED_LOWER = re.compile(rf"{_OPEN}\b(?i:{NOUN})[ _-]*{_OPEN}([ab])(?![\w+#-]){_CLOSE}{_ENDS}")
_NUMBERED = re.compile(
    rf"{_OPEN}\b{NOUN}[ _#-]*(?:no\.? ?|number )?{_OPEN}([12]|one|two)\b(?![.,:]?\d|%|/){_CLOSE}",
    re.IGNORECASE,
)
_ORDINAL = re.compile(
    rf"\b(?:the )?(first|second|1st|2nd) (?:one|{NOUN})(?: program| code| solution)?\b|"
    r"\bthe (first|second)(?= (?:is|was|wins|beats|outperforms)\b|\W*$)|"
    r"(?:(?<=prefer )|(?<=choose )|(?<=pick )|(?<=with ))the (first|second)\b",
    re.IGNORECASE | re.MULTILINE,
)
# Letters that name something else.
_OTHER_THINGS = re.compile(
    r"\b(?:grade|class|type|appendix|section|step|part|figure|table|category|point|example|case|"
    r"test|input|output|column|row|variable|list|node|set|matrix|vitamin|phase|line)s? [AB]\b",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"[\[(`*\"'{]{1,6}([AB])[\])`*\"'}]{1,6}")
_BARE_B = re.compile(r"(?<![\w<'’+#-])(B)(?:(?![\w'’+#-])|(?=['’]s\b))")
# A bare "A" is also an article: it is a name only beside words that an article cannot have.
_BARE_A = re.compile(
    r"(?<![\w<'’+#-])(?:"
    r"(A)(?=\s*(?:$|[.,;:!?)>=|]|(?:is|was|are|wins|outperforms|beats|surpasses|over|and|or|has|does|"
    r"doesn't|seems|appears|nor|superior to|inferior to|better than|worse than|because|since|fails|"
    r"handles|remains|would|gets|takes)\b|['’]s\b|\s[<>=—–-]|"
    r"\((?:confidence|certainty|score|because|since|the|better|\d)))"
    r"|(?:(?<=than )|(?<=over )|(?<=choose )|(?<=prefer )|(?<=pick )|(?<=[<>=] ))"
    r"(A)\b(?![-+#])|(?<=: )(A)\b(?![-+#]| [a-z])"
    # What stands behind a marker such as [RESULT] is the answer, whatever ends it.
    r"|(?<=\] )(A)(?=\W*(?:$|[(.,;:!?–—-]))"
    r"|(?:(?<=to )|(?<=with )|(?<=is )|(?<=for )|(?<=select )|(?<=the ))(A)\b(?=\s*(?:$|"
    r"[.,;:!?(])))",
    re.MULTILINE,
)
# "**[RESULT] A**": emphasis that ends behind a label, and began before other words.
_EMPHASIS_END = re.compile(r"(?<=[\w\])>:.,-] )([AB])(?:\*{1,3}|_{1,3})(?=\W|$)", re.MULTILINE)
# A small letter is a label at the end of a line that states the answer.
_LOWER_ANSWER = re.compile(
    r"((?:\]|\b(?:choice|answer|verdict|winner|result|preferred|pick|decision))\s*[:=]?\s+)"
    r"([ab])(?=\W*$)",
    re.MULTILINE | re.IGNORECASE,
)
_COMPARED_SIGNS = re.compile(r"\b([AB])\s*([<>≻≺=≈]+)\s*([AB])\b")
_LONE = re.compile(r"^[^\S\n]*[\W_]*?([AaBb])[\W_]*$")
# "B (Program B)" names one candidate twice.
_TWICE = re.compile(rf"{LABEL}(?:[^\S\n]*[(=:]?[^\S\n]*\1)+")
_CROSSED = re.compile(rf"{LABEL}:? ?[❌✗✘👎]")
_TICKED = re.compile(rf"{LABEL}:? ?[✅✔✓👍🏆🥇👑]|[✅✔✓🏆🥇👑] ?{LABEL}(?=\W*$)", re.MULTILINE)
_POSSESSIVE = re.compile(rf"{LABEL}['’]s (?:\w+ )?(?:{NOUN}|work)\b", re.IGNORECASE)
_OF_LABEL = re.compile(rf"\b(?:the )?(?:{NOUN}) (?:of|by|from|in) {LABEL}", re.IGNORECASE)
_FORMER_LATTER = re.compile(r"\bthe (former|latter)\b", re.IGNORECASE)
_RANKED = re.compile(rf"^\s*([12])[.)] +{LABEL}\W*$", re.MULTILINE)
_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?]+|\n|$)")


def mark_labels(text: str) -> str:
    """The text with each name of a candidate as `A` or `B` of this module, without emphasis.

    Numbers ("Response 2") name candidates only in a reply that never names one by letter.
    """
    text = _OTHER_THINGS.sub("something else", text)
    text = _EMPHASIS_END.sub(r"\1", text)
    text = _LOWER_ANSWER.sub(lambda match: match.group(1) + _sign(match.group(2)), text)
    marked = _COMPARED_SIGNS.sub(r"\1 \2 \3", text)
    for pattern in (_NAMED_UPPER, _NAMED_LOWER, _BRACKETED, _BARE_B, _BARE_A):
        marked = pattern.sub(_sign_of, marked)
    marked = "\n".join(_mark_lone(line) for line in marked.split("\n"))
    if A not in marked and B not in marked:
        marked = _NUMBERED.sub(_sign_of, marked)
    marked = _ORDINAL.sub(_sign_of, marked)
    marked = re.sub(r"[*`_]+", "", marked)
    marked = _OF_LABEL.sub(r"\1", _POSSESSIVE.sub(r"\1", marked))
    marked = _SENTENCE.sub(lambda match: _resolve_former(match.group(0)), marked)
    marked = _TWICE.sub(r"\1", marked)
    marked = _TICKED.sub(r"\1\2 is better.", _CROSSED.sub(r"\1 is worse.", marked))
    return _read_ranking(marked)


def _sign_of(match: re.Match[str]) -> str:
    return _sign(next(group for group in match.groups() if group))


def _sign(name: str) -> str:
    return A if name.lower() in ("a", "1", "one", "first", "1st") else B


def _mark_lone(line: str) -> str:
    """A line of one letter names a candidate, whatever stands around it."""
    lone = _LONE.match(line)
    return _sign(lone.group(1)) if lone else line


def _resolve_former(sentence: str) -> str:
    """ "the latter" is the second of two different candidates named before it in the sentence."""
    match = _FORMER_LATTER.search(sentence)
    if match is None:
        return sentence
    named = re.findall(LABEL, sentence[: match.start()])[-2:]
    if len(set(named)) != 2:
        return sentence
    return _FORMER_LATTER.sub(
        lambda one: named[0] if one.group(1).lower() == "former" else named[1], sentence
    )


def _read_ranking(text: str) -> str:
    """A numbered list of the candidates says who is first if it is called a ranking."""
    if not _RANKED.search(text):
        return text
    is_ranking = re.search(r"\brank|\bbest to worst|\bbest first", text, re.IGNORECASE)
    return _RANKED.sub(
        lambda match: f"verdict: {match.group(2)}" if is_ranking and match.group(1) == "1" else "",
        text,
    )
