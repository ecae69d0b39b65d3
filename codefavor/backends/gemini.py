"""Google's Gemini through its REST interface."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from codefavor.backends.base import (
    Feature,
    Request,
    Response,
    Text,
    TokenLogprob,
)
from codefavor.backends.connection import DEFAULT_CONNECTION, Connection
from codefavor.backends.replies import (
    counted_usage,
    ended,
    logprobs_in,
    object_in,
    reads,
    text_in,
)
from codefavor.backends.service import ServiceBackend
from codefavor.errors import ConfigError
from codefavor.records import Row

GEMINI_URL = "https://generativelanguage.googleapis.com"
_FILTERED = (
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY",
)  # fmt: skip
_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "FINISH_REASON_UNSPECIFIED": "stop"}
_FINISH |= dict.fromkeys(_FILTERED, "filtered")
_ROLES = {"user": "user", "assistant": "model"}
_HARMS = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
_CONFIG_NAMES = {"top_p": "topP", "max_tokens": "maxOutputTokens", "stop": "stopSequences"}


@reads("an answer of Gemini")
def response_of(body: Mapping[str, Any], request: Request) -> Response:
    """The response in the answer to generateContent."""
    is_withheld = bool(body.get("promptFeedback")) and not body.get("candidates")
    samples = [] if is_withheld else [_sample_of(one, request) for one in body["candidates"]]
    counts = object_in(body, "usageMetadata")
    if not any(sample.text for sample in samples):
        # A count of 0 is left out here.
        counts.setdefault("candidatesTokenCount", 0)
    outputs = ["candidatesTokenCount", "thoughtsTokenCount"]
    cached = counts.get("cachedContentTokenCount")
    usage = counted_usage(counts, ["promptTokenCount"], outputs, cached)
    if is_withheld:
        # Before there was any answer.
        return Response("", "filtered", usage)
    return Response.of(samples, usage)


def _sample_of(candidate: Mapping[str, Any], request: Request) -> Response:
    parts = (candidate.get("content") or {}).get("parts") or []
    text = "".join(part.get("text") or "" for part in parts if not part.get("thought"))
    reasoning = "".join(text_in(part, "text") for part in parts if part.get("thought"))
    text, finish = ended(text, candidate.get("finishReason"), _FINISH, request.stop)
    logprobs = logprobs_in(_logprobs_of, object_in(candidate, "logprobsResult"))
    return Response(text, finish, logprobs=logprobs, reasoning=reasoning)


def _logprobs_of(found: Mapping[str, Any]) -> tuple[TokenLogprob, ...] | None:
    chosen = found.get("chosenCandidates")
    if not chosen:
        return None
    tops = found.get("topCandidates") or [{}] * len(chosen)
    return tuple(
        TokenLogprob(
            one["token"],
            one["logProbability"],
            {top["token"]: top["logProbability"] for top in alternatives.get("candidates") or ()},
        )
        for one, alternatives in zip(chosen, tops, strict=False)
    )


class GeminiBackend(ServiceBackend):
    """A Gemini model; the key is `api_key`, GEMINI_API_KEY or GOOGLE_API_KEY.

    An answer that the safety policy withholds is an answer with the finish reason "filtered".
    `safety` is the threshold for all categories (say, BLOCK_NONE), None the service's default.
    `omit` names parameters that a model refuses, such as temperature.
    """

    name: ClassVar[str] = "gemini"
    features: frozenset[Feature] = frozenset(
        {"n", "seed", "logprobs", "json_schema", "stop", "system"}
    )

    def __init__(
        self,
        model: str,
        *,
        api_key: Text | None = None,
        base_url: Text | None = None,
        safety: Text | None = None,
        omit: Sequence[str] = (),
        connection: Connection = DEFAULT_CONNECTION,
    ) -> None:
        key = api_key or os.environ.get("GEMINI_API_KEY") or os.environ.get("GOOGLE_API_KEY")
        if not key:
            raise ConfigError("the backend 'gemini' needs a key: set GEMINI_API_KEY")
        url = base_url or os.environ.get("GOOGLE_GEMINI_BASE_URL") or GEMINI_URL
        headers = {"x-goog-api-key": key}
        super().__init__(model, url, headers, response_of, omit=omit, connection=connection)
        self._safety = safety
        is_path = model.startswith(("models/", "tunedModels/"))
        where = quote(model if is_path else f"models/{model}", safe="/:")
        self.path = f"/v1/{where}:generateContent"

    @property
    def identity(self) -> Row:
        """Backend, model, what is left out, endpoint, and the safety threshold."""
        return {**super().identity, **({"safety": self._safety} if self._safety else {})}

    def payload(self, request: Request) -> Row:
        """The JSON body of generateContent."""
        self.check(request)
        sampling = request.sampling
        config: Row = {
            "temperature": sampling.temperature,
            "maxOutputTokens": sampling.max_tokens,
            "topP": sampling.top_p if sampling.top_p < 1 else None,
            "candidateCount": sampling.n if sampling.n > 1 else None,
            "seed": sampling.seed,
            "stopSequences": list(request.stop) or None,
            "responseLogprobs": True if sampling.logprobs is not None else None,
            "logprobs": sampling.logprobs or None,
            "responseMimeType": "application/json" if sampling.json_schema is not None else None,
            "responseJsonSchema": sampling.json_schema,
        }
        left_out = {_CONFIG_NAMES.get(name, name) for name in self.omit}
        payload: Row = {
            "contents": [
                {"role": _ROLES[turn["role"]], "parts": [{"text": turn["content"]}]}
                for turn in request.turns
            ],
            "generationConfig": {
                name: value
                for name, value in config.items()
                if value is not None and name not in left_out
            },
        }
        if request.system:
            payload["systemInstruction"] = {"role": "user", "parts": [{"text": request.system}]}
        if self._safety is not None:
            payload["safetySettings"] = [
                {"category": f"HARM_CATEGORY_{harm}", "threshold": self._safety} for harm in _HARMS
            ]
        return payload
