"""`--ray` where a node has storage of its own: shards come back whole, and are redone if lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from codefavor.cli.ray_worker import (
    Job,
    _begin_own,
    has_all,
    left_here,
    read_files,
    remove_own,
    write_files,
)
from codefavor.records import Problem, write_rows
from tests.kit.commands import codefavor
from tests.kit.server import LoopbackServer, openai_reply

N = 80


def test_files_of_a_shard_arrive_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "shards" / "0-of-2"
    write_files(folder, {"o.jsonl.journal": b"1\n", "rows/r.jsonl": b"2\n"})
    assert read_files(folder) == {"o.jsonl.journal": b"1\n", "rows/r.jsonl": b"2\n"}
    with pytest.raises(TypeError):
        write_files(folder, {"o.jsonl.journal": b"3\n", "broken": None})
    assert read_files(folder) == {"o.jsonl.journal": b"1\n", "rows/r.jsonl": b"2\n"}
    write_files(folder, {"o.jsonl.journal": b"4\n"})
    assert read_files(folder) == {"o.jsonl.journal": b"4\n"}
    assert [one.name for one in folder.parent.iterdir()] == ["0-of-2"]


def test_a_node_goes_on_with_its_own_files_only_in_the_same_run(tmp_path):
    folder = tmp_path / "0-of-2"
    sent = {"journal": b"as sent\n"}
    assert not _begin_own(folder, "run 1", "score", 0, sent)
    (folder / "journal").write_bytes(b"as sent\nand more\n")
    assert _begin_own(folder, "run 1", "score", 1, sent)
    assert read_files(folder) == {"journal": b"as sent\nand more\n"}
    # Another run's coordinator has what counts; what lay here is put aside, not deleted.
    assert not _begin_own(folder, "run 2", "score", 0, None)
    assert read_files(folder) == {}
    (aside,) = [one for one in tmp_path.iterdir() if one != folder]
    assert (aside / "journal").read_bytes() == b"as sent\nand more\n"


def test_a_node_goes_on_only_where_it_was_the_last_to_have_the_shard(tmp_path):
    sent, (here, there) = {"o.spent": b"of before\n"}, (tmp_path / "here", tmp_path / "there")
    for folder, n_before, goes_on in ((here, 0, False), (there, 1, False), (here, 2, False)):
        assert _begin_own(folder, "run 1", "score", n_before, sent) == goes_on
        # Not what it had spent itself: what was spent there since is not in it.
        assert read_files(folder) == sent
        (folder / "o.spent").write_bytes(b"of before\nand since\n")
    assert _begin_own(here, "run 1", "score", 3, sent)
    assert read_files(here) == {"o.spent": b"of before\nand since\n"}


def test_a_node_says_and_removes_what_it_has_of_the_same_command(tmp_path):
    job, other = (
        Job(("score", word), None, 3, str(tmp_path), SimpleNamespace(own={"code": "c"}))
        for word in ("a.jsonl", "b.jsonl")
    )
    for index, one in enumerate((job, other)):
        _begin_own(one.folder(index), "run 1", one.command, 0, {"journal": b"%d\n" % index})
    # Also under --fresh it is the same command.
    assert left_here(replace(job, words=(*job.words, "--fresh"))) == {0: {"journal": b"0\n"}}
    remove_own(job, [0, 1, 2])
    assert [one.name for one in tmp_path.iterdir()] == ["1-of-3"]


@pytest.mark.parametrize(
    ("earlier", "has"),
    [
        ({}, True),
        ({"o.journal": b"1\n", "o.manifest.json": b"{}", "o.responses.sqlite": b"s"}, True),
        ({"o.journal": b"2\n"}, False),
        ({"o.journal": b"1\n", "o.journal.spent": b"+1\n"}, False),
    ],
)
def test_what_was_left_counts_where_it_has_all_that_is_known(earlier, has):
    assert has_all({"o.journal": b"1\n2\n", "o.manifest.json": b'{"n": 1}'}, earlier) == has


@pytest.fixture
def home(tmp_path):
    problems = [
        Problem(f"p{n:02}", f"Double number {n}.", "assert double(1) == 2\n", "double")
        for n in range(N)
    ]
    write_rows(tmp_path / "problems.jsonl", [one.to_row() for one in problems])
    (tmp_path / "out").mkdir()
    return tmp_path


@contextlib.contextmanager
def node_apart(cluster, folder):
    """A raylet to which this folder is an empty one of its own."""
    start = (
        f'mount -t tmpfs none {folder} && exec "$0" -m ray.scripts.scripts start --block '
        f"--address {cluster.address} --node-ip-address 127.0.0.9 --num-cpus 1 "
        "--object-store-memory 80000000"
    )
    words = ["unshare", "-m", "sh", "-c", start, sys.executable]
    with open(folder.parent / "raylet.log", "w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        try:
            while "Ray runtime started" not in (folder.parent / "raylet.log").read_text():
                assert process.poll() is None, (folder.parent / "raylet.log").read_text()
                time.sleep(0.5)
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def shards_apart():
    own = Path("/proc/self/ns/mnt").readlink()
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            is_shard = (folder / "cmdline").read_bytes().startswith(b"ray::codefavor shard")
            if is_shard and (folder / "ns/mnt").readlink() != own:
                yield int(folder.name)


def test_a_shard_is_redone_where_storage_is_not_shared(cluster, home):
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("this user may not have mounts of his own")
    seen, killed, stop = Counter(), [], threading.Event()

    def slowly(call):
        question = call.body["messages"][-1]["content"]
        seen[question] += 1
        reply = openai_reply(
            call, f"```python\ndef double(x):\n    return 2 * x\n# {question}\n```"
        )
        reply.delay_s = 0.5
        return reply

    def kill_once():
        while not killed and not stop.wait(0.1):
            for pid in shards_apart():
                # Some of its rows have ended by then.
                time.sleep(2.0)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    break

    words = [
        "synthesise",
        "drafts",
        "--problems",
        "problems.jsonl",
        "--model",
        "openai:m",
        "--n",
        "1",
        "--temperature",
        "0",
        "--concurrency",
        "6",
    ]
    with LoopbackServer(slowly) as server, node_apart(cluster, home / "out"):
        words += ["--set", f"base_url={server.url}/v1"]
        thread = threading.Thread(target=kill_once)
        thread.start()
        out = ["--out", "out/o.jsonl", "--ray", cluster.address, "--shards", "6"]
        done = codefavor(*words, *out, home=home)
        stop.set()
        thread.join()
        assert done.code == 0, done.stderr
        alone = codefavor(*words, "--no-cache", "--out", "alone.jsonl", home=home)
        assert alone.code == 0, alone.stderr
    assert "keeps its shards to itself" in done.stderr
    assert killed, "the node had no shard to kill"
    assert (home / "alone.jsonl").read_bytes() == (home / "out/o.jsonl").read_bytes()
    assert len(seen) == N
