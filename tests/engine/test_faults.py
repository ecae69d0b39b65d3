"""Over real HTTP with a third of all exchanges failing, and with kill -9 at random moments."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import make_backend
from codefavor.engine import Context, Limits, ResponseCache, run
from codefavor.journal import Journal, read_journal
from codefavor.records import Row
from tests.kit.server import FAULTS, Call, LoopbackServer, Reply, failing, openai_reply

REPOSITORY = Path(__file__).parents[2]


async def ask_once(row: Row, context: Context) -> Row:
    response = await context.ask([{"role": "user", "content": row["q"]}])
    return {"id": row["id"], "answer": response.text}


def rows(n: int) -> list[Row]:
    return [{"id": f"r{i}", "q": f"question {i}"} for i in range(n)]


async def test_with_a_third_of_exchanges_failing_each_row_ends_with_few_extra_requests(
    tmp_path: Path,
) -> None:
    n = 600
    server = LoopbackServer(failing(openai_reply, 0.3, seed=7), drip_s=1.5)
    store = ResponseCache(tmp_path / "answers")
    with server, Journal.open(tmp_path / "o", {}) as journal:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k", timeout_s=0.7)
        counts = await run(
            ask_once,
            rows(n),
            journal,
            context=Context(backend, cache=store),
            limits=Limits(backoff_s=0.01, max_backoff_s=0.1),
            concurrency=64,
        )
    store.close()
    assert all(server.faults[fault] > 5 for fault in FAULTS), server.faults
    assert counts.n == n
    assert counts.n_ok >= n - 2  # eight attempts: (0.3 ** 8) * 600 = 0.04 rows expected to fail
    assert counts.n_requests == server.n_calls <= 1.6 * n
    answers = {r["id"]: r["row"]["answer"] for r in read_journal(tmp_path / "o") if r["row"]}
    assert all(answer == f"question {name[1:]}" for name, answer in answers.items())


async def test_hard_caps_hold_on_the_wire(tmp_path: Path) -> None:
    with LoopbackServer(delayed_reply) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        with Journal.open(tmp_path / "o", {}) as journal:
            await run(ask_once, rows(60), journal, context=Context(backend), concurrency=5)
    assert server.max_open <= 5


def delayed_reply(call: Call) -> Reply:
    reply = openai_reply(call)
    reply.delay_s = 0.01
    return reply


async def test_rate_limit_headers_pause_the_run(tmp_path: Path) -> None:
    times: list[float] = []

    def handle(call: Call) -> Reply:
        times.append(time.monotonic())
        reply = openai_reply(call)
        if len(times) == 1:
            reply.headers = {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "400ms",
            }
        return reply

    with LoopbackServer(handle) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        with Journal.open(tmp_path / "o", {}) as journal:
            await run(ask_once, rows(3), journal, context=Context(backend), concurrency=1)
    assert times[1] - times[0] >= 0.4


async def test_a_wall_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, jumps = time.time, iter(range(10**9))
    # Half a day forth and back at every look, as after a wrong and a right time server.
    monkeypatch.setattr(time, "time", lambda: real() + (-1) ** next(jumps) * 43_200.0)
    with LoopbackServer(failing(openai_reply, 0.3, seed=2, faults=("429_retry_after",))) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        with Journal.open(tmp_path / "o", {}) as journal:
            running = run(
                ask_once,
                rows(40),
                journal,
                context=Context(backend),
                limits=Limits(requests_per_min=6000),
            )
            # A wait by the wall clock would be half a day, or none.
            counts = await asyncio.wait_for(running, 120)
    assert (counts.n_ok, counts.n_requests) == (40, server.n_calls)
    assert server.faults["429_retry_after"] > 5


async def test_a_server_that_wants_the_newer_name_of_max_tokens_gets_it(tmp_path: Path) -> None:
    def handle(call: Call) -> Reply:
        if "max_tokens" in call.body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            error = {"error": {"code": "unsupported_parameter", "message": message}}
            return Reply(error, status=400)
        return openai_reply(call)

    with LoopbackServer(handle) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        with Journal.open(tmp_path / "o", {}) as journal:
            counts = await run(ask_once, rows(9), journal, context=Context(backend), concurrency=4)
    assert counts.n_ok == 9


PROGRAM = """
import sys
from pathlib import Path
from codefavor.backends import make_backend
from codefavor.engine import ResponseCache, Context, Limits, run_sync
from codefavor.journal import Journal
from codefavor.backends import Sampling

async def ask_twice(row, context):
    texts = []
    for part in ("a", "b"):
        message = {"role": "user", "content": f"{row['id']}/{part}"}
        sampling = Sampling(temperature=1.0)
        texts.append((await context.ask([message], sampling=sampling)).text)
    return {"id": row["id"], "texts": texts}

url, folder, n, concurrency = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
backend = make_backend("openai:m", base_url=url + "/v1", api_key="k", timeout_s=5)
store = ResponseCache(folder / "answers")
with Journal.open(folder / "o", {"n": n}) as journal:
    run_sync(ask_twice, ({"id": f"r{i}"} for i in range(n)), journal,
             context=Context(backend, cache=store), concurrency=concurrency,
             limits=Limits(backoff_s=0.01, max_backoff_s=0.05))
store.close()
print("finished")
"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A server in a process of its own, which outlives the killed runs and logs each request."""
    port, log = tmp_path / "port", tmp_path / "log"
    command = [sys.executable, "-m", "tests.kit.server", "--port-file", str(port)]
    command += ["--log", str(log), "--delay-s", "0.005", "--fault-rate", "0.05", "--seed", "3"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    try:
        while not port.exists() or not port.read_text():
            time.sleep(0.02)
        yield {"url": f"http://127.0.0.1:{port.read_text()}", "log": log, "env": environment}
    finally:
        process.kill()
        process.wait()


def kill_and_resume(
    served: dict[str, Any], folder: Path, *, n_kills: int, n: int, concurrency: int
) -> int:
    """Run, kill -9 at a random moment, run again, until it finishes; the number of kills."""
    rng = random.Random(5)
    command = [sys.executable, "-c", PROGRAM, served["url"], str(folder), str(n), str(concurrency)]
    kills = 0
    while True:
        process = subprocess.Popen(command, env=served["env"], stdout=subprocess.PIPE, text=True)
        if kills < n_kills:
            before = len(served["log"].read_bytes()) if served["log"].exists() else 0
            # Not before it asks something, or most kills would hit the imports.
            while process.poll() is None and (
                not served["log"].exists() or len(served["log"].read_bytes()) == before
            ):
                time.sleep(0.002)
            time.sleep(rng.random() * 0.06)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
        output, _ = process.communicate(timeout=120)
        if "finished" in output:
            return kills
        assert process.returncode in (-signal.SIGKILL, 0)


def check_exactly_once(served: dict[str, Any], folder: Path, *, n: int, slack: int) -> None:
    found = list(read_journal(folder / "o"))
    assert sorted(record["id"] for record in found) == sorted(f"r{i}" for i in range(n))
    assert all(
        record["row"]["texts"] == [f"{record['id']}/a", f"{record['id']}/b"] for record in found
    )
    lines = [line.split("\t") for line in served["log"].read_text().splitlines()]
    # A slow answer is an answer; every other fault is a reason to ask again.
    n_faults = sum(1 for _, fault in lines if fault not in ("", "drip"))
    assert len({question for question, fault in lines if fault in ("", "drip")}) == 2 * n
    assert len(lines) <= 2 * n + slack + n_faults


@pytest.mark.slow
def test_kill_9_at_200_random_points_then_resume(served: dict[str, Any], tmp_path: Path) -> None:
    n, concurrency = 6000, 8
    kills = kill_and_resume(served, tmp_path, n_kills=200, n=n, concurrency=concurrency)
    check_exactly_once(served, tmp_path, n=n, slack=kills * concurrency)
    assert kills >= 150


def test_kill_9_at_some_random_points_then_resume(served: dict[str, Any], tmp_path: Path) -> None:
    n, concurrency = 300, 8
    kills = kill_and_resume(served, tmp_path, n_kills=6, n=n, concurrency=concurrency)
    assert kills >= 2
    check_exactly_once(served, tmp_path, n=n, slack=kills * concurrency)


def test_ctrl_c_records_what_was_in_flight_and_then_ends(
    served: dict[str, Any], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM, served["url"], str(tmp_path), "100000", "8"]
    process = subprocess.Popen(command, env=served["env"], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "o").exists() or (tmp_path / "o").stat().st_size < 5000:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    ended = {record["id"] for record in read_journal(tmp_path / "o")}
    lines = [line.split("\t") for line in served["log"].read_text().splitlines()]
    paid = {question for question, fault in lines if not fault}
    # Every answer is in the journal, or kept for the row that will ask for it again.
    store = ResponseCache(tmp_path / "answers")
    assert len(store) >= len(paid) - 1
    store.close()
    assert json.dumps(sorted(ended))
