"""Runs whose inputs and outputs lie on S3, against a server on loopback that speaks it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codefavor.records import write_rows
from codefavor.storage import Place, Selection, WorkingCopy
from tests.cli.test_shards import COMMANDS, DRAFTS, N, files, home  # noqa: F401
from tests.kit import s3
from tests.kit.commands import codefavor
from tests.kit.server import LoopbackServer, openai_reply

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server():
    with s3.s3_server() as environment:
        yield environment


@pytest.fixture
def stored(server, home):  # noqa: F811
    """The files of `home`, in the bucket as well; the bucket is otherwise empty."""
    for name in s3.names():
        s3.client().delete_object(Bucket="bucket", Key=name)
    for path in home.glob("*.jsonl"):
        s3.client().put_object(Bucket="bucket", Key=f"in/{path.name}", Body=path.read_bytes())
    return home


def on_storage(words, folder):
    """The command with URLs for its inputs and outputs."""
    inputs = re.sub(r"(?<= )(\w+\.jsonl)", r"s3://bucket/in/\1", words)
    return inputs.replace("%", f"s3://bucket/{folder}")


def bring(folder, to):
    """What lies on the storage, as files of this machine."""
    for name in s3.names(f"{folder}/"):
        path = to / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.read(name))
    return to / folder


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_on_s3_is_the_run_on_a_disk(stored, tmp_path, name):
    words = COMMANDS[name]
    for machine in ("other", "head", *(f"node{index}" for index in range(N))):
        (stored / machine).mkdir()
    alone = codefavor(*words.replace("%", "alone").split(), home=stored)
    assert alone.code == 0, alone.stderr
    there = codefavor(*on_storage(words, "whole").split(), home=stored / "other")
    assert there.code == 0, there.stderr
    for index in range(N):
        shard = f"--shard {index}/{N}".split()
        done = codefavor(*on_storage(words, "parts").split(), *shard, home=stored / f"node{index}")
        assert done.code == 0, done.stderr
    assert not [one for one in s3.names("parts/") if "/shards/" not in one]
    merged = codefavor("merge-shards", *on_storage(words, "parts").split(), home=stored / "head")
    assert merged.code == 0, merged.stderr
    is_measured = name in ("score", "pass@k") or words.startswith("evaluate")
    ours = files(stored / "alone", with_measured=not is_measured)
    assert ours
    for folder in ("whole", "parts"):
        theirs = files(bring(folder, tmp_path / "back"), with_measured=not is_measured)
        # A report says under which name it was given a file.
        named = {one: text.replace("s3://bucket/in/", "") for one, text in theirs.items()}
        assert named == ours
    # What is said names the place on the storage, and no copy is left behind.
    said = there.stdout.replace("s3://bucket/whole", "alone").replace("s3://bucket/in/", "")
    ours, theirs = (
        [
            re.sub(r"[\d.]+ s of", "", one).split()
            for one in text.splitlines()
            if "seconds" not in one
        ]
        for text in (alone.stdout, said)
    )
    assert theirs == ours
    for machine in ("other", "node0", "head"):
        assert not [*(stored / machine / "codefavor/storage").iterdir()]


N_ROWS, N_AT_ONCE = 60, 4
PROGRAM = "```python\ndef double(x):\n    return 2 * x\n```"


def slowly(call):
    reply = openai_reply(call, PROGRAM)
    reply.delay_s = 0.25
    return reply


class Held:
    """Answers half of the requests and no more until it is released: no run ends before it."""

    def __init__(self):
        self.n, self.is_released = 0, False

    def __call__(self, call):
        self.n += 1
        reply = slowly(call)
        if self.n > N_ROWS // 2 and not self.is_released:
            reply.delay_s = 600
        return reply


@pytest.fixture
def many(stored):
    """More problems, for runs that are killed in their middle."""
    lines = (stored / "problems.jsonl").read_text().splitlines()
    rows = [{**json.loads(lines[0]), "id": f"p{n}", "instruction": f"Task {n}."} for n in range(60)]
    write_rows(stored / "problems.jsonl", rows)
    body = (stored / "problems.jsonl").read_bytes()
    s3.client().put_object(Bucket="bucket", Key="in/problems.jsonl", Body=body)
    return stored


def asking(model, out="s3://bucket/killed/o.jsonl"):
    return (
        f"synthesise drafts --problems s3://bucket/in/problems.jsonl --model openai:m --n 1 "
        f"--set base_url={model.url}/v1 --temperature 0 --concurrency {N_AT_ONCE} --no-cache "
        f"--out {out}"
    ).split()


def start(words, machine, server):
    machine.mkdir(exist_ok=True)
    environment = {**os.environ, **server, "XDG_CACHE_HOME": str(machine), "OPENAI_API_KEY": "k"}
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return subprocess.Popen(
        [sys.executable, "-m", "codefavor", *words],
        cwd=machine, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process):
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def wait_for(what, process):
    while not what():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def n_recorded():
    """How many rows the journal on the storage has; all of them whole."""
    journal = "killed/o.jsonl.journal"
    lines = s3.read(journal).splitlines() if journal in s3.names() else []
    assert all(json.loads(line)["status"] == "ok" for line in lines)
    return len(lines)


@pytest.mark.parametrize("other_machine", [False, True])
def test_a_killed_run_goes_on(many, server, other_machine):
    answers = Held()
    with LoopbackServer(answers) as model:
        first = start(asking(model), many / "one", server)
        wait_for(lambda: n_recorded() >= 8, first)
        first.kill()
        first.wait()
        answers.is_released = True
        assert "killed/o.jsonl" not in s3.names()
        n_there, n_asked = n_recorded(), model.n_calls
        assert n_there <= n_asked < N_ROWS
        finish(start(asking(model), many / ("two" if other_machine else "one"), server))
        n_again = model.n_calls - N_ROWS
        # On the same machine only what was in flight; elsewhere what the storage had not yet.
        assert n_again <= (n_asked - n_there if other_machine else N_AT_ONCE)
        alone = [*asking(model, out="alone.jsonl")]
        finish(start(alone, many / "alone", server))
    assert s3.read("killed/o.jsonl") == (many / "alone/alone.jsonl").read_bytes()
    assert n_recorded() == N_ROWS


def test_an_interrupted_run_leaves_nothing_on_its_machine(many, server):
    with LoopbackServer(slowly) as model:
        first = start(asking(model), many / "one", server)
        wait_for(lambda: model.n_calls >= 12, first)
        first.send_signal(signal.SIGTERM)
        said, _ = first.communicate(timeout=60)
        assert first.returncode == 130, said
        n_asked = model.n_calls
        # What was in flight is on the storage as well.
        assert n_recorded() == n_asked
        finish(start(asking(model), many / "two", server))
        assert model.n_calls == N_ROWS


def test_two_runs_of_one_output_are_noticed(many, server):
    def very_slowly(call):
        reply = slowly(call)
        reply.delay_s = 1.5
        return reply

    with LoopbackServer(very_slowly) as model:
        first = start(asking(model), many / "one", server)
        second = start(asking(model), many / "two", server)
        said = [one.communicate(timeout=240)[0] for one in (first, second)]
    codes = sorted((first.returncode, second.returncode))
    assert codes == [0, 2], said
    assert "another run has written it meanwhile" in "".join(said)
    assert n_recorded() == N_ROWS


def test_a_copy_that_others_have_overtaken_is_filled_anew(stored, tmp_path):
    def copy(machine):
        made = WorkingCopy(Place.of("s3://bucket/run"), Selection("", "o"), tmp_path / machine)
        made.start()
        return made

    first = copy("one")
    (first.root / "o.journal").write_text("1\n")
    first.sync()
    (first.root / "o.journal").write_text("1\n2\n")
    # Killed now: its own machine goes on with what it has, another with what it finds.
    assert (copy("one").root / "o.journal").read_text() == "1\n2\n"
    other = copy("two")
    assert (other.root / "o.journal").read_text() == "1\n"
    (other.root / "o.journal").write_text("1\n3\n")
    other.sync()
    assert (copy("one").root / "o.journal").read_text() == "1\n3\n"
    # What is removed here (--fresh) goes there, and the names of other runs stay.
    s3.client().put_object(Bucket="bucket", Key="run/other", Body=b"")
    (other.root / "o.journal").unlink()
    other.sync()
    assert s3.names("run/") == ["run/other"]


def test_what_cannot_be_taken_there_stays_here(stored, monkeypatch):
    def refuse(self, file):
        raise PermissionError("no more of it")

    words = on_storage(DRAFTS, "later").split()
    with monkeypatch.context() as patch:
        patch.setattr(Place, "put", refuse)
        done = codefavor(*words, home=stored)
    assert done.code == 2 and "no more of it" in done.stderr
    assert "what is done is kept on this machine" in done.stderr
    done = codefavor(*words, home=stored)
    assert done.code == 0 and "12 had ended before" in done.stdout
    assert "later/o.jsonl" in s3.names()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--out": "s3://nowhere/o.jsonl"}, "s3://nowhere: no such bucket"),
        ({"--out": "s3://nowhere"}, "s3://nowhere: expected a file in a bucket"),
        ({"--out": "ftp://host/o.jsonl"}, "no storage of the kind ftp:// is known"),
        ({"--problems": "s3://bucket/in/none.jsonl"}, "s3://bucket/in/none.jsonl: no such file"),
        ({"--problems": "s3://nowhere/in.jsonl"}, "s3://nowhere/in.jsonl: no such file, or no"),
        ({"--cache": "s3://bucket/c.sqlite"}, "a cache lies on a disk of this machine"),
        ({"keys": "none"}, "look at the address, the keys in the environment"),
        ({"keys": "wrong server"}, "look at the address, the keys in the environment"),
        ({"package": "s3fs"}, "pip install 'codefavor[storage]'"),
        ({"package": "fsspec.core"}, "pip install 'codefavor[storage]'"),
    ],
)
def test_what_cannot_work_is_said_before_anybody_is_asked(
    stored, monkeypatch, tmp_path, change, said
):
    fsspec = pytest.importorskip("fsspec")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    if keys := change.get("keys"):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        if keys == "wrong server":
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "k")
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    if package := change.get("package"):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with LoopbackServer(openai_reply) as model:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        words = asking(model)
        for name, value in change.items():
            if name == "--cache":
                words = [*(one for one in words if one != "--no-cache"), name, value]
            elif name.startswith("--"):
                words[words.index(name) + 1] = value
        done = codefavor(*words, home=stored)
    assert done.code == 2 and said in done.stderr and done.stderr.count("error:") == 1, done.stderr
    assert model.n_calls == 0
    monkeypatch.undo()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_on_ray_one_machine_takes_everything_there(stored):
    pytest.importorskip("ray", reason="ray is not installed (the extra `cluster`)")
    alone = codefavor(*DRAFTS.replace("%", "alone").split(), home=stored)
    assert alone.code == 0, alone.stderr
    words = on_storage(DRAFTS, "run").split()
    done = codefavor(*words, "--ray", "local", "--shards", N, home=stored)
    assert done.code == 0, done.stderr
    assert s3.read("run/o.jsonl") == (stored / "alone/o.jsonl").read_bytes()
    assert {f"run/shards/{n}-of-{N}/o.jsonl.journal" for n in range(N)} <= {*s3.names("run/")}
    # What is there is what another machine merges again.
    (stored / "head").mkdir()
    merged = codefavor("merge-shards", *words, home=stored / "head")
    assert merged.code == 0 and "12 ok" in merged.stdout, merged.stderr


def test_a_folder_and_a_file_are_brought_as_they_are(stored, tmp_path):
    for name in ("data/a.jsonl", "data/sub/b.jsonl", "data2/c.jsonl"):
        s3.client().put_object(Bucket="bucket", Key=name, Body=name.encode())
    Place.of("s3://bucket/data/").fetch(tmp_path / "x/data")
    found = {str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*.jsonl")}
    assert {"x/data/a.jsonl", "x/data/sub/b.jsonl"} <= found and "x/data/c.jsonl" not in found
    Place.of("s3://bucket/data/sub/b.jsonl").fetch(tmp_path / "y/b.jsonl")
    assert (tmp_path / "y/b.jsonl").read_bytes() == b"data/sub/b.jsonl"


def test_a_command_that_ends_with_1_leaves_its_files_there(stored):
    words = on_storage(COMMANDS["decontaminate"], "run").split()
    done = codefavor(*words, "--fail-above", 1, home=stored)
    assert done.code == 1, done.stderr
    assert {"run/r.json", "run/o.jsonl"} <= {*s3.names("run/")}
    assert not [*(stored / "codefavor/storage").iterdir()]


@pytest.mark.parametrize(
    ("selection", "own", "of_others"),
    [
        (
            Selection("", "o"),
            ["o", "o.journal", "o.journal.batch/1.json"],
            [
                "other",
                "o2",
                "p/o",
                "shards/0-of-2/o",
                ".o.1.partial",
                "o.journal.lock",
                "o.sqlite-wal",
            ],
        ),
        (
            Selection("shards/0-of-2/", "o"),
            ["shards/0-of-2/o.journal"],
            ["o.journal", "shards/1-of-2/o.journal", "shards/0-of-2/p"],
        ),
        (Selection("", ""), ["a.json", "rows/a.jsonl"], ["shards/0-of-2/a.json", ".probe"]),
        (Selection("shards/0-of-2/", ""), ["shards/0-of-2/rows/a.jsonl"], ["rows/a.jsonl"]),
        (
            Selection("", "o", with_shards=True),
            ["o", "shards/0-of-2/o.journal"],
            ["shards/0-of-2/p", "shards/.seen", "shards/o"],
        ),
        (Selection("", "", with_shards=True), ["a.json", "shards/0-of-2/rows/a.jsonl"], []),
    ],
)
def test_only_what_is_of_a_run_is_touched(selection, own, of_others):
    assert [name for name in own if not selection.has(name)] == []
    assert [name for name in of_others if selection.has(name)] == []
    for name in own:
        assert name.startswith(tuple(selection.prefixes))


def test_a_file_url_is_a_path(home):  # noqa: F811
    words = DRAFTS.replace("problems.jsonl", f"file://{home}/problems.jsonl")
    done = codefavor(*words.replace("%", f"file://{home}/out").split(), home=home)
    assert done.code == 0, done.stderr
    assert (home / "out/o.jsonl").is_file()


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_url_is_read_as_urls_are(home, host):  # noqa: F811
    (home / "a b").mkdir()
    (home / "problems.jsonl").rename(home / "a b/100%.jsonl")
    given = f"file://{host}{home}/a%20b/100%25.jsonl"
    words = DRAFTS.replace("%", "o").replace("problems.jsonl", given)
    done = codefavor(*words.split(), home=home)
    assert done.code == 0, done.stderr
    elsewhere = words.replace(f"file://{host}/", "file://host/")
    done = codefavor(*elsewhere.split(), home=home)
    assert done.code == 2 and "expected file:///PATH, a file of this machine" in done.stderr


def test_a_shard_is_refused_beside_those_of_another_division(stored):
    words = on_storage(DRAFTS, "divided").split()
    for machine in ("one", "two"):
        (stored / machine).mkdir()
    done = codefavor(*words, "--shard", "1/4", home=stored / "one")
    assert done.code == 0, done.stderr
    there = "s3://bucket/divided/shards/1-of-4/o.jsonl.journal"
    assert done.stdout.endswith(f" -> {there}\n")
    done = codefavor(*words, "--shard", "1/2", home=stored / "two")
    assert done.code == 2 and f"{there} is of a division into 4 of this" in done.stderr
    # The division that is there goes on, and another output in the folder is divided as it likes.
    done = codefavor(*words, "--shard", "2/4", home=stored / "two")
    assert done.code == 0, done.stderr
    other = [one.replace("/o.jsonl", "/p.jsonl") for one in words]
    done = codefavor(*other, "--shard", "1/2", home=stored / "two")
    assert done.code == 0, done.stderr


def test_a_plain_run_is_refused_beside_shards_on_the_storage(stored):
    words = on_storage(DRAFTS, "parts").split()
    assert codefavor(*words, "--shard", "0/2", home=stored).code == 0
    done = codefavor(*words, home=stored)
    assert done.code == 2 and "is of shard 0/2 of this output" in done.stderr
    assert not [one for one in s3.names("parts/") if "/shards/" not in one]


def test_an_empty_object_that_marks_a_folder_is_no_file_of_it(stored):
    for name in ("marked/", "marked/rows/"):
        s3.client().put_object(Bucket="bucket", Key=name, Body=b"")
    words = COMMANDS["chat judge"].replace("%", "s3://bucket/marked")
    done = codefavor(*words.split(), home=stored)
    assert done.code == 0, done.stderr
    assert [one for one in s3.names("marked/") if one.endswith(".json")]
