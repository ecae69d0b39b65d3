"""Object storage (S3, GCS, the Hub) by fsspec: files brought here, and a folder taken back whole.

A run works in a folder of this machine, as if there were no storage. `WorkingCopy` fills that
folder from the storage and takes back what has changed: each object is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError, DataError, JournalInUseError, MissingPackageError
from codefavor.journal_file import sync_folder
from codefavor.records import file_sha256, write_text

# The package of each; what else fsspec speaks may show a file that is half written.
STORES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What says of an object that it is another one than before: the first that a store tells.
_VERSIONS = ("ETag", "etag", "generation", "blob_id", "md5Hash", "LastModified", "mtime")
_PROBE = ".codefavor-probe"
SHARDS = "shards"
# The version of an object while it is brought here.
_COMING = "coming"


def protocol_of(text: str) -> str:
    """`s3` of `s3://bucket/file`; "" of anything that is no URL."""
    found = _URL.match(text)
    return found[1].lower() if found else ""


@dataclass(frozen=True)
class Place:
    """A file or folder on storage; `path` is its name for `fs`, a file system of fsspec."""

    url: str
    fs: Any
    path: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Raises ConfigError for an unknown kind, MissingPackageError without its package."""
        protocol = protocol_of(url)
        if protocol not in STORES:
            raise ConfigError(
                f"{url}: no storage of the kind {protocol}:// is known; known are paths of this "
                f"machine, file://, {', '.join(f'{one}://' for one in STORES)}"
            )
        try:
            from fsspec.core import url_to_fs

            with reaching(url):
                fs, path = url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise MissingPackageError(STORES[protocol], "storage", f"{protocol}://") from error
        return cls(url.rstrip("/"), fs, path.rstrip("/"))

    def __truediv__(self, name: str) -> Place:
        return Place(f"{self.url}/{name}", self.fs, f"{self.path}/{name}")

    def fetch(self, to: Path) -> None:
        """Bring a file, or a folder with all that is in it. Raises DataError where nothing is."""
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            with reaching(self.url):
                if self.fs.info(self.path)["type"] == "directory":
                    self.fs.get(f"{self.path}/", str(to), recursive=True)
                else:
                    self.fs.get_file(self.path, str(to))
        except FileNotFoundError as error:
            raise DataError(f"{self.url}: no such file, or no such bucket") from error

    def put(self, file: Path) -> None:
        """Take a file there, whole or not at all."""
        try:
            with reaching(self.url):
                self.fs.put_file(str(file), self.path)
        except FileNotFoundError as error:
            raise ConfigError(f"{self.url}: the bucket or repository is gone") from error

    def check_writable(self) -> None:
        """Raise ConfigError unless this folder can be written to."""
        probe = self / _PROBE
        try:
            with reaching(self.url):
                self.fs.pipe_file(probe.path, b"")
        except FileNotFoundError as error:
            raise ConfigError(f"{self.url}: no such bucket or repository") from error
        # Who may write and not remove can run all the same.
        with contextlib.suppress(Exception):
            self.fs.rm_file(probe.path)

    def versions(self, prefix: str = "") -> dict[str, str]:
        """The names below this folder that begin so, and what says that one was written anew."""
        with reaching(self.url):
            self.fs.invalidate_cache()
            try:
                found = self.fs.find(self.path, prefix=prefix, detail=True)
            except FileNotFoundError:  # some stores say so of a folder without files
                return {}
        named = {path[len(self.path) + 1 :]: info for path, info in found.items()}
        # Some programs mark a folder by an empty object of its name; some stores list it.
        names = [name for name in named if name.startswith(prefix) and name.rpartition("/")[2]]
        return {name: _version(named[name]) for name in names}


def _version(info: Mapping[str, Any]) -> str:
    said = next((info[key] for key in _VERSIONS if info.get(key)), "")
    return f"{said} {info.get('size')}"


@contextlib.contextmanager
def reaching(url: str) -> Iterator[None]:
    """Whatever a store's package raises as a ConfigError that says where; not what is missing."""
    try:
        yield
    except (ImportError, FileNotFoundError, ConfigError):
        raise
    # Broad on purpose: each package has its own errors for keys, hosts and refusals.
    except Exception as error:
        raise ConfigError(
            f"{url}: the storage does not answer, or refuses ({type(error).__name__}: {error}); "
            "look at the address, the keys in the environment and what they may do"
        ) from error


@dataclass(frozen=True)
class Selection:
    """The names of one run: of its file in `folder` and what is beside it, or all of the folder.

    Those of its shards only `with_shards`.
    """

    folder: str  # "" or ends with /
    name: str  # "" for all
    with_shards: bool = False

    @property
    def prefixes(self) -> list[str]:
        """Each of them begins with one of these."""
        return [self.folder + self.name, *([f"{SHARDS}/"] if self.with_shards else [])]

    def has(self, name: str) -> bool:
        """Whether a name is one of them."""
        if _is_passing(name):
            return False
        if not self.folder and name.startswith(f"{SHARDS}/"):
            parts = name.split("/", 2)
            name = parts[2] if self.with_shards and len(parts) == 3 else "/"
        own = self.folder + self.name
        rest = name.removeprefix(own)
        return name.startswith(own) and rest[:1] != "/" and (not self.name or rest[:1] in ("", "."))


def _is_passing(name: str) -> bool:
    """Whether a file means something only while a process of this machine runs."""
    parts = name.split("/")
    return any(part.startswith(".") for part in parts) or name.endswith(
        (".lock", ".sqlite-wal", ".sqlite-shm")
    )


@dataclass
class _Known:
    """An object when it was last in step: its version, and the size and time of the file here."""

    version: str = ""
    stamp: list[int] = field(default_factory=list)
    # Digests of what was taken there last, and of all that was tried since; "" for its removal.
    taken: list[str] = field(default_factory=list)


class WorkingCopy:
    """A folder on storage and, of a selection of its names, the copy in which a run works.

    `folder` outlives a killed run. What it holds goes on if nobody else has changed the objects
    that the run has written; else the objects count, and it is filled anew.
    """

    def __init__(self, place: Place, selection: Selection, folder: Path) -> None:
        self.place, self.selection = place, selection
        self.root = folder / "out"
        self._note, self._snapshot = folder / "objects.json", folder / "snapshot"
        self._known: dict[str, _Known] = {}

    def start(self, also: re.Pattern[str] | None = None) -> None:
        """Fill the copy, of other names those that match `also`. Raises ConfigError."""
        self.place.check_writable()
        there = self._versions()
        noted = json.loads(self._note.read_text()) if self._note.is_file() else {}
        self._known = {name: _Known(**one) for name, one in noted.items()}
        stale = [name for name in {*there, *noted} if not self._is_own(name, there.get(name, ""))]
        if any(map(self._is_written, stale)):
            shutil.rmtree(self.root, ignore_errors=True)
            self._known, stale = {}, [*there]
        self._known |= {name: _Known(_COMING) for name in stale}
        self._write_note()
        for name in stale:
            (self.root / name).unlink(missing_ok=True)
            del self._known[name]
        self._fetch(name for name in stale if name in there)
        for name in {*stale} & {*there}:
            self._known[name] = _Known(there[name], self._stamp(name))
        self.root.mkdir(parents=True, exist_ok=True)
        self._write_note()
        if also is not None:
            self._bring(also)

    def _bring(self, also: re.Pattern[str]) -> None:
        """The names of others that match; what an earlier run brought of them goes."""
        for path in self.root.glob(f"{SHARDS}/**/*"):
            if path.is_file() and also.fullmatch(path.relative_to(self.root).as_posix()):
                path.unlink()
        others = self.place.versions(f"{SHARDS}/")
        self._fetch(name for name in others if also.fullmatch(name) and not _is_passing(name))

    def sync(self) -> int:
        """Take what has changed to the storage; how many objects were written or removed.

        Raises JournalInUseError if another run has written one of them meanwhile.
        """
        here = {name: self._stamp(name) for name in self._names()}
        changed = [
            name for name, stamp in here.items() if self._known.get(name, _Known()).stamp != stamp
        ]
        gone = [name for name in self._known if name not in here]
        if not changed and not gone:
            return 0
        there = self._versions()
        for name in (*changed, *gone):
            if name in there and not self._is_own(name, there[name]):
                raise JournalInUseError(
                    f"{self.place.url}/{name}: another run has written it meanwhile; two runs must "
                    "not share an output (end one, then run the same command again)"
                )
        # Copied from last to first: what a record rests on is never older than the record.
        for name in sorted(changed, key=self._rank, reverse=True):
            self._copy(name)
        # Noted before: what this process takes there is its own, wherever it is stopped.
        for name in (*changed, *gone):
            digest = file_sha256(self._snapshot / name) if name in here else ""
            self._known.setdefault(name, _Known()).taken.append(digest)
        self._write_note()
        for name in sorted(changed, key=self._rank):
            (self.place / name).put(self._snapshot / name)
        for name in gone:
            with reaching(self.place.url), contextlib.suppress(FileNotFoundError):
                self.place.fs.rm_file((self.place / name).path)
            del self._known[name]
        there = self._versions()
        for name in changed:
            last = self._known[name].taken[-1:]
            self._known[name] = _Known(there.get(name, ""), here[name], last)
        self._write_note()
        shutil.rmtree(self._snapshot, ignore_errors=True)
        return len(changed) + len(gone)

    def finish(self) -> None:
        """Take the rest there, and remove the copy."""
        self.sync()
        # First, so that what a killed process leaves of the copy says nothing of the objects.
        self._note.unlink()
        shutil.rmtree(self.root)

    def _is_own(self, name: str, version: str) -> bool:
        """Whether an object is as this copy knows it, or has what was taken there from here."""
        known = self._known.get(name)
        if known is None or version == known.version:
            return known is not None
        if not known.taken:
            return False
        if not version:
            return "" in known.taken
        with tempfile.TemporaryDirectory(dir=self._note.parent) as folder:
            (self.place / name).fetch(Path(folder) / "object")
            return file_sha256(Path(folder) / "object") in known.taken

    def _is_written(self, name: str) -> bool:
        """Whether this run has written a file, here or there as well."""
        known = self._known.get(name, _Known())
        is_here = (self.root / name).exists() and known.version != _COMING
        return bool(known.taken) or (is_here and self._stamp(name) != known.stamp)

    def _versions(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for prefix in self.selection.prefixes:
            found |= self.place.versions(prefix)
        return {name: one for name, one in found.items() if self.selection.has(name)}

    def _fetch(self, names: Iterable[str]) -> None:
        for name in names:
            (self.place / name).fetch(self.root / name)

    def _names(self) -> Iterator[str]:
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if self.selection.has(name) and path.is_file():
                yield name

    def _stamp(self, name: str) -> list[int]:
        """What changes with a file. Of a database also what is in the file of its last writes."""
        path = self.root / name
        found = path.stat()
        ahead = path.with_name(path.name + "-wal")
        n_ahead = ahead.stat().st_size if name.endswith(".sqlite") and ahead.exists() else 0
        return [found.st_size, found.st_mtime_ns, n_ahead]

    def _rank(self, name: str) -> int:
        """Cached responses, what is beside a journal, journals, results: later need earlier."""
        if name.endswith(".sqlite"):
            return 0
        path = self.root / name
        if path.with_name(path.name + ".manifest.json").exists():
            return 2
        journals = (one for one in path.parent.glob("*.manifest.json"))
        stems = [one.name.removesuffix("manifest.json") for one in journals]
        return 1 if any(path.name.startswith(stem) for stem in stems) else 3

    def _copy(self, name: str) -> None:
        to = self._snapshot / name
        to.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith(".sqlite"):
            shutil.copyfile(self.root / name, to)
            return
        to.unlink(missing_ok=True)
        with (
            contextlib.closing(sqlite3.connect(self.root / name, timeout=60)) as source,
            contextlib.closing(sqlite3.connect(to)) as copy,
        ):
            source.backup(copy)

    def _write_note(self) -> None:
        known = {name: asdict(one) for name, one in self._known.items()}
        write_text(self._note, [json.dumps(known)])
        sync_folder(self._note.parent)
