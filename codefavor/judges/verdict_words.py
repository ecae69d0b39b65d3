"""What sentences say about two candidates: who is better, how strongly, and what is not said."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from codefavor.judges.verdict_labels import BOTH, LABEL, A
from codefavor.judges.verdict_phrases import (
    ABILITY,
    ALIKE,
    BAD,
    BETTER_PARTICIPLE,
    CONTRAST,
    FULFILS,
    GOOD,
    LIKE,
    NOT,
    NOT_BETTER,
    STATEMENTS,
    THAN_NOBODY,
    THE_MORE,
    TIE,
)
from codefavor.records import Choice

# How strongly a clause states its verdict: by a quality ("faster"), in one respect ("better at
# speed"), plainly, as a conclusion, or as the correction of what was said before.
BY_QUALITY, IN_ONE_RESPECT, PLAIN, CONCLUDING, CORRECTING = 1, 2, 3, 4, 5

_DOUBT = re.compile(
    r"\?|\b(?:if|whether|unless|could be|might(?: be)?|may be|would be|would have been|should be|"
    r"should have been|can be|depends|depending|hard to (?:say|tell)|unclear|unable|"
    r"(?:cannot|can't|can’t|could not|couldn't|won't|will not|can not) (?:\w+ )?(?:pick|choose|"
    r"decide|determine|tell|say|declare|name|judge|give|provide)|not sure|unsure|supposed to|"
    r"perhaps|maybe|at first|initial(?:ly)?|originally|was going to|first (?:sight|glance|"
    r"impression|"
    r"thought)|(?:one|some|many|most|others|people|developers|users|you) (?:people |"
    r"developers )?(?:may|"
    r"might|would|could|will|prefer|think|argue)|assuming|provided that|claims?|claimed|(?<!i "
    r"would )says?|refuse|decline|"
    r"asked to|need to decide|(?:before|until) (?:i|it|one)\b|let me (?:think|see)|suppose)\b"
)
_CORRECTS = re.compile(
    r"\b(?:wait|actually|on reflection|on second thoughts?|correction|corrected|scratch that|"
    r"i was wrong|let me correct|on closer (?:look|inspection)|revised|i misread)\b"
)
_ONLY_TAKES_BACK = re.compile(
    r"^\W*(?:(?:hmm+|no|oh|but)\W+)*(?:wait|correction|scratch that|on (?:second thoughts?|"
    r"reflection)|"
    r"that (?:was|is) (?:wrong|a mistake|not right)|i was wrong|let me (?:correct|recheck|re-check)"
    r"(?: (?:that|this|myself))?)\W*$"
)
_CONCLUDES = re.compile(
    r"\b(?:overall|therefore|thus|hence|in conclusion|in summary|to conclude|finally|ultimately|"
    r"on balance|in the end|all in all|all things considered|in short|final|my (?:verdict|choice|"
    r"answer|decision|vote|pick))\b|^so\b|^③?\W*so,"
)
_QUALIFIED = re.compile(
    r"^\W*(?:in terms of|regarding|concerning|with respect to|as for|when it comes to|for|in)\b"
    r"(?! (?:th(?:is|ese|ose|e (?:given|stated|mentioned|above))|my|all|conclusion|summary|"
    r"general|short|the end))"
    rf"|\b(?:{GOOD}|{BAD}) (?:at|in|for|on|with respect to|in terms of|regarding|when|with|as far "
    r"as)\b(?! (?:every|all|general|total|both|most|my|this|that|these|balance|average|"
    r"the (?:mentioned|given|stated|specified|whole|basis|end|criteri)|terms of (?:the|all)|"
    r"criteri|respect))|\bwins (?:in|on|at)\b"
)
_REASON = re.compile(
    r"(?<=\S),? (?:because|since|as (?:it|its|the other|both|this|①|②)|due to|given that|"
    r"thanks to|in that|owing to)\b.*"
)
_CLAUSE_END = re.compile(
    r"(?<=[.!?;])\s+|\n+|,?\s+(?=(?:while|but|although|though|whereas|however|even though|yet)\b)|"
    # Not within "B is therefore the better one".
    r"(?<!\bis)(?<!\bwas),?\s+(?=(?:and )?(?:so|hence|thus|therefore)\b,? (?:[①②]|(?:the|my|i|both|"
    r"neither|it|overall)\b))|\s+—\s+|\s+–\s+"
)
_COMPARED = re.compile(
    r"\b(?:(?:when )?compared|in comparison|relative|in contrast|as opposed) (?:to|with) [①②],? ?"
    r"|\bunlike [①②],? ?|\bthan [①②] (?=is\b)"
)
# Turns of phrase with a "not" or "would be" that neither deny nor doubt.
_PLAINER = [
    (
        re.compile(
            r"\b(?:there is |there's )?(?:no|without(?: a| any)?) (?:doubt|question)(?: that)?"
        ),
        "",
    ),
    (re.compile(r"\bnot (?:only|just|merely)\b"), ""),
    (re.compile(r",? but (?:\w+ )?also\b"), " and"),
    (re.compile(r"\b(answer|choice|winner|verdict|pick) would be\b"), r"\1 is"),
    (
        re.compile(
            r"\b(?:should|must|is to|has to|ought to) be (?=(?:preferred|chosen|selected|picked)\b)"
        ),
        "is ",
    ),
    (re.compile(rf"\bwould be (?=(?:my|the) (?:\w+ )?{LIKE})"), "is "),
    (
        re.compile(
            r"\bi(?:'d| would| have to| must| can)(?: have to)? (?:say|argue|conclude|"
            r"admit)(?: that)?\b"
        ),
        "",
    ),
    (
        re.compile(
            r"\bif (?:i (?:had|have) to|i were to|i must|forced|pressed|asked)"
            r"(?: to)?(?: choose| pick| decide| select)?(?: one| between them| a winner)?,?"
        ),
        "",
    ),
    (
        re.compile(
            rf"\b(?:is not|isn['’]t|was not) (?:quite |nearly )?as (?:good|strong) as (?={LABEL})"
        ),
        "is worse than ",
    ),
    (re.compile(r"\band/or\b"), "or"),
    (
        re.compile(
            r"(?<!neither )([①②])(?:,? (?:and|or|vs\.?|versus|&)|[/&]|,(?= ?[①②]\W*$)) ?(?!\1)[①②]"
        ),
        BOTH,
    ),
]
# "It" is the one candidate that the clause before it names.
_IT = re.compile(
    r"^(\W*(?:(?:so|and|but|also|therefore|thus|hence|overall),? )*)it (?=is|has|wins|was|seems)"
)
_WINDOW = re.compile(r"[,;:]|\b(?:so|and|because|since)\b")


class Reading(NamedTuple):
    """What one clause says: who wins, who is said not to win, and how strongly."""

    choice: Choice | None
    excluded: Choice | None
    strength: int


def read_clauses(text: str) -> list[Reading]:
    """A reading for each clause of a text whose candidates are marked."""
    text = _plainer(text)
    contrasts = [_contrast(line) for line in re.split(r"\n+|(?<=[.!?;])\s", text)]
    clauses = [clause for clause in _CLAUSE_END.split(text) if clause and clause.strip()]
    named = ["", *("".join(sorted(set(re.findall(LABEL, clause)))) for clause in clauses)]
    readings = [
        _read(_IT.sub(rf"\1{before} ", clause) if len(before) == 1 else clause)
        for before, clause in zip(named, clauses, strict=False)
    ]
    backs = [number for number, clause in enumerate(clauses) if _ONLY_TAKES_BACK.match(clause)]
    if backs:
        # What stands behind "wait" replaces what stood before it.
        behind = readings[backs[-1] :]
        return [one._replace(strength=max(one.strength, CORRECTING)) for one in behind]
    return [one for one in contrasts if one] + readings


def combine(readings: Iterable[Reading], least: int = BY_QUALITY) -> Choice | None:
    """The choice of the strongest readings; undecided where those differ or exclude it.

    None where nothing as strong as `least` was read.
    """
    readings = list(readings)
    excluded = {reading.excluded for reading in readings} - {None}
    for strength in range(CORRECTING, least - 1, -1):
        choices = {reading.choice for reading in readings if reading.strength == strength} - {None}
        if len(choices) == 1:
            choice = choices.pop()
            return "undecided" if choice in excluded else choice
        if choices:
            return "undecided"
    return "undecided" if excluded else None


def takes_back(text: str) -> bool:
    """Whether a text corrects what was said before."""
    return _CORRECTS.search(text.lower()) is not None


def _plainer(text: str) -> str:
    text = re.sub(r"[ \t]+", " ", text.lower())
    for pattern, plain in _PLAINER:
        text = pattern.sub(plain, text)
    return text


def _read(clause: str) -> Reading:
    text = " ".join(_COMPARED.sub("", clause).split()).rstrip(".!;,")
    corrects, concludes = _CORRECTS.search(text), _CONCLUDES.search(text)
    text = _REASON.sub("", text)
    if _DOUBT.search(text):
        return Reading(None, None, PLAIN)
    strength = CORRECTING if corrects else CONCLUDING if concludes else PLAIN
    is_denied = re.search(r"\b(?:not|isn't|isn’t|aren't|never)\b", text)
    if TIE.search(text) and not is_denied:
        return Reading("tie", None, strength)
    winners, excluded = _winners(text)
    if winners:
        if _QUALIFIED.search(text) and strength == PLAIN:
            strength = IN_ONE_RESPECT
        choice: Choice = winners.pop() if len(winners) == 1 else "undecided"
        return Reading(choice, None, strength)
    if excluded:
        return Reading(None, excluded.pop(), PLAIN)
    the_more = THE_MORE.search(text)
    if the_more and concludes and not is_denied:
        return Reading(_winner(the_more.group(1), True), None, PLAIN)
    return _read_weaker(text)


def _contrast(sentence: str) -> Reading | None:
    """ "B follows the instruction, whereas A does not." """
    match = CONTRAST.search(sentence)
    if match is None or _DOUBT.search(sentence):
        return None
    is_whole = FULFILS.search(match.group(2))
    return Reading(_winner(match.group(1), True), None, PLAIN if is_whole else BY_QUALITY)


def _read_weaker(text: str) -> Reading:
    """More efficient, better documented, equivalent: said in one respect only."""
    if NOT.search(text):
        return Reading(None, None, PLAIN)
    if ALIKE.search(text):
        return Reading("tie", None, IN_ONE_RESPECT)
    able = {
        _winner(match.group(1), True)
        for pattern in (ABILITY, BETTER_PARTICIPLE)
        for match in pattern.finditer(text)
        if not re.search(THAN_NOBODY, text[match.end() - 1 :])
    }
    if not able:
        return Reading(None, None, PLAIN)
    return Reading(able.pop() if len(able) == 1 else "undecided", None, BY_QUALITY)


def _winners(text: str) -> tuple[set[Choice], set[Choice]]:
    """Who is said to win, and who is said not to."""
    winners: set[Choice] = set()
    excluded: set[Choice] = set()
    for pattern, wins in STATEMENTS:
        for match in pattern.finditer(text):
            named = next(group for group in match.groups() if group)
            before = text[: match.start()]
            starts = [one.end() for one in _WINDOW.finditer(before)]
            said = text[(starts[-1] if starts else 0) : match.end()]
            if not NOT.search(said):
                winners.add(_winner(named, wins))
            elif wins:
                excluded.add(_winner(named, wins))
    for match in NOT_BETTER.finditer(text):
        excluded.add(_winner(match.group(1), True))
    return winners, excluded


def _winner(label: str, wins: bool) -> Choice:
    return "A" if (label == A) == wins else "B"
