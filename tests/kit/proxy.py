"""An HTTP proxy on loopback that demands a password and sends everything to one server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import threading
from typing import NamedTuple


class Asked(NamedTuple):
    """One request as the proxy saw it."""

    method: str
    target: str
    headers: dict[str, str]


class LoopbackProxy:
    """Forwards CONNECT tunnels and plain requests to `port`, whatever server they are for.

    `login` is the user:password it demands, "" for none; what comes without gets a 407 that
    repeats what was sent, as some proxies' error pages do. Use it as a context manager.
    """

    def __init__(self, port: int, login: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.asked: list[Asked] = []
        self.port = 0
        self._target = port
        self._login = login
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> LoopbackProxy:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        starting = asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self._tls)
        server = self._loop.run_until_complete(starting)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                method, target, _ = first.split(" ")
                headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                login = headers.get("proxy-authorization")
                self.asked.append(Asked(method, target, headers))
                if self._login and login != _basic(self._login):
                    page = f"no entry for {_plain(login)} ({login})".encode()
                    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                    answer += b'Proxy-Authenticate: Basic realm="x"\r\n'
                    writer.write(answer + b"Content-Length: %d\r\n\r\n" % len(page) + page)
                elif method == "CONNECT":
                    await self._tunnel(reader, writer)
                    return
                else:
                    path = "/" + target.split("/", 3)[3]
                    await self._forward(f"{method} {path} HTTP/1.1", lines, body, writer)
                await writer.drain()
        writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pour(reader, there_writer), _pour(there_reader, writer))

    async def _forward(
        self, first: str, lines: list[str], body: bytes, writer: asyncio.StreamWriter
    ) -> None:
        kept = [line for line in lines if not line.lower().startswith("proxy-")]
        reader, there = await asyncio.open_connection("127.0.0.1", self._target)
        there.write("\r\n".join([first, *kept, "", ""]).encode("latin-1") + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        writer.write(head + await reader.readexactly(length))
        there.close()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


def _basic(login: str) -> str:
    return "Basic " + base64.b64encode(login.encode()).decode()


def _plain(login: str | None) -> str:
    word = (login or "").partition(" ")[2]
    with contextlib.suppress(ValueError):
        return base64.b64decode(word).decode("latin-1")
    return word
