"""A managed server is started once, checked, asked, and ends with its owner."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codefavor.backends import Request, Sampling
from codefavor.backends.vllm import VLLMBackend
from codefavor.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]

# Takes vLLM's command line and speaks its protocol; it is slow to get ready, as vLLM is.
PROGRAM = f"""#!{sys.executable}
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
words = sys.argv[1:]
assert words[0] == "serve", words
options = dict(zip(words[2::2], words[3::2]))
if words[1] == "broken":
    sys.exit("CUDA out of memory, says vLLM")
open(os.environ["STARTED"], "a").write(json.dumps([os.getpid(), words]) + "\\n")
time.sleep(0.6)

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *a):
        pass
    def reply(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def do_GET(self):
        self.reply({{}})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        flags = [body.get("continue_final_message"), body.get("add_generation_prompt")]
        text = json.dumps([body["messages"][-1]["content"], flags])
        choice = {{"index": 0, "message": {{"content": text}}, "finish_reason": "stop"}}
        self.reply({{"choices": [choice], "usage": {{}}}})

HTTPServer((options["--host"], int(options["--port"])), Handler).serve_forever()
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "vllm"
    path.write_text(PROGRAM)
    path.chmod(0o755)
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return path


def started(tmp_path: Path) -> list[list[object]]:
    import json

    return [json.loads(line) for line in (tmp_path / "started").read_text().splitlines()]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists() and bool(Path(f"/proc/{pid}/cmdline").read_bytes())


def wait_until_gone(pid: int, seconds: float = 15.0) -> bool:
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_alive(pid)


async def test_it_starts_once_passes_its_flags_and_stops(program: Path, tmp_path: Path) -> None:
    backend = VLLMBackend(
        "some/model",
        executable=str(program),
        tensor_parallel=2,
        data_parallel=3,
        arguments=["--max-model-len", "512"],
        log=str(tmp_path / "log"),
    )
    request = Request([{"role": "user", "content": "hi"}], Sampling(max_tokens=5))
    answers = await asyncio.gather(*(backend.generate(request) for _ in range(5)))
    assert {answer.text for answer in answers} == {'["hi", [null, null]]'}
    begun = Request([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
    assert (await backend.generate(begun)).text == '["b", [true, false]]'
    await backend.close()
    ((pid, words),) = started(tmp_path)
    assert isinstance(words, list)
    assert words[1:2] == ["some/model"]
    for flag, value in (
        ("--tensor-parallel-size", "2"), ("--data-parallel-size", "3"), ("--max-model-len", "512"),
    ):  # fmt: skip
        assert words[words.index(flag) + 1] == value
    assert wait_until_gone(int(str(pid)))


async def test_a_server_that_does_not_start_shows_the_end_of_its_log(
    program: Path, tmp_path: Path
) -> None:
    backend = VLLMBackend("broken", executable=str(program), log=str(tmp_path / "log"))
    with pytest.raises(ConfigError, match=r"(?s)did not start.*CUDA out of memory") as caught:
        await backend.generate(Request([{"role": "user", "content": "hi"}]))
    assert "executable=" in str(caught.value)
    await backend.close()


async def test_a_program_that_is_not_there_is_named_without_a_traceback(tmp_path: Path) -> None:
    backend = VLLMBackend("m", executable=str(tmp_path / "vllm"), log=str(tmp_path / "log"))
    with pytest.raises(ConfigError, match=r"vllm: cannot be started \(No such file") as caught:
        await backend.generate(Request([{"role": "user", "content": "hi"}]))
    assert "Traceback" not in str(caught.value)
    await backend.close()


def test_the_server_ends_when_its_owner_is_killed(program: Path, tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from codefavor.backends import Request\n"
        "from codefavor.backends.vllm import VLLMBackend\n"
        "async def main():\n"
        "    backend = VLLMBackend('m', executable=sys.argv[1], log=sys.argv[2])\n"
        "    await backend.generate(Request([{'role': 'user', 'content': 'x'}]))\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(program), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    assert owner.stdout is not None
    assert owner.stdout.readline().strip() == "ready"
    ((pid, _),) = started(tmp_path)
    assert is_alive(int(str(pid)))
    owner.kill()
    owner.wait()
    assert wait_until_gone(int(str(pid)))
