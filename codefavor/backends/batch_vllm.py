"""The batch file of `vllm run-batch`: written here, answered by vLLM here or anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import orjson

from codefavor.backends.base import Request, Response
from codefavor.backends.batch_openai import read_results
from codefavor.backends.vllm import VLLMBackend
from codefavor.errors import BackendError, ConfigError

_LOG_TAIL_CHARS = 1500


class VLLMBatchService:
    """Jobs that are files: `<token>.jsonl` in, `<token>.jsonl.out` out.

    With `command` (say, `["vllm", "run-batch"]`) vLLM is run here for each file; without it
    the job counts as running until somebody has put the output file there, complete.
    """

    max_requests = 1_000_000
    max_bytes = 2_000_000_000
    min_requests = 1

    def __init__(self, backend: VLLMBackend, *, command: Sequence[str] = ()) -> None:
        self._backend = backend
        self._model = backend.model
        self._command = list(command)
        self._folder: Path | None = None

    def line(self, key: str, request: Request) -> bytes:
        """One request, named by its key. Raises BackendError for what vLLM cannot honour."""
        return orjson.dumps(
            {
                "custom_id": key,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": self._backend.payload(request),
            }
        )

    async def submit(self, file: Path, token: str) -> str:
        """Run vLLM on the file if a command is given. Raises ConfigError if it fails."""
        output = output_of(file)
        if self._command and not output.exists():
            # vLLM overwrites its output from the start, so it gets a name that means nothing.
            partial = output.with_name(output.name + ".partial")
            words = [*self._command, "-i", str(file), "-o", str(partial), "--model", self._model]
            process = await asyncio.create_subprocess_exec(
                *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            log, _ = await process.communicate()
            if process.returncode != 0:
                tail = log.decode("utf-8", "replace")[-_LOG_TAIL_CHARS:]
                raise ConfigError(f"{' '.join(words)} failed ({process.returncode}):\n{tail}")
            partial.replace(output)
        return str(file)

    async def status(self, job: str) -> tuple[Literal["running", "done", "failed"], str]:
        """Done when the output has a line for each line of the input."""
        n_asked = _count_lines(Path(job))
        n_answered = _count_lines(output_of(Path(job)))
        state: Literal["running", "done"] = "done" if n_answered >= n_asked else "running"
        return state, f"{n_answered} of {n_asked} answers in {output_of(Path(job))}"

    async def collect(self, job: str, folder: Path) -> None:
        """The output is here already."""

    def results(
        self, job: str, requests: Mapping[str, Request]
    ) -> Iterator[tuple[str, Response | BackendError]]:
        """The answers and errors in the output file."""
        yield from read_results(output_of(Path(job)), requests)


def output_of(file: Path) -> Path:
    """Where the answers to a batch file are expected."""
    return file.with_name(file.name + ".out")


def _count_lines(file: Path) -> int:
    if not file.exists():
        return 0
    with open(file, "rb") as handle:
        return sum(1 for line in handle if line.strip())
