"""Kept answers: exact, shared by processes, there after a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codefavor.backends import (
    FakeBackend,
    Request,
    Response,
    Sampling,
    TokenLogprob,
    Usage,
)
from codefavor.engine import AnswerStore, Context, run
from codefavor.engine.answers import answer_key
from codefavor.engine.budget import Budget, BudgetTracker, Forecast, Ledger
from codefavor.engine.prices import Price
from codefavor.errors import BudgetError, JournalError
from codefavor.journal import Journal
from codefavor.records import Row

ASK = Request([{"role": "user", "content": "x"}])
IDENTITY = {"backend": "openai", "model": "m"}


def test_an_answer_comes_back_exactly(tmp_path: Path) -> None:
    response = Response(
        "ü\n", "length", Usage(1, 2, 1), (TokenLogprob("a", -0.25, {"b": -1.5}),), "thought"
    )
    store = AnswerStore(tmp_path / "a")
    store.put(b"k", response)
    store.close()
    store = AnswerStore(tmp_path / "a")
    assert store.get(b"k") == response
    assert store.get(b"other") is None
    store.close()


def test_every_part_of_a_request_is_part_of_its_key() -> None:
    base = answer_key(IDENTITY, ASK, "r", 0)
    others = [
        answer_key({**IDENTITY, "model": "m2"}, ASK, "r", 0),
        answer_key(IDENTITY, Request([{"role": "user", "content": "y"}]), "r", 0),
        answer_key(IDENTITY, Request(ASK.messages, Sampling(max_tokens=3)), "r", 0),
        answer_key(IDENTITY, Request(ASK.messages, Sampling(json_schema={"a": 1})), "r", 0),
        answer_key(IDENTITY, Request(ASK.messages, stop=("s",)), "r", 0),
    ]
    assert len({base, *others}) == 6
    assert base == answer_key(IDENTITY, ASK, "another row", 5)


def test_unseeded_draws_belong_to_their_row_and_occurrence() -> None:
    drawn = Request(ASK.messages, Sampling(temperature=1.0))
    keys = {answer_key(IDENTITY, drawn, row, i) for row in ("r", "s") for i in (0, 1)}
    assert len(keys) == 4
    seeded = Request(ASK.messages, Sampling(temperature=1.0, seed=4))
    assert answer_key(IDENTITY, seeded, "r", 0) == answer_key(IDENTITY, seeded, "s", 1)


def test_a_put_survives_kill_9_and_two_processes_may_write(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from codefavor.backends import Response\n"
        "from codefavor.engine import AnswerStore\n"
        "store = AnswerStore(Path(sys.argv[1]), sync_every_s=1000)\n"
        "for i in range(200): store.put(f'{sys.argv[2]}{i}'.encode(), Response(str(i)))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    writers = [subprocess.Popen([*command, name], env=dict(os.environ)) for name in "xy"]
    assert [writer.wait() for writer in writers] == [-signal.SIGKILL] * 2
    store = AnswerStore(tmp_path / "a")
    for name in "xy":
        for i in range(200):
            kept = store.get(f"{name}{i}".encode())
            assert kept is not None
            assert kept.text == str(i)
    store.close()


def test_a_file_that_is_no_store_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("this is not SQLite" * 100)
    with pytest.raises(JournalError, match="cannot be used to keep answers"):
        AnswerStore(tmp_path / "a")


def test_the_ledger_adds_up_over_kills_and_ignores_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "spent"
    ledger = Ledger(path)
    ledger.add(Usage(10, 5, 2), 0.5)
    ledger.add(Usage(1, 1), 0.25)
    ledger.close()
    with open(path, "a") as handle:
        handle.write("7 7 0 0.")
    ledger = Ledger(path)
    assert (ledger.usage, ledger.usd) == (Usage(11, 6, 2), 0.75)
    ledger.add(Usage(1, 0), 0.0)
    ledger.close()
    assert Ledger(path).usage == Usage(12, 6, 2)


def test_a_full_disk_loses_no_costs_and_stops_the_spending(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from codefavor.backends import Usage\n"
        "from codefavor.engine.budget import Ledger\n"
        "from codefavor.errors import JournalError\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (25, resource.RLIM_INFINITY))\n"
        "for _ in range(5): ledger.add(Usage(10, 5), 0.5)\n"
        "try: ledger.check()\n"
        "except JournalError as error: print(error, ledger.usage.input_tokens)\n"
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
    assert Ledger(path).usage == Usage(50, 25)


async def test_answers_that_arrive_together_are_kept_together(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "a")
    await asyncio.gather(*(store.keep(f"k{i}".encode(), Response(str(i))) for i in range(20)))
    assert [store.get(f"k{i}".encode()) for i in range(20)] == [Response(str(i)) for i in range(20)]
    # The first answer to a question is the one that counts, whoever else got another.
    store.put(b"k1", Response("other"))
    assert store.get(b"k1") == Response("1")
    store.close()


async def test_an_answer_that_cannot_be_kept_still_ends_its_row_and_nothing_more_is_asked(
    tmp_path: Path,
) -> None:
    async def step(row: Row, context: Context) -> Row:
        return {"id": row["id"], "a": (await context.ask(ASK.messages)).text}

    backend = FakeBackend(function=lambda request: "x" * 100_000)
    store = AnswerStore(tmp_path / "a")
    # SQLite's own way to meet a full disk.
    store._db.execute("PRAGMA max_page_count = 5")
    rows = [{"id": str(i)} for i in range(9)]
    with Journal.open(tmp_path / "o", {}) as journal:
        with pytest.raises(JournalError, match=r"cannot keep an answer .*full"):
            await run(step, rows, journal, context=Context(backend, answers=store), concurrency=1)
        assert [record["id"] for record in journal.records()] == ["0"]
    assert len(backend.requests) == 1
    store.close()


async def test_what_is_in_flight_counts_against_the_budget() -> None:
    budget = BudgetTracker(Budget(tokens=100), Price(1, 1), Ledger())
    first = await budget.reserve(Usage(30, 30))
    second = await budget.reserve(Usage(10, 20))
    budget.settle(second, Usage(1, 1))
    third = await budget.reserve(Usage(18, 20))  # 60 in flight + 2 spent + 38 = 100
    budget.settle(first, None)
    budget.settle(third, Usage(18, 20))
    with pytest.raises(BudgetError, match="40 of 100 tokens"):
        await budget.reserve(Usage(60, 1))


def test_the_forecast_follows_the_densest_text_seen() -> None:
    request = Request([{"role": "user", "content": "x" * 1000}], Sampling(max_tokens=10, n=3))
    forecast = Forecast()
    assert forecast.tokens(request) == Usage(509, 30)
    forecast.learn(request, Usage(900, 0))
    assert forecast.tokens(request).input_tokens >= 990
    for _ in range(500):
        forecast.learn(request, Usage(250, 0))
    assert 250 < forecast.tokens(request).input_tokens < 320
