"""Accuracies within groups of pairs that cut across the levels: language, length, own fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError
from codefavor.records import Row, read_rows
from codefavor.statistics.metrics import score

LENGTH = "better program is"
# Groups that every result states where its pairs differ in them.
ALWAYS = (LENGTH, "language", "is_stripped", "styles", "bug", "difficulty", "responder")
_HEADINGS = {"is_stripped": "comments removed"}
MAX_GROUPS = 50


def subgroups(
    records: Sequence[Row],
    items: Sequence[Row],
    names: Sequence[str] = (),
    *,
    data: Path | None = None,
    **options: Any,
) -> dict[str, dict[str, Row]]:
    """The metrics within each group, by the field that makes the groups and by its value.

    `names` are further fields: of the items, or of the rows (or their `meta`) of `data`, the
    pairs' file. A field with one value makes no groups. `options` go to `score`. Raises
    ConfigError for a field that no pair has, or that has more than 50 values.
    """
    found: dict[str, dict[str, Row]] = {}
    rows = _rows_of(data) if data is not None and names else {}
    for name in dict.fromkeys((*ALWAYS, *names)):
        values = _values(name, items, rows if name in names else {})
        distinct = set(values.values())
        if name in names and distinct == {""}:
            raise ConfigError(f"--group-by {name}: no pair has this field")
        if name in names and len(distinct) > MAX_GROUPS:
            raise ConfigError(f"--group-by {name}: {len(distinct)} values are no groups")
        if len(distinct) < 2:
            continue
        grouped = {item["id"]: {**item, "level": values[item["id"]] or "none"} for item in items}
        metrics = score(records, grouped, **options)
        heading = _HEADINGS.get(name, name)
        found[heading] = {value: one.to_row() for value, one in metrics.by_level.items()}
    return found


def _rows_of(data: Path) -> dict[str, Row]:
    """The rows of the pairs' file by id, the fields of their `meta` beside their own."""
    return {str(row.get("id")): {**(row.get("meta") or {}), **row} for _, row in read_rows(data)}


def _values(name: str, items: Sequence[Row], rows: Mapping[str, Row]) -> dict[str, str]:
    if name == LENGTH:
        return {item["id"]: _length(item) for item in items}
    # An attacked pair belongs to the group of the pair it was made of.
    fields = {item["id"]: rows.get(str(item.get("attacked", item["id"])), item) for item in items}
    return {item_id: _text(row.get(name)) for item_id, row in fields.items()}


def _length(item: Row) -> str:
    difference = len(item["chosen"]) - len(item["rejected"])
    return "shorter" if difference < 0 else "longer" if difference else "as long"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
