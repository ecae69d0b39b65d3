"""Answers that were received and paid for, kept by exact request, shared by any number of runs."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from pathlib import Path

import orjson

from codefavor.backends.base import Request, Response, canonical_bytes
from codefavor.errors import JournalError
from codefavor.journal_file import Syncer
from codefavor.records import Row

# The random keys in an index of their own: the answers then go to the end of the file.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, response BLOB NOT NULL
)
"""
_INSERT = "INSERT OR IGNORE INTO answers (key, response) VALUES (?, ?)"


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
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit; one thread uses it at a time, the sync thread never does.
            self._db = sqlite3.connect(
                self.path, isolation_level=None, timeout=60.0, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            # Commits reach the operating system unsynced; `_sync` syncs the log.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-8192")
            self._db.execute(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"{path}: cannot be used to keep answers ({error})") from error
        self._arrived: list[tuple[bytes, bytes, asyncio.Future[None]]] = []
        self._is_closed = False
        self._syncer = Syncer("answers-sync", self._sync, sync_every_s)

    def get(self, key: bytes) -> Response | None:
        """The answer kept for this key, None if there is none."""
        query = "SELECT response FROM answers WHERE key = ?"
        try:
            found = self._db.execute(query, (key,)).fetchone()
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: cannot be read ({error})") from error
        return None if found is None else Response.from_row(orjson.loads(found[0]))

    def put(self, key: bytes, response: Response) -> None:
        """Keep an answer. Raises JournalError when the disk is full."""
        self._insert([(key, orjson.dumps(response.to_row()))])

    async def keep(self, key: bytes, response: Response) -> None:
        """`put`, in one transaction with what else arrives in this turn of the event loop."""
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[None] = loop.create_future()
        if not self._arrived:
            loop.call_soon(self._insert_arrived)
        self._arrived.append((key, orjson.dumps(response.to_row()), kept))
        await kept

    def _insert_arrived(self) -> None:
        arrived, self._arrived = self._arrived, []
        failure = None
        try:
            self._insert([(key, value) for key, value, _ in arrived])
        except JournalError as error:
            failure = error
        for _, _, kept in arrived:
            if kept.done():
                continue
            if failure is None:
                kept.set_result(None)
            else:
                kept.set_exception(failure)

    def _insert(self, rows: list[tuple[bytes, bytes]]) -> None:
        try:
            if len(rows) == 1:
                self._db.execute(_INSERT, rows[0])
            else:
                with self._db:
                    self._db.execute("BEGIN IMMEDIATE")
                    self._db.executemany(_INSERT, rows)
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: cannot keep an answer ({error})") from error
        self._syncer.note()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM answers").fetchone()[0])

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._syncer.close()
        self._db.close()

    def _sync(self) -> None:
        try:
            handle = os.open(self.path.with_name(self.path.name + "-wal"), os.O_RDONLY)
        except FileNotFoundError:
            return
        try:
            os.fdatasync(handle)
        finally:
            os.close(handle)
