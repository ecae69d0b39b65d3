"""The manifest beside a journal: the settings a run is bound to, and notes of what came out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from codefavor.errors import JournalError
from codefavor.records import Row, write_text

# No settings: what came out, which part of the run made it, and what of it shards have made.
_RESPONSES, _SHARD, _MERGED = "responses", "shard", "merged_bytes"


def manifest_path(path: Path) -> Path:
    """Where the settings of the journal at `path` are kept."""
    return path.with_name(path.name + ".manifest.json")


def note_responses(path: Path, responses: Responses) -> None:
    """Write into the manifest how many responses the results rest on; no setting of the run."""
    write_manifest(path, read_manifest(path) | {_RESPONSES: responses.to_row()})


def note_shard(path: Path, shard: str, code_sha256: str) -> None:
    """Write into the manifest which shard the results are of, and by which code."""
    manifest = read_manifest(path)
    codes = {code_sha256, *manifest.get(_SHARD, {}).get("code_sha256", ())}
    write_manifest(path, manifest | {_SHARD: {"shard": shard, "code_sha256": sorted(codes)}})


def note_merged(path: Path, start: int, end: int) -> None:
    """Write into the manifest which bytes of the journal a merge of shards has made."""
    write_manifest(path, read_manifest(path) | {_MERGED: [start, end]})


def read_merged_note(path: Path) -> tuple[int, int]:
    """From where to where a journal is what shards have made; the rest is a plain run's."""
    start, end = read_manifest(path).get(_MERGED, (0, 0))
    return start, end


def read_shard_note(path: Path) -> tuple[str, list[str]]:
    """The shard that a journal says it is of ("" for none), and the code that made it."""
    note = read_manifest(path).get(_SHARD, {})
    return note.get("shard", ""), note.get("code_sha256", [])


def differing_settings(path: Path, other: Path) -> list[str]:
    """What the manifests of two journals differ in, as words."""
    before, now = (settings(read_manifest(one)) for one in (path, other))
    return differences(before, now)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What such settings differ in, as words."""
    return [
        f"{key} = {short(before.get(key))} (here {short(now.get(key))})"
        for key in sorted(before.keys() | now.keys())
        if key not in before or key not in now or before[key] != now[key]
    ]


def read_manifest(path: Path) -> Row:
    """Raises JournalError for a journal without a readable manifest."""
    file = manifest_path(path)
    try:
        manifest: Row = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise JournalError(f"{path}: has no {file.name} beside it") from error
    except ValueError as error:
        raise JournalError(f"{file}: not valid JSON ({error})") from error
    return manifest


def noted_together(path: Path) -> int:
    """How many pairs of a data file rest on forgeable verdicts, as `convert` noted beside it."""
    try:
        return int(read_manifest(path).get("n_together", 0))
    except JournalError:  # `convert` did not write it
        return 0


def note_together(part: Path, whole: Path, n_rows: int) -> None:
    """Note of a part of a data file what is noted of the whole: at most so many of its rows."""
    if together := min(noted_together(whole), n_rows):
        write_manifest(part, {"n_together": together})


def settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a manifest that a run is bound to, by their dotted keys."""
    notes = (_RESPONSES, _SHARD, _MERGED)
    return flat({key: one for key, one in manifest.items() if key not in notes})


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    write_text(manifest_path(path), [json.dumps(manifest, indent=2, sort_keys=True) + "\n"])


class Responses:
    """How many responses of models the records rest on, and how many of them were cached."""

    def __init__(self, records: Iterable[Row] = ()) -> None:
        self._counted = Counter[str]()
        for record in records:
            self.add(record)

    def add(self, record: Row) -> None:
        """Count those of one record."""
        for name in ("n_responses", "n_cached"):
            self._counted[name] += record.get(name, 0)

    def to_row(self) -> Row:
        """The plain JSON form; the share is None where no model was asked."""
        n, n_cached = self._counted["n_responses"], self._counted["n_cached"]
        share = round(n_cached / n, 4) if n else None
        return {"n_responses": n, "n_cached": n_cached, "share_cached": share}


def flat(value: Any, key: str = "") -> dict[str, Any]:
    """The values that are no mappings, by their dotted keys."""
    if not isinstance(value, dict) or not value:
        return {key: value}
    found: dict[str, Any] = {}
    for name, one in value.items():
        found |= flat(one, f"{key}.{name}" if key else name)
    return found


def short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "..."
