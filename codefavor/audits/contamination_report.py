"""What a check of training pairs against benchmarks is told: texts of benchmarks, and facts."""

from __future__ import annotations

from pathlib import Path

from codefavor.benchmarks.codeprefbench import find_files, read_tasks
from codefavor.benchmarks.published import BENCHMARKS, load_items
from codefavor.errors import DataError
from codefavor.pairs.contamination import Text, texts_of
from codefavor.pairs.decontamination import KINDS, Decontamination
from codefavor.records import Row, read_rows
from codefavor.sources.problems import LOCATIONS, load_problems

# What is checked when nothing is named: all that the data folder or the Hub has of these.
USUAL = ("codeprefbench", "humaneval", "humaneval+", "mbpp", "mbpp+", "humanevalpack",
         "humanevalpack-js")  # fmt: skip


def benchmark_texts(name: str, data_dir: Path | None = None) -> list[Text]:
    """The instructions and programs of a benchmark: each program is a text of its own.

    `name` is CodePrefBench, a set of problems, a benchmark of pairs, or a JSONL file of yours
    with `instruction` and any of `code`, `reference`, `chosen`, `rejected`, `prompt`. Raises
    DataError if it is not here, saying how to get it.
    """
    if name == "codeprefbench":
        items = read_tasks(find_files([data_dir] if data_dir else []), comments="keep")
        return [text for item in items for text in _of_row(item, item["task_id"])]
    if name in LOCATIONS or name == "starter":
        return texts_of(load_problems(name, data_dir=data_dir))
    if name in BENCHMARKS:
        items = load_items(name, data_dir=data_dir)
        return [text for item in items for text in _of_row(item, item["problem_id"])]
    path = Path(name)
    if not path.is_file():
        known = ", ".join(["codeprefbench", "starter", *LOCATIONS, *sorted(BENCHMARKS)])
        raise DataError(f"unknown benchmark {name!r}: no such file, and the known ones are {known}")
    return [text for where, row in read_rows(path) for text in _own(row, where)]


_CODES = ("code", "reference", "chosen", "rejected", "prompt")


def _of_row(row: Row, name: str) -> list[Text]:
    language = str(row.get("language") or "python")
    instruction = str(row.get("instruction") or "")
    codes = [str(row[key]) for key in _CODES if row.get(key)]
    # The instruction goes with the first program only: it is one text.
    return [
        Text(name, instruction if number == 0 else "", code, language)
        for number, code in enumerate(codes or [""])
    ]


def _own(row: Row, where: str) -> list[Text]:
    if not any(isinstance(row.get(key), str) for key in (*_CODES, "instruction")):
        raise DataError(
            f"{where}: nothing to compare; needed is 'instruction' or one of {', '.join(_CODES)}, "
            f"found {', '.join(sorted(row))}"
        )
    return _of_row(row, str(row.get("id") or row.get("task_id") or where))


def contamination_facts(found: Decontamination) -> dict[str, str]:
    """One sentence a benchmark, for a card or a table."""
    counts = found.counts()
    facts: dict[str, str] = {}
    for name, nearest in found.nearest.items():
        rows = len({f.row_id for f in found.findings if f.benchmark == name})
        kinds = ", ".join(f"{counts[name, kind]} by {kind}" for kind in KINDS if counts[name, kind])
        facts[name] = (
            f"{found.share_over(name):.1%} of {len(nearest)} snippets have a row at least "
            f"{found.limits.code:g} of 100 alike; {rows} of {found.n_rows} rows like it"
            + (f" ({kinds})" if kinds else "")
        )
    return facts
