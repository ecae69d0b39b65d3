"""What kills cost a run on Ray, and what shards, their merge and Ray cost beside one process.

    python benchmarks/cluster.py kills --rows 1000 --kills 20   # SIGKILL at random moments
    python benchmarks/cluster.py merge --rows 20000             # CPU of a row; memory
    python benchmarks/cluster.py cpu --rows 2000                # CPU on Ray, beside the plain run

`merge` runs every command below a process that adopts and waits for whatever it leaves behind. Of
a run on Ray that does not give the CPU, as a raylet waits for none of its children: `cpu` runs it
in a cgroup of its own (cpuacct of version 1, which takes root).
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from codefavor.backends.base import Request  # noqa: E402
from tests.kit.server import Call, LoopbackServer, Reply, openai_reply  # noqa: E402

_SUBREAPER = 36
FAKE = "fake:benchmarks.cluster:double"
PROGRAM = "def double(number):\n    return 2 * number\n"


def double(_request: Request) -> str:
    """A program, so that each row yields one."""
    return f"```python\n{PROGRAM}```"


def measured(words: list[str], folder: Path) -> tuple[float, float, int]:
    """(CPU seconds, wall seconds, MB of the largest process) of a command and what it left."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from benchmarks.cluster import adopt; adopt()"
    )
    command = [sys.executable, "-c", code, str(ROOT), *words]
    options: dict[str, Any] = {"cwd": folder, "stdout": subprocess.PIPE, "text": True}
    for _ in range(4):
        # On a busy machine Ray gives a cluster up that does not start within seconds.
        done = subprocess.run(command, check=False, **options)
        if done.returncode == 0:
            break
    done.check_returncode()
    cpu, wall, peak = json.loads(done.stdout.splitlines()[-1])
    return cpu, wall, peak


def adopt() -> None:
    """Run the command behind `sys.argv[1]`, wait for all its processes, print what they took."""
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    started = time.monotonic()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
        "OPENAI_API_KEY": "k",
        "XDG_CACHE_HOME": str(Path.cwd()),
        "RAY_agent_register_timeout_ms": "300000",
    }
    command = [sys.executable, "-m", "codefavor", *sys.argv[2:]]
    done = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
    wall = time.monotonic() - started
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.returncode
    print(json.dumps([used.ru_utime + used.ru_stime, wall, used.ru_maxrss >> 10]))


@contextlib.contextmanager
def server(folder: Path, delay_s: float = 0.0) -> Iterator[str]:
    """The address of an OpenAI server in a process of its own, that answers with a program."""
    port = folder / "port"
    port.unlink(missing_ok=True)
    words = ["--port-file", str(port), "--log", str(folder / "log"), "--delay-s", str(delay_s)]
    words += ["--text", f"```python\n{PROGRAM}```"]
    process = subprocess.Popen([sys.executable, "-m", "tests.kit.server", *words], cwd=ROOT)
    try:
        while not port.exists() or not port.read_text().strip():
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port.read_text().strip()}/v1"
    finally:
        process.terminate()
        process.wait()


def write_input(folder: Path, n: int) -> str:
    """n problems in a file, and a program for each in another; the name of the first."""
    with open(folder / "completions.jsonl", "w") as file:
        for i in range(n):
            row = {"id": f"c{i}", "problem_id": f"p{i}", "code": f"{PROGRAM}# {i}\n"}
            file.write(json.dumps(row) + "\n")
    with open(folder / "problems.jsonl", "w") as file:
        for i in range(n):
            problem = {
                "id": f"p{i}",
                "instruction": f"Double number {i}. " * 10,
                "tests": f"assert double({i}) == {2 * i}\n",
                "entry_point": "double",
            }
            file.write(json.dumps(problem) + "\n")
    return "problems.jsonl"


def kill_shards(n: int, n_kills: int) -> None:
    """Kill shards and raylets while requests are in flight, and compare bytes and requests.

    Raises AssertionError unless so many kills hit a process of a shard, or a raylet that had one.
    """
    from ray.cluster_utils import Cluster

    served: Counter[str] = Counter()

    def answer(call: Call) -> Reply:
        question = call.body["messages"][-1]["content"]
        served[question] += 1
        reply = openai_reply(call, f"```python\n{PROGRAM}# {question.splitlines()[0]}\n```")
        reply.delay_s = 0.3
        return reply

    with tempfile.TemporaryDirectory() as name, LoopbackServer(answer) as server:
        server.keep_calls = False
        folder = Path(name)
        words = (
            f"synthesise drafts --problems {write_input(folder, n)} --n 1 --temperature 0 "
            f"--model openai:m --set base_url={server.url}/v1 --concurrency 8"
        ).split()
        environment_for_ray()
        head = {**_NODE, "num_cpus": 0, "node_ip_address": "127.0.0.2", "include_dashboard": False}
        cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        try:
            killer = Killer(cluster, server, n_kills)
            out = ["--ray", cluster.address, "--shards", "6", "--out", "ray.jsonl"]
            with ThreadPoolExecutor(1) as threads:
                done = threads.submit(run_codefavor, [*words, *out], folder)
                # Here: a raylet is not started in any other thread than the first.
                killer.work(done.done)
                done.result()
        finally:
            cluster.shutdown()
        n_again = served.total() - len(served)
        run_codefavor([*words, "--out", "plain.jsonl"], folder)
        is_same = (folder / "ray.jsonl").read_bytes() == (folder / "plain.jsonl").read_bytes()
        print(
            f"{killer.n_shards} shards and {killer.n_raylets} raylets killed: bytes "
            f"{'the same' if is_same else 'DIFFER'}, {len(served)} of {n} rows asked, {n_again} "
            f"requests sent again ({killer.n_in_flight} were in flight at the kills)"
        )
        assert is_same and len(served) == n and n_again <= killer.n_in_flight
        assert killer.n_shards + killer.n_raylets == n_kills, "too few: give it more --rows"


class Killer:
    """Kills at random moments at which requests are in flight: shards, and every fifth a raylet."""

    def __init__(self, cluster: Any, server: LoopbackServer, n_kills: int) -> None:
        self._cluster, self._server, self._n_kills = cluster, server, n_kills
        self._rng = random.Random(0)
        self._nodes = [self._add(), self._add()]
        self.n_shards = self.n_raylets = self.n_in_flight = 0

    def work(self, is_over: Callable[[], bool]) -> None:
        """Kill until all kills are done, or there is nothing left to kill."""
        for number in range(1, self._n_kills + 1):
            is_killed = False
            while not is_killed:
                time.sleep(self._rng.uniform(0.2, 2.0))
                if is_over():
                    return
                n_open = self._server.n_open
                kill = self._kill_raylet if number % 5 == 0 else self._kill_shard
                is_killed = n_open > 0 and kill()
            self.n_in_flight += n_open

    def _kill_shard(self) -> bool:
        running = list(self._shards())
        if not running:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._rng.choice(running), signal.SIGKILL)
            self.n_shards += 1
            return True
        return False

    def _kill_raylet(self) -> bool:
        lost = self._nodes.pop(self._rng.randrange(2))
        self._cluster.remove_node(lost, allow_graceful=False)
        self.n_raylets += 1
        self._nodes.append(self._add())
        return True

    def _shards(self) -> Iterator[int]:
        """The processes of shards below the raylets of this cluster."""
        raylets = {one.all_processes["raylet"][0].process.pid for one in self._nodes}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, IndexError):
                is_shard = (folder / "cmdline").read_bytes().startswith(b"ray::codefavor shard")
                if (
                    is_shard
                    and int((folder / "stat").read_text().split(") ")[1].split()[1]) in raylets
                ):
                    yield int(folder.name)

    def _add(self) -> Any:
        return patiently(lambda: self._cluster.add_node(**_NODE, node_ip_address="127.0.0.3"))


_NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}


def environment_for_ray() -> None:
    """Give what this process starts time, the code and a key."""
    os.environ |= {
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
        "OPENAI_API_KEY": "k",
        "RAY_agent_register_timeout_ms": "300000",
    }


def patiently(start: Callable[[], Any]) -> Any:
    """What starts a raylet, again where it fails: on a busy machine its helpers are too late."""
    for _ in range(4):
        # Ray raises nothing more precise.
        with contextlib.suppress(Exception):
            return start()
    return start()


def run_codefavor(words: list[str], folder: Path) -> None:
    """Run a command to its good end."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-m", "codefavor", *words]
    subprocess.run(command, cwd=folder, env=environment, stdout=sys.stderr, check=True)


def compare_cpu(n: int, work: str) -> None:
    """CPU of n requests or programs: on Ray with a worker a core, and in one plain run.

    The plain run has as many programs at a time, one a core: beside a busy core a program may take
    more CPU seconds than beside an idle one, whoever started it. One at a time is shown too.
    """
    environment_for_ray()
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as url:
        folder = Path(name)
        ask = f"synthesise drafts --n 1 --model openai:m --set base_url={url} --problems"
        commands = {"requests": [*ask.split(), "problems.jsonl"]}
        commands["programs"] = ["score", "completions.jsonl", "--problems", "problems.jsonl"]
        for what, words in commands.items():
            if work not in ("both", what):
                continue
            ways = {"plain": [], "on Ray": ["--ray", "local"]}
            if what == "programs":
                ways["one at a time"] = ["--workers", "1"]
            used = {}
            for n_rows in (2, n):
                write_input(folder, n_rows)
                for number, (way, more) in enumerate(ways.items()):
                    out = ["--out", f"{what}-{n_rows}-{number}.jsonl"]
                    used[n_rows, way] = cpu_of([*words, *more, *out], folder)
            took = {way: used[n, way] - used[2, way] for way in ways}
            parts = [
                f"{way} {seconds:.1f} s ({100 * (seconds / took['plain'] - 1):+.0f} %)"
                for way, seconds in took.items()
            ]
            print(
                f"{n} {what}, CPU: {', '.join(parts)}, beside starts of {used[2, 'plain']:.1f} "
                f"and {used[2, 'on Ray']:.1f} s; load {os.getloadavg()[0]:.0f}"
            )


def cpu_of(words: list[str], folder: Path) -> float:
    """CPU seconds of a command and of all that it starts, however that ends."""
    for _ in range(6):
        group = Path("/sys/fs/cgroup/cpuacct") / f"codefavor-{os.getpid()}-{time.monotonic_ns()}"
        group.mkdir()
        enter = f'echo $$ > {group}/cgroup.procs; exec "$@"'
        command = ["sh", "-c", enter, "sh", sys.executable, "-m", "codefavor", *words]
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder)}
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False
        )
        while (group / "cgroup.procs").read_text():
            # What Ray leaves ends within seconds.
            time.sleep(0.2)
        used = int((group / "cpuacct.usage").read_text()) / 1e9
        group.rmdir()
        if done.returncode == 0:
            return used
    done.check_returncode()
    raise AssertionError


def time_merge(n: int) -> None:
    """CPU of one shard of many (it reads everything), of a whole run, and of the merge."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = ["synthesise", "drafts", "--n", "1", "--model", FAKE, "--problems"]
        words.append(write_input(folder, n))
        out = ["--out", "o.jsonl"]
        reading = measured([*words, *out, "--shard", "0/1000000000"], folder)
        (folder / "shards").rename(folder / "other")
        shards = [measured([*words, *out, "--shard", f"{i}/4"], folder) for i in range(4)]
        merge = measured(["merge-shards", *words, *out], folder)
        plain = measured([*words, "--out", "p.jsonl"], folder)
        size = (folder / "p.jsonl.journal").stat().st_size
        print(
            f"of {n} rows, microseconds of CPU a row: read {1e6 * reading[0] / n:.0f}, run whole "
            f"{1e6 * plain[0] / n:.0f}, in 4 shards {1e6 * sum(s[0] for s in shards) / n:.0f}, "
            f"merge {1e6 * merge[0] / n:.0f}; journal {size / n:.0f} bytes a row; peak MB: plain "
            f"{plain[2]}, a shard {shards[0][2]}, merge {merge[2]}"
        )


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("kills", "merge", "cpu"))
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--work", choices=("requests", "programs", "both"), default="both")
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    if given.part == "kills":
        kill_shards(given.rows, given.kills)
    elif given.part == "cpu":
        compare_cpu(given.rows, given.work)
    else:
        time_merge(given.rows)


if __name__ == "__main__":
    main()
