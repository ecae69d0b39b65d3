"""Direct HTTP/1.1 for many small JSON exchanges with one server, at a third of aiohttp's cost.

Only what asking a model needs: POST with a body of known length, kept connections, TLS, and
answers framed by length, by chunks or by the end of the connection. Proxies, uploads and
everything else stay with aiohttp.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import aiohappyeyeballs

from codefavor.errors import ConfigError

# Servers close idle connections after 5 s (uvicorn) to minutes; a request that meets the
# closing is lost and has to be sent again.
_MAX_IDLE_S = 4.0
_MAX_HEAD_BYTES = 1 << 16
_ADDRESSES_VALID_S = 300.0


class BrokenExchange(ConnectionError):
    """The connection ended, or what came over it is not HTTP, before the answer was whole."""


class Answer(NamedTuple):
    """Status, headers with lower-case names (the last of a name counts), and the body."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Pool:
    """Kept connections to the server of one URL, for one event loop.

    Each `post` takes a connection of its own: how many there are at once is the caller's
    business. Raises ConfigError for a URL or header that cannot be sent.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], *, timeout_s: float, connect_timeout_s: float
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url!r} is not the address of a server (http://... or https://...)")
        if parts.username is not None:
            raise ConfigError("a name and password in an address are not sent; use `headers`")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._host = parts.hostname
        self._port = parts.port or (443 if self._tls else 80)
        self._head = _static_head(parts.netloc, headers)
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._idle: list[_Connection] = []
        self._addresses: list[Any] = []
        self._addresses_until = 0.0

    async def post(self, target: str, data: bytes) -> Answer:
        """The answer to one POST. `target` is path and query.

        Raises TimeoutError, OSError if the server cannot be reached, BrokenExchange.
        """
        head = f"POST {target} HTTP/1.1\r\nContent-Length: {len(data)}\r\n{self._head}"
        loop = asyncio.get_running_loop()
        connection = self._take_idle() or await self._connect(loop)
        answer = connection.exchange(head.encode("latin-1") + data)
        timer = loop.call_later(self._timeout_s, connection.fail, asyncio.TimeoutError())
        try:
            result = await answer
        except BaseException:
            # Whatever it was (a cancelled task too): what still arrives belongs to nobody.
            connection.close()
            raise
        finally:
            timer.cancel()
        if connection.is_reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()
        return result

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable and time.monotonic() - connection.idle_since < _MAX_IDLE_S:
                return connection
            connection.close()
        return None

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        """A new connection, over whichever of the host's addresses answers first."""

        async def connect() -> _Connection:
            if time.monotonic() >= self._addresses_until:
                self._addresses = await loop.getaddrinfo(self._host, self._port, type=1)
                self._addresses_until = time.monotonic() + _ADDRESSES_VALID_S
            sock = await aiohappyeyeballs.start_connection(
                self._addresses, happy_eyeballs_delay=0.25, interleave=1
            )
            name = self._host if self._tls else None
            _, protocol = await loop.create_connection(
                _Connection, sock=sock, ssl=self._tls, server_hostname=name
            )
            return protocol

        try:
            return await asyncio.wait_for(connect(), self._connect_timeout_s)
        except asyncio.TimeoutError as error:
            self._addresses_until = 0.0
            raise OSError(f"no connection within {self._connect_timeout_s:g} s") from error
        except OSError:
            self._addresses_until = 0.0
            raise


class _Connection(asyncio.Protocol):
    """One connection with at most one exchange at a time."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._reader = _AnswerReader()
        self.is_reusable = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports are of no asyncio class.
        self._transport = cast(asyncio.Transport, transport)

    def exchange(self, data: bytes) -> asyncio.Future[Answer]:
        """Send a request; the future brings its answer."""
        assert self._transport is not None
        self._reader = _AnswerReader()
        self.is_reusable = False
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            # Nobody asked: a server's goodbye on an idle connection.
            self.close()
            return
        try:
            answer = self._reader.feed(data)
        except (ValueError, IndexError, zlib.error) as error:
            self.fail(BrokenExchange(f"the server does not speak HTTP/1.1 ({error})"))
            return
        if answer is not None:
            self.is_reusable = self._reader.keeps_alive
            self._finish(answer)

    def eof_received(self) -> bool:
        # Said before the connection is lost: in between it must not be taken for another request.
        self.is_reusable = False
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_reusable = False
        if self._waiter is None:
            return
        with contextlib.suppress(zlib.error):
            answer = self._reader.end() if error is None else None
            if answer is not None:
                self._finish(answer)
                return
        n_bytes = self._reader.n_received
        self.fail(BrokenExchange(f"closed after {n_bytes} bytes of the answer ({error})"))

    def fail(self, error: Exception) -> None:
        """End the exchange without an answer."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.close()

    def close(self) -> None:
        """Close now; an answer that still arrives is dropped."""
        self._waiter = None
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, answer: Answer) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)


class _AnswerReader:
    """Puts one answer together from pieces of any size."""

    def __init__(self) -> None:
        self.keeps_alive = False
        self.n_received = 0
        self._buffer = b""
        self._status = 0
        self._headers: dict[str, str] | None = None
        self._length: int | None = None
        self._chunks: list[bytes] | None = None
        self._parts: list[bytes] = []
        self._n_body = 0

    def feed(self, data: bytes) -> Answer | None:
        """The answer once it is whole. Raises ValueError if it is none."""
        self.n_received += len(data)
        if self._headers is None:
            self._buffer += data
            if not self._read_head():
                if len(self._buffer) > _MAX_HEAD_BYTES:
                    raise ValueError("the headers do not end")
                return None
            data, self._buffer = self._buffer, b""
        if self._chunks is not None:
            return self._feed_chunked(data)
        # Kept as parts: joining at each piece would copy a long answer again and again.
        self._parts.append(data)
        self._n_body += len(data)
        if self._length is None or self._n_body < self._length:
            return None
        if self._n_body > self._length:
            self.keeps_alive = False
        return self._answer(b"".join(self._parts)[: self._length])

    def end(self) -> Answer | None:
        """The answer if the end of the connection is what completes it."""
        is_open_ended = self._headers is not None and self._length is None and self._chunks is None
        return self._answer(b"".join(self._parts)) if is_open_ended else None

    def _read_head(self) -> bool:
        """Read status and headers off the buffer; false until they are whole."""
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            lines = self._buffer[:end].decode("latin-1").split("\r\n")
            self._buffer = self._buffer[end + 4 :]
            version, status = lines[0].split(" ", 2)[:2]
            if not version.startswith("HTTP/1."):
                raise ValueError(f"found {lines[0][:60]!r}")
            self._status = int(status)
            # Announcements such as 100 Continue come before the answer itself.
            if self._status >= 200:
                break
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        self._headers = headers
        self._read_framing(version, headers)
        return True

    def _read_framing(self, version: str, headers: dict[str, str]) -> None:
        words = headers.get("connection", "").lower()
        self.keeps_alive = "keep-alive" in words if version == "HTTP/1.0" else "close" not in words
        if self._status in (204, 304):
            self._length = 0
        elif headers.get("transfer-encoding", "").lower().endswith("chunked"):
            self._chunks = []
        elif "content-length" in headers:
            self._length = _natural(headers["content-length"], 10)
        else:
            self.keeps_alive = False

    def _feed_chunked(self, data: bytes) -> Answer | None:
        buffer = self._buffer + data if self._buffer else data
        assert self._chunks is not None
        position = 0
        while (end := buffer.find(b"\r\n", position)) >= 0:
            size = _natural(buffer[position:end].partition(b";")[0], 16)
            if size == 0:
                # Trailers, if any, end with an empty line like the headers do.
                if buffer.find(b"\r\n\r\n", end) < 0:
                    break
                return self._answer(b"".join(self._chunks))
            start = end + 2
            if len(buffer) < start + size + 2:
                break
            self._chunks.append(buffer[start : start + size])
            position = start + size + 2
        self._buffer = buffer[position:]
        return None

    def _answer(self, content: bytes) -> Answer:
        assert self._headers is not None
        # Not asked for, but some servers pack whatever they send.
        if self._headers.get("content-encoding", "") in ("gzip", "deflate"):
            content = zlib.decompress(content, 47)
        return Answer(self._status, self._headers, content)


def _natural(text: str | bytes, base: int) -> int:
    """A number of bytes. Raises ValueError for anything else, a sign included."""
    number = int(text, base)
    if number < 0:
        raise ValueError(f"a length of {number} bytes")
    return number


def _static_head(host: str, headers: Mapping[str, str]) -> str:
    """The headers that every request repeats, with the empty line after them."""
    wanted = {"Content-Type": "application/json", "Accept": "application/json", **headers}
    for name, value in wanted.items():
        text = f"{name}{value}"
        if "\r" in text or "\n" in text or not text.isascii():
            raise ConfigError(
                f"the header {name!r} holds a line break or a character that HTTP does not allow; "
                "is there one at the end of the key?"
            )
    lines = "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
    return f"Host: {host}\r\n{lines}\r\n"
