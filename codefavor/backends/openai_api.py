"""Any server that speaks OpenAI's HTTP interface: OpenAI, vLLM, DeepSeek, llama.cpp, Azure."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from codefavor.backends.base import (
    BaseBackend,
    Feature,
    Request,
    Response,
    endpoint_of,
    with_hint,
)
from codefavor.backends.http import HttpClient
from codefavor.backends.openai_wire import (
    Mode,
    SchemaForm,
    TokenParameter,
    payload_of,
    response_of,
)
from codefavor.errors import BackendError, ConfigError
from codefavor.records import Row

OPENAI_URL = "https://api.openai.com/v1"
_AUTH_HEADERS = frozenset({"authorization", "api-key"})


class OpenAIBackend(BaseBackend):
    """Chat or plain completions over HTTP.

    Without `base_url` and `api_key` it reads OPENAI_BASE_URL and OPENAI_API_KEY; a server other
    than OpenAI's own may do without a key. `headers` are added to each request (Azure:
    {"api-key": ...}; one that authenticates takes the place of the environment's key).
    `mode` "completion" sends the one user message as a bare prompt.
    Reasoning models of OpenAI take `token_parameter` "max_completion_tokens"; a server that
    says so itself is believed. `schema_form` "json_object" sends a JSON schema the older way,
    which llama-cpp-python's server still takes. `omit` names parameters the server refuses, such as
    temperature; `extra` adds fields of its own to each request; `features` says what the
    server can do where that differs from OpenAI's (a server without `n` is then asked n times).
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
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        mode: Mode = "chat",
        token_parameter: TokenParameter = "max_tokens",
        schema_form: SchemaForm = "json_schema",
        omit: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        timeout_s: float = 600.0,
        features: Iterable[Feature] | None = None,
        endpoint: str = "",
    ) -> None:
        super().__init__(model)
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
        if mode not in ("chat", "completion"):
            raise ConfigError(f"mode must be chat or completion; found {mode!r}")
        if schema_form not in ("json_schema", "json_object"):
            raise ConfigError(
                f"schema_form must be json_schema or json_object; found {schema_form!r}"
            )
        self._mode: Mode = mode
        self._schema_form: SchemaForm = schema_form
        self._token_parameter: TokenParameter = token_parameter
        self._omit = tuple(omit)
        self._extra = dict(extra or {})
        self._endpoint = endpoint or endpoint_of(url)
        auth = {"Authorization": f"Bearer {key}"} if key else {}
        self.client = HttpClient(url, {**auth, **(headers or {})}, timeout_s=timeout_s)

    @property
    def identity(self) -> Row:
        """Two servers may call different weights by one name, so the address is part of it."""
        row: Row = {"backend": self.name, "model": self.model, "endpoint": self._endpoint}
        if self._mode != "chat":
            row["mode"] = self._mode
        if self._schema_form != "json_schema":
            row["schema_form"] = self._schema_form
        if self._omit:
            row["omit"] = sorted(self._omit)
        if self._extra:
            row["extra"] = self._extra
        return row

    def payload(self, request: Request, extra: Mapping[str, Any] | None = None) -> Row:
        """The JSON body for a request, as `generate` and batch files send it."""
        self.check(request)
        return payload_of(
            self.model,
            request,
            mode=self._mode,
            token_parameter=self._token_parameter,
            schema_form=self._schema_form,
            omit=self._omit,
            extra={**self._extra, **(extra or {})},
        )

    @property
    def path(self) -> str:
        """Where requests go, below the base URL."""
        return "/chat/completions" if self._mode == "chat" else "/completions"

    async def generate(
        self, request: Request, *, extra: Mapping[str, Any] | None = None
    ) -> Response:
        """The server's answer; `extra` fields go with this request only. Raises BackendError."""
        parameter = self._token_parameter
        try:
            reply = await self.client.post(self.path, self.payload(request, extra))
        except BackendError as error:
            if error.reason == "filtered":
                return Response("", "filtered")
            if not _asks_for_newer_name(error, parameter):
                raise with_hint(error, request) from error
            self._token_parameter = "max_completion_tokens"
            reply = await self.client.post(self.path, self.payload(request, extra))
        response = response_of(reply.body, request)
        if reply.hold_s:
            return dataclasses.replace(response, hold_s=reply.hold_s)
        return response

    async def release(self) -> None:
        """Close the connections."""
        await self.client.close()


def _asks_for_newer_name(error: BackendError, parameter: TokenParameter) -> bool:
    """Whether the server itself asks for `max_completion_tokens` instead of `max_tokens`."""
    is_named = "max_completion_tokens" in str(error) and "max_tokens" in str(error)
    is_refusal = error.reason in ("unsupported", "bad_request")
    return is_named and is_refusal and parameter == "max_tokens"
