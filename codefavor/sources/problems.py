"""Problems with executable tests: the starter set, six published benchmarks, or your own file.

Source: starter (this repository, Apache-2.0); HumanEval (Chen et al. 2021, MIT); MBPP (Austin
et al. 2021, CC-BY-4.0); HumanEval+ and MBPP+ (Liu et al. 2023, EvalPlus, Apache-2.0).
"""

from __future__ import annotations

import ast
import logging
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from codefavor.errors import DataError
from codefavor.idset import IdSet
from codefavor.records import Problem, Row, read_records, read_rows
from codefavor.sources import published_problems as published
from codefavor.sources.evalplus import evalplus_tests
from codefavor.sources.locate import Location, locate_rows

logger = logging.getLogger(__name__)

_MBPP_SPLITS = ("train", "validation", "test", "prompt")
LOCATIONS: dict[str, Location] = {
    "humaneval": Location(
        "HumanEval", "humaneval/HumanEval.jsonl.gz", "openai/openai_humaneval", "MIT"
    ),
    "humaneval+": Location(
        "HumanEval+",
        "humanevalplus/HumanEvalPlus.jsonl.gz",
        "evalplus/humanevalplus",
        "Apache-2.0",
    ),
    "mbpp": Location(
        "MBPP",
        "mbpp/mbpp.jsonl",
        "google-research-datasets/mbpp",
        "CC-BY-4.0",
        config="full",
        splits=_MBPP_SPLITS,
    ),
    "mbpp-sanitized": Location(
        "sanitized MBPP",
        "mbpp_sanitized/sanitized-mbpp.json",
        "google-research-datasets/mbpp",
        "CC-BY-4.0",
        config="sanitized",
        splits=_MBPP_SPLITS,
    ),
    "mbpp+": Location(
        "MBPP+", "mbppplus/MbppPlus.jsonl.gz", "evalplus/mbppplus", "Apache-2.0 and CC-BY-4.0"
    ),
    "quixbugs": Location(
        "QuixBugs",
        "quixbugs_py/quixbugs_python.jsonl",
        "Muennighoff/quixbugs",
        "MIT",
        splits=("train",),
    ),
}
NAMES = ("starter", *LOCATIONS, *published.LOCATIONS)


def load_problems(source: str, *, data_dir: Path | None = None) -> list[Problem]:
    """The problems of a named set (`NAMES`) or of a JSONL file of your own, in file order.

    `data_dir` is the folder with the published benchmarks; without it they are asked of the
    Hub. Raises DataError for an unknown name, a missing or empty file, a bad row (file and
    line named) or an id that occurs twice.
    """
    return list(stream_problems(source, data_dir=data_dir))


def stream_problems(source: str, *, data_dir: Path | None = None) -> Iterator[Problem]:
    """`load_problems` one by one: a file of your own is read as they are taken."""
    problems: Iterable[Problem]
    if source == "starter":
        problems = read_records(starter_path(), Problem)
    elif source in LOCATIONS:
        make = _MAKERS[source]
        location = LOCATIONS[source]
        problems = [make(row, where, location) for where, row in locate_rows(location, data_dir)]
    elif source in published.LOCATIONS:
        location = published.LOCATIONS[source]
        problems = _published(locate_rows(location, data_dir), location)
    elif Path(source).is_file() or Path(source).suffix in {".jsonl", ".gz"}:
        problems = _published(read_rows(Path(source)), None)
    else:
        raise DataError(
            f"unknown problem set {source!r}: no such file, and the known sets are "
            f"{', '.join(NAMES)}"
        )
    return _with_unique_ids(problems, source)


def _published(rows: Iterable[tuple[str, Row]], location: Location | None) -> Iterator[Problem]:
    """Problems of ours or in a form that others publish; of the latter those that cannot be used
    are left out, and counted by reason.

    Raises DataError if none can be used.
    """
    is_any = False
    counts = Counter[str]()
    first: published.UnusableRowError | None = None
    seen = IdSet()
    for where, row in rows:
        try:
            problem = None if "tests" in row else published.read_published(row, where, location)
            if problem and problem.source in published.OWN_IDS and not seen.add(problem.id):
                same = "asks and tests the same as an earlier row"
                raise published.UnusableRowError(where, "that repeat an earlier one", same)
        except published.UnusableRowError as error:
            first = first or error
            counts[error.reason] += 1
            continue
        is_any = True
        yield problem or Problem.from_row(row, where)
    if not counts:
        return
    reasons = ", ".join(f"{n} rows {reason}" for reason, n in counts.most_common())
    if not is_any:
        raise DataError(f"no row can be used: {reasons}; the first: {first}")
    logger.warning("%s are left out; the first: %s", reasons, first)


def starter_path() -> Path:
    """The starter problems of this clone, or those shipped inside the installed package."""
    package = Path(__file__).resolve().parents[1]
    relative = Path("datasets", "starter", "problems.jsonl")
    candidates = (package.parent / relative, package / "_shipped" / relative)
    for path in candidates:
        if path.is_file():
            return path
    raise DataError(
        f"the starter problems are missing; looked for {' and '.join(map(str, candidates))}"
    )


def _with_unique_ids(problems: Iterable[Problem], source: str) -> Iterator[Problem]:
    seen = IdSet()
    for problem in problems:
        if not seen.add(problem.id):
            raise DataError(
                f"{source}: the problem id {problem.id!r} occurs twice; ids name problems"
            )
        yield problem


def _field(row: Row, name: str, where: str) -> Any:
    value = row.get(name)
    if value is None:
        raise DataError(
            f"{where}: the field {name!r} is missing; found only {', '.join(sorted(row))}"
        )
    return value


def _humaneval(row: Row, where: str, location: Location) -> Problem:
    prompt, entry_point = _field(row, "prompt", where), _field(row, "entry_point", where)
    if "base_input" in row:
        tests = evalplus_tests(row, where, _joined_reference(row, where))
    else:
        tests = f"{_field(row, 'test', where).strip()}\n\ncheck({entry_point})\n"
        tests = helpers_of(prompt, entry_point, tests) + tests
    return Problem(
        id=_field(row, "task_id", where),
        instruction=f"Complete this Python function:\n\n{prompt.strip()}\n",
        tests=tests,
        entry_point=entry_point,
        reference=_joined_reference(row, where),
        source=location.name,
        license=location.license,
        prompt=prompt,
    )


def helpers_of(prompt: str, entry_point: str, tests: str) -> str:
    """The prompt's helper functions that the tests call: a program must not answer for them."""
    try:
        tree = ast.parse(prompt)
    except SyntaxError:
        return ""  # a prompt that a completion has to continue
    used = {node.id for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Name)}
    helpers = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name in used - {entry_point}
    ]
    if not helpers:
        return ""
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "".join(f"{ast.unparse(node)}\n" for node in [*imports, *helpers])


def _joined_reference(row: Row, where: str) -> str:
    """The whole program: HumanEval's solution is the body that continues its prompt."""
    return str(_field(row, "prompt", where)) + str(_field(row, "canonical_solution", where))


def _mbpp(row: Row, where: str, location: Location) -> Problem:
    task_id = _field(row, "task_id", where)
    # The full set says `text` and `test_setup_code`, the sanitized one `prompt` and `test_imports`.
    text = str(row.get("text") or _field(row, "prompt", where)).strip()
    code = str(_field(row, "code", where)).replace("\r\n", "\n")
    asserts = [line.strip().replace("\r\n", "\n") for line in _field(row, "test_list", where)]
    setup = [str(row.get("test_setup_code") or "").strip(), *row.get("test_imports", [])]
    entry_point = _called_name(code, asserts, where)
    setup = [*_imported_classes(code, [*setup, *asserts]), *setup]
    return Problem(
        id=f"Mbpp/{task_id}",
        instruction=f"{text}\nFor example, this holds: {asserts[0]}",
        tests="\n".join([line for line in setup if line] + asserts) + "\n",
        entry_point=entry_point,
        reference=code,
        source=location.name,
        license=location.license,
    )


def _quixbugs(row: Row, where: str, location: Location) -> Problem:
    """The tests' node class goes into `setup`: the programs and the tests both make nodes."""
    name, code = _field(row, "name", where), _field(row, "solution", where)
    tree = ast.parse(_field(row, "tests", where))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    tree.body = [node for node in tree.body if node not in classes]
    return Problem(
        id=f"QuixBugs/{name}",
        instruction=str(_field(row, "docstring", where)).strip('"\n'),
        tests=ast.unparse(tree) + "\n",
        entry_point=name,
        setup="".join(f"{ast.unparse(node)}\n" for node in classes),
        reference=code,
        source=location.name,
        license=location.license,
    )


def _imported_classes(code: str, tests: list[str]) -> list[str]:
    """An import of the program's classes that the tests construct (trees and pairs)."""
    used = {
        node.id
        for line in tests
        for node in ast.walk(ast.parse(line))
        if isinstance(node, ast.Name)
    }
    classes = [node.name for node in ast.parse(code).body if isinstance(node, ast.ClassDef)]
    found = [name for name in classes if name in used]
    return [f"from solution import {', '.join(found)}"] if found else []


def _called_name(code: str, asserts: list[str], where: str) -> str:
    """The function of `code` that the asserts call (MBPP does not name it elsewhere)."""
    defined = {
        node.name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    for node in ast.walk(ast.parse("\n".join(asserts))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in defined
        ):
            return node.func.id
    raise DataError(f"{where}: the tests call none of the functions {', '.join(sorted(defined))}")


def _mbpp_plus(row: Row, where: str, location: Location) -> Problem:
    if "base_input" not in row:
        return _mbpp_plus_of_the_hub(row, where, location)
    text = textwrap.dedent(_field(row, "prompt", where)).strip().strip("'\"").strip()
    reference = str(_field(row, "canonical_solution", where)).strip() + "\n"
    asserts = [line for line in _field(row, "assertion", where).splitlines() if line.strip()]
    return Problem(
        id=_field(row, "task_id", where),
        instruction=f"{text}\nFor example, this holds: {asserts[0]}",
        tests=evalplus_tests(row, where, reference),
        entry_point=_field(row, "entry_point", where),
        reference=reference,
        source=location.name,
        license=location.license,
    )


def _mbpp_plus_of_the_hub(row: Row, where: str, location: Location) -> Problem:
    """The Hub's form has MBPP's columns and one finished `test` module with the plus inputs."""
    problem = _mbpp(row, where, location)
    return Problem(**{**problem.to_row(), "tests": str(_field(row, "test", where))})


_MAKERS: dict[str, Callable[[Row, str, Location], Problem]] = {
    "humaneval": _humaneval,
    "humaneval+": _humaneval,
    "mbpp": _mbpp,
    "mbpp-sanitized": _mbpp,
    "quixbugs": _quixbugs,
    "mbpp+": _mbpp_plus,
}
