"""OpenAI's chat and completions formats as pure functions: request to JSON, JSON to response."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from codefavor.backends.base import Request, Response, TokenLogprob, Usage, ended, reads
from codefavor.errors import BackendError
from codefavor.records import Row

Mode = Literal["chat", "completion"]
TokenParameter = Literal["max_tokens", "max_completion_tokens"]
SchemaForm = Literal["json_schema", "json_object"]

_FINISH = {
    "stop": "stop",
    "length": "length",
    "content_filter": "filtered",
    "eos": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
}
MAX_STOP_STRINGS = 4


def payload_of(
    model: str,
    request: Request,
    *,
    mode: Mode = "chat",
    token_parameter: TokenParameter = "max_tokens",
    schema_form: SchemaForm = "json_schema",
    omit: Iterable[str] = (),
    extra: Mapping[str, Any] | None = None,
) -> Row:
    """The JSON body of a request. `omit` names parameters that the server does not take."""
    sampling = request.sampling
    payload: Row = {"model": model}
    if mode == "chat":
        payload["messages"] = [dict(message) for message in request.messages]
        payload[token_parameter] = sampling.max_tokens
    else:
        payload["prompt"] = _prompt_of(request)
        payload["max_tokens"] = sampling.max_tokens
    payload["temperature"] = sampling.temperature
    if sampling.top_p < 1:
        payload["top_p"] = sampling.top_p
    if sampling.n > 1:
        payload["n"] = sampling.n
    if sampling.seed is not None:
        payload["seed"] = sampling.seed
    # A server takes four; with more, all of them are applied to the text that comes back.
    if request.stop and len(request.stop) <= MAX_STOP_STRINGS:
        payload["stop"] = list(request.stop)
    if sampling.logprobs is not None:
        payload.update(_logprob_fields(sampling.logprobs, mode))
    if sampling.json_schema is not None:
        payload["response_format"] = _schema_field(sampling.json_schema, schema_form)
    if request.messages[-1]["role"] == "assistant":
        # vLLM's own way to say that this is the beginning of the answer.
        payload |= {"continue_final_message": True, "add_generation_prompt": False}
    payload.update(extra or {})
    for name in omit:
        payload.pop(name, None)
    return payload


def _schema_field(schema: Mapping[str, Any], form: SchemaForm) -> Row:
    if form == "json_object":
        return {"type": "json_object", "schema": schema}
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }


@reads("an OpenAI completion")
def response_of(body: Mapping[str, Any], request: Request) -> Response:
    """The response in a server's JSON."""
    choices = sorted(body["choices"], key=lambda choice: choice.get("index", 0))
    samples = [_sample_of(choice, request) for choice in choices]
    if samples and len(samples) != request.sampling.n:
        raise BackendError(
            f"asked for {request.sampling.n} answers, received {len(samples)}; this server does "
            'not honour n: name what it can do, such as --set \'features=["stop", "system"]\', and '
            "it is asked so many times instead",
            retryable=False,
            reason="unsupported",
            may_be_paid=True,
        )
    counted = body.get("usage") or {}
    details = counted.get("prompt_tokens_details") or {}
    usage = Usage(
        counted.get("prompt_tokens") or 0,
        counted.get("completion_tokens") or 0,
        details.get("cached_tokens") or 0,
    )
    return Response.of(samples, usage)


def _prompt_of(request: Request) -> str:
    if len(request.messages) != 1 or request.messages[0]["role"] != "user":
        raise BackendError(
            "completion mode takes one user message, whose text is the prompt as it is; found "
            f"{[message['role'] for message in request.messages]}",
            retryable=False,
            reason="unsupported",
        )
    return request.messages[0]["content"]


def _logprob_fields(n_top: int, mode: Mode) -> Row:
    if mode == "completion":
        return {"logprobs": max(1, n_top)}
    return {"logprobs": True, **({"top_logprobs": n_top} if n_top else {})}


def _sample_of(choice: Mapping[str, Any], request: Request) -> Response:
    message = choice.get("message")
    text = choice["text"] if message is None else message.get("content")
    source: Mapping[str, Any] = message or {}
    refusal = source.get("refusal")
    word = choice.get("finish_reason")
    if refusal and not text:
        text, word = refusal, "content_filter"
    if text is not None and not isinstance(text, str):
        raise TypeError(f"content is {type(text).__name__}, expected text")
    text, finish = ended(text or "", word, _FINISH, request.stop)
    reasoning = source.get("reasoning_content") or source.get("reasoning") or ""
    logprobs = choice.get("logprobs")
    return Response(
        text,
        finish,
        logprobs=None if logprobs is None else _logprobs_of(logprobs),
        reasoning=reasoning if isinstance(reasoning, str) else "",
    )


def _logprobs_of(logprobs: Mapping[str, Any]) -> tuple[TokenLogprob, ...]:
    content = logprobs.get("content")
    if content is not None:
        return tuple(
            TokenLogprob(
                item["token"],
                item["logprob"],
                {top["token"]: top["logprob"] for top in item.get("top_logprobs") or ()},
            )
            for item in content
        )
    tops = logprobs.get("top_logprobs") or [{}] * len(logprobs["tokens"])
    return tuple(
        TokenLogprob(token, logprob, dict(top or {}))
        for token, logprob, top in zip(
            logprobs["tokens"], logprobs["token_logprobs"], tops, strict=True
        )
    )
