"""`--fresh` empties a run's folder, and never one with somebody's own files."""

from __future__ import annotations

from pathlib import Path

import pytest

from codefavor.errors import ConfigError, TrainingError
from codefavor.training import launch as launching
from codefavor.training.check_files import file_findings
from codefavor.training.plan import plan_training
from codefavor.training.recipes import load_yaml

ROOT = Path(__file__).resolve().parents[2] / "recipes"
DPO = ROOT / "smollm2-135m" / "dpo.yaml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a project in it: a model that only looks like one, data, and notes."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    project = tmp_path / "home" / "project"
    model = project / "outputs" / "models" / "SmolLM2-135M-Instruct"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"1234")
    for name in ("data", "pairs", "notes"):
        (project / "outputs" / name).mkdir()
        (project / "outputs" / name / "dpo.jsonl").write_text('{"messages": []}\n')
    return project


def files_in(place: Path) -> set[str]:
    return {str(one.relative_to(place)) for one in place.rglob("*") if one.is_file()}


def launch_fresh(folder: Path, output_dir: str) -> None:
    overrides = {
        "output_dir": output_dir,
        "dev_accuracy": {"data": "outputs/pairs/dpo.jsonl"},
    }
    launching.launch(
        DPO, folder=folder, gpus=0, fresh=True, overrides=overrides, run=lambda *_, **__: 3
    )


@pytest.mark.parametrize(
    ("output_dir", "says"),
    [
        ("outputs/data", "holds data of datasets"),
        ("outputs/../outputs/data/", "holds data of datasets"),
        ("outputs/linked", "holds data of datasets"),
        ("outputs/pairs", "holds dev pairs"),
        ("outputs", "holds"),
        (".", "folder of the launch"),
        ("..", "folder"),
        ("~", "holds files"),
        ("outputs/models/SmolLM2-135M-Instruct", "base model"),
        ("outputs/notes", "holds files, and no run card"),
    ],
)
def test_fresh_deletes_nobodys_files(folder: Path, output_dir: str, says: str):
    (folder / "outputs" / "linked").symlink_to("data")
    (folder / "~").mkdir()
    (folder / "~" / "mine").write_text("kept")
    before = files_in(folder.parent)
    with pytest.raises(ConfigError, match=says):
        launch_fresh(folder, output_dir)
    assert files_in(folder.parent) == before
    config = {**load_yaml(DPO), "output_dir": output_dir, "dev_accuracy": None}
    config["dev_accuracy"] = {"data": "outputs/pairs/dpo.jsonl"}
    found = [one.message for one in file_findings(config, DPO, folder)]
    assert any(one.startswith("output_dir:") for one in found), found


def test_fresh_empties_a_run_and_waits_for_its_launch(folder: Path):
    plan = plan_training(DPO, folder=folder, gpus=0)
    output = plan.output_dir
    (output / "checkpoint-4").mkdir(parents=True)
    (output / "checkpoint-4" / "old").write_text("")
    with launching.locked(output), pytest.raises(ConfigError, match="another launch"):
        launch_fresh(folder, str(output))
    assert "checkpoint-4/old" in files_in(output)
    with pytest.raises(TrainingError, match="exit code 3"):
        launch_fresh(folder, str(output))
    assert "checkpoint-4/old" not in files_in(output)


def test_a_run_without_optimizer_states_begins_its_metrics_anew(folder: Path):
    output = plan_training(DPO, folder=folder, gpus=0).output_dir
    (output / "checkpoint-4").mkdir(parents=True)
    (output / "checkpoint-4" / "trainer_state.json").write_text("{}")
    for can_resume, n_left in ((True, 1), (False, 0)):
        (output / "metrics.jsonl").write_text("{}\n")
        assert launching._prepare_output(output, can_resume=can_resume) is can_resume
        assert len(list(output.glob("metrics.jsonl"))) == n_left
