"""Anthropic's models through its own client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from codefavor.backends.base import (
    BaseBackend,
    Feature,
    Request,
    Response,
    Usage,
    cut_at_stop,
    endpoint_of,
    with_hint,
)
from codefavor.backends.http import error_of
from codefavor.errors import BackendError, ConfigError, MissingPackageError
from codefavor.records import Row

ANTHROPIC_URL = "https://api.anthropic.com"
_STOP_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "filtered",
}


class AnthropicBackend(BaseBackend):
    """A model of Anthropic; the key is `api_key` or ANTHROPIC_API_KEY.

    `omit` names parameters that a model refuses, such as temperature.
    """

    name: ClassVar[str] = "anthropic"
    features: frozenset[Feature] = frozenset({"json_schema", "stop", "system"})

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        omit: Sequence[str] = (),
        timeout_s: float = 600.0,
    ) -> None:
        super().__init__(model)
        try:
            import anthropic
        except ImportError as error:
            raise MissingPackageError(
                "anthropic", "anthropic", "the backend 'anthropic'"
            ) from error
        key = api_key or os.environ.get("ANTHROPIC_API_KEY")
        if not key:
            raise ConfigError("the backend 'anthropic' needs a key: set ANTHROPIC_API_KEY")
        self._anthropic = anthropic
        self._omit = tuple(omit)
        # Where the client goes by itself.
        url = base_url or os.environ.get("ANTHROPIC_BASE_URL") or ANTHROPIC_URL
        self._endpoint = endpoint_of(url)
        # It tries once: retrying is the engine's business, which counts it.
        self._make_client: Callable[[], Any] = lambda: anthropic.AsyncAnthropic(
            api_key=key, base_url=base_url, max_retries=0, timeout=timeout_s
        )
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def identity(self) -> Row:
        """Backend, model, endpoint, and the parameters left out."""
        row = {**super().identity, "endpoint": self._endpoint}
        return row | ({"omit": sorted(self._omit)} if self._omit else {})

    async def generate(self, request: Request) -> Response:
        """The model's answer. Raises BackendError."""
        self.check(request)
        client = self._client_here()
        try:
            result = await client.messages.create(**self._payload(request))
            return _response_of(result, request)
        except self._anthropic.APIStatusError as error:
            reply = error.response
            refused = error_of(reply.status_code, reply.headers, reply.content, str(reply.url))
            raise with_hint(refused, request) from error
        except self._anthropic.APITimeoutError as error:
            raise BackendError(
                "anthropic: no whole answer in time", retryable=True, reason="timeout"
            ) from error
        except self._anthropic.APIConnectionError as error:
            raise BackendError(
                f"anthropic: {error} ({error.__cause__})", retryable=True, reason="connection"
            ) from error
        except (self._anthropic.AnthropicError, ValueError, AttributeError, TypeError) as error:
            raise BackendError(
                f"anthropic: the answer cannot be read ({type(error).__name__}: {error})",
                retryable=True,
                reason="bad_schema",
            ) from error

    async def release(self) -> None:
        """Close the connections."""
        if self._client is not None and self._loop is asyncio.get_running_loop():
            await self._client.close()
        self._client = None

    def _client_here(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._make_client(), loop
        return self._client

    def _payload(self, request: Request) -> Row:
        sampling = request.sampling
        payload: Row = {
            "model": self.model,
            "max_tokens": sampling.max_tokens,
            "messages": [dict(m) for m in request.messages if m["role"] != "system"],
        }
        # Some versions of the client know these as arguments and some do not; the service does.
        extra: Row = {"temperature": sampling.temperature}
        system = next((m["content"] for m in request.messages if m["role"] == "system"), "")
        if system:
            payload["system"] = system
        if sampling.top_p < 1:
            extra["top_p"] = sampling.top_p
        if sampling.json_schema is not None:
            form = {"type": "json_schema", "schema": dict(sampling.json_schema)}
            extra["output_config"] = {"format": form}
        if request.stop:
            payload["stop_sequences"] = list(request.stop)
        for name in self._omit:
            payload.pop(name, None)
            extra.pop(name, None)
        return {**payload, "extra_body": extra} if extra else payload


def _response_of(result: Any, request: Request) -> Response:
    text = "".join(block.text for block in result.content if block.type == "text")
    thinking = "".join(block.thinking for block in result.content if block.type == "thinking")
    counted = result.usage
    cached = counted.cache_read_input_tokens or 0
    # Anthropic counts cached input apart from the rest.
    written = counted.cache_creation_input_tokens or 0
    usage = Usage(counted.input_tokens + cached + written, counted.output_tokens, cached)
    word = result.stop_reason or "end_turn"
    text, was_cut = cut_at_stop(text, request.stop)
    finish = "stop" if was_cut else _STOP_REASONS.get(word, f"other:{word}")
    return Response(text, finish, usage, reasoning=thinking)
