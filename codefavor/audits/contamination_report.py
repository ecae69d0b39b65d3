"""Training rows against benchmarks and held-out parts: what the check is told, and facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from codefavor.benchmarks.codeprefbench import find_files, read_tasks
from codefavor.benchmarks.published import BENCHMARKS, load_items, programs_in
from codefavor.errors import DataError
from codefavor.pairs.decontamination import KINDS, Decontamination, Task, decontaminate
from codefavor.pairs.prose import prose_of, without_examples
from codefavor.records import Preference, Problem, Row, read_rows
from codefavor.sources import published_problems
from codefavor.sources.locate import files_of
from codefavor.sources.problems import LOCATIONS, load_problems

# What nobody may leave out without saying so.
USUAL = (
    "codeprefbench", "humaneval", "humaneval+", "mbpp", "mbpp+", "humanevalpack",
    *(f"humanevalpack-{name}" for name in ("js", "java", "go", "cpp", "rust")),
)  # fmt: skip
# How many problems (of CodePrefBench pairs) are published: a copy of one that a shorter file lacks
# would not be found. MBPP+ is of the version with the fewest.
_PUBLISHED = {
    "codeprefbench": 1364, "humaneval": 164, "humaneval+": 164, "mbpp": 974, "mbpp+": 378,
    "mbpp-sanitized": 427, "quixbugs": 40, "humanevalpack": 164,
    **{f"humanevalpack-{name}": 164 for name in ("js", "java", "go", "cpp", "rust")},
}  # fmt: skip
# Sets to train on that are published in the same form as benchmarks.
_FOR_TRAINING = frozenset({"acecode", "kodcode"})
# Problems of one hand are more alike than strangers', their tests above all: those of different
# starter problems reach 2.25 times what makes a row a copy of a benchmark's, tasks and code 1.0.
_SPLIT_THRESHOLD, _SPLIT_TESTS = 1.5, 2.3
_ASSERT = re.compile(r"^\s*assert\b.*$", re.MULTILINE)
# Inputs by the thousand are not what anybody copies.
_MOST_ASSERTS = 40
_FUNCTIONS = re.compile(r"\n(?= *(?:async )?(?:def|class) )")


def usual_benchmarks(data_dir: Path | None) -> list[str]:
    """`USUAL`, and every other benchmark whose files lie in the data folder."""
    places = {**LOCATIONS, **published_problems.LOCATIONS}
    here = [
        name
        for name, source in BENCHMARKS.items()
        if data_dir is not None and not source.is_for_training and source.is_here(data_dir)
    ]
    here += [
        name
        for name, place in places.items()
        if name not in _FOR_TRAINING and files_of(place, data_dir)
    ]
    return list(dict.fromkeys([*USUAL, *here]))


def benchmark_tasks(name: str, data_dir: Path | None = None) -> list[Task]:
    """The problems of a benchmark, with all of their texts that a row may contain.

    `name` is CodePrefBench, a set of problems, a benchmark of pairs, or a JSONL file of yours
    with `instruction` and any of `code`, `reference`, `chosen`, `rejected`, `prompt`, `tests`.
    Raises DataError if it is not here, saying how to get it, or has fewer problems than published.
    """
    tasks = _tasks(name, data_dir)
    if len(tasks) < _PUBLISHED.get(name, 0):
        raise DataError(
            f"{name}: {len(tasks)} of the {_PUBLISHED[name]} problems that were published; "
            "get the whole file"
        )
    return tasks


def _tasks(name: str, data_dir: Path | None) -> list[Task]:
    if name == "codeprefbench":
        items = read_tasks(find_files([data_dir] if data_dir else []), comments="keep")
        return [_of_row(item, item["task_id"]) for item in items]
    if name in (*LOCATIONS, *published_problems.LOCATIONS, "starter"):
        return [task_of_problem(one) for one in load_problems(name, data_dir=data_dir)]
    if name in BENCHMARKS:
        items = load_items(name, data_dir=data_dir)
        return [_of_item(item) for item in items]
    path = Path(name)
    if not path.is_file():
        known = ", ".join(["codeprefbench", "starter", *LOCATIONS, *sorted(BENCHMARKS)])
        raise DataError(f"unknown benchmark {name!r}: no such file, and the known ones are {known}")
    return [_own(row, where) for where, row in read_rows(path)]


def check_split(
    train: Sequence[Problem | Preference],
    held_out: Sequence[Problem | Preference],
    *,
    threshold: float = _SPLIT_THRESHOLD,
) -> Decontamination:
    """That nothing held out was trained on: what is held out is the benchmark of `train`.

    What many training problems share, the frame of a prompt, says nothing. Raises DataError for an
    id on both sides (a pair's is that of its problem), and for a row that holds a part of what is
    held out, naming both.
    """
    tasks = _merged(_of_record(one) for one in held_out)
    theirs = _merged(_of_record(one) for one in train)
    shared = sorted(set(tasks) & set(theirs))
    if shared:
        raise DataError(f"the split leaks: on both sides are {_listing(shared)}")
    found = decontaminate(
        [_as_row(one) for one in train],
        {"held out": list(tasks.values())},
        threshold=threshold,
        tests_need=_SPLIT_TESTS,
        background=background_texts(),
        framed=["\n".join((*one.tasks, *one.codes, *one.tests)) for one in theirs.values()],
    )
    if found.findings:
        likest = sorted(found.findings, key=lambda one: -one.similarity)
        said = dict.fromkeys(f"{one.test_id} in {one.row_id} ({one.kind})" for one in likest)
        raise DataError(
            f"the split leaks: {len({one.test_id for one in likest})} held-out problems stand in "
            f"{len(found.removed)} training rows: {_listing(list(said))}"
        )
    return found


def split_detail(found: Decontamination) -> str:
    """One line for a report on what `check_split` let pass."""
    (nearest,) = found.nearest.values()
    n_held_out = len(nearest) + sum(found.n_short.values())
    text = f"{n_held_out} held-out problems against {found.n_rows} training rows"
    if any(found.n_short.values()):
        text += f", {sum(found.n_short.values())} of them too short to be found"
    if nearest and nearest[0].other_id:
        one = nearest[0]
        text += (
            f"; nearest {one.similarity:.0f} of 100 ({one.id} and {one.other_id}; "
            f"{found.limit:.0f} is a leak)"
        )
    return text


def _listing(items: Sequence[str], limit: int = 5) -> str:
    rest = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + rest


def _of_record(record: Problem | Preference) -> Task:
    if isinstance(record, Problem):
        return task_of_problem(record)
    return Task(
        record.problem_id or record.id,
        _texts(without_examples(record.instruction), record.instruction),
        _texts(record.chosen, record.rejected),
        language=record.language,
    )


def _merged(tasks: Iterable[Task]) -> dict[str, Task]:
    """By id; the rows of one problem are one."""
    found: dict[str, Task] = {}
    for task in tasks:
        known = found.get(task.id, Task(task.id, language=task.language))
        found[task.id] = known._replace(
            tasks=_texts(*known.tasks, *task.tasks),
            codes=_texts(*known.codes, *task.codes),
            tests=_texts(*known.tests, *task.tests),
        )
    return found


def _as_row(record: Problem | Preference) -> Preference:
    if isinstance(record, Preference):
        return record
    return Preference(
        record.id, record.instruction, record.reference, record.tests, language=record.language
    )


def task_of_problem(problem: Problem) -> Task:
    """The texts of a problem that a training row may contain."""
    tests = re.sub(r"\bcandidate\b", problem.entry_point or "candidate", problem.tests)
    return Task(
        problem.id,
        _texts(prose_of(problem), problem.instruction),
        _texts(problem.reference),
        _asserts(tests),
        problem.language,
    )


_CODES = ("code", "reference", "chosen", "rejected", "prompt")


def _of_row(row: Row, name: str) -> Task:
    return Task(
        name,
        _texts(row.get("instruction")),
        _texts(*(row.get(key) for key in _CODES)),
        _asserts(str(row.get("tests") or "")),
        str(row.get("language") or "python"),
    )


def _of_item(item: Row) -> Task:
    """A published pair, with the programs that whole answers hold."""
    task = _of_row(item, item["problem_id"])
    return task._replace(codes=_texts(*programs_in(item), *task.codes))


def _texts(*values: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(value) for value in values if value))


def _asserts(tests: str) -> tuple[str, ...]:
    return tuple(found.strip() for found in _ASSERT.findall(tests)[:_MOST_ASSERTS])


def _own(row: Row, where: str) -> Task:
    if not any(isinstance(row.get(key), str) for key in (*_CODES, "instruction", "tests")):
        raise DataError(
            f"{where}: nothing to compare; needed is 'instruction' or one of {', '.join(_CODES)}, "
            f"found {', '.join(sorted(row))}"
        )
    return _of_row(row, str(row.get("id") or row.get("task_id") or where))


def background_texts() -> list[str]:
    """Programs and tasks that are surely no benchmark's: the starter problems' and our own."""
    texts = [f"{one.instruction}\n{one.reference}\n{one.tests}" for one in load_problems("starter")]
    for source in _sources(files("codefavor")):
        texts += _FUNCTIONS.split(source)
    return texts


def _sources(folder: Traversable) -> Iterable[str]:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir() and not entry.name.startswith(("_", ".")):
            yield from _sources(entry)
        elif entry.name.endswith(".py"):
            yield entry.read_text(encoding="utf-8")


def contamination_facts(found: Decontamination) -> dict[str, str]:
    """One sentence a benchmark, for a card or a table."""
    counts = found.counts()
    facts: dict[str, str] = {}
    for name, nearest in found.nearest.items():
        rows = len({f.row_id for f in found.findings if f.benchmark == name})
        kinds = ", ".join(f"{counts[name, kind]} by {kind}" for kind in KINDS if counts[name, kind])
        facts[name] = (
            f"{found.share_over(name):.1%} of {len(nearest)} problems have a row like them; "
            f"{rows} of {found.n_rows} rows are like one" + (f" ({kinds})" if kinds else "")
        )
    return facts
