"""What belongs to one service alone: AWS roles, safety blocks, logprobs, structured output."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import Request, Sampling, TokenLogprob, make_backend
from codefavor.engine import Context, run
from codefavor.engine.ask import RunStopped
from codefavor.errors import BackendError, ConfigError
from codefavor.journal import Journal
from codefavor.records import Row
from tests.kit import wires
from tests.kit.server import Call, LoopbackServer, Reply
from tests.kit.wires import Say

ASK = Request([{"role": "user", "content": "x"}])


async def test_a_role_is_assumed_and_renewed_before_it_expires(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens: list[str] = []
    n_assumed = 0

    def handle(call: Call) -> Reply:
        nonlocal n_assumed
        if b"AssumeRole" in (call.body if isinstance(call.body, bytes) else b""):
            n_assumed += 1
            # Within the time in which they are to be renewed already.
            expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
            return Reply(
                (
                    "<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'>"
                    "<AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>"
                    f"<SecretAccessKey>S</SecretAccessKey><SessionToken>T{n_assumed}</SessionToken>"
                    f"<Expiration>{expiry:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
                    "</AssumeRoleResult></AssumeRoleResponse>"
                ).encode()
            )
        tokens.append(call.headers["x-amz-security-token"])
        return wires.write_bedrock(Say("fine"))

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/judge")
    with LoopbackServer(handle) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        backend = make_backend("bedrock:m", region="us-east-1", endpoint_url=server.url)
        for _ in range(3):
            assert (await backend.generate(ASK)).text == "fine"
        await backend.close()
    assert n_assumed >= 3
    assert len(set(tokens)) >= 2


def test_a_role_that_comes_with_a_token_file_is_not_assumed_twice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []

    def handle(call: Call) -> Reply:
        asked.append(call.body.decode() if isinstance(call.body, bytes) else str(call.body))
        return Reply({}, status=500)

    (tmp_path / "token").write_text("token of a pod")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with LoopbackServer(handle) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        backend = make_backend("bedrock:m", region="us-east-1", endpoint_url=server.url)
        with pytest.raises(BackendError):
            asyncio.run(backend.generate(ASK))
        asyncio.run(backend.close())
    assert asked
    assert all("Action=AssumeRoleWithWebIdentity" in body for body in asked)


async def test_a_bearer_token_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-me")
    monkeypatch.delenv("AWS_ROLE_ARN", raising=False)
    with LoopbackServer(lambda call: wires.write_bedrock(Say("fine"))) as server:
        backend = make_backend("bedrock:m", region="us-east-1", endpoint_url=server.url)
        await backend.generate(ASK)
        await backend.close()
    assert server.calls[0].headers["authorization"] == "Bearer bearer-me"


@pytest.mark.parametrize("kind", ["gemini", "anthropic"])
def test_a_missing_key_is_one_clear_error(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=f"{kind.upper()}_API_KEY"):
        make_backend(f"{kind}:m")


def test_a_missing_region_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(ConfigError, match="needs a region"):
        make_backend("bedrock:m")


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
async def test_either_name_of_the_region_is_taken(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for other in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv(name, "eu-south-1")
    with LoopbackServer(lambda call: wires.write_bedrock(Say("fine"))) as server:
        backend = make_backend("bedrock:m", endpoint_url=server.url)
        await backend.generate(ASK)
        await backend.close()
    assert "/eu-south-1/bedrock/" in server.calls[0].headers["authorization"]


@pytest.mark.parametrize(
    "words",
    [
        "This model doesn't support the toolConfig.toolChoice.tool field. Remove it.",
        "This model doesn't support tool use.",
        "toolChoice.tool is not supported by this model.",
    ],
)
async def test_a_model_without_tool_choice_names_the_other_mode(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-me")
    monkeypatch.delenv("AWS_ROLE_ARN", raising=False)
    refusal = Reply({"message": words}, status=400)
    refusal.headers["x-amzn-ErrorType"] = "ValidationException"
    with LoopbackServer(lambda call: refusal) as server:
        backend = make_backend("bedrock:m", region="us-east-1", endpoint_url=server.url)
        with pytest.raises(BackendError, match="--mode reasoned") as caught:
            await backend.generate(Request(ASK.messages, Sampling(json_schema={"type": "object"})))
        await backend.close()
    assert (caught.value.reason, caught.value.retryable) == ("unsupported", False)
    assert "omit=" not in str(caught.value)


@pytest.mark.parametrize(
    "blocked",
    [
        wires.write_gemini(Say("", "filtered")),
        Reply({"candidates": [{"finishReason": "SAFETY", "index": 0}], "usageMetadata": {}}),
        Reply({"candidates": [{"finishReason": "RECITATION", "content": {"role": "model"}}]}),
    ],
    ids=["the prompt", "the answer", "a recitation without parts"],
)
async def test_a_safety_block_is_one_answer_and_no_retry(blocked: Reply) -> None:
    with LoopbackServer(lambda call: blocked) as server:
        backend = make_backend("gemini:m", base_url=server.url, api_key="k")
        response = await asyncio.wait_for(backend.generate(ASK), 60)
        await backend.close()
    assert (response.finish_reason, response.text, server.n_calls) == ("filtered", "", 1)


def choice(**more: Any) -> Reply:
    return Reply({"choices": [{"index": 0, "finish_reason": "stop", **more}], "usage": {}})


async def ask_openai(reply: Reply, request: Request = ASK, **options: Any) -> tuple[Any, Call]:
    with LoopbackServer(lambda call: reply) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k", **options)
        try:
            return await backend.generate(request), server.calls[0]
        finally:
            await backend.close()


async def test_reasoning_is_kept_apart_from_the_answer() -> None:
    message = {"content": "4", "reasoning_content": "2 + 2"}
    response, _ = await ask_openai(choice(message=message))
    assert (response.text, response.reasoning) == ("4", "2 + 2")


async def test_an_answer_in_parts_is_its_texts() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
             {"type": "text", "text": "def f():"}, {"type": "text", "text": " pass"}]  # fmt: skip
    response, _ = await ask_openai(choice(message={"content": parts}))
    assert response.text == "def f(): pass"


async def test_a_refusal_is_filtered() -> None:
    response, _ = await ask_openai(choice(message={"content": None, "refusal": "no"}))
    assert response.finish_reason == "filtered"


async def test_logprobs_of_chat_and_of_completions_look_the_same() -> None:
    top = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.5}]
    chat = choice(
        message={"content": "A"},
        logprobs={"content": [{"token": "A", "logprob": -0.1, "top_logprobs": top}]},
    )
    plain = choice(
        text="A",
        logprobs={
            "tokens": ["A"],
            "token_logprobs": [-0.1],
            "top_logprobs": [{"A": -0.1, "B": -2.5}],
        },
    )
    request = Request(ASK.messages, Sampling(logprobs=2, max_tokens=1))
    expected = (TokenLogprob("A", -0.1, {"A": -0.1, "B": -2.5}),)
    response, call = await ask_openai(chat, request)
    assert response.logprobs == expected
    assert (call.body["logprobs"], call.body["top_logprobs"]) == (True, 2)
    response, call = await ask_openai(plain, request, mode="completion")
    assert response.logprobs == expected
    assert (call.path, call.body["prompt"], call.body["logprobs"]) == ("/v1/completions", "x", 2)


async def test_n_answers_come_in_order_and_a_server_that_ignores_n_is_found_out() -> None:
    choices = [
        {"index": i, "message": {"content": str(i)}, "finish_reason": "stop"} for i in (1, 0)
    ]
    request = Request(ASK.messages, Sampling(n=2))
    response, call = await ask_openai(Reply({"choices": choices}), request)
    assert [answer.text for answer in response.answers()] == ["0", "1"]
    assert call.body["n"] == 2
    with pytest.raises(BackendError, match="does not honour n"):
        await ask_openai(choice(message={"content": "one"}), request)


@pytest.mark.parametrize("n_stops", [1, 4, 5, 9])
async def test_stop_strings_hold_however_many_a_server_takes(n_stops: int) -> None:
    stops = tuple(f"<{n}>" for n in range(n_stops))
    message = {"content": f"kept{stops[-1]}gone"}
    response, call = await ask_openai(choice(message=message), Request(ASK.messages, stop=stops))
    assert (response.text, response.finish_reason) == ("kept", "stop")
    assert call.body.get("stop") == (list(stops) if n_stops <= 4 else None)


async def test_a_schema_is_sent_and_parameters_can_be_left_out_or_added() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    _, call = await ask_openai(
        choice(message={"content": "{}"}),
        Request(ASK.messages, Sampling(json_schema=schema)),
        omit=["temperature"],
        extra={"top_k": 5},
        token_parameter="max_completion_tokens",
        headers={"api-key": "azure"},
    )
    assert call.body["response_format"]["json_schema"]["schema"] == schema
    assert "temperature" not in call.body
    assert "max_tokens" not in call.body
    assert (call.body["top_k"], call.body["max_completion_tokens"]) == (5, 1024)
    assert call.headers["api-key"] == "azure"


async def test_a_schema_can_be_sent_the_older_way() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = Request(ASK.messages, Sampling(json_schema=schema))
    _, call = await ask_openai(
        choice(message={"content": "{}"}), request, schema_form="json_object"
    )
    assert call.body["response_format"] == {"type": "json_object", "schema": schema}
    with pytest.raises(ConfigError, match="'schema_form': unknown value"):
        await ask_openai(choice(message={"content": "{}"}), request, schema_form="grammar")


async def test_bedrock_leaves_out_what_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-me")
    monkeypatch.delenv("AWS_ROLE_ARN", raising=False)
    with LoopbackServer(lambda call: wires.write_bedrock(Say("fine"))) as server:
        backend = make_backend(
            "bedrock:m", region="us-east-1", endpoint_url=server.url, omit=["top_p", "temperature"]
        )
        await backend.generate(Request(ASK.messages, Sampling(top_p=0.5, temperature=0.5)))
        await backend.close()
    assert server.calls[0].body["inferenceConfig"] == {"maxTokens": 1024}


async def test_azure_is_a_base_url_with_a_query_and_a_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of another service")
    with LoopbackServer(lambda call: choice(message={"content": "4"})) as server:
        backend = make_backend(
            "openai:gpt",
            base_url=f"{server.url}/openai/deployments/gpt?api-version=2024-10-21",
            headers={"api-key": "azure"},
        )
        await backend.generate(ASK)
        await backend.close()
    call = server.calls[0]
    assert call.path == "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"
    assert call.headers["api-key"] == "azure"
    assert "authorization" not in call.headers


@pytest.mark.parametrize("n", [4, 5, 9])
async def test_more_stop_strings_than_a_server_takes_are_applied_here(n: int) -> None:
    stops = tuple(f"<{i}>" for i in range(n))
    request = Request(ASK.messages, stop=stops)
    text = f"one{stops[-1]}two{stops[0]}three"
    response, call = await ask_openai(choice(message={"content": text}), request)
    # OpenAI answers more than four with 400.
    assert call.body.get("stop", []) == (list(stops) if n <= 4 else [])
    assert (response.text, response.finish_reason) == ("one", "stop")


NO_CREDIT = "You exceeded your current quota, please check your plan and billing details."


async def test_no_credit_ends_the_run_at_once_though_it_comes_as_429(tmp_path: Path) -> None:
    error = {"message": NO_CREDIT, "type": "insufficient_quota", "code": "insufficient_quota"}
    refused = Reply({"error": error}, status=429, headers={"Retry-After": "1"})

    async def step(row: Row, context: Context) -> Row:
        await context.ask([{"role": "user", "content": row["id"]}])
        return row

    with LoopbackServer(lambda call: refused) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        rows = [{"id": str(i)} for i in range(200)]
        with (
            Journal.open(tmp_path / "o", {}) as journal,
            pytest.raises(RunStopped, match=r"insufficient_quota.*nothing left to pay with"),
        ):
            await run(step, rows, journal, context=Context(backend), concurrency=64)
        await backend.close()
    assert server.n_calls <= 16  # those in flight when the first refusal came


async def test_gemini_s_429_is_a_limit_of_rate_though_it_speaks_of_billing() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}]
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": NO_CREDIT, "details": details}
    with LoopbackServer(lambda call: Reply({"error": error}, status=429)) as server:
        backend = make_backend("gemini:m", base_url=server.url, api_key="k")
        with pytest.raises(BackendError) as caught:
            await backend.generate(ASK)
        await backend.close()
    found = (caught.value.reason, caught.value.retryable, caught.value.retry_after_s)
    assert found == ("rate_limited", True, 7.5)
