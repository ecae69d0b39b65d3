"""Drafts as the rows that Critic-Evol works on, from whatever file they stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from codefavor.errors import DataError
from codefavor.idset import IdSet
from codefavor.languages import language_name
from codefavor.records import Problem, Row, content_id, read_rows
from codefavor.scoring.by_tests import join_with_problems
from codefavor.synthesis.forms import code_of

_ANSWERS = ("code", "solution", "response", "completion")


def load_drafts(
    path: Path, problems: Mapping[str, Problem], skipped: Counter[str] | None = None
) -> Iterator[Row]:
    """Each different draft of a file once, in its order, with instruction, code and tests.

    Rows are the completions of `codefavor synthesise drafts`, EvalPlus samples, or any rows
    with `instruction` and one of `code`, `solution`, `response`, `completion`. A row that has no
    instruction of its own is joined with `problems` by `problem_id` or `task_id`; tests come
    from there too. `skipped` counts the repeated ones. Raises DataError, naming file and line,
    where that is impossible.
    """
    seen = IdSet()
    for row in _rows(path, problems):
        if seen.add(row["id"]):
            yield row
        elif skipped is not None:
            skipped["duplicate"] += 1


def _rows(path: Path, problems: Mapping[str, Problem]) -> Iterator[Row]:
    first = next(read_rows(path))[1]
    if "instruction" in first or not {"problem_id", "task_id"} & set(first):
        for where, row in read_rows(path):
            yield _own(row, where, problems)
        return
    if not problems:
        raise DataError(
            f"{path}: its rows have no 'instruction'; name their problems with --problems "
            f"(the rows have {', '.join(sorted(first))})"
        )
    for joined in join_with_problems(path, problems):
        completion = joined["completion"]
        problem = problems[completion["problem_id"]]
        yield _draft(problem, completion["code"], completion.get("model") or "")


def _own(row: Row, where: str, problems: Mapping[str, Problem]) -> Row:
    """The draft of a row that brings its instruction."""
    instruction = row.get("instruction")
    answer = next((row[name] for name in _ANSWERS if isinstance(row.get(name), str)), None)
    if not isinstance(instruction, str) or answer is None:
        raise DataError(
            f"{where}: a draft needs the texts 'instruction' and one of {', '.join(_ANSWERS)}; "
            f"found {', '.join(sorted(row)) or 'no fields'}"
        )
    language = language_name(str(row.get("language") or "python"))
    problem_id = str(row.get("problem_id") or "")
    known = problems.get(problem_id)
    problem = known or Problem(
        problem_id,
        instruction,
        str(row.get("tests") or ""),
        str(row.get("entry_point") or ""),
        license=str(row.get("license") or ""),
        language=language,
    )
    code = answer if "code" in row else code_of(answer, language)
    return _draft(problem, code, str(row.get("model") or ""))


def _draft(problem: Problem, code: str, model: str) -> Row:
    return {
        "id": content_id("draft", problem.language, problem.instruction, code),
        "instruction": problem.instruction,
        "code": code,
        "language": problem.language,
        "license": problem.license,
        "problem_id": problem.id,
        "tests": problem.tests,
        "entry_point": problem.entry_point,
        "model": model,
    }
