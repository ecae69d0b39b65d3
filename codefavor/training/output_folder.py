"""Which folder a run may write into, and which it may empty: never one with other files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from codefavor.training.findings import entries_of

# Left by a launch that ended before its card or its first checkpoint was written.
_TRACES = {".lock", "debug.log", "train.log", "metrics.jsonl", "prepared", "runs"}


def holds_inputs(
    config: Mapping[str, Any], folder: Path, others: Iterable[Path] = ()
) -> str | None:
    """Why the output folder cannot be one: what the run reads, or works in, lies in it; else None.

    `folder` is where relative paths start, `others` are more files that have to stay.
    """
    own = (folder / str(config.get("output_dir") or "")).resolve()
    for what, place in [*_inputs(config, folder), *(("a file of this run", one) for one in others)]:
        inner = place.resolve()
        if inner == own or own in inner.parents:
            return f"{config.get('output_dir')} is or holds {what} ({place})"
    return None


def _inputs(config: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    """What must outlive a run: each with what it is."""
    yield "the folder of the launch", folder
    yield "your home folder", Path.home()
    dev = (config.get("dev_accuracy") or {}).get("data")
    named = [("the base model", config.get("base_model"))]
    named += [("the adapter to go on from", config.get("lora_model_dir")), ("dev pairs", dev)]
    for key, entry in entries_of(config):
        files = entry.get("data_files") or []
        data = [entry.get("path"), *([files] if isinstance(files, str) else files)]
        named += [(f"data of {key}", one) for one in data]
    for what, name in named:
        place = folder / str(name or "")
        if not name:
            continue
        yield what, place
        if what.startswith("data") and place.is_dir():
            yield from ((what, file) for file in place.rglob("*") if file.is_file())


def is_whole(checkpoint: Path) -> bool:
    """Whether a checkpoint was written to its end: its trainer's state comes last."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def is_foreign(output_dir: Path) -> bool:
    """Whether a folder has files, and neither a run card of ours nor a checkpoint."""
    if not output_dir.is_dir() or {one.name for one in output_dir.iterdir()} <= _TRACES:
        return False
    if any(output_dir.glob("checkpoint-[0-9]*/")):
        return False
    try:
        card = json.loads((output_dir / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return not (isinstance(card, dict) and "fingerprint" in card)


def empty(output_dir: Path) -> None:
    """Remove what is in a folder, but for the lock that its owner holds."""
    for one in output_dir.iterdir():
        if one.name == ".lock":
            continue
        if one.is_dir() and not one.is_symlink():
            shutil.rmtree(one)
        else:
            one.unlink()
