"""`scripts/gpu.py` without a GPU: what it measures, and its lines for one method on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from codefavor.backends.embedded import default_folder, ensure_embedded_model
from codefavor.records import write_rows
from codefavor.training.estimate import CARDS
from codefavor.training.formats import convert
from codefavor.training.recipes import load_yaml
from tests.training.conftest import easy_pairs

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "scripts" / "gpu.py"
_spec = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
assert _spec and _spec.loader
gpu = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gpu)


def test_speed_and_memory_come_from_what_the_trainer_logged(tmp_path: Path):
    """1,000 tokens in two seconds; 135 million weights cost 2 + 2 FLOPs a token under LoRA."""
    rows = [
        {"step": 1, "time": 10.0, "tokens/total": 500, "loss": 0.7, gpu.MEMORY: 1.5},
        {"step": 2, "time": 11.0, "tokens/total": 900, "loss": 0.6, gpu.MEMORY: 2.0},
        {"step": 3, "time": 12.0, "tokens/total": 1500, "loss": 0.5, gpu.MEMORY: 1.0},
        {"step": 3, "time": 13.0, "event": "end"},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = load_yaml(gpu.FOLDER / "pairwise.yaml")
    data = tmp_path / config["datasets"][0]["path"]
    write_rows(data, convert(easy_pairs(range(2)), "pairwise").rows)
    found = gpu.figures(tmp_path, config, tmp_path, CARDS["h100"])
    assert found["tokens_per_second"] == 500
    assert found["mfu"] == round(500 * 4 * 134_515_008 / 989e12, 4)
    assert found["loss"] == [0.7, 0.5] and found["steps"] == 3
    assert found["memory_gib"] == 2.0 and 0.5 < found["estimate_gib"] < 20


def test_a_step_alone_has_no_speed():
    assert gpu.tokens_per_second([{"step": 1, "time": 1.0, "num_tokens": 9}]) is None
    assert gpu.tokens_per_second([{"step": 1, "time": 1.0}, {"step": 2, "time": 2.0}]) is None


@pytest.mark.parametrize(
    ("name", "card"), [("NVIDIA H200", "h200"), ("NVIDIA A100-SXM4-80GB", "a100-80"), ("x", None)]
)
def test_a_card_is_known_by_its_name(name: str, card: str | None):
    assert gpu.card_of([(name, 80.0)]) == (CARDS[card] if card else None)


def test_what_there_is_no_time_for_is_listed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(gpu, "prepare", lambda work: None)
    [row] = gpu.runs(["dpo"], tmp_path, 0.0, CARDS["h100"])
    assert row == {"recipe": "dpo", "result": "no time"}


def test_without_a_gpu_it_says_what_to_do():
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--device cpu" in done.stderr


def test_a_command_that_takes_too_long_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(gpu, "CODEFAVOR", ("sh", "-c", "sleep 9"))
    assert gpu.train("dpo", {}, tmp_path, False, 0.2) == "codefavor recipes: not done within 0 s"


@pytest.mark.slow
@pytest.mark.axolotl
def test_one_method_goes_to_its_end_on_the_cpu(tmp_path: Path):
    model = ensure_embedded_model(default_folder())
    (tmp_path / "outputs/models").mkdir(parents=True)
    (tmp_path / "outputs/models" / model.name).symlink_to(model)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--device", "cpu", "--only", "dpo", "--minutes", "60",
         "--work", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    [row] = json.loads((tmp_path / "report.json").read_text())
    assert (row["recipe"], row["result"], row["steps"]) == ("dpo", "ok", 3)
    assert row["tokens_per_second"] > 0
