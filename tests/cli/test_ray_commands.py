"""`--ray` for every command that has it: the files and the last words of one machine's run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codefavor import once
from codefavor.backends.local import load_model
from codefavor.backends.weights import weights_sha256
from codefavor.records import Preference, write_rows
from tests.cli.test_shards import COMMANDS, PROGRAMS, files, home, without_numbers_of_now
from tests.judges.conftest import make_model, tiny_config
from tests.kit.commands import codefavor

__all__ = ["home"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_on_a_cluster_is_the_run_of_one_machine(cluster, home, name):
    words = COMMANDS[name]
    alone = codefavor(*words.replace("%", "alone").split(), home=home)
    assert alone.code == 0, alone.stderr
    on_ray = ["--ray", cluster.address, "--shards", 2]
    done = codefavor(*words.replace("%", "shared").split(), *on_ray, home=home)
    assert done.code == 0, done.stderr
    is_measured = name in ("score", "pass@k") or words.startswith("evaluate")
    one, many = (
        files(home / folder, with_measured=not is_measured) for folder in ("alone", "shared")
    )
    assert one == many
    assert without_numbers_of_now(done.stdout) == without_numbers_of_now(alone.stdout)


@pytest.fixture
def judged(tmp_path):
    pairs = [
        Preference(f"q{n}", f"Double {n}.", f"{PROGRAMS[True]}# {n}\n", f"{PROGRAMS[False]}# {n}\n")
        for n in range(24)
    ]
    write_rows(tmp_path / "pairs.jsonl", [one.to_row() for one in pairs])
    make_model(tmp_path / "judge", tiny_config())
    return tmp_path


@pytest.mark.model
def test_each_process_loads_a_local_judge_once(cluster, judged):
    words = ["-v", "evaluate", "pairs", "--data", "pairs.jsonl", "--model"]
    words.append(f"likelihood:{judged / 'judge'}")
    alone = codefavor(*words, "--out", "alone", home=judged)
    assert alone.code == 0, alone.stderr
    on_ray = ["--ray", cluster.address, "--shards", 6]
    done = codefavor(*words, "--out", "shared", *on_ray, home=judged)
    assert done.code == 0, done.stderr
    one, many = (files(judged / name, with_measured=False) for name in ("alone", "shared"))
    assert one == many and any("likelihood" in name for name in one)
    # What the processes of the cluster wrote about it, this one left out.
    logs = Path(cluster.head_node.get_session_dir_path()) / "logs"
    said = [path.read_text(errors="replace") for path in logs.glob("worker-*.err")]
    loads = [text.count(f"loading the model {judged / 'judge'}") for text in said]
    assert [n for n in loads if n] == [1, 1]
    assert "6 shards, 24 rows" in done.stderr


@pytest.mark.model
def test_a_process_that_keeps_models_loads_and_reads_each_once(tmp_path, monkeypatch):
    folder = make_model(tmp_path / "judge", tiny_config())
    assert load_model(folder).model is not load_model(folder).model
    monkeypatch.setattr(once, "_kept", None)
    once.keep()
    first = load_model(folder)
    assert load_model(folder) is first
    # Under other options it is another model.
    assert load_model(folder, dtype="float64") is not first
    digest = weights_sha256(folder)
    (folder / "config.json").write_text(json.dumps({}))
    assert weights_sha256(folder) == digest
