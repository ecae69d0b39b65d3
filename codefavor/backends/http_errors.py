"""Every failure of an exchange as one BackendError: what happened, where, and what to do."""

from __future__ import annotations

import json
import math
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from codefavor.errors import BackendError
from codefavor.redaction import excerpt, public_url

# What makes a request fail in the same way whenever it is sent.
_STATUS_REASONS = {
    400: "bad_request", 401: "auth", 402: "no_credit", 403: "auth", 404: "unknown_model",
    407: "auth", 413: "request_too_large", 422: "bad_request",
}  # fmt: skip
_RETRYABLE_STATUSES = {
    408: "timeout", 409: "conflict", 425: "overloaded", 429: "rate_limited",
    # Of a gateway that lost the server: its answer may be on the bill.
    502: "bad_gateway", 503: "overloaded", 504: "timeout", 524: "timeout", 529: "overloaded",
}  # fmt: skip
# Servers agree on status codes but not on codes in the body; these are what they share.
_CODES = {
    "auth": r"API_KEY_INVALID",
    "context_too_long": r"context_length_exceeded",
    "no_credit": r"insufficient_(?:quota|balance)|billing_\w+",
    "unknown_model": r"model_not_found",
    "unsupported": r"unsupported_(?:parameter|value)|extra_forbidden|value_error\.extra",
    "filtered": r"content_filter|content_policy_violation",
}
_WORDS = {
    "auth": r"API key not valid",
    "context_too_long": r"maximum context length|context (?:length|window|size)|"
    r"(?:prompt|input) is too long|too many (?:input )?tokens|token count .{0,40}exceeds",
    "no_credit": r"insufficient.balance|credit balance is|exceeded your current quota|"
    r"billing hard limit|check your billing details",
    "unknown_model": r"model .{0,80}(?:does not exist|not found)",
    "unsupported": r"unrecognized request argument|is not supported with this model|"
    r"extra (?:inputs|fields)(?: are)? not permitted|cannot both be specified|"
    r"is deprecated for this model",
    "filtered": r"content management policy",
}
# Where services say what is wrong, in this order; a code is one word.
_SAID = ("code", "type", "status", "message")
_CODED = _SAID[:3]
_NESTS = ("error", "errors", "message", "msg", "detail", "error_msg")
# Reasons stand at the beginning of a message; what follows may be the prompt.
_READ_LENGTH = 200
_NAME = re.compile(r"""(?<!\w)(['"`])[^\s'"`]{1,80}\1(?!\w)""")
_ECHO = re.compile(
    r"""(?<!\w)['"`\u2018\u201c\u00ab]|[\[{\n]|"""
    r"""\b(?:prompt|messages|input|inputs|content|text|body)\s*[:=]""",
    re.I,
)
_COMPACT: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":")}
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")
_RETRY_DELAY = re.compile(rb'"retryDelay": ?"([\d.]+)s"')
# Thirty years: what asks for more says nothing.
_LONGEST_S = 1e9
_AUTH_REMEDIES = {407: "check the user and password of the proxy"} | dict.fromkeys(
    (401, 403), "check the key, and that it is for this server"
)
# What helps, by the reason of an error.
_REMEDIES = {
    "unknown_model": "check the model's name and the base URL",
    "no_credit": "the account has nothing left to pay with",
}


def error_of(status: int, headers: Mapping[str, str], content: bytes, url: str) -> BackendError:
    """The named error of an HTTP status and its body."""
    message = _message_of(content)
    if 300 <= status < 400:
        # Not followed: a key is for the server it was given for.
        there = public_url(headers.get("location", ""))
        return failure(
            f"{public_url(url)}: HTTP {status}: the server sends elsewhere, to {there!r}",
            "redirect",
            "if that is right, make it the base URL",
        )
    retryable = status in _RETRYABLE_STATUSES or status >= 500
    reason = _RETRYABLE_STATUSES.get(status) or _STATUS_REASONS.get(status)
    reason = reason or ("server_error" if status >= 500 else "bad_request")
    codes, words = _said_in(content)
    # Gemini's "slow down" has the words of OpenAI's "no money", but a code of its own.
    is_settled = status in (401, 403, 407, 408) or "RESOURCE_EXHAUSTED" in codes
    # 429 stands for "slow down" and for "no money"; only the second is final.
    found = _reason_in(codes, words, ("no_credit",) if status == 429 else tuple(_CODES))
    if status < 500 and not is_settled and found:
        reason, retryable = found, False
    return failure(
        f"{public_url(url)}: HTTP {status}: {excerpt(message)}",
        reason,
        _AUTH_REMEDIES.get(status, ""),
        retryable=retryable,
        retry_after_s=retry_after_of(headers, content) if retryable else None,
        may_be_paid=may_be_paid(status),
    )


def may_be_paid(status: int) -> bool | None:
    """Whether a refusal with this status may have been charged all the same; None: by its reason.

    A server fails (5xx) also after it has answered, and what fails may be a gateway in between.
    529 is Anthropic's own word for a request that it did not take.
    """
    return True if status >= 500 and status != 529 else None


def failure(
    words: str,
    reason: str,
    remedy: str = "",
    *,
    retryable: bool = False,
    retry_after_s: float | None = None,
    may_be_paid: bool | None = None,
) -> BackendError:
    """The error in words, with what helps: the remedy, or what helps against all of its reason."""
    remedy = remedy or _REMEDIES.get(reason, "")
    return BackendError(
        f"{words} ({remedy})" if remedy else words,
        retryable=retryable,
        retry_after_s=retry_after_s,
        reason=reason,
        may_be_paid=may_be_paid,
    )


def connection_error(
    error: BaseException, url: str, *, timeout_s: float | None = None, proxy: str = ""
) -> BackendError:
    """The named error of an exchange that did not come to an answer, whatever client raised it.

    `proxy` is the variable that names the proxy in between, "" without one.
    """
    chain = list(_chain(error))
    where = public_url(url) + (f" through the proxy of {proxy}" if proxy else "")
    if status := _proxy_status(chain):
        what = "log-in" if status == 407 else "connection"
        return failure(
            f"{where}: the proxy refuses the {what} (HTTP {status})",
            "auth" if status in (401, 403, 407) else "unreachable",
            f"check {proxy or 'HTTPS_PROXY'}, or name the server in NO_PROXY",
            retryable=status >= 500 or status in _RETRYABLE_STATUSES,
        )
    if problem := _tls_problem(chain):
        return failure(f"{where}: {problem[0]}", "certificate", problem[1])
    is_late = any("Timeout" in type(one).__name__ for one in chain)
    is_connecting = any("onnect" in type(one).__name__ for one in chain)
    if any(isinstance(one, socket.gaierror) for one in chain):
        found, remedy = "the name cannot be resolved", "check the base URL and the network"
    elif any(isinstance(one, ConnectionRefusedError) for one in chain):
        found, remedy = "connection refused", "is the server running, and the port right?"
    elif is_late and is_connecting:
        found, remedy = "no connection in time", "check the network; is a proxy to be named?"
    elif is_late:
        limit = "in time" if timeout_s is None else f"within {timeout_s:g} s"
        return failure(
            f"{where}: no whole answer {limit}",
            "timeout",
            "--set timeout_s=... waits longer",
            retryable=True,
        )
    elif any(type(one).__name__ == "ClientConnectorError" for one in chain):
        found, remedy = excerpt(str(chain[-1]), 200), "check the network"
    else:
        last = excerpt(f"{type(chain[-1]).__name__}: {chain[-1]}", 200)
        return failure(f"{where}: the connection broke ({last})", "connection", "", retryable=True)
    if proxy:
        remedy = f"check {proxy}, or name the server in NO_PROXY"
    return failure(f"{where}: cannot be reached: {found}", "unreachable", remedy, retryable=True)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from; clients nest the real one in several ways."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        nested = (
            getattr(error, "kwargs", {}).get("error")  # botocore
            or getattr(error, "original_error", None)  # urllib3
            or getattr(error, "reason", None)
        )
        if not isinstance(nested, BaseException):
            nested = getattr(error, "os_error", None)  # aiohttp
        error = nested or error.__cause__ or error.__context__


def _proxy_status(chain: list[BaseException]) -> int:
    """The status with which a proxy refused to connect; 0 if that is not what happened."""
    for one in chain:
        if type(one).__name__ == "ClientHttpProxyError":
            return int(getattr(one, "status", 0))
        if found := re.search(r"Tunnel connection failed: (\d{3})", str(one)):
            return int(found[1])
    return 0


def _tls_problem(chain: list[BaseException]) -> tuple[str, str] | None:
    """(what is wrong with TLS, what to do); None for another failure."""
    for one in chain:
        # aiohttp's own error is of this class too, but only in name.
        if words := getattr(one, "verify_message", ""):
            return (
                f"its certificate is not trusted ({words})",
                "name the authority that signed it with --ca-bundle FILE or SSL_CERT_FILE",
            )
    words = next((str(one).upper() for one in chain if isinstance(one, ssl.SSLError)), "")
    if re.search(r"CERTIFICATE|HANDSHAKE.FAILURE|UNKNOWN.CA", words):
        return (
            "it refuses the TLS handshake, as it does without a client certificate that it knows",
            "--client-cert FILE, and --client-key FILE where the key is not in it",
        )
    if re.search(r"WRONG.VERSION.NUMBER|RECORD.LAYER|HTTP.REQUEST", words):
        return "no TLS is spoken there", "is its address http:// instead of https://?"
    return None


def _message_of(content: bytes) -> str:
    """What the body says, whole: a message with its codes, one text, or else all of it as JSON.

    Not the request in it: what that says is no reason. Who shows it takes an excerpt.
    """
    try:
        body: Any = json.loads(content, object_hook=_without_request)
    except (ValueError, RecursionError):
        return content[:20_000].decode("utf-8", "replace").strip() or "(empty body)"
    error = body.get("error") if isinstance(body, dict) else None
    for one in (error, body):
        if isinstance(one, dict) and one.get("message") and isinstance(one["message"], str):
            return " ".join(str(one[key]) for key in _SAID if one.get(key))
    if isinstance(body, dict) and len(body) == 1:
        (alone,) = body.values()
        body = alone if alone and isinstance(alone, str) else body
    return body if isinstance(body, str) else json.dumps(body, **_COMPACT)


def _said_in(content: bytes) -> tuple[list[str], list[str]]:
    """The codes in an error's body, and how its messages begin.

    Only from where services say what is wrong: a body may repeat the request anywhere else.
    """
    try:
        body: Any = json.loads(content)
    except (ValueError, RecursionError):
        body = content[:20_000].decode("utf-8", "replace").strip()
    codes: list[str] = []
    words: list[str] = []
    nested = [body]
    for one in nested:
        if isinstance(one, str):
            words.append(_beginning(one))
        elif isinstance(one, list):
            nested += one[:20]
        elif isinstance(one, dict):
            codes += [one[key] for key in _CODED if isinstance(one.get(key), str)]
            nested += [one[key] for key in _NESTS if key in one]
    return codes, words


def _beginning(message: str) -> str:
    """The beginning of a message up to what may be quoted from the request; names stay, as x."""
    text = _NAME.sub("x", message[:_READ_LENGTH])
    found = _ECHO.search(text)
    return text[: found.start()] if found else text


def _reason_in(codes: list[str], words: list[str], reasons: tuple[str, ...]) -> str:
    """The first of these reasons that a code names, else one that a message begins with; or ""."""
    for name in reasons:
        if any(re.fullmatch(_CODES[name], code, re.I) for code in codes):
            return name
    for name in reasons:
        pattern = rf"\b(?:{_CODES[name]})\b|{_WORDS[name]}"
        if any(re.search(pattern, one, re.I) for one in words):
            return name
    return ""


def _without_request(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != "input"}


def retry_after_of(headers: Mapping[str, str], content: bytes = b"") -> float | None:
    """Seconds of `retry-after-ms`, `Retry-After` (a number or a date) or, in the body, Gemini's
    `retryDelay`; None without any, or where it is no time."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        if (value := headers.get(name)) is not None:
            seconds = _number(value)
            if seconds is None:
                return _seconds_until(value, headers.get("date"))
            return _a_time(max(0.0, seconds / unit))
    found = _RETRY_DELAY.search(content)
    return _a_time(_number(found[1].decode())) if found else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _a_time(seconds: float | None) -> float | None:
    """The seconds; None for what is no length of time: inf, nan, or ages."""
    return seconds if seconds is not None and 0 <= seconds <= _LONGEST_S else None


def _seconds_until(date: str, now: str | None) -> float | None:
    """By the server's own clock: this machine's may be wrong."""
    try:
        if now is None:
            return None
        wait = parsedate_to_datetime(date) - parsedate_to_datetime(now)
        return _a_time(max(0.0, wait.total_seconds()))
    except (TypeError, ValueError, OverflowError):
        return None


def pause_of(headers: Mapping[str, str]) -> float:
    """Seconds until the server's own limits allow another request, by its headers; mostly 0."""
    wait = 0.0
    for kind in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
            wait = max(wait, parse_duration(headers.get(f"x-ratelimit-reset-{kind}", "")))
    return wait


def parse_duration(text: str) -> float:
    """Seconds of "1h2m3.5s", "120ms" or "6"; 0 for anything else."""
    seconds = _number(text)
    if seconds is None and (match := _DURATION.fullmatch(text.strip())):
        parts = [_number(part or "0") for part in match.groups()]
        units = (3600, 60, 1, 0.001)
        pairs = zip(parts, units, strict=True)
        seconds = sum((math.nan if n is None else n) * unit for n, unit in pairs)
    return _a_time(seconds) or 0.0
