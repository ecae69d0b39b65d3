"""A batch waits through what passes, books what it may have paid, and says in one line what not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from codefavor.backends.batch_bedrock import BedrockBatchService
from codefavor.backends.batch_openai import OpenAIBatchService
from codefavor.backends.bedrock import BedrockBackend
from codefavor.backends.openai_api import OpenAIBackend
from codefavor.engine import Budget, Context, Price, PriceTable, ResponseCache
from codefavor.engine.batch import BatchRun
from codefavor.engine.ledger import read_spent
from codefavor.errors import BackendError, BudgetError, JournalError
from codefavor.journal import Journal, read_journal
from tests.engine.test_batch import ROWS, PlayedBatches, one_question
from tests.kit.clock import VirtualClock
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

PRICES = PriceTable({"openai:m": Price(10.0, 1000.0)})
GATEWAY = Reply(b"<h1>502 Bad Gateway</h1>", status=502)


def batch_run(folder: Path, journal: Journal, url: str, said: list[str], **options) -> BatchRun:
    backend = OpenAIBackend("m", base_url=f"{url}/v1", api_key="k")
    store = ResponseCache(folder / "answers")
    context = Context(backend, cache=store, clock=VirtualClock(), prices=PRICES)
    return BatchRun(
        one_question, lambda: ROWS, journal, OpenAIBatchService(backend), context=context,
        report=said.append, **options,
    )  # fmt: skip


def failing_at(played: PlayedBatches, is_hit: Callable[[Call], bool], times: int):
    n = 0

    def handle(call: Call) -> Reply:
        nonlocal n
        if is_hit(call) and n < times:
            n += 1
            return GATEWAY
        return played(call)

    return handle


@pytest.mark.parametrize(
    ("is_hit", "times"),
    [
        (lambda call: call.method == "GET" and call.path.startswith("/v1/batches/"), 5),
        (lambda call: call.path.endswith("/content"), 2),
        (lambda call: call.path == "/v1/files", 2),
    ],
    ids=["polls", "the file of answers", "the upload"],
)
async def test_a_gateway_that_fails_for_a_while_ends_no_waiting_batch(
    tmp_path: Path, is_hit: Callable[[Call], bool], times: int
) -> None:
    played, said = PlayedBatches(), []
    handler = failing_at(played, is_hit, times)
    with LoopbackServer(handler) as server, Journal.open(tmp_path / "o", {}) as journal:
        counts = await batch_run(tmp_path, journal, server.url, said).run()
    assert (counts.n_ok, len(played.jobs), played.n_answered) == (12, 1, 12)
    assert any("HTTP 502" in line for line in said)


async def test_without_waiting_a_failing_poll_returns_and_the_next_call_goes_on(
    tmp_path: Path,
) -> None:
    played, said = PlayedBatches(), []
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        await batch_run(tmp_path, journal, server.url, said).run(wait=False)
        server.handler = lambda call: GATEWAY
        pending = await batch_run(tmp_path, journal, server.url, said).run(wait=False)
        assert pending.n_pending == 12
        assert "HTTP 502" in said[-1] and "run the same command again" in said[-1]
        server.handler = played
        counts = await batch_run(tmp_path, journal, server.url, said).run()
    assert (counts.n_ok, len(played.jobs)) == (12, 1)


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
async def test_without_waiting_a_failing_submission_returns_and_the_next_call_submits_once(
    tmp_path: Path, path: str
) -> None:
    played, said = PlayedBatches(), []
    handler = failing_at(played, lambda call: call.method == "POST" and call.path == path, 1)
    with LoopbackServer(handler) as server, Journal.open(tmp_path / "o", {}) as journal:
        pending = await batch_run(tmp_path, journal, server.url, said).run(wait=False)
        assert pending.n_pending == 12
        assert "cannot be started yet" in said[-1]
        assert not played.jobs
        counts = await batch_run(tmp_path, journal, server.url, said).run()
    assert (counts.n_ok, len(played.jobs)) == (12, 1)


@pytest.mark.parametrize("name", ["state.json", "*.requests"])
@pytest.mark.parametrize("kept", [0.0, 0.6, 0.99], ids=["empty", "torn", "nearly whole"])
async def test_a_damaged_file_of_a_batch_is_one_error_and_nothing_is_submitted_again(
    tmp_path: Path, name: str, kept: float
) -> None:
    played, said = PlayedBatches(), []
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        await batch_run(tmp_path, journal, server.url, said).run(wait=False)
        (damaged,) = (tmp_path / "o.batch").glob(name)
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[: int(len(whole) * kept)])
        for _ in range(2):
            with pytest.raises(JournalError, match=r"damaged or not whole.*--fresh"):
                await batch_run(tmp_path, journal, server.url, said).run()
        assert len(played.jobs) == 1
        damaged.write_bytes(whole)
        counts = await batch_run(tmp_path, journal, server.url, said).run()
    assert (counts.n_ok, len(played.jobs)) == (12, 1)


async def test_questions_cut_off_between_two_lines_are_missed(tmp_path: Path) -> None:
    played, said = PlayedBatches(), []
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        await batch_run(tmp_path, journal, server.url, said).run(wait=False)
        (notes,) = (tmp_path / "o.batch").glob("*.requests")
        notes.write_text("".join(notes.read_text().splitlines(keepends=True)[:7]))
        with pytest.raises(JournalError, match="damaged or not whole"):
            await batch_run(tmp_path, journal, server.url, said).run()


async def test_a_wrong_key_ends_a_waiting_batch_at_once(tmp_path: Path) -> None:
    played, said = PlayedBatches(), []
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        await batch_run(tmp_path, journal, server.url, said).run(wait=False)
        refusal = Reply({"error": {"message": "Incorrect API key"}}, status=401)
        server.handler = lambda call: refusal
        with pytest.raises(BackendError, match="Incorrect API key"):
            await asyncio.wait_for(batch_run(tmp_path, journal, server.url, said).run(), 30)


async def test_an_interrupted_batch_returns_while_it_waits_and_is_not_submitted_again(
    tmp_path: Path,
) -> None:
    class NeverAgain(VirtualClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(3600)

    played, said = PlayedBatches(), []
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        batch = batch_run(tmp_path, journal, server.url, said)
        batch._context.clock = NeverAgain()
        interrupted = asyncio.Event()
        running = asyncio.ensure_future(batch.run(interrupted=interrupted))
        while not played.jobs:
            await asyncio.sleep(0.01)
        interrupted.set()
        counts = await asyncio.wait_for(running, 30)
        assert counts.n_pending == 12
        counts = await batch_run(tmp_path, journal, server.url, said).run()
    assert (counts.n_ok, len(played.jobs)) == (12, 1)


async def test_unreadable_answers_of_a_batch_count_against_the_budget(tmp_path: Path) -> None:
    billed = 0.0

    def handle(call: Call) -> Reply:
        nonlocal billed
        n_input = sum(len(message["content"].encode()) for message in call.body["messages"])
        billed += (n_input * 10.0 + call.body["max_tokens"] * 1000.0) / 1e6
        return Reply({"result": "not a completion"})

    played, said = PlayedBatches(handle), []
    # Enough for one round of twelve, not for a second.
    budget = Budget(usd=12.9)
    with (
        LoopbackServer(played) as server,
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(BudgetError, match="12 requests whose cost is unknown"),
    ):
        await batch_run(tmp_path, journal, server.url, said, budget=budget).run()
    spent = read_spent(tmp_path / "o")
    assert spent is not None
    assert billed <= spent.unsettled_usd <= budget.usd
    assert len(played.jobs) == 1


async def test_a_budget_is_not_exceeded_by_what_batches_are_charged(tmp_path: Path) -> None:
    billed = 0.0

    def handle(call: Call) -> Reply:
        nonlocal billed
        reply = openai_reply(call)
        usage = {"prompt_tokens": 12, "completion_tokens": call.body["max_tokens"]}
        billed += (12 * 10.0 + call.body["max_tokens"] * 1000.0) / 1e6
        reply.body["usage"] = usage
        return reply

    played, said = PlayedBatches(handle), []
    with (
        LoopbackServer(played) as server,
        Journal.open(tmp_path / "o", {}) as journal,
        pytest.raises(BudgetError, match="the budget is spent"),
    ):
        await batch_run(tmp_path, journal, server.url, said, budget=Budget(usd=5.0)).run()
    assert 3.0 < billed <= 5.0
    assert len(list(read_journal(tmp_path / "o"))) == 4


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "NoSuchBucket", "The specified bucket does not exist"),
        (403, "AccessDenied", "Access Denied"),
    ],
)
async def test_a_wrong_bucket_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str, message: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ROLE_ARN", raising=False)
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    file = tmp_path / "f.jsonl"
    file.write_text(json.dumps({"a": 1}))
    with LoopbackServer(lambda call: Reply(body, status=status)) as server:
        backend = BedrockBackend("m", region="us-east-1", endpoint_url=server.url)
        service = BedrockBatchService(
            backend, s3_uri="s3://nowhere/x", job_role_arn="arn:aws:iam::1:role/b",
            endpoint_url=server.url, s3_endpoint_url=server.url,
        )  # fmt: skip
        with pytest.raises(BackendError) as caught:
            await service.submit(file, "t")
        await backend.close()
    assert not caught.value.retryable
    assert str(caught.value) == f"AWS: HTTP {status}: {code}: {message} (s3://nowhere/x)"


def withheld(call: Call) -> Reply:
    reply = openai_reply(call)
    reply.body["choices"][0] |= {"message": {"content": ""}, "finish_reason": "content_filter"}
    return reply


async def test_what_is_withheld_is_rejected_as_one_by_one(tmp_path: Path) -> None:
    played = PlayedBatches(withheld)
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        counts = await batch_run(tmp_path, journal, server.url, []).run()
    assert (counts.n_rejected, counts.n_error) == (12, 0)
    assert counts.reasons == {"filtered_answer": 12}
    assert played.n_answered == 12


async def test_retrying_errors_gives_each_request_all_its_attempts_again(tmp_path: Path) -> None:
    played = PlayedBatches()
    played.fail_first = 3 * 12
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        counts = await batch_run(tmp_path, journal, server.url, []).run()
        assert (counts.n_error, len(played.jobs)) == (12, 3)
        played.fail_first = 12
        counts = await batch_run(tmp_path, journal, server.url, [], retry_errors=True).run()
    assert (counts.n_ok, counts.n_error, len(played.jobs)) == (12, 0, 5)


async def test_a_job_that_is_collected_again_after_a_crash_is_booked_once(tmp_path: Path) -> None:
    played = PlayedBatches()
    with LoopbackServer(played) as server, Journal.open(tmp_path / "o", {}) as journal:
        await batch_run(tmp_path, journal, server.url, []).run(wait=False)
        state = tmp_path / "o.batch" / "state.json"
        before = state.read_bytes()
        await batch_run(tmp_path, journal, server.url, []).run()
        booked = read_spent(tmp_path / "o")
        # As where the process was killed before it could note that the job is collected.
        state.write_bytes(before)
        counts = await batch_run(tmp_path, journal, server.url, []).run()
        assert booked is not None and booked.usage.output_tokens > 0
        assert read_spent(tmp_path / "o") == booked
        assert (counts.n, len(played.jobs)) == (12, 1)
