"""A really full disk, which holds output and cache: nothing is paid for twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.server import LoopbackServer, Reply, delayed, openai_reply

REPOSITORY = Path(__file__).parents[2]
N, CONCURRENCY = 563, 64

PROGRAM = """
import sys
from pathlib import Path
from codefavor.backends import make_backend
from codefavor.engine import ResponseCache, Context, run_sync
from codefavor.errors import JournalError
from codefavor.journal import Journal, read_journal

url, disk = sys.argv[1], Path(sys.argv[2])
n, concurrency, n_kept = map(int, sys.argv[3:])

async def ask_twice(row, context):
    texts = []
    for part in "ab":
        message = {"role": "user", "content": f"{row['id']}/{part}"}
        texts.append((await context.ask([message])).text)
    return {"id": row["id"], "texts": texts[:n_kept]}

def once():
    backend = make_backend("openai:m", base_url=url + "/v1", api_key="k")
    store = ResponseCache(disk / "cache")
    try:
        with Journal.open(disk / "o", {}) as journal:
            rows = ({"id": f"r{i}"} for i in range(n))
            run_sync(ask_twice, rows, journal, context=Context(backend, cache=store),
                     concurrency=concurrency)
    finally:
        store.close()

(disk / "other").write_bytes(bytes(78 << 20))
try:
    once()
except JournalError as error:
    print("stopped:", error)
(disk / "other").unlink()
print("ended:", len(list(read_journal(disk / "o"))))
once()
print("ended:", len(list(read_journal(disk / "o"))))
"""


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="a small disk needs a mount namespace of its own",
)
@pytest.mark.parametrize("n_kept", [0, 2], ids=["the cache is first to find it", "or the output"])
def test_what_was_in_flight_when_the_disk_was_full_is_not_paid_for_again(
    tmp_path: Path, n_kept: int
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()

    def answer(call: object) -> Reply:
        return openai_reply(call, "x" * 24_000)  # type: ignore[arg-type]

    with LoopbackServer(delayed(answer, 0.02)) as server:
        words = [sys.executable, "-c", PROGRAM, server.url, str(disk)]
        words += [str(number) for number in (N, CONCURRENCY, n_kept)]
        mount = f'mount -t tmpfs -o size=96m tmpfs "{disk}" && exec "$@"'
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", mount, "sh", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
            check=False,
        )
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stderr
    assert lines[0].startswith("stopped:")
    assert "disk" in lines[0] or "space" in lines[0]
    assert 20 < int(lines[1].split()[1]) < N - CONCURRENCY
    assert lines[2] == f"ended: {N}"
    asked = [call.body["messages"][-1]["content"] for call in server.calls]
    assert len(set(asked)) == 2 * N
    assert len(asked) == 2 * N
