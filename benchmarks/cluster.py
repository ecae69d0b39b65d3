"""What kills cost a run on Ray, and what shards and their merge cost beside one process.

Every command runs below a process that adopts and waits for whatever it leaves behind. The CPU of
Ray's own workers cannot be measured so: a raylet waits for none of its children.

    python benchmarks/cluster.py kills --rows 300 --kills 20    # SIGKILL at random moments
    python benchmarks/cluster.py merge --rows 20000             # CPU of a row; memory
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
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codefavor.backends.base import Request

ROOT = Path(__file__).resolve().parents[1]
_SUBREAPER = 36
FAKE = "fake:benchmarks.cluster:double"


def double(_request: Request) -> str:
    """A program, so that each row yields one."""
    return "```python\ndef double(number):\n    return 2 * number\n```"


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
    """The address of an OpenAI server in a process of its own."""
    port = folder / "port"
    port.unlink(missing_ok=True)
    words = ["--port-file", str(port), "--log", str(folder / "log"), "--delay-s", str(delay_s)]
    process = subprocess.Popen([sys.executable, "-m", "tests.kit.server", *words], cwd=ROOT)
    try:
        while not port.exists() or not port.read_text().strip():
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port.read_text().strip()}/v1"
    finally:
        process.terminate()
        process.wait()


def write_input(folder: Path, n: int) -> str:
    """n problems in a file; its name."""
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
    """Kill processes of shards while requests are in flight, and compare bytes and requests."""
    with tempfile.TemporaryDirectory() as name, server(Path(name), delay_s=0.2) as url:
        folder = Path(name)
        words = (
            f"synthesise drafts --problems {write_input(folder, n)} --n 1 --temperature 0 "
            f"--model openai:m --set base_url={url} --concurrency 8"
        ).split()
        rng, killed, stop = random.Random(0), 0, threading.Event()

        def work() -> None:
            nonlocal killed
            while killed < n_kills and not stop.wait(rng.uniform(0.5, 3.0)):
                for pid in _shards():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed += 1
                        break

        thread = threading.Thread(target=work)
        thread.start()
        measured([*words, "--ray", "local", "--shards", "4", "--out", "ray.jsonl"], folder)
        stop.set()
        thread.join()
        n_sent = len((folder / "log").read_text().splitlines())
        measured([*words, "--out", "plain.jsonl"], folder)
        is_same = (folder / "ray.jsonl").read_bytes() == (folder / "plain.jsonl").read_bytes()
        print(
            f"{killed} kills: bytes {'the same' if is_same else 'DIFFER'}, {n_sent - n} of {n} "
            f"requests sent again (4 in flight at each kill: at most {4 * killed})"
        )


def _shards() -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (folder / "cmdline").read_bytes().startswith(b"ray::codefavor shard"):
                yield int(folder.name)


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
    parser.add_argument("part", choices=("kills", "merge"))
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    given = parser.parse_args()
    if given.part == "kills":
        kill_shards(given.rows, given.kills)
    else:
        time_merge(given.rows)


if __name__ == "__main__":
    main()
