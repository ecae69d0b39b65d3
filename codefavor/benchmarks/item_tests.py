"""The tests of labelled pairs, where they have any: what the execution judge runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codefavor.benchmarks.published import BENCHMARKS, load_tests
from codefavor.errors import ConfigError
from codefavor.records import Problem, Row, read_rows
from codefavor.sources.problems import load_problems

_HOW_TO = (
    "name the problems by set or file: --tests humaneval+,mbpp+ (joined by problem_id, or "
    "CodePrefBench's task_id), or pairs with fields 'tests' and 'entry_point' of their own"
)


def tests_of(
    benchmark: str,
    items: Sequence[Row],
    *,
    problems: Sequence[str] = (),
    data: Path | None = None,
    data_dir: Path | None = None,
) -> dict[str, Problem]:
    """The problem, with its tests, of each item that has one, by the item's id.

    `problems` are named sets or JSONL files; without them the tests stand in the benchmark's
    own rows. Raises ConfigError if no item has tests, or if they are not for Python.
    """
    if problems:
        known = {one.id: one for name in problems for one in load_problems(name, data_dir=data_dir)}
        named = {item["id"]: [item.get("task_id"), item["problem_id"]] for item in items}
        found = {
            item_id: known[name]
            for item_id, names in named.items()
            for name in names
            if name in known
        }
    elif benchmark in BENCHMARKS:
        found = load_tests(benchmark, data=data, data_dir=data_dir)
    else:
        found = _own_tests(data) if benchmark == "pairs" and data is not None else {}
    # An attacked pair keeps the tests of the pair it was made of.
    sources = {
        item["id"]: item["id"] if problems else item.get("attacked", item["id"]) for item in items
    }
    found = {item_id: found[source] for item_id, source in sources.items() if source in found}
    if not found:
        none = f"none of the {len(items)} pairs of {benchmark}"
        if problems:
            ids = ", ".join(dict.fromkeys(str(item["problem_id"]) for item in items[:3]))
            raise ConfigError(
                f"{none} belongs to a problem of --tests {','.join(problems)}: these are joined by "
                f"problem_id (here {ids}, ...) or CodePrefBench's task_id; name the set that these "
                "pairs were made from"
            )
        raise ConfigError(f"{none} has tests; {_HOW_TO}")
    languages = {problem.language for problem in found.values()} - {"python"}
    if languages:
        raise ConfigError(
            f"the tests of {benchmark} are in {', '.join(sorted(languages))}; the sandbox runs "
            "Python programs"
        )
    return found


def _own_tests(data: Path) -> dict[str, Problem]:
    return {
        row["id"]: Problem(
            id=row["id"],
            instruction=str(row.get("instruction", "")),
            tests=str(row["tests"]),
            entry_point=str(row.get("entry_point", "")),
            setup=str(row.get("setup", "")),
            language=str(row.get("language") or "python"),
        )
        for _, row in read_rows(data)
        if row.get("tests") and "id" in row
    }
