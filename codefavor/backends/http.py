"""HTTP to a model server: kept connections, and every failure as a named BackendError."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp
import orjson

from codefavor.backends.http1 import BrokenExchange, Pool
from codefavor.errors import BackendError

# What makes a request fail in the same way whenever it is sent.
_STATUS_REASONS = {
    400: "bad_request",
    401: "auth",
    402: "no_credit",
    403: "auth",
    404: "unknown_model",
    413: "request_too_large",
    422: "bad_request",
}
_RETRYABLE_STATUSES = {
    408: "timeout",
    409: "conflict",
    425: "overloaded",
    429: "rate_limited",
    # Of a gateway that lost the server: its answer may be on the bill.
    502: "bad_gateway",
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}
# Servers agree on status codes but not on codes in the body; these words are what they share.
_BODY_REASONS = (
    (
        "context_too_long",
        re.compile(
            r"context_length_exceeded|maximum context length|context "
            r"(?:length|window|size)|prompt is too long|too many (?:input )?tokens",
            re.I,
        ),
    ),
    (
        "no_credit",
        re.compile(r"insufficient_quota|insufficient.balance|credit balance|billing", re.I),
    ),
    (
        "unknown_model",
        re.compile(r"model_not_found|model .{0,80}(?:does not exist|not found)", re.I),
    ),
    (
        "unsupported",
        re.compile(
            r"unsupported_(?:parameter|value)|unrecognized request argument|"
            r"is not supported with this model|extra inputs are not permitted|"
            r"cannot both be specified|is deprecated for this model",
            re.I,
        ),
    ),
    (
        "filtered",
        re.compile(r"content_filter|content management policy|content_policy_violation", re.I),
    ),
)
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:([\d.]+)ms)?")


class Reply(NamedTuple):
    """A decoded JSON object, and for how long the server wants a pause (0: it does not)."""

    body: dict[str, Any]
    hold_s: float


class HttpClient:
    """JSON over HTTP to one server.

    `timeout_s` bounds a whole exchange, `connect_timeout_s` reaching the server. Connections
    are kept; how many there are at once is the engine's business. A query in `base_url`
    (Azure's api-version) goes behind each path. Raises ConfigError for what is no address.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        timeout_s: float = 600.0,
        connect_timeout_s: float = 15.0,
    ) -> None:
        base, mark, query = base_url.partition("?")
        self.base_url = base.rstrip("/")
        self._query = mark + query
        self._folder = urllib.parse.urlsplit(self.base_url).path
        self._headers = dict(headers)
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._proxy = _proxy_of(base_url)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None
        # Made here once, so that what is no address is refused at the start.
        self._pool = self._make_pool()

    async def post(self, path: str, payload: Mapping[str, Any]) -> Reply:
        """POST a JSON object. Raises BackendError with a reason for whatever goes wrong."""
        data = orjson.dumps(payload)
        url = f"{self.base_url}{path}{self._query}"
        if self._proxy is not None:
            _, headers, content = await self.request("POST", path, data=data)
            return Reply(decode_object(content), hold_of(headers))
        self._follow_loop()
        try:
            answer = await self._pool.post(f"{self._folder}{path}{self._query}", data)
        except (asyncio.TimeoutError, OSError) as error:
            raise self._error_of(error, url) from error
        if answer.status >= 300:
            raise error_of(answer.status, answer.headers, answer.content, url)
        return Reply(decode_object(answer.content), hold_of(answer.headers))

    async def get(self, path: str) -> Reply:
        """GET a JSON object."""
        _, headers, content = await self.request("GET", path)
        return Reply(decode_object(content), hold_of(headers))

    async def request(
        self, method: str, path: str, *, data: Any = None, json_type: bool = True
    ) -> tuple[int, Mapping[str, str], bytes]:
        """(status, headers, body) of any successful exchange, through a proxy too."""
        session = self._session_here()
        url = f"{self.base_url}{path}{self._query}"
        extra = {"Content-Type": "application/json"} if json_type and data is not None else {}
        try:
            async with session.request(method, url, data=data, headers=extra) as response:
                content = await response.read()
                if response.status >= 300:
                    raise error_of(response.status, response.headers, content, url)
                return response.status, response.headers, content
        except (asyncio.TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._error_of(error, url) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._loop is asyncio.get_running_loop():
            self._pool.close()
            if self._session is not None:
                await self._session.close()
        self._session, self._loop = None, None

    def _error_of(self, error: Exception, url: str) -> BackendError:
        """The named error of an exchange that did not come to an answer."""
        if isinstance(error, asyncio.TimeoutError):
            reason, words = "timeout", f"no whole answer within {self._timeout_s:g} s"
        elif isinstance(error, (BrokenExchange, ConnectionResetError, BrokenPipeError)):
            reason, words = "connection", f"the connection broke ({error})"
        elif isinstance(error, OSError):
            reason, words = "unreachable", f"cannot be reached ({error})"
        else:
            reason = "connection"
            words = f"the connection broke ({type(error).__name__}: {error})"
        return BackendError(f"{url}: {words}", retryable=True, reason=reason)

    def _make_pool(self) -> Pool:
        return Pool(
            self.base_url,
            self._headers,
            timeout_s=self._timeout_s,
            connect_timeout_s=self._connect_timeout_s,
        )

    def _follow_loop(self) -> None:
        """Connections belong to an event loop; each run of the engine has its own."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._pool, self._session = loop, self._make_pool(), None

    def _session_here(self) -> aiohttp.ClientSession:
        self._follow_loop()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout_s, sock_connect=self._connect_timeout_s
                ),
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
                # Not trust_env: it searches the environment and ~/.netrc again for every request.
                proxy=self._proxy,
            )
        return self._session


def _proxy_of(url: str) -> str | None:
    """The proxy that the environment names for this address, None for a direct connection."""
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def decode_object(content: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises BackendError (`bad_json`), which is worth a retry."""
    try:
        value = orjson.loads(content)
    except ValueError:
        try:
            # Models do write lone surrogates, which orjson refuses; they become U+FFFD.
            text = json.dumps(json.loads(content), ensure_ascii=False)
            value = orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        except ValueError as error:
            raise BackendError(
                f"the answer is not JSON: {content[:200]!r}", retryable=True, reason="bad_json"
            ) from error
    if not isinstance(value, dict):
        raise BackendError(
            f"the answer is a JSON {type(value).__name__}, not an object",
            retryable=True,
            reason="bad_schema",
        )
    return value


def error_of(status: int, headers: Mapping[str, str], content: bytes, url: str) -> BackendError:
    """The named error of an HTTP status and its body."""
    message = _message_of(content)
    if 300 <= status < 400:
        # Not followed: a key is for the server it was given for.
        message = f"the server sends elsewhere, to {headers.get('location')!r}: {message}"
    retryable = status in _RETRYABLE_STATUSES or status >= 500
    reason = _RETRYABLE_STATUSES.get(status) or _STATUS_REASONS.get(status)
    reason = reason or ("server_error" if status >= 500 else "bad_request")
    if status < 500 and status not in (401, 403, 408):
        for name, pattern in _BODY_REASONS:
            # 429 stands for "slow down" and for "no money"; only the second is final.
            if pattern.search(message) and (status != 429 or name == "no_credit"):
                reason, retryable = name, False
                break
    return BackendError(
        f"{url}: HTTP {status}: {message[:500]}",
        retryable=retryable,
        retry_after_s=retry_after_of(headers) if retryable else None,
        reason=reason,
    )


def _message_of(content: bytes) -> str:
    try:
        body = json.loads(content)
        error = body.get("error", body)
        if isinstance(error, dict):
            parts = [error.get(key) for key in ("code", "type", "message")]
            return " ".join(str(part) for part in parts if part)
        return str(error)
    except (ValueError, AttributeError):
        return content[:500].decode("utf-8", "replace").strip() or "(empty body)"


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Seconds of `retry-after-ms` or `Retry-After` (a number or a date); None without one."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            return max(0.0, float(value) / unit)
        except ValueError:
            return _seconds_until(value, headers.get("date"))
    return None


def _seconds_until(date: str, now: str | None) -> float | None:
    """By the server's own clock: this machine's may be wrong."""
    try:
        if now is None:
            return None
        return max(0.0, (parsedate_to_datetime(date) - parsedate_to_datetime(now)).total_seconds())
    except (TypeError, ValueError):
        return None


def hold_of(headers: Mapping[str, str]) -> float:
    """Seconds until the server's own limits allow another request, by its headers; mostly 0."""
    wait = 0.0
    for kind in ("requests", "tokens"):
        if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
            wait = max(wait, parse_duration(headers.get(f"x-ratelimit-reset-{kind}", "")))
    return wait


def parse_duration(text: str) -> float:
    """Seconds of "1h2m3.5s", "120ms" or "6"; 0 for anything else."""
    try:
        return float(text)
    except ValueError:
        pass
    match = _DURATION.fullmatch(text.strip())
    if not match:
        return 0.0
    hours, minutes, seconds, millis = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + millis / 1000
