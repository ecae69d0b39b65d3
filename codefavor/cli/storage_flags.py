"""URLs of object storage (`s3://bucket/file`) for the paths of every command that has `--shard`.

What is read is brought here first, what is written is taken there: the run itself knows of files of
this machine only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import logging
import os
import re
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO, cast
from urllib.parse import unquote

import click

from codefavor.engine.shards import ALL_SHARDS, Shard
from codefavor.errors import CodefavorError, ConfigError, JournalError, JournalInUseError
from codefavor.originals import standing_for, with_originals
from codefavor.settings import default_cache
from codefavor.storage import SHARDS, STORES, Place, Selection, WorkingCopy, protocol_of

logger = logging.getLogger(__name__)

# Files that commands write beside --out.
OUTPUTS = ("keep", "report", "html", "export")
# How long a run is at most ahead of the storage; at its start it is less.
_EVERY_S = 60.0
# Of the time of a run, the part that taking it to the storage may have.
_SHARE = 0.05


def with_storage(command: click.Command) -> click.Command:
    """The command and its subcommands, those with `--shard` (and `--ray`) also with URLs."""
    for one in command.commands.values() if isinstance(command, click.Group) else ():
        with_storage(one)
    if any(param.name == "shard" for param in command.params) and command.callback is not None:
        paths = {str(one.name) for one in command.params if isinstance(one.type, click.Path)}
        command.callback = _on_storage(command.callback, paths)
    return command


def _on_storage(callback: Callable[..., Any], paths: set[str]) -> Callable[..., Any]:
    def command(**values: Any) -> Any:
        values = {name: _without_file(one) for name, one in values.items()}
        urls = urls_of(values, paths)
        if not urls:
            return callback(**values)
        if cache := urls.get("cache"):
            raise ConfigError(f"--cache {cache[0]}: a cache lies on a disk of this machine")
        places = {name: [Place.of(one) for one in some] for name, some in urls.items()}
        with _own_folder(values) as folder:
            return _run(callback, values, places, folder)

    command.__doc__ = callback.__doc__
    return command


def urls_of(values: Mapping[str, Any], paths: set[str]) -> dict[str, list[str]]:
    """The URLs among the values: any for a path, of other values those that only storage has."""
    found = {}
    for name, value in values.items():
        parts = [str(one) for one in _parts(value) if isinstance(one, str | Path)]
        known = {*map(protocol_of, parts)} - {""} if name in paths else STORES.keys()
        if urls := [one for one in parts if protocol_of(one) in known]:
            found[name] = urls
    return found


def _parts(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _without_file(value: Any) -> Any:
    """The path of a `file://` URL; anything else as it is. Raises ConfigError for a host."""
    if isinstance(value, list | tuple):
        return [_without_file(one) for one in value]
    if not isinstance(value, str) or protocol_of(value) != "file":
        return value
    host, _, path = value.partition("://")[2].partition("/")
    if host.lower() not in ("", "localhost"):
        raise ConfigError(f"{value}: expected file:///PATH, a file of this machine")
    return unquote(f"/{path}")


def _with_copies(value: Any, copies: Mapping[str, str]) -> Any:
    if isinstance(value, list | tuple):
        return [_with_copies(one, copies) for one in value]
    return copies.get(str(value).rstrip("/"), value)


@contextlib.contextmanager
def _own_folder(values: Mapping[str, Any]) -> Iterator[Path]:
    """A folder of this process: that of a killed run with the same output, if there is one.

    It is removed, whatever the end is, unless it has something that is not on the storage.
    """
    whose = f"{values.get('out') or os.getpid()} {values.get('shard')}"
    digest = hashlib.sha256(whose.encode()).hexdigest()[:16]
    base = default_cache().parent / "storage"
    for number in itertools.count():
        folder = base / f"{digest}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have removed it since it was opened.
            if (folder / "lock").stat().st_ino == os.fstat(lock).st_ino:
                try:
                    yield folder
                finally:
                    if not (folder / "out").exists():
                        shutil.rmtree(folder)
                return
        except (BlockingIOError, FileNotFoundError):
            continue
        finally:
            os.close(lock)


def _run(
    callback: Callable[..., Any],
    values: dict[str, Any],
    places: dict[str, list[Place]],
    folder: Path,
) -> Any:
    """Run the command on files of this machine, and take to the storage what it wrote."""
    for part in ("in", "beside"):
        shutil.rmtree(folder / part, ignore_errors=True)
    copies: dict[str, str] = {}
    written: list[tuple[Path, Place]] = []
    for name, some in places.items():
        for number, place in enumerate(some if name != "out" else ()):
            is_output = name in OUTPUTS
            file = folder / ("beside" if is_output else "in") / name / str(number) / _name(place)
            if is_output:
                _parent(place).check_writable()
                written.append((file, place))
            else:
                place.fetch(file)
            copies[place.url] = str(file)
    copy = None
    if "out" in places:
        out = places["out"][0]
        copies[out.url], copy = _working_copy(values, out, folder)
    local = {
        name: _with_copies(one, copies) if name in places else one for name, one in values.items()
    }
    originals = {path: url for url, path in copies.items()}
    if copy is not None:
        # Shards lie beside the output, and errors name them.
        originals[str(copy.root)] = copy.place.url
    with standing_for(originals), _said_with_originals(), _kept(copy):
        try:
            return callback(**local)
        finally:
            # Also where the command ends with 1, to say what it has found.
            for file, place in written:
                if file.exists():
                    place.put(file)


def _working_copy(
    values: Mapping[str, Any], out: Place, folder: Path
) -> tuple[str, WorkingCopy | None]:
    """Where the command writes, and what takes that to the storage; None where nothing is kept."""
    has_folder = is_folder()
    shard: Shard | None = values["shard"]
    is_part = shard is not None and shard != ALL_SHARDS
    part = f"{shard.folder(Path()).as_posix()}/" if shard is not None and is_part else ""
    name = "" if has_folder else _name(out)
    base = out if has_folder else _parent(out)
    # On Ray the shards lie in the same copy, and are merged there.
    copy = WorkingCopy(base, Selection(part, name, bool(values.get("ray"))), folder)
    where = str(copy.root / name)
    if values.get("dry_run"):
        return where, None
    # A merge takes all shards; a shard is refused beside those of another division, and a plain run
    # beside any. What shards have cached is not looked at: nobody is asked.
    n = f"(?!{shard.n}/)" if shard is not None else ""
    shards = re.compile(rf"{SHARDS}/\d+-of-{n}\d+/{re.escape(name)}(?!.*\.sqlite$).*")
    copy.start(None if values.get("ray") else shards)
    return where, copy


def is_folder() -> bool:
    """Whether the output of this command is a folder of results, as that of `evaluate` is."""
    params = click.get_current_context().command.params
    return any("--evalroot" in one.opts for one in params if one.name == "out")


def _name(place: Place) -> str:
    return place.path.rpartition("/")[2]


def _parent(place: Place) -> Place:
    """Raises ConfigError for a bucket, which is no file."""
    path, url = place.path.rpartition("/")[0], place.url.rpartition("/")[0]
    if not path:
        raise ConfigError(f"{place.url}: expected a file in a bucket")
    return Place(url, place.fs, path)


@contextlib.contextmanager
def _kept(copy: WorkingCopy | None) -> Iterator[None]:
    """Take the copy to the storage at intervals, and once more at the end, whatever the end is."""
    if copy is None:
        yield
        return
    keeper = _Keeper(copy)
    keeper.start()
    try:
        yield
    # Whatever ends the run, a second Ctrl-C too: what was paid for goes to the storage.
    except BaseException as error:
        keeper.close()
        if keeper.error is not None:
            raise keeper.error from error
        try:
            copy.finish()
        except (CodefavorError, OSError) as second:
            logger.warning("%s is not all on the storage: %s", copy.place.url, second)
        raise
    keeper.close()
    if keeper.error is not None:
        raise keeper.error
    try:
        copy.finish()
    except (ConfigError, OSError) as error:
        raise JournalError(
            f"{error}; what is done is kept on this machine, where the same command goes on from it"
        ) from error


class _Keeper(threading.Thread):
    """Takes a copy to the storage every minute; sooner at first, so that little is ever lost."""

    def __init__(self, copy: WorkingCopy) -> None:
        super().__init__(name="storage-sync", daemon=True)
        self.error: JournalInUseError | None = None
        self._copy, self._closing = copy, threading.Event()

    def run(self) -> None:
        """Until it is closed, or another run is seen to write the same."""
        wait_s = 1.0
        while not self._closing.wait(wait_s):
            started = time.monotonic()
            try:
                self._copy.sync()
            except JournalInUseError as error:
                self.error = error
                # As Ctrl-C: what is in flight is recorded here, and nothing more is asked.
                os.kill(os.getpid(), signal.SIGINT)
                return
            except FileNotFoundError:
                logger.debug("a file was replaced while it was read", exc_info=True)
            except (CodefavorError, OSError, sqlite3.Error) as error:
                logger.warning("%s (tried again later)", error)
            took_s = time.monotonic() - started
            wait_s = max(min(2 * wait_s, _EVERY_S), took_s / _SHARE)

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self.join()


class _Naming:
    """A stream that says the name of the original where a command says that of its copy."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text with its paths replaced."""
        return self._stream.write(with_originals(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _said_with_originals() -> Iterator[None]:
    """Both streams of this process so, and the errors that come from within."""
    out, errors = (cast("TextIO", _Naming(one)) for one in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            yield
        except CodefavorError as error:
            error.args = tuple(with_originals(str(one)) for one in error.args)
            raise
