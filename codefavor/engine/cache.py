"""Cached responses: received and paid for, found again by exact request, shared by all runs."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import orjson

from codefavor.backends.base import Request, Response
from codefavor.errors import JournalError
from codefavor.journal_file import Syncer
from codefavor.records import Row, write_text

# The random keys in an index of their own: the responses then go to the end of the file.
# AUTOINCREMENT: no number is given twice, so that by its number a run knows what came later.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS servers (id INTEGER PRIMARY KEY, identity TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS responses (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key BLOB UNIQUE NOT NULL, server INTEGER NOT NULL,
    created_s INTEGER NOT NULL, response BLOB NOT NULL
);
"""
_WAIT_S = 60.0
_INSERT = "INSERT OR {} INTO responses (key, server, created_s, response) VALUES (?, ?, ?, ?)"
# Room for what may still arrive when the disk is full: a page or two for each part of the file.
_RESERVE_BYTES = 4 << 20
_RESERVE_BYTES_EACH = 1 << 16
# SQLite's words for it; its codes are in no module before Python 3.11.
_IS_FULL = ("disk is full", "disk I/O")


def response_key(identity: Row, request: Request, seed: int, row_id: str, occurrence: int) -> bytes:
    """32 bytes that stand for one exact question to one server.

    A request that is meant to be repeatable (greedy or seeded) is the same question wherever
    it is asked. Any other is a draw of its own: the run's seed, the row that asks and how often
    it did so before belong to it, so that a resumed row gets its own draws back and no other does.
    """
    parts = {"identity": identity, **request.to_row()}
    # What a server is not told does not make its answers repeatable.
    unsaid = identity.get("omit", ())
    is_greedy = request.sampling.temperature == 0 and "temperature" not in unsaid
    is_seeded = request.sampling.seed is not None and "seed" not in unsaid
    if not (is_greedy or is_seeded):
        parts["draw"] = [seed, row_id, occurrence]
    return hashlib.blake2b(_canonical(parts), digest_size=32).digest()


def unusable_reason(response: Response) -> str:
    """Why a response is not cached, as rejections name it; "" if it is.

    An empty one, one that a policy withheld, or one that ended otherwise (`error`, ...) says
    something about the server at that moment: the same question may be answered tomorrow. One
    that was cut off before its first word is the answer to this request with this `max_tokens`.
    """
    for answer in response.samples or (response,):
        has_text = bool(answer.text.strip()) and answer.finish_reason == "stop"
        if has_text or answer.finish_reason == "length" or answer.logprobs:
            return ""
    names = {"stop": "empty_answer", "filtered": "filtered_answer"}
    return names.get(response.finish_reason, "other_answer")


class CachedServer(NamedTuple):
    """What a cache holds of one server: `identity` as in manifests, times in Unix seconds."""

    identity: Row
    n_responses: int
    n_bytes: int
    oldest_s: int
    newest_s: int


def _use_wal(db: sqlite3.Connection) -> None:
    """Write ahead; where two processes make the file at once, SQLite refuses one at once."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class ResponseCache:
    """An SQLite file of responses. A put survives a killed process at once, a power cut within
    `sync_every_s`; concurrent runs may use the same file.
    """

    def __init__(self, path: Path, *, sync_every_s: float = 1.0) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Autocommit; one thread uses it at a time, the sync thread never does.
            self._db = sqlite3.connect(
                self.path, isolation_level=None, timeout=_WAIT_S, check_same_thread=False
            )
            _use_wal(self._db)
            # Commits reach the operating system unsynced; `_sync` syncs the log.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("PRAGMA cache_size=-8192")
            self._db.executescript(_SCHEMA)
            self._id = self._made_id()
        except (OSError, sqlite3.Error) as error:
            raise JournalError(
                f"{path}: cannot be used to cache responses ({error}); name another file with "
                "--cache, or see `codefavor cache`"
            ) from error
        self._after = 0
        self._insert_words = _INSERT.format("IGNORE")
        self._servers: dict[bytes, int] = {}
        self._arrived: list[tuple[bytes, Row, Response, asyncio.Future[None]]] = []
        self._reserve: int | None = None
        self._n_reserved = 0
        self.is_disk_full = False
        self._is_closed = False
        self._syncer = Syncer("answers-sync", self._sync, sync_every_s)

    def newest(self) -> int:
        """The number of the response that came last; any that comes later has a higher one."""
        found = self._db.execute("SELECT seq FROM sqlite_sequence").fetchone()
        return 0 if found is None else int(found[0])

    def start_anew(self, note: Path, *, fresh: bool) -> None:
        """With `fresh`, find from now on only what comes in later, which replaces the older.

        The file `note`, kept beside an output, remembers this for later runs of that output:
        without `fresh` they go on so, where there is a note.
        """
        mine = {"cache": self._id, "since": self.newest()}
        if not fresh:
            if not note.exists():
                return
            noted = orjson.loads(note.read_bytes())
            # Of another cache nothing is known but that all in it may be older.
            mine = noted if noted["cache"] == self._id else mine
        write_text(note, [orjson.dumps(mine).decode() + "\n"])
        self._after = mine["since"]
        self._insert_words = _INSERT.format("REPLACE")

    def get(self, key: bytes, *, since: int | None = None) -> Response | None:
        """The response cached for this key, None if there is none.

        It says that it is cached, unless it came after the number `since`.
        """
        query = "SELECT id, response FROM responses WHERE key = ? AND id > ?"
        try:
            found = self._db.execute(query, (key, self._after)).fetchone()
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: cannot be read ({error})") from error
        if found is None:
            return None
        response = Response.from_row(orjson.loads(found[1]))
        return msgspec.structs.replace(response, is_cached=since is None or found[0] <= since)

    def put(self, key: bytes, response: Response, identity: Row) -> None:
        """Cache a response of the server with this identity, unless it is unusable.

        Raises JournalError when the disk is full.
        """
        if not unusable_reason(response):
            self._insert([(key, identity, response)])

    async def keep(self, key: bytes, response: Response, identity: Row) -> None:
        """`put`, in one transaction with what else arrives in this turn of the event loop."""
        if unusable_reason(response):
            return
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[None] = loop.create_future()
        if not self._arrived:
            loop.call_soon(self._insert_arrived)
        self._arrived.append((key, identity, response, kept))
        await kept

    def reserve(self, n_in_flight: int) -> None:
        """Set disk space aside for the responses of so many requests in flight.

        On a full disk it is given back, `is_disk_full` says so, and what arrives still finds
        room. Raises JournalError where there is not even so much.
        """
        n_bytes = _RESERVE_BYTES + n_in_flight * _RESERVE_BYTES_EACH
        if self.is_disk_full or n_bytes <= self._n_reserved:
            return
        self._release_reserve()
        # It has no name, so it ends with this process, however that ends.
        reserve, name = tempfile.mkstemp(dir=self.path.parent)
        Path(name).unlink()
        try:
            os.posix_fallocate(reserve, 0, n_bytes)
        except OSError as error:
            os.close(reserve)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise JournalError(
                    f"{self.path}: less than {n_bytes >> 20} MB are free for the responses of "
                    f"{n_in_flight} requests in flight; free some space, or name another file "
                    "with --cache"
                ) from error
            return
        self._reserve, self._n_reserved = reserve, n_bytes

    def servers(self) -> list[CachedServer]:
        """What is cached of each server, most responses first."""
        query = (
            "SELECT identity, COUNT(*), SUM(LENGTH(response)), MIN(created_s), MAX(created_s) "
            "FROM responses JOIN servers ON servers.id = server GROUP BY server ORDER BY 2 DESC"
        )
        return [CachedServer(orjson.loads(row[0]), *row[1:]) for row in self._db.execute(query)]

    def prune(self, *, words: str = "", before_s: float | None = None) -> int:
        """Remove responses received before this time, of servers whose identity has the words.

        Returns how many; the file shrinks by them.
        """
        latest = time.time() + 1 if before_s is None else before_s
        delete = "DELETE FROM responses WHERE server = ? AND created_s < ?"
        n = 0
        try:
            servers = self._db.execute("SELECT id, identity FROM servers").fetchall()
            for number, identity in servers:
                if words in spec_of(orjson.loads(identity)) or words in identity:
                    n += self._db.execute(delete, (number, latest)).rowcount
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: {n} responses removed, then: {error}") from error
        return n

    def _made_id(self) -> int:
        """What tells this file from one that takes its place."""
        query = "PRAGMA user_version"
        if not self._db.execute(query).fetchone()[0]:
            self._db.execute(f"{query} = {secrets.randbelow((1 << 31) - 1) + 1}")
        # Read again: of two who opened a new file at once, the second wrote the one that stays.
        return int(self._db.execute(query).fetchone()[0])

    def _insert_arrived(self) -> None:
        arrived, self._arrived = self._arrived, []
        failure = None
        try:
            self._insert([(key, identity, response) for key, identity, response, _ in arrived])
        except JournalError as error:
            failure = error
        for *_, kept in arrived:
            if kept.done():
                continue
            if failure is None:
                kept.set_result(None)
            else:
                kept.set_exception(failure)

    def _insert(self, arrived: list[tuple[bytes, Row, Response]]) -> None:
        try:
            try:
                self._write(arrived)
            except sqlite3.Error as error:
                is_full = any(words in str(error) for words in _IS_FULL)
                if self._reserve is None or not is_full:
                    raise
                self.is_disk_full = True
                self._release_reserve()
                self._write(arrived)
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: cannot cache a response ({error})") from error
        self._syncer.note()

    def _write(self, arrived: list[tuple[bytes, Row, Response]]) -> None:
        now = int(time.time())
        rows = [
            (key, self._server(identity), now, orjson.dumps(response.to_row()))
            for key, identity, response in arrived
        ]
        if len(rows) == 1:
            self._db.execute(self._insert_words, rows[0])
            return
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(self._insert_words, rows)

    def _server(self, identity: Row) -> int:
        """The number of a server in the file."""
        text = _canonical(identity)
        if text not in self._servers:
            self._db.execute(
                "INSERT OR IGNORE INTO servers (identity) VALUES (?)", (text.decode(),)
            )
            query = "SELECT id FROM servers WHERE identity = ?"
            self._servers[text] = self._db.execute(query, (text.decode(),)).fetchone()[0]
        return self._servers[text]

    def _release_reserve(self) -> None:
        if self._reserve is not None:
            os.close(self._reserve)
        self._reserve, self._n_reserved = None, 0

    def __len__(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM responses").fetchone()[0])

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._release_reserve()
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


def _canonical(value: Row) -> bytes:
    """The one JSON form of a value: sorted keys, no spaces."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def spec_of(identity: Row) -> str:
    """How people name a server: its kind and model."""
    return f"{identity.get('backend', '')}:{identity.get('model', '')}"
