"""One shard in a process of a Ray cluster: the same command, with what its run shares."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.cli.shard_flags import Joined, joined
from codefavor.engine import Progress
from codefavor.engine.budget import Amount, Caps
from codefavor.engine.ledger import read_ledger
from codefavor.errors import CodefavorError, JournalInUseError
from codefavor.settings import DATA_VARIABLE

# How long the process of a lost node may hold a journal before it has noticed.
_LOCKED_S = 120.0
_TOLD_EVERY_S = 1.0
_ANEW = ("--fresh", "--overwrite")


@dataclass(frozen=True)
class Job:
    """What every shard is given: the command's words, where they are said, and how many share."""

    words: tuple[str, ...]
    folder: str
    data_folder: str | None
    n_shards: int
    n_at_once: int


def run_shard(job: Job, index: int, coordinator: Any) -> str:
    """Run a shard to its end; what went wrong, "" for nothing.

    A lost process is not an error here: Ray runs the shard again, and that goes on from the
    journal.
    """
    import ray
    import typer

    from codefavor.cli.main import app

    os.chdir(job.folder)
    if job.data_folder is not None:
        os.environ[DATA_VARIABLE] = job.data_folder
    n_before = ray.get(coordinator.begin.remote(index))
    # Forgotten by the process before: what it did is not to be done again.
    words = [word for word in job.words if not (n_before and word in _ANEW)]
    others = _Others(coordinator, index)
    token = joined.set(Joined(others, others, lambda: _Told(coordinator, index), job.n_at_once))
    command = typer.main.get_command(app)
    try:
        return _run(command, [*words, "--shard", f"{index}/{job.n_shards}"])
    finally:
        joined.reset(token)
        ray.get(others.give_back())


def _run(command: Any, words: list[str]) -> str:
    since = time.monotonic()
    while True:
        try:
            code = command.main(words, prog_name="codefavor", standalone_mode=False)
        except JournalInUseError as error:
            if time.monotonic() - since > _LOCKED_S:
                return str(error)
            time.sleep(1.0)
        except (CodefavorError, OSError) as error:
            return str(error)
        except SystemExit as error:
            code = error.code
            return f"ended with code {code}" if code else ""
        else:
            return f"ended with code {code}" if code else ""


class _Others:
    """The coordinator as the engine knows it: `Lender` and `SharedCaps`."""

    def __init__(self, coordinator: Any, shard: int) -> None:
        self._coordinator, self._shard = coordinator, shard
        self._ledgers: set[str] = set()

    async def lend(self, ledger: str, used: Amount, needed: Amount) -> Caps | None:
        """What a ledger may come to from now on."""
        is_first = ledger not in self._ledgers
        self._ledgers.add(ledger)
        reply: Awaitable[Caps | None] = self._coordinator.lend.remote(
            ledger, used, needed, is_first
        )
        return await reply

    async def take(self, input_tokens: float, output_tokens: float) -> int:
        """Return when a request of this size may be sent."""
        reply: Awaitable[int] = self._coordinator.take.remote(input_tokens, output_tokens)
        return await reply

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
