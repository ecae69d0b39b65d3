"""The same request means the same on every backend: real clients against real HTTP servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from codefavor.backends import Backend, Request, Response, Sampling, Usage, make_backend
from codefavor.errors import BackendError
from tests.kit import wires
from tests.kit.server import Call, LoopbackServer, Reply
from tests.kit.wires import Say, Seen


@dataclass
class Service:
    """One backend and how its server speaks."""

    name: str
    read: Callable[[Call], Seen]
    write: Callable[[Say], Reply]
    options: dict[str, Any] = field(default_factory=dict)
    url_option: str = "base_url"
    suffix: str = ""

    def make(self, url: str, **more: Any) -> Backend:
        return make_backend(
            f"{self.name}:some.model-1:2",
            **{self.url_option: url + self.suffix},
            **self.options,
            **more,
        )


SERVICES = [
    Service("openai", wires.read_openai, wires.write_openai, {"api_key": "k"}, suffix="/v1"),
    Service(
        "bedrock", wires.read_bedrock, wires.write_bedrock, {"region": "us-east-1"}, "endpoint_url"
    ),
    Service("gemini", wires.read_gemini, wires.write_gemini, {"api_key": "k"}),
    Service("anthropic", wires.read_anthropic, wires.write_anthropic, {"api_key": "k"}),
]
all_services = pytest.mark.parametrize("service", SERVICES, ids=lambda s: s.name)


@pytest.fixture(autouse=True)
def _fake_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_ROLE_ARN", raising=False)


async def exchange(service: Service, say: Say, request: Request) -> tuple[Response, Seen]:
    seen: list[Seen] = []

    def handle(call: Call) -> Reply:
        seen.append(service.read(call))
        say.seen.append(seen[-1])
        return service.write(say)

    with LoopbackServer(handle) as server:
        backend = service.make(server.url)
        try:
            response = await backend.generate(request)
        finally:
            await backend.close()
    assert len(seen) == 1
    return response, seen[0]


@all_services
async def test_model_system_roles_limits_and_stops_arrive_as_asked(service: Service) -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three ü"},
    ]
    request = Request(messages, Sampling(temperature=0.5, max_tokens=77), ("END", "[NO]"))
    response, seen = await exchange(service, Say("fine"), request)
    assert seen == Seen(
        "some.model-1:2",
        "be brief",
        [("user", "one"), ("assistant", "two"), ("user", "three ü")],
        77,
        0.5,
        ["END", "[NO]"],
    )
    assert response == Response("fine", "stop", Usage(11, 5))


@all_services
async def test_an_empty_system_message_is_no_system_text(service: Service) -> None:
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": "one"}]
    response, seen = await exchange(service, Say("fine"), Request(messages))
    assert (seen.system, seen.turns, seen.temperature) == ("", [("user", "one")], 0.0)
    assert response.text == "fine"


@all_services
async def test_text_ends_before_a_stop_string_even_where_the_server_leaves_it(
    service: Service,
) -> None:
    request = Request([{"role": "user", "content": "x"}], stop=("[END]",))
    response, _ = await exchange(service, Say("a[END]b", "length"), request)
    assert (response.text, response.finish_reason) == ("a", "stop")


@all_services
async def test_a_schema_arrives_whole_and_the_answer_is_json_text(service: Service) -> None:
    schema = {
        "type": "object",
        "properties": {"grade": {"type": "integer"}, "why": {"type": "string"}},
        "required": ["grade", "why"],
        "additionalProperties": False,
    }
    messages = [{"role": "user", "content": "grade it"}]
    request = Request(messages, Sampling(json_schema=schema, max_tokens=50))
    response, seen = await exchange(service, Say('{"grade": 3, "why": "so ü"}'), request)
    assert seen.schema == schema
    assert json.loads(response.text) == {"grade": 3, "why": "so ü"}
    assert response.finish_reason == "stop"


@all_services
@pytest.mark.parametrize("finish", ["stop", "length", "filtered"])
async def test_finish_reasons_have_one_name(service: Service, finish: str) -> None:
    text = "" if finish == "filtered" else "part"
    request = Request([{"role": "user", "content": "x"}])
    response, _ = await exchange(service, Say(text, finish), request)
    assert (response.finish_reason, response.text) == (finish, text)


ERRORS = [(service, reason) for service in SERVICES for reason in wires._ERRORS[service.name]]


@pytest.mark.parametrize(
    ("service", "reason"), ERRORS, ids=[f"{s.name}-{reason}" for s, reason in ERRORS]
)
async def test_errors_have_one_name_and_are_sent_once(service: Service, reason: str) -> None:
    with LoopbackServer(lambda call: wires.error_reply(service.name, reason)) as server:
        backend = service.make(server.url)
        with pytest.raises(BackendError) as caught:
            await backend.generate(Request([{"role": "user", "content": "x"}]))
        await backend.close()
    assert caught.value.reason == reason
    assert caught.value.retryable == (reason in ("rate_limited", "server_error"))
    assert ("omit=" in str(caught.value)) == (reason == "unsupported")
    # The engine retries and counts; a client that retries by itself would spend unseen.
    assert server.n_calls == 1


@all_services
@pytest.mark.parametrize(
    "fault", ["reset", "half", "bad_json", "wrong_schema", "drip", "503", "429"]
)
async def test_broken_exchanges_are_retryable_errors(service: Service, fault: str) -> None:
    def handle(call: Call) -> Reply:
        reply = service.write(Say("fine"))
        reply.fault = fault
        return reply

    with LoopbackServer(handle, drip_s=3.0) as server:
        backend = service.make(server.url, timeout_s=1.0)
        with pytest.raises(BackendError) as caught:
            await backend.generate(Request([{"role": "user", "content": "x"}]))
        await backend.close()
    assert caught.value.retryable, str(caught.value)
    assert caught.value.reason not in ("backend_error", "")


@all_services
async def test_a_server_that_is_not_there_is_a_retryable_error(service: Service) -> None:
    backend = service.make("http://127.0.0.1:9")
    with pytest.raises(BackendError) as caught:
        await backend.generate(Request([{"role": "user", "content": "x"}]))
    await backend.close()
    assert caught.value.retryable
    assert caught.value.reason in ("unreachable", "connection")


@all_services
async def test_what_it_cannot_do_it_refuses_before_sending(service: Service) -> None:
    with LoopbackServer(lambda call: service.write(Say("fine"))) as server:
        backend = service.make(server.url)
        settings = {
            "n": Sampling(n=2),
            "seed": Sampling(seed=1),
            "logprobs": Sampling(logprobs=2),
            "json_schema": Sampling(json_schema={"type": "object"}),
        }
        for feature, sampling in settings.items():
            if feature in backend.features:
                continue
            with pytest.raises(BackendError, match=feature) as caught:
                await backend.generate(Request([{"role": "user", "content": "x"}], sampling))
            assert caught.value.reason == "unsupported"
        await backend.close()
    assert server.n_calls == 0
