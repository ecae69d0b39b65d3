"""What is spent, may be spent and may have been spent, and the bound of what a request takes."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from codefavor.backends import Request, Response, Sampling, Usage
from codefavor.engine.budget import Budget, BudgetTracker, TokenForecast, is_counted
from codefavor.engine.ledger import Ledger, Spent, ledger_path, read_ledger, read_spent
from codefavor.engine.prices import Price
from codefavor.errors import BudgetError, ConfigError, JournalError


def test_the_ledger_adds_up_over_kills_and_ignores_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "spent"
    ledger = Ledger(path)
    ledger.add(Usage(10, 5, 2), 0.5)
    ledger.add(Usage(1, 1), 0.25)
    ledger.close()
    with open(path, "a") as handle:
        handle.write("7 7 0 0.")
    ledger = Ledger(path)
    assert ledger.spent == Spent(Usage(11, 6, 2), Fraction(0.75))
    ledger.add(Usage(1, 0), 0.0)
    ledger.close()
    assert Ledger(path).spent.usage == Usage(12, 6, 2)


def test_a_full_disk_loses_no_costs_and_stops_the_spending(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from codefavor.backends import Usage\n"
        "from codefavor.engine.ledger import Ledger\n"
        "from codefavor.errors import JournalError\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (25, resource.RLIM_INFINITY))\n"
        "for _ in range(5): ledger.add(Usage(10, 5), 0.5)\n"
        "try: ledger.check()\n"
        "except JournalError as error: print(error, ledger.spent.usage.input_tokens)\n"
        "print(Path(sys.argv[1]).read_text().count('\\n'))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))\n"
        "ledger.check(); ledger.close()\n"
    )
    path = tmp_path / "spent"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    first, n_lines = done.stdout.splitlines()
    assert "cannot be written; free some space" in first
    assert first.endswith(" 50")
    assert n_lines == "2"  # 25 bytes hold two lines of 11 and no torn third
    assert Ledger(path).spent.usage == Usage(50, 25)


async def test_what_is_in_flight_counts_against_the_budget() -> None:
    budget = BudgetTracker(Budget(tokens=100), Price(1, 1), Ledger())
    first = await budget.reserve(Usage(30, 30))
    second = await budget.reserve(Usage(10, 20))
    budget.settle(second, Usage(1, 1))
    third = await budget.reserve(Usage(18, 20))  # 60 in flight + 2 spent + 38 = 100
    budget.ledger.release(first)
    budget.settle(third, Usage(18, 20))
    with pytest.raises(BudgetError, match="40 of 100 tokens"):
        await budget.reserve(Usage(60, 1))


def test_the_forecast_follows_the_densest_text_seen() -> None:
    request = Request([{"role": "user", "content": "x" * 1000}], Sampling(max_tokens=10, n=3))
    forecast = TokenForecast()
    assert forecast.likely(request) == Usage(509, 30)
    forecast.learn(request, Usage(900, 0))
    assert forecast.likely(request).input_tokens >= 990
    for _ in range(500):
        forecast.learn(request, Usage(250, 0))
    assert 250 < forecast.likely(request).input_tokens < 320


def test_what_was_in_flight_at_a_kill_counts_at_its_most_for_good(tmp_path: Path) -> None:
    path = ledger_path(tmp_path / "o")
    ledger = Ledger(path)
    sent, answered, refused, waiting = (
        ledger.reserve(Usage(10 * n, n), n / 4) for n in (1, 2, 3, 4)
    )
    for one in (sent, answered, refused):
        ledger.announce(one)
    ledger.settle(answered, Usage(7, 1, 3), 0.125)
    ledger.release(refused)
    # Killed: nothing is closed. Every line is with the operating system already.
    expected = Spent(Usage(7, 1, 3), Fraction(0.125), 1, Usage(10, 1), 0.25)
    assert read_spent(tmp_path / "o") == expected
    again = Ledger(path)
    assert again.spent == expected
    assert again.reserve(Usage(1, 1), 0.0).number > answered.number
    ledger.leave_unsettled(waiting)
    assert ledger.spent.n_unsettled == 0  # it was never sent


def test_a_request_that_cannot_be_written_down_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    ledger = Ledger(tmp_path / "spent")
    reservation = ledger.reserve(Usage(1, 1), 0.5)
    with monkeypatch.context() as patched, pytest.raises(JournalError, match="cannot be written"):
        patched.setattr(os, "write", full)
        ledger.announce(reservation)
    ledger.leave_unsettled(reservation)
    ledger.close()
    assert (tmp_path / "spent").read_text() == ""
    assert ledger.spent == Spent()


def test_a_request_whose_cost_stays_unknown_counts_at_its_most(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "spent")
    lost, other = ledger.reserve(Usage(30, 4), 0.5), ledger.reserve(Usage(1, 1), 0.25)
    assert (ledger.n_reserved, ledger.reserved_tokens, ledger.reserved_usd) == (2, 36, 0.75)
    ledger.announce(lost)
    ledger.leave_unsettled(lost)
    assert (ledger.n_reserved, ledger.reserved_tokens, ledger.reserved_usd) == (1, 2, 0.25)
    assert ledger.spent == Spent(Usage(), Fraction(0), 1, Usage(30, 4), 0.5)
    assert other.number == lost.number + 1


class Disk:
    """A disk that is full for as long as it is told to be."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full, self.n_synced = True, 0
        self._write, self._sync = os.write, os.fdatasync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "fdatasync", self.sync)

    def write(self, handle: int, data: bytes) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(handle, data)

    def sync(self, handle: int) -> None:
        self.n_synced += 1
        self._sync(handle)


def test_what_a_full_disk_kept_back_is_written_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ledger_path(tmp_path / "o")
    ledger = Ledger(path)
    answered, next_one = ledger.reserve(Usage(9, 9), 0.5), ledger.reserve(Usage(9, 9), 0.5)
    ledger.announce(answered)
    with monkeypatch.context() as patched:
        disk = Disk(patched)
        ledger.settle(answered, Usage(3, 2), 0.125)
        with pytest.raises(JournalError, match="free some space"):
            ledger.announce(next_one)
        disk.is_full = False
        ledger.announce(next_one)
    assert path.read_text().splitlines() == ["+1 9 9 0.5", "=1 3 2 0 0.125", "+2 9 9 0.5"]


def test_closing_writes_what_is_left_or_says_what_is_lost_and_syncs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)
    for name, is_full in (("kept", False), ("lost", True)):
        disk.is_full = True
        ledger = Ledger(tmp_path / name, sync_every_s=1000)
        ledger.add(Usage(1, 1), 0.5)
        ledger.add(Usage(2, 2), 0.5)
        disk.is_full, disk.n_synced = is_full, 0
        ledger.close()
        assert disk.n_synced >= 1
        ledger.close()
        ledger.sync()
    assert (tmp_path / "kept").read_text() == "1 1 0 0.5\n2 2 0 0.5\n"
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'lost'}: the costs of 2 answers could not be written"
    ]


@pytest.mark.parametrize("text", ["=7 1 2 0 0.5\n", "-3\n", "1 2\n", "\n", "+1 2 3\n"])
def test_a_record_of_costs_of_another_form_is_one_clear_error(tmp_path: Path, text: str) -> None:
    ledger_path(tmp_path / "o").write_text(text)
    with pytest.raises(JournalError, match="cannot be read as a record of costs"):
        read_spent(tmp_path / "o")


async def test_a_request_waits_for_those_in_flight_and_fails_when_none_is_left() -> None:
    budget = BudgetTracker(Budget(usd=1.0), Price(1e6, 1e6), Ledger())
    with pytest.raises(BudgetError, match=r"next request may cost up to \$2.0000"):
        await budget.reserve(Usage(1, 1))
    whole = await BudgetTracker(Budget(usd=2.0), Price(1e6, 1e6), Ledger()).reserve(Usage(1, 1))
    assert whole.usd == 2.0  # a budget may be spent to its last cent


async def test_two_models_on_one_ledger_share_what_is_left() -> None:
    ledger = Ledger()
    dear, cheap = (
        BudgetTracker(Budget(usd=1.0), Price(price, price), ledger) for price in (9e5, 1e5)
    )
    reservation = await dear.reserve(Usage(1, 0))
    assert cheap.fits(Usage(1, 0)) and not cheap.fits(Usage(2, 0))
    dear.settle(reservation, Usage(0, 0))
    assert cheap.fits(Usage(10, 0)) and not cheap.fits(Usage(11, 0))


@pytest.mark.parametrize("numbers", [{"usd": -0.1}, {"tokens": -1}])
def test_a_negative_budget_is_refused(numbers: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="a budget must be a number from 0"):
        Budget(**numbers)  # type: ignore[arg-type]


async def test_a_budget_of_nothing_lets_what_is_free_through() -> None:
    nothing = Budget(usd=0.0, tokens=0)
    with pytest.raises(BudgetError):
        await BudgetTracker(nothing, Price(1, 1), Ledger()).reserve(Usage(1, 0))
    free = BudgetTracker(Budget(usd=0.0), Price(0, 0), Ledger())
    await free.reserve(Usage(1000, 1000))


def test_the_bound_holds_for_the_densest_text_and_grows_with_what_servers_add() -> None:
    request = Request([{"role": "user", "content": "ü" * 50}], Sampling(max_tokens=10, n=3))
    forecast = TokenForecast()
    assert forecast.at_most(request).input_tokens >= 100  # bytes, not characters
    assert forecast.at_most(request).output_tokens == 30
    schema = Sampling(max_tokens=10, json_schema={"type": "object", "title": "x" * 500})
    assert forecast.at_most(Request(request.messages, schema)).input_tokens >= 100 + 500 + 810
    forecast.learn(request, Usage(5000, 45))
    assert forecast.at_most(request) == Usage(5000, 45)


def test_what_was_paid_does_not_hang_on_the_order_of_the_answers(tmp_path: Path) -> None:
    sums = []
    for name, costs in (("a", (0.1, 0.2, 0.3)), ("b", (0.3, 0.2, 0.1))):
        path = tmp_path / name
        ledger = Ledger(path)
        for usd in costs:
            ledger.add(Usage(1, 1), usd)
        sums += [ledger.spent.usd, read_ledger(path).usd]
        ledger.close()
    assert sums == [math.fsum((0.1, 0.2, 0.3))] * 4


@pytest.mark.parametrize(
    ("response", "is_known"),
    [
        (Response("text", usage=Usage(10, 5)), True),
        (Response("", usage=Usage(10, 0)), True),
        (Response("text", usage=Usage(10, 0)), False),
        (Response("", usage=Usage(10, 0), reasoning="thoughts"), False),
        (Response("", samples=(Response(""), Response("b")), usage=Usage(10, 0)), False),
        (Response("text", usage=Usage(0, 5)), False),
        (Response("", usage=Usage(0, 0)), False),
    ],
)
def test_no_text_comes_out_of_no_tokens(response: Response, is_known: bool) -> None:
    assert is_counted(response) is is_known


def test_what_is_reserved_and_given_back_leaves_no_dust_of_a_dollar() -> None:
    ledger = Ledger()
    reserved = [ledger.reserve(Usage(1, 1), usd) for usd in (0.1, 0.2, 0.3)]
    for one in reserved:
        ledger.release(one)
    # Taken off as floats, 1.1e-16 would be left.
    assert ledger.in_use() == (0.0, 0)
