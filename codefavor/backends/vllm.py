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

from codefavor.backends.base import BaseBackend, Feature, Request, Response, endpoint_of
from codefavor.backends.openai_api import OpenAIBackend
from codefavor.backends.weights import weights_sha256
from codefavor.errors import BackendError, ConfigError
from codefavor.records import Row

_CHECK_EVERY_S = 0.5
_LOG_TAIL_BYTES = 2000


class VLLMBackend(BaseBackend):
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
        base_url: str = "",
        executable: str = "vllm",
        tensor_parallel: int = 1,
        data_parallel: int = 1,
        arguments: Sequence[str] = (),
        start_timeout_s: float = 1800.0,
        timeout_s: float = 600.0,
        log: str | None = None,
        endpoint: str = "",
    ) -> None:
        super().__init__(model)
        self._command = [executable, "serve", model, "--host", "127.0.0.1"]
        self._command += ["--tensor-parallel-size", str(tensor_parallel)]
        if data_parallel > 1:
            self._command += ["--data-parallel-size", str(data_parallel)]
        self._command += list(arguments)
        self._base_url = base_url
        self._identity = _identity(model, base_url, list(arguments), endpoint)
        self._start_timeout_s = start_timeout_s
        self._timeout_s = timeout_s
        self._log = Path(log) if log else None
        self._process: subprocess.Popen[bytes] | None = None
        self._server: OpenAIBackend | None = None
        self._starting: asyncio.Lock | None = None
        self._lock_loop: asyncio.AbstractEventLoop | None = None

    @property
    def identity(self) -> Row:
        """Model, content of a local folder, address of a server that runs already, arguments.

        How it is spread over devices does not change its answers.
        """
        return {"backend": self.name, **self._identity}

    async def generate(self, request: Request) -> Response:
        """The server's answer, after it has started. Raises BackendError, ConfigError."""
        self.check(request)
        server = await self._running_server()
        try:
            return await server.generate(request, extra=continuation(request))
        except BackendError as error:
            process = self._process
            if process is not None and process.poll() is not None:
                raise self._death(f"the vLLM server ended (status {process.returncode})") from error
            raise

    async def release(self) -> None:
        """Close the connections; the server stays up for the next run."""
        if self._server is not None:
            await self._server.release()

    async def close(self) -> None:
        """Stop the server."""
        await self.release()
        process, self._process, self._server = self._process, None, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            await asyncio.get_running_loop().run_in_executor(None, process.wait)

    async def _running_server(self) -> OpenAIBackend:
        loop = asyncio.get_running_loop()
        if self._starting is None or self._lock_loop is not loop:
            self._starting, self._lock_loop = asyncio.Lock(), loop
        async with self._starting:
            if self._server is None:
                url = self._base_url
                if not url:
                    port = _free_port()
                    self._start(port)
                    await self._wait_until_healthy(port)
                    url = f"http://127.0.0.1:{port}/v1"
                self._server = OpenAIBackend(
                    self.model,
                    base_url=url,
                    timeout_s=self._timeout_s,
                    api_key="none",
                    features=self.features,
                )
            return self._server

    def _start(self, port: int) -> None:
        if self._log is None:
            self._log = Path(tempfile.mkdtemp(prefix="codefavor-vllm-")) / "server.log"
        with open(self._log, "ab") as log:
            guard = [sys.executable, "-m", "codefavor.backends.guard"]
            self._process = subprocess.Popen(
                [*guard, *self._command, "--port", str(port)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    async def _wait_until_healthy(self, port: int) -> None:
        """Return when /health answers. Raises ConfigError with the log's tail if it cannot."""
        assert self._process is not None
        waited = 0.0
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while waited < self._start_timeout_s:
                if self._process.poll() is not None:
                    raise self._death("the vLLM server did not start")
                with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
                    async with session.get(f"http://127.0.0.1:{port}/health") as response:
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


def continuation(request: Request) -> Row:
    """vLLM's own way to say that the last message is the model's and is to be continued."""
    if request.messages[-1]["role"] != "assistant":
        return {}
    return {"continue_final_message": True, "add_generation_prompt": False}


def _identity(model: str, base_url: str, arguments: list[str], endpoint: str) -> Row:
    row: Row = {"model": model}
    if endpoint or base_url:
        row["endpoint"] = endpoint or endpoint_of(base_url)
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
