"""Instructions without tests, as problems: Self-OSS-Instruct, or a file of your own.

Source: bigcode/self-oss-instruct-sc2-exec-filter-50k (Wei et al. 2024, ODC-By-1.0), 50,661
Python instructions; only its instructions are read, not its answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from codefavor.errors import DataError
from codefavor.idset import IdSet, id_digest
from codefavor.languages import language_name
from codefavor.records import Problem, Row, content_id, read_rows
from codefavor.sources.locate import Location, locate_rows

SELF_OSS = "self-oss-instruct"
_DIGEST_BYTES = 8
LOCATION = Location(
    "Self-OSS-Instruct",
    "selfoss/self-oss-instruct-sc2-exec-filter-50k.jsonl",
    "bigcode/self-oss-instruct-sc2-exec-filter-50k",
    "ODC-By-1.0",
    splits=("train",),
)


def stream_instructions(
    source: str, *, data_dir: Path | None = None, skipped: Counter[str] | None = None
) -> Iterator[Problem]:
    """The instructions of "self-oss-instruct" or of a JSONL file, each once, in their order.

    A row of a file needs `instruction`; `id`, `language` ("python" if missing), `license`,
    `entry_point` and `tests` are taken where they are. Without an `id`, a problem is named by
    language and instruction. `skipped` counts repeated ones. Raises DataError, naming file and
    line, for anything else.
    """
    if source == SELF_OSS:
        rows: Iterable[tuple[str, Row]] = locate_rows(LOCATION, data_dir)
        default = Problem("", "", "", "", source=LOCATION.name, license=LOCATION.license)
        # Its own ids are row numbers, and its other columns are the published answers.
        rows = ((where, {"instruction": row.get("instruction")}) for where, row in rows)
    elif Path(source).is_file():
        rows = read_rows(Path(source))
        default = Problem("", "", "", "", source=Path(source).name)
    else:
        raise DataError(
            f"unknown instructions {source!r}: no such file, and the known set is {SELF_OSS}"
        )
    return _problems(rows, default, Counter() if skipped is None else skipped)


def _problems(
    rows: Iterable[tuple[str, Row]], default: Problem, skipped: Counter[str]
) -> Iterator[Problem]:
    # With each id the digest of what it names.
    seen = IdSet(n_noted=_DIGEST_BYTES)
    for where, row in rows:
        instruction = row.get("instruction")
        if not isinstance(instruction, str) or not instruction.strip():
            raise DataError(
                f"{where}: 'instruction' must be a text with something in it; "
                f"found only {', '.join(sorted(row)) or 'no fields'}"
            )
        language = language_name(str(row.get("language") or "python"))
        given = {**default.to_row(), **row, "language": language}
        given["id"] = row.get("id") or content_id("instruction", language, instruction.strip())
        problem = Problem.from_row({**given, "tests": row.get("tests") or ""}, where)
        own = id_digest(problem.id.encode("utf-8", "replace"))
        named = id_digest(problem.instruction.encode("utf-8", "replace"))[:_DIGEST_BYTES]
        if seen.add_digest(own, named):
            yield problem
        elif seen.note_of(own) != named:
            raise DataError(f"{where}: the id {problem.id!r} names two different instructions")
        else:
            skipped["duplicate"] += 1
