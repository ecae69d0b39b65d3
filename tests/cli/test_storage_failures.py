"""Storage that falls out, runs that are killed, and others' results in the same folder."""

from __future__ import annotations

import os
import signal

import pytest

from codefavor.errors import ConfigError, JournalInUseError
from codefavor.storage import Place, Selection, WorkingCopy
from tests.cli.test_shards import home  # noqa: F401
from tests.cli.test_storage import (  # noqa: F401
    N_AT_ONCE,
    N_ROWS,
    Held,
    asking,
    finish,
    many,
    server,
    slowly,
    start,
    stored,
    wait_for,
)
from tests.kit import s3
from tests.kit.server import LoopbackServer


@pytest.fixture
def gate(server, monkeypatch):  # noqa: F811
    """The way to the storage, of this process too."""
    fsspec = pytest.importorskip("fsspec")
    with s3.Gate(server["AWS_ENDPOINT_URL"]) as gate:
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", gate.url)
            fsspec.get_filesystem_class("s3").clear_instance_cache()
            yield gate
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def through(gate, server):  # noqa: F811
    return {**server, "AWS_ENDPOINT_URL": gate.url}


def is_journal(method, path):
    return method == "PUT" and path.endswith(".journal")


def test_a_run_goes_on_after_an_outage_in_the_middle_of_a_sync(many, server, gate):  # noqa: F811
    seen = []

    def refuses(method, path):
        seen.append(path)
        return is_journal(method, path)

    with LoopbackServer(slowly) as model:
        gate.refuses = refuses
        first = start(asking(model), many / "one", through(gate, server))
        said, _ = first.communicate(timeout=120)
        # What comes before the journal is there, and is the run's own.
        assert "what is done is kept on this machine" in said, said
        assert [*map(is_journal, ["PUT"] * len(seen), seen)].count(True) >= 2
        assert s3.names("killed/") and "killed/o.jsonl.journal" not in s3.names()
        assert first.returncode == 2 and model.n_calls == N_ROWS
        gate.refuses = lambda *_: False
        finish(start(asking(model), many / "one", through(gate, server)))
        assert model.n_calls == N_ROWS
    assert "killed/o.jsonl" in s3.names()


def test_a_run_that_is_killed_in_the_middle_of_a_sync_goes_on(many, server, gate):  # noqa: F811
    killed = []

    def after(method, path):
        if is_journal(method, path) and not killed:
            killed.append(path)
            os.kill(first.pid, signal.SIGKILL)

    answers = Held()
    with LoopbackServer(answers) as model:
        gate.after = after
        first = start(asking(model), many / "one", through(gate, server))
        first.communicate(timeout=120)
        answers.is_released = True
        assert killed and "killed/o.jsonl.journal" in s3.names()
        n_asked = model.n_calls
        assert n_asked < N_ROWS
        finish(start(asking(model), many / "one", through(gate, server)))
        assert model.n_calls <= N_ROWS + N_AT_ONCE


@pytest.fixture
def copy(stored, gate, tmp_path):  # noqa: F811
    def made(machine="one", selection=Selection("", "o")):  # noqa: B008
        one = WorkingCopy(Place.of("s3://bucket/run"), selection, tmp_path / machine)
        one.start()
        return one

    return made


def write(copy, text, *names):
    for name in names:
        (copy.root / name).write_text(text)


def test_what_was_taken_there_is_own_wherever_a_sync_stopped(copy, gate):
    run = copy()
    write(run, "1\n", "o.costs", "o.journal")
    run.sync()
    write(run, "1\n2\n", "o.costs", "o.journal")
    gate.refuses = is_journal
    with pytest.raises(ConfigError):
        run.sync()
    assert s3.read("run/o.costs") == b"1\n2\n" and s3.read("run/o.journal") == b"1\n"
    # As it is, and again after a kill: what is here goes on, and is more than what is there.
    write(run, "1\n2\n3\n", "o.journal")
    with pytest.raises(ConfigError):
        run.sync()
    again = copy()
    assert (again.root / "o.journal").read_text() == "1\n2\n3\n"
    gate.refuses = lambda *_: False
    assert again.sync() >= 1
    assert s3.read("run/o.journal") == b"1\n2\n3\n"
    # So it is with what is removed (--fresh): there no more, and the kill before it is noted.
    (again.root / "o.costs").unlink()
    write(again, "new\n", "o.journal")
    removed = []
    gate.after = lambda method, path: method in ("DELETE", "POST") and removed.append(path)
    gate.refuses = lambda method, path: bool(removed)
    with pytest.raises(ConfigError):
        again.sync()
    gate.refuses = lambda *_: False
    last = copy()
    assert (last.root / "o.journal").read_text() == "new\n"
    last.sync()
    assert s3.names("run/") == ["run/o.journal"] and s3.read("run/o.journal") == b"new\n"


def test_another_run_is_still_noticed_after_an_outage(copy, gate):
    run = copy()
    write(run, "1\n", "o.costs", "o.journal")
    gate.refuses = is_journal
    with pytest.raises(ConfigError):
        run.sync()
    gate.refuses = lambda *_: False
    other = copy("two")
    write(other, "of another\n", "o.costs")
    other.sync()
    write(run, "1\n2\n", "o.costs")
    with pytest.raises(JournalInUseError):
        run.sync()
    assert (copy().root / "o.costs").read_text() == "of another\n"


def test_a_copy_that_was_being_removed_removes_nothing_there(copy, monkeypatch):
    run = copy()
    write(run, "1\n", "o", "o.journal")

    def killed(folder):
        (folder / "o").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda folder, **_: folder == run.root and killed(folder))
        with pytest.raises(KeyboardInterrupt):
            run.finish()
    again = copy()
    again.sync()
    assert s3.names("run/") == ["run/o", "run/o.journal"]


def test_results_of_others_in_the_folder_decide_nothing(copy):
    whole = Selection("", "")
    s3.client().put_object(Bucket="bucket", Key="run/b.json", Body=b"before")
    run = copy(selection=whole)
    write(run, "1\n", "a.journal")
    run.sync()
    write(run, "1\n2\n", "a.journal")
    # Killed now; others write results, anew and for the first time, and remove some.
    for name in ("b.json", "c.json"):
        s3.client().put_object(Bucket="bucket", Key=f"run/{name}", Body=b"after")
    again = copy(selection=whole)
    assert (again.root / "a.journal").read_text() == "1\n2\n"
    assert (again.root / "b.json").read_text() == "after"
    again.sync()
    assert s3.read("run/a.journal") == b"1\n2\n" and s3.read("run/b.json") == b"after"
    s3.client().delete_object(Bucket="bucket", Key="run/c.json")
    assert not (copy(selection=whole).root / "c.json").exists()
    # Own ones that another run wrote are still what counts.
    s3.client().put_object(Bucket="bucket", Key="run/a.journal", Body=b"of another\n")
    write(again, "1\n2\n3\n", "a.journal")
    assert (copy(selection=whole).root / "a.journal").read_text() == "of another\n"
