"""Answers are put together whatever way a server frames, cuts and closes them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from codefavor.backends.http import HttpClient
from codefavor.backends.http1 import Answer, BrokenExchange, Pool
from codefavor.errors import BackendError, ConfigError

BODY = b'{"a": "' + b"x" * 300 + b'"}'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-One: 1\r\n\r\n" % len(BODY) + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\n\r\n"
    + b"5;name=value\r\n" + BODY[:5] + b"\r\n"
    + b"%X\r\n" % (len(BODY) - 5) + BODY[5:] + b"\r\n0\r\nX-Trailer: t\r\n\r\n"
)  # fmt: skip
PACKED = zlib.compress(BODY)


class Script:
    """A server that sends given bytes in given pieces, and counts connections and requests."""

    def __init__(self, answer: bytes, *, piece: int = 1 << 20, closes: bool = False) -> None:
        self.answer, self.piece, self.closes = answer, piece, closes
        self.n_connections = self.n_requests = 0
        self.seen: list[bytes] = []
        self.goodbye = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                self.seen.append(head + await reader.readexactly(length))
                self.n_requests += 1
                for start in range(0, len(self.answer), self.piece):
                    writer.write(self.answer[start : start + self.piece])
                    await writer.drain()
                    if self.piece < len(self.answer):
                        await asyncio.sleep(0)
                if self.closes:
                    break
                writer.write(self.goodbye)
        writer.close()


@contextlib.asynccontextmanager
async def served(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    yield f"{'https' if context else 'http'}://{'localhost' if context else '127.0.0.1'}:{port}"
    server.close()


def pool_of(url: str, timeout_s: float = 5.0, **headers: str) -> Pool:
    return Pool(url, headers, timeout_s=timeout_s, connect_timeout_s=5.0)


async def ask(script: Script, n: int = 1) -> list[Answer]:
    async with served(script) as url:
        pool = pool_of(url)
        answers = [await pool.post("/p?q=1", b'{"n": 1}') for _ in range(n)]
        pool.close()
    return answers


@pytest.mark.parametrize("piece", [1, 7, 100, 1 << 20])
@pytest.mark.parametrize(
    "answer",
    [
        PLAIN,
        CHUNKED,
        b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
        b"HTTP/1.1 200 OK\r\nx-one: 1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
        % len(PACKED)
        + PACKED,
    ],
    ids=["length", "chunked", "after-100", "packed"],
)
async def test_an_answer_is_whole_however_it_is_cut(answer: bytes, piece: int) -> None:
    script = Script(answer, piece=piece)
    for result in await ask(script, n=3):
        assert (result.status, result.content, result.headers["x-one"]) == (200, BODY, "1")
    assert (script.n_connections, script.n_requests) == (1, 3)


async def test_the_request_arrives_as_it_was_meant() -> None:
    script = Script(PLAIN)
    async with served(script) as url:
        pool = pool_of(url, Authorization="Bearer k")
        await pool.post("/v1/chat?api-version=2", b'{"x": 1}')
        pool.close()
    head, _, body = script.seen[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat?api-version=2 HTTP/1.1"
    assert f"Host: {url.removeprefix('http://')}" in lines
    assert "Authorization: Bearer k" in lines
    assert body == b'{"x": 1}'


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
        PLAIN.replace(b"X-One: 1", b"Connection: close"),
    ],
    ids=["until-the-end", "http-1.0", "connection-close"],
)
async def test_a_closed_connection_is_not_used_again(answer: bytes) -> None:
    script = Script(answer, closes=True)
    assert [result.content for result in await ask(script, n=2)] == [BODY, BODY]
    assert script.n_connections == 2


async def test_a_server_that_says_goodbye_on_an_idle_connection_is_not_taken_for_an_answer() -> (
    None
):
    script = Script(PLAIN)
    script.goodbye = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    async with served(script) as url:
        pool = pool_of(url)
        for _ in range(2):
            assert (await pool.post("/p", b"{}")).status == 200
            await asyncio.sleep(0.05)
        pool.close()
    assert script.n_connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN[:-5],
        CHUNKED[:-20],
        PLAIN[:30],
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        PLAIN.replace(b"Content-Length: ", b"Content-Length: -"),
        CHUNKED.replace(b"5;name=value", b"-5"),
        CHUNKED.replace(b"5;name=value", b"zz"),
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"",
    ],
    ids=["half", "chunk", "head", "ssh", "negative", "neg-chunk", "zz", "endless", "nothing"],
)  # fmt: skip
async def test_anything_less_than_an_answer_is_a_broken_exchange(answer: bytes) -> None:
    with pytest.raises(BrokenExchange):
        await ask(Script(answer, closes=True))


async def test_a_cancelled_or_late_request_leaves_nothing_for_the_next_one() -> None:
    script = Script(PLAIN)
    async with served(script) as url:
        pool = pool_of(url)
        await pool.post("/p", b"{}")
        task = asyncio.ensure_future(pool.post("/p", b'{"n": 1}'))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await pool.post("/p", b"{}")).content == BODY
        pool.close()
    assert script.n_connections == 2
    silent = Script(b"")
    async with served(silent) as url:
        pool = pool_of(url, timeout_s=0.1)
        with pytest.raises(asyncio.TimeoutError):
            await pool.post("/p", b"{}")
        assert pool._idle == []


async def test_tls_is_spoken_and_an_unknown_certificate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    words += f" -addext subjectAltName=DNS:localhost -keyout {key} -out {certificate}"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    script = Script(CHUNKED)
    async with served(script, context) as url:
        stranger = HttpClient(url, {})
        with pytest.raises(BackendError, match="certificate verify failed") as caught:
            await stranger.post("/p", {})
        assert caught.value.reason == "unreachable"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        known = HttpClient(url, {})
        for _ in range(2):
            assert (await known.post("/p", {})).body == {"a": "x" * 300}
        await known.close()
    assert script.n_requests == 2


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://x", "http://", "http://me:pw@host/v1"])
def test_what_is_no_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError):
        HttpClient(url, {})


def test_a_key_with_a_line_break_is_refused_at_the_start_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="line break") as caught:
        HttpClient("http://x/v1", {"Authorization": "Bearer secret\n"})
    assert "secret" not in str(caught.value)
