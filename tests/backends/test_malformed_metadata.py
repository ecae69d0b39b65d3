"""What stands beside a paid answer (counts, words, headers) never costs it, whatever it is."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import Backend, Request, make_backend
from codefavor.backends.batch_bedrock import BedrockBatchService
from codefavor.backends.batch_openai import OpenAIBatchService
from codefavor.backends.http_errors import parse_duration, retry_after_of
from codefavor.engine import Context, PriceTable, run
from codefavor.engine.prices import Price
from codefavor.errors import BackendError
from codefavor.journal import Journal
from codefavor.records import Row
from tests.kit.server import Call, LoopbackServer, Reply

Fields = dict[str, Any]
N_REPLIES = 200
# Python's json writes NaN, Infinity and -Infinity as servers do; HUGE becomes 5,000 digits.
JUNK: list[Any] = [
    None, True, False, 0, -1, -7.5, 1.5, 10**30, 1e300, "", "x", "12", "NaN", "é\ud800", [], {},
    [[[[]]]], [None], {"a": {"b": [1, {"c": None}]}}, "y" * 5000, [1, "2", {}], {"total": "many"},
    float("nan"), float("inf"), float("-inf"), "HUGE",
]  # fmt: skip
HEADERS = (
    "Retry-After", "retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens",
    "x-ratelimit-remaining-requests", "Date", "Content-Encoding", "x-request-id", "Set-Cookie",
)  # fmt: skip
HEADER_JUNK = [
    "inf", "nan", "-5", "1e400", "1.2.3s", ".s", "soon", "", "0x10", "9" * 400, "1h.m", "ms",
    "Mon, 99 Foo 99999 99:99:99 GMT", "Mon, 01 Jan 2031 00:00:00 +99999999", "a=b; ; =", "x-gzip",
]  # fmt: skip


def junk(rng: random.Random) -> Any:
    """Anything at all, now and then inside something."""
    value = rng.choice(JUNK)
    return rng.choice([value, value, [value], {"x": value}])


def spoil(place: Any, names: dict[str, Any], rng: random.Random) -> None:
    """Put something else, or nothing, where the names say; those below a name go deeper."""
    for name, below in names.items():
        if rng.random() < 0.5:
            place[name] = junk(rng)
        elif isinstance(below, dict) and isinstance(place.get(name), dict):
            spoil(place[name], below, rng)


def openai_body(text: str, rng: random.Random) -> Fields:
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    token = {"token": "A", "logprob": -0.1, "top_logprobs": [{"token": "A", "logprob": -0.1}]}
    spoil(token, {"token": 0, "logprob": 0, "top_logprobs": 0}, rng)
    choice["logprobs"] = {"content": [token]}
    spoil(choice, dict.fromkeys(("index", "logprobs", "finish_reason", "stop_reason")), rng)
    spoil(choice["message"], dict.fromkeys(("role", "refusal", "reasoning_content", "x")), rng)
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {}}
    body = {"choices": [choice], "usage": usage, "created": 1}
    below = {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    spoil(body, {"id": 0, "created": 0, "model": 0, "usage": below, "object": 0}, rng)
    return body


def anthropic_body(text: str, rng: random.Random) -> Fields:
    thought: Fields = {"type": "thinking", "thinking": "hm"}
    spoil(thought, {"thinking": 0, "signature": 0}, rng)
    odd = [one for one in JUNK if one != "text"]
    body = {
        "content": [thought, {"type": rng.choice(odd)}, {"type": "text", "text": text}],
        "usage": {"input_tokens": 3, "output_tokens": 2},
        "stop_reason": "end_turn",
    }
    counts = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_input_tokens"))
    spoil(body, {"id": 0, "usage": counts, "stop_reason": 0, "stop_sequence": 0, "role": 0}, rng)
    return body


def gemini_body(text: str, rng: random.Random) -> Fields:
    thought: Fields = {"thought": True, "text": "hm"}
    spoil(thought, {"text": 0, "thoughtSignature": 0}, rng)
    candidate: Fields = {
        "content": {"parts": [thought, {"text": text}]},
        "logprobsResult": {"chosenCandidates": [{"token": "A", "logProbability": junk(rng)}]},
    }
    below = {"chosenCandidates": 0, "topCandidates": 0}
    spoil(
        candidate, {"finishReason": 0, "index": 0, "avgLogprobs": 0, "logprobsResult": below}, rng
    )
    body = {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 3}}
    counts = dict.fromkeys(("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount"))
    spoil(body, {"usageMetadata": counts, "promptFeedback": 0, "createTime": 0}, rng)
    return body


def bedrock_body(text: str, rng: random.Random) -> Fields:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    spoil(thought["reasoningContent"], {"reasoningText": {"text": 0}, "redactedContent": 0}, rng)
    body: Fields = {
        "output": {"message": {"role": "assistant", "content": [thought, {"text": text}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 2},
        "metrics": {"latencyMs": 1},
    }
    counts = dict.fromkeys(("inputTokens", "outputTokens", "cacheReadInputTokens"))
    top = {"stopReason": 0, "usage": counts, "metrics": {"latencyMs": 0}, "trace": 0}
    spoil(body, top, rng)
    spoil(body["output"]["message"], {"role": 0}, rng)
    return body


BODIES: dict[str, Callable[[str, random.Random], Fields]] = {
    "openai": openai_body,
    "anthropic": anthropic_body,
    "gemini": gemini_body,
    "bedrock": bedrock_body,
}


def encoded(body: Fields, rng: random.Random) -> bytes:
    """The JSON text, with numbers no parser takes for whole where Python cannot write them."""
    text = json.dumps(body, default=str, ensure_ascii=rng.random() < 0.5)
    text = text.replace("1e+300", "1e999").replace('"HUGE"', "7" * 5000)
    return text.encode("utf-8", "replace")


@pytest.fixture
def backend_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Backend]:
    for name, value in (
        ("ANTHROPIC_API_KEY", "k-anthropic"), ("GEMINI_API_KEY", "k-gemini"),
        ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    for name in ("AWS_ROLE_ARN", "AWS_PROFILE", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def make(kind: str, url: str) -> Backend:
        options = {
            "openai": {"base_url": f"{url}/v1", "api_key": "none"},
            "bedrock": {"endpoint_url": url, "region": "us-east-1"},
        }.get(kind, {"base_url": url})
        return make_backend(f"{kind}:m", **options)

    return make


async def ask(row: Row, context: Context) -> Row:
    return {"text": (await context.ask([{"role": "user", "content": row["id"]}])).text}


@pytest.mark.parametrize("kind", BODIES)
async def test_an_answer_is_kept_whatever_stands_beside_it(
    kind: str, backend_at: Callable[[str, str], Backend], tmp_path: Path
) -> None:
    rng = random.Random(13)
    n_sent = 0

    def handle(_: Call) -> Reply:
        nonlocal n_sent
        n_sent += 1
        body = BODIES[kind](f"answer {n_sent}", rng)
        # A word of the server's that is well-formed has its own meaning: not looked at here.
        _forget_words(body)
        headers = {name: rng.choice(HEADER_JUNK) for name in HEADERS if rng.random() < 0.3}
        headers |= {"x-ratelimit-remaining-tokens": "0"} if rng.random() < 0.5 else {}
        return Reply(encoded(body, rng), headers=headers)

    with LoopbackServer(handle) as server:
        backend = backend_at(kind, server.url)
        rows = [{"id": f"row {n}"} for n in range(N_REPLIES)]
        prices = PriceTable({f"{kind}:m": Price(1.0, 1.0)})
        with Journal.open(tmp_path / "out.jsonl", {"step": "x"}) as journal:
            counts = await run(ask, rows, journal, context=Context(backend, prices=prices))
        await backend.close()
    assert (counts.n_ok, counts.n, n_sent) == (N_REPLIES, N_REPLIES, N_REPLIES), counts.reasons


def _forget_words(body: Any) -> None:
    """Short words that say why an answer ended: "x" would be another reason, kept in view."""
    for place in (body, *body.get("choices", ()), *body.get("candidates", ())):
        for name in ("finish_reason", "stop_reason", "finishReason", "stopReason"):
            if isinstance(place.get(name), str) and 0 < len(place[name]) < 60:
                place[name] = None


@pytest.mark.parametrize("kind", ["openai", "bedrock"])
def test_a_result_of_a_batch_is_kept_whatever_stands_beside_it(
    kind: str, backend_at: Callable[[str, str], Backend], tmp_path: Path
) -> None:
    rng = random.Random(14)
    backend: Any = backend_at(kind, "http://127.0.0.1:9")
    service: Any
    if kind == "openai":
        service = OpenAIBatchService(backend)
    else:
        service = BedrockBatchService(backend, s3_uri="s3://bucket", job_role_arn="arn:role")
    lines = []
    for n in range(N_REPLIES):
        body = BODIES[kind](f"answer {n}", rng)
        _forget_words(body)
        row: Fields = {"recordId": f"k{n}", "modelOutput": body}
        if kind == "openai":
            response: Fields = {"status_code": 200, "body": body}
            spoil(response, {"request_id": 0}, rng)
            if rng.random() < 0.3:
                response["status_code"] = rng.choice([None, "200", [], {}, "ok", float("nan"), 0])
            row = {"custom_id": f"k{n}", "response": response}
            spoil(row, {"id": 0, "error": 0}, rng)
        lines.append(encoded(row, rng))
        # And lines that are nobody's.
        odd = {"custom_id": junk(rng), "recordId": junk(rng), "response": junk(rng)}
        lines.append(rng.choice([b'{"torn": ', b"[" * 100_000, b"7", encoded(odd, rng)]))
    file = tmp_path / "results"
    file.write_bytes(b"\n".join(lines))
    request = Request([{"role": "user", "content": "x"}])
    found = dict(service.results(file, {f"k{n}": request for n in range(N_REPLIES)}))
    asyncio.run(backend.close())
    texts = [getattr(found[f"k{n}"], "text", found[f"k{n}"]) for n in range(N_REPLIES)]
    assert texts == [f"answer {n}" for n in range(N_REPLIES)]


def test_a_failure_in_a_batch_is_one_whatever_it_says(
    backend_at: Callable[[str, str], Backend], tmp_path: Path
) -> None:
    backend: Any = backend_at("bedrock", "http://127.0.0.1:9")
    service = BedrockBatchService(backend, s3_uri="s3://bucket", job_role_arn="arn:role")
    others = OpenAIBatchService(backend_at("openai", "http://127.0.0.1:9"))  # type: ignore[arg-type]
    rows = [
        row
        for error in JUNK
        for row in (
            {"recordId": "k", "error": error},
            {"recordId": "k", "error": {"errorCode": error}},
            {"custom_id": "k", "response": error},
            {"custom_id": "k", "response": {"body": error}},
            {"custom_id": "k", "response": {"status_code": 400, "body": error}},
        )
    ]
    for row in rows:
        file = tmp_path / "results"
        file.write_bytes(encoded(row, random.Random(0)))
        one: Any = service if "recordId" in row else others
        ((_, outcome),) = one.results(file, {"k": Request([{"role": "user", "content": "x"}])})
        assert isinstance(outcome, BackendError)
        assert outcome.reason
    asyncio.run(backend.close())


async def test_an_answer_without_a_true_count_costs_what_was_estimated(
    backend_at: Callable[[str, str], Backend], tmp_path: Path
) -> None:
    body = {"choices": [{"message": {"content": "fine"}}], "usage": {"prompt_tokens": "many"}}
    with LoopbackServer(lambda _: Reply(body)) as server:
        backend = backend_at("openai", server.url)
        context = Context(backend, prices=PriceTable({"openai:m": Price(1.0, 1.0)}))
        with Journal.open(tmp_path / "out.jsonl", {"step": "x"}) as journal:
            counts = await run(ask, [{"id": "x"}], journal, context=context)
        await backend.close()
    assert counts.n_ok == 1
    # 1 byte, 64 + 8 tokens of template, 1,024 of the answer: 1,097 dollars a million.
    assert counts.unsettled_usd == pytest.approx(1097e-6)


@pytest.mark.parametrize("text", [*HEADER_JUNK, "1..5s", "..ms"])
def test_a_time_that_is_none_is_no_time(text: str) -> None:
    assert parse_duration(text) in (0.0, 16.0)
    for name in ("retry-after", "retry-after-ms"):
        headers = {name: text, "date": "Mon, 01 Jan 2029 00:00:00 GMT"}
        assert retry_after_of(headers) in (None, 0.0)


def test_times_that_are_some_are_still_read() -> None:
    assert parse_duration("1h2m3.5s") == 3723.5
    assert parse_duration("120ms") == pytest.approx(0.12)
    assert parse_duration("6") == 6
    assert retry_after_of({"retry-after": "86400"}) == 86400
    assert retry_after_of({"retry-after-ms": "250"}) == 0.25
    assert retry_after_of({}, b'{"retryDelay": "34.07s"}') == 34.07
    assert retry_after_of({}, b'{"retryDelay": "1.2.3s"}') is None
