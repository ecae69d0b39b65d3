"""Servers are reached through proxies and TLS as users name them; the other side is asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import os
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import brotli
import pytest

from codefavor import __version__
from codefavor.backends import Request, make_backend
from codefavor.backends.connection import Connection, proxy_of
from codefavor.backends.http import HttpClient
from codefavor.errors import BackendError, ConfigError
from tests.kit.certificates import Authority, make_authority
from tests.kit.proxy import LoopbackProxy
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply

ASK = Request([{"role": "user", "content": "hi"}])
LOGIN = "us%40er:p%2Fw d"  # as it stands in a URL
PLAIN = "us@er:p/w d"
KEY = "sk-key-of-these-tests"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("SSL_CERT", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
    yield


async def ask(base_url: str, n: int = 1, **options: str) -> None:
    backend = make_backend("openai:m", base_url=base_url, api_key=KEY, **options)
    try:
        for _ in range(n):
            assert (await backend.generate(ASK)).text == "hi"
    finally:
        await backend.close()


# Proxies


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
async def test_tls_goes_through_one_tunnel_and_the_password_to_the_proxy_alone(
    variable: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        LoopbackServer(openai_reply, tls=authority.server_context()) as server,
        LoopbackProxy(server.port, PLAIN) as proxy,
    ):
        monkeypatch.setenv(variable, f"http://{LOGIN}@{proxy.address}")
        await ask("https://models.test/v1", n=3, ca_bundle=str(authority.ca))
    (asked,) = proxy.asked
    assert (asked.method, asked.target) == ("CONNECT", "models.test:443")
    expected = "Basic " + base64.b64encode(PLAIN.encode()).decode()
    assert asked.headers["proxy-authorization"] == expected
    assert asked.headers["user-agent"] == f"codefavor/{__version__}"
    assert KEY not in str(asked.headers)
    assert server.n_calls == 3
    assert all(call.headers["authorization"] == f"Bearer {KEY}" for call in server.calls)
    assert all("proxy-authorization" not in call.headers for call in server.calls)


async def test_the_proxy_itself_may_speak_tls(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = authority.server_context()
    with (
        LoopbackServer(openai_reply, tls=context) as server,
        LoopbackProxy(server.port, PLAIN, tls=context) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"https://{LOGIN}@{proxy.address}")
        await ask("https://models.test/v1", n=2, ca_bundle=str(authority.ca))
    assert [asked.method for asked in proxy.asked] == ["CONNECT"]
    assert server.n_calls == 2


async def test_a_plain_server_is_asked_through_the_proxy_with_the_password_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LoopbackServer(openai_reply) as server, LoopbackProxy(server.port, PLAIN) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"{LOGIN}@{proxy.address}")
        await ask("http://models.test:8000/v1", n=3)
    assert {(a.method, a.target) for a in proxy.asked} == {
        ("POST", "http://models.test:8000/v1/chat/completions")
    }
    assert server.n_calls == len(proxy.asked) == 3


@pytest.mark.parametrize("url", ["http://models.test/v1", "https://models.test/v1"])
async def test_a_proxy_that_is_not_there_is_named(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://me:proxy-password@127.0.0.1:9")
    with pytest.raises(BackendError, match="through the proxy of ALL_PROXY") as caught:
        await ask(url)
    assert (caught.value.reason, caught.value.retryable) == ("unreachable", True)
    assert "proxy-password" not in str(caught.value)


@pytest.mark.parametrize(
    ("entries", "url", "is_direct"),
    [
        ("*", "https://api.example.com", True),
        ("example.com", "https://api.example.com", True),
        (".example.com", "https://api.example.com", True),
        ("*.example.com", "https://api.example.com", True),
        ("example.com", "https://badexample.com", False),
        ("api.example.com:8443", "https://api.example.com:8443", True),
        ("api.example.com:8443", "https://api.example.com", False),
        ("api.example.com:443", "https://api.example.com", True),
        ("other.org, EXAMPLE.com", "https://api.example.com", True),
        ("10.0.0.0/8", "http://10.1.2.3:8000", True),
        ("10.0.0.0/8", "http://11.1.2.3:8000", False),
        ("10.0.0.0/8", "http://ten.example.com", False),
        ("127.0.0.1", "http://127.0.0.1:8000", True),
        ("127.0.0.1:8000", "http://127.0.0.1:8000", True),
        ("127.0.0.1:8001", "http://127.0.0.1:8000", False),
        ("::1", "http://[::1]:8000", True),
        ("[::1]", "http://[::1]:8000", True),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("fd00::/8", "http://[fd12::1]:8000", True),
        ("", "http://127.0.0.1:8000", False),
        ("localhost,,", "http://127.0.0.1:8000", False),
    ],
)
def test_no_proxy_names_what_is_reached_directly(
    entries: str, url: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", entries)
    proxy = proxy_of(url)
    assert (proxy is None) == is_direct
    if proxy is not None:
        assert (proxy.url, proxy.headers) == ("http://proxy.test:3128", {})


def test_the_scheme_of_the_server_chooses_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://plain.test:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://tls.test:2")
    monkeypatch.setenv("ALL_PROXY", "socks5://any.test:3")
    found = [proxy_of(f"{scheme}://models.test") for scheme in ("http", "https")]
    assert [p and p.url for p in found] == ["http://plain.test:1", "http://tls.test:2"]


@pytest.mark.parametrize("kind", ["openai", "gemini", "anthropic", "bedrock"])
def test_a_socks_proxy_is_refused_before_anything_is_sent(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://me:socks-password@proxy.test:1080")
    options = {"region": "us-east-1"} if kind == "bedrock" else {"api_key": "k"}
    with pytest.raises(ConfigError, match=r"ALL_PROXY names 'socks5h://proxy\.test:1080'") as found:
        make_backend(f"{kind}:m", **options)
    assert "socks-password" not in str(found.value)
    monkeypatch.setenv("NO_PROXY", "*")
    make_backend(f"{kind}:m", **options)


# Certificates


async def test_an_unknown_authority_is_refused_once_and_named_by_flag_or_variable(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LoopbackServer(openai_reply, tls=authority.server_context()) as server:
        with pytest.raises(BackendError, match=r"not trusted .*--ca-bundle FILE") as caught:
            await ask(f"{server.url}/v1")
        assert (caught.value.reason, caught.value.retryable) == ("certificate", False)
        await ask(f"{server.url}/v1", ca_bundle=str(authority.ca))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        await ask(f"{server.url}/v1")
    assert server.n_calls == 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_asks_for_a_client_certificate_gets_it(
    authority: Authority, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    context = authority.server_context(asks_client=True)
    context.maximum_version = version
    certificate, key = authority.client
    both = tmp_path / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    trust = {"ca_bundle": str(authority.ca)}
    with blocking_server(context) as (port, peers):
        url = f"https://127.0.0.1:{port}/v1"
        with pytest.raises(BackendError, match="--client-cert FILE") as caught:
            await ask(url, **trust)
        assert (caught.value.reason, caught.value.retryable) == ("certificate", False)
        assert peers == []
        await ask(url, **trust, client_cert=str(both))
        await ask(url, **trust, client_cert=str(certificate), client_key=str(key))
    assert peers == ["client", "client"]


def linger(connection: ssl.SSLSocket) -> None:
    """Close only when the client has: a reset for what is unread can overtake TLS's message."""
    connection.shutdown(socket.SHUT_WR)
    while socket.socket.recv(connection, 65536):
        pass
    connection.close()


@contextlib.contextmanager
def blocking_server(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    """(port, whose certificate came with each request) of a server that says why it refuses.

    asyncio's servers drop the connection without TLS's own message, which real ones send.
    """
    peers: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            peers.append(dict(x[0] for x in self.connection.getpeercert()["subject"])["commonName"])
            self.rfile.read(int(self.headers["Content-Length"]))
            choice = {"message": {"content": "hi"}, "finish_reason": "stop"}
            content = json.dumps({"choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            if context is not None:
                request = context.wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
                try:
                    request.do_handshake()
                except ssl.SSLError:
                    linger(request)
                    return
            super().finish_request(request, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], peers
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("kind", ["openai", "gemini", "anthropic", "bedrock"])
@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"ca_bundle": "/nowhere.pem"}, "CA bundle /nowhere.pem cannot be used: No such file"),
        ({"ca_bundle": "/etc/hostname"}, "CA bundle /etc/hostname cannot be used"),
        ({"client_cert": "/nowhere.pem"}, "client certificate /nowhere.pem cannot be used"),
        ({"client_key": "/nowhere.pem"}, "--client-key is given without --client-cert"),
    ],
)
def test_a_file_that_is_no_certificate_is_refused_at_the_start(
    kind: str, files: dict[str, str], complaint: str
) -> None:
    options = {"region": "us-east-1"} if kind == "bedrock" else {"api_key": "k"}
    with pytest.raises(ConfigError, match=complaint):
        make_backend(f"{kind}:m", **options, **files)


def test_certificates_are_refused_where_nothing_is_sent() -> None:
    with pytest.raises(ConfigError, match="'fake' has no option 'ca_bundle'"):
        make_backend("fake:echo", ca_bundle="/x.pem")


async def test_a_server_without_tls_is_said_to_have_none() -> None:
    words = "no TLS is spoken there"
    with blocking_server() as (port, _), pytest.raises(BackendError, match=words) as caught:
        await ask(f"https://127.0.0.1:{port}")
    assert not caught.value.retryable


# What arrives


async def test_a_request_says_who_asks_and_its_address_is_escaped() -> None:
    with LoopbackServer(openai_reply) as server:
        await ask(f"{server.url}/my models/ü?api-version=2024 10&x=a%2Fb+c#part")
    (call,) = server.calls
    parts = urlsplit(call.path)
    assert parts.path == "/my%20models/%C3%BC/chat/completions"
    assert parse_qsl(parts.query) == [("api-version", "2024 10"), ("x", "a/b c")]
    assert call.headers["user-agent"] == f"codefavor/{__version__}"
    assert call.headers["content-type"] == "application/json"
    assert {"gzip", "deflate", "br"} <= set(call.headers["accept-encoding"].split(", "))


PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}


@pytest.mark.parametrize("encoding", PACKERS)
async def test_a_packed_answer_is_unpacked(encoding: str) -> None:
    reply = Reply(PACKERS[encoding](b'{"a": 1}'), headers={"Content-Encoding": encoding})
    with LoopbackServer(lambda call: reply) as server:
        client = HttpClient(server.url, {})
        assert (await client.post("/x", {})).body == {"a": 1}
        await client.close()


async def test_a_connection_in_use_is_kept_alive_by_the_system() -> None:
    found = []

    def handle(call: Call) -> Reply:
        # This process holds both ends; the client's is the one whose peer is the server.
        for path in Path("/proc/self/fd").iterdir():
            try:
                end = socket.socket(fileno=os.dup(int(path.name)))
            except OSError:
                continue
            with end:
                if end.family == socket.AF_INET and _peer(end) == server.port:
                    found.append(end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        return openai_reply(call)

    with LoopbackServer(handle) as server:
        await ask(f"{server.url}/v1")
    assert found == [1]


def _peer(end: socket.socket) -> int:
    try:
        return int(end.getpeername()[1])
    except OSError:
        return 0


async def test_kept_connections_are_used_again_and_left_before_a_server_closes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("codefavor.backends.http._MAX_IDLE_S", 0.2)
    accepted = []
    with LoopbackServer(openai_reply) as server:
        backend = make_backend("openai:m", base_url=f"{server.url}/v1", api_key="k")
        for pause in (0.0, 0.0, 0.4):
            await asyncio.sleep(pause)
            await backend.generate(ASK)
            accepted.append(server.n_connections)
        await backend.close()
    assert accepted == [1, 1, 2]


# What goes wrong


@pytest.mark.parametrize(
    ("url", "reason", "words"),
    [
        ("http://127.0.0.1:9/v1?key=K-in-query", "unreachable", "connection refused"),
        ("http://no-such-host.invalid/v1", "unreachable", "the name cannot be resolved"),
    ],
)
async def test_what_cannot_be_reached_is_named_with_what_to_do(
    url: str, reason: str, words: str
) -> None:
    with pytest.raises(BackendError, match=words) as caught:
        await ask(url)
    assert (caught.value.reason, caught.value.retryable) == (reason, True)
    assert url.split("/")[2] in str(caught.value)
    assert "K-in-query" not in str(caught.value)


@pytest.mark.parametrize("kind", ["openai", "gemini", "anthropic", "bedrock"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_named_and_neither_followed_nor_repeated(
    kind: str, status: int
) -> None:
    with LoopbackServer(openai_reply) as elsewhere:
        location = f"{elsewhere.url}/v1/chat?token=T-of-the-redirect"
        moved = Reply({}, status=status, headers={"Location": location})
        with LoopbackServer(lambda call: moved) as server:
            where = "endpoint_url" if kind == "bedrock" else "base_url"
            options = {"region": "us-east-1"} if kind == "bedrock" else {"api_key": "k"}
            backend = make_backend(f"{kind}:m", **{where: server.url}, **options)
            with pytest.raises(BackendError, match=f"to '{elsewhere.url}/v1/chat'") as caught:
                await backend.generate(ASK)
            await backend.close()
    assert (caught.value.reason, caught.value.retryable) == ("redirect", False)
    assert "T-of-the-redirect" not in str(caught.value)
    assert (server.n_calls, elsewhere.n_calls) == (1, 0)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://x", "http://", "http://me:pw@host/v1"])
def test_what_is_no_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClient(url, {})
    assert "me:pw" not in str(caught.value)


def test_a_key_with_a_line_break_is_refused_at_the_start_and_not_shown() -> None:
    with pytest.raises(ConfigError, match="line break") as caught:
        HttpClient("http://x/v1", {"Authorization": "Bearer secret\n"})
    assert "secret" not in str(caught.value)


def test_certificates_hold_the_system_s_unless_a_bundle_is_named(authority: Authority) -> None:
    ours = Connection(ca_bundle=str(authority.ca)).tls_context().get_ca_certs()
    assert [dict(name[0] for name in one["subject"])["commonName"] for one in ours] == ["authority"]
