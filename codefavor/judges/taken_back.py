"""What takes a stated verdict back: a contradiction is not read, so that the judge asks again.

Only whole sentences that are themselves a conclusion do; words within a reason do not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from codefavor.records import Choice

_FAULT = r"(?:bug|mistake|error|fault|defect|flaw|issue|problem|fail|miss|smell|warning)\w*"
_N = r"(?:\d+|no|one|two|three|four|five|six|seven|eight|nine|ten)"
_NOUN = r"(?:(?:the )?(?:program|code|solution|response|assistant|option|one) )?"
_SO = (
    r"(?:(?:and|so|therefore|thus|hence|overall|clearly|in (?:the end|conclusion|summary|short)|"
    r"all in all|conclusion|verdict)[,:]? )*"
)
_FULLY = r"(?:clearly|plainly|simply|obviously|therefore|thus|much|far|definitely|also|still)"
_ONE = r"(?: (?:one|choice|option|program|code|solution))?"
_BETTER = (
    rf"(?:the )?(?:better|best|superior|preferable|preferred|winner|winning|stronger|ahead){_ONE}"
)
_WORSE = rf"(?:the )?(?:wors[et]|inferior|weaker|los(?:er|ing)|wrong(?= o)){_ONE}"
# What may follow a conclusion; "in style" makes it one of an aspect.
_WHOLLY = (
    r"(?: (?:than|over) [^,;.]{1,30}| (?:in|by) (?:all|every|each|any|both|far)\b[^,;.]{0,30}|"
    r" overall| here| of the two)*(?:[,;]? (?:so|because|since|as|and|therefore|hence|for)\b.*)?"
)
# A tie, or no verdict at all.
_NO_WINNER = re.compile(
    rf"{_SO}(?:(?:it'?s|it is|this is|they are|(?:i )?(?:call|declare) it|result:?) )?(?:a |an? )?"
    rf"(?:tied?|draw)|{_SO}neither (?:\w+ )?(?:is|wins)(?: {_FULLY})?"
    rf"(?: better| preferable| superior)?(?: than the other)?|"
    rf"{_SO}(?:both|the|they)(?: two)?(?: \w+)? are (?:identical|equal|the same|equivalent|"
    rf"equally (?:good|bad))|{_SO}i(?: must)? abstain\b.*|"
    rf"{_SO}(?:there is )?no (?:clear )?(?:verdict|winner|preference)|"
    rf"{_SO}(?:i'?m|i am|i) (?:cannot|can'?t|unable to|not able to|unsure|undecided|not sure|"
    r"do not know|don'?t know)(?: (?!that)\w+)?(?: (?:judge|decide|determine|tell|say|choose))?"
    r"(?: (?:this|a winner|the winner|between .*|which\b.*|without\b.*))*",
    re.IGNORECASE,
)
# In which the other one wins.
_AGAINST = (
    rf"{_SO}{_NOUN}OTHER (?:(?:is|comes out|remains)(?: {_FULLY})? {_BETTER}|"
    rf"(?:{_FULLY} )?(?:wins|beats\b[^,;.]{{0,30}}|outperforms\b[^,;.]{{0,30}}|comes first)|"
    rf"is (?:correct|right) and {_NOUN}OWN is (?:not|wrong|incorrect)){_WHOLLY}|"
    rf"{_SO}{_NOUN}OWN (?:(?:is|comes out)(?: {_FULLY})? {_WORSE}|loses){_WHOLLY}|"
    rf"{_SO}(?:the|my) {_BETTER} (?:is|should be) {_NOUN}OTHER{_WHOLLY}|"
    rf"{_SO}(?:the|my) {_WORSE} (?:is|should be) {_NOUN}OWN{_WHOLLY}|"
    rf"{_SO}i(?: would|'d)? (?:prefer|choose|pick|recommend|vote for) {_NOUN}OTHER{_WHOLLY}"
)
# No verdict at all, anywhere in a sentence.
_NO_VERDICT = (
    r"abstain\w*|unsure|undecided|no (?:verdict|winner|preference)|"
    r"(?:cannot|can['’]t|not sure|hard to|unable to|could(?:n['’]t| not))\b[^.\n]{0,20}\b"
    r"(?:judge|decide|determine|tell|say|choose|which)"
)
# What follows a verdict and turns it: by itself, or as no verdict.
_TURNED = re.compile(
    rf"(?im)\b(?:{_NO_VERDICT}|(?:on|having) (?:second thoughts?|reflection)|scratch that|"
    r"(?:take|took) (?:it|that|this) back|i (?:was|am|may be|might be) (?:wrong|mistaken)|"
    r"i (?:misread|erred)|i(?:['’]ve| have)? (?:made|make) an? (?:mistake|error)|"
    r"i (?:retract|re-?consider|re-?think|apologi[sz]e)|(?:my|the) apologies|"
    r"revis\w+\b[^.\n]{0,20}\b(?:verdict|answer|judge?ment)|"
    r"(?:change|changed|changing) my (?:mind|answer|verdict|judge?ment))(?!\w)|"
    # Where a sentence begins; elsewhere it may be said of the text.
    r"(?:^|[.!?;–—])[^\w\n]*(?:but |no,? |oh,? )?(?:wait|hold on|actually|never ?mind|sorry|oops|"
    r"correct(?:ion|ing)\s?[:,;–—-])(?!\w)"
)
_TURNS = re.compile(
    r"(?i)\b(?:but|however|yet|although|though|while|whereas|if|unless|first (?:sight|glance)|"
    r"would be|except)\b"
)
# What the line below is, said of it and of no program.
_OF_THE_LINE = re.compile(
    r"(?i)(?:please )?(?:avoid|ignore|discard|reject|(?:do not|don't|never) (?:use|choose|pick)) "
    r"(?:this|the (?:last|next|following))\b.*|(?:i would |i'd )?(?:discard|reject|avoid) this one|"
    r"(?:here is|this is|i (?:state|name)) the (?:loser|worse|inferior|losing|rejected)\b.*|"
    r"(?:the|my) worse (?:one|program) is (?:named|given|shown)\b.*|"
    r"(?:(?:the|my) )?(?:last|next|following) line\b.*|(?:for|an?|sample|only|just)\b.{0,12}\b"
    r"(?:illustration|example|sample|output|placeholder)(?: only)?|"
    r"(?:placeholder|template|todo)\b.{0,30}"
)
# Scores that count faults, or stand on a scale on which less is better.
_UPSIDE_DOWN = re.compile(
    rf"(?i)\bA\b[^.\n]{{0,40}}\b{_N} {_FAULT}[^.\n]{{0,40}}\bB\b[^.\n]{{0,20}}\b{_N}\b|"
    r"\bA comes second\b|"
    r"\b(?:low|few|small|less)(?:er)? (?:score |number |value |rating )?(?:is|means|wins)\b|"
    r"\bthe (?:lower|fewer|smaller|less)\b[^.\n]{0,40}\bthe better\b|"
    r"\b(?:0|zero|1|one|10|ten) (?:means|is)\b|"
    r"\b1\b[^.\n]{0,20}\bbest\b|\bthe (?:higher|more|greater)\b[^.\n]{0,40}\bthe worse\b"
)
# The same of sentences that name no program, for these say what the numbers are.
_OF_A_SCALE = re.compile(
    rf"(?i)\b(?:(?:count|number|counts|counted)\b[^.\n]{{0,30}}{_FAULT}|"
    rf"{_FAULT}(?: \w+){{0,2}} (?:count|found|per|in each)|"
    r"(?:less|lower|fewer|smaller)\b[^.\n]{0,30}\b(?:better|wins|best|preferable)|"
    r"penalt\w*|deduct\w*|points lost|golf|invert\w* scale|severity|ugliness|complexity score|"
    r"grades?\b.*\b1\b|ranks?|ranking|places?, first|worst|"
    r"edge cases (?:missed|failed)\b[^.\n]*decides)"
)
_NAMES_ONE = re.compile(r"\b[AB]\b(?! \w+ (?:score|scale))")


def counts_faults(text: str) -> bool:
    """Whether a reply says that it counts faults, or scores where less is better."""
    told = re.split(r"(?<=[.!?:])\s+|\n", text)
    return any(
        _UPSIDE_DOWN.search(one) or (_OF_A_SCALE.search(one) and not _NAMES_ONE.search(one))
        for one in told
    )


def is_turned(behind: str) -> bool:
    """Whether what stands behind a verdict takes it back, or says that there is none."""
    return bool(_TURNED.search(behind))


def is_taken_back(told: Sequence[str], choice: Choice | None) -> bool:
    """Whether one of the last two sentences above a stated winner concludes otherwise.

    That is: as a whole it says tie or no verdict, or that the other program wins, and what
    follows does not come back to the winner; or the last one disowns the line.
    """
    other = {"A": "B", "B": "A"}.get(choice or "")
    if not (choice and other and told):
        return False
    last = [
        re.sub(r"[*_`\[\]()]", "", one).strip(" .!-#>\"'").removeprefix("Feedback: ")
        for one in told[-2:]
    ]
    if _OF_THE_LINE.fullmatch(last[-1]):
        return True
    against = re.compile(_AGAINST.replace("OWN", choice).replace("OTHER", other), re.IGNORECASE)
    for index, one in enumerate(last):
        comes_back = any(re.search(rf"\b{choice}\b", later) for later in last[index + 1 :])
        is_against = against.fullmatch(one) and not _TURNS.search(one)
        if not comes_back and (is_against or _NO_WINNER.fullmatch(one)):
            return True
    return False
