"""Preference data as others publish it: rows told apart by their columns, read as our pairs.

Sources of the columns: TRL's data set formats (preference, implicit prompt, unpaired preference),
and the cards of UltraFeedback and its binarised form, HelpSteer 1 to 3, Nectar, Themis and AceCode.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from codefavor.errors import DataError, Rejected
from codefavor.languages import LANGUAGES
from codefavor.records import Labelled, Preference, Row, content_id
from codefavor.text import parse_fences

OWN_FORM, LABELLED_FORM = "codefavor", "labelled answers (KTO)"
ONE_LABEL = "answers_of_one_label"
MARKDOWN = "markdown"
_ROLES = {"human": "user", "gpt": "assistant", "model": "assistant", "prompter": "user"}
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
        if shape_of(group[0][1]) is _LABELLED:
            reading.rejected += Counter({ONE_LABEL: len(group) - 2 * len(pairs)})
        elif not pairs:
            reading.rejected["one_answer" if len(group) == 1 else "equal_scores"] += 1
        for side, row, scores in pairs:
            reading.preferences.append(_preference(side, row, shape_of(row), source, scores))
    return reading


def _read_row(shape: Shape, row: Row, where: str) -> list[Side | Answer]:
    if any(row[name] is None for name in shape.columns):
        raise Rejected("null_column", where)
    try:
        return list(shape.read(row))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(
            f"{where}: not readable as {shape.name}: {type(error).__name__}: {error}"
        ) from error


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
) -> Iterable[tuple[Side, Row, tuple[float, float]]]:
    ranked = sorted(group, key=lambda item: -item[0].score)
    for (good, row), (bad, _) in zip(ranked, reversed(ranked), strict=True):
        if good.score <= bad.score:
            return
        yield Side(good.prompt, good.reply, bad.reply), row, (good.score, bad.score)


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
        criteria=_text_of(row, _CRITERIA),
        source=_text_of(row, _SOURCE) or source,
        language=language,
        license=_text_of(row, ("license",)),
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
        source=_text_of(row, _SOURCE) or source,
    )


def _text_of(row: Row, names: Sequence[str]) -> str:
    return next((row[name] for name in names if isinstance(row.get(name), str)), "")


def _programs(chosen: str, rejected: str, row: Row) -> tuple[str, str, str]:
    """Both sides and their language: programs where both are nothing else, else Markdown."""
    language = _text_of(row, ("language",)).lower()
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


def _turns(value: Any) -> tuple[Row, ...]:
    """A prompt as messages: a text is one user's turn, or a dialogue as HH-RLHF writes it."""
    if isinstance(value, str):
        return _dialogue(value) or ({"role": "user", "content": value},)
    if isinstance(value, Mapping):
        value = [value]
    turns = []
    for message in value:
        role = message.get("role") or message["from"]
        content = message.get("content", message.get("value"))
        if not isinstance(content, str) or message.get("tool_calls"):
            raise Rejected("not_text", "a message has parts that are not text")
        turns.append({"role": _ROLES.get(role, role), "content": content})
    return tuple(turns)


_MARKS = re.compile(r"(?:^|\n\n)(Human|Assistant|System): ?")


def _dialogue(text: str) -> tuple[Row, ...]:
    """The turns of a text with marks of HH-RLHF; () for one that does not begin with one."""
    start, *parts = _MARKS.split(text.strip() + " ")
    if start.strip() or "Human" not in parts[::2]:
        return ()
    roles = {"Human": "user", "Assistant": "assistant", "System": "system"}
    turns = [
        {"role": roles[role], "content": content.strip()}
        for role, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    # A prompt may end with the mark of the answer that is to come.
    is_open = turns[-1] == {"role": "assistant", "content": ""}
    return tuple(turns[:-1] if is_open else turns)


def _prompt(row: Row, column: str) -> tuple[Row, ...]:
    """The turns before the answer: the column's, with the row's system, history and input."""
    if row.get("images"):
        raise Rejected("not_text", "the row has images")
    turns = _turns(row[column])
    if column == "instruction" and isinstance(row.get("input"), str) and row["input"].strip():
        turns = (*turns[:-1], {**turns[-1], "content": f"{turns[-1]['content']}\n\n{row['input']}"})
    for question, answer in reversed(row.get("history") or ()):
        before = {"role": "user", "content": question}, {"role": "assistant", "content": answer}
        turns = (*before, *turns)
    system = _text_of(row, ("system", "system_prompt"))
    if system.strip() and turns[0]["role"] != "system":
        turns = ({"role": "system", "content": system}, *turns)
    return _question(turns)


def _question(turns: tuple[Row, ...]) -> tuple[Row, ...]:
    """The turns of a prompt; an empty system turn, which says nothing, is left out."""
    turns = tuple(t for t in turns if t["role"] != "system" or t["content"].strip())
    if not turns or turns[-1]["role"] != "user":
        raise Rejected("no_question", "the prompt does not end with a user's turn")
    return turns


def _reply(value: Any) -> str:
    """The text of a reply: a text, or the one assistant's turn of a list."""
    if isinstance(value, str):
        return value
    turns = _turns(value)
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        raise Rejected("several_turns", "the answer is more than one assistant's turn")
    return str(turns[0]["content"])


def _conversations(row: Row) -> Iterable[Side]:
    """Both sides are whole conversations that differ in their last turn alone."""
    chosen, rejected = _turns(row["chosen"]), _turns(row["rejected"])
    if len(chosen) < 2:
        raise Rejected("no_prompt", "two answers without a prompt")
    if chosen[:-1] != rejected[:-1]:
        raise Rejected("prompts_differ", "the sides differ before their last turn")
    yield Side(_question(chosen[:-1]), _reply(chosen[-1:]), _reply(rejected[-1:]))


def _prompted(column: str) -> Callable[[Row], Iterable[Side]]:
    """Rows whose prompt stands in `column`, as a text or as messages; sides may repeat it."""

    def read(row: Row) -> Iterable[Side]:
        question, chosen = _prompt(row, column), row["chosen"]
        is_whole = bool(_dialogue(chosen)) if isinstance(chosen, str) else len(_turns(chosen)) > 1
        if not is_whole:
            yield Side(question, _reply(chosen), _reply(row["rejected"]))
            return
        sides = next(iter(_conversations(row)))
        # Of several turns the column may hold the first question alone.
        if question[-1] not in sides.prompt:
            raise Rejected("prompts_differ", f"{column} is not in the conversations")
        yield sides if len(sides.prompt) >= len(question) else sides._replace(prompt=question)

    return read


def _labelled_rows(row: Row) -> Iterable[Answer]:
    if row["label"] not in (True, False):
        raise TypeError(f"label is {row['label']!r}, not true or false")
    yield Answer(_prompt(row, "prompt"), _reply(row["completion"]), 1.0 if row["label"] else 0.0)


def _judged(row: Row) -> Iterable[Side]:
    """HelpSteer3: two responses, and a preference from -3 (the first) to 3 (the second)."""
    preference = _score(row["overall_preference"])
    if preference is None or abs(preference) > 3:
        raise ValueError(f"overall_preference is {row['overall_preference']!r}, not -3 to 3")
    if preference == 0:
        raise Rejected("equal_scores", "no preference")
    prompt, one, two = _prompt(row, "context"), _reply(row["response1"]), _reply(row["response2"])
    yield Side(prompt, one, two) if preference < 0 else Side(prompt, two, one)


def _listed(
    prompt: str, answers: str, reply: str, scores: Sequence[str], sign: float = 1.0
) -> Callable[[Row], Iterable[Answer]]:
    """Rows with a list of scored answers; the first of `scores` that all answers have counts."""

    def read(row: Row) -> Iterable[Answer]:
        question, found = _prompt(row, prompt), row[answers]
        if not found:
            raise Rejected("no_answers", f"{answers} is empty")
        for name in scores:
            values = [_score(answer.get(name)) for answer in found]
            if None not in values:
                break
        else:
            raise Rejected("no_score", f"not every answer has one of {', '.join(scores)}")
        for answer, value in zip(found, values, strict=True):
            yield Answer(question, _reply(answer[reply]), sign * (value or 0.0))

    return read


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
    yield Answer(_prompt(row, "prompt"), _reply(row["response"]), score)


_OURS = Shape(OWN_FORM, ("id", "instruction", "chosen", "rejected"), lambda row: ())
_LABELLED = Shape(LABELLED_FORM, ("prompt", "completion", "label"), _labelled_rows)

SHAPES: tuple[Shape, ...] = (
    _OURS,
    # Before the next: binarised UltraFeedback has a whole conversation under `messages` too.
    Shape("prompt with two answers", ("prompt", "chosen", "rejected"), _prompted("prompt")),
    Shape("messages with two answers", ("messages", "chosen", "rejected"), _prompted("messages")),
    Shape(
        "instruction with two answers",
        ("instruction", "chosen", "rejected"),
        _prompted("instruction"),
    ),
    Shape("question with two answers", ("question", "chosen", "rejected"), _prompted("question")),
    Shape("input with two answers (Themis)", ("input", "chosen", "rejected"), _prompted("input")),
    Shape("two conversations", ("chosen", "rejected"), _conversations),
    _LABELLED,
    Shape(
        "two judged responses (HelpSteer3)",
        ("context", "response1", "response2", "overall_preference"),
        _judged,
    ),
    Shape("rated responses (HelpSteer)", ("prompt", "response", "helpfulness"), _rated),
    Shape(
        "scored completions (UltraFeedback)",
        ("instruction", "completions"),
        _listed("instruction", "completions", "response", ("fine-grained_score", "overall_score")),
    ),
    Shape(
        "ranked answers (Nectar)",
        ("prompt", "answers"),
        _listed("prompt", "answers", "answer", ("rank",), -1.0),
    ),
    Shape(
        "sampled programs with pass rates (AceCode)",
        ("question", "inferences"),
        _listed("question", "inferences", "completion", ("pass_rate",)),
    ),
)
