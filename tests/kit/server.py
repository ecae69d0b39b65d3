"""A small, fast HTTP server on loopback that answers as it is told and fails as it is told.

Run as a program it plays an OpenAI server in a process of its own:
`python -m tests.kit.server --port-file F --log F --fault-rate 0.3 --seed 1 --delay-s 0.05`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAULTS = (
    "429",
    "429_retry_after",
    "500",
    "503",
    "reset",
    "drip",
    "half",
    "bad_json",
    "wrong_schema",
)


@dataclass
class Call:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Reply:
    """What to send back; `fault` names how to spoil it, `delay_s` when to send it."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""
    delay_s: float = 0.0


Handler = Callable[[Call], Reply]


class LoopbackServer:
    """Serves a handler from a thread. Use it as a context manager; `url` is its address."""

    def __init__(
        self, handler: Handler, *, drip_s: float = 0.3, tls: ssl.SSLContext | None = None
    ) -> None:
        self.handler = handler
        self._tls = tls
        self.calls: list[Call] = []
        self.keep_calls = True
        self.n_calls = 0
        self.n_connections = 0
        self.faults: Counter[str] = Counter()
        self.drip_s = drip_s
        self.max_open = 0
        self._open = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def n_open(self) -> int:
        """How many requests with a delayed reply wait for it now."""
        return self._open

    def __enter__(self) -> LoopbackServer:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.start())
        self._ready.set()
        self._loop.run_forever()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", 0, backlog=1024, ssl=self._tls
        )
        self.port = server.sockets[0].getsockname()[1]


class _Connection(asyncio.Protocol):
    """One keep-alive connection. Requests need a Content-Length or a chunked body."""

    def __init__(self, server: LoopbackServer) -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._server.n_connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (parsed := _parse(self._buffer)) is not None:
            call, self._buffer = parsed
            self._answer(call)

    def _answer(self, call: Call) -> None:
        server = self._server
        server.n_calls += 1
        if server.keep_calls:
            server.calls.append(call)
        reply = server.handler(call)
        server.faults[reply.fault] += 1
        if reply.delay_s:
            server._open += 1
            server.max_open = max(server.max_open, server._open)
            asyncio.get_running_loop().call_later(reply.delay_s, self._send_later, reply)
        else:
            self._send(reply)

    def _send_later(self, reply: Reply) -> None:
        self._server._open -= 1
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        status, headers, content = _spoiled(reply)
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        data = head.encode() + b"\r\n" + content
        if reply.fault == "reset":
            transport.abort()
        elif reply.fault == "half":
            transport.write(data[: len(data) - len(content) // 2])
            transport.close()
        elif reply.fault == "drip":
            transport.write(data[:-5])
            asyncio.get_running_loop().call_later(self._server.drip_s, self._write, data[-5:])
        else:
            transport.write(data)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


def _spoiled(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    headers = {"Content-Type": "application/json", **reply.headers}
    content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    error = {"error": {"message": f"played {reply.fault}", "type": "played"}}
    if reply.fault in ("429", "429_retry_after", "500", "503"):
        if reply.fault == "429_retry_after":
            headers["Retry-After"] = "0.02"
        return int(reply.fault[:3]), headers, json.dumps(error).encode()
    if reply.fault == "bad_json":
        return reply.status, headers, b'{"choices": [{"message": '
    if reply.fault == "wrong_schema":
        return reply.status, headers, b'{"result": "not a completion"}'
    return reply.status, headers, content


def _parse(buffer: bytes) -> tuple[Call, bytes] | None:
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = buffer[:end].decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    rest = buffer[end + 4 :]
    if headers.get("transfer-encoding") == "chunked":
        unpacked = _unchunk(rest)
        if unpacked is None:
            return None
        content, rest = unpacked
    else:
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        content, rest = rest[:length], rest[length:]
    body: Any = content
    with contextlib.suppress(ValueError):
        body = json.loads(content) if content else None
    return Call(method, path, headers, body), rest


def _unchunk(data: bytes) -> tuple[bytes, bytes] | None:
    content = b""
    while True:
        head, found, data = data.partition(b"\r\n")
        if not found:
            return None
        size = int(head, 16)
        if len(data) < size + 2:
            return None
        content, data = content + data[:size], data[size + 2 :]
        if size == 0:
            return content, data


def openai_reply(call: Call, text: str | None = None) -> Reply:
    """A chat completion that repeats the last message, or says `text`."""
    n = call.body.get("n") or 1
    answer = call.body["messages"][-1]["content"] if text is None else text
    return Reply(
        {
            "id": "x",
            "object": "chat.completion",
            "model": call.body["model"],
            "choices": [
                {
                    "index": index,
                    "message": {"role": "assistant", "content": answer},
                    "finish_reason": "stop",
                }
                for index in range(n)
            ],
            "usage": {
                "prompt_tokens": max(1, len(answer) // 4),
                "completion_tokens": 7 * n,
                "total_tokens": 7 * n + max(1, len(answer) // 4),
            },
        }
    )


def failing(handler: Handler, rate: float, seed: int, faults: tuple[str, ...] = FAULTS) -> Handler:
    """The handler, spoiled at random for this share of requests."""
    rng = random.Random(seed)

    def handle(call: Call) -> Reply:
        reply = handler(call)
        if rng.random() < rate:
            reply.fault = rng.choice(faults)
        return reply

    return handle


def delayed(handler: Handler, delay_s: float) -> Handler:
    """The handler, answering after a while."""

    def handle(call: Call) -> Reply:
        reply = handler(call)
        reply.delay_s = delay_s
        return reply

    return handle


@contextlib.contextmanager
def openai_server(
    *, rate: float = 0.0, seed: int = 0, delay_s: float = 0.0, text: str | None = None
) -> Iterator[LoopbackServer]:
    """An OpenAI server on loopback with these faults."""
    handler = delayed(failing(lambda call: openai_reply(call, text), rate, seed), delay_s)
    with LoopbackServer(handler) as server:
        yield server


def main() -> None:
    """Play an OpenAI server in a process of its own, noting each served request in a log."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--fault-rate", type=float, default=0.0)
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text")
    options = parser.parse_args()
    base = failing(lambda call: openai_reply(call, options.text), options.fault_rate, options.seed)
    handler = delayed(base, options.delay_s)
    log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if options.log else None

    def handle(call: Call) -> Reply:
        reply = handler(call)
        if log is not None:
            last = call.body["messages"][-1]["content"]
            os.write(log, f"{last[:40]}\t{reply.fault}\n".encode())
        return reply

    server = LoopbackServer(handle)
    server.keep_calls = False

    async def serve() -> None:
        await server.start()
        options.port_file.write_text(str(server.port))
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
