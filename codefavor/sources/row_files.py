"""Rows of a data file as others publish them: JSONL, a JSON list or Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from codefavor.errors import DataError, MissingPackageError
from codefavor.records import Row, read_rows, whole_row


def read_any_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Each row of a file as ("file:row", row): .jsonl, .jsonl.gz, .json (a list) or .parquet.

    Raises DataError for a file that is missing, broken or without rows.
    """
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
    elif path.suffix == ".json" and path.is_file() and _is_list(path):
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: not valid JSON ({error})") from error
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{path}: expected a list of JSON objects")
        for number, row in enumerate(rows, start=1):
            yield f"{path}:{number}", whole_row(row)
    else:
        yield from read_rows(path)


def _is_list(path: Path) -> bool:
    with open(path, encoding="utf-8") as handle:
        return handle.read(64).lstrip().startswith("[")


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingPackageError("pyarrow", "train", "reading Parquet") from error
    number = 0
    try:
        file = ParquetFile(path)
        labels = _class_labels(file.schema_arrow.metadata or {})
        for batch in file.iter_batches(1024):
            for number, row in enumerate(batch.to_pylist(), start=number + 1):  # noqa: B020
                for column, names in labels.items():
                    value = row.get(column)
                    if isinstance(value, int) and 0 <= value < len(names):
                        row[column] = names[value]
                yield f"{path}:{number}", _as_written(row)
    except (OSError, ArrowException) as error:
        raise DataError(f"{path}: not readable as Parquet: {error}") from error
    if not number:
        raise DataError(f"{path}: the file has no rows")


def _as_written(row: Row) -> Row:
    """The row of which `codefavor card` made these columns: what has no one type is JSON there."""
    try:
        inner = {name: json.loads(row[name]) for name in ("evidence", "meta")}
    except (KeyError, TypeError, ValueError):
        return row
    if not all(isinstance(value, dict) for value in inner.values()):
        return row
    if turns := row.pop("conversation", None):
        inner["meta"]["conversation"] = turns
    return {**row, **inner}


def _class_labels(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """The columns whose values are numbers of names: `datasets` writes the names beside them."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: list(kind["names"])
            for column, kind in features.items()
            if isinstance(kind, dict) and kind.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError):
        return {}
