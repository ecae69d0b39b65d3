"""The jobs of batch mode: their files of requests, and what survives a day."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from codefavor.backends.base import Request
from codefavor.backends.batch_service import BatchService
from codefavor.engine.budget import BudgetTracker, TokenForecast
from codefavor.engine.ledger import Reservation
from codefavor.errors import BudgetError, JournalError
from codefavor.journal_file import sync_folder
from codefavor.records import write_text

_REQUESTS = ".requests"


@dataclass
class Job:
    """A file of requests: `id` is empty until the service has named its job."""

    file: str
    token: str
    id: str = ""
    is_collected: bool = False
    n_requests: int = 0  # 0 in states of before 2026-12


@dataclass
class State:
    """What must survive being closed for a day, kept in `state.json`."""

    jobs: list[Job] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    since: int = 0  # what came into the cache later was asked by these jobs

    @classmethod
    def load(cls, folder: Path, newest: int) -> State:
        """What an earlier call left; else a beginning, with the `newest` entry of the cache."""
        path = folder / "state.json"
        if not path.exists():
            return cls(since=newest)
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            failures = {key: (reason, text) for key, (reason, text) in row["failures"].items()}
            jobs = [Job(**job) for job in row["jobs"]]
            return cls(jobs, row["attempts"], failures, row["since"])
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise _unreadable(path) from error

    def save(self, folder: Path) -> None:
        """Write it whole or not at all."""
        write_text(folder / "state.json", [json.dumps(asdict(self), indent=1)])


def requests_of(folder: Path, job: Job) -> dict[str, Request]:
    """The questions of a job by their keys. Raises JournalError unless every one is there."""
    path = folder / (job.file + _REQUESTS)
    try:
        with open(path, encoding="utf-8") as handle:
            rows = [json.loads(line) for line in handle]
        found = {row["key"]: Request.from_row(row["request"]) for row in rows}
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise _unreadable(path) from error
    # A file that was cut between two lines reads well, and what it lost would be asked twice.
    if not found or (job.n_requests and len(found) != job.n_requests):
        raise _unreadable(path)
    return found


def _unreadable(path: Path) -> JournalError:
    return JournalError(
        f"{path}: this file of the batch is damaged or not whole; put it back from a copy. "
        "Without it the answers of its jobs cannot be told apart: --fresh, or the removal of the "
        f"folder {path.parent}, submits (and pays for) all of them again"
    )


class JobWriter:
    """Writes the files of the next jobs, as far as the budget goes."""

    def __init__(self, folder: Path, service: BatchService, budget: BudgetTracker) -> None:
        self._folder, self._service, self._budget = folder, service, budget
        self._forecast = TokenForecast()
        # What the next jobs may take; none of it is sent before this writer is closed.
        self._reservations: list[Reservation] = []
        self._keys: set[str] = set()
        self.jobs: list[Job] = []
        self._n_in_file = self._n_bytes = 0
        self.budget_error: BudgetError | None = None

    @property
    def n_written(self) -> int:
        """How many requests the next jobs hold."""
        return len(self._keys)

    def add(self, key: str, request: Request) -> None:
        """Add a request, unless it is there already or the budget does not allow it."""
        if key in self._keys or not self._fits(request):
            return
        self._keys.add(key)
        line = self._service.line(key, request) + b"\n"
        is_full = self._n_in_file >= self._service.max_requests
        if not self.jobs or is_full or self._n_bytes + len(line) > self._service.max_bytes:
            self._open_file()
        self._n_in_file += 1
        self._n_bytes += len(line)
        job = self.jobs[-1]
        with open(self._folder / job.file, "ab") as lines:
            lines.write(line)
        note = json.dumps({"key": key, "request": request.to_row()}, ensure_ascii=True)
        job.n_requests += 1
        with open(self._folder / (job.file + _REQUESTS), "a", encoding="utf-8") as notes:
            notes.write(note + "\n")

    def discard(self) -> None:
        """Remove the files: what is in them is asked in another way."""
        for job in self.jobs:
            for name in (job.file, job.file + _REQUESTS):
                (self._folder / name).unlink()

    def sync(self) -> None:
        """Return when the files are on the disk: the state that names their jobs comes after."""
        for job in self.jobs:
            for name in (job.file, job.file + _REQUESTS):
                with open(self._folder / name, "rb+") as file:
                    os.fsync(file.fileno())
        sync_folder(self._folder)

    def _open_file(self) -> None:
        token = uuid.uuid4().hex
        self.jobs.append(Job(f"{token}.jsonl", token))
        self._n_in_file = self._n_bytes = 0

    def close(self) -> None:
        """Give back what was set aside: from here on the jobs' own state stands for it."""
        for reservation in self._reservations:
            self._budget.ledger.release(reservation)

    def _fits(self, request: Request) -> bool:
        most = self._forecast.at_most(request)
        if not self._budget.fits(most):
            self.budget_error = self._budget.error(most)
            return False
        self._reservations.append(self._budget.ledger.reserve(most, self._budget.cost(most)))
        return True
