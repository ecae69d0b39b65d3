"""What servers say about waiting and failing, read exactly."""

from __future__ import annotations

import json

import pytest

from codefavor.backends.http import HttpClient, decode_object
from codefavor.backends.http_errors import error_of, parse_duration, pause_of, retry_after_of
from codefavor.errors import BackendError
from codefavor.redaction import hide
from tests.kit.server import LoopbackServer, Reply


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        (
            {
                "retry-after": "Fri, 21 Nov 2025 10:00:30 GMT",
                "date": "Fri, 21 Nov 2025 10:00:00 GMT",
            },
            30.0,
        ),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
    ids=["seconds", "fraction", "ms", "date", "negative", "words", "none"],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(headers) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360.0), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("7", 7.0), ("", 0.0), ("x", 0.0)],
)
def test_durations_of_rate_limit_headers(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


def test_only_an_exhausted_limit_asks_for_a_pause() -> None:
    reset = {"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "5s"}
    assert pause_of({**reset, "x-ratelimit-remaining-requests": "3"}) == 0.0
    assert pause_of({**reset, "x-ratelimit-remaining-tokens": "0"}) == 5.0


def test_answers_with_lone_surrogates_are_still_answers() -> None:
    assert decode_object(b'{"a": "x\\ud83dy"}') == {"a": "x\ufffdy"}


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"a": ', b"\xff\xfe"])
def test_anything_but_json_is_a_retryable_error(content: bytes) -> None:
    with pytest.raises(BackendError) as caught:
        decode_object(content)
    assert (caught.value.reason, caught.value.retryable) == ("bad_json", True)


def test_an_error_page_that_is_not_json_is_quoted() -> None:
    error = error_of(502, {}, b"<h1>Bad gateway</h1>", "http://x")
    assert "Bad gateway" in str(error)
    assert (error.reason, error.retryable) == ("bad_gateway", True)


@pytest.mark.parametrize(
    ("status", "message", "reason", "is_retryable"),
    [
        (429, "You exceeded your current quota: insufficient_quota", "no_credit", False),
        (429, "Your credit balance is too low", "no_credit", False),
        # Words that mean something else at other statuses are no reason to give up at 429.
        (429, "Rate limit reached for the context window of model m", "rate_limited", True),
        (429, "too many input tokens per minute", "rate_limited", True),
        (400, "too many input tokens", "context_too_long", False),
        (402, "pay first", "no_credit", False),
        (503, "billing is down", "overloaded", True),
        (403, "billing must be enabled", "auth", False),
        (408, "the context size took too long", "timeout", True),
        (529, "", "overloaded", True),
        (418, "", "bad_request", False),
    ],
)
def test_what_a_status_means_beside_its_words(
    status: int, message: str, reason: str, is_retryable: bool
) -> None:
    body = json.dumps({"error": {"message": message}}).encode()
    headers = {"retry-after": "7"}
    error = error_of(status, headers, body, "http://x")
    assert (error.reason, error.retryable) == (reason, is_retryable)
    assert error.retry_after_s == (7.0 if is_retryable else None)


NOT_PERMITTED = [{"loc": ["body", "top_k"], "msg": "Extra inputs are not permitted"}]


@pytest.mark.parametrize(
    ("body", "reason", "words"),
    [
        ({"detail": NOT_PERMITTED}, "unsupported", '"loc":["body","top_k"],"msg":"Extra inputs'),
        ({"detail": [{"msg": "extra fields not permitted"}]}, "unsupported", "extra fields not"),
        ({"detail": "This model's maximum context length is 9"}, "context_too_long", "422: This"),
        ({"errors": [{"message": "the prompt is too long"}]}, "context_too_long", "is too long"),
        ({"error_msg": "no such door"}, "bad_request", "422: no such door"),
        ({"error": {"param": "response_format"}}, "bad_request", '{"param":"response_format"}'),
        ({"error": "Bad Request", "message": ["top_k is wrong"]}, "bad_request", "top_k is wrong"),
        ({"error": {"message": "", "code": 7}, "hint": "mmm"}, "bad_request", '"hint":"mmm"'),
        ({"error": {"message": "no", "code": "c", "param": "p"}}, "bad_request", "422: c no"),
        ({"error": "no"}, "bad_request", "422: no"),
        (["no"], "bad_request", '422: ["no"]'),
        ("no", "bad_request", "422: no"),
        # What the request said, repeated, is no reason.
        (
            {"detail": [{"msg": "Field required", "input": {"q": "billing"}}]},
            "bad_request",
            '422: {"detail":[{"msg":"Field required"}]}',
        ),
    ],
)
def test_what_an_error_body_says_is_told_and_read_in_any_shape(
    body: object, reason: str, words: str
) -> None:
    error = error_of(422, {}, json.dumps(body).encode(), "http://x")
    assert (error.reason, words in str(error)) == (reason, True), str(error)


ECHOED = [
    "insufficient_quota", "billing", "Your credit balance is too low", "context_length_exceeded",
    "maximum context length is 9", "the model m does not exist", "blocked by content_filter",
    "extra inputs are not permitted", "RESOURCE_EXHAUSTED", "API key not valid",
]  # fmt: skip


@pytest.mark.parametrize("words", ECHOED)
@pytest.mark.parametrize("status", [400, 429])
def test_what_an_error_repeats_of_the_request_is_no_reason(status: int, words: str) -> None:
    prompt = f"Write a test: {words}"
    request = {"messages": [{"role": "user", "content": prompt, "code": words}], "detail": prompt}
    usual = {400: ("bad_request", False), 429: ("rate_limited", True)}[status]
    for body in (
        {"error": {"message": f"Limit reached for prompt '{prompt}'", "type": "limit"}},
        {"error": {"message": f"Limit reached for prompt 'He said 'no' and {words}'"}},
        {"error": {"message": f"Limit reached for \u201c{prompt}\u201d"}},
        {"error": {"message": f"Failed to parse messages: {prompt}"}},
        {"message": f"[{{'type': 'missing', 'loc': ('body',), 'input': '{words}'}}]", "code": 400},
        {"error": {"message": "Limit reached. " + "mmm " * 50 + prompt}},
        {"error": {"message": f"Limit reached\n{prompt}", "param": words}},
        {"error": "Bad Request", "request": request},
        {"detail": [{"loc": ["body", words], "msg": "Field required", "input": request}]},
        {"error": {"message": "no", "body": request}, "prompt": words, "messages": request},
        {"hint": words},
    ):
        error = error_of(status, {}, json.dumps(body).encode(), "http://x")
        assert (error.reason, error.retryable) == usual, body


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, {"error": {"message": "no", "type": "insufficient_quota"}}, "no_credit"),
        (429, {"error": {"message": "no", "code": "billing_not_active"}}, "no_credit"),
        (429, {"error": {"message": "You exceeded your current quota, please"}}, "no_credit"),
        (429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
                "message": "You exceeded your current quota"}}], "rate_limited"),
        (429, {"error": {"message": "Rate limit reached; see billing"}}, "rate_limited"),
        (400, {"error": {"message": "'max_tokens' is too large: 500. This model's maximum context "
               "length is 400 tokens"}}, "context_too_long"),
        (400, {"error": {"message": 'model "a/b:7b" not found, try pulling'}}, "unknown_model"),
        (400, {"detail": [{"type": "extra_forbidden", "msg": "no"}]}, "unsupported"),
        (400, {"error": {"message": "no", "code": "content_filter"}}, "filtered"),
    ],
)  # fmt: skip
def test_a_reason_is_read_from_codes_and_the_beginning_of_messages(
    status: int, body: object, reason: str
) -> None:
    assert error_of(status, {}, json.dumps(body).encode(), "http://x").reason == reason


def test_of_a_long_error_body_the_beginning_is_told_without_keys() -> None:
    hide("k-0123456789abcdef")
    body = {"detail": [{"msg": "k-0123456789abcdef"}, {"msg": "x" * 10_000}]}
    told = str(error_of(422, {}, json.dumps(body).encode(), "http://x"))
    assert len(told) < 600 and "0123456789" not in told and '{"detail":[{"msg":"' in told


@pytest.mark.parametrize(
    ("status", "may_be_paid"),
    [
        *((status, False) for status in (400, 401, 429, 529)),
        *((status, True) for status in (408, 500, 502, 503, 504, 524)),
    ],
)
def test_a_refusal_is_not_on_the_bill_and_what_a_failing_server_did_may_be(
    status: int, may_be_paid: bool
) -> None:
    assert error_of(status, {}, b"{}", "http://x").may_be_paid is may_be_paid


async def test_a_redirect_is_named_and_not_followed_with_the_key() -> None:
    moved = Reply({}, status=308, headers={"Location": "https://elsewhere.invalid/v1"})
    with LoopbackServer(lambda call: moved) as server:
        client = HttpClient(f"{server.url}/v1", {"Authorization": "Bearer k"})
        with pytest.raises(BackendError, match="elsewhere, to 'https://elsewhere") as caught:
            await client.post("/x", {})
        await client.close()
    assert (caught.value.retryable, server.n_calls) == (False, 1)


async def test_a_proxy_of_the_environment_is_used_and_loopback_goes_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LoopbackServer(lambda call: Reply({"path": call.path})) as server:
        monkeypatch.setenv("http_proxy", server.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        through = HttpClient("http://models.invalid/v1", {})
        assert (await through.get("/x")).body == {"path": "http://models.invalid/v1/x"}
        around = HttpClient(f"{server.url}/v1", {})
        assert (await around.get("/x")).body == {"path": "/v1/x"}
        await through.close()
        await around.close()
