"""TruthfulQA and HaluEval as published: questions whose answers are true or false.

Sources: Lin et al. 2022, "TruthfulQA: Measuring How Models Mimic Human Falsehoods", with the
binary choice of its revision of 2025; Li et al. 2023, "HaluEval".
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError, DataError
from codefavor.records import Row, content_id, whole_row
from codefavor.sources.locate import Location, locate_rows
from codefavor.sources.row_files import read_any_rows

TRUTHFULQA = Location(
    "TruthfulQA", "truthfulqa/mc_task.json", "truthfulqa/truthful_qa", "Apache-2.0",
    config="multiple_choice", splits=("validation",),
)  # fmt: skip
_HALUEVAL_HUB = "pminervini/HaluEval"
HALUEVAL = {
    "qa": Location(
        "HaluEval QA", "halueval/qa_data.json", _HALUEVAL_HUB, "MIT", "qa", ("data",)
    ),
    "dialogue": Location(
        "HaluEval dialogue", "halueval/dialogue_data.json", _HALUEVAL_HUB, "MIT", "dialogue",
        ("data",),
    ),
    "summarization": Location(
        "HaluEval summarization", "halueval/summarization_data.json", _HALUEVAL_HUB, "MIT",
        "summarization", ("data",),
    ),
    "general": Location(
        "HaluEval general", "halueval/general_data.json.gz", _HALUEVAL_HUB, "MIT", "general",
        ("data",),
    ),
}  # fmt: skip
IFEVAL = Location(
    "IFEval", "ifeval/input_data.jsonl", "google/IFEval", "Apache-2.0", splits=("train",)
)
# The sets of choices of a question: one true of two, one true of many, several true.
CHOICE_SETS = {"binary": "mc0_targets", "mc1": "mc1_targets", "mc2": "mc2_targets"}
# What each HaluEval task calls its context, its question, and its two answers.
_COLUMNS = {
    "qa": ("knowledge", "question", "right_answer", "hallucinated_answer"),
    "dialogue": ("knowledge", "dialogue_history", "right_response", "hallucinated_response"),
    "summarization": ("document", "", "right_summary", "hallucinated_summary"),
}


def read_truthfulqa(data: Path | None, data_dir: Path | None) -> list[Row]:
    """One row a question: `{"id", "question", "choices": {"binary" | "mc1" | "mc2": {text: 0 | 1}},
    "true", "false"}`, with the true and the false answers in order.

    `data` is the published mc_task.json or TruthfulQA.csv, or JSONL of either form; else the data
    folder, else the Hub (which has no binary choices). Raises DataError for a row that cannot be
    read, and for a question that stands twice.
    """
    found: dict[str, Row] = {}
    for where, row in _rows(data, TRUTHFULQA, data_dir):
        one = _of_csv(row, where) if "Best Answer" in row else _of_choices(row, where)
        if one["id"] in found:
            raise DataError(f"{where}: the question stands twice: {one['question'][:80]!r}")
        found[one["id"]] = one
    return list(found.values())


def read_halueval(task: str, data: Path | None, data_dir: Path | None) -> list[Row]:
    """One row a pair of answers: `{"id", "context", "question", "right", "hallucinated"}`; of the
    task general one a response: `{"id", "question", "response", "is_hallucinated"}`.

    Rows that repeat another are left out. A row whose two answers are the same has `flaw`, the
    reason for which nobody is asked about it. Raises DataError for a row without one of its fields.
    """
    if task not in HALUEVAL:
        raise ConfigError(f"HaluEval has no task {task!r}; known: {', '.join(HALUEVAL)}")
    found: dict[str, Row] = {}
    for where, row in _rows(data, HALUEVAL[task], data_dir):
        one = _general(row, where) if task == "general" else _two_answers(row, task, where)
        found.setdefault(one["id"], one)
    return list(found.values())


def read_ifeval(data: Path | None, data_dir: Path | None) -> list[Row]:
    """One row a prompt: its id, and the four published fields that the checks need.

    Rows that repeat another are left out. Raises DataError for a row without one of its fields,
    and for one whose instructions do not have their arguments each.
    """
    found: dict[str, Row] = {}
    names = ("key", "prompt", "instruction_id_list", "kwargs")
    for where, row in _rows(data, IFEVAL, data_dir):
        missing = [name for name in names if row.get(name) in (None, "", [])]
        if missing:
            raise DataError(f"{where}: no {', '.join(missing)} (IFEval)")
        kept = {name: row[name] for name in names}
        asked, arguments = kept["instruction_id_list"], kept["kwargs"]
        if not _are(str, asked) or not _are(Mapping, arguments) or len(asked) != len(arguments):
            raise DataError(
                f"{where}: kwargs are an object for each of instruction_id_list (IFEval)"
            )
        one = {"id": content_id("ifeval", kept)[:16], **kept}
        found.setdefault(one["id"], one)
    return list(found.values())


def _rows(
    data: Path | None, location: Location, data_dir: Path | None
) -> Iterator[tuple[str, Row]]:
    """The rows of a file in any published form (CSV, a JSON array, JSON lines), or as located."""
    if data is None:
        yield from locate_rows(location, data_dir)
    elif data.suffix == ".csv" and data.is_file():
        with data.open(encoding="utf-8-sig", newline="") as handle:
            for number, row in enumerate(csv.DictReader(handle), start=2):
                yield f"{data}: row {number}", whole_row(row)
    else:
        yield from read_any_rows(data)


def _of_choices(row: Row, where: str) -> Row:
    """A row of mc_task.json, or of the Hub's `{"choices", "labels"}`."""
    sets = {name: _labelled(row[key], where) for name, key in CHOICE_SETS.items() if key in row}
    if not sets or not _text(row.get("question")):
        raise DataError(f"{where}: expected `question` and {', '.join(CHOICE_SETS.values())}")
    return _question(row["question"], sets, where)


def _labelled(targets: Any, where: str) -> dict[str, int]:
    if isinstance(targets, Mapping) and targets.keys() == {"choices", "labels"}:
        targets = dict(zip(targets["choices"], targets["labels"], strict=True))
    if not isinstance(targets, Mapping) or not set(targets.values()) <= {0, 1}:
        raise DataError(f"{where}: choices are texts with the label 0 or 1 each")
    return {str(text): int(label) for text, label in targets.items()}


def _of_csv(row: Row, where: str) -> Row:
    """A row of TruthfulQA.csv, whose answers are lists with semicolons."""
    best, worst = row["Best Answer"], row.get("Best Incorrect Answer") or ""
    true, false = (
        [one.strip() for one in (row.get(name) or "").split(";") if one.strip()]
        for name in ("Correct Answers", "Incorrect Answers")
    )
    sets = {
        "mc1": {best: 1, **dict.fromkeys(false, 0)},
        "mc2": {**dict.fromkeys(true, 1), **dict.fromkeys(false, 0)},
    }
    if worst:
        sets = {"binary": {best: 1, worst: 0}, **sets}
    return _question(row.get("Question") or "", sets, where)


def _question(question: str, sets: dict[str, dict[str, int]], where: str) -> Row:
    for name, choices in sets.items():
        if set(choices.values()) != {0, 1}:
            raise DataError(f"{where}: {name} needs a true and a false choice")
    widest = sets.get("mc2") or next(iter(sets.values()))
    return {
        "id": content_id("truthfulqa", question)[:16],
        "question": question.strip(),
        "choices": sets,
        "true": [text for text, label in widest.items() if label],
        "false": [text for text, label in widest.items() if not label],
    }


def _two_answers(row: Row, task: str, where: str) -> Row:
    context, question, right, hallucinated = _COLUMNS[task]
    needed = [name for name in (context, question, right, hallucinated) if name]
    missing = [name for name in needed if not _text(row.get(name))]
    if missing:
        raise DataError(f"{where}: no text in {', '.join(missing)} (HaluEval {task})")
    fields = {
        "context": row[context].strip(),
        "question": row[question].strip() if question else "",
        "right": row[right].strip(),
        "hallucinated": row[hallucinated].strip(),
    }
    is_flawed = fields["right"] == fields["hallucinated"]
    flaw = {"flaw": "equal_answers"} if is_flawed else {}
    return {"id": content_id(task, fields)[:16], **fields, **flaw}


def _general(row: Row, where: str) -> Row:
    label = str(row.get("hallucination", "")).strip().lower()
    if label not in ("yes", "no") or not _text(row.get("user_query")):
        raise DataError(f"{where}: expected user_query, chatgpt_response, hallucination (yes | no)")
    fields = {
        "question": row["user_query"].strip(),
        "response": str(row.get("chatgpt_response") or "").strip(),
        "is_hallucinated": label == "yes",
    }
    return {"id": content_id("general", fields)[:16], **fields}


def _are(kind: type, values: object) -> bool:
    return isinstance(values, list) and all(isinstance(one, kind) for one in values)


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
