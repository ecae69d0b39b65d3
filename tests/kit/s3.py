"""A server on loopback that speaks S3 (moto's), for runs whose files lie on object storage."""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import pytest


@contextlib.contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """A server with an empty bucket `bucket`; the environment by which clients reach it.

    The test is skipped where a package is missing.
    """
    pytest.importorskip("s3fs", reason="s3fs is not installed (the extra `storage`)")
    server = pytest.importorskip("moto.server", reason="moto is not installed (the extra `dev`)")
    # No key of the machine, and none of a cloud's own address.
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        _, port = running.get_host_and_port()
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        with mock.patch.dict(os.environ, environment):
            client().create_bucket(Bucket="bucket")
            yield environment
    finally:
        running.stop()


def client() -> Any:
    """A client of the server that does not go through our code."""
    import boto3

    return boto3.client("s3")


def names(prefix: str = "") -> list[str]:
    """The names of all objects that begin so."""
    pages = client().get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


def read(name: str) -> bytes:
    """The bytes of an object."""
    body: bytes = client().get_object(Bucket="bucket", Key=name)["Body"].read()
    return body


class Gate:
    """A way to the server on which single requests are refused, or only their answers lost."""

    def __init__(self, to: str) -> None:
        self.refuses: Callable[[str, str], bool] = lambda method, path: False
        self.after: Callable[[str, str], None] = lambda method, path: None
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = _body(self)
                if gate.refuses(self.command, self.path):
                    # What no client tries again, as an outage that its package gave up on.
                    _reply(self, 403, {}, b"<Error><Code>AccessDenied</Code></Error>")
                    return
                answer = _forward(to, self, body)
                gate.after(self.command, self.path)
                _reply(self, *answer)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Gate:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in request.headers.get("Transfer-Encoding", ""):
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    body = b""
    while size := int(request.rfile.readline().split(b";")[0], 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


def _forward(
    to: str, request: BaseHTTPRequestHandler, body: bytes
) -> tuple[int, dict[str, str], bytes]:
    server = http.client.HTTPConnection(to.removeprefix("http://"), timeout=60)
    left_out = ("expect", "transfer-encoding", "content-length")
    headers = {name: one for name, one in request.headers.items() if name.lower() not in left_out}
    server.request(request.command, request.path, body, headers)
    reply = server.getresponse()
    answer = reply.status, dict(reply.getheaders()), reply.read()
    server.close()
    return answer


def _reply(
    request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes
) -> None:
    request.send_response_only(status)
    for name, value in headers.items():
        if name.lower() not in ("content-length", "transfer-encoding", "connection"):
            request.send_header(name, value)
    length = headers.get("Content-Length") if request.command == "HEAD" else None
    request.send_header("Content-Length", length or str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
