"""`--ray` on two raylets of this machine: the same bytes, whoever is killed, within one budget."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from codefavor.cli import ray_nodes
from codefavor.cli.ray_shards import Run
from codefavor.errors import CodefavorError, ConfigError
from codefavor.records import Problem, content_id, write_rows
from tests.cli.conftest import CLIENT_PORT, SMALL, patiently
from tests.kit.commands import codefavor
from tests.kit.server import LoopbackServer, openai_reply

ROOT = Path(__file__).parents[2]
PROGRAM = "def double(x):\n    return 2 * x\n"
N_KILLS = 8


@pytest.fixture
def home(tmp_path):
    problems = [
        Problem(
            id=f"p{n:02}",
            instruction=f"Double number {n}.",
            tests=f"assert double({n}) == {2 * n}\n",
            entry_point="double",
        )
        for n in range(80)
    ]
    write_rows(tmp_path / "problems.jsonl", [one.to_row() for one in problems])
    completions = [
        {"id": content_id(one.id), "problem_id": one.id, "code": PROGRAM} for one in problems
    ]
    write_rows(tmp_path / "completions.jsonl", completions)
    return tmp_path


def program_reply(call):
    """A completion that holds a program, another one for each question."""
    question = call.body["messages"][-1]["content"].partition("\n")[0]
    return openai_reply(call, f"```python\n{PROGRAM}# {question}\n```")


def drafts(url, out):
    return (
        f"synthesise drafts --problems problems.jsonl --model openai:m --set base_url={url}/v1 "
        f"--n 1 --temperature 0 --concurrency 8 --out {out}"
    ).split()


@contextlib.contextmanager
def killing(seed, n_kills=N_KILLS):
    """SIGKILL to processes that run a shard, at random moments; how many were hit."""
    rng, stop, killed = random.Random(seed), threading.Event(), []

    def work():
        while not stop.wait(rng.uniform(0.2, 2.0)) and len(killed) < n_kills:
            running = list(processes_of_shards())
            if running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(running), signal.SIGKILL)
                    killed.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield killed
    finally:
        stop.set()
        thread.join()


def processes_of_shards():
    """Those of this test, which works in a folder of its own."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            is_shard = (folder / "cmdline").read_bytes().startswith(b"ray::codefavor shard")
            if is_shard and (folder / "cwd").readlink() == Path.cwd():
                yield int(folder.name)


def test_a_cluster_writes_the_bytes_of_one_machine(cluster, home):
    with LoopbackServer(program_reply) as server:
        alone = codefavor(*drafts(server.url, "alone.jsonl"), "--no-cache", home=home)
        assert alone.code == 0, alone.stderr
        words = drafts(server.url, "shared.jsonl")
        done = codefavor(*words, "--ray", cluster.address, "--shards", 4, home=home)
    assert done.code == 0, done.stderr
    assert (home / "alone.jsonl").read_bytes() == (home / "shared.jsonl").read_bytes()
    assert "4 shards, 80 rows" in done.stderr and "0 restarts" in done.stderr
    # Each request once with a cluster, once without.
    assert server.n_calls == 160


def test_programs_run_on_a_cluster_as_here(cluster, home):
    words = ["score", "completions.jsonl", "--problems", "problems.jsonl", "--out", "scored.jsonl"]
    done = codefavor(*words, "--ray", cluster.address, "--shards", 2, home=home)
    assert done.code == 0, done.stderr
    assert len((home / "scored.jsonl").read_text().splitlines()) == 80
    assert '"n_error": 0' in done.stdout and '"passed": 80' in done.stdout


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_processes_cost_what_was_in_flight(cluster, home, seed):
    seen, lock = Counter(), threading.Lock()

    def slowly(call):
        with lock:
            seen[call.body["messages"][-1]["content"]] += 1
        reply = program_reply(call)
        reply.delay_s = 0.3
        return reply

    with LoopbackServer(slowly) as server:
        words = drafts(server.url, "shared.jsonl")
        with killing(seed) as killed:
            done = codefavor(*words, "--ray", cluster.address, "--shards", 4, home=home)
        assert done.code == 0, done.stderr
        assert killed, "nobody was killed"
        n_sent, n_again = len(seen), sum(seen.values()) - len(seen)
        alone = codefavor(*drafts(server.url, "alone.jsonl"), "--no-cache", home=home)
        assert alone.code == 0, alone.stderr
    assert (home / "alone.jsonl").read_bytes() == (home / "shared.jsonl").read_bytes()
    assert n_sent == 80
    # Of 8 requests in flight two processes have four each.
    assert n_again <= 4 * len(killed)


def test_a_lost_node_costs_what_was_in_flight(cluster, home):
    seen = Counter()
    third = patiently(lambda: cluster.add_node(**SMALL, node_ip_address="127.0.0.4"))

    def slowly(call):
        seen[call.body["messages"][-1]["content"]] += 1
        reply = program_reply(call)
        reply.delay_s = 0.5
        return reply

    def pull_the_plug():
        while len(seen) < 30:
            time.sleep(0.1)
        cluster.remove_node(third, allow_graceful=False)

    with LoopbackServer(slowly) as server:
        thread = threading.Thread(target=pull_the_plug)
        thread.start()
        words = drafts(server.url, "shared.jsonl")
        done = codefavor(*words, "--ray", cluster.address, "--shards", 6, home=home)
        thread.join()
        assert done.code == 0, done.stderr
        n_again = sum(seen.values()) - len(seen)
        alone = codefavor(*drafts(server.url, "alone.jsonl"), "--no-cache", home=home)
        assert alone.code == 0, alone.stderr
    assert (home / "alone.jsonl").read_bytes() == (home / "shared.jsonl").read_bytes()
    # Of 8 requests in flight three nodes have two each; its process may go on for a moment.
    assert n_again <= 4


def test_a_cluster_is_asked_through_rays_client(cluster, home):
    with LoopbackServer(program_reply) as server:
        words = drafts(server.url, "shared.jsonl")
        address = f"ray://127.0.0.2:{CLIENT_PORT}"
        done = codefavor(*words, "--ray", address, "--shards", 2, home=home)
    assert done.code == 0, done.stderr
    assert len((home / "shared.jsonl").read_text().splitlines()) == 80
    assert server.n_calls == 80


def test_eight_workers_that_are_killed_spend_no_more_than_a_dollar(cluster, home):
    """Of eighty requests at three cents, the budget pays for thirty at most."""
    billed = Counter()

    def bill(call):
        reply = program_reply(call)
        usage = reply.body["usage"]
        billed["usd"] += (usage["prompt_tokens"] + usage["completion_tokens"]) / 1000
        billed["n"] += 1
        reply.delay_s = 0.3
        return reply

    prices = {"prices": {"openai:m": {"input": 1000, "output": 1000}}}
    (home / "prices.json").write_text(json.dumps(prices))
    words = [
        *["--budget-usd", "1", "--max-tokens", "16", "--prices", "prices.json", "--shards", "16"]
    ]
    more = patiently(lambda: cluster.add_node(**{**SMALL, "num_cpus": 6}))
    try:
        with LoopbackServer(bill) as server, killing(3, n_kills=4) as killed:
            asked = [*drafts(server.url, "shared.jsonl"), "--ray", cluster.address, *words]
            done = codefavor(*asked, home=home)
    finally:
        cluster.remove_node(more)
    assert killed, "nobody was killed"
    assert 0 < billed["usd"] <= 1.0
    assert done.code == 2 and "the budget is spent" in done.stderr, done.stderr
    assert done.stderr.count("error:") == 1


@pytest.mark.slow
def test_a_rate_limit_is_for_all_workers_together(cluster, home):
    arrived = []

    def note(call):
        arrived.append(time.monotonic())
        return program_reply(call)

    with LoopbackServer(note) as server, killing(4, n_kills=2) as killed:
        words = [*drafts(server.url, "shared.jsonl"), "--requests-per-min", 50]
        done = codefavor(*words, "--ray", cluster.address, "--shards", 4, home=home)
    assert done.code == 0, done.stderr
    assert killed, "nobody was killed"
    assert len(arrived) >= 80
    assert max(sum(at <= one < at + 60 for one in arrived) for at in arrived) <= 50


def test_a_node_with_other_code_is_refused(cluster, home):
    other = home / "other"
    shutil.copytree(ROOT / "codefavor", other / "codefavor")
    (other / "codefavor" / "text.py").open("a").write("\n# another version\n")
    # The nodes find the package by the path of whoever calls: here another one than theirs.
    code = "import sys; from codefavor.cli.main import main; main()"
    words = drafts("http://127.0.0.1:9", home / "o.jsonl")
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--ray", cluster.address],
        cwd=home,
        env={
            **os.environ,
            "PYTHONPATH": f"{other}:{os.environ['PYTHONPATH']}",
            "OPENAI_API_KEY": "k",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "has another version of the code" in done.stderr, done.stderr


def examined(**changed):
    same = {"code": "c", "files": {"a.jsonl": "1"}, "level": "L3", "missing": []}
    settings = {"o.jsonl.journal": {"backend.endpoint": "http://a/v1", "seed": 0}}
    return {**same, "settings": settings, "refused": "", **changed}


def elsewhere(**changed):
    return {"o.jsonl.journal": {"backend.endpoint": "http://a/v1", "seed": 0, **changed}}


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ({"error": "cannot import codefavor"}, "cannot import codefavor"),
        (examined(code="d"), "another version of the code"),
        (examined(missing=["/data/a.jsonl"]), "does not see /data/a.jsonl"),
        (examined(files={"a.jsonl": "2"}), "other data at a.jsonl"),
        (examined(level="none (no namespaces)"), "sandbox level none (no namespaces)"),
        (
            examined(settings=elsewhere(**{"backend.endpoint": "http://b/v1"})),
            'backend.endpoint = "http://b/v1" (here "http://a/v1")',
        ),
        (examined(settings={}, refused="openai needs a key"), "cannot run this: openai needs"),
    ],
)
def test_a_node_that_cannot_do_the_same_is_refused(theirs, words):
    with pytest.raises(ConfigError, match="--ray: the node n7"):
        ray_nodes.compare("n7", examined(), theirs)
    with pytest.raises(ConfigError) as error:
        ray_nodes.compare("n7", examined(), theirs)
    assert words in str(error.value)


def test_a_path_that_a_node_does_not_see_is_missing(tmp_path):
    gone = str(tmp_path / "gone")
    wanted = {
        "folder": gone,
        "seen": "/no",
        "files": [],
        "data": None,
        "level": "",
        "words": ["score"],
    }
    assert ray_nodes.examine(wanted)["missing"] == [gone]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:9", "nobody answers there"),
        ("ray://127.0.0.1:9", "nobody answers there"),
        # Something that listens and is no Ray.
        ("{elsewhere}", "what answers there is not Ray"),
        ("nonsense", "expected auto, local, HOST:PORT or ray://HOST:PORT"),
    ],
)
def test_an_address_where_no_cluster_is_fails_before_anything_is_asked(home, address, words):
    pytest.importorskip("ray", reason="ray is not installed (the extra `cluster`)")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        address = address.format(elsewhere=f"127.0.0.1:{elsewhere.server_port}")
        done = codefavor(*drafts("http://127.0.0.1:9", "o.jsonl"), "--ray", address, home=home)
        elsewhere.shutdown()
    assert done.code == 2 and words in done.stderr


def test_without_ray_the_extra_is_named(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = codefavor(*drafts("http://127.0.0.1:9", "o.jsonl"), "--ray", "local", home=home)
    assert done.code == 2 and "pip install 'codefavor[cluster]'" in done.stderr


@pytest.mark.parametrize("words", ["--shard 0/2", "--dry-run", "--batch", "--no-cache"])
def test_what_has_no_meaning_on_a_cluster_is_refused(home, words):
    asked = [*drafts("http://127.0.0.1:9", "o.jsonl"), *words.split()]
    done = codefavor(*asked, "--ray", "local", home=home)
    assert done.code == 2 and "does not go with --ray" in done.stderr


def test_a_server_for_every_shard_is_refused(home):
    words = "synthesise drafts --problems problems.jsonl --out o.jsonl --ray local --model vllm:m"
    done = codefavor(*words.split(), home=home)
    assert done.code == 2 and "would start a server for every shard" in done.stderr


def test_an_address_that_is_empty_is_refused(home):
    done = codefavor(*drafts("http://127.0.0.1:9", "o.jsonl"), "--ray", "", home=home)
    assert done.code == 2 and "--ray: the address is empty" in done.stderr


def test_shards_without_a_cluster_are_refused(home):
    done = codefavor(*drafts("http://127.0.0.1:9", "o.jsonl"), "--shards", 3, home=home)
    assert done.code == 2 and "--shards belongs to --ray" in done.stderr


def test_a_cluster_that_does_not_start_is_one_error(home, monkeypatch):
    ray = pytest.importorskip("ray", reason="ray is not installed (the extra `cluster`)")

    def fail(**options):
        # Without an address Ray joins a cluster that runs here already.
        assert options["address"] == "local"
        # What Ray itself raises where a raylet takes too long, on a busy machine.
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", fail)
    done = codefavor(*drafts("http://127.0.0.1:9", "o.jsonl"), "--ray", "local", home=home)
    assert done.code == 2 and "Ray does not start or connect: The current node" in done.stderr


def test_a_lost_coordinator_is_one_error():
    class ActorDiedError(Exception):
        """As Ray says it: in many lines."""

    def get(asked):
        raise ActorDiedError("The actor died unexpectedly.\n\tclass_name: Coordinator\n")

    cancelled = []
    ray = SimpleNamespace(
        # A shard that is told to end does.
        wait=lambda pending, **options: (pending, []) if cancelled else ([], pending),
        get=get,
        cancel=lambda one, force: cancelled.append(one),
        exceptions=SimpleNamespace(RayError=ActorDiedError, WorkerCrashedError=ActorDiedError),
    )
    ended = []
    coordinator = SimpleNamespace(
        progress=SimpleNamespace(remote=lambda: "sums"),
        end=SimpleNamespace(remote=lambda: ended.append(True)),
    )
    job = SimpleNamespace(n_shards=2, known=SimpleNamespace(apart={}), folder=Path)
    run = Run(ray, job, coordinator, "score")
    with pytest.raises(CodefavorError, match="the same command goes on") as error:
        run._wait(deque([lambda index, files: f"shard {index}"] * 2))
    assert "\n" not in str(error.value) and "ActorDiedError" in str(error.value)
    assert cancelled == ["shard 0", "shard 1"] and ended
