"""Cached responses: exact, shared by processes, there after a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from codefavor.backends import (
    FakeBackend,
    Request,
    Response,
    Sampling,
    TokenLogprob,
    Usage,
)
from codefavor.engine import Context, ResponseCache, run
from codefavor.engine.cache import response_key
from codefavor.errors import JournalError
from codefavor.journal import Journal
from codefavor.records import Row

ASK = Request([{"role": "user", "content": "x"}])
IDENTITY = {"backend": "openai", "model": "m"}


def test_an_answer_comes_back_exactly(tmp_path: Path) -> None:
    response = Response(
        "ü\n", "length", Usage(1, 2, 1), (TokenLogprob("a", -0.25, {"b": -1.5}),), "thought"
    )
    store = ResponseCache(tmp_path / "a")
    store.put(b"k", response, IDENTITY)
    store.close()
    store = ResponseCache(tmp_path / "a")
    assert store.get(b"k") == msgspec.structs.replace(response, is_cached=True)
    assert store.get(b"other") is None
    store.close()


def test_every_part_of_a_request_is_part_of_its_key() -> None:
    base = response_key(IDENTITY, ASK, 0, "r", 0)
    others = [
        response_key({**IDENTITY, "model": "m2"}, ASK, 0, "r", 0),
        response_key(IDENTITY, Request([{"role": "user", "content": "y"}]), 0, "r", 0),
        response_key(IDENTITY, Request(ASK.messages, Sampling(max_tokens=3)), 0, "r", 0),
        response_key(IDENTITY, Request(ASK.messages, Sampling(json_schema={"a": 1})), 0, "r", 0),
        response_key(IDENTITY, Request(ASK.messages, stop=("s",)), 0, "r", 0),
    ]
    assert len({base, *others}) == 6
    assert base == response_key(IDENTITY, ASK, 7, "another row", 5)


def test_unseeded_draws_belong_to_their_run_row_and_occurrence() -> None:
    drawn = Request(ASK.messages, Sampling(temperature=1.0))
    keys = {
        response_key(IDENTITY, drawn, seed, row, i)
        for row in ("r", "s")
        for i in (0, 1)
        for seed in (0, 1)
    }
    assert len(keys) == 8
    seeded = Request(ASK.messages, Sampling(temperature=1.0, seed=4))
    assert response_key(IDENTITY, seeded, 0, "r", 0) == response_key(IDENTITY, seeded, 1, "s", 1)


def test_a_put_survives_kill_9_and_two_processes_may_write(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from codefavor.backends import Response\n"
        "from codefavor.engine import ResponseCache\n"
        "store = ResponseCache(Path(sys.argv[1]), sync_every_s=1000)\n"
        "for i in range(200): store.put(f'{sys.argv[2]}{i}'.encode(), Response(str(i)), {})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    writers = [subprocess.Popen([*command, name], env=dict(os.environ)) for name in "xy"]
    assert [writer.wait() for writer in writers] == [-signal.SIGKILL] * 2
    store = ResponseCache(tmp_path / "a")
    for name in "xy":
        for i in range(200):
            kept = store.get(f"{name}{i}".encode())
            assert kept is not None
            assert kept.text == str(i)
    store.close()


def test_processes_that_make_the_same_store_at_once_all_get_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from codefavor.engine import ResponseCache\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for i in range(40): ResponseCache(Path(sys.argv[1]) / str(i)).close()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    makers = [subprocess.Popen(command, env=dict(os.environ), **pipes) for _ in range(3)]
    for maker in makers:
        assert maker.stdout is not None and maker.stdout.readline() == "ready\n"
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("\n")
        maker.stdin.close()
    assert [maker.wait() for maker in makers] == [0, 0, 0]


def test_a_file_that_is_no_store_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("this is not SQLite" * 100)
    with pytest.raises(JournalError, match="cannot be used to cache responses"):
        ResponseCache(tmp_path / "a")


async def test_answers_that_arrive_together_are_kept_together(tmp_path: Path) -> None:
    store = ResponseCache(tmp_path / "a")
    await asyncio.gather(
        *(store.keep(f"k{i}".encode(), Response(str(i)), IDENTITY) for i in range(20))
    )
    cached = [Response(str(i), is_cached=True) for i in range(20)]
    assert [store.get(f"k{i}".encode()) for i in range(20)] == cached
    # The first answer to a question is the one that counts, whoever else got another.
    store.put(b"k1", Response("other"), IDENTITY)
    assert store.get(b"k1") == cached[1]
    store.close()


async def test_an_answer_that_cannot_be_kept_still_ends_its_row_and_nothing_more_is_asked(
    tmp_path: Path,
) -> None:
    async def step(row: Row, context: Context) -> Row:
        return {"id": row["id"], "a": (await context.ask(ASK.messages)).text}

    backend = FakeBackend(function=lambda request: "x" * 100_000)
    store = ResponseCache(tmp_path / "a")
    # SQLite's own way to meet a full disk.
    store._db.execute("PRAGMA max_page_count = 5")
    rows = [{"id": str(i)} for i in range(9)]
    with Journal.open(tmp_path / "o", {}) as journal:
        with pytest.raises(JournalError, match=r"cannot cache a response .*full"):
            await run(step, rows, journal, context=Context(backend, cache=store), concurrency=1)
        assert [record["id"] for record in journal.records()] == ["0"]
    assert len(backend.requests) == 1
    store.close()
