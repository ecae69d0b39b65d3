"""Preference data as others publish it: rows told apart by their columns, read as our pairs.

Sources of the columns: TRL's data set formats (preference, implicit prompt, unpaired preference),
and the cards of UltraFeedback and its binarised form, HelpSteer 1 to 3, Nectar, Themis and AceCode.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.errors import DataError, MissingPackageError, Rejected
from codefavor.languages import LANGUAGES
from codefavor.records import Labelled, Preference, Row, content_id, read_rows
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


def read_any_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Each row of a file as ("file:row", row): .jsonl, .jsonl.gz, .json (a list) or .parquet.

    Raises DataError for a file that is missing, broken or without rows.
    """
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
    elif path.suffix == ".json" and path.is_file() and _is_list(path):
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: not valid JSON ({error})") from error
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{path}: expected a list of JSON objects")
        yield from ((f"{path}:{number}", row) for number, row in enumerate(rows, start=1))
    else:
        yield from read_rows(path)


def _is_list(path: Path) -> bool:
    with open(path, encoding="utf-8") as handle:
        return handle.read(64).lstrip().startswith("[")


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingPackageError("pyarrow", "train", "reading Parquet") from error
    number = 0
    try:
        for batch in ParquetFile(path).iter_batches(1024):
            for number, row in enumerate(batch.to_pylist(), start=number + 1):  # noqa: B020
                yield f"{path}:{number}", row
    except (OSError, ArrowException) as error:
        raise DataError(f"{path}: not readable as Parquet: {error}") from error
    if not number:
        raise DataError(f"{path}: the file has no rows")


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
            found = list(shape.read(row))
        except Rejected as reason:
            reading.rejected[reason.reason] += 1
            continue
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DataError(
                f"{where}: not readable as {shape.name}: {type(error).__name__}: {error}"
            ) from error
        for one in found:
            if isinstance(one, Side):
                reading.preferences.append(_preference(one, row, shape, source))
            else:
                answers.setdefault(content_id(one.prompt), []).append((one, row))
                if shape is _LABELLED:
                    reading.labelled.append(_labelled(one, row, source))
    for group in answers.values():
        pairs = list(_paired(group))
        if not pairs and shape_of(group[0][1]) is _LABELLED:
            reading.rejected[ONE_LABEL] += 1
        elif not pairs:
            reading.rejected["one_answer" if len(group) == 1 else "equal_scores"] += 1
        for side, row, scores in pairs:
            reading.preferences.append(_preference(side, row, shape_of(row), source, scores))
    return reading


def shape_of(row: Mapping[str, Any], where: str = "row") -> Shape:
    """The first known form whose columns a row has; raises DataError where there is none."""
    given = {name for name, value in row.items() if value is not None}
    for shape in SHAPES:
        if given.issuperset(shape.columns):
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
    """A prompt as messages: a text is one user's turn; other names of roles are translated."""
    if isinstance(value, str):
        return ({"role": "user", "content": value},)
    if isinstance(value, Mapping):
        value = [value]
    turns = []
    for message in value:
        role = message.get("role") or message["from"]
        content = message.get("content", message.get("value"))
        if not isinstance(content, str):
            raise Rejected("not_text", "a message has parts that are not text")
        turns.append({"role": _ROLES.get(role, role), "content": content})
    return tuple(turns)


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
    if isinstance(row["chosen"], str):
        yield _dialogues(row["chosen"], row["rejected"])
        return
    chosen, rejected = _turns(row["chosen"]), _turns(row["rejected"])
    if chosen[:-1] != rejected[:-1]:
        raise Rejected("prompts_differ", "the sides differ before their last turn")
    yield Side(_question(chosen[:-1]), _reply(chosen[-1:]), _reply(rejected[-1:]))


def _dialogues(chosen: str, rejected: str) -> Side:
    """Two texts of HH-RLHF's form, turns marked by "\\n\\nHuman: " and "\\n\\nAssistant: "."""
    mark = "\n\nAssistant:"
    before, found, good = chosen.rpartition(mark)
    other, _, bad = rejected.rpartition(mark)
    if not found or before != other:
        raise Rejected("no_prompt", "two texts without a prompt, and not of HH-RLHF's form")
    turns = []
    for part in ("\n\n" + before.lstrip()).split("\n\nHuman:")[1:]:
        question, *replies = part.split(mark)
        turns.append({"role": "user", "content": question.strip()})
        turns += [{"role": "assistant", "content": reply.strip()} for reply in replies]
    return Side(_question(tuple(turns)), good.strip(), bad.strip())


def _prompted(column: str) -> Callable[[Row], Iterable[Side]]:
    """Rows whose prompt stands in `column`, as a text or as messages; sides may repeat it."""

    def read(row: Row) -> Iterable[Side]:
        prompt = _turns(row[column])
        if isinstance(row.get("system"), str):
            prompt = ({"role": "system", "content": row["system"]}, *prompt)
        question = _question(prompt)
        is_whole = isinstance(row["chosen"], list) and len(row["chosen"]) > 1
        if is_whole:
            sides = next(iter(_conversations(row)))
            # The conversation holds the system turn where the prompt's column does not.
            question = sides.prompt if len(sides.prompt) >= len(question) else question
            yield Side(question, sides.chosen, sides.rejected)
        else:
            yield Side(question, _reply(row["chosen"]), _reply(row["rejected"]))

    return read


def _labelled_rows(row: Row) -> Iterable[Answer]:
    if not isinstance(row["label"], (bool, int)):
        raise TypeError(f"label is {row['label']!r}, not true or false")
    prompt = _question(_turns(row["prompt"]))
    yield Answer(prompt, _reply(row["completion"]), 1.0 if row["label"] else 0.0)


def _judged(row: Row) -> Iterable[Side]:
    """HelpSteer3: two responses, and a preference from -3 (the first) to 3 (the second)."""
    preference = float(row["overall_preference"])
    if preference == 0:
        raise Rejected("equal_scores", "no preference")
    one, two = _reply(row["response1"]), _reply(row["response2"])
    prompt = _question(_turns(row["context"]))
    yield Side(prompt, one, two) if preference < 0 else Side(prompt, two, one)


def _listed(
    prompt: str, answers: str, reply: str, score: Sequence[str], sign: float = 1.0
) -> Callable[[Row], Iterable[Answer]]:
    """Rows with a list of scored answers; the first name of `score` that an answer has counts."""

    def read(row: Row) -> Iterable[Answer]:
        question = _question(_turns(row[prompt]))
        for answer in row[answers]:
            value = next((answer[name] for name in score if answer.get(name) is not None), None)
            if value is None:
                raise KeyError(f"none of {', '.join(score)} in an answer of {answers}")
            yield Answer(question, _reply(answer[reply]), sign * float(value))

    return read


def _rated(row: Row) -> Iterable[Answer]:
    yield Answer(
        _question(_turns(row["prompt"])), _reply(row["response"]), float(row["helpfulness"])
    )


_OURS = Shape(OWN_FORM, ("id", "instruction", "chosen", "rejected"), lambda row: ())
_LABELLED = Shape(LABELLED_FORM, ("prompt", "completion", "label"), _labelled_rows)

SHAPES: tuple[Shape, ...] = (
    _OURS,
    Shape("messages with two answers", ("messages", "chosen", "rejected"), _prompted("messages")),
    Shape("prompt with two answers", ("prompt", "chosen", "rejected"), _prompted("prompt")),
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
