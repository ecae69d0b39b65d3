"""The bytes of a journal: writing a record, finding what a file holds, repairing what was torn."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from binascii import unhexlify
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from codefavor.idset import IdSet, id_digest
from codefavor.records import Row

logger = logging.getLogger(__name__)

STATUSES = ("ok", "rejected", "error")
_PREFIX = b'{"id":"'
_AFTER_ID = b',"status":"'
_WITHHELD = "filtered_answer"
_WITHHELD_MARK = b',"reason":"filtered_answer"'
# What the row was made from, as hex digits: the first 8 are compared when a run goes on.
_INPUT = b'","input":"'
INPUT_BYTES = 4
UNKNOWN_INPUT = bytes(INPUT_BYTES)
_VERIFIED_TAIL_BYTES = 64 << 20


class Scan(NamedTuple):
    """What one pass over a journal found; `damaged` holds (offset, length) of unreadable lines.

    `done` notes with each id what its row was made from. `rerun` holds, for ids whose input was
    edited and run again, where the record of the edited input starts: earlier ones do not count.
    """

    done: IdSet
    errors: dict[bytes, int]
    superseded: set[int]
    rerun: dict[bytes, int]
    damaged: list[tuple[int, int]]
    good_end: int

    def without_ids(self) -> Scan:
        """What reading the lines takes: many journals may be read at a time."""
        return self._replace(done=IdSet(slots=8))


def encode(record: Row) -> bytes:
    """The line of a record, id, status and input first, so that a scan need not parse it."""
    ordered = {name: record[name] for name in ("id", "status", "input") if name in record} | record
    try:
        return orjson.dumps(ordered, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # orjson refuses integers above 64 bits and lone surrogates, which models do produce.
        return (json.dumps(ordered, separators=(",", ":")) + "\n").encode("ascii")


def decode(line: bytes) -> Row:
    """The record of a line. Raises ValueError for anything but JSON."""
    try:
        row: Row = orjson.loads(line)
    except ValueError:
        row = json.loads(line)
    return row


def may_end_anew(status: str, reason: object) -> bool:
    """Whether --retry-errors runs such a row again: an error, or what a service withheld."""
    return status == "error" or (status == "rejected" and reason == _WITHHELD)


def input_of(text: object) -> bytes:
    """What a scan notes of a record's "input"; zeros where there is none to compare."""
    try:
        return bytes.fromhex(text[: 2 * INPUT_BYTES]) if isinstance(text, str) else UNKNOWN_INPUT
    except ValueError:
        return UNKNOWN_INPUT


def _full_parse(line: bytes) -> tuple[bytes, bool, bytes] | None:
    """(id, may end anew, its input) of any readable record; None if it is none."""
    try:
        record = decode(line)
        if not line.endswith(b"\n") or record["status"] not in STATUSES:
            return None
        row_id = record["id"].encode("utf-8", "replace")
        is_error = may_end_anew(record["status"], record.get("reason"))
        return row_id, is_error, input_of(record.get("input"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def scan_journal(path: Path) -> Scan:
    """Read every line once; only the tail, which a power cut may have torn, is parsed in full."""
    scan = Scan(IdSet(n_noted=INPUT_BYTES), {}, set(), {}, [], 0)
    if not path.exists():
        return scan
    good_end = 0
    with open(path, "rb", buffering=1 << 20) as handle:
        size = os.fstat(handle.fileno()).st_size
        good_end = _scan_lines(handle, size - _VERIFIED_TAIL_BYTES, scan)
    damaged = [item for item in scan.damaged if item[0] < good_end]
    return scan._replace(good_end=good_end, damaged=damaged)


def _scan_lines(handle: BinaryIO, verify_from: int, scan: Scan) -> int:
    offset = good_end = 0
    add, n_prefix, n_after = scan.done.add_digest, len(_PREFIX), len(_AFTER_ID)
    for line in handle:
        start, offset = offset, offset + len(line)
        # A line as `encode` writes it is not parsed: a million of them are read in seconds.
        end = line.find(b'"', n_prefix)
        after = end + 1
        row_id = line[n_prefix:end]
        if (
            start < verify_from
            and line[after : after + n_after] == _AFTER_ID
            and line.startswith(_PREFIX)
            and line.endswith(b"}\n")
            and b"\\" not in row_id
        ):
            word = after + n_after
            is_error = line.startswith(b"error", word) or (
                line.startswith(b"rejected", word) and _WITHHELD_MARK in line
            )
            mark = line.find(_INPUT, word, word + 20)
            made_from = UNKNOWN_INPUT
            if mark > 0:
                digits = mark + len(_INPUT)
                with contextlib.suppress(ValueError):
                    made_from = unhexlify(line[digits : digits + 2 * INPUT_BYTES])
        else:
            parsed = _full_parse(line)
            if parsed is None:
                if line.endswith(b"\n"):
                    scan.damaged.append((start, len(line)))
                continue
            row_id, is_error, made_from = parsed
        good_end = offset
        digest = id_digest(row_id)
        counts = add(digest, made_from) or _replaces(scan, digest, made_from, start)
        if is_error and counts:
            scan.errors[digest] = start
    return good_end


def _replaces(scan: Scan, digest: bytes, made_from: bytes, start: int) -> bool:
    """Whether a further record of an id counts instead of the one before."""
    earlier = scan.errors.pop(digest, None)
    if earlier is not None:
        scan.superseded.add(earlier)
    elif made_from in (UNKNOWN_INPUT, scan.done.note_of(digest)):
        # Another than an error cannot be replaced: the record that came first counts.
        scan.superseded.add(start)
        return False
    else:
        scan.rerun[digest] = start
    scan.done.note(digest, made_from)
    return True


def counting_lines(path: Path, scan: Scan) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of the record that counts for each id."""
    with open(path, "rb") as handle:
        offset = 0
        for line in handle:
            start, offset = offset, offset + len(line)
            if offset > scan.good_end or start in scan.superseded:
                continue
            if scan.rerun:
                digest = id_digest(decode(line)["id"].encode("utf-8", "replace"))
                if start < scan.rerun.get(digest, 0):
                    continue
            yield start, line


def cut_and_repair(path: Path) -> Scan:
    """Leave only whole records: cut a torn tail, move unreadable lines to `<name>.damaged`."""
    scan = scan_journal(path)
    if path.exists() and scan.good_end < path.stat().st_size:
        with open(path, "r+b") as handle:
            handle.truncate(scan.good_end)
            os.fsync(handle.fileno())
    if not scan.damaged:
        return scan
    logger.warning("%s: %d unreadable lines; their rows run again", path, len(scan.damaged))
    damaged = {start for start, _ in scan.damaged}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    aside = path.with_name(path.name + ".damaged")
    with open(path, "rb") as source, open(partial, "wb") as kept, open(aside, "ab") as lost:
        offset = 0
        for line in source:
            (lost if offset in damaged else kept).write(line)
            offset += len(line)
        kept.flush()
        os.fsync(kept.fileno())
    partial.replace(path)
    return scan_journal(path)


def sync_folder(folder: Path) -> None:
    """Make a new file's name durable, which syncing the file itself does not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Syncer:
    """Calls `sync` from a thread of its own, within `every_s` of each `note`.

    After `sync` has failed, `error` says how, and it is not called again.
    """

    def __init__(self, name: str, sync: Callable[[], None], every_s: float) -> None:
        self.error: OSError | None = None
        self._sync, self._every_s = sync, every_s
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def note(self) -> None:
        """There is something to sync."""
        # Asked first: setting an event that is set costs as much as writing a record.
        if not self._dirty.is_set():
            self._dirty.set()

    def close(self) -> None:
        """End the thread; the last sync is the caller's."""
        self._closing.set()
        self._dirty.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            self._dirty.wait()
            self._closing.wait(self._every_s)
            self._dirty.clear()
            try:
                self._sync()
            except OSError as error:
                self.error = error
                return
