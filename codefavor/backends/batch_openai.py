"""Batch files as OpenAI defines them: its Batch API, and `vllm run-batch`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from codefavor.backends.base import Request, Response, Text
from codefavor.backends.batch_service import BatchService, JobStatus
from codefavor.backends.http import decode_object
from codefavor.backends.http_errors import error_of
from codefavor.backends.openai_api import OpenAIBackend, response_of
from codefavor.backends.replies import object_in, status_in, text_in
from codefavor.errors import BackendError, ConfigError
from codefavor.redaction import redact_file

_FINAL = frozenset({"completed", "expired", "cancelled"})
_LOG_TAIL_CHARS = 1500


class OpenAIBatchService(BatchService):
    """Batch jobs on the server of an `openai` backend."""

    def __init__(self, backend: OpenAIBackend, *, completion_window: Text = "24h") -> None:
        self._backend = backend
        self._client = backend.client
        self._window = completion_window

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

    async def status(self, job: str) -> tuple[JobStatus, str]:
        """How the job is; `failed` means that the service refused the whole file."""
        body = (await self._client.get(f"/batches/{job}")).body
        words = str(body.get("status"))
        if words == "failed":
            errors = list(object_in(body, "errors").get("data") or [])
            details = "; ".join(text_in(error, "message") for error in errors[:3])
            return "failed", f"failed: {details}"
        return ("done" if words in _FINAL else "running"), words

    async def collect(self, job: str, folder: Path) -> Path:
        """Fetch the files of answers and of errors."""
        body = (await self._client.get(f"/batches/{job}")).body
        file = folder / f"{job}.results"
        with open(file, "wb") as out:
            for name in ("output_file_id", "error_file_id"):
                if body.get(name):
                    _, content = await self._client.request("GET", f"/files/{body[name]}/content")
                    out.write(redact_file(content).rstrip(b"\n") + b"\n")
        return file

    def answer(self, row: Mapping[str, Any], request: Request) -> Response:
        """The response in a line of results, which vLLM writes alike."""
        reply = object_in(row, "response")
        body, status = object_in(reply, "body"), status_in(reply, "status_code")
        if status == 200 or (not status and "choices" in body):
            return response_of(body, request)
        if status:
            raise error_of(status, {}, orjson.dumps(body), "batch")
        # What the service did not get to (expired, cancelled) is worth another job.
        raise BackendError(f"batch: {row.get('error')}", retryable=True, reason="batch_expired")

    async def _started_with(self, token: str) -> str | None:
        body = (await self._client.get("/batches?limit=100")).body
        for job in body.get("data", []):
            if object_in(job, "metadata").get("codefavor") == token:
                return str(job["id"])
        return None


class VLLMBatchService(OpenAIBatchService):
    """Jobs that are files: `<token>.jsonl` in, `<token>.jsonl.out` out.

    With `command` (say, `["vllm", "run-batch"]`) vLLM is run here for each file; without it
    the job counts as running until somebody has put the output file there, complete.
    """

    max_requests = 1_000_000
    max_bytes = 2_000_000_000

    def __init__(self, backend: OpenAIBackend, *, command: Sequence[str] = ()) -> None:
        super().__init__(backend)
        self._command = list(command)

    async def submit(self, file: Path, token: str) -> str:
        """Run vLLM on the file if a command is given. Raises ConfigError if it fails."""
        output = output_of(file)
        if self._command and not output.exists():
            # vLLM overwrites its output from the start, so it gets a name that means nothing.
            partial = output.with_name(output.name + ".partial")
            words = [
                *self._command,
                "-i",
                str(file),
                "-o",
                str(partial),
                "--model",
                self._backend.model,
            ]
            process = await asyncio.create_subprocess_exec(
                *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            log, _ = await process.communicate()
            if process.returncode != 0:
                tail = log.decode("utf-8", "replace")[-_LOG_TAIL_CHARS:]
                raise ConfigError(f"{' '.join(words)} failed ({process.returncode}):\n{tail}")
            partial.replace(output)
        return str(file)

    async def status(self, job: str) -> tuple[JobStatus, str]:
        """Done when the output has a line for each line of the input."""
        n_asked = _count_lines(Path(job))
        n_answered = _count_lines(output_of(Path(job)))
        state: JobStatus = "done" if n_answered >= n_asked else "running"
        return state, f"{n_answered} of {n_asked} answers in {output_of(Path(job))}"

    async def collect(self, job: str, folder: Path) -> Path:
        """The output is here already."""
        return output_of(Path(job))


def output_of(file: Path) -> Path:
    """Where the answers to a batch file are expected."""
    return file.with_name(file.name + ".out")


def _count_lines(file: Path) -> int:
    if not file.exists():
        return 0
    with open(file, "rb") as handle:
        return sum(1 for line in handle if line.strip())
