"""One shard in a process of a Ray cluster: the same command, with what its run shares."""

from __future__ import annotations

import _thread
import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from codefavor.cli.ray_command import run_command
from codefavor.cli.ray_nodes import NodeCheck
from codefavor.cli.shard_flags import Joined, joined
from codefavor.engine import Progress
from codefavor.engine.budget import Amount, Loan
from codefavor.engine.health import RunStopped
from codefavor.engine.ledger import read_ledger
from codefavor.engine.limits import Places, Said
from codefavor.errors import JournalInUseError
from codefavor.once import keep
from codefavor.settings import DATA_VARIABLE

# How long the process of a lost node may hold a journal before it has noticed.
_LOCKED_S = 120.0
_TOLD_EVERY_S = 1.0
# Often enough that the coordinator takes nobody for lost who is there (`LOST_S`).
_HERE_EVERY_S = 5.0
_ANEW = ("--fresh", "--overwrite")
# In the folder of a shard on a node's own storage: of which run it is, and of which command.
_MARK = ".run"
# Manifests and notes, and cached responses.
_NOT_APPENDED = re.compile(r"\.json$|\.fresh$|\.sqlite")


T = TypeVar("T")
Files = dict[str, bytes]


@dataclass(frozen=True)
class Job:
    """What every shard is given: the command's words, where they are said, and of what run.

    `shards` is the folder of all shards; a node that does not see `known.seen` in it keeps its own.
    """

    words: tuple[str, ...]
    data_folder: str | None
    n_shards: int
    shards: str
    known: NodeCheck

    def folder(self, index: int) -> Path:
        """Where a shard keeps what it records."""
        return Path(self.shards) / f"{index}-of-{self.n_shards}"

    @property
    def command(self) -> str:
        """A digest of the command and of what it runs on: the same in every run of it."""
        words = [word for word in self.words if word not in _ANEW]
        return hashlib.sha256(repr((words, self.known.own)).encode()).hexdigest()


class Ended(NamedTuple):
    """How a shard ended: what went wrong ("": nothing), and its files if only its node has them."""

    error: str
    files: Files | None
    node: str = ""


class ShardActor:
    """Runs shards in one process, one after the other, and keeps the models that they load."""

    def __init__(self, coordinator: Any) -> None:
        keep()
        self._coordinator = coordinator
        threading.Thread(target=self._watch, daemon=True).start()

    def run(self, job: Job, index: int, files: Files | None) -> Ended:
        """`run_shard`, with the models of the shards before."""
        return run_shard(job, index, files, self._coordinator)

    def _watch(self) -> None:
        # Ray interrupts no method of an actor.
        import ray

        ray.get(self._coordinator.ended.remote())
        _thread.interrupt_main()


def run_shard(job: Job, index: int, files: Files | None, coordinator: Any) -> Ended:
    """Run a shard to its end. `files` are what was recorded of it before, for other storage.

    A lost process is not an error here: Ray runs the shard again, and that goes on from the
    journal, where it sees it.
    """
    import ray

    if error := job.known.error_here():
        return Ended(error, None)
    os.chdir(job.known.wanted["folder"])
    if job.data_folder is not None:
        os.environ[DATA_VARIABLE] = job.data_folder
    n_before = ray.get(coordinator.begin.remote(index))
    folder, is_shared = job.folder(index), job.known.is_shared_here()
    if not is_shared:
        is_again = _begin_own(folder, job.known.seen, job.command, n_before, files)
        n_before = n_before if is_again else 0
    # Forgotten by the process before: what it did is not to be done again.
    words = [word for word in job.words if not (n_before and word in _ANEW)]
    others = _Others(coordinator, index)
    token = joined.set(Joined(others, others, others, lambda: _Told(coordinator, index)))
    try:
        with _heard(coordinator, index):
            error = _run([*words, "--shard", f"{index}/{job.n_shards}"])
    finally:
        joined.reset(token)
        ray.get([*others.give_back(), coordinator.leave.remote(index)])
    if is_shared:
        return Ended(error, None)
    # They stay here until they are known to have come.
    return Ended(error, read_files(folder), ray.get_runtime_context().get_node_id())


@contextlib.contextmanager
def _heard(coordinator: Any, shard: int) -> Iterator[None]:
    """Tell the coordinator now and then that this process is there, whatever it is at."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(_HERE_EVERY_S):
            coordinator.here.remote(shard)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def left_here(job: Job) -> dict[int, Files]:
    """What earlier runs of the command left on this node's own storage, by shard."""
    folders = {index: job.folder(index) for index in range(job.n_shards)}
    return {i: read_files(one) for i, one in folders.items() if _marked(one)[1:2] == [job.command]}


def remove_own(job: Job, indices: Iterable[int]) -> None:
    """Remove the folders of shards from this node's own storage: what they held has come."""
    for folder in map(job.folder, indices):
        if _marked(folder)[1:2] == [job.command]:
            shutil.rmtree(folder)


def _marked(folder: Path) -> list[str]:
    """Of which run, command and process a folder on a node's own storage is; [] for none."""
    mark = folder / _MARK
    return mark.read_text().splitlines() if mark.is_file() else []


def _begin_own(folder: Path, run: str, command: str, n_before: int, files: Files | None) -> bool:
    """Make the folder of a shard on storage of this node's own; whether the shard goes on there.

    It does if the last of the `n_before` processes that have had the shard in this run left it.
    What another left is put aside: its ledger knows nothing of what was spent elsewhere since.
    """
    now = [run, command, str(n_before + 1)]
    if _marked(folder) == [run, command, str(n_before)]:
        (folder / _MARK).write_text("\n".join(now))
        return True
    if folder.exists():
        folder.rename(folder.with_name(f".{folder.name}.{uuid.uuid4().hex}"))
    write_files(folder, {**(files or {}), _MARK: "\n".join(now).encode()})
    return False


def has_all(later: Files, earlier: Files) -> bool:
    """Whether one state of a shard has all that another records, by files only appended to."""
    recorded = {one: text for one, text in earlier.items() if not _NOT_APPENDED.search(one)}
    return all(later.get(one, b"").startswith(text) for one, text in recorded.items())


def read_files(folder: Path) -> Files:
    """The bytes of all files below a folder, by their names."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != _MARK
    }


def write_files(folder: Path, files: Files) -> None:
    """Write such files, all of them or none; they take the place of what the folder held."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        for path, content in files.items():
            place = Path(name) / "new" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        if folder.exists():
            folder.rename(Path(name) / "old")
        (Path(name) / "new").rename(folder)


def _run(words: list[str]) -> str:
    since = time.monotonic()
    while True:
        try:
            return run_command(words)
        except JournalInUseError as error:
            if time.monotonic() - since > _LOCKED_S:
                return str(error)
            time.sleep(1.0)


class _Others:
    """The coordinator as the engine knows it: `Lender`, `SharedCaps` and `SharedPlaces`."""

    def __init__(self, coordinator: Any, shard: int) -> None:
        self._coordinator, self._shard = coordinator, shard
        self._ledgers: set[str] = set()

    async def lend(self, ledger: str, used: Amount, needed: Amount, n_reserved: int) -> Loan:
        """What a ledger may come to from now on."""
        is_first = ledger not in self._ledgers
        self._ledgers.add(ledger)
        return await _reply(
            self._coordinator.lend.remote(
                self._shard, ledger, used, needed, is_first, n_reserved=n_reserved
            )
        )

    async def places(self, model: str, cap: int, start: int | None, said: Said) -> Places:
        """How many requests may be in flight here from now on."""
        return await _reply(self._coordinator.places.remote(self._shard, model, cap, start, said))

    async def take(self, input_tokens: float, output_tokens: float) -> int:
        """Return when a request of this size may be sent."""
        return await _reply(self._coordinator.take.remote(input_tokens, output_tokens))

    def settle(self, permit: int, input_tokens: int, output_tokens: int) -> None:
        """Say what the request really took."""
        self._coordinator.settle.remote(permit, input_tokens, output_tokens)

    def hold(self, seconds: float) -> None:
        """Let nobody start for so long."""
        self._coordinator.hold.remote(seconds)

    def give_back(self) -> list[Any]:
        """Return what was lent and not used, by what the ledgers on disk say."""
        return [
            self._coordinator.give_back.remote(one, read_ledger(Path(one)).most())
            for one in self._ledgers
        ]


async def _reply(asked: Awaitable[T]) -> T:
    """What the coordinator answers. Raises RunStopped, which fails no row, if it is lost."""
    import ray

    try:
        return await asked
    except ray.exceptions.RayError as error:
        raise RunStopped(f"the coordinator of all shards was lost ({error})") from error


class _Told(Progress):
    """Tells the coordinator how far this shard is, once a second."""

    def __init__(self, coordinator: Any, shard: int) -> None:
        self._coordinator, self._shard = coordinator, shard
        self._n, self._told = 0, 0.0
        self._total: int | None = None
        self._fields: dict[str, Any] = {}

    def start(self, label: str, total: int | None) -> None:
        """A run begins."""
        self._total = total
        self._tell()

    def advance(self, n: int = 1, **fields: Any) -> None:
        """Count, and tell it if the last time is long enough ago."""
        self._n += n
        self._fields |= fields
        if time.monotonic() - self._told >= _TOLD_EVERY_S:
            self._tell()

    def finish(self) -> None:
        """Tell the end."""
        self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._coordinator.note.remote(self._shard, self._n, self._total, self._fields)
