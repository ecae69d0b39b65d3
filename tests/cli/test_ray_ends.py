"""`--ray` that is ended or killed, and nodes that would ask another server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from types import SimpleNamespace

import pytest

from codefavor.cli import ray_shards
from codefavor.cli.ray_shards import Run
from codefavor.cli.ray_worker import Ended
from tests.cli.conftest import ELSEWHERE
from tests.cli.test_ray_storage import N, home, node_apart
from tests.kit.server import LoopbackServer, openai_reply

__all__ = ["home"]

WORDS = ["synthesise", "drafts", "--problems", "problems.jsonl", "--model", "openai:m"]
WORDS += ["--n", "1", "--temperature", "0", "--concurrency", "6", "--out", "out/o.jsonl"]


def start(words, home, **environment):
    """The command in a process of its own, which says what it says to a file."""
    with open(home / "said.txt", "w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "codefavor", *words],
            cwd=home,
            env={**os.environ, "XDG_CACHE_HOME": str(home), **environment},
            stdout=said,
            stderr=said,
        )


def said(home):
    return (home / "said.txt").read_text()


def test_what_was_paid_on_a_node_with_its_own_storage_is_not_asked_again(cluster, home):
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("this user may not have mounts of his own")
    seen = Counter()

    def slowly(call):
        question = call.body["messages"][-1]["content"]
        seen[question] += 1
        reply = openai_reply(
            call, f"```python\ndef double(x):\n    return 2 * x\n# {question}\n```"
        )
        reply.delay_s = 0.7
        return reply

    with LoopbackServer(slowly) as server, node_apart(cluster, home / "out"):
        words = [*WORDS, "--set", f"base_url={server.url}/v1"]
        words += ["--ray", cluster.address, "--shards", "3"]
        n_again = []
        for number, n_before, code in ((signal.SIGTERM, 30, 130), (signal.SIGKILL, 55, -9)):
            ended = start(words, home)
            while len(seen) < n_before and ended.poll() is None:
                time.sleep(0.1)
            ended.send_signal(number)
            assert ended.wait() == code, said(home)
            assert n_before <= len(seen) < N
            n_again.append(sum(seen.values()) - len(seen))
        assert start(words, home).wait() == 0, said(home)
        n_again.append(sum(seen.values()) - len(seen))
    assert len(seen) == len((home / "out/o.jsonl").read_text().splitlines()) == N
    # SIGTERM costs nothing, a kill what was in flight.
    assert n_again[:2] == [0, 0] and n_again[2] <= 6, n_again


def test_nodes_that_would_ask_another_server_ask_nobody(cluster, home):
    with LoopbackServer(lambda call: openai_reply(call, "x = 1")) as server:
        words = [*WORDS, "--ray", cluster.address, "--shards", "4"]
        done = start(words, home, OPENAI_BASE_URL=f"{server.url}/v1")
        assert done.wait() == 2, said(home)
    assert f'backend.endpoint = "{ELSEWHERE}" (here "{server.url}/v1")' in said(home)
    assert server.n_calls == 0
    # No shard has begun anywhere.
    assert not [*home.glob("out/shards/*/*")]


class Ray:
    """Of Ray what a run asks: it is interrupted, and answers come after so many further looks."""

    exceptions = SimpleNamespace(RayError=ArithmeticError)

    def __init__(self, n_looks):
        self.n_looks, self.cancelled = n_looks, []

    def cancel(self, shard, force):
        self.cancelled.append(shard)

    def wait(self, shards, timeout=None, **options):
        if not self.cancelled or self.n_looks is None:
            raise KeyboardInterrupt
        self.n_looks -= 1
        return ([], shards) if self.n_looks > 0 and timeout else (shards[:1], shards[1:])

    def get(self, shard):
        return Ended("", {"o.jsonl.journal": shard.encode()}, "node")

    def remote(self, kind):
        return SimpleNamespace(options=lambda **options: SimpleNamespace(remote=lambda *args: None))


def run_interrupted(ray, folder):
    job = SimpleNamespace(
        n_shards=2, known=SimpleNamespace(apart={}), folder=lambda index: folder / f"{index}-of-2"
    )
    end = SimpleNamespace(remote=lambda: None)
    run = Run(ray, job, SimpleNamespace(end=end), "score")
    with pytest.raises(KeyboardInterrupt):
        run._wait(deque([lambda index, files: f"shard {index}"] * 2))
    assert ray.cancelled == ["shard 0", "shard 1"]


def test_what_is_in_flight_is_waited_for_however_long_it_takes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(ray_shards, "on_node", lambda node: node)
    run_interrupted(Ray(n_looks=500), tmp_path)
    for index in range(2):
        journal = tmp_path / f"{index}-of-2" / "o.jsonl.journal"
        assert journal.read_text() == f"shard {index}"
    assert "waiting for the answers in flight of 2 shards" in capsys.readouterr().err


def test_a_second_signal_waits_for_nothing(tmp_path, capsys):
    run_interrupted(Ray(n_looks=None), tmp_path)
    assert "now ends at once" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
