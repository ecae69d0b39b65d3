"""Levelled pairs of a true and a false answer; a false one is never on the chosen side.

*easy*: the answer to another question. *medium*: something of the same kind (another date, number,
person, place, ...) that stands in the same text, or the answer with such a part of it changed: to
see which side's words are in the text does not tell them apart. *hard* is `hard_pairs`. A question
that its text does not answer gives pairs too: to say so beats a tempting answer. Beside each of
them stands one whose question is answered, where to say that the text does not is the false side.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from codefavor.judges.baselines import copied_sign
from codefavor.pairs.balance import Cues, balance_by_signs, length_sign
from codefavor.records import Preference, content_id
from codefavor.sources.answered import Answered
from codefavor.synthesis.answer_kinds import (
    asked_kind,
    asks_where,
    broad_kind,
    is_of_a_people,
    is_only_large,
    is_vague,
    is_whole,
    may_be_nested,
    spans_of,
)
from codefavor.synthesis.answer_pair import pair_of, question_of
from codefavor.synthesis.false_sides import (
    another,
    has_several_answers,
    is_other,
    may_be_true,
    plain,
    sentences_of,
    standing,
    stands_in_text,
    stems_of,
)
from codefavor.synthesis.nearness import nearer_sign, nearer_signs
from codefavor.synthesis.unsaid_pairs import unsaid_pairs

# Of these a text has others that are no other name of the same thing.
_COUNTED = frozenset({"date", "money", "percent", "year", "number"})
_ENDS = ",;:?!"
_JOINING = frozenset({"of", "the", "de", "del", "la", "van", "von", "for"})


def simple_pairs(
    rows: Sequence[Answered],
    *,
    seed: int = 0,
    levels: Iterable[str] = ("easy", "medium"),
    is_balanced: bool = False,
) -> tuple[list[Preference], Counter[str]]:
    """The pairs that need no model, at most one a question and level, and why others gave none.

    The false side is near the true one in length where there is a choice. It never says what any
    accepted answer says, nor holds one or is held by one. If `is_balanced`, as many true as false
    sides of what is swapped within a text are nearer to the question's words.
    """
    reasons: Counter[str] = Counter()
    levels = frozenset(levels)
    pools = _pools(rows)
    easy, swaps = _answered_pairs(rows, pools, levels, reasons, seed)
    if is_balanced:
        nearer = nearer_signs(swaps, rows)
        # Of one sign of lengths, so that lengths can still be balanced.
        kept = balance_by_signs(
            swaps, lambda one: Cues(length_sign(one), nearer[one.id]), seed=seed
        )
        if n := len(swaps) - len(kept):
            reasons["medium: a side nearer to the question's words, none other the other way"] = n
        swaps = kept
    own = {pair.problem_id for pair in swaps}
    free = [row for row in rows if row.id not in own]
    pairs = unsaid_pairs(free, pools["answer"], levels, reasons, seed)
    taken = {pair.problem_id for pair in pairs if pair.level == "easy"}
    return [*pairs, *(one for one in easy if one.problem_id not in taken), *swaps], reasons


def _answered_pairs(
    rows: Sequence[Answered],
    pools: Mapping[str, Sequence[str]],
    levels: frozenset[str],
    reasons: Counter[str],
    seed: int,
) -> tuple[list[Preference], list[Preference]]:
    """Of each question with an answer, the easy pair and the one whose false side is swapped."""
    easy: list[Preference] = []
    swaps: list[Preference] = []
    for row in rows:
        draw = random.Random(content_id(seed, row.id))
        if not row.answers:
            continue
        if "easy" in levels:
            # A town that is the answer lies in a country that is another's.
            among = "no place" if asks_where(row.question) else "answer"
            own = set(standing(row, pools[among])) if among == "no place" else set()
            pool = [one for one in pools[among] if one not in own]
            false = another(row, row.answers[0], pool, draw)
            if false is None:
                reasons["easy: no other answer"] += 1
            else:
                easy.append(pair_of(row, row.answers[0], false, "easy", "other_answer"))
        if "medium" not in levels:
            continue
        if has_several_answers(row.question):
            reasons["medium: the question is negated, or may have several answers"] += 1
        elif not stands_in_text(row):
            reasons["medium: the answer does not stand in the text"] += 1
        else:
            swapped = _swapped(row, pools, draw)
            if swapped is None:
                reasons[_why_no_swap(row)] += 1
            else:
                swaps.append(pair_of(row, row.answers[0], swapped[0], "medium", swapped[1]))
    return easy, swaps


def _pools(rows: Sequence[Answered]) -> Mapping[str, list[str]]:
    """All answers, those that are surely no places, those of each kind of question ("asked ..."),
    those of each broad kind to the questions of one text, and the parts of each kind."""
    pools: dict[str, dict[str, None]] = {"answer": {}, "no place": {}}
    for row in rows:
        for answer in row.answers[:1]:
            pools["answer"][answer] = None
            broad = broad_kind(row.question)
            pools.setdefault(f"{broad} of {row.context}", {})[answer] = None
            if broad in ("person", "time", "number"):
                pools["no place"][answer] = None
            if kind := asked_kind(row.question):
                pools.setdefault(f"asked {kind}", {})[answer] = None
            for span in spans_of(answer):
                part = answer[span.start : span.stop]
                if not is_only_large(span, answer) and not part.startswith("The "):
                    pools.setdefault(span.kind, {})[part] = None
    return {kind: list(texts) for kind, texts in pools.items()}


def _swapped(
    row: Answered, pools: Mapping[str, Sequence[str]], draw: random.Random
) -> tuple[str, str] | None:
    """A false answer whose words come from the row's text as much as the true one's, and its kind;
    None if there is none.

    It is the other one of "A or B" in the question, something of the asked kind that stands in the
    text, or the answer with one part of it another of its kind that stands there.
    """
    answer, source = row.answers[0], question_of(row)

    def is_as_copied(text: str) -> bool:
        has_both_or_none = (answer in row.context) == (text in row.context)
        return has_both_or_none and not copied_sign(source, answer, text)

    # Of "A or B" in the question one is false, also where the text names both at once.
    if (other := _alternative(row)) is not None and is_as_copied(other):
        return other, "other alternative"
    in_text: dict[str, list[str]] = {}
    for span in spans_of(row.context):
        if span.kind in _COUNTED:
            in_text.setdefault(span.kind, []).append(row.context[span.start : span.stop])
    pool = [
        one
        for one in _of_asked_kind(row, pools, in_text)
        if is_as_copied(one) and not may_be_true(row, answer, one)
    ]
    # Most of what stands in a text is farther from the question's words than the answer: what is
    # nearer comes first, then what is as near.
    tiers: dict[int, list[str]] = {1: [], 0: [], -1: []}
    for one in pool:
        tiers[nearer_sign(row.context, row.question, one, answer)].append(one)
    for tier in tiers.values():
        if (other := another(row, answer, tier, draw)) is not None:
            return other, f"other {asked_kind(row.question) or spans_of(answer)[0].kind}"
    spans = spans_of(answer)
    for span in draw.sample(spans, len(spans)):
        part = answer[span.start : span.stop]
        if is_only_large(span, answer):
            continue
        if span.kind == "name" and part.strip('"') == answer.strip('"'):
            continue  # one name for another of whatever kind is easy to tell
        if span.kind == "name" and may_be_nested(row.question):
            continue
        parts = [*standing(row, pools.get(span.kind, ())), *in_text.get(span.kind, ())]
        changed = {
            one: whole
            for one in parts
            if is_of_a_people(one) == is_of_a_people(part)
            and is_as_copied(whole := answer[: span.start] + one + answer[span.stop :])
            and not may_be_true(row, part, one)
            and all(plain(whole) != plain(known) for known in row.answers)
        }
        if (other := another(row, part, list(changed), draw)) is not None:
            return changed[other], f"other {span.kind}"
    return None


def _why_no_swap(row: Answered) -> str:
    """Why there is nothing to swap an answer for."""
    answer = row.answers[0]
    if not is_whole(answer):
        return (
            "medium: the answer is no single date, number, amount or name, and its text has no "
            "other answer to such a question, or one that may be as right"
        )
    kind = spans_of(answer)[0].kind
    parts = {row.context[one.start : one.stop] for one in spans_of(row.context) if one.kind == kind}
    if not any(is_other(one, row, answer) for one in parts):
        return "medium: nothing of the answer's kind stands in its text"
    if kind == "name":
        return (
            "medium: of the other names in its text none answers another question of the kind, or "
            "it may be as right"
        )
    return "medium: what else of the answer's kind stands in its text may be as right"


def _of_asked_kind(
    row: Answered, pools: Mapping[str, Sequence[str]], in_text: Mapping[str, Sequence[str]]
) -> list[str]:
    """What stands in the text and is of the kind that the question asks for, or answers another
    question on the text of the same broad kind, and of the form that the short answer has (a person
    is never a place). No places where one may lie in another."""
    answer, asked, broad = row.answers[0], asked_kind(row.question), broad_kind(row.question)
    is_one = is_whole(answer)
    if not (is_one or len(answer.split()) <= 4):
        return []
    form = spans_of(answer)[0].kind if is_one else ""
    known = [*(standing(row, pools.get(f"asked {asked}", ())) if asked else ())]
    if broad not in ("place", "thing"):
        # Of two things that questions on one text ask for, one may be the other by another name.
        known += pools.get(f"{broad} of {row.context}", ())
    pool = [
        text
        for text in ([] if may_be_nested(row.question) else known)
        if form == (spans_of(text)[0].kind if is_whole(text) else "")
        and len(text.split()) <= max(4, len(answer.split()))
        and is_of_a_people(text) == is_of_a_people(answer)
        and not (broad == "number" and is_vague(f"{answer} {text}"))
    ]
    if form not in _COUNTED:
        # "1688 to 1692" is in the 17th century, and what a sentence names beside the answer, or
        # beside a word of it, is often as right ("by a minister or a member", "leukocytes include
        # phagocytes").
        long = {one for one in stems_of(plain(answer)) if len(one) > 3}
        beside = " ".join(
            one
            for one in map(plain, sentences_of(row.context))
            if plain(answer) in one or long & stems_of(one)
        )
        pool = [one for one in pool if broad != "time" and plain(one) not in beside]
    return list(dict.fromkeys([*pool, *in_text.get(form, ())]))


def _alternative(row: Answered) -> str | None:
    """The other one of "A or B" in a question whose answer is A or B; as long as it goes on in the
    text, which is where a name in a question ends."""
    answer = row.answers[0]
    name, asked = re.escape(answer), row.question
    if not answer[:1].isupper():
        return None
    # A name, and the word that the question has next to it with no mark between them.
    found: list[tuple[str, str]] = []
    if behind := re.search(rf"\b{name}\W+or (.+)", asked):
        words = [*behind[1].split(), ""]
        found = [
            (" ".join(words[:n]), "" if words[n - 1][-1] in _ENDS else words[n])
            for n in range(len(words) - 1, 0, -1)
        ]
    elif before := re.search(rf"(.+?)\W+or (?:the )?{name}\b", asked):
        words = ["", *before[1].split()]
        found = [
            (" ".join(words[n:]), "" if words[n - 1][-1:] in _ENDS else words[n - 1])
            for n in range(1, len(words))
        ]
    for text, beside in found:
        other = text.strip(_ENDS + " .\"'()")
        if other[:1].isupper() and standing(row, [other]):
            # Beside a large word it is only a part of the name: "Cornel" of Cornel West.
            is_whole_name = not beside[:1].isupper() and beside not in _JOINING
            return other if is_whole_name and is_other(other, row, answer) else None
    return None
