"""The commands around training: overrides, names, dry runs, errors that say what to do."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.cli.recipe_tools import estimate_recipe
from codefavor.cli.recipes import diff, list_recipes, resolve
from codefavor.cli.train import check_memory, follow, read_overrides
from codefavor.cli.train_data import data_for, rows_for
from codefavor.errors import ConfigError
from codefavor.training.plan import plan_training, usual_gpus
from codefavor.training.recipes import load_yaml
from tests.training.really import with_data

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


def test_an_estimate_takes_rows_that_are_given_also_where_the_data_is(tmp_path: Path, monkeypatch):
    recipe = resolve("gpu1x80/qwen2.5-coder-7b-dpo").resolve()
    config = load_yaml(recipe)
    monkeypatch.chdir(tmp_path)
    data = Path(config["datasets"][0]["path"])
    data.parent.mkdir(parents=True)
    data.write_text(json.dumps({"chosen": "x" * 3300}) + "\n")
    assert estimate_recipe(recipe, config, gpus=1)[0].steps == 1
    found, basis = estimate_recipe(recipe, config, gpus=1, rows=3200)
    assert (found.steps, "3200 rows given" in basis) == (100, True)
    longer, basis = estimate_recipe(recipe, config, gpus=1, rows=3200, tokens=1000)
    assert longer.tokens > found.tokens
    assert "64 tokens a row given" in estimate_recipe(recipe, config, gpus=1, tokens=64)[1]


def test_rows_of_another_method_are_told_as_what_they_are(tmp_path: Path):
    turn = {"role": "assistant", "content": "x"}
    data = tmp_path / "kto.jsonl"
    data.write_text(json.dumps({"messages": [turn], "completion": turn, "label": True}) + "\n")
    with pytest.raises(ConfigError, match=r"convert --format kto`; .* of `convert --format dpo`"):
        data_for(RECIPES / "smollm2-135m" / "dpo.yaml", data, tmp_path / "o", {})


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
        settings |= with_data(recipe, data)
        check_memory(plan_training(recipe, overrides=settings, folder=tmp_path, gpus=0))

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


def test_rows_of_convert_are_trained_on_as_they_are_whatever_the_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipes = {task: RECIPES / "smollm2-135m" / f"{name}.yaml"
               for task, name in (("programs", "grpo"), ("tests", "tests-grpo"))}  # fmt: skip
    made = {}
    for task, recipe in recipes.items():
        made[task] = tmp_path / f"{task}.jsonl"
        words = ["convert", str(RECIPES.parent / "datasets" / "starter" / "problems.jsonl")]
        words += ["--format", "grpo", "--task", task, "--split", "train"]
        done = CliRunner().invoke(app, [*words, "--out", str(made[task])])
        assert done.exit_code == 0, done.output
        assert rows_for(recipe, made[task], tmp_path / "o") == made[task]
    with pytest.raises(ConfigError, match="its rows are those of `convert --format grpo`"):
        rows_for(recipes["tests"], made["programs"], tmp_path / "o")
    with pytest.raises(ConfigError, match="of `convert --format grpo --task tests`; "):
        rows_for(recipes["programs"], made["tests"], tmp_path / "o")


def a_home(tmp_path: Path, monkeypatch, n_rows: int = 40) -> Path:
    """A folder with pairs, the dev pairs of the recipes, and a place of its own for scratch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    Path("outputs/pairs").mkdir(parents=True)
    for name, start in (("prefs", 0), ("outputs/pairs/dev", 1000)):
        rows = [
            {"prompt": f"Question {start + n}?", "chosen": "good", "rejected": "bad"}
            for n in range(n_rows)
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def the_files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_recipe_that_shuffles_the_order_of_a_curriculum_is_told_of(tmp_path, monkeypatch):
    a_home(tmp_path, monkeypatch)
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    stages = [{"easy": 1.0}, {"easy": 1.0, "hard": 1.0}]
    manifest = Path("prefs.jsonl.manifest.json")
    manifest.write_text(json.dumps({"curriculum": {"stages": stages}}), encoding="utf-8")
    words = ["train", "smollm2-135m/dpo", "--data", "prefs.jsonl", "--dry-run", "--set",
             "base_model=./model"]  # fmt: skip
    said = "its rows stand in the order of a curriculum, and"
    assert said in CliRunner().invoke(app, words).stderr
    kept = ["--set", "shuffle_merged_datasets=false", "--set", "curriculum_order=true"]
    done = CliRunner().invoke(app, words + kept)
    assert done.exit_code == 0, done.output
    assert said not in done.stderr
    manifest.write_text(json.dumps({"curriculum": {"stages": stages[:1]}}), encoding="utf-8")
    assert said not in CliRunner().invoke(app, words).stderr


def test_rows_that_rest_on_forgeable_verdicts_are_told_of(tmp_path, monkeypatch):
    """Also where they are in the recipe's own form, which nothing converts."""
    a_home(tmp_path, monkeypatch)
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    words = ["train", "smollm2-135m/dpo", "--data", "prefs.jsonl", "--dry-run", "--set",
             "base_model=./model"]  # fmt: skip
    said = "prefs.jsonl: 2 pairs rest on tests of the together lane: forgeable"
    assert said not in CliRunner().invoke(app, words).stderr
    Path("prefs.jsonl.manifest.json").write_text('{"n_together": 2}')
    assert said in CliRunner().invoke(app, words).stderr


def test_the_first_training_of_the_seed_keeps_the_order_of_its_curriculum():
    """Its four epochs are the stages of `staged`; the last one has no order."""
    found = load_yaml(Path("recipes/seeds/llama-3.2-3b-dpop-additive.yaml"))
    assert found["curriculum_order"] is True
    assert found["shuffle_merged_datasets"] is False
    assert {one.rpartition(".")[2] for one in found["plugins"]} == {
        "RunPlugin", "DPOPPlugin", "CurriculumPlugin",
    }  # fmt: skip
    assert found["num_epochs"] == 1


@pytest.mark.parametrize("recipe", ["smollm2-135m/dpo", "gpu1x80/qwen2.5-coder-7b-dpo"])
def test_a_dry_run_prints_the_command_and_leaves_nothing(recipe, tmp_path, monkeypatch):
    """Also where the recipe is for a GPU, and this machine has none."""
    home = a_home(tmp_path, monkeypatch)
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    before = the_files(home)
    words = ["train", recipe, "--data", "prefs.jsonl", "--dry-run"]
    if recipe.startswith("smollm2"):
        words += ["--set", "base_model=./model"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert the_files(home) == before
    [command] = map(shlex.split, done.stdout.splitlines())
    assert command[0] == "AXOLOTL_DO_NOT_TRACK=1"
    assert "not written, as nothing starts: files in outputs/data" in done.output
    assert "axolotl.cli.train" in command and "scratch" not in done.output
    assert re.search(r"'path': 'outputs/data/prefs[\w-]*-dpo-\w+\.jsonl'", " ".join(command))
    assert ("--cpu" in command) == recipe.startswith("smollm2")


def questions_of(path: str) -> set[str]:
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return {row["messages"][-1]["content"] if "messages" in row else row["prompt"] for row in rows}


def test_of_other_pairs_a_part_is_held_out_for_all_that_is_measured(tmp_path, monkeypatch, capsys):
    """The best weights were chosen on the dev file of the recipe's own data."""
    a_home(tmp_path, monkeypatch)
    recipe = RECIPES / "gpu1x80" / "qwen2.5-coder-7b-dpo.yaml"
    found = data_for(recipe, Path("prefs.jsonl"), tmp_path / "o", {})
    [data], [test], dev = found["datasets"], found["test_datasets"], found["dev_accuracy"]
    assert dev == {**load_yaml(recipe)["dev_accuracy"], "data": dev["data"]}
    held_out, trained = questions_of(dev["data"]), questions_of(data["path"])
    assert questions_of(test["path"]) == held_out
    assert held_out and trained and not held_out & trained
    assert len(held_out | trained) == 40
    assert f"{len(held_out)} held out" in capsys.readouterr().err


def test_what_cannot_be_held_out_is_not_measured_and_that_is_said(tmp_path, monkeypatch, capsys):
    a_home(tmp_path, monkeypatch, n_rows=1)
    recipe = RECIPES / "gpu1x80" / "qwen2.5-coder-7b-dpo.yaml"
    converted = rows_for(recipe, Path("prefs.jsonl"), tmp_path / "o")
    for data in (Path("prefs.jsonl"), converted):
        capsys.readouterr()
        found = data_for(recipe, data, tmp_path / "o", {})
        assert found["datasets"][0]["path"] == str(converted)
        off = {"dev_accuracy", "test_datasets", "eval_steps"}
        assert {key for key in found if found[key] is None} == off
        assert "nothing is measured while training" in capsys.readouterr().err
    plain = RECIPES / "smollm2-135m" / "dpo.yaml"
    assert set(data_for(plain, converted, tmp_path / "o", {})) == {"datasets"}


def test_dev_pairs_are_not_trained_on(tmp_path, monkeypatch):
    home = a_home(tmp_path, monkeypatch)
    recipe = RECIPES / "gpu1x80" / "qwen2.5-coder-7b-dpo.yaml"
    dev = Path("outputs/pairs/dev.jsonl")
    shutil.copy(dev, "copy.jsonl")
    # Our own form, other answers, blanks: the same questions.
    rows = [json.loads(line) for line in dev.read_text().splitlines()]
    own = [
        {"id": f"{n}", "instruction": f"{row['prompt']} ", "chosen": "x = 1", "rejected": "y"}
        for n, row in enumerate(rows)
    ]
    Path("own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    for data in (dev, Path("copy.jsonl"), Path("own.jsonl")):
        with pytest.raises(ConfigError, match=r"40 of its 40 questions are those of outputs/pairs"):
            data_for(recipe, data, home / "o", {})
    Path("mixed.jsonl").write_text(Path("prefs.jsonl").read_text() + json.dumps(rows[0]) + "\n")
    assert data_for(recipe, Path("mixed.jsonl"), home / "o", {})["dev_accuracy"]
    # A dev file that was named by hand stays, so that nothing of it may be trained on.
    by_hand = {"dev_accuracy__data": str(dev)}
    with pytest.raises(ConfigError, match="1 of its 41 questions"):
        data_for(recipe, Path("mixed.jsonl"), home / "o", by_hand)
    assert "dev_accuracy" not in data_for(recipe, Path("prefs.jsonl"), home / "o", by_hand)


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
