"""What a run has spent and may have spent: a small file of lines beside its journal.

    +7 900 1024 0.0024    request 7 is being sent and may take so much: input, output, dollars
    =7 210 85 0 0.0003    it took this: input, output, cached, dollars
    -7                    it took nothing: the server said so, or was never reached
    210 85 0 0.0003       an answer of a batch job, which had no line before

What the shards of a run spent stands in a second file of such lines, written when they are merged.
A request that is never settled (a timeout, a kill, an answer that cannot be read) counts at the
most it may have taken, in every later part of the run too.
"""

from __future__ import annotations

import asyncio
import glob
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from codefavor.backends.base import NO_USAGE, Usage
from codefavor.errors import JournalError
from codefavor.journal_file import Syncer
from codefavor.records import write_text

logger = logging.getLogger(__name__)


@dataclass
class Reservation:
    """The most that one request may take. It may have been sent once it `is_announced`."""

    number: int
    usage: Usage
    usd: float
    is_announced: bool = False


@dataclass
class Spent:
    """The sums of a ledger: what answers took, and the most that unsettled requests may have."""

    usage: Usage = NO_USAGE
    # Exact: a sum of floats hangs on the order in which answers came.
    exact_usd: Fraction = Fraction(0)
    n_unsettled: int = 0
    unsettled_usage: Usage = NO_USAGE
    unsettled_usd: float = 0.0

    @property
    def usd(self) -> float:
        """What the answers took, in dollars."""
        return float(self.exact_usd)

    def add_unsettled(self, reservation: Reservation) -> None:
        """Count a request whose cost will not be known any more."""
        self.n_unsettled += 1
        self.unsettled_usage += reservation.usage
        self.unsettled_usd += reservation.usd

    @property
    def unsettled_tokens(self) -> int:
        """The most tokens that the unsettled requests may have taken."""
        return self.unsettled_usage.input_tokens + self.unsettled_usage.output_tokens

    def most(self) -> tuple[float, int]:
        """The dollars and tokens that this may have been."""
        tokens = self.usage.input_tokens + self.usage.output_tokens + self.unsettled_tokens
        return self.usd + self.unsettled_usd, tokens

    def __add__(self, other: Spent) -> Spent:
        """The sums of two ledgers."""
        return Spent(
            self.usage + other.usage,
            self.exact_usd + other.exact_usd,
            self.n_unsettled + other.n_unsettled,
            self.unsettled_usage + other.unsettled_usage,
            self.unsettled_usd + other.unsettled_usd,
        )


class Ledger:
    """The spending of one run, of one model or of several.

    Each line is handed to the operating system at once, so a killed run continues with the
    right sums; it is on the disk within `sync_every_s`.
    """

    def __init__(self, path: Path | None = None, *, sync_every_s: float = 1.0) -> None:
        self.spent = Spent()
        # Requests in flight or about to be sent.
        self.n_reserved = 0
        self.reserved_tokens = 0
        self.reserved_usd = 0.0
        self.changed = asyncio.Event()
        self._path = path
        self._file: int | None = None
        self._end = 0
        self._unwritten = b""
        self._has_merged = False
        self._next_number = 0
        self._syncer: Syncer | None = None
        if path is not None:
            self._file = self._open(path)
            self._syncer = Syncer("costs-sync", self.sync, sync_every_s)

    @property
    def name(self) -> str:
        """Its file, by which a lender knows it; "" without one."""
        return "" if self._path is None else str(self._path.resolve())

    def with_shards(self) -> Spent:
        """The sums, with those of shards that were merged since it was opened."""
        return self.spent if self._has_merged else self.spent + self._merged()

    def _merged(self) -> Spent:
        path = None if self._path is None else _of_shards(self._path)
        self._has_merged = path is not None and path.exists()
        return Spent() if path is None or not self._has_merged else _read(path)[0]

    def in_use(self) -> tuple[float, int]:
        """Dollars and tokens that are spent, may have been, or are set aside."""
        usd, tokens = self.spent.most()
        return usd + self.reserved_usd, tokens + self.reserved_tokens

    def reserve(self, usage: Usage, usd: float) -> Reservation:
        """Set aside the most that a request may take; `announce` before it is sent."""
        self._next_number += 1
        self.n_reserved += 1
        self.reserved_tokens += usage.input_tokens + usage.output_tokens
        self.reserved_usd += usd
        return Reservation(self._next_number, usage, usd)

    def announce(self, reservation: Reservation) -> None:
        """Write down that the request is being sent. Raises JournalError if that fails."""
        self.check()
        usage = reservation.usage
        self._append(
            f"+{reservation.number} {usage.input_tokens} {usage.output_tokens} {reservation.usd!r}"
        )
        if self._unwritten:
            # It is not sent, so nothing is left to say about it.
            self._unwritten = b""
            raise self._full()
        reservation.is_announced = True

    def settle(self, reservation: Reservation, usage: Usage, usd: float) -> None:
        """Replace a reservation by what the answer took. A full disk loses nothing (`check`)."""
        self._free(reservation)
        self.spent.usage += usage
        self.spent.exact_usd += Fraction(usd)
        self._append(f"={reservation.number} {_numbers(usage, usd)}")

    def release(self, reservation: Reservation) -> None:
        """Give a reservation back: nothing was taken."""
        self._free(reservation)
        if reservation.is_announced:
            self._append(f"-{reservation.number}")

    def leave_unsettled(self, reservation: Reservation) -> None:
        """Count a request at the most it may have taken, for good; nothing if it was not sent."""
        self._free(reservation)
        if reservation.is_announced:
            self.spent.add_unsettled(reservation)

    def add(self, usage: Usage, usd: float) -> None:
        """Record an answer that had no reservation."""
        self.spent.usage += usage
        self.spent.exact_usd += Fraction(usd)
        self._append(_numbers(usage, usd))

    def check(self) -> None:
        """Raise JournalError if something spent could not be written: spend nothing more."""
        if self._unwritten:
            self._write()
        if self._unwritten:
            raise self._full()

    def sync(self) -> None:
        """Return when the sums are on the disk."""
        if self._file is not None:
            os.fdatasync(self._file)

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        if self._file is None or self._syncer is None:
            return
        self._syncer.close()
        if self._unwritten:
            self._write()
        if self._unwritten:
            n_lines = self._unwritten.count(b"\n")
            logger.warning("%s: the costs of %d answers could not be written", self._path, n_lines)
        self.sync()
        os.close(self._file)
        self._file = None

    def _free(self, reservation: Reservation) -> None:
        usage = reservation.usage
        self.n_reserved -= 1
        self.reserved_tokens -= usage.input_tokens + usage.output_tokens
        # Sums of floats drift; nothing in flight is exactly nothing.
        self.reserved_usd = self.reserved_usd - reservation.usd if self.n_reserved else 0.0
        self.changed.set()

    def _full(self) -> JournalError:
        return JournalError(
            f"{self._path}: the record of costs cannot be written; free some space and run the "
            "same command again"
        )

    def _append(self, line: str) -> None:
        if self._file is not None:
            self._unwritten += line.encode("ascii") + b"\n"
            self._write()

    def _write(self) -> None:
        assert self._file is not None
        try:
            n_written = os.write(self._file, self._unwritten)
        except OSError:
            n_written = 0
        if n_written < len(self._unwritten):
            # Half a line would make the whole file unreadable.
            os.ftruncate(self._file, self._end)
            return
        self._end += n_written
        self._unwritten = b""
        if self._syncer is not None:
            self._syncer.note()

    def _open(self, path: Path) -> int:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self.spent, self._next_number, self._end = _read(path)
            self.spent += self._merged()
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(handle, self._end)
        except OSError as error:
            raise JournalError(f"{path}: cannot be opened ({error})") from error
        return handle


def ledger_path(journal: Path) -> Path:
    """Where the costs of the run with this journal are kept."""
    return journal.with_name(journal.name + ".spent")


def ledgers_of(journal: Path) -> list[Path]:
    """All that keep costs of the run with this journal: its own, and that of a judge of its own."""
    beside = journal.parent.glob(glob.escape(journal.name) + ".*")
    return sorted(path for path in beside if path.suffix == ".spent")


def has_merged(journal: Path) -> bool:
    """Whether what shards spent was ever counted as spent by the run with this journal."""
    return _of_shards(ledger_path(journal)).exists()


def read_spent(journal: Path) -> Spent | None:
    """What the run with this journal spent; None if nothing was kept of that.

    Raises JournalError for a record of costs that cannot be read.
    """
    path = ledger_path(journal)
    files = [one for one in (path, _of_shards(path)) if one.is_file()]
    return sum((_read(one)[0] for one in files), Spent()) if files else None


def read_ledger(path: Path) -> Spent:
    """The sums of one file of costs. Raises JournalError if it cannot be read."""
    return _read(path)[0]


def merge_spent(journal: Path, shards: Iterable[Path]) -> int:
    """Count what the runs with the journals `shards` spent as spent by the one with `journal`.

    A judge of its own has a ledger too; each is merged with its like. Returns how many requests
    the runs themselves sent.
    """
    files: dict[str, list[Path]] = {ledger_path(journal).name: []}
    for shard in shards:
        for file in ledgers_of(shard):
            files.setdefault(file.name, []).append(file)
    for name, found in files.items():
        write_text(_of_shards(journal.with_name(name)), _numbered(found))
    with open(_of_shards(ledger_path(journal)), encoding="ascii") as merged:
        # Each was announced; of a batch there is only what it took.
        return sum(line[0] not in "=-" for line in merged)


def _of_shards(path: Path) -> Path:
    return path.with_name(path.name + ".shards")


def _numbered(files: Iterable[Path]) -> Iterator[str]:
    """The whole lines of several ledgers, with numbers of requests that are each one's own."""
    highest = 0
    for path in files:
        before = highest
        with open(path, encoding="ascii", newline="\n") as handle:
            for line in handle:
                if not line.endswith("\n"):
                    break
                if line[0] in "+-=":
                    first, *counted = line.split()
                    number = before + int(first[1:])
                    highest = max(highest, number)
                    yield " ".join([f"{line[0]}{number}", *counted]) + "\n"
                else:
                    yield line


def _read(path: Path) -> tuple[Spent, int, int]:
    """The sums, the highest number of a request, and where the last whole line ends."""
    try:
        with open(path, encoding="ascii", newline="\n") as handle:
            return _sums(handle)
    except (OSError, ValueError, LookupError) as error:
        raise JournalError(f"{path}: cannot be read as a record of costs ({error})") from error


def _sums(lines: Iterable[str]) -> tuple[Spent, int, int]:
    spent, end, highest = Spent(), 0, 0
    tokens = [0, 0, 0]
    unsettled: dict[int, list[str]] = {}
    for line in lines:
        if not line.endswith("\n"):
            break  # cut off by a kill
        end += len(line)
        first, *counted = line.split()
        if first[0] in "+-=":
            number = int(first[1:])
            highest = max(highest, number)
            if first[0] == "+":
                unsettled[number] = counted
                continue
            del unsettled[number]
        else:
            counted = [first, *counted]
        if counted:
            tokens = [sum_ + int(one) for sum_, one in zip(tokens, counted[:3], strict=True)]
            spent.exact_usd += Fraction(float(counted[3]))
    spent.usage = Usage(*tokens)
    for number, (most_input, most_output, usd) in unsettled.items():
        spent.add_unsettled(
            Reservation(number, Usage(int(most_input), int(most_output)), float(usd))
        )
    return spent, highest, end


def _numbers(usage: Usage, usd: float) -> str:
    return f"{usage.input_tokens} {usage.output_tokens} {usage.cached_tokens} {usd!r}"
