"""Any server that speaks OpenAI's HTTP interface: OpenAI, vLLM, DeepSeek, llama.cpp, Azure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from codefavor.backends.base import Feature, Request, Response
from codefavor.backends.connection import SYSTEM_CERTIFICATES, Certificates
from codefavor.backends.http import HttpClient
from codefavor.backends.openai_wire import (
    Mode,
    SchemaForm,
    TokenParameter,
    payload_of,
    response_of,
)
from codefavor.backends.service import ServiceBackend
from codefavor.errors import BackendError, ConfigError
from codefavor.records import Row

OPENAI_URL = "https://api.openai.com/v1"
_AUTH_HEADERS = frozenset({"authorization", "api-key"})


class OpenAIBackend(ServiceBackend):
    """Chat or plain completions over HTTP.

    Without `base_url` and `api_key` it reads OPENAI_BASE_URL and OPENAI_API_KEY; a server other
    than OpenAI's own may do without a key. `headers` are added to each request (Azure:
    {"api-key": ...}; one that authenticates takes the place of the environment's key).
    `mode` "completion" sends the one user message as a bare prompt.
    Reasoning models of OpenAI take `token_parameter` "max_completion_tokens"; a server that
    says so itself is believed. `schema_form` "json_object" sends a JSON schema the older way,
    which llama-cpp-python's server still takes. `omit` names parameters the server refuses, such as
    temperature; `extra` adds fields of its own to each request; `features` says what the
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
        certificates: Certificates = SYSTEM_CERTIFICATES,
        trust_env: bool = True,
        endpoint: str = "",
    ) -> None:
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
        self.path = "/chat/completions" if mode == "chat" else "/completions"
        self._mode: Mode = mode
        self._schema_form: SchemaForm = schema_form
        self._token_parameter: TokenParameter = token_parameter
        self._extra = dict(extra or {})
        auth = {"Authorization": f"Bearer {key}"} if key else {}
        client = HttpClient(
            url,
            {**auth, **(headers or {})},
            timeout_s=timeout_s,
            certificates=certificates,
            trust_env=trust_env,
        )
        super().__init__(model, client, response_of, omit, endpoint)

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
        return row

    def payload(self, request: Request) -> Row:
        """The JSON body for a request, as `generate` and batch files send it."""
        self.check(request)
        return payload_of(
            self.model,
            request,
            mode=self._mode,
            token_parameter=self._token_parameter,
            schema_form=self._schema_form,
            omit=self.omit,
            extra=self._extra,
        )

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
