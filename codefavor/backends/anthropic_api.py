"""Anthropic's models through its Messages API."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from codefavor.backends.base import Feature, Request, Response, Text
from codefavor.backends.connection import DEFAULT_CONNECTION, Connection
from codefavor.backends.replies import counted_usage, ended, object_in, reads, text_in
from codefavor.backends.service import ServiceBackend
from codefavor.errors import ConfigError
from codefavor.records import Row

ANTHROPIC_URL = "https://api.anthropic.com"
# As Anthropic's own client of release 2.11.0 has it; a test compares the two.
_API_VERSION = "2026-10-21"
_READ_FROM_CACHE = "cache_read_input_tokens"
_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "filtered",
}


@reads("an Anthropic message")
def response_of(body: Mapping[str, Any], request: Request) -> Response:
    """The response in a message's JSON."""
    blocks, counts = body["content"], object_in(body, "usage")
    text = "".join(block["text"] for block in blocks if text_in(block, "type") == "text")
    thoughts = (block for block in blocks if text_in(block, "type") == "thinking")
    thinking = "".join(text_in(block, "thinking") for block in thoughts)
    # Anthropic counts cached input apart from the rest.
    inputs = ["input_tokens", _READ_FROM_CACHE, "cache_creation_input_tokens"]
    usage = counted_usage(counts, inputs, ["output_tokens"], counts.get(_READ_FROM_CACHE))
    text, finish = ended(text, body.get("stop_reason"), _FINISH, request.stop)
    return Response(text, finish, usage, reasoning=thinking)


class AnthropicBackend(ServiceBackend):
    """A model of Anthropic.

    Key and address are `api_key` and `base_url`, or ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL.
    `omit` names parameters that a model refuses, such as temperature.
    """

    name: ClassVar[str] = "anthropic"
    features: frozenset[Feature] = frozenset({"json_schema", "stop", "system"})
    path = "/v1/messages"

    def __init__(
        self,
        model: str,
        *,
        api_key: Text | None = None,
        base_url: Text | None = None,
        omit: Sequence[str] = (),
        connection: Connection = DEFAULT_CONNECTION,
    ) -> None:
        key = api_key or os.environ.get("ANTHROPIC_API_KEY")
        if not key:
            raise ConfigError("the backend 'anthropic' needs a key: set ANTHROPIC_API_KEY")
        url = base_url or os.environ.get("ANTHROPIC_BASE_URL") or ANTHROPIC_URL
        headers = {"Authorization": f"Bearer {key}", "anthropic-version": _API_VERSION}
        super().__init__(model, url, headers, response_of, omit=omit, connection=connection)

    def payload(self, request: Request) -> Row:
        """The JSON body of a message."""
        self.check(request)
        sampling = request.sampling
        payload: Row = {
            "model": self.model,
            "max_tokens": sampling.max_tokens,
            "messages": [dict(message) for message in request.turns],
            "temperature": sampling.temperature,
        }
        if request.system:
            payload["system"] = request.system
        if sampling.top_p < 1:
            payload["top_p"] = sampling.top_p
        if sampling.json_schema is not None:
            form = {"type": "json_schema", "schema": dict(sampling.json_schema)}
            payload["output_config"] = {"format": form}
        if request.stop:
            payload["stop_sequences"] = list(request.stop)
        return {name: value for name, value in payload.items() if name not in self.omit}
