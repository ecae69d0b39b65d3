"""What `--ray` counts as its own of what lies in the folders of shards; no cluster is needed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from codefavor.cli import ray_run
from codefavor.cli.ray_command import settings_of
from codefavor.cli.ray_nodes import _files
from codefavor.errors import CodefavorError
from tests.cli.test_shards import COMMANDS, DRAFTS, FAKE, PAIRS, home, run_shards
from tests.kit.commands import codefavor

__all__ = ["home"]

JUDGED = f"{PAIRS} --model {FAKE}"
OTHER = f"{JUDGED} --criteria short"


@pytest.fixture
def begin(home, monkeypatch):
    """Run a command on Ray up to where its shards begin: how it ended, their number, the spent."""
    begun = {}

    def coordinator(budget, limits, n_at_once, spent):
        begun["spent"] = {str(Path(name).relative_to(home)): one for name, one in spent.items()}

    class Run:
        def __init__(self, ray, job, coordinator, verb):
            begun["n"] = job.n_shards

        def as_tasks(self, each):
            start.while_they_run()
            raise CodefavorError("the shards begin")

    actor = SimpleNamespace(options=lambda **options: SimpleNamespace(remote=coordinator))
    resources = {"CPU": 1.0, "memory": 8e9}
    nodes = [{"Alive": True, "Resources": resources}, {"Alive": False, "Resources": {"CPU": 64.0}}]
    ray = SimpleNamespace(remote=lambda kind: actor, nodes=lambda: nodes)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(ray_run, "_cluster", lambda address: contextlib.nullcontext(ray))
    known = SimpleNamespace(apart={}, may_grow=False)
    monkeypatch.setattr(ray_run, "checked_nodes", lambda *args: contextlib.nullcontext(known))
    for name, value in {"_gpus": 0, "_near": None}.items():
        monkeypatch.setattr(ray_run, name, lambda *args, value=value: value)
    monkeypatch.setattr(ray_run, "Run", Run)

    def start(words, *more):
        begun.clear()
        begun["done"] = codefavor(
            *words.replace("%", "shared").split(), "--ray", "local", *more, home=home
        )
        return SimpleNamespace(n=None, spent=None) if "n" not in begun else SimpleNamespace(**begun)

    start.begun, start.known, start.resources = begun, known, resources
    start.nodes, start.while_they_run = nodes, lambda: None
    return start


def ledgers(begun):
    assert all(sum(one) > 0 for one in begun.spent.values())
    return sorted(begun.spent)


def test_other_results_of_the_folder_are_not_in_the_budget(home, begin):
    run_shards(OTHER, home)
    assert begin(JUDGED).spent == {}
    own = begin(OTHER)
    assert len(ledgers(own)) == 3 and all("criteria" in one for one in ledgers(own))


def test_a_result_is_divided_as_itself_was(home, begin):
    run_shards(OTHER, home, n=3)
    assert begin(JUDGED).n == 2
    assert begin(JUDGED, "--shards", 5).n == 5
    assert begin(OTHER).n == 3
    assert begin(OTHER, "--shards", 5).n is None
    said = begin.begun["done"].stderr
    assert "--shards 5: " in said and "holds shards of 3 of this output" in said
    # Two divisions come together where folders are copied: a run refuses to make the second.
    shards = home / "shared" / "shards"
    aside = shards.rename(home / "aside")
    run_shards(OTHER, home, n=5)
    for one in aside.iterdir():
        one.rename(shards / one.name)
    assert begin(OTHER).n is None
    assert "holds shards of 3 and of 5" in begin.begun["done"].stderr


@pytest.mark.parametrize("words", [DRAFTS, JUDGED, COMMANDS["answers and their judge"]])
def test_rows_of_a_plain_run_are_not_asked_again(home, begin, words):
    assert codefavor(*words.replace("%", "shared").split(), home=home).code == 0
    assert begin(words).n is None
    done = begin.begun["done"]
    assert done.code == 2 and done.stderr.count("error:") == 1
    assert "rows of a run without --ray" in done.stderr and not list(home.rglob("*-of-*"))
    assert begin(words, "--fresh").n == 2


@pytest.mark.parametrize("words", [DRAFTS, JUDGED, COMMANDS["answers and their judge"]])
def test_what_is_forgotten_is_not_in_the_budget(home, begin, words):
    run_shards(words, home, n=2)
    assert ledgers(begin(words))
    assert begin(words, "--fresh").spent == {}


def test_what_a_plain_run_spent_without_a_row_is_in_the_budget(home, begin):
    ledger = home / "shared/o.jsonl.journal.spent"
    ledger.parent.mkdir()
    # Killed with a request in flight.
    words = DRAFTS.replace("%", "shared").split()
    assert codefavor(*words, "--budget-tokens", 1, home=home).code == 2
    ledger.write_text("+1 900 1024 0.5\n")
    assert begin(DRAFTS).spent == {"shared/o.jsonl.journal.spent": (0.5, 1924)}


@pytest.mark.parametrize(("own", "other"), [("[o].jsonl", "o.jsonl"), ("o.json", "o.jsonl")])
def test_an_output_is_known_by_its_whole_name(home, begin, own, other):
    run_shards(DRAFTS.replace("o.jsonl", other), home)
    words = DRAFTS.replace("o.jsonl", own)
    first = begin(words)
    assert first.spent == {} and first.n == 2
    run_shards(words, home, n=2)
    again = begin(words)
    assert (
        again.n == 2 and [Path(one).name for one in ledgers(again)] == [f"{own}.journal.spent"] * 2
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_journal_of_a_command_is_known(home, begin, name):
    words = COMMANDS[name]
    run_shards(words, home, n=2)
    there = {
        str(path.relative_to(home))
        for path in (home / "shared/shards").rglob("*.spent")
        if path.stat().st_size
    }
    assert set(begin(words).spent) >= there


def test_a_broken_command_ends_before_the_cluster(home, begin):
    done = begin(DRAFTS.replace("problems.jsonl", "none.jsonl"))
    assert done.n is None and begin.begun["done"].code == 2
    assert begin.begun["done"].stderr.count("error:") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_the_settings_of_a_command_are_the_same_wherever_it_writes(home, monkeypatch, name):
    monkeypatch.chdir(home)
    words = COMMANDS[name].replace("%", "shared").split()
    first, again = (settings_of(words, "o.jsonl") for _ in range(2))
    assert first == again and all(first.values()) and first
    assert not (home / "shared").exists()


@pytest.mark.parametrize(("has", "workers"), [({"CPU": 2.0}, 4), ({"CPU": 0.0}, 1), ({}, 1)])
def test_a_shard_that_no_node_has_room_for_is_refused(home, begin, has, workers):
    begin.resources.clear()
    begin.resources.update(has)
    words = COMMANDS["score"].replace("--workers 1", f"--workers {workers}")
    assert begin(words).n is None
    done = begin.begun["done"]
    assert done.code == 2 and done.stderr.count("error:") == 1
    assert f"a shard takes {workers} CPUs of one node" in done.stderr
    assert f"the largest has {has.get('CPU', 0):g} CPUs" in done.stderr
    # Where an autoscaler may bring such a node, it is waited for.
    begin.known.may_grow = True
    assert begin(words).n == 2
    assert "until the autoscaler brings one" in begin.begun["done"].stderr


def test_room_is_counted_by_nodes(home, begin):
    begin.resources["CPU"] = 7.0
    second = {"Alive": True, "Resources": {"CPU": 2.0}}
    begin.nodes.append(second)
    # Two of three CPUs each at a time: the nine CPUs of both nodes have no room for a third.
    assert begin(COMMANDS["score"].replace("--workers 1", "--workers 3")).n == 4


def test_a_second_run_of_the_output_is_refused_while_shards_run(home, begin):
    said = []

    def run_another():
        # In a process of its own: a process does not lock itself out.
        words = [*DRAFTS.replace("%", "shared").split(), "--no-cache"]
        one = [sys.executable, "-m", "codefavor", *words]
        done = subprocess.run(one, cwd=home, capture_output=True, text=True, check=False)
        said.append((done.returncode, done.stderr))

    begin.while_they_run = run_another
    assert begin(DRAFTS).n == 2
    ((code, errors),) = said
    assert code == 2 and "in use by another run" in errors
    # Not for longer.
    begin.while_they_run = lambda: None
    assert begin(DRAFTS).n == 2


def test_rays_client_needs_a_package_of_its_own(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "grpc", None)
    words = DRAFTS.replace("%", "shared").split()
    done = codefavor(*words, "--ray", "ray://127.0.0.1:9", home=home)
    assert done.code == 2 and "needs the package 'grpcio'" in done.stderr
    assert "pip install 'codefavor[cluster]'" in done.stderr


def test_nodes_need_not_see_what_the_command_writes(tmp_path):
    own = [tmp_path / name for name in ("o.jsonl", "report.json", "data.jsonl")]
    for one in own:
        one.touch()
    out, report, data = own
    assert [*_files({"out": out, "report": str(report), "data": [str(data)]})] == [data]
