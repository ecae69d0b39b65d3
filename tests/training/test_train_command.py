"""The commands around training: overrides, names, dry runs, errors that say what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.cli.recipe_tools import estimate_recipe
from codefavor.cli.recipes import diff, list_recipes, resolve
from codefavor.cli.train import check_memory, follow, read_overrides, rows_for
from codefavor.errors import ConfigError
from codefavor.training.plan import plan_training, usual_gpus
from codefavor.training.recipes import load_yaml

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_settings_are_read_as_yaml_and_win_over_layers():
    found = read_overrides(["bf16=true", "learning_rate=2e-5", "a__b=[1, x]"], ["hardware/any"])
    assert found["bf16"] is True
    assert found["learning_rate"] == 2e-5
    assert found["a__b"] == [1, "x"]
    assert found["lora_mlp_kernel"] is False
    assert "header" not in found


@pytest.mark.parametrize("setting", ["bf16", "a.b=1", "=3"])
def test_a_malformed_setting_is_refused(setting: str):
    with pytest.raises(ConfigError, match="expected key=value"):
        read_overrides([setting], [])


def test_an_unknown_layer_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"known: .*hardware/any"):
        read_overrides([], ["hardware/cpu"])


def test_a_diff_shows_lists_and_is_not_cut(capsys):
    diff("smollm2-135m/dpo", "smollm2-135m/dpo-conservative")
    lines = capsys.readouterr().out.splitlines()
    assert "dpo_loss_type\t[sigmoid]\t[sigmoid, robust]" in lines
    folder = "outputs/train/smollm2-135m-dpo"
    assert f"output_dir\t{folder}\t{folder}-conservative" in lines


def test_the_list_names_every_recipe_whole(capsys):
    list_recipes("additive-gentle")
    [title, line] = capsys.readouterr().out.splitlines()
    assert title.split("\t")[:3] == ["recipe", "method", "GPUs"]
    assert line.split("\t")[:3] == ["seeds/llama-3.2-3b-dpop-additive-gentle", "dpo", "1"]
    with pytest.raises(ConfigError, match="no recipe's name or purpose has 'nowhere'"):
        list_recipes("nowhere")


def test_an_unknown_recipe_lists_near_names():
    with pytest.raises(ConfigError, match=r"near: .*smollm2-135m/dpo"):
        resolve("smollm2/dpo")


def test_an_estimate_without_data_says_which_numbers_to_give(tmp_path: Path, monkeypatch):
    recipe = resolve("gpu1x80/qwen2.5-coder-7b-dpo").resolve()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="pass --rows and --tokens"):
        estimate_recipe(recipe, load_yaml(recipe), gpus=1)
    found, basis = estimate_recipe(recipe, load_yaml(recipe), gpus=1, rows=1000, tokens=500)
    assert "7.62 billion weights" in basis
    assert found.fits


def test_a_training_that_does_not_fit_this_machine_is_refused(tmp_path: Path, capsys):
    model = tmp_path / "outputs" / "models" / "SmolLM2-135M-Instruct"
    model.mkdir(parents=True)
    shape = load_yaml(RECIPES / "models.yaml")["outputs/models/SmolLM2-135M-Instruct"]
    (model / "config.json").write_text(json.dumps(shape))
    data = tmp_path / "rows.jsonl"
    row = {"messages": [{"role": "user", "content": "x" * 900}], "chosen": {}, "rejected": {}}
    data.write_text(json.dumps(row) + "\n")

    def check(micro_batch_size: int) -> None:
        recipe = RECIPES / "smollm2-135m" / "dpo.yaml"
        settings = {"micro_batch_size": micro_batch_size, "base_model": str(model)}
        check_memory(plan_training(recipe, overrides=settings, data=data, folder=tmp_path, gpus=0))

    check(1)
    assert ": fits" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"too little memory: about \d+\.\d GiB are needed, cpu"):
        check(100_000)


def test_a_health_warning_is_reported_once_while_following(capsys):
    rows: list[dict] = []
    for step in range(20):
        follow(rows, {"step": step, "max_steps": 20, "loss": 0.5 + 0.05 * step})
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("warning: the loss rises") for line in lines) == 1
    assert sum(line.startswith("step ") for line in lines) == 20


def test_data_of_any_form_is_converted_as_the_recipe_wants(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "prefs.jsonl"
    data.write_text(json.dumps({"prompt": "Add.", "chosen": "a", "rejected": "b"}) + "\n")
    made = rows_for(RECIPES / "smollm2-135m" / "dpo.yaml", data, tmp_path / "o")
    (row,) = map(json.loads, made.read_text().splitlines())
    assert (row["chosen"]["content"], row["rejected"]["content"]) == ("a", "b")
    assert "read as prompt with two answers" in capsys.readouterr().err
    assert rows_for(RECIPES / "smollm2-135m" / "dpo.yaml", made, tmp_path / "o") == made
    judge = rows_for(RECIPES / "smollm2-135m" / "pairwise.yaml", data, tmp_path / "o")
    assert [json.loads(line)["messages"][-1]["content"] for line in judge.open()] == ["A", "B"]


def test_a_dry_run_leaves_the_folder_as_it_was_and_says_where_its_scratch_is(
    tmp_path, monkeypatch, embedded_model
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "scratch").mkdir()
    row = {"prompt": "Add.", "chosen": "a", "rejected": "b"}
    Path("prefs.jsonl").write_text(json.dumps(row) + "\n")
    words = ["train", "smollm2-135m/dpo", "--data", "prefs.jsonl", "--gpus", "0", "--dry-run"]
    words += ["--set", f"base_model={embedded_model}"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {"prefs.jsonl", "scratch"}
    (made,) = (tmp_path / "scratch").glob("codefavor-dry-run-*/*-dpo-*.jsonl")
    assert f"-> {made}" in done.output and "axolotl.cli.train" in done.output


@pytest.mark.parametrize(
    ("recipe", "here", "used"),
    [
        ("gpu4x80/qwen3-8b-dpo", 8, 4),
        ("gpu1x80/qwen3-8b-pairwise", 8, 1),
        ("smollm2-135m/dpo", 8, 1),
        ("smollm2-135m/dpo", 0, 0),
        ("gpu4x80/qwen3-8b-dpo", 0, 0),
    ],
)
def test_a_training_takes_the_recipes_number_of_gpus(recipe, here, used, monkeypatch):
    """Not the machine's: else the batch would not be what the header says."""
    monkeypatch.setattr("codefavor.training.plan.count_gpus", lambda: here)
    assert usual_gpus(RECIPES / f"{recipe}.yaml") == used


def test_a_machine_with_too_few_gpus_says_what_to_do(monkeypatch):
    monkeypatch.setattr("codefavor.training.plan.count_gpus", lambda: 2)
    with pytest.raises(ConfigError, match="is for 4 GPUs, this machine has 2: pass --gpus 2"):
        usual_gpus(RECIPES / "gpu4x80" / "qwen3-8b-dpo.yaml")
