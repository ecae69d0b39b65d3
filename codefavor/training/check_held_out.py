"""Held-out data of a recipe against what it trains on: the same file, the same rows, or turned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codefavor.errors import DataError
from codefavor.journal_manifest import manifest_path
from codefavor.records import Row, canonical_json, file_sha256
from codefavor.training.check_data import samples_of
from codefavor.training.data_rows import files_of, first_rows, selected_rows
from codefavor.training.findings import Finding, entries_of, error, warning
from codefavor.training.plan import needs_of

_N_DEV = 40
_N_BYTES = 1 << 26


def held_out_findings(config: Mapping[str, Any], recipe: Path, folder: Path) -> Iterator[Finding]:
    """Everything that is wrong with the data that a recipe measures on."""
    yield from _test_split_findings(config, folder)
    yield from _measured_findings(config, folder)
    yield from _dev_findings(config, recipe, folder)


def _test_split_findings(config: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """Rows that were made of test problems, as the manifest beside them says."""
    for key, entry in entries_of(config, "datasets"):
        for file in files_of(entry, folder):
            manifest = manifest_path(file)
            made = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
            text = f"{key}: {entry.get('path')} was made of the problems of the split"
            why = "no figure on the test split would mean anything"
            if made.get("split") == "test":
                yield error(f"{text} test: {why}; convert those of the split train")
            elif made.get("split") == "all":
                yield warning(f"{text}s train, dev and test: {why}; convert those of train alone")


def _measured_findings(config: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """Test data that is trained on: the same file, or the same rows in another one."""
    trained = [entry for _, entry in entries_of(config, "datasets")]
    for key, entry in entries_of(config, "test_datasets"):
        name = str(entry.get("path"))
        says_nothing = (
            "so its loss says nothing; name the held-out pairs (codefavor pair writes dev.jsonl)"
        )
        if any(_is_same(entry, other, folder) for other in trained):
            yield error(f"{key}: {name} is what is trained on, {says_nothing}")
            continue
        own = _contents([entry], folder)
        others = [one for one in trained if one.get("path") != name]
        if turned := own & _contents(others, folder, turned=True):
            yield error(
                f"{key}: {len(turned)} of {len(own)} rows of {name} are rows that are trained on, "
                f"the other way round (chosen and rejected exchanged, or the other label), "
                f"{says_nothing}"
            )
        shared = own & _contents(others, folder)
        if shared:
            text = f"{key}: {len(shared)} of {len(own)} rows of {name} are trained on"
            yield error(f"{text}, {says_nothing}") if 2 * len(shared) >= len(own) else warning(text)


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any], folder: Path) -> bool:
    """Whether two data sets share rows by what they name, slices of a split considered."""
    files, others = files_of(one, folder), files_of(other, folder)
    if files and others:
        if {file_sha256(file) for file in files}.isdisjoint({file_sha256(file) for file in others}):
            return False
    elif any(one.get(key) != other.get(key) for key in ("path", "name", "data_files")):
        return False
    splits = [str(entry.get("split") or "train").partition("[")[0] for entry in (one, other)]
    if splits[0] != splits[1] and not files:
        return False
    try:
        first, second = selected_rows(one, folder), selected_rows(other, folder)
    except ValueError:
        return False
    if first is None or second is None:
        return True
    return max(first.start, second.start) < min(first.stop, second.stop)


def _contents(
    entries: Sequence[Mapping[str, Any]], folder: Path, *, turned: bool = False
) -> set[str]:
    """What stands in the rows, whatever their ids and their order.

    `turned`: with the sides of pairs exchanged and labels inverted; rows without either are left
    out.
    """
    found = set()
    for entry in entries:
        for sample in samples_of("datasets", entry, folder):
            if not isinstance(sample, Finding):
                rows = [{name: row[name] for name in row if name != "id"} for _, row in sample]
                rows = list(map(_turned, filter(_has_sides, rows))) if turned else rows
                found |= set(map(canonical_json, rows))
    return found


def _has_sides(row: Row) -> bool:
    return {"chosen", "rejected"} <= set(row) or isinstance(row.get("label"), bool)


def _turned(row: Row) -> Row:
    """A row that says the opposite."""
    if isinstance(row.get("label"), bool):
        return {**row, "label": not row["label"]}
    return {**row, "chosen": row["rejected"], "rejected": row["chosen"]}


def _dev_findings(config: Mapping[str, Any], recipe: Path, folder: Path) -> Iterator[Finding]:
    """Dev pairs that the training data was made from."""
    dev = str((config.get("dev_accuracy") or {}).get("data") or "")
    if not dev:
        return
    trained = [entry for _, entry in entries_of(config, "datasets")]
    paths = {str(entry.get("path")) for entry in trained}
    text = "is what is trained on, so its accuracy says nothing; name held-out pairs (dev.jsonl)"
    makers = [line for line in needs_of(recipe) if dev in line.split()]
    if dev in paths or any(f"--out {path}" in line for line in makers for path in paths):
        yield error(f"dev_accuracy.data: {dev} {text}")
        return
    files = [file for entry in trained for file in files_of(entry, folder)]
    own = files_of({"path": dev}, folder)
    if not files or not own:
        return
    if {file_sha256(file) for file in own} & {file_sha256(file) for file in files}:
        yield error(f"dev_accuracy.data: {dev} {text}")
        return
    try:
        rows = first_rows(own[0])[:_N_DEV]
    except DataError as problem:
        yield error(f"dev_accuracy.data: {problem}")
        return
    written = b"".join(_head(file) for file in files)
    n_found = sum(_stands_in(row, written) for _, row in rows)
    if 2 * n_found >= len(rows):
        yield error(f"dev_accuracy.data: {dev}: {n_found} of {len(rows)} pairs: {text}")
    elif n_found:
        yield warning(f"dev_accuracy.data: {n_found} of the first {len(rows)} pairs are trained on")


def _head(file: Path) -> bytes:
    """The first rows of a file as JSON."""
    if file.suffix in {".jsonl", ".json"}:
        with open(file, "rb") as handle:
            return handle.read(_N_BYTES)
    try:
        return "\n".join(canonical_json(row) for _, row in first_rows(file)).encode()
    except DataError:
        return b""  # told already


def _stands_in(row: Mapping[str, Any], written: bytes) -> bool:
    """Whether question and better answer of a pair both stand in the text of a data file."""
    texts = [row.get("instruction") or row.get("prompt"), row.get("chosen")]
    return all(
        isinstance(text, str)
        and any(
            json.dumps(text.strip(), ensure_ascii=is_ascii)[1:-1].encode("utf-8", "replace")
            in written
            for is_ascii in (False, True)
        )
        for text in texts
    )
