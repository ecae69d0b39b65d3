"""Both pipelines over real HTTP while exchanges fail, and stopped in the middle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import Request, Sampling, make_backend
from codefavor.backends.batch_openai import OpenAIBatchService
from codefavor.backends.openai_api import OpenAIBackend
from codefavor.engine import Budget, Context, Limits, ResponseCache, run
from codefavor.engine.batch import BatchRun
from codefavor.errors import BudgetError
from codefavor.journal import Journal, read_journal
from codefavor.records import Row
from codefavor.synthesis.commit_instruct import make_commit_instruct_step
from codefavor.synthesis.critic_evol import make_critic_evol_step
from codefavor.synthesis.pair_rows import PairSettings
from codefavor.synthesis.verify import Verifier
from codefavor.synthesis.yields import count_yield
from tests.engine.test_batch import PlayedBatches
from tests.kit.clock import VirtualClock
from tests.kit.server import FAULTS, Call, LoopbackServer, Reply, failing, openai_reply
from tests.kit.teacher import COMMIT, CONSTRUCTED, CRITIQUE, DRAFT, teacher

N = 60
STATIC = Verifier(ways=frozenset({"static"}))
STEPS = {"commit-instruct": make_commit_instruct_step, "critic-evol": make_critic_evol_step}


def rows_of(pipeline: str, n: int = N) -> list[Row]:
    row, name = (COMMIT, "message") if pipeline == "commit-instruct" else (DRAFT, "instruction")
    return [{**row, "id": f"r{i}", name: f"{row[name]} row {i};"} for i in range(n)]


def answering(answer_format: str) -> Callable[[Call], Reply]:
    """A server whose teacher answers well, badly and not at all, by the row."""

    def handle(call: Call) -> Reply:
        messages = [dict(message) for message in call.body["messages"]]
        text = "".join(message["content"] for message in messages)
        number = int(text.rsplit(" row ", 1)[1].split(";")[0])
        answers: dict[str, Any] = {}
        if number % 6 == 1:
            answers["gate"] = {"reason": "small", "answer": "no", "aspect": "other"}
            answers["critique"] = {**dict.fromkeys(CRITIQUE, ""), "reflection": "Fine.",
                                   "verdict": "good_enough"}  # fmt: skip
        elif number % 6 == 2:
            answers["construct"] = {**CONSTRUCTED, "feedback": ""}
            answers["critique"] = {**CRITIQUE, "feedback": ""}
        elif number % 6 == 3:
            answers["construct"] = answers["critique"] = "I would rather not."
        return openai_reply(call, teacher(answer_format, **answers)(Request(messages)))  # type: ignore[arg-type]

    return handle


@pytest.mark.parametrize("answer_format", ["json", "sections"])
@pytest.mark.parametrize("pipeline", list(STEPS))
async def test_with_a_third_of_exchanges_failing_every_row_ends_as_it_would_have(
    tmp_path: Path, pipeline: str, answer_format: str
) -> None:
    step = STEPS[pipeline](PairSettings(Sampling(temperature=0.5), answer_format), STATIC)  # type: ignore[arg-type]
    ends: list[dict[str, Any]] = []
    for rate in (0.0, 0.3):
        name = f"o{rate}"
        server = LoopbackServer(failing(answering(answer_format), rate, seed=11), drip_s=0.8)
        store = ResponseCache(tmp_path / f"answers{rate}")
        with server, Journal.open(tmp_path / name, {}) as journal:
            backend = make_backend(
                "openai:m", base_url=f"{server.url}/v1", api_key="k", timeout_s=0.4
            )
            counts = await run(
                step,
                rows_of(pipeline),
                journal,
                context=Context(backend, cache=store),
                limits=Limits(max_attempts=12, backoff_s=0.01, max_backoff_s=0.1),
                concurrency=32,
            )
        store.close()
        assert counts.n == counts.n_ok + counts.n_rejected + counts.n_error == N
        assert counts.n_error == 0, counts.reasons
        records = {record["id"]: record for record in read_journal(tmp_path / name)}
        total = count_yield(records.values())
        assert total.n == N
        assert total.n_pairs == N // 2
        assert all(server.faults[fault] for fault in FAULTS) or not rate
        assert {len(r["row"]["meta"]["conversation"]) % 2 for r in records.values()} == {0}
        ends.append({k: (r["status"], r["reason"], r["row"]) for k, r in records.items()})
    assert ends[0] == ends[1]


@pytest.mark.parametrize("pipeline", list(STEPS))
async def test_a_run_stopped_by_its_budget_goes_on_and_pays_nothing_twice(
    tmp_path: Path, pipeline: str
) -> None:
    step = STEPS[pipeline](PairSettings(Sampling(temperature=0.5), "json"), STATIC)
    rows = rows_of(pipeline, 40)
    n_calls = 0
    whole: dict[str, Row] = {}
    for folder, budgets in (("whole", [None]), ("parts", [12_000, None])):
        with LoopbackServer(answering("json")) as server:
            for tokens in budgets:
                store = ResponseCache(tmp_path / f"{folder}.answers")
                backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
                with Journal.open(tmp_path / folder, {}) as journal:
                    try:
                        await run(
                            step, rows, journal, context=Context(backend, cache=store),
                            concurrency=4, budget=Budget(tokens=tokens) if tokens else None,
                        )  # fmt: skip
                    except BudgetError:
                        assert tokens
                        assert 0 < len(list(read_journal(tmp_path / folder))) < 40
                store.close()
            n_calls = n_calls or server.n_calls
            assert server.n_calls == n_calls
        found = {r["id"]: r for r in read_journal(tmp_path / folder)}
        whole = whole or found
        assert json.dumps(found, sort_keys=True) == json.dumps(whole, sort_keys=True)


@pytest.mark.parametrize("pipeline", list(STEPS))
async def test_batch_mode_gives_the_rows_of_online_mode(tmp_path: Path, pipeline: str) -> None:
    step = STEPS[pipeline](PairSettings(Sampling(temperature=0.5), "json"), STATIC)
    rows = rows_of(pipeline, 12)
    played = PlayedBatches(answering("json"))
    store = ResponseCache(tmp_path / "answers")
    with LoopbackServer(played) as server, Journal.open(tmp_path / "batch", {}) as journal:
        backend = OpenAIBackend("m", base_url=f"{server.url}/v1", api_key="k")
        context = Context(backend, cache=store, clock=VirtualClock())
        batch = BatchRun(step, lambda: rows, journal, OpenAIBatchService(backend), context=context)
        await batch.run()
    store.close()
    with (
        LoopbackServer(answering("json")) as server,
        Journal.open(tmp_path / "online", {}) as journal,
    ):
        backend = OpenAIBackend("m", base_url=f"{server.url}/v1", api_key="k")
        await run(step, rows, journal, context=Context(backend))
    found = [{r["id"]: r for r in read_journal(tmp_path / name)} for name in ("batch", "online")]
    assert found[0] == found[1]
    assert len(played.jobs) == (3 if pipeline == "commit-instruct" else 1)
