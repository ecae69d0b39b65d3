"""Google's Gemini through the google-genai client."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from typing import Any, ClassVar

from codefavor.backends.base import (
    BaseBackend,
    Feature,
    Request,
    Response,
    TokenLogprob,
    Usage,
    cut_at_stop,
    endpoint_of,
)
from codefavor.errors import BackendError, ConfigError, MissingPackageError

GEMINI_URL = "https://generativelanguage.googleapis.com"
_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "FINISH_REASON_UNSPECIFIED": "stop"}
_FILTERED = frozenset(
    {"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY"}
)
_REASONS = {400: "bad_request", 401: "auth", 403: "auth", 404: "unknown_model"}
# What the client may use underneath; it lets their errors through.
_HTTP_LIBRARIES = frozenset({"aiohttp", "httpx", "httpx2", "httpcore", "httpcore2"})
_DELAY = re.compile(r"['\"]retryDelay['\"]: ['\"]([\d.]+)s['\"]")


class GeminiBackend(BaseBackend):
    """A Gemini model; the key is `api_key`, GEMINI_API_KEY or GOOGLE_API_KEY.

    An answer that the safety policy withholds is an answer with the finish reason "filtered".
    `safety` is the threshold for all categories (say, BLOCK_NONE), None the service's default.
    """

    name: ClassVar[str] = "gemini"
    features: frozenset[Feature] = frozenset(
        {"n", "seed", "logprobs", "json_schema", "stop", "system"}
    )

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        safety: str | None = None,
        timeout_s: float = 600.0,
    ) -> None:
        super().__init__(model)
        try:
            from google import genai
            from google.genai import errors, types
        except ImportError as error:
            raise MissingPackageError("google-genai", "gemini", "the backend 'gemini'") from error
        key = api_key or os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY")
        if not key:
            raise ConfigError("the backend 'gemini' needs a key: set GEMINI_API_KEY")
        self._types: Any = types
        self._errors = errors
        self._safety = safety
        # Where the client goes by itself.
        url = base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL") or GEMINI_URL
        self._endpoint = endpoint_of(url)
        self._make_client: Callable[[], Any] = lambda: genai.Client(
            api_key=key,
            http_options=types.HttpOptions(base_url=base_url, timeout=int(timeout_s * 1000)),
        )
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """Backend, model, endpoint, and the safety threshold."""
        row = {**super().identity, "endpoint": self._endpoint}
        return row | ({"safety": self._safety} if self._safety else {})

    async def generate(self, request: Request) -> Response:
        """The model's answer. Raises BackendError."""
        self.check(request)
        contents, config = self._arguments(request)
        try:
            result = await self._client_here().aio.models.generate_content(
                model=self.model, contents=contents, config=config
            )
        except self._errors.APIError as error:
            raise _error_of(error) from error
        except ValueError as error:
            # The client could not read the body (pydantic's and JSON's errors are ValueErrors).
            raise BackendError(
                f"gemini: the answer cannot be read: {error}", retryable=True, reason="bad_schema"
            ) from error
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise BackendError(
                "gemini: no whole answer in time", retryable=True, reason="timeout"
            ) from error
        except Exception as error:
            # The client lets its HTTP library's errors through, and which one that is depends
            # on what is installed; both libraries are told apart by their own module's name.
            if type(error).__module__.split(".")[0] not in _HTTP_LIBRARIES:
                raise
            raise BackendError(
                f"gemini: {type(error).__name__}: {error}", retryable=True, reason="connection"
            ) from error
        return _response_of(result, request)

    async def release(self) -> None:
        """Close the connections."""
        if self._client is not None and self._loop is asyncio.get_running_loop():
            await self._client.aio.aclose()
        self._client = None

    def _client_here(self) -> Any:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._make_client(), loop
        return self._client

    def _arguments(self, request: Request) -> tuple[list[Any], Any]:
        types, sampling = self._types, request.sampling
        roles = {"user": "user", "assistant": "model"}
        contents = [
            types.Content(role=roles[m["role"]], parts=[types.Part(text=m["content"])])
            for m in request.messages
            if m["role"] != "system"
        ]
        system = next((m["content"] for m in request.messages if m["role"] == "system"), "")
        config = types.GenerateContentConfig(
            system_instruction=system or None,
            temperature=sampling.temperature,
            top_p=sampling.top_p if sampling.top_p < 1 else None,
            max_output_tokens=sampling.max_tokens,
            candidate_count=sampling.n if sampling.n > 1 else None,
            seed=sampling.seed,
            stop_sequences=list(request.stop) or None,
            response_logprobs=True if sampling.logprobs is not None else None,
            logprobs=sampling.logprobs or None,
            response_mime_type="application/json" if sampling.json_schema is not None else None,
            response_json_schema=sampling.json_schema,
            safety_settings=self._safety_settings(),
        )
        return contents, config

    def _safety_settings(self) -> list[Any] | None:
        if self._safety is None:
            return None
        kinds = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
        return [
            self._types.SafetySetting(category=f"HARM_CATEGORY_{kind}", threshold=self._safety)
            for kind in kinds
        ]


# What may pass; a gateway's errors (502, 504) leave open whether the model answered.
_PASSING = {500: "server_error", 502: "bad_gateway", 503: "overloaded", 504: "timeout"}


def _error_of(error: Any) -> BackendError:
    message, code = str(error), int(error.code or 0)
    delay = _DELAY.search(message)
    if code == 429:
        reason, retryable = "rate_limited", True
    elif code in _PASSING:
        reason, retryable = _PASSING[code], True
    else:
        reason, retryable = _REASONS.get(code, "bad_request"), False
        if "API_KEY_INVALID" in message or "API key not valid" in message:
            reason = "auth"
        elif "token count" in message and "exceeds" in message:
            reason = "context_too_long"
    return BackendError(
        f"gemini: HTTP {code}: {message[:500]}",
        retryable=retryable,
        retry_after_s=float(delay[1]) if retryable and delay else None,
        reason=reason,
    )


def _response_of(result: Any, request: Request) -> Response:
    counted = result.usage_metadata
    usage = Usage()
    if counted is not None:
        thought = counted.thoughts_token_count or 0
        usage = Usage(
            counted.prompt_token_count or 0,
            (counted.candidates_token_count or 0) + thought,
            counted.cached_content_token_count or 0,
        )
    candidates = result.candidates or []
    if not candidates:
        if result.prompt_feedback is None:
            raise BackendError(
                "gemini: neither an answer nor a reason for none",
                retryable=True,
                reason="bad_schema",
            )
        return Response("", "filtered", usage)
    samples = [_sample_of(candidate, request) for candidate in candidates]
    first = samples[0]
    return Response(
        first.text,
        first.finish_reason,
        usage,
        first.logprobs,
        first.reasoning,
        tuple(samples) if len(samples) > 1 else (),
    )


def _sample_of(candidate: Any, request: Request) -> Response:
    parts = (candidate.content.parts if candidate.content else None) or []
    text = "".join(part.text or "" for part in parts if not part.thought)
    reasoning = "".join(part.text or "" for part in parts if part.thought)
    word = getattr(candidate.finish_reason, "value", candidate.finish_reason) or "STOP"
    finish = "filtered" if word in _FILTERED else _FINISH.get(word, f"other:{word}")
    text, was_cut = cut_at_stop(text, request.stop)
    return Response(
        text, "stop" if was_cut else finish, logprobs=_logprobs_of(candidate), reasoning=reasoning
    )


def _logprobs_of(candidate: Any) -> tuple[TokenLogprob, ...] | None:
    found = candidate.logprobs_result
    if found is None or not found.chosen_candidates:
        return None
    tops = found.top_candidates or [None] * len(found.chosen_candidates)
    return tuple(
        TokenLogprob(
            chosen.token,
            chosen.log_probability,
            {c.token: c.log_probability for c in (top.candidates or [])} if top else {},
        )
        for chosen, top in zip(found.chosen_candidates, tops, strict=False)
    )
