"""The folder of one demo run: which stages are finished, and for which inputs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.records import Row, content_id, file_sha256, write_text


@dataclass(frozen=True)
class StageTime:
    """How long a stage took in the call that finished it; `resumed` if that was an earlier one."""

    name: str
    seconds: float
    resumed: bool
    note: str = ""

    def to_row(self) -> Row:
        """Plain JSON."""
        return {
            "name": self.name,
            "seconds": round(self.seconds, 1),
            "resumed": self.resumed,
            "note": self.note,
        }


class Workspace:
    """Runs stages in order, each once: finished ones are skipped while their inputs stay the same.

    A stage is finished when its stamp file says so, which is written last; what a killed stage
    left behind is its own to continue (journals) or to overwrite (whole files).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.times: list[StageTime] = []
        self._stamps: dict[str, str] = {}

    def path(self, *parts: str) -> Path:
        """A path inside the folder."""
        return self.folder.joinpath(*parts)

    def stage(
        self,
        name: str,
        inputs: Mapping[str, Any],
        outputs: list[Path],
        work: Callable[[], str],
        *,
        after: tuple[str, ...] = (),
    ) -> None:
        """Run `work`, unless it is finished for these inputs and its outputs are as it left them.

        `after` names the stages whose results it reads: when one of them is another than at the
        time of the stamp, this one is stale too. `work` returns a note for the report.
        """
        fingerprint = content_id(name, dict(inputs), [self._stamps[stage] for stage in after])
        stamp_path = self.path("stages", f"{name}.json")
        stamp = _read_stamp(stamp_path)
        if stamp.get("fingerprint") == fingerprint and stamp["outputs"] == _hashes(outputs):
            self._finish(name, stamp, resumed=True)
            return
        stamp_path.unlink(missing_ok=True)
        _say(f"{name} ...")
        started = time.monotonic()
        note = work()
        stamp = {
            "fingerprint": fingerprint,
            "seconds": time.monotonic() - started,
            "note": note,
            "outputs": _hashes(outputs),
        }
        write_text(stamp_path, [json.dumps(stamp, indent=1)])
        self._finish(name, stamp, resumed=False)

    def _finish(self, name: str, stamp: Mapping[str, Any], *, resumed: bool) -> None:
        self._stamps[name] = content_id(stamp["fingerprint"], stamp["outputs"])
        self.times.append(StageTime(name, stamp["seconds"], resumed, stamp["note"]))
        how = "done before" if resumed else f"{stamp['seconds']:.0f} s"
        note = f": {stamp['note']}" if stamp["note"] else ""
        _say(f"{name} ({how}){note}")


def _read_stamp(path: Path) -> dict[str, Any]:
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and "outputs" in stamp else {}


def _hashes(paths: list[Path]) -> dict[str, str]:
    """Contents by file name; a folder counts by the names and sizes below it."""
    found: dict[str, str] = {}
    for path in paths:
        if path.is_dir():
            files = sorted((str(p.relative_to(path)), p.stat().st_size) for p in path.rglob("*"))
            found[path.name] = content_id(files)
        elif path.is_file():
            found[path.name] = file_sha256(path)
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
