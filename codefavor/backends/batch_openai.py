"""OpenAI's Batch API: a file of requests goes up, a file of answers comes down within a day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import aiohttp
import orjson

from codefavor.backends.base import Request, Response
from codefavor.backends.http import decode_object
from codefavor.backends.http_errors import error_of
from codefavor.backends.openai_api import OpenAIBackend
from codefavor.backends.openai_wire import response_of
from codefavor.errors import BackendError

_FINAL = frozenset({"completed", "expired", "cancelled"})


class OpenAIBatchService:
    """Batch jobs on the server of an `openai` backend."""

    # The service's own caps (50,000 requests, 200 MB), with some room.
    max_requests = 50_000
    max_bytes = 190_000_000
    min_requests = 1

    def __init__(self, backend: OpenAIBackend, *, completion_window: str = "24h") -> None:
        self._backend = backend
        self._client = backend.client
        self._window = completion_window
        self._folder: Path | None = None

    def line(self, key: str, request: Request) -> bytes:
        """One request, named by its key."""
        return orjson.dumps(
            {
                "custom_id": key,
                "method": "POST",
                "url": f"/v1{self._backend.path}",
                "body": self._backend.payload(request),
            }
        )

    async def submit(self, file: Path, token: str) -> str:
        """Upload and start; a job that already carries the token is taken instead."""
        started = await self._started_with(token)
        if started is not None:
            return started
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        with open(file, "rb") as handle:
            form.add_field("file", handle, filename=file.name, content_type="application/jsonl")
            _, content = await self._client.request("POST", "/files", form)
        reply = await self._client.post(
            "/batches",
            {
                "input_file_id": decode_object(content)["id"],
                "endpoint": f"/v1{self._backend.path}",
                "completion_window": self._window,
                "metadata": {"codefavor": token},
            },
        )
        return str(reply.body["id"])

    async def status(self, job: str) -> tuple[Literal["running", "done", "failed"], str]:
        """How the job is; `failed` means that the service refused the whole file."""
        body = (await self._client.get(f"/batches/{job}")).body
        words = str(body.get("status"))
        if words == "failed":
            errors = (body.get("errors") or {}).get("data") or []
            details = "; ".join(str(error.get("message")) for error in errors[:3])
            return "failed", f"failed: {details}"
        return ("done" if words in _FINAL else "running"), words

    async def collect(self, job: str, folder: Path) -> None:
        """Fetch the files of answers and of errors."""
        self._folder = folder
        body = (await self._client.get(f"/batches/{job}")).body
        with open(folder / f"{job}.results", "wb") as out:
            for name in ("output_file_id", "error_file_id"):
                if body.get(name):
                    _, content = await self._client.request("GET", f"/files/{body[name]}/content")
                    out.write(content.rstrip(b"\n") + b"\n")

    def results(
        self, job: str, requests: Mapping[str, Request]
    ) -> Iterator[tuple[str, Response | BackendError]]:
        """The answers and errors that `collect` fetched."""
        assert self._folder is not None, "collect comes first"
        yield from read_results(self._folder / f"{job}.results", requests)

    async def _started_with(self, token: str) -> str | None:
        body = (await self._client.get("/batches?limit=100")).body
        for job in body.get("data", []):
            if (job.get("metadata") or {}).get("codefavor") == token:
                return str(job["id"])
        return None


def read_results(
    file: Path, requests: Mapping[str, Request]
) -> Iterator[tuple[str, Response | BackendError]]:
    """(key, answer or error) of each line that OpenAI's and vLLM's batches write."""
    with open(file, "rb") as handle:
        for line in handle:
            if not line.strip():
                continue
            row = decode_object(line)
            request = requests.get(row.get("custom_id", ""))
            if request is not None:
                yield row["custom_id"], _outcome_of(row, request)


def _outcome_of(row: Mapping[str, object], request: Request) -> Response | BackendError:
    reply = row.get("response")
    error = row.get("error")
    try:
        if isinstance(reply, dict) and reply.get("status_code") == 200:
            return response_of(reply["body"], request)
        if isinstance(reply, dict) and reply.get("status_code"):
            content = orjson.dumps(reply.get("body") or {})
            return error_of(int(reply["status_code"]), {}, content, "batch")
    except BackendError as bad:
        return bad
    # What the service did not get to (expired, cancelled) is worth another job.
    return BackendError(f"batch: {error}", retryable=True, reason="batch_expired")
