"""The jobs of batch mode: their files of requests, and what survives a day."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

from codefavor.backends.base import Request
from codefavor.backends.batch_service import BatchService
from codefavor.engine.budget import BudgetTracker, TokenForecast
from codefavor.engine.ledger import Reservation
from codefavor.errors import BudgetError
from codefavor.records import write_text


@dataclass
class Job:
    """A file of requests: `id` is empty until the service has named its job."""

    file: str
    token: str
    id: str = ""
    is_collected: bool = False


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
        row = json.loads(path.read_text(encoding="utf-8"))
        failures = {key: (reason, text) for key, (reason, text) in row["failures"].items()}
        return cls([Job(**job) for job in row["jobs"]], row["attempts"], failures, row["since"])

    def save(self, folder: Path) -> None:
        """Write it whole or not at all."""
        write_text(folder / "state.json", [json.dumps(asdict(self), indent=1)])


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
        with open(self._folder / (job.file + ".requests"), "a", encoding="utf-8") as notes:
            notes.write(note + "\n")

    def discard(self) -> None:
        """Remove the files: what is in them is asked in another way."""
        for job in self.jobs:
            for name in (job.file, job.file + ".requests"):
                (self._folder / name).unlink()

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
