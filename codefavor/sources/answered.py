"""Questions with a text and answers, as SQuAD 2, Natural Questions and their like have them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.errors import DataError
from codefavor.records import Record, Row, content_id, read_rows, whole_row

# What data sets write in the place of an answer (QuAC, MS MARCO), and QuAC behind each text.
_MARKS = frozenset(
    {
        "cannotanswer", "no answer present", "no answer", "unknown", "n/a", "na", "not mentioned",
        "unanswerable", "not answerable", "not given", "not stated", "not specified",
        "not available", "not provided", "not in the text",
    }
)  # fmt: skip
_MARK_OF_TEXT = "CANNOTANSWER"


@dataclass(frozen=True)
class Answered(Record):
    """A question, the text it is about, and its answers (the first one is used; () has none).

    `plausible` are answers that annotators found tempting for a question that has none.
    """

    id: str
    question: str
    context: str
    answers: tuple[str, ...] = ()
    plausible: tuple[str, ...] = ()


def load_answered(path: Path, skipped: Counter[str] | None = None) -> list[Answered]:
    """The questions of a file: SQuAD's nested JSON, or JSON lines with `question`, `context` (or
    `contexts`, `knowledge`, `document`: a text, a list of them, or HotpotQA's) and `answers`
    (texts, or SQuAD's object), `answer`, `ideal_answer` or `right_answer`.

    Rows without a question, a text or a word of an answer are left out and counted in `skipped`, as
    is a question that stands twice with its text, and a row whose question, text or answers are of
    another type, if any row of the file is none of these. A question has no answer only where its
    row says so: by an empty list of `answers`, a mark in their place ("CANNOTANSWER", "unknown"),
    `is_impossible`, `has_answer` or `plausible_answers`; one that also has an answer is left out
    and counted. Raises DataError for a file of another form.
    """
    found: dict[str, Answered] = {}
    skipped = Counter() if skipped is None else skipped
    first: DataError | None = None
    for where, row in _rows(path):
        try:
            question, context, said, plausible = _fields(row, where)
        except DataError as error:
            # A file of another form is told of; a row of another form in a file is counted.
            first = first or error
            skipped["question, text or answers of another type"] += 1
            continue
        if not question or not context.strip():
            skipped["no question" if not question else "no text"] += 1
            continue
        key = content_id(question, context)[:16]
        if key in found:
            skipped["the same question and text again"] += 1
            continue
        answers = tuple(one for one in said if one.strip(" .").lower() not in _MARKS)
        says_none = len(answers) < len(said) or _says_none(row)
        if any(one not in answers and _stands_in(one, context) for one in said):
            # Sodium's "Na", or a film called "Unknown": an answer, or a mark that there is none.
            skipped["an answer that reads like a mark that there is none"] += 1
        elif answers and says_none:
            skipped["an answer, and a mark that there is none"] += 1
        elif not answers and not plausible and not says_none:
            skipped["no answer, and nothing that says there is none"] += 1
        else:
            found[key] = Answered(key, question, context, answers, plausible)
    if first is not None and not found:
        raise first
    return list(found.values())


def _fields(row: Row, where: str) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    """Question, text, answers and plausible answers of a row; a question of null is ""."""
    if not isinstance(row.get("question", 0), str | None):
        raise DataError(f"{where}: no `question`; expected rows of question, context, answers")
    names = ("contexts", "context", "knowledge", "document")
    context = next((_context(row[key], key, where) for key in names if row.get(key)), "")
    said = _texts(row.get("answers"), where) or tuple(
        str(row[name]).strip()
        for name in ("answer", "ideal_answer", "right_answer")
        if isinstance(row.get(name), str) and _has_word(row[name])
    )
    return (
        (row["question"] or "").strip(),
        context,
        said,
        _texts(row.get("plausible_answers"), where),
    )


def _says_none(row: Row) -> bool:
    answers = row.get("answers")
    if isinstance(answers, dict):
        answers = answers.get("text")
    return answers == [] or row.get("is_impossible") is True or row.get("has_answer") is False


def _context(value: Any, name: str, where: str) -> str:
    """A text, the texts of a list, or those of HotpotQA's titles with their sentences."""
    if isinstance(value, dict) and {"title", "sentences"} <= value.keys():
        value = [list(one) for one in zip(value["title"], value["sentences"], strict=False)]
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list):
        parts = [None]
    texts = []
    for one in parts:
        is_titled = isinstance(one, list) and len(one) == 2 and isinstance(one[1], list)
        if is_titled:
            texts.append(f"{one[0]}\n{' '.join(str(sentence).strip() for sentence in one[1])}")
        elif isinstance(one, str):
            texts.append(one)
        else:
            raise DataError(
                f"{where}: `{name}` is {str(value)[:80]}; expected a text, a list of texts, or "
                "HotpotQA's titles with their sentences"
            )
    return "\n\n".join(texts).strip().removesuffix(_MARK_OF_TEXT).strip()


def _texts(value: Any, where: str) -> tuple[str, ...]:
    """The distinct texts of a list of answers, in order."""
    if value is None:
        return ()
    if isinstance(value, dict):
        value = value.get("text", ())
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple):
        raise DataError(f"{where}: answers are a list of texts, or an object with `text`")
    texts = [one.get("text") if isinstance(one, dict) else one for one in value]
    return tuple(
        dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and _has_word(text))
    )


def _stands_in(answer: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(answer.strip(' .'))}(?!\w)", text) is not None


def _has_word(text: str) -> bool:
    return any(one.isalnum() for one in text)


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    if path.suffix != ".json":
        yield from read_rows(path)
        return
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # JSON lines with the ending of JSON; what is neither is told of line by line.
        yield from read_rows(path)
        return
    entries = whole.get("data") if isinstance(whole, dict) else whole
    if not isinstance(entries, list):
        raise DataError(f"{path}: expected a list of rows, or SQuAD's object with `data`")
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise DataError(f"{path}: item {number} is not an object")
        if "paragraphs" not in entry:
            yield f"{path}: item {number}", whole_row(entry)
            continue
        where = f"{path}: item {number}"
        for paragraph in _objects(entry["paragraphs"], f"{where}: paragraphs"):
            # A paragraph without its text has questions without one, which are counted.
            text = paragraph.get("context")
            for one in _objects(paragraph.get("qas", []), f"{where}: qas"):
                yield f"{path}: {one.get('id', number)}", whole_row({**one, "context": text})


def _objects(value: Any, where: str) -> list[Row]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataError(f"{where}: expected a list of objects, as SQuAD has it")
    return value
