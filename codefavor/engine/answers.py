"""Answers that were received and paid for, kept by exact request, shared by any number of runs."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from pathlib import Path

import orjson

from codefavor.backends.base import Request, Response, canonical_bytes
from codefavor.errors import JournalError
from codefavor.records import Row

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, response BLOB NOT NULL
) WITHOUT ROWID
"""


def answer_key(identity: Row, request: Request, row_id: str, occurrence: int) -> bytes:
    """32 bytes that stand for one exact question.

    A request that is meant to be repeatable (greedy or seeded) is the same question wherever
    it is asked. Any other is a draw of its own: the row that asks and how often it did so
    before belong to it, so that a resumed row gets its own draws back and no other row does.
    """
    parts = {"identity": identity, **request.to_row()}
    if not request.sampling.is_repeatable:
        parts["draw"] = [row_id, occurrence]
    return hashlib.blake2b(canonical_bytes(parts), digest_size=32).digest()


class AnswerStore:
    """An SQLite file of answers. A put survives a killed process at once, a power cut within
    `sync_every_s`; concurrent runs may use the same file."""

    def __init__(self, path: Path, *, sync_every_s: float = 1.0) -> None:
        self.path = Path(path)
        self._sync_every_s = sync_every_s
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit; one thread uses it at a time, the sync thread never does.
            self._db = sqlite3.connect(
                self.path, isolation_level=None, timeout=60.0, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            # Commits reach the operating system unsynced; `_sync_loop` syncs the log.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-8192")
            self._db.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"{path}: cannot be used to keep answers ({error})") from error
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._syncer = threading.Thread(target=self._sync_loop, name="answers-sync", daemon=True)
        self._syncer.start()

    def get(self, key: bytes) -> Response | None:
        """The answer kept for this key, None if there is none."""
        found = self._db.execute("SELECT response FROM answers WHERE key = ?", (key,)).fetchone()
        return None if found is None else Response.from_row(orjson.loads(found[0]))

    def put(self, key: bytes, response: Response) -> None:
        """Keep an answer. Raises JournalError when the disk is full."""
        try:
            value = orjson.dumps(response.to_row())
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, value))
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: cannot keep an answer ({error})") from error
        self._dirty.set()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._dirty.set()
        self._syncer.join()
        self._db.close()

    def _sync_loop(self) -> None:
        log = self.path.with_name(self.path.name + "-wal")
        while not self._closing.is_set():
            self._dirty.wait()
            self._closing.wait(self._sync_every_s)
            self._dirty.clear()
            try:
                handle = os.open(log, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                os.fdatasync(handle)
            finally:
                os.close(handle)
