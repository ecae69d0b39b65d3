"""A server's own count of tokens is believed only where it can be true; else it is unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import make_backend
from codefavor.backends.base import Backend, Request, Usage
from codefavor.backends.batch_openai import OpenAIBatchService
from codefavor.engine import Budget, Context, Price, PriceTable, ResponseCache
from codefavor.engine.batch import BatchRun
from codefavor.engine.health import StopRule
from codefavor.engine.ledger import read_spent
from codefavor.engine.limits import Limits
from codefavor.errors import ConfigError
from codefavor.journal import Journal
from tests.engine.test_batch import ROWS, PlayedBatches, one_question
from tests.engine.test_budget_http import Billing, run_until_spent
from tests.kit import wires
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply
from tests.kit.wires import Say

# Where each service writes its counts: the object, then input, output and cached tokens.
COUNTS = {
    "openai": ("usage", "prompt_tokens", "completion_tokens", ""),
    "anthropic": ("usage", "input_tokens", "output_tokens", "cache_read_input_tokens"),
    "gemini": (
        "usageMetadata", "promptTokenCount", "candidatesTokenCount", "cachedContentTokenCount",
    ),
    "bedrock": ("usage", "inputTokens", "outputTokens", "cacheReadInputTokens"),
}  # fmt: skip
# By ids of the test: AWS's own client reads these before we do.
ASK = Request([{"role": "user", "content": "hi"}])


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ROLE_ARN", raising=False)


def backend_of(kind: str, url: str) -> Backend:
    if kind == "bedrock":
        return make_backend("bedrock:m", endpoint_url=url, region="us-east-1")
    return make_backend(f"{kind}:m", base_url=url, api_key="k")


async def usage_of(kind: str, spoil: Callable[[dict[str, Any]], object]) -> Usage:
    """What is read where the counts of a good answer are spoiled; None replaces all of them."""

    def handle(call: Call) -> Reply:
        reply = getattr(wires, f"write_{kind}")(Say("hello"))
        name, *_ = COUNTS[kind]
        counts = spoil(reply.body[name])
        if counts is None:
            del reply.body[name]
        elif not isinstance(counts, dict):
            reply.body[name] = counts
        return reply

    with LoopbackServer(handle) as server:
        backend = backend_of(kind, server.url)
        response = await backend.generate(ASK)
        await backend.close()
    assert response.text == "hello"
    return response.usage


def put(field: int, value: object) -> Callable[[str], Callable[[dict[str, Any]], object]]:
    """Spoils the input (1), output (2) or cached (3) count of a kind of server."""

    def of(kind: str) -> Callable[[dict[str, Any]], object]:
        def spoil(counts: dict[str, Any]) -> object:
            if field == 3 and kind == "openai":
                counts["prompt_tokens_details"] = {"cached_tokens": value}
            elif value is None:
                del counts[COUNTS[kind][field]]
            else:
                counts[COUNTS[kind][field]] = value
            return counts

        return spoil

    return of


@pytest.mark.parametrize("kind", COUNTS)
@pytest.mark.parametrize(
    "spoiled",
    [
        put(1, -5), put(2, -5), put(3, -5),
        put(1, "11"), put(2, "5"), put(3, "x"),
        put(1, 10.5), put(2, 5.5),
        put(1, 10**30), put(2, 10**30), put(3, 10**30), put(2, 1e300),
        put(1, True), put(1, [11]),
        put(1, None), put(2, None),
        lambda kind: lambda counts: None,
    ],
    ids=[
        "negative input", "negative output", "negative cached", "text input", "text output",
        "text cached", "half a token in", "half a token out", "10^30 input", "10^30 output",
        "10^30 cached", "1e300 output", "true", "a list", "no input", "no output", "no counts",
    ],
)  # fmt: skip
async def test_a_count_that_cannot_be_true_is_unknown_and_the_answer_is_kept(
    kind: str,
    spoiled: Callable[[str], Callable[[dict[str, Any]], object]],
) -> None:
    assert await usage_of(kind, spoiled(kind)) == Usage()


@pytest.mark.parametrize("value", ["x", [11]], ids=str)
async def test_a_count_that_botocore_could_not_read_is_unknown(value: object) -> None:
    assert await usage_of("bedrock", put(1, value)("bedrock")) == Usage()


@pytest.mark.parametrize("kind", ["openai", "gemini"])
async def test_more_cached_than_there_was_is_unknown(kind: str) -> None:
    assert await usage_of(kind, put(3, 12)(kind)) == Usage()
    assert await usage_of(kind, put(3, 11)(kind)) == Usage(11, 5, 11)


@pytest.mark.parametrize("kind", ["anthropic", "bedrock"])
async def test_what_is_read_from_and_written_to_a_cache_is_input_too(kind: str) -> None:
    written = {"anthropic": "cache_creation_input_tokens", "bedrock": "cacheWriteInputTokens"}

    def spoil(counts: dict[str, Any]) -> object:
        counts |= {COUNTS[kind][3]: 100, written[kind]: 7}
        return counts

    assert await usage_of(kind, spoil) == Usage(118, 5, 100)


@pytest.mark.parametrize("kind", COUNTS)
async def test_whole_numbers_written_as_fractions_are_counts(kind: str) -> None:
    assert await usage_of(kind, put(1, 11.0)(kind)) == Usage(11, 5, 0)


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens": -1000, "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": -1000},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}},
        {"prompt_tokens": "1", "completion_tokens": "1"},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": 10**30, "completion_tokens": 10**30},
        {"prompt_tokens": 1},
        {"completion_tokens": 1},
        [],
        "none",
    ],
    ids=str,
)
async def test_no_bill_of_nonsense_makes_a_budget_larger_or_ends_a_row(
    tmp_path: Path, counts: object
) -> None:
    billing = Billing("")

    def handle(call: Call) -> Reply:
        reply = billing(call)
        reply.body["usage"] = counts
        return reply

    with LoopbackServer(handle) as server:
        said = await run_until_spent(server.url, tmp_path, usd=1.0, timeout_s=60.0)
    assert 0.7 < billing.usd <= 1.0
    assert "the budget is spent" in said and "whose cost is unknown" in said
    spent = read_spent(tmp_path / "o")
    assert spent is not None and (spent.usd, spent.n_unsettled) == (0, billing.n)


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_that_fails_after_it_answered_is_within_the_budget(
    tmp_path: Path, status: int
) -> None:
    billing = Billing("", status=status)
    with LoopbackServer(billing) as server:
        said = await run_until_spent(server.url, tmp_path, usd=3.0)
    assert 2.0 < billing.usd <= 3.0
    assert "whose cost is unknown" in said


async def test_answers_of_a_batch_that_are_not_counted_are_not_free(tmp_path: Path) -> None:
    def uncounted(call: Call) -> Reply:
        reply = openai_reply(call)
        reply.body["usage"] = {"prompt_tokens": -9, "completion_tokens": "7"}
        return reply

    prices = PriceTable({"openai:m": Price(10.0, 1000.0)})
    with (
        LoopbackServer(PlayedBatches(uncounted)) as server,
        Journal.open(tmp_path / "o", {}) as journal,
    ):
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        context = Context(backend, cache=ResponseCache(tmp_path / "answers"), prices=prices)
        service = OpenAIBatchService(backend)  # type: ignore[arg-type]
        run = BatchRun(one_question, lambda: ROWS, journal, service, context=context, poll_s=0.01)
        counts = await run.run()
    assert (counts.n_ok, counts.n_unsettled) == (len(ROWS), len(ROWS))
    assert counts.usd == 0 and counts.unsettled_usd > 0


@pytest.mark.parametrize("price", ["1", -1.0, float("nan"), float("inf"), True, None])
@pytest.mark.parametrize("name", ["input", "output"])
def test_what_is_no_price_is_refused_with_its_file(
    tmp_path: Path, name: str, price: object
) -> None:
    row = {"input": 1.0, "output": 2.0, name: price}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"prices": {"openai:m": row}}))
    with pytest.raises(ConfigError, match=rf"mine.json: .*{name} is"):
        PriceTable.load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_what_is_no_budget_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="a budget must be"):
        Budget(usd=value)


def test_a_rate_and_a_pause_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_error_rate"):
        StopRule(max_error_rate=float("nan"))
    with pytest.raises(ConfigError, match="max_pause_s"):
        Limits(max_pause_s=float("nan"))
