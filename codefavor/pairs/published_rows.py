"""Preference data as others publish it: rows told apart by their columns, read as our pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from codefavor.errors import DataError, Rejected
from codefavor.languages import find_language, parses
from codefavor.pairs.published_forms import (
    LABELLED_FORM,
    OURS,
    known_form,
    provenance,
    read_form,
)
from codefavor.pairs.published_readers import Answer, Shape, Side
from codefavor.pairs.watched_row import WatchedRow
from codefavor.records import Labelled, Preference, Row, content_id
from codefavor.text import control_token, parse_fences

ONE_LABEL = "answers_of_one_label"
BAD_VALUE = "bad_value"
# A larger share of rows that cannot be read is no accident.
MAX_ERROR_RATE = 0.5
MARKDOWN = "markdown"


@dataclass
class Reading:
    """What a file's rows were read as.

    `labelled` holds answers that are marked good or bad; where a prompt has both, they are in
    `preferences` too. `shapes` counts rows by the way they were read, `rejected` by the reason
    for which a row (or a prompt's answers) gave nothing, `not_used` by a column that nothing was
    taken from. `unreadable` says of each row that could not be read where it is and why, `first`
    of a reason where the first row stands that was rejected for it, `control` where rows have a
    special token of a chat template in a text. `counted` has the verdicts of each column that
    counts the answers.
    """

    preferences: list[Preference] = field(default_factory=list)
    labelled: list[Labelled] = field(default_factory=list)
    shapes: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    not_used: Counter[str] = field(default_factory=Counter)
    unreadable: list[str] = field(default_factory=list)
    first: dict[str, str] = field(default_factory=dict)
    control: list[str] = field(default_factory=list)
    counted: dict[str, set[str]] = field(default_factory=dict)


def read_published(
    rows: Iterable[tuple[str, Row]], source: str = "", max_error_rate: float = MAX_ERROR_RATE
) -> Reading:
    """Every pair of a file's ("file:line", row), in the order of the rows.

    Rows of our own form are taken as they are. Answers with scores or labels are grouped by
    their prompt: the best is paired with the worst, the second best with the second worst, and
    so on while they differ; labels that others of the same answer contradict are left out. `source`
    stands in the pairs of rows that name none. Rows of no known form, or with a value that cannot
    be read, are counted as rejected; raises DataError where they are a larger share than
    `max_error_rate`, with what is wrong with the first of them, and for verdicts of two meanings.
    """
    reading = Reading()
    answers: dict[str, list[_Found]] = {}
    for where, given in rows:
        read = _read_row(given, where, reading)
        if read is None:
            continue
        row, shape, found = read
        for one in found:
            if isinstance(one, Side):
                reading.preferences.append(_preference(one, row, shape, source))
            else:
                answers.setdefault(content_id(one.prompt), []).append((one, row, shape))
                if shape.name == LABELLED_FORM:
                    reading.labelled.append(_labelled(one, row, source))
        provenance(row)
        reading.not_used.update(row.not_read)
    refuse_many(reading.unreadable, reading.shapes.total(), max_error_rate)
    _refuse_counts_from_0(reading.counted)
    reading.labelled = drop_contradicted_labels(reading.labelled)
    for group in answers.values():
        _pair_group(group, reading, source)
    _drop_contradicted(reading)
    return reading


def _read_row(
    given: Row, where: str, reading: Reading
) -> tuple[WatchedRow, Shape, list[Side | Answer]] | None:
    """A row of others and what it says; None for one that is ours, or gives nothing (counted)."""
    why = "no_known_form"
    found: list[Side | Answer] | None = None
    try:
        shape, row = known_form(given, where)
        why = BAD_VALUE
        if shape is OURS:
            # Without a language nothing says that these are programs.
            own = {"language": MARKDOWN, **row}
            reading.preferences.append(Preference.from_row(own, where))
            reading.not_used.update(set(row) - set(Preference.__dataclass_fields__))
        else:
            found = read_form(shape, row, where)
    except DataError as error:
        reading.unreadable.append(str(error))
        reading.rejected[why] += 1
        return None
    except Rejected as rejected:
        reading.rejected[rejected.reason] += 1
        reading.first.setdefault(rejected.reason, where)
    reading.shapes[shape.name] += 1
    if shape.counted:
        verdict = str(row[shape.counted]).removesuffix(".0")
        reading.counted.setdefault(shape.counted, set()).add(verdict)
    if token := control_token(given):
        reading.control.append(f"{where} ({token})")
    return None if found is None else (row, shape, found)


def refuse_many(
    unreadable: Sequence[str], n_read: int, max_error_rate: float = MAX_ERROR_RATE
) -> None:
    """Raise DataError where too large a share of a file's rows cannot be read.

    One row with a hole is such a row; a file of them is of another form.
    """
    n_rows = len(unreadable) + n_read
    if len(unreadable) > max_error_rate * n_rows:
        raise DataError(f"{unreadable[0]} ({len(unreadable)} of {n_rows} rows cannot be read)")


def _refuse_counts_from_0(counted: Mapping[str, set[str]]) -> None:
    """Raise DataError for verdicts of 0 without a 2: is 0 a tie, or the first of two?"""
    for column, verdicts in counted.items():
        if "0" in verdicts and "2" not in verdicts:
            raise DataError(
                f"{column!r} is {' or '.join(sorted(verdicts))} and never 2: 1 is output_1 where 0 "
                "is a tie, and output_2 where the answers are counted from 0. Where they are, "
                "write 1 and 2 for 0 and 1 (or call the columns prompt, response_0, response_1 and "
                "better_response_id); where 0 is a tie, leave those rows out"
            )


def _drop_contradicted(reading: Reading) -> None:
    """Leave out pairs of which other rows say the opposite, unless more rows say it this way."""
    differ = [
        one
        for one in reading.preferences
        if one.chosen != one.rejected or one.meta.get("read_as") is None
    ]
    reading.rejected += Counter(equal_sides=len(reading.preferences) - len(differ))
    reading.preferences = differ
    ways = [(one.asked, one.criteria, one.chosen, one.rejected) for one in reading.preferences]
    said = Counter(ways)
    kept = [
        one
        for one, way in zip(reading.preferences, ways, strict=True)
        if one.meta.get("read_as") is None or said[way] > said[(*way[:2], way[3], way[2])]
    ]
    reading.rejected += Counter(contradicted=len(reading.preferences) - len(kept))
    reading.preferences = kept


def drop_contradicted_labels(labelled: Sequence[Labelled]) -> list[Labelled]:
    """The answers without those that other rows label the opposite way, as pairs are left out."""
    ways = [
        (content_id(one.history, one.instruction), one.completion, one.label) for one in labelled
    ]
    said = Counter(ways)
    return [
        one
        for one, (asked, reply, label) in zip(labelled, ways, strict=True)
        if said[asked, reply, label] > said[asked, reply, not label]
    ]


_Found = tuple[Answer, WatchedRow, Shape]


def _pair_group(group: Sequence[_Found], reading: Reading, source: str) -> None:
    """Add the pairs of one prompt's answers; rows that are in none are counted."""
    used: set[int] = set()
    if group[0][2].name == LABELLED_FORM:
        said = Counter((one.reply, one.score) for one, _, _ in group)
        agreed = [
            found
            for found in group
            if said[found[0].reply, found[0].score] > said[found[0].reply, 1 - found[0].score]
        ]
        reading.rejected += Counter(contradicted=len(group) - len(agreed))
        if not agreed:
            return
        group = agreed
    for good, bad in _paired(group):
        (better, row, shape), (worse, other, _) = good, bad
        scores = (better.score, worse.score)
        side = Side(better.prompt, better.reply, worse.reply, scores)
        reading.preferences.append(_preference(side, row, shape, source))
        used |= {id(row), id(other)}
    n_left = len({id(row) for _, row, _ in group} - used)
    why = "no_counterpart" if used else "equal_scores" if len(group) > 1 else "one_answer"
    why = ONE_LABEL if group[0][2].name == LABELLED_FORM else why
    reading.rejected += Counter({why: n_left})


def _paired(group: Sequence[_Found]) -> Iterable[tuple[_Found, _Found]]:
    """Best and worst, and so on; an answer that stands several times has its mean score."""
    scores: dict[str, list[float]] = {}
    first: dict[str, _Found] = {}
    for one in group:
        scores.setdefault(one[0].reply, []).append(one[0].score)
        first.setdefault(one[0].reply, one)
    found = [
        (answer._replace(score=fmean(scores[answer.reply])), row, shape)
        for answer, row, shape in first.values()
    ]
    ranked = sorted(found, key=lambda item: -item[0].score)
    for good, bad in zip(ranked, reversed(ranked), strict=True):
        if good[0].score <= bad[0].score:
            return
        yield good, bad


def _preference(side: Side, row: WatchedRow, shape: Shape, source: str) -> Preference:
    *history, question = side.prompt
    own_source, criteria, language, licence = provenance(row)
    named = "" if shape.are_replies else language
    chosen, rejected, language = _programs(side.chosen, side.rejected, named)
    meta: Row = {"read_as": shape.name}
    if side.scores:
        meta |= {"score_chosen": side.scores[0], "score_rejected": side.scores[1]}
    return Preference(
        id=content_id(side.prompt, side.chosen, side.rejected),
        instruction=question["content"],
        history=tuple(history),
        chosen=chosen,
        rejected=rejected,
        criteria=criteria,
        source=own_source or source,
        language=language,
        license=licence,
        meta=meta,
    )


def _labelled(answer: Answer, row: WatchedRow, source: str) -> Labelled:
    *history, question = answer.prompt
    return Labelled(
        id=content_id(answer.prompt, answer.reply, answer.score),
        instruction=question["content"],
        history=tuple(history),
        completion=answer.reply,
        label=answer.score > 0,
        source=provenance(row)[0] or source,
    )


def _programs(chosen: str, rejected: str, named: str) -> tuple[str, str, str]:
    """Both sides and their language: programs where both are nothing else, else Markdown."""
    language = find_language(named)
    known = language.name if language else ""
    fences = [_only_fence(text) for text in (chosen, rejected)]
    if fences[0] and fences[1] and fences[0][0] == fences[1][0] and (fences[0][0] or known):
        return fences[0][1], fences[1][1], fences[0][0] or known
    is_prose = known == "python" and not any(parses(one, known) for one in (chosen, rejected))
    if known and not is_prose and not any("```" in text for text in (chosen, rejected)):
        return chosen, rejected, known
    return chosen, rejected, MARKDOWN


def _only_fence(text: str) -> tuple[str, str] | None:
    """Language and content of a text that is one fenced block and nothing else."""
    body = text.strip()
    fences = parse_fences(body)
    if len(fences) != 1 or not fences[0].is_closed:
        return None
    is_all = body.startswith(("```", "~~~")) and body.endswith(("```", "~~~"))
    return (fences[0].language, fences[0].content) if is_all else None
