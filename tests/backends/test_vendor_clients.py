"""What we send is what the vendors' own clients send, and they read the answers that we read.

We speak to Anthropic and Gemini without their clients, which stand here as the authority on
path, authentication, version and body: a newer pin of them shows what has changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import pytest
from google import genai
from google.genai import types

from codefavor.backends import Request, Sampling, make_backend
from tests.kit import wires
from tests.kit.server import Call, LoopbackServer
from tests.kit.wires import Say

KEY = "key-of-the-vendors-tests"
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
CONVERSATION = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three ü"},
]
FULL = Request(CONVERSATION, Sampling(0.5, 0.9, 77, json_schema=SCHEMA), ("END", "[NO]"))
PLAIN = Request(CONVERSATION[1:2])
ANSWER = '{"a": "b"}'


async def by_anthropic(url: str, request: Request) -> str:
    sampling = request.sampling
    extra: dict[str, Any] = {"temperature": sampling.temperature}
    given: dict[str, Any] = {}
    if request.system:
        given["system"] = request.system
    if sampling.top_p < 1:
        extra["top_p"] = sampling.top_p
    if sampling.json_schema is not None:
        extra["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
    if request.stop:
        given["stop_sequences"] = list(request.stop)
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=url, max_retries=0) as client:
        message = await client.messages.create(
            model="some.model-1",
            max_tokens=sampling.max_tokens,
            messages=[dict(turn) for turn in request.turns],
            extra_body=extra,
            **given,
        )
    return "".join(block.text for block in message.content)


async def by_google(url: str, request: Request) -> str:
    sampling = request.sampling
    is_json = sampling.json_schema is not None
    config = types.GenerateContentConfig(
        system_instruction=request.system or None,
        temperature=sampling.temperature,
        top_p=sampling.top_p if sampling.top_p < 1 else None,
        max_output_tokens=sampling.max_tokens,
        candidate_count=sampling.n if sampling.n > 1 else None,
        seed=sampling.seed,
        stop_sequences=list(request.stop) or None,
        response_logprobs=True if sampling.logprobs is not None else None,
        logprobs=sampling.logprobs or None,
        response_mime_type="application/json" if is_json else None,
        response_json_schema=sampling.json_schema,
        safety_settings=[
            types.SafetySetting(category=f"HARM_CATEGORY_{harm}", threshold="BLOCK_NONE")
            for harm in ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
        ],
    )
    roles = {"user": "user", "assistant": "model"}
    client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=url))
    answer = await client.aio.models.generate_content(
        model="some.model-1",
        contents=[
            types.Content(role=roles[turn["role"]], parts=[types.Part(text=turn["content"])])
            for turn in request.turns
        ],
        config=config,
    )
    await client.aio.aclose()
    return answer.text or ""


Ask = Callable[[str, Request], Awaitable[str]]
DRAWN = Request(CONVERSATION[1:2], Sampling(1, n=3, seed=5, logprobs=2))
CASES = [
    pytest.param("anthropic", by_anthropic, FULL, {}, id="anthropic, everything"),
    pytest.param("anthropic", by_anthropic, PLAIN, {}, id="anthropic, nothing"),
    pytest.param("gemini", by_google, FULL, {"safety": "BLOCK_NONE"}, id="gemini, everything"),
    pytest.param("gemini", by_google, DRAWN, {"safety": "BLOCK_NONE"}, id="gemini, drawn"),
]


@pytest.mark.parametrize(("kind", "ask", "request_", "options"), CASES)
async def test_we_say_what_the_vendor_s_client_says(
    kind: str, ask: Ask, request_: Request, options: dict[str, Any]
) -> None:
    write = getattr(wires, f"write_{kind}")
    with LoopbackServer(lambda call: write(Say(ANSWER))) as server:
        theirs = await ask(server.url, request_)
        backend = make_backend(f"{kind}:some.model-1", base_url=server.url, api_key=KEY, **options)
        ours = await backend.generate(request_)
        await backend.close()
    assert theirs == ours.text == ANSWER
    by_them, by_us = server.calls
    assert by_us.body == by_them.body
    assert essentials(by_us) == essentials(by_them)


def essentials(call: Call) -> tuple[str, str, dict[str, str]]:
    """Method, path, and the headers that identify the caller and the interface's version."""
    names = ("authorization", "x-api-key", "x-goog-api-key", "anthropic-version", "content-type")
    # Google's clients for Python 3.10 ask for v1beta of the same interface.
    path = call.path.replace("/v1beta/", "/v1/")
    return call.method, path, {name: call.headers.get(name, "") for name in names}
