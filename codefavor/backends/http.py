"""JSON over HTTP to a model server: aiohttp with kept connections, set up once for a client."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp
import orjson

from codefavor import __version__
from codefavor.backends.base import endpoint_of
from codefavor.backends.connection import DEFAULT_CONNECTION, Connection, check_url, proxy_of
from codefavor.backends.http_errors import connection_error, error_of, pause_of
from codefavor.errors import BackendError, ConfigError
from codefavor.records import Row, content_id, whole_text
from codefavor.redaction import excerpt, hide

USER_AGENT = f"codefavor/{__version__}"
# Servers close idle connections after 5 s (uvicorn) to minutes; a request that meets the
# closing is lost and has to be sent again.
_MAX_IDLE_S = 4.0
_CONNECT_TIMEOUT_S = 15.0
# Routers forget a connection over which nothing goes for some minutes, as while a model thinks.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}
_SECRET_HEADER = re.compile(r"auth|key|token|secret|cookie|pass|sig|cred", re.I)


class Reply(NamedTuple):
    """A decoded JSON object, and for how long the server wants a pause (0: it does not)."""

    body: dict[str, Any]
    pause_s: float


class HttpClient:
    """JSON over HTTP to one server.

    Connections are kept; how many there are at once is the engine's business. A query in
    `base_url` (Azure's api-version) goes behind each path. With `trust_env` the environment's
    proxy is used. Raises ConfigError for what is no address, header, certificate or HTTP proxy.
    """

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        connection: Connection = DEFAULT_CONNECTION,
        *,
        trust_env: bool = True,
    ) -> None:
        base, _, self._query = base_url.partition("?")
        self._base = base.rstrip("/")
        self._headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **headers}
        check_url(base_url)
        _check_headers(self._headers)
        self._timeout_s = connection.timeout_s
        is_tls = base.startswith("https:")
        self._tls = connection.tls_context() if is_tls or connection.has_files else None
        # Asked once: aiohttp's trust_env searches environment and ~/.netrc for every request.
        self.proxy = proxy_of(base_url) if trust_env else None
        self._proxy_options: dict[str, Any] = {}
        if self.proxy is not None:
            to_proxy = {"User-Agent": USER_AGENT, **self.proxy.headers}
            self._proxy_options = {"proxy": self.proxy.url, "proxy_headers": to_proxy}
            if not is_tls:
                self._headers.update(self.proxy.headers)
        self._json_headers = {**self._headers, "Content-Type": "application/json"}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def endpoint(self) -> str:
        """The server's address as it may be shown and kept."""
        return endpoint_of(f"{self._base}?{self._query}")

    async def post(self, path: str, payload: Mapping[str, Any]) -> Reply:
        """POST a JSON object. Raises BackendError with a reason for whatever goes wrong."""
        data = orjson.dumps(payload)
        headers, content = await self.request("POST", path, data, is_json=True)
        return Reply(decode_object(content), pause_of(headers))

    async def get(self, path: str) -> Reply:
        """GET a JSON object."""
        headers, content = await self.request("GET", path)
        return Reply(decode_object(content), pause_of(headers))

    async def request(
        self, method: str, path: str, data: Any = None, *, is_json: bool = False
    ) -> tuple[Mapping[str, str], bytes]:
        """(headers, body) of any successful exchange; `path` may carry a query of its own."""
        url = f"{self._base}{path}"
        if self._query:
            url += ("&" if "?" in path else "?") + self._query
        try:
            async with self._session_here().request(
                method,
                url,
                data=data,
                # Not the session's: those aiohttp sends to a proxy too, the key among them.
                headers=self._json_headers if is_json else self._headers,
                # A redirect is an error that says where to: a key is for one server alone.
                allow_redirects=False,
                **self._proxy_options,
            ) as response:
                content = await response.read()
                if response.status >= 300:
                    raise error_of(response.status, response.headers, content, url)
                is_packed = content.startswith(b"\x1f\x8b")
                if is_packed and response.headers.get("Content-Encoding") == "x-gzip":
                    content = gzip.decompress(content)
                return response.headers, content
        except (asyncio.TimeoutError, aiohttp.ClientError, OSError, EOFError, zlib.error) as error:
            variable = self.proxy.variable if self.proxy else ""
            raise connection_error(error, url, timeout_s=self._timeout_s, proxy=variable) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None and self._loop is asyncio.get_running_loop():
            await self._session.close()
        self._session = None

    def _session_here(self) -> aiohttp.ClientSession:
        """Connections belong to an event loop; each run of the engine has its own."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            connector = aiohttp.TCPConnector(
                limit=0,
                ttl_dns_cache=300,
                keepalive_timeout=_MAX_IDLE_S,
                ssl=self._tls or True,
                socket_factory=_kept_socket,
            )
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(self._timeout_s, sock_connect=_CONNECT_TIMEOUT_S),
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
            self._loop = loop
        return self._session


def _kept_socket(address: Any) -> socket.socket:
    """A socket whose connection the routers in between do not forget."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # Linux; elsewhere the system's own times hold
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


def headers_identity(headers: Mapping[str, str]) -> Row:
    """What tells the answers of these headers from others' in keys and manifests: hashes.

    A tenant, a route or a version may change an answer. A key does not, and is renewed without
    becoming another server, so headers that carry secrets are left out.
    """
    shown = {name.lower(): value for name, value in headers.items()}
    return {
        name: content_id(name, value)[:16]
        for name, value in sorted(shown.items())
        if not _SECRET_HEADER.search(name)
    }


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if _SECRET_HEADER.search(name):
            # The whole value first: what follows "Bearer" stands in it.
            hide(value, value.rpartition(" ")[2])
        if not f"{name}{value}".isprintable() or not f"{name}{value}".isascii():
            raise ConfigError(
                f"the header {name!r} holds a line break or a character that HTTP does not allow; "
                "is there one at the end of the key?"
            )


def _leniently(text: str | bytes) -> Any:
    return json.loads(text, parse_constant=lambda _: None, parse_int=_whole_number)


def _whole_number(digits: str) -> int | float:
    # Above what a double tells apart, and so far that int refuses it.
    return int(digits) if len(digits) < 20 else float(digits)


def decode_object(content: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises BackendError (`bad_json`), which is worth a retry."""
    try:
        value = orjson.loads(content)
    except ValueError:
        try:
            # Models do write lone surrogates, which orjson refuses; they become U+FFFD. Servers
            # write NaN and numbers of any length; these become null.
            text = json.dumps(_leniently(content), ensure_ascii=False)
            value = _leniently(whole_text(text))
        except (ValueError, RecursionError) as error:
            raise BackendError(
                f"the answer is not JSON: {excerpt(content, 200)!r}",
                retryable=True,
                reason="bad_json",
            ) from error
    if not isinstance(value, dict):
        raise BackendError(
            f"the answer is a JSON {type(value).__name__}, not an object",
            retryable=True,
            reason="bad_schema",
        )
    return value
