"""The JSON file of a finished evaluation, and where its rows lie."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from codefavor.errors import DataError
from codefavor.records import Row, write_text

FORMAT = "codefavor-result-1"
MODEL_FORMAT = "codefavor-model-result-1"
ITEM_FORMAT = "codefavor-item-result-1"


def rows_path(out: Path) -> Path:
    """The journal of a result file: in the folder `rows` beside it, out of the way of *.json."""
    return out.parent / "rows" / f"{out.stem}.jsonl"


def write_result(path: Path, result: Row) -> None:
    """Write a result file, whole or not at all."""
    write_text(path, [json.dumps(result, indent=1, ensure_ascii=False, sort_keys=True) + "\n"])


def read_result(path: Path, formats: Sequence[str] = (FORMAT,)) -> Row:
    """A result file, of a judge unless `formats` says more; raises DataError for anything else."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(result, dict) or result.get("format") not in formats:
        raise DataError(
            f"{path}: not a result of `codefavor evaluate` (expected a JSON object whose "
            f"'format' is {' or '.join(map(repr, formats))})"
        )
    return result
