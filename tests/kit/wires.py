"""The wire formats of four model services, as a loopback server plays them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.kit.server import Call, Reply


@dataclass
class Seen:
    """What a request said, in our words."""

    model: str
    system: str
    turns: list[tuple[str, str]]
    max_tokens: int | None
    temperature: float | None
    stop: list[str]
    schema: Any = None


@dataclass
class Say:
    """What the model is to answer, in our words."""

    text: str = "hello"
    finish: str = "stop"
    input_tokens: int = 11
    output_tokens: int = 5
    error: str = ""
    seen: list[Seen] = field(default_factory=list)


def read_openai(call: Call) -> Seen:
    messages = call.body["messages"]
    return Seen(
        call.body["model"],
        "".join(m["content"] for m in messages if m["role"] == "system"),
        [(m["role"], m["content"]) for m in messages if m["role"] != "system"],
        call.body.get("max_tokens"),
        call.body.get("temperature"),
        call.body.get("stop") or [],
        call.body.get("response_format", {}).get("json_schema", {}).get("schema"),
    )


def write_openai(say: Say) -> Reply:
    finish = {"stop": "stop", "length": "length", "filtered": "content_filter"}[say.finish]
    return Reply(
        {
            "choices": [{"index": 0, "message": {"content": say.text}, "finish_reason": finish}],
            "usage": {"prompt_tokens": say.input_tokens, "completion_tokens": say.output_tokens},
        }
    )


def read_bedrock(call: Call) -> Seen:
    body = call.body
    match = re.search(r"/model/([^/]+)/converse", call.path)
    assert match is not None, call.path
    return Seen(
        match[1].replace("%3A", ":"),
        "".join(block["text"] for block in body.get("system", [])),
        [(m["role"], "".join(b["text"] for b in m["content"])) for m in body["messages"]],
        body["inferenceConfig"].get("maxTokens"),
        body["inferenceConfig"].get("temperature"),
        body["inferenceConfig"].get("stopSequences", []),
        _bedrock_schema(body),
    )


def _bedrock_schema(body: dict[str, Any]) -> Any:
    """The schema of the one tool, if the model must use it."""
    config = body.get("toolConfig")
    if config is None:
        return None
    (tool,) = config["tools"]
    assert config["toolChoice"] == {"tool": {"name": tool["toolSpec"]["name"]}}
    return tool["toolSpec"]["inputSchema"]["json"]


def write_bedrock(say: Say) -> Reply:
    finish = {"stop": "end_turn", "length": "max_tokens", "filtered": "content_filtered"}
    block: dict[str, Any] = {"text": say.text}
    if say.seen and say.seen[-1].schema is not None:
        filled = {"toolUseId": "t", "name": "answer", "input": json.loads(say.text)}
        block, finish["stop"] = {"toolUse": filled}, "tool_use"
    return Reply(
        {
            "output": {"message": {"role": "assistant", "content": [block]}},
            "stopReason": finish[say.finish],
            "usage": {
                "inputTokens": say.input_tokens,
                "outputTokens": say.output_tokens,
                "totalTokens": say.input_tokens + say.output_tokens,
            },
            "metrics": {"latencyMs": 1},
        }
    )


def read_gemini(call: Call) -> Seen:
    body = call.body
    match = re.search(r"/models/(.+):generateContent", call.path)
    assert match is not None, call.path
    config = body.get("generationConfig", {})
    system = body.get("systemInstruction", {}).get("parts", [])
    roles = {"user": "user", "model": "assistant"}
    return Seen(
        match[1],
        "".join(part["text"] for part in system),
        [(roles[c["role"]], "".join(p["text"] for p in c["parts"])) for c in body["contents"]],
        config.get("maxOutputTokens"),
        config.get("temperature"),
        config.get("stopSequences", []),
        config.get("responseJsonSchema"),
    )


def write_gemini(say: Say) -> Reply:
    usage = {
        "promptTokenCount": say.input_tokens,
        "candidatesTokenCount": say.output_tokens,
        "totalTokenCount": say.input_tokens + say.output_tokens,
    }
    if say.finish == "filtered":
        return Reply({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage})
    content = {"role": "model", "parts": [{"text": say.text}]}
    finish = {"stop": "STOP", "length": "MAX_TOKENS"}[say.finish]
    return Reply(
        {
            "candidates": [{"content": content, "finishReason": finish, "index": 0}],
            "usageMetadata": usage,
        }
    )


def read_anthropic(call: Call) -> Seen:
    body = call.body
    return Seen(
        body["model"],
        body.get("system", ""),
        [(m["role"], m["content"]) for m in body["messages"]],
        body.get("max_tokens"),
        body.get("temperature"),
        body.get("stop_sequences", []),
        body.get("output_config", {}).get("format", {}).get("schema"),
    )


def write_anthropic(say: Say) -> Reply:
    finish = {"stop": "end_turn", "length": "max_tokens", "filtered": "refusal"}[say.finish]
    return Reply(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": say.text}] if say.text else [],
            "stop_reason": finish,
            "stop_sequence": None,
            "usage": {"input_tokens": say.input_tokens, "output_tokens": say.output_tokens},
        }
    )


# error in our words -> (status, body, headers) per service
def error_reply(service: str, reason: str) -> Reply:
    """How each service says that something went wrong."""
    status, code, message = _ERRORS[service][reason]
    headers = {}
    if service == "bedrock":
        headers["x-amzn-ErrorType"] = code
        body: dict[str, Any] = {"message": message}
    elif service == "gemini":
        body = {"error": {"code": status, "message": message, "status": code}}
    elif service == "anthropic":
        body = {"type": "error", "error": {"type": code, "message": message}}
    else:
        body = {"error": {"code": code, "type": code, "message": message}}
    return Reply(body, status=status, headers=headers)


_ERRORS: dict[str, dict[str, tuple[int, str, str]]] = {
    "openai": {
        "auth": (401, "invalid_api_key", "Incorrect API key provided"),
        "unknown_model": (404, "model_not_found", "The model `m` does not exist"),
        "context_too_long": (
            400, "context_length_exceeded", "This model's maximum context length is 8192 tokens",
        ),
        "rate_limited": (429, "rate_limit_exceeded", "Rate limit reached"),
        "no_credit": (429, "insufficient_quota", "You exceeded your current quota"),
        "unsupported": (400, "unsupported_parameter", "Unsupported parameter: 'temperature'"),
        "server_error": (500, "server_error", "oops"),
    },
    "bedrock": {
        "auth": (403, "AccessDeniedException", "not authorized"),
        "unknown_model": (400, "ValidationException", "The provided model identifier is invalid."),
        "context_too_long": (400, "ValidationException", "Input is too long for requested model."),
        "rate_limited": (429, "ThrottlingException", "Too many requests"),
        "unsupported": (
            400, "ValidationException", "This model doesn't support the temperature field.",
        ),
        "server_error": (500, "InternalServerException", "oops"),
    },
    "gemini": {
        "auth": (400, "INVALID_ARGUMENT", "API key not valid. API_KEY_INVALID"),
        "unknown_model": (404, "NOT_FOUND", "models/m is not found"),
        "context_too_long": (
            400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum",
        ),
        "rate_limited": (429, "RESOURCE_EXHAUSTED", "Quota exceeded"),
        "server_error": (500, "INTERNAL", "oops"),
    },
    "anthropic": {
        "auth": (401, "authentication_error", "invalid x-api-key"),
        "unknown_model": (404, "not_found_error", "model: m"),
        "context_too_long": (400, "invalid_request_error", "prompt is too long: 9 > 8"),
        "rate_limited": (429, "rate_limit_error", "slow down"),
        "unsupported": (
            400, "invalid_request_error", "`temperature` and `top_p` cannot both be specified",
        ),
        "no_credit": (400, "invalid_request_error", "Your credit balance is too low"),
        "server_error": (500, "api_error", "oops"),
    },
}  # fmt: skip
