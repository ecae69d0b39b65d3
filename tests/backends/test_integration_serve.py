"""The openai backend against a real OpenAI-compatible server with a real model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from codefavor.backends import Request, Sampling, make_backend
from codefavor.backends.embedded import default_folder, ensure_embedded_model
from codefavor.engine import Context, run
from codefavor.journal import Journal, ok_rows
from codefavor.records import Problem
from codefavor.synthesis.drafts import make_drafts_step

pytestmark = [pytest.mark.integration, pytest.mark.model]

_READY_WITHIN_S = 600


@pytest.fixture(scope="module")
def model() -> Path:
    given = os.environ.get("CODEFAVOR_MODELS")
    return ensure_embedded_model(Path(given) if given else default_folder())


@pytest.fixture(scope="module")
def url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transformers serve` on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    command += ["--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with open(log, "wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                if reply.status == 200:
                    return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"not ready within {_READY_WITHIN_S} s:\n{log.read_text()[-3000:]}")


async def test_a_real_server_answers_and_stops_where_asked(url: str, model: Path) -> None:
    backend = make_backend(f"openai:{model}", base_url=url)
    messages = [
        {"role": "system", "content": ""},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    whole = await backend.generate(Request(messages, Sampling(max_tokens=30)))
    assert "Paris" in whole.text
    assert whole.finish_reason == "stop"
    assert whole.usage.output_tokens > 0
    cut = await backend.generate(Request(messages, Sampling(max_tokens=30), ("Paris",)))
    assert "Paris" not in cut.text
    short = await backend.generate(Request(messages, Sampling(max_tokens=2)))
    assert short.finish_reason == "length"
    await backend.close()


async def test_drafts_through_a_real_server_end_in_the_journal(
    url: str, model: Path, tmp_path: Path
) -> None:
    backend = make_backend(f"openai:{model}", base_url=url, features=["seed", "stop", "system"])
    problems = [
        Problem(f"p{i}", f"Write a function that adds {i} to x.", "", f"add_{i}").to_row()
        for i in range(3)
    ]
    step = make_drafts_step(Sampling(temperature=0.7, max_tokens=24, n=2))
    with Journal.open(tmp_path / "o", {}) as journal:
        counts = await run(step, problems, journal, context=Context(backend), concurrency=2)
    assert counts.n_ok == 3
    assert counts.n_requests == 6
    assert all(len(row["completions"]) == 2 for row in ok_rows(tmp_path / "o"))
