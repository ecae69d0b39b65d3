"""What tells one server from another in cache keys and manifests, and keeps secrets out of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codefavor.backends import make_backend
from codefavor.backends.base import endpoint_of
from codefavor.backends.weights import weights_sha256
from codefavor.engine import Context, ResponseCache
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

PASSWORD, KEY = "hunter2", "sk-1234567890"


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:8000/v1/", "http://127.0.0.1:8000/v1"),
        (f"https://me:{PASSWORD}@Gateway.example/v1", "https://gateway.example/v1"),
        (f"https://h.example/v1?api_key={KEY}", "https://h.example/v1"),
        (f"https://h.example/v1?sig={KEY}&accessToken={KEY}", "https://h.example/v1"),
    ],
    ids=["plain", "password", "key in the query", "signature"],
)
def test_an_endpoint_is_the_address_without_its_secrets(url: str, endpoint: str) -> None:
    assert endpoint_of(url) == endpoint


def test_other_parameters_tell_servers_apart_without_being_shown() -> None:
    one, other = (endpoint_of(f"https://h.example/v1?deployment={name}") for name in ("a1", "a2"))
    assert one != other
    assert "a1" not in one


@pytest.mark.parametrize("kind", ["openai", "vllm", "anthropic", "gemini", "bedrock"])
def test_every_served_backend_names_its_endpoint_and_no_key(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip({"gemini": "google.genai", "bedrock": "boto3"}.get(kind, "json"))
    if kind == "anthropic":
        pytest.importorskip("anthropic")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    url_name = {"bedrock": "endpoint_url"}.get(kind, "base_url")
    options = {} if kind in ("bedrock", "vllm") else {"api_key": KEY}
    seen = []
    for port in (8001, 8002):
        address = {url_name: f"http://127.0.0.1:{port}/v1"}
        seen.append(make_backend(f"{kind}:m", **address, **options).identity)
    assert seen[0]["endpoint"] == "http://127.0.0.1:8001/v1"
    assert seen[0] != seen[1]
    assert KEY not in json.dumps(seen)


def test_services_have_an_endpoint_without_being_told_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert make_backend("openai:m", api_key=KEY).identity["endpoint"] == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere:1/v1")
    assert make_backend("openai:m").identity["endpoint"] == "http://elsewhere:1/v1"


def test_weights_are_their_content_and_not_their_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "optimizer.pt").write_bytes(name.encode())
    assert weights_sha256(tmp_path / "one") == weights_sha256(tmp_path / "two")
    (tmp_path / "two" / "model.safetensors").write_bytes(b"weightS")
    assert weights_sha256(tmp_path / "one") != weights_sha256(tmp_path / "two")


def test_an_adapter_in_vllms_arguments_counts_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "adapter.safetensors").write_bytes(b"1")
    arguments = ["--lora-modules", f"mine={tmp_path}"]
    first = make_backend("vllm:org/model", arguments=arguments).identity
    (tmp_path / "adapter.safetensors").write_bytes(b"2")
    second = make_backend("vllm:org/model", arguments=arguments).identity
    assert (first["model"], first["arguments"]) == ("org/model", arguments)
    assert first != second


def with_headers(**headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_backend("openai:m", base_url="http://h:1/v1", api_key=KEY, headers=named).identity


def test_headers_that_may_change_the_answer_tell_servers_apart_without_being_kept() -> None:
    plain, one, other = with_headers(), with_headers(X_Tenant="acme"), with_headers(X_Tenant="abc")
    assert plain != one != other
    assert one == with_headers(x_tenant="acme")
    assert one != with_headers(X_Route="acme")
    assert "acme" not in json.dumps(one) and "x-tenant" in one["headers"]


@pytest.mark.parametrize("name", ["Authorization", "api_key", "X_Access_Token", "Cookie", "X_Pass"])
def test_a_renewed_key_is_no_other_server(name: str) -> None:
    assert with_headers(**{name: KEY}) == with_headers(**{name: "sk-another-1"}) == with_headers()


async def test_two_tenants_of_one_gateway_share_no_responses(tmp_path: Path) -> None:
    def handle(call: Call) -> Reply:
        return openai_reply(call, call.headers["x-tenant"])

    store = ResponseCache(tmp_path / "answers")
    message = {"role": "user", "content": "who are you?"}
    with LoopbackServer(handle) as server:
        for tenant in ("one", "two", "one"):
            backend = make_backend(
                "openai:m", base_url=f"{server.url}/v1", api_key=KEY, headers={"X-Tenant": tenant}
            )
            assert (await Context(backend, cache=store).ask([message])).text == tenant
            await backend.close()
    assert server.n_calls == 2
    store.close()
