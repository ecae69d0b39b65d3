"""What a server would charge, by its own log, never exceeds the budget."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import Sampling, make_backend
from codefavor.engine import (
    Budget,
    Context,
    Limits,
    Price,
    PriceTable,
    ResponseCache,
    RunStopped,
    run,
)
from codefavor.errors import BudgetError
from codefavor.journal import Journal, read_journal
from codefavor.records import Row
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

REPOSITORY = Path(__file__).parents[2]
MAX_TOKENS = 100
PRICE = Price(10.0, 1000.0)  # dollars per million tokens
PRICES = PriceTable({"openai:m": PRICE})
FAST = Limits(backoff_s=0.001, max_backoff_s=0.01)


def rows(n: int) -> list[Row]:
    return [{"id": f"r{i}", "q": f"question {i} " + "x" * 300} for i in range(n)]


async def ask_once(row: Row, context: Context) -> Row:
    message = {"role": "user", "content": row["q"]}
    response = await context.ask([message], sampling=Sampling(max_tokens=MAX_TOKENS))
    return {"id": row["id"], "answer": response.text}


class Billing:
    """A server that charges for each request that reaches the model, whatever comes back.

    A token a byte, as dense text has, and all of `max_tokens`. Every third request is spoiled.
    """

    def __init__(self, fault: str, *, delay_s: float = 0.0, status: int = 200) -> None:
        self.usd = 0.0
        self.n = 0
        self._spoiled = Reply(fault=fault, delay_s=delay_s, status=status)

    def __call__(self, call: Call) -> Reply:
        reply = openai_reply(call)
        n_input = sum(len(message["content"].encode()) for message in call.body["messages"])
        reply.body["usage"] = {"prompt_tokens": n_input, "completion_tokens": MAX_TOKENS}
        self.usd += (n_input * PRICE.input + MAX_TOKENS * PRICE.output) / 1e6
        self.n += 1
        if self.n % 3 == 0:
            reply.fault, reply.delay_s = self._spoiled.fault, self._spoiled.delay_s
            reply.status = self._spoiled.status
        return reply


async def run_until_spent(url: str, folder: Path, usd: float, timeout_s: float = 0.4) -> str:
    backend = make_backend("openai:m", base_url=f"{url}/v1", api_key="k", timeout_s=timeout_s)
    store = ResponseCache(folder / "answers")
    context = Context(backend, cache=store, prices=PRICES)
    try:
        with Journal.open(folder / "o", {}) as journal:
            budget = Budget(usd=usd)
            await run(
                ask_once, rows(400), journal, context=context, budget=budget, limits=FAST,
                concurrency=8,
            )  # fmt: skip
    except (BudgetError, RunStopped) as error:
        return str(error)
    finally:
        store.close()
    return ""


@pytest.mark.parametrize(
    ("fault", "delay_s", "status"),
    [
        ("", 1.0, 200),
        ("bad_json", 0.0, 200),
        ("wrong_schema", 0.0, 200),
        ("reset", 0.0, 200),
        ("half", 0.0, 200),
        ("", 0.0, 502),
        ("", 0.0, 504),
    ],
    ids=["timeout", "no JSON", "another JSON", "reset", "half an answer", "HTTP 502", "HTTP 504"],
)
async def test_what_a_lost_answer_cost_is_within_the_budget(
    tmp_path: Path, fault: str, delay_s: float, status: int
) -> None:
    billing = Billing(fault, delay_s=delay_s, status=status)
    with LoopbackServer(billing) as server:
        said = await run_until_spent(server.url, tmp_path, usd=3.0)
    assert 2.0 < billing.usd <= 3.0
    assert "the budget is spent" in said and "whose cost is unknown" in said
    n_ok = sum(record["status"] == "ok" for record in read_journal(tmp_path / "o"))
    assert 0 < n_ok == billing.n - billing.n // 3


async def test_refusals_cost_nothing_and_take_nothing_of_the_budget(tmp_path: Path) -> None:
    n_refused = 0

    def handle(call: Call) -> Reply:
        nonlocal n_refused
        if call.path and n_refused < 60:
            n_refused += 1
            return Reply({"error": {"message": "slow down"}}, status=429 if n_refused % 2 else 529)
        return billing(call)

    billing = Billing("")
    with LoopbackServer(handle) as server:
        said = await run_until_spent(server.url, tmp_path, usd=3.0)
    assert "the budget is spent" in said and "unknown" not in said
    assert 2.7 < billing.usd <= 3.0


async def test_answers_that_are_not_counted_are_not_free(tmp_path: Path) -> None:
    billing = Billing("")

    def handle(call: Call) -> Reply:
        reply = billing(call)
        del reply.body["usage"]
        return reply

    with LoopbackServer(handle) as server:
        said = await run_until_spent(server.url, tmp_path, usd=1.0)
    assert 0.7 < billing.usd <= 1.0
    assert "the budget is spent" in said


PROGRAM = """
import sys
from pathlib import Path
from codefavor.backends import Sampling, make_backend
from codefavor.engine import ResponseCache, Budget, Context, Price, PriceTable, run_sync
from codefavor.errors import BudgetError
from codefavor.journal import Journal

async def step(row, context):
    message = {"role": "user", "content": row["id"]}
    response = await context.ask([message], sampling=Sampling(max_tokens=7, temperature=1.0))
    return {"id": row["id"], "text": response.text}

url, folder = sys.argv[1], Path(sys.argv[2])
backend = make_backend("openai:m", base_url=url + "/v1", api_key="k", timeout_s=5)
store = ResponseCache(folder / "answers")
prices = PriceTable({"openai:m": Price(0, 1e6)})
with Journal.open(folder / "o", {}) as journal:
    try:
        run_sync(step, ({"id": f"r{i}"} for i in range(1000)), journal, concurrency=16,
                 context=Context(backend, cache=store, prices=prices),
                 budget=Budget(usd=float(sys.argv[3])))
    except BudgetError as error:
        print("spent", error)
store.close()
"""


def start_server(folder: Path, environment: dict[str, str]) -> tuple[subprocess.Popen[Any], str]:
    port = folder / "port"
    command = [sys.executable, "-m", "tests.kit.server", "--port-file", str(port)]
    command += ["--log", str(folder / "log"), "--delay-s", "0.05"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    while not port.exists() or not port.read_text():
        time.sleep(0.02)
    return process, f"http://127.0.0.1:{port.read_text()}"


def n_charged(folder: Path) -> int:
    log = folder / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_kill_9_in_flight_never_spends_more_than_the_budget(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    server, url = start_server(tmp_path, environment)
    # An answer costs 7 dollars, and no other can cost more.
    command = [sys.executable, "-c", PROGRAM, url, str(tmp_path), str(7 * 120)]
    try:
        for _ in range(4):
            before = n_charged(tmp_path)
            client = subprocess.Popen(command, env=environment)
            while client.poll() is None and n_charged(tmp_path) < before + 20:
                time.sleep(0.005)
            client.send_signal(signal.SIGKILL)
            client.wait()
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
    finally:
        server.kill()
        server.wait()
    assert "spent the budget is spent" in done.stdout
    assert 80 < n_charged(tmp_path) <= 120
    assert "whose cost is unknown" in done.stdout
