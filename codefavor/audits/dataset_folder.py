"""A Hugging Face data set folder on disk: parquet shards and the card that names them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codefavor.audits.data_card import render_card
from codefavor.errors import ConfigError, MissingPackageError
from codefavor.records import Preference, Row, canonical_json, whole_folder, write_text

FACTS_FILE = "codefavor.json"
# The Hub shows and streams files of some hundred megabytes best.
_SHARD_CHARACTERS = 200_000_000
_TEXT_COLUMNS = (
    "id", "instruction", "chosen", "rejected", "criteria", "feedback", "source", "level",
    "problem_id", "language", "license", "evidence", "meta",
)  # fmt: skip


def write_dataset(
    splits: Mapping[str, Sequence[Preference]],
    facts: Row,
    name: str,
    out: Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Write the folder, whole or not at all; returns `out`.

    `overwrite` replaces a folder that an earlier call wrote, and no other. Raises ConfigError if
    `out` exists and may not be replaced, MissingPackageError without pyarrow.
    """
    if out.exists() and not (overwrite and (out / FACTS_FILE).is_file()):
        raise ConfigError(
            f"{out}: exists already; name another folder, or say --fresh if it is an older "
            "data set of this command"
        )
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError("pyarrow", "hub", "writing a data set folder") from error
    text = pyarrow.string()
    turn = pyarrow.struct([("role", text), ("content", text)])
    columns = [(column, text) for column in _TEXT_COLUMNS]
    schema = pyarrow.schema([*columns, ("conversation", pyarrow.list_(turn))])
    with whole_folder(out) as folder:
        (folder / "data").mkdir()
        for split, pairs in splits.items():
            shards = list(_shards([_columns_of(pair) for pair in pairs]))
            for number, rows in enumerate(shards):
                file = f"{split}-{number:05d}-of-{len(shards):05d}.parquet"
                table = pyarrow.Table.from_pylist(rows, schema=schema)
                pyarrow.parquet.write_table(table, folder / "data" / file)
        write_text(folder / "README.md", [render_card(facts, name)])
        write_text(folder / FACTS_FILE, [json.dumps(facts, indent=1, ensure_ascii=False) + "\n"])
        if out.exists():
            shutil.rmtree(out)
    return out


def _columns_of(pair: Preference) -> Row:
    row = pair.to_row()
    turns = row["meta"].pop("conversation", None) or []
    for column in ("evidence", "meta"):
        row[column] = canonical_json(row[column])
    columns: Row = {column: _utf8(row[column]) for column in _TEXT_COLUMNS}
    columns["conversation"] = [
        {"role": _utf8(turn.get("role")), "content": _utf8(turn.get("content"))} for turn in turns
    ]
    return columns


def _utf8(value: Any) -> str:
    """Text that UTF-8 can hold: half of a surrogate pair, which models do write, becomes "?"."""
    return str(value or "").encode("utf-8", "replace").decode("utf-8")


def _shards(rows: Sequence[Row]) -> Iterator[list[Row]]:
    shard: list[Row] = []
    size = 0
    for row in rows:
        length = sum(len(row[column]) for column in _TEXT_COLUMNS)
        length += sum(len(turn["content"]) for turn in row["conversation"])
        if shard and size + length > _SHARD_CHARACTERS:
            yield shard
            shard, size = [], 0
        shard.append(row)
        size += length
    if shard:
        yield shard
