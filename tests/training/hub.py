"""A small server on loopback that answers as the Hub does, as far as we ask it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class FakeHub:
    """What the server knows, and what it was sent.

    `refusals` maps a repository to (status, X-Error-Code); other repositories have a config.json.
    """

    def __init__(self, refusals: dict[str, tuple[int, str]] | None = None) -> None:
        self.refusals = refusals or {}
        self.repositories: dict[str, bool] = {}
        self.files: dict[str, bytes] = {}
        self.tokens: set[str] = set()
        self.url = ""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: Any = None, **headers: str) -> None:
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def read(self) -> bytes:
            hub.tokens.add(self.headers.get("Authorization", ""))
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def do_HEAD(self) -> None:
            repository = "/".join(self.path.split("/")[1:3])
            status, code = hub.refusals.get(repository, (200, ""))
            if status == 200:
                self.send_response(200)
                self.send_header("X-Repo-Commit", "0" * 40)
                self.send_header("ETag", '"1"')
                self.send_header("Content-Length", "10")
                self.end_headers()
            else:
                self.answer(status, X_Error_Code=code)

        def do_GET(self) -> None:
            self.answer(200, {"id": "x/y", "sha": "0" * 40, "siblings": []})

        def do_POST(self) -> None:
            body = self.read()
            if self.path == "/api/repos/create":
                request = json.loads(body)
                name = f"{request.get('organization') or 'me'}/{request['name']}"
                hub.repositories[name] = request.get("visibility") == "private"
                self.answer(200, {"url": f"{hub.url}/{name}", "name": name})
            elif "/preupload/" in self.path:
                files = json.loads(body)["files"]
                modes = [{"path": one["path"], "uploadMode": "regular"} for one in files]
                self.answer(200, {"files": [{**one, "shouldIgnore": False} for one in modes]})
            elif "/commit/" in self.path:
                for line in body.splitlines():
                    part = json.loads(line)
                    if part["key"] == "file":
                        content = base64.b64decode(part["value"]["content"])
                        hub.files[part["value"]["path"]] = content
                address = f"{hub.url}/me/judge/commit/{'1' * 40}"
                self.answer(200, {"commitUrl": address, "commitOid": "1" * 40, "success": True})
            elif self.path == "/api/validate-yaml":
                self.answer(200, {"errors": [], "warnings": []})
            else:
                self.answer(404)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
