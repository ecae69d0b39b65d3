"""What takes a stated verdict back: a contradiction is not read, so that the judge asks again."""

from __future__ import annotations

import re
from collections.abc import Sequence

from codefavor.records import Choice

_FAULT = r"(?:bug|mistake|error|fault|defect|flaw|issue|problem|fail|miss|smell|warning)\w*"
_WINS = r"(?i:better|best|superior|prefer\w*|wins?|winner|won|beats?|outperforms?|stronger|ahead)\b"
_LOSES = r"(?i:worse|worst|inferior|loses|loser)\b"
# A count of faults, or words of a scale on which less is better, whatever it is about.
_UPSIDE_DOWN = re.compile(
    rf"(?i)\b(?:low|few|small|less)\w*\b[^.\n]{{0,60}}\b{_WINS}|\b(?:high|more|great)\w*\b[^.\n]{{0,60}}"
    r"\bworse|\b1\b[^.\n]{0,20}\bbest|\b(?:\d+|one|two|three|four|five|six|seven|eight|nine|ten) "
    rf"{_FAULT}|\b(?:0|zero|1|one|10|ten) (?:means|is)\b|\bless is|penalt|deduct|golf|invert|"
    r"severity|fewer|\b(?:rank|place|grades?\b|comes? (?:second|last)\b)"
)
# No verdict at all.
_NO_VERDICT = (
    r"abstain\w*|unsure|undecided|no (?:verdict|winner|preference)|"
    r"(?:cannot|can['’]t|not sure|hard to|unable to|could(?:n['’]t| not))\b[^.\n]{0,20}\b"
    r"(?:judge|decide|determine|tell|say|choose|which)"
)
# That, or a tie.
_NO_WINNER = re.compile(
    rf"(?i)\b(?:tied?|draw|neither|equal(?:ly)?|identical|unable|{_NO_VERDICT})\b"
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
# What makes a sentence one about the loser, unless it names that one, or about the verdict's line.
_ASIDE = re.compile(
    rf"(?i)\b(?:{_FAULT}|{_LOSES}|reject\w*|discard\w*|thrown?|avoid|broken|wrong|incorrect|less|"
    r"never|line|example|sample|illustrat\w*|placeholder|template|todo|joke|ignore|inject\w*|"
    r"quot\w*|comment|docstring|output|instructed|scores?|scale|ratings?|means)\b"
)
# In which the other one wins: "than" and the verdict's own name end what is said of it.
_GAP = r"(?:(?!\b(?:{own}|than|to|over)\b)[^.;\"\n]){{0,60}}"
_OTHER_WINS = (
    r"\b{other}\b(?! (?i:better|best|superior|stronger)\b)" + rf"(?:{_GAP}\b{_WINS}|"
    r" is (?:correct|right)\b|(?: is| comes)? first(?=[.,\n]|$))|"
    rf"\b(?!beat|outperf|win\b|wins\b|ahead){_WINS}{_GAP}\b{{other}}\b|"
    rf"\b{{own}}\b(?:(?!\b{{other}}\b)[^.;\n]){{{{0,60}}}}\b{_LOSES}"
)


def counts_faults(text: str) -> bool:
    """Whether a reply counts faults, or scores on a scale on which less is better."""
    return bool(_UPSIDE_DOWN.search(text))


def is_turned(behind: str) -> bool:
    """Whether what stands behind a verdict takes it back, or says that there is none."""
    return bool(_TURNED.search(behind))


def is_taken_back(told: Sequence[str], choice: Choice | None) -> bool:
    """Whether the sentences above a stated winner name another one, a tie or none.

    So does the last of them where it speaks of faults, or of the verdict's own line, and does not
    name the program that lost.
    """
    other = {"A": "B", "B": "A"}.get(choice or "")
    if not (other and told):
        return False
    if _ASIDE.search(told[-1]) and not re.search(rf"\b{other}\b", told[-1]):
        return True
    against = _OTHER_WINS.format(own=choice, other=other)
    return any(_NO_WINNER.search(one) or re.search(against, one) for one in told)
