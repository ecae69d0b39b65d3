"""A vLLM server that this process starts, checks and stops, asked through OpenAI's interface."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import aiohttp

from codefavor.backends.base import Count, Feature, Request, Response, Seconds, Text, endpoint_of
from codefavor.backends.connection import DEFAULT_CONNECTION, Connection
from codefavor.backends.openai_api import OpenAIBackend
from codefavor.backends.weights import weights_sha256
from codefavor.errors import BackendError, ConfigError
from codefavor.records import Row

_CHECK_EVERY_S = 0.5
_LOG_TAIL_BYTES = 2000


class VLLMBackend(OpenAIBackend):
    """`vllm serve MODEL` on a free port of loopback, started at the first request.

    `executable` is the `vllm` of the environment it is installed in, which is another than
    this one (see requirements-serve.txt). `tensor_parallel` and `data_parallel` are passed on;
    `arguments` are further words for the command line. The server ends with this process,
    however that ends. Its output goes to `log` (default: a temporary file). With `base_url` a
    server that runs already is asked, and nothing is started or stopped; `endpoint` then
    stands for its address, as for the backend `openai`.
    """

    name: ClassVar[str] = "vllm"
    features: frozenset[Feature] = frozenset(
        {"n", "seed", "logprobs", "json_schema", "stop", "system", "prefill"}
    )
    start_concurrency = None

    def __init__(
        self,
        model: str,
        *,
        base_url: Text | None = None,
        executable: Text = "vllm",
        tensor_parallel: Count = 1,
        data_parallel: Count = 1,
        arguments: Sequence[str] = (),
        start_timeout_s: Seconds = 1800.0,
        connection: Connection = DEFAULT_CONNECTION,
        log: Text | None = None,
        endpoint: Text | None = None,
    ) -> None:
        self._port = 0 if base_url else _free_port()
        super().__init__(
            model,
            base_url=base_url or f"http://127.0.0.1:{self._port}/v1",
            api_key="",
            connection=connection,
            # A proxy does not reach the server that this process starts.
            trust_env=bool(base_url),
        )
        self._command = [executable, "serve", model, "--host", "127.0.0.1"]
        self._command += ["--port", str(self._port), "--tensor-parallel-size", str(tensor_parallel)]
        if data_parallel > 1:
            self._command += ["--data-parallel-size", str(data_parallel)]
        self._command += list(arguments)
        self._identity = _identity(model, base_url, list(arguments), endpoint)
        self._start_timeout_s = start_timeout_s
        self._log = Path(log) if log else None
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = asyncio.Lock()

    @property
    def identity(self) -> Row:
        """Model, content of a local folder, address of a server that runs already, arguments.

        How it is spread over devices does not change its answers.
        """
        return {"backend": self.name, **self._identity}

    async def generate(self, request: Request) -> Response:
        """The server's answer, after it has started. Raises BackendError, ConfigError."""
        self.check(request)
        if self._port:
            await self._ensure_running()
        try:
            return await super().generate(request)
        except BackendError as error:
            process = self._process
            if process is not None and process.poll() is not None:
                raise self._death(f"the vLLM server ended (status {process.returncode})") from error
            raise

    async def release(self) -> None:
        """Close the connections; the next event loop gets a lock of its own."""
        await super().release()
        self._starting = asyncio.Lock()

    async def close(self) -> None:
        """Stop the server; `release` alone leaves it up for the next run."""
        await self.release()
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            await asyncio.get_running_loop().run_in_executor(None, process.wait)

    async def _ensure_running(self) -> None:
        async with self._starting:
            if self._process is None:
                self._start()
                await self._wait_until_healthy()

    def _start(self) -> None:
        if self._log is None:
            self._log = Path(tempfile.mkdtemp(prefix="codefavor-vllm-")) / "server.log"
        with open(self._log, "ab") as log:
            guard = [sys.executable, "-m", "codefavor.backends.guard"]
            self._process = subprocess.Popen(
                [*guard, *self._command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def _wait_until_healthy(self) -> None:
        """Return when /health answers. Raises ConfigError with the log's tail if it cannot."""
        assert self._process is not None
        waited, url = 0.0, f"http://127.0.0.1:{self._port}/health"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while waited < self._start_timeout_s:
                if self._process.poll() is not None:
                    raise self._death("the vLLM server did not start")
                with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
                    async with session.get(url) as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(_CHECK_EVERY_S)
                waited += _CHECK_EVERY_S
        await self.close()
        raise self._death(f"the vLLM server was not ready after {self._start_timeout_s:g} s")

    def _death(self, what: str) -> ConfigError:
        tail = ""
        if self._log is not None and self._log.exists():
            tail = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")
        return ConfigError(
            f"{what}: {' '.join(self._command)}\nend of {self._log}:\n{tail}\n"
            "(vLLM lives in an environment of its own; name its program with "
            "--set executable=/that/environment/bin/vllm)"
        )


def _identity(model: str, base_url: str | None, arguments: list[str], endpoint: str | None) -> Row:
    row: Row = {"model": model}
    if endpoint or base_url:
        row["endpoint"] = endpoint or endpoint_of(base_url or "")
    if arguments:
        row["arguments"] = arguments
    # Adapters are named in arguments: `--lora-modules name=folder`.
    words = [model, *(word.rpartition("=")[2] for word in arguments)]
    # A model of the Hub is no path, and no other word may mean the working folder.
    paths = [Path(word) for word in words if word.strip("./")]
    weights = {str(path): weights_sha256(path) for path in paths if path.exists()}
    return row | ({"weights": weights} if weights else {})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
