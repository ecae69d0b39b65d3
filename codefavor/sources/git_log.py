"""Reading a git repository: its log and its objects, as streams.

Only `git log`, `rev-list`, `rev-parse`, `cat-file` and `clone` are run: no hook, no filter, no
pager.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from codefavor.errors import DataError
from codefavor.records import content_id

# The surroundings of another git process, a pager, signatures and prompts have no say here.
_GIT = (
    "env", "-u", "GIT_DIR", "-u", "GIT_WORK_TREE", "-u", "GIT_INDEX_FILE", "-u",
    "GIT_OBJECT_DIRECTORY", "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "git", "--no-pager",
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "log.showSignature=false",
    "-c", "diff.renameLimit=400", "-c", "protocol.ext.allow=never",
)  # fmt: skip
_BLOCK = 1 << 16


class Change(NamedTuple):
    """One file of a commit: modes and blob names before and after, git's letter, both paths."""

    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str
    status: str
    old_path: str
    path: str


class LoggedCommit(NamedTuple):
    """One commit of the log. Who made it and when is never read."""

    sha: str
    parents: tuple[str, ...]
    message: str
    changes: list[Change]


class Repository:
    """A local repository, bare or not.

    Raises DataError if `path` is none, or git is missing or refuses it.
    """

    def __init__(self, path: Path, ref: str = "HEAD") -> None:
        self.path = path
        asked = ("rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}")
        self.head = self._run(*asked, ref=ref).decode().strip()

    def _command(self, *arguments: str) -> list[str]:
        return [*_GIT, "-C", str(self.path), *arguments]

    def _run(self, *arguments: str, ref: str = "HEAD") -> bytes:
        done, reason = _git(*self._command(*arguments))
        if done.returncode and ref != "HEAD":
            raise DataError(f"{self.path}: no commit is called {ref!r} ({reason})")
        if done.returncode:
            raise DataError(
                f"{self.path}: no git repository with a commit that can be read ({reason})"
            )
        return done.stdout

    def name(self) -> str:
        """What the repository is called where it came from ("example.org/sea/tide"); its folder's
        name if it came from nowhere."""
        done, _ = _git(*self._command("config", "--get", "remote.origin.url"))
        # A link has a name of its own; "." has none.
        folder = self.path if self.path.name.strip(".") else self.path.resolve()
        # A bare clone called "repo" has its name from where it lies.
        is_bare = folder.name in ("repo", "repo.git") and not (folder / ".git").exists()
        is_inner = is_bare or folder.name == ".git"
        folder = folder.absolute().parent if is_inner else folder
        return name_of_url(done.stdout.decode("utf-8", "replace").strip() or str(folder))

    def log(self, *, since: str = "", merges: bool = False) -> Iterator[LoggedCommit]:
        """Every commit that the newest one reaches, children before parents, renames followed.

        `since` is a day (YYYY-MM-DD) before which nothing is of interest; `merges` shows what a
        merge brought to its first parent.
        """
        command = self._command(
            "log", "--date-order", "--raw", "-z", "-M", "--no-abbrev", "--no-ext-diff",
            "--no-textconv", "--no-color", "--encoding=UTF-8", "--no-notes", "--no-decorate",
            f"--diff-merges={'first-parent' if merges else 'off'}", *_between(since, ""),
            "--format=%x1e%H%x1f%P%x1f%B", self.head,
        )  # fmt: skip
        with _piped(command) as process:
            assert process.stdout is not None
            yield from _read_log(_until_null(process.stdout))
            if process.wait():
                raise DataError(f"{self.path}: git log failed; is the repository damaged?")

    def select(self, *, until: str = "", author: str = "") -> frozenset[str] | None:
        """The commits up to a day, of whom `git log --author` finds; None for all of them."""
        if not (until or author):
            return None
        chosen = [*_between("", until), *([f"--author={author}"] if author else [])]
        found = self._run("rev-list", "--regexp-ignore-case", *chosen, self.head)
        return frozenset(found.decode().split())

    def first_parents(self) -> frozenset[str]:
        """The commits of the main line: the newest one, its first parent, and so on."""
        return frozenset(self._run("rev-list", "--first-parent", self.head).decode().split())

    @contextmanager
    def objects(self) -> Iterator[Objects]:
        """The contents of the repository's objects, from one git process for all of them."""
        with _piped(self._command("cat-file", "--batch")) as process:
            yield Objects(process)


# The files and folders in a folder: name to mode and object name.
Entries = Mapping[str, tuple[str, str]]
# By the bytes of an object name, of which a repository has one kind.
_ENTRY = {n: re.compile(rb"(\d+) ([^\0]+)\0(.{%d})" % n, re.DOTALL) for n in (20, 32)}
_MAX_TREES = 2000


class Objects:
    """Reads objects by name through a running `git cat-file`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._trees: dict[str, Entries] = {}

    def read(self, blob: str) -> bytes | None:
        """The bytes of a blob; None if the repository does not have it (a partial or shallow
        clone)."""
        _, kind, data = self._read(blob)
        return data if kind == "blob" else None

    def tree(self, name: str) -> Entries:
        """What is in a folder, by its object name or COMMIT:PATH; nothing if it is not there."""
        found, kind, data = self._read(name)
        if kind != "tree":
            return {}
        if found not in self._trees:
            if len(self._trees) >= _MAX_TREES:
                self._trees.clear()
            self._trees[found] = {
                path.decode("utf-8", "replace"): (mode.decode(), blob.hex())
                for mode, path, blob in _ENTRY[len(found) // 2].findall(data)
            }
        return self._trees[found]

    def _read(self, name: str) -> tuple[str, str, bytes]:
        """The object's own name, what it is ("" for none) and its bytes."""
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        if "\n" in name:
            return "", "", b""
        asked.write(name.encode("utf-8", "replace") + b"\n")
        asked.flush()
        line = answered.readline()
        if not line:
            raise DataError("git cat-file ended before it answered; is the repository damaged?")
        words = line.split()
        # A name that is not there is said again, with "missing" behind it.
        if line.endswith(b" missing\n") or len(words) != 3:
            return "", "", b""
        data = answered.read(int(words[2]))
        answered.read(1)
        return words[0].decode(), words[1].decode(), data


def _between(since: str, until: str) -> list[str]:
    """Days as git takes them: by itself it would add the time of day at which it is asked."""
    found = [f"--since={since}T00:00:00Z"] if since else []
    return found + ([f"--until={until}T23:59:59Z"] if until else [])


@contextmanager
def _piped(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        # A reader that stops early leaves a process that would write for ever.
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait()


def _until_null(stream: IO[bytes]) -> Iterator[str]:
    rest = b""
    while block := stream.read(_BLOCK):
        *pieces, rest = (rest + block).split(b"\0")
        for piece in pieces:
            yield piece.decode("utf-8", "replace")
    if rest.strip():
        raise DataError("git log ended in the middle of a commit; is the repository damaged?")


def _read_log(pieces: Iterator[str]) -> Iterator[LoggedCommit]:
    current: LoggedCommit | None = None
    for piece in pieces:
        if piece.startswith("\x1e"):
            if current is not None:
                yield current
            sha, parents, message = piece[1:].split("\x1f", 2)
            current = LoggedCommit(sha, tuple(parents.split()), message.strip(), [])
        elif current is not None and piece.strip():
            old_mode, new_mode, old_blob, new_blob, status = piece.strip().lstrip(":").split()
            old_path = path = next(pieces)
            if status[0] in "RC":
                path = next(pieces)
            current.changes.append(
                Change(old_mode, new_mode, old_blob, new_blob, status, old_path, path)
            )
    if current is not None:
        yield current


def is_url(spec: str) -> bool:
    """Whether a text names a repository elsewhere: a URL, or user@host:path."""
    head, at, rest = spec.partition("@")
    is_scp = bool(at) and "/" not in head and ":" in rest
    return spec.startswith(("https://", "http://", "ssh://", "git://", "file://")) or is_scp


def name_of_url(url: str) -> str:
    """The server and path of a URL, without user, password, port, query and ".git"; of a path on
    this machine, whose folders are nobody's business, only the last part."""
    scheme, separator, rest = url.partition("://")
    if not separator and is_url(url):
        rest = url.replace(":", "/", 1)
    elif not separator or scheme == "file":
        path = url.rstrip("/").removesuffix("/.git")
        return re.split(r"[/\\]", path)[-1].removesuffix(".git") or "repository"
    server, _, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    host = re.sub(r":\d+$", "", server.rpartition("@")[2]).lower()
    return f"{host}/{path.strip('/').removesuffix('.git')}".rstrip("/")


def clone(url: str, cache: Path) -> Path:
    """The bare clone of a URL below `cache`, made at the first call and then used as it is.

    Remove its folder to get what has come since. Raises DataError with git's last line.
    """
    name = url.rstrip("/").rpartition("/")[2].removesuffix(".git") or "repository"
    folder = cache / f"{name}-{content_id(url)[:12]}.git"
    if folder.is_dir():
        return folder
    partial = folder.with_name(f".{folder.name}.partial")
    cache.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)
    done, reason = _git(*_GIT, "clone", "--quiet", "--bare", "--template=", "--", url, str(partial))
    if done.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        raise DataError(f"{url} could not be cloned: {reason}")
    partial.rename(folder)
    return folder


def _git(*command: str) -> tuple[subprocess.CompletedProcess[bytes], str]:
    """What git did, and the last line of what it said about it."""
    try:
        done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise DataError("git is not installed; it reads repositories") from error
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return done, said[-1] if said else f"git ended with {done.returncode}"
