"""Requests, responses and the registry: refusals with names instead of guesses."""

from __future__ import annotations

import asyncio

import pytest

from codefavor.backends import (
    BACKENDS,
    Backend,
    FakeBackend,
    Request,
    Response,
    Sampling,
    TokenLogprob,
    Usage,
    make_backend,
)
from codefavor.backends.microbatch import MicroBatcher
from codefavor.backends.replies import cut_at_stop
from codefavor.errors import BackendError, ConfigError

USER = {"role": "user", "content": "hi"}


def test_an_unknown_backend_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=f"'opnai'.*known: {', '.join(sorted(BACKENDS))}"):
        make_backend("opnai:gpt-4o")


def test_a_model_id_with_dots_and_colons_reaches_its_backend_as_it_is() -> None:
    backend = make_backend("openai:us.meta/llama-3.1:8b", base_url="http://127.0.0.1:9")
    assert (backend.name, backend.model) == ("openai", "us.meta/llama-3.1:8b")


def test_an_unknown_option_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no option 'bse_url'; known: base_url"):
        make_backend("openai:x", bse_url="http://127.0.0.1:9")


def test_a_missing_model_id_is_named() -> None:
    with pytest.raises(ConfigError, match="needs a model: write openai:<model id>"):
        make_backend("openai")


def test_a_missing_key_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        make_backend("openai:gpt-4o")


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([], "at least one"),
        ([{"role": "model", "content": "x"}], "message 0 must be"),
        ([USER, {"role": "system", "content": "x"}], "message 1: only the first"),
        ([{"role": "user", "content": None}], "message 0 must be"),
    ],
    ids=["none", "role", "system", "content"],
)
def test_malformed_messages_are_refused(messages: list[dict[str, str]], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Request(messages)


@pytest.mark.parametrize(
    ("feature", "request_"),
    [
        ("n", Request([USER], Sampling(n=2))),
        ("seed", Request([USER], Sampling(seed=1))),
        ("logprobs", Request([USER], Sampling(logprobs=0))),
        ("json_schema", Request([USER], Sampling(json_schema={}))),
        ("stop", Request([USER], stop=("x",))),
        ("system", Request([{"role": "system", "content": "x"}, USER])),
        ("prefill", Request([USER, {"role": "assistant", "content": "x"}])),
    ],
)
def test_what_a_backend_cannot_do_it_refuses_by_name(feature: str, request_: Request) -> None:
    class Bare(Backend):
        name = "bare"

    with pytest.raises(BackendError, match=f"'bare' cannot honour '{feature}'") as caught:
        Bare("m").check(request_)
    assert caught.value.reason == "unsupported"
    assert not caught.value.retryable


def test_a_response_survives_its_plain_form() -> None:
    one = Response(
        "a", "length", Usage(1, 2, 3), (TokenLogprob("a", -0.5, {"a": -0.5, "b": -1.0}),), "hm"
    )
    many = Response("a", "stop", Usage(4, 5), samples=(one, Response("b")))
    assert Response.from_row(many.to_row()) == many


@pytest.mark.parametrize(
    ("text", "stop", "cut"),
    [
        ("UNKNOWN [NO] x", ["[NO]"], ("UNKNOWN ", True)),
        ("a\nb END", ["END", "\n"], ("a", True)),
        ("nothing", ["X"], ("nothing", False)),
        ("keep", [""], ("keep", False)),
    ],
)
def test_text_ends_before_the_earliest_stop_string(
    text: str, stop: list[str], cut: tuple[str, bool]
) -> None:
    assert cut_at_stop(text, stop) == cut


async def test_a_fake_function_plays_servers() -> None:
    backend = make_backend("fake:echo")
    response = await backend.generate(Request([USER], Sampling(n=3)))
    assert [answer.text for answer in response.answers()] == ["hi"] * 3
    named = make_backend("fake:tests.backends.test_base:shout")
    assert (await named.generate(Request([USER]))).text == "HI"
    with pytest.raises(ConfigError, match="no such function"):
        make_backend("fake:tests.nowhere:x")


def shout(request: Request) -> str:
    return request.messages[-1]["content"].upper()


async def test_concurrent_submits_share_batches_and_get_their_own_results() -> None:
    sizes = []

    def double(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return [2 * item for item in items]

    batcher: MicroBatcher[int, int] = MicroBatcher(double, max_items=8, max_wait_s=0.05)
    results = await asyncio.gather(*(batcher.submit(i) for i in range(20)))
    assert results == [2 * i for i in range(20)]
    assert sizes == [8, 8, 4]
    await batcher.close()
    assert await batcher.submit(4) == 8  # it starts again
    await batcher.close()


async def test_a_failing_batch_reaches_its_items_and_not_the_next_batch() -> None:
    def fail_on_negative(items: list[int]) -> list[int]:
        if min(items) < 0:
            raise ValueError("negative")
        return items

    batcher: MicroBatcher[int, int] = MicroBatcher(fail_on_negative, max_items=2, max_wait_s=0.01)
    results = await asyncio.gather(*map(batcher.submit, (1, -1, 3, 4)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError, ValueError, int, int]
    await batcher.close()


async def test_a_fake_backend_can_fail_like_a_server() -> None:
    def busy(request: Request) -> str:
        raise BackendError("busy", retryable=True, reason="overloaded")

    with pytest.raises(BackendError, match="busy"):
        await FakeBackend(function=busy).generate(Request([USER]))
