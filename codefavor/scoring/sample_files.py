"""Samples that other tools wrote, as completions of known problems; ours as EvalPlus reads them.

EvalPlus: `{"task_id", "solution"}` (a whole program) or `{"task_id", "completion"}` (what continues
the prompt). bigcode-evaluation-harness: one JSON list of lists of programs, in the order of the
problems (of MBPP its 500 test problems). lm-evaluation-harness: the rows of `--log_samples`, of one
filter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codefavor.errors import DataError
from codefavor.records import Completion, Problem, Row, content_id, read_rows
from codefavor.scoring.answers import program_of
from codefavor.scoring.by_tests import completion_of

# MBPP's published test problems, all that the bigcode harness and lm-eval ask, in their order.
_MBPP_TEST = [f"Mbpp/{number}" for number in range(11, 511)]


def read_samples(path: Path, problems: Mapping[str, Problem]) -> dict[str, list[Completion]]:
    """The samples in a file, by problem in the order of `problems`, each problem's in the file's.

    Raises DataError, naming file and line, for a row of none of the forms, an unknown problem, an
    id that stands twice, and lists that do not say which problems they are of.
    """
    found: dict[str, list[Completion]] = {name: [] for name in problems}
    ids: dict[str, str] = {}
    for where, completion, own_id in _samples(path, problems):
        if own_id and ids.setdefault(own_id, where) != where:
            raise DataError(f"{where}: the id {own_id!r} stands twice (first in {ids[own_id]})")
        found[completion.problem_id].append(completion)
    return {name: samples for name, samples in found.items() if samples}


def problems_of(
    samples: Mapping[str, object], problems: Mapping[str, Problem], *, only_sampled: bool = False
) -> dict[str, Problem]:
    """The problems that samples are measured on: all, or MBPP's test problems if just these have
    samples; with `only_sampled` those that have some."""
    is_test = bool(samples) and samples.keys() == problems.keys() & set(_MBPP_TEST)
    return {k: one for k, one in problems.items() if k in samples or not (only_sampled or is_test)}


def refuse_uneven(
    path: Path, samples: Mapping[str, Sequence[Completion]], names: Sequence[str]
) -> None:
    """Raise DataError unless all these problems have samples, and as many: else pass@k would be
    another number."""
    counts = {name: len(samples.get(name, ())) for name in names}
    most = max(counts.values(), default=0)
    if not most:
        raise DataError(f"{path}: holds no samples of the {len(names)} problems asked about")
    if short := [name for name, n in counts.items() if n < most]:
        few = ", ".join(f"{name} ({counts[name]})" for name in short[:3])
        raise DataError(
            f"{path}: {len(short)} of {len(names)} problems have fewer than {most} samples: "
            f"{few}{', …' if len(short) > 3 else ''}; --only-sampled measures the problems that "
            "have some; --limit, --sample and --split choose problems"
        )


def evalplus_rows(completions: Iterable[Completion]) -> Iterator[Row]:
    """Samples as `evalplus.evaluate --samples` reads them: whole programs."""
    for one in completions:
        yield {"task_id": one.problem_id, "solution": one.code}


def _samples(path: Path, problems: Mapping[str, Problem]) -> Iterator[tuple[str, Completion, str]]:
    if path.suffix == ".json":
        yield from _of_bigcode(path, problems)
        return
    filters: dict[str, str] = {}
    for where, row in read_rows(path):
        if isinstance(row.get("doc"), dict):
            filters.setdefault(str(row.get("filter", "")), where)
            if len(filters) > 1:
                raise DataError(
                    f"{where}: samples of several filters ({', '.join(map(repr, filters))}), which "
                    "are the same replies; keep the rows of one"
                )
            yield from _of_lm_eval(row, where, problems)
        else:
            yield where, completion_of(row, where, problems), str(row.get("id") or "")


def _lists(path: Path) -> list[list[str]]:
    try:
        lists: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as JSON ({error})") from error
    is_form = isinstance(lists, list) and all(
        isinstance(one, list) and all(isinstance(code, str) for code in one) for one in lists
    )
    if not is_form:
        raise DataError(
            f"{path}: not generations of the bigcode harness (a JSON list with a list of programs "
            "for each problem); samples of other tools are JSONL"
        )
    return list(lists)


def _of_bigcode(
    path: Path, problems: Mapping[str, Problem]
) -> Iterator[tuple[str, Completion, str]]:
    lists, order = _lists(path), list(problems)
    if len(lists) == len(_MBPP_TEST) != len(order) and problems.keys() & set(_MBPP_TEST):
        order = _MBPP_TEST
    if len(lists) != len(order):
        raise DataError(
            f"{path}: {len(lists)} lists of programs, and nothing says of which problems; read are "
            f"one for each of the {len(order)} problems of the set, and 500 of MBPP's test "
            'problems. Name the problems: one line {"task_id": ..., "solution": ...} a program, in '
            "a file that ends in .jsonl"
        )
    for number, (name, codes) in enumerate(zip(order, lists, strict=True)):
        for code in codes if name in problems else ():
            yield f"{path}, list {number}", _completion(problems[name], code, code), ""


def _of_lm_eval(
    row: Row, where: str, problems: Mapping[str, Problem]
) -> Iterator[tuple[str, Completion, str]]:
    name = row["doc"].get("task_id")
    problem = problems.get(f"Mbpp/{name}" if isinstance(name, int) else str(name))
    problem = problem or problems.get(str(name))
    if problem is None:
        raise DataError(f"{where}: no problem {name!r} in the given problems")
    texts = _texts(row.get("filtered_resps")) or _texts(row.get("resps"))
    if not texts:
        raise DataError(f"{where}: neither 'filtered_resps' nor 'resps' holds a text")
    for text in texts:
        code = program_of(text, problem.entry_point, prompt=problem.prompt)
        # All samples of a problem stand in one row.
        yield where, _completion(problem, code, text), problem.id


def _texts(value: object) -> Sequence[str]:
    """The texts in nested lists, in order."""
    if isinstance(value, str):
        return [value]
    return [text for one in value for text in _texts(one)] if isinstance(value, list) else []


def _completion(problem: Problem, code: str, raw: str) -> Completion:
    return Completion(content_id(problem.id, code), problem.id, code, raw)
