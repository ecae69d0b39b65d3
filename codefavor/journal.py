"""Append-only results of a run: one JSON record a row, safe against being killed at any byte."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from codefavor.errors import DataError, JournalError, JournalInUseError
from codefavor.idset import IdSet, id_digest
from codefavor.journal_file import (
    STATUSES,
    UNKNOWN_INPUT,
    Syncer,
    counting_lines,
    cut_and_repair,
    decode,
    encode,
    input_of,
    may_end_anew,
    scan_journal,
    sync_folder,
)
from codefavor.journal_manifest import (
    Responses,
    flat,
    manifest_path,
    note_merged,
    read_manifest,
    read_merged_note,
    settings,
    short,
    write_manifest,
)
from codefavor.originals import with_originals
from codefavor.records import Row, write_text

_locked_here: set[str] = set()


class Journal:
    """An append-only JSONL of records `{"id", "status", "reason", "row", ...}`.

    Each id has one record that counts. It is replaced by a later one if it is an `error`, or if
    the later one has another "input" (the digest of what the row was made from). Use it as a
    context manager.
    """

    def __init__(self, path: Path, sync_every_s: float, lock: int) -> None:
        """Use `Journal.open`."""
        self.path = path
        self._lock = lock
        self._is_closed = False
        # The ids of the rows that a run is given: what ended of other rows is not its result.
        self.input_ids: IdSet | None = None
        self._file = self._read()
        self._syncer = Syncer("journal-sync", self.sync, sync_every_s)

    @classmethod
    def open(cls, path: Path, manifest: Mapping[str, Any], *, sync_every_s: float = 1.0) -> Journal:
        """Open or create the journal of a run with these settings.

        Raises JournalError when another run holds it, when the settings differ from those in
        `<name>.manifest.json`, or when the folder cannot be written.
        """
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = _take_lock(path)
        except OSError as error:
            raise JournalError(f"{path}: cannot be written ({error.strerror})") from error
        try:
            _check_manifest(path, manifest)
            return cls(path, sync_every_s, lock)
        except BaseException as error:
            # A journal that could not be opened must not stay locked, whatever stopped it.
            _release_lock(path, lock)
            if isinstance(error, OSError):
                raise JournalError(f"{path}: cannot be written ({error.strerror})") from error
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def done_ids(self) -> Container[str]:
        """The ids that have ended (ok, rejected or error), kept up to date by `append`."""
        return self._done

    def is_error(self, row_id: str) -> bool:
        """Whether the record that counts for this id is an error, or was withheld by a service."""
        return bool(self._errors) and id_digest(row_id.encode("utf-8", "replace")) in self._errors

    def input_noted(self, digest: bytes) -> bytes | None:
        """What the record of an id (its `id_digest`) was made from; None without a record.

        The first bytes of the record's "input", zeros if that is not known.
        """
        return self._done.note_of(digest)

    def append(self, record: Row) -> None:
        """Hand one record to the operating system; it is on the disk within `sync_every_s`.

        After it returns, a killed process no longer loses the record. Raises JournalError when
        the disk is full or fails (the file keeps only whole records), and ValueError for a
        second record of an id that may not end anew, from the same input.
        """
        error = self._syncer.error
        if error is not None:
            raise JournalError(f"{self.path}: syncing failed ({error})") from error
        row_id, status = record["id"], record["status"]
        if status not in STATUSES:
            raise ValueError(f"status {status!r} is none of {', '.join(STATUSES)}")
        digest = id_digest(row_id.encode("utf-8", "replace"))
        made_from = input_of(record.get("input"))
        if not self._done.add_digest(digest, made_from):
            is_same = made_from in (UNKNOWN_INPUT, self._done.note_of(digest))
            if is_same and digest not in self._errors:
                raise ValueError(f"{self.path}: a second record for the id {row_id!r}")
            self._done.note(digest, made_from)
        self._write(encode(record))
        if may_end_anew(status, record.get("reason")):
            self._errors.add(digest)
        else:
            self._errors.discard(digest)
        self._syncer.note()

    def records(self) -> Iterator[Row]:
        """The record that counts for each id, in the order of writing."""
        return read_journal(self.path)

    def sync(self) -> None:
        """Return when everything appended so far is on the disk."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """Sync, close and unlock; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._syncer.close()
        try:
            self.sync()
        finally:
            os.close(self._file)
            _release_lock(self.path, self._lock)

    def discard_if_empty(self) -> None:
        """Remove what lies on the disk of a journal that holds nothing; it can only be closed."""
        if _holds_nothing(self.path):
            for file in (self.path, manifest_path(self.path)):
                file.unlink(missing_ok=True)

    def take_over(self, whole: Path, n_own_bytes: int) -> None:
        """Be the journal at `whole` from now on, in one step; it must be on the disk.

        What comes after its first `n_own_bytes` is noted as made by shards.
        """
        # Noted first: of the records until now, none lies beyond what is a plain run's.
        note_merged(self.path, n_own_bytes, whole.stat().st_size)
        whole.replace(self.path)
        file = self._read()
        # In the place of the old one: the thread that syncs may be using it.
        os.dup2(file, self._file)
        os.close(file)

    def _read(self) -> int:
        """The file, opened to be appended to; what it holds is noted."""
        scan = cut_and_repair(self.path)
        self._done, self._errors = scan.done, set(scan.errors)
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._end = os.fstat(file).st_size
        sync_folder(self.path.parent)
        return file

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            os.ftruncate(self._file, self._end)
            raise JournalError(
                f"{self.path}: cannot write ({error.strerror}); free some space and run the same "
                "command again, nothing that was recorded is lost"
            ) from error
        self._end += len(line)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other runs out of a journal that is not open. Raises JournalInUseError."""
    lock = _take_lock(path)
    try:
        yield
    finally:
        _release_lock(path, lock)


def forget_journal(path: Path) -> None:
    """Remove a journal and what is kept beside it: the run starts anew.

    Raises JournalError when a run holds it.
    """
    if not path.parent.is_dir():
        return
    with locked(path):
        for file in _own_files(path):
            if file.is_dir():
                shutil.rmtree(file)
            else:
                file.unlink(missing_ok=True)


def rewrite_journal(path: Path, manifest: Mapping[str, Any], records: Iterable[Row]) -> None:
    """Replace a journal and its manifest, each whole or not at all (also where there was none).

    Raises JournalError when a run holds it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        write_text(path, (encode(record).decode("utf-8") for record in records))
        write_manifest(path, manifest)
        if any(read_merged_note(path)):
            note_merged(path, 0, path.stat().st_size)


def read_journal(path: Path) -> Iterator[Row]:
    """The record that counts for each id; a torn last line is ignored.

    Raises DataError for a missing file and for an unreadable line before the last one.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    scan = scan_journal(path)
    if scan.damaged:
        raise DataError(
            f"{path}: {len(scan.damaged)} unreadable lines, the first at byte "
            f"{scan.damaged[0][0]}; run the command that wrote it again, it repairs the file"
        )
    scan = scan.without_ids()
    for _, line in counting_lines(path, scan):
        yield decode(line)


def own_records(path: Path) -> Iterator[Row]:
    """The records of a journal that a merge of shards has not made: those of a plain run."""
    start, end = read_merged_note(path)
    for position, line in counting_lines(path, scan_journal(path).without_ids()):
        if not start <= position < end:
            yield decode(line)


def ok_positions(path: Path, responses: Responses | None = None) -> Iterator[tuple[str, int]]:
    """(id, byte offset) of every record that ended ok: enough to read them in another order.

    Those of all records are counted in `responses`.
    """
    for start, line in counting_lines(path, scan_journal(path).without_ids()):
        record = decode(line)
        if responses is not None:
            responses.add(record)
        if record["status"] == "ok":
            yield record["id"], start


def read_record_at(handle: BinaryIO, position: int) -> Row:
    """The record that starts at this byte of an open journal."""
    handle.seek(position)
    return decode(handle.readline())


def ok_rows(path: Path) -> Iterator[Row]:
    """The "row" of every record that ended ok."""
    return (record["row"] for record in read_journal(path) if record["status"] == "ok")


def _check_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    wanted = json.loads(with_originals(json.dumps(manifest, ensure_ascii=False)))
    file = manifest_path(path)
    if file.exists() and _holds_nothing(path):
        # A run that failed before its first answer binds nobody to its settings.
        file.unlink()
    if not file.exists():
        if path.exists() and path.stat().st_size:
            raise JournalError(
                f"{path}: has results but no {file.name}, so nobody can say under which settings "
                "they were made; choose another output or move the file away"
            )
        write_manifest(path, wanted)
        return
    before, now = settings(read_manifest(path)), flat(wanted)
    for key in sorted(before.keys() | now.keys()):
        if key in before and key in now and before[key] == now[key]:
            continue
        old, new = short(before.get(key)), short(now.get(key))
        is_address = key.endswith("endpoint") and old != "null"
        moved = f" (for a server that moved: --set endpoint={old})" if is_address else ""
        raise JournalError(
            f"{path}: was made with {key} = {old}, this run has {key} = {new}; use the old "
            f"setting to continue it{moved}, another output for a new run, or --fresh to start anew"
        )


def _holds_nothing(path: Path) -> bool:
    """Whether no row, cost or batch was recorded: beside the journal everything is empty."""
    own = _own_files(path) - {manifest_path(path)}
    return all(file.is_file() and not file.stat().st_size for file in own if file.exists())


def _own_files(path: Path) -> set[Path]:
    """The journal and what belongs to it, its lock left out."""
    beside = {path, *path.parent.glob(glob.escape(path.name) + ".*")}
    return beside - {path.with_name(path.name + ".lock")}


def _take_lock(path: Path) -> int:
    """Lock `<name>.lock` for this process; the lock ends with the process, however that ends."""
    real = str(path.resolve())
    if real in _locked_here:
        # Without opening the file: closing any handle of it would drop this process's lock.
        raise _in_use(path, "this one")
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        # A POSIX lock, not flock: forked children, which may outlive a killed run, do not hold it.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(lock)
        raise _in_use(path, owner) from error
    _locked_here.add(real)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _in_use(path: Path, owner: str) -> JournalInUseError:
    return JournalInUseError(
        f"{path}: in use by another run (process {owner}); wait for it or choose another output"
    )


def _release_lock(path: Path, lock: int) -> None:
    os.close(lock)
    _locked_here.discard(str(path.resolve()))
