"""The run card: what ran on what, and the course of it, thinned but with both ends."""

from __future__ import annotations

import json
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest

from codefavor.errors import ConfigError
from codefavor.training.machine import describe_hardware, installed_versions, main_memory_gib
from codefavor.training.plan import plan_training
from codefavor.training.runcard import curves, load_card, logged_seconds, new_card
from tests.training.really import with_data

DPO = Path(__file__).resolve().parents[2] / "recipes" / "smollm2-135m" / "dpo.yaml"


def test_a_card_names_versions_hardware_data_and_start(tmp_path: Path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    data = tmp_path / "rows.jsonl"
    data.write_text("{}\n")
    settings = {"base_model": str(model), **with_data(DPO, data)}
    plan = plan_training(DPO, overrides=settings, folder=tmp_path, gpus=0)
    card = new_card(plan, ["accelerate"])
    assert card["versions"]["codefavor"] and card["versions"]["python"]
    assert card["hardware"]["cores"] >= 1 and card["hardware"]["gpus"] == []
    assert list(card["data"]) == [str(data)]
    assert card["together"] == {}
    (tmp_path / "rows.jsonl.manifest.json").write_text('{"n_together": 2}')
    assert new_card(plan, ["accelerate"])["together"] == {str(data): 2}
    assert datetime.fromisoformat(card["started"]).utcoffset() is not None
    json.dumps(card)


def test_versions_are_those_installed():
    pytest.importorskip("torch")
    assert installed_versions()["torch"] == version("torch")


def test_the_memory_is_that_of_the_machine_or_less():
    lines = Path("/proc/meminfo").read_text().splitlines()
    total = next(int(line.split()[1]) for line in lines if line.startswith("MemTotal")) / 2**20
    assert 0 < main_memory_gib() <= total * 1.01
    assert describe_hardware(0)["memory_gib"] == round(main_memory_gib(), 1)


def test_curves_keep_both_ends_of_a_long_run_and_skip_what_was_not_logged():
    metrics = [{"step": step, "loss": 1.0 / step, "grad_norm": 1.0} for step in range(1, 1002)]
    metrics.append({"step": 1002, "loss": None})
    found = curves(metrics)
    assert set(found) == {"loss"}
    assert found["loss"][0] == [1.0, 1.0]
    assert found["loss"][-1] == [1001.0, 1.0 / 1001]
    assert len(found["loss"]) <= 201


def test_the_time_of_a_killed_launch_counts_up_to_its_last_log(tmp_path: Path):
    times = [("begin", 100.0), ("", 110.0), ("", 125.0), ("begin", 900.0), ("", 930.0)]
    rows = [{"time": time, **({"event": event} if event else {})} for event, time in times]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert logged_seconds(tmp_path) == 25.0 + 30.0
    assert logged_seconds(tmp_path / "nowhere") == 0.0


def test_a_folder_without_a_card_says_what_was_expected(tmp_path: Path):
    with pytest.raises(ConfigError, match="expected the output folder of `codefavor train`"):
        load_card(tmp_path)
