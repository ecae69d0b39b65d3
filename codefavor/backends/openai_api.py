"""Any server that speaks OpenAI's HTTP interface: OpenAI, vLLM, DeepSeek, llama.cpp, Azure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from codefavor.backends.base import (
    LIMIT_NAMES,
    Feature,
    Mode,
    Request,
    Response,
    Text,
    TokenLogprob,
    bare_prompt,
)
from codefavor.backends.connection import DEFAULT_CONNECTION, Connection
from codefavor.backends.http import headers_identity
from codefavor.backends.replies import (
    counted_usage,
    ended,
    logprobs_in,
    object_in,
    reads,
    text_in,
)
from codefavor.backends.service import ServiceBackend
from codefavor.errors import BackendError, ConfigError
from codefavor.records import Row

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
OPENAI_URL = "https://api.openai.com/v1"
# Fields that say what the engine counts, caches and states; other words for them would not be true.
_SAID_BY = {
    **dict.fromkeys(LIMIT_NAMES, "--max-tokens"),
    **dict.fromkeys(("n", "best_of"), "the number of samples (--samples, --n)"),
    **dict.fromkeys(("messages", "prompt", "stop"), "the prompt of each command"),
    "model": "--model openai:NAME",
    "seed": "--seed",
    "temperature": "--temperature, or left out by --set 'omit=[\"temperature\"]'",
    "top_p": "--top-p, or left out by --set 'omit=[\"top_p\"]'",
}
_AUTH_HEADERS = frozenset({"authorization", "api-key"})


@reads("an OpenAI completion")
def response_of(body: Mapping[str, Any], request: Request) -> Response:
    """The response in a server's JSON."""
    choices = body["choices"]
    if all(type(choice.get("index")) is int for choice in choices):
        choices = sorted(choices, key=lambda choice: choice["index"])
    samples = [_sample_of(choice, request) for choice in choices]
    if samples and len(samples) != request.sampling.n:
        raise BackendError(
            f"asked for {request.sampling.n} answers, received {len(samples)}; this server does "
            'not honour n: name what it can do, such as --set \'features=["stop", "system"]\', and '
            "it is asked so many times instead",
            reason="unsupported",
            may_be_paid=True,
        )
    counts = object_in(body, "usage")
    cached = object_in(counts, "prompt_tokens_details").get("cached_tokens")
    usage = counted_usage(counts, ["prompt_tokens"], ["completion_tokens"], cached)
    return Response.of(samples, usage)


class OpenAIBackend(ServiceBackend):
    """Chat or plain completions over HTTP.

    Without `base_url` and `api_key` it reads OPENAI_BASE_URL and OPENAI_API_KEY; a server other
    than OpenAI's own may do without a key. `headers` are added to each request (Azure:
    {"api-key": ...}; one that authenticates takes the place of the environment's key). Those that
    carry no secret tell cached responses apart.
    `mode` "completion" sends the one user message as a bare prompt.
    Reasoning models of OpenAI take `token_parameter` "max_completion_tokens"; a server that
    says so itself is believed. `schema_form` "json_object" sends a JSON schema the older way,
    which llama-cpp-python's server still takes. `omit` names parameters the server refuses, such as
    temperature; `extra` adds fields to each request, but none that an option of ours says
    (ConfigError); `features` says what the
    server can do where that differs from OpenAI's (a server without `n` is then asked n times;
    "prefill" is continued in vLLM's way).
    With `trust_env` the proxy that the environment names is used.
    `endpoint` stands for the address in cache keys and manifests, for a server that moves to
    another node or port: the address it had, or a name of your own (a checkpoint's).
    """

    name: ClassVar[str] = "openai"
    features: frozenset[Feature] = frozenset(
        {"n", "seed", "logprobs", "json_schema", "stop", "system"}
    )

    def __init__(
        self,
        model: str,
        *,
        base_url: Text | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        mode: Mode = "chat",
        token_parameter: TokenParameter = "max_tokens",
        schema_form: SchemaForm = "json_schema",
        omit: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        features: Sequence[Feature] | None = None,
        connection: Connection = DEFAULT_CONNECTION,
        trust_env: bool = True,
        endpoint: Text | None = None,
    ) -> None:
        for field in sorted(_SAID_BY.keys() & (extra or {}).keys()):
            raise ConfigError(
                f"the backend {self.name!r}: option 'extra': {field!r} is said by {_SAID_BY[field]}"
            )
        if features is not None:
            self.features = frozenset(features)
        url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        key = api_key
        if key is None and not _AUTH_HEADERS & {name.lower() for name in headers or {}}:
            key = os.environ.get("OPENAI_API_KEY") or None
        if key is None and url.startswith("https://api.openai.com") and not headers:
            raise ConfigError(
                "the backend 'openai' needs a key: set OPENAI_API_KEY (or, for a server of "
                "your own, OPENAI_BASE_URL or --set base_url=http://...)"
            )
        self.path = "/chat/completions" if mode == "chat" else "/completions"
        self._mode: Mode = mode
        self._schema_form: SchemaForm = schema_form
        self._token_parameter: TokenParameter = token_parameter
        self._extra = dict(extra or {})
        self._told = headers_identity(headers or {})
        super().__init__(
            model,
            url,
            {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})},
            response_of,
            omit=omit,
            connection=connection,
            trust_env=trust_env,
            endpoint=endpoint,
        )

    @property
    def identity(self) -> Row:
        """Two servers may call different weights by one name, so the address is part of it."""
        row = super().identity
        if self._mode != "chat":
            row["mode"] = self._mode
        if self._schema_form != "json_schema":
            row["schema_form"] = self._schema_form
        if self._extra:
            row["extra"] = self._extra
        if self._told:
            row["headers"] = self._told
        return row

    def payload(self, request: Request) -> Row:
        """The JSON body for a request, as `generate` and batch files send it."""
        self.check(request)
        sampling = request.sampling
        payload: Row = {"model": self.model}
        if self._mode == "chat":
            payload["messages"] = [dict(message) for message in request.messages]
            payload[self._token_parameter] = sampling.max_tokens
        else:
            payload["prompt"] = bare_prompt(request)
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
            payload.update(_logprob_fields(sampling.logprobs, self._mode))
        if sampling.json_schema is not None:
            payload["response_format"] = _schema_field(sampling.json_schema, self._schema_form)
        if request.messages[-1]["role"] == "assistant":
            # vLLM's own way to say that this is the beginning of the answer.
            payload |= {"continue_final_message": True, "add_generation_prompt": False}
        payload |= self._extra
        for name in self.omit:
            payload.pop(name, None)
        return payload

    async def generate(self, request: Request) -> Response:
        """The server's answer. Raises BackendError."""
        parameter = self._token_parameter
        try:
            return await super().generate(request)
        except BackendError as error:
            if not _asks_for_newer_name(error, parameter):
                raise
            self._token_parameter = "max_completion_tokens"
            return await super().generate(request)


def _asks_for_newer_name(error: BackendError, parameter: TokenParameter) -> bool:
    """Whether the server itself asks for `max_completion_tokens` instead of `max_tokens`."""
    is_named = "max_completion_tokens" in str(error) and "max_tokens" in str(error)
    is_refusal = error.reason in ("unsupported", "bad_request")
    return is_named and is_refusal and parameter == "max_tokens"


def _schema_field(schema: Mapping[str, Any], form: SchemaForm) -> Row:
    if form == "json_object":
        return {"type": "json_object", "schema": schema}
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }


def _logprob_fields(n_top: int, mode: Mode) -> Row:
    if mode == "completion":
        return {"logprobs": max(1, n_top)}
    return {"logprobs": True, **({"top_logprobs": n_top} if n_top else {})}


def _sample_of(choice: Mapping[str, Any], request: Request) -> Response:
    message = choice.get("message")
    text = choice["text"] if message is None else message.get("content")
    refusal, word = text_in(message, "refusal"), choice.get("finish_reason")
    if refusal and not text:
        text, word = refusal, "content_filter"
    if isinstance(text, list):
        # In parts, of which those that are no text (a model's thoughts) are no answer.
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in text]
        text = "".join(part for part in parts if isinstance(part, str))
    if text is not None and not isinstance(text, str):
        raise TypeError(f"content is {type(text).__name__}, expected text")
    text, finish = ended(text or "", word, _FINISH, request.stop)
    return Response(
        text,
        finish,
        logprobs=logprobs_in(_logprobs_of, choice.get("logprobs")),
        reasoning=text_in(message, "reasoning_content") or text_in(message, "reasoning"),
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
