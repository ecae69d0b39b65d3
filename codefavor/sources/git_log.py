"""Reading a git repository: its log, its objects and its licence, all as streams.

Only `git log`, `cat-file`, `ls-tree` and `clone` are run: no hook, no filter, no pager.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from codefavor.errors import DataError
from codefavor.records import content_id
from codefavor.sources.licences import LICENCE_FILE, MANIFESTS, licence_of_files

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

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head = self._run("rev-parse", "--verify", "HEAD^{commit}").decode().strip()

    def _command(self, *arguments: str) -> list[str]:
        return [*_GIT, "-C", str(self.path), *arguments]

    def _run(self, *arguments: str) -> bytes:
        done, reason = _git(*self._command(*arguments))
        if done.returncode:
            raise DataError(
                f"{self.path}: no git repository with a commit that can be read ({reason})"
            )
        return done.stdout

    def licence(self) -> str:
        """What the root files of the newest commit state; "" if nothing."""
        listed = self._run("ls-tree", "-z", self.head).decode("utf-8", "replace")
        texts: dict[str, str] = {}
        for entry in listed.split("\0"):
            details, _, name = entry.partition("\t")
            if details.startswith("100") and (LICENCE_FILE.match(name) or name in MANIFESTS):
                blob = details.split()[2]
                texts[name] = self._run("cat-file", "blob", blob).decode("utf-8", "replace")
        return licence_of_files(texts)

    def log(self) -> Iterator[LoggedCommit]:
        """Every commit that the newest one reaches, children before parents, renames followed."""
        command = self._command(
            "log", "--date-order", "--raw", "-z", "-M", "--no-abbrev", "--no-ext-diff",
            "--no-textconv", "--no-color", "--encoding=UTF-8", "--no-notes", "--no-decorate",
            "--format=%x1e%H%x1f%P%x1f%B", self.head,
        )  # fmt: skip
        with _piped(command) as process:
            assert process.stdout is not None
            yield from _read_log(_until_null(process.stdout))
            if process.wait():
                raise DataError(f"{self.path}: git log failed; is the repository damaged?")

    @contextmanager
    def blobs(self) -> Iterator[Blobs]:
        """The contents of the repository's objects, from one git process for all of them."""
        with _piped(self._command("cat-file", "--batch")) as process:
            yield Blobs(process)


class Blobs:
    """Reads objects by name through a running `git cat-file`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def read(self, blob: str) -> bytes | None:
        """The bytes of a blob; None if the repository does not have it (a partial or shallow
        clone)."""
        asked, answered = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answered is not None
        asked.write(blob.encode() + b"\n")
        asked.flush()
        line = answered.readline()
        if not line:
            raise DataError("git cat-file ended before it answered; is the repository damaged?")
        words = line.split()
        if len(words) != 3:
            return None
        data = answered.read(int(words[2]))
        answered.read(1)
        return data if words[1] == b"blob" else None


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
