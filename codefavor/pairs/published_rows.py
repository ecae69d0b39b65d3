"""Preference data as others publish it: rows told apart by their columns, read as our pairs.

Sources of the columns: TRL's data set formats (preference, implicit prompt, unpaired preference),
and the cards of UltraFeedback and its binarised form, HelpSteer 1 to 3, Nectar, Themis and AceCode.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from codefavor.errors import DataError, Rejected
from codefavor.languages import LANGUAGES
from codefavor.pairs.published_turns import (
    objects_in,
    read_dialogue,
    read_prompt,
    read_question,
    read_reply,
    read_turns,
    shown,
    text_of,
)
from codefavor.records import Labelled, Preference, Row, content_id
from codefavor.text import parse_fences

OWN_FORM, LABELLED_FORM = "codefavor", "labelled answers (KTO)"
ONE_LABEL = "answers_of_one_label"
MARKDOWN = "markdown"
# Columns that say where a row is from, in the order in which they are believed.
_SOURCE, _CRITERIA = ("source", "dataset", "subset"), ("criteria", "aspect")


class Answer(NamedTuple):
    """One reply to a prompt, with what the data set says of it: a score, higher is better."""

    prompt: tuple[Row, ...]
    reply: str
    score: float


class Side(NamedTuple):
    """A pair as a data set states it."""

    prompt: tuple[Row, ...]
    chosen: str
    rejected: str


@dataclass(frozen=True)
class Shape:
    """One way in which rows are published: the columns that tell it, and how a row is read."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[Row], Iterable[Side | Answer]]


@dataclass
class Reading:
    """What a file's rows were read as.

    `labelled` holds answers that are marked good or bad; where a prompt has both, they are in
    `preferences` too. `shapes` counts rows by the way they were read, `rejected` by the reason
    for which a row (or a prompt's answers) gave nothing.
    """

    preferences: list[Preference] = field(default_factory=list)
    labelled: list[Labelled] = field(default_factory=list)
    shapes: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)


def read_published(rows: Iterable[tuple[str, Row]], source: str = "") -> Reading:
    """Every pair of a file's ("file:line", row), in the order of the rows.

    Rows of our own form are taken as they are. Answers with scores or labels are grouped by
    their prompt: the best is paired with the worst, the second best with the second worst, and
    so on while they differ. `source` stands in the pairs of rows that name none. Raises DataError
    for a row of no known form, which names its columns and the forms that are known.
    """
    reading = Reading()
    answers: dict[str, list[tuple[Answer, Row]]] = {}
    for where, row in rows:
        shape = shape_of(row, where)
        reading.shapes[shape.name] += 1
        if shape is _OURS:
            reading.preferences.append(Preference.from_row(row, where))
            continue
        try:
            found = _read_row(shape, row, where)
        except Rejected as reason:
            reading.rejected[reason.reason] += 1
            continue
        for one in found:
            if isinstance(one, Side):
                reading.preferences.append(_preference(one, row, shape, source))
            else:
                answers.setdefault(content_id(one.prompt), []).append((one, row))
                if shape is _LABELLED:
                    reading.labelled.append(_labelled(one, row, source))
    for group in answers.values():
        pairs = list(_paired(group))
        for side, (row, _), scores in pairs:
            reading.preferences.append(_preference(side, row, shape_of(row), source, scores))
        used = {id(row) for _, both, _ in pairs for row in both}
        n_left = len({id(row) for _, row in group} - used)
        why = "no_counterpart" if pairs else "equal_scores" if len(group) > 1 else "one_answer"
        why = ONE_LABEL if shape_of(group[0][1]) is _LABELLED else why
        reading.rejected += Counter({why: n_left})
    return reading


def _read_row(shape: Shape, row: Row, where: str) -> list[Side | Answer]:
    if any(row[name] is None for name in shape.columns):
        raise Rejected("null_column", where)
    try:
        return list(shape.read(row))
    except ValueError as error:
        raise DataError(f"{where}: {error}; read as {shape.name}") from error


def shape_of(row: Mapping[str, Any], where: str = "row") -> Shape:
    """The first known form whose columns a row has; raises DataError where there is none."""
    given = {name for name, value in row.items() if value is not None}
    for names in (given, set(row)):
        for shape in SHAPES:
            if names.issuperset(shape.columns):
                return shape
    nearest = min(SHAPES, key=lambda shape: len(set(shape.columns) - given))
    missing = " and ".join(repr(name) for name in nearest.columns if name not in given)
    known = "; ".join(", ".join(shape.columns) for shape in SHAPES)
    raise DataError(
        f"{where}: no known form of preference data has the columns "
        f"{', '.join(sorted(given)) or '(none)'}; nearest is {nearest.name}, without {missing} "
        f"(known: {known})"
    )


def _paired(
    group: Sequence[tuple[Answer, Row]],
) -> Iterable[tuple[Side, tuple[Row, Row], tuple[float, float]]]:
    ranked = sorted(group, key=lambda item: -item[0].score)
    for (good, row), (bad, worse) in zip(ranked, reversed(ranked), strict=True):
        if good.score <= bad.score:
            return
        side = Side(good.prompt, good.reply, bad.reply)
        yield side, (row, worse), (good.score, bad.score)


def _preference(
    side: Side,
    row: Row,
    shape: Shape,
    source: str,
    scores: tuple[float, float] | None = None,
) -> Preference:
    *history, question = side.prompt
    chosen, rejected, language = _programs(side.chosen, side.rejected, row)
    meta: Row = {"read_as": shape.name}
    if scores:
        meta |= {"score_chosen": scores[0], "score_rejected": scores[1]}
    return Preference(
        id=content_id(side.prompt, side.chosen, side.rejected),
        instruction=question["content"],
        history=tuple(history),
        chosen=chosen,
        rejected=rejected,
        criteria=text_of(row, _CRITERIA),
        source=text_of(row, _SOURCE) or source,
        language=language,
        license=text_of(row, ("license",)),
        meta=meta,
    )


def _labelled(answer: Answer, row: Row, source: str) -> Labelled:
    *history, question = answer.prompt
    return Labelled(
        id=content_id(answer.prompt, answer.reply, answer.score),
        instruction=question["content"],
        history=tuple(history),
        completion=answer.reply,
        label=answer.score > 0,
        source=text_of(row, _SOURCE) or source,
    )


def _programs(chosen: str, rejected: str, row: Row) -> tuple[str, str, str]:
    """Both sides and their language: programs where both are nothing else, else Markdown."""
    language = text_of(row, ("language",)).lower()
    known = language if language in LANGUAGES else ""
    fences = [_only_fence(text) for text in (chosen, rejected)]
    if fences[0] and fences[1] and fences[0][0] == fences[1][0] and (fences[0][0] or known):
        return fences[0][1], fences[1][1], fences[0][0] or known
    if known and not any("```" in text for text in (chosen, rejected)):
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


def _conversations(row: Row) -> Iterable[Side]:
    """Both sides are whole conversations that differ in their last turn alone."""
    chosen, rejected = (read_turns(row[side], side) for side in ("chosen", "rejected"))
    if len(chosen) < 2:
        raise Rejected("no_prompt", "two answers without a prompt")
    if chosen[:-1] != rejected[:-1]:
        raise Rejected("prompts_differ", "the sides differ before their last turn")
    replies = (read_reply(list(turns[-1:]), "chosen") for turns in (chosen, rejected))
    yield Side(read_question(chosen[:-1]), *replies)


def _prompted(column: str) -> Callable[[Row], Iterable[Side]]:
    """Rows whose prompt stands in `column`, as a text or as messages; sides may repeat it."""

    def read(row: Row) -> Iterable[Side]:
        question, chosen = read_prompt(row, column), row["chosen"]
        is_whole = (
            bool(read_dialogue(chosen))
            if isinstance(chosen, str)
            else len(read_turns(chosen, "chosen")) > 1
        )
        if not is_whole:
            yield Side(question, *(read_reply(row[side], side) for side in ("chosen", "rejected")))
            return
        sides = next(iter(_conversations(row)))
        # Of several turns the column may hold the first question alone.
        if question[-1] not in sides.prompt:
            raise Rejected("prompts_differ", f"{column} is not in the conversations")
        yield sides if len(sides.prompt) >= len(question) else sides._replace(prompt=question)

    return read


def _labelled_rows(row: Row) -> Iterable[Answer]:
    if row["label"] not in (True, False):
        raise ValueError(f"'label' is {shown(row['label'])}, not true or false")
    reply = read_reply(row["completion"], "completion")
    yield Answer(read_prompt(row, "prompt"), reply, 1.0 if row["label"] else 0.0)


def _judged(row: Row) -> Iterable[Side]:
    """HelpSteer3: two responses, and a preference from -3 (the first) to 3 (the second)."""
    preference = _score(row["overall_preference"])
    if preference is None or abs(preference) > 3:
        raise ValueError(f"'overall_preference' is {shown(row['overall_preference'])}, not -3 to 3")
    if preference == 0:
        raise Rejected("equal_scores", "no preference")
    prompt = read_prompt(row, "context")
    one, two = (read_reply(row[side], side) for side in ("response1", "response2"))
    yield Side(prompt, one, two) if preference < 0 else Side(prompt, two, one)


def _listed(
    name: str, columns: tuple[str, str, str], scores: Sequence[str], sign: float = 1.0
) -> Shape:
    """Rows with a list of scored answers; the first of `scores` that all answers have counts."""
    prompt, answers, reply = columns

    def read(row: Row) -> Iterable[Answer]:
        question, found = (
            read_prompt(row, prompt),
            objects_in(row[answers], answers, "a list of answers"),
        )
        if not found:
            raise Rejected("no_answers", f"{answers} is empty")
        for field_name in scores:
            values = [_score(answer.get(field_name)) for answer in found]
            if None not in values:
                break
        else:
            raise Rejected("no_score", f"not every answer has one of {', '.join(scores)}")
        for answer, value in zip(found, values, strict=True):
            text = read_reply(answer.get(reply), f"{answers}.{reply}")
            yield Answer(question, text, sign * (value or 0.0))

    return Shape(name, (prompt, answers), read)


def _score(value: Any) -> float | None:
    """A finite number, also as a text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _rated(row: Row) -> Iterable[Answer]:
    score = _score(row["helpfulness"])
    if score is None:
        raise Rejected("no_score")
    yield Answer(read_prompt(row, "prompt"), read_reply(row["response"], "response"), score)


_OURS = Shape(OWN_FORM, ("id", "instruction", "chosen", "rejected"), lambda row: ())
_LABELLED = Shape(LABELLED_FORM, ("prompt", "completion", "label"), _labelled_rows)

SHAPES: tuple[Shape, ...] = (
    _OURS,
    # `prompt` first: binarised UltraFeedback has a whole conversation under `messages` too.
    *(
        Shape(f"{column} with two answers", (column, "chosen", "rejected"), _prompted(column))
        for column in ("prompt", "messages", "instruction", "question", "input")
    ),
    Shape("two conversations", ("chosen", "rejected"), _conversations),
    _LABELLED,
    Shape(
        "two judged responses (HelpSteer3)",
        ("context", "response1", "response2", "overall_preference"),
        _judged,
    ),
    Shape("rated responses (HelpSteer)", ("prompt", "response", "helpfulness"), _rated),
    _listed(
        "scored completions (UltraFeedback)",
        ("instruction", "completions", "response"),
        ("fine-grained_score", "overall_score"),
    ),
    _listed("ranked answers (Nectar)", ("prompt", "answers", "answer"), ("rank",), -1.0),
    _listed(
        "sampled programs with pass rates (AceCode)",
        ("question", "inferences", "completion"),
        ("pass_rate",),
    ),
)
