"""Layers become complete recipes; what is committed is what they give."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from codefavor.errors import ConfigError
from codefavor.training import recipe_table, recipes
from codefavor.training.matrix import read_matrix

ROOT = Path(__file__).resolve().parents[2] / "recipes"


def test_committed_recipes_are_up_to_date():
    assert recipe_table.stale_files(ROOT) == {}


def test_every_rendered_recipe_is_complete_and_plain_yaml():
    for name, line in read_matrix(ROOT).items():
        config = yaml.safe_load((ROOT / line.file_name).read_text(encoding="utf-8"))
        needed = {"base_model", "datasets", "output_dir", "learning_rate", "seed"}
        assert needed <= set(config), name
        assert isinstance(config["learning_rate"], float), name
        assert config["dataset_prepared_path"].startswith(config["output_dir"]), name


def test_no_two_recipes_write_to_the_same_folder():
    lines = read_matrix(ROOT).values()
    outputs = [recipes.build(line, ROOT).config["output_dir"] for line in lines]
    assert len(outputs) == len(set(outputs))


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ("mistral-7b", 5e-6),
        ("mistral-nemo-12b", 5e-6),
        ("llama-3-8b", 5e-6),
        ("gemma-2-9b", 2e-6),
    ],
)
def test_paper_recipes_have_the_papers_hyper_parameters(model, rate):
    line = read_matrix(ROOT)[f"paper/{model}-mix-cls"]
    config = recipes.build(line, ROOT).config
    expected = {
        "learning_rate": rate,
        "num_epochs": 2,
        "sequence_len": 2048,
        "sample_packing": True,
        "warmup_steps": 40,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "lr_scheduler": "cosine",
        "optimizer": "adamw_torch_fused",
        "seed": 666,
        "gradient_checkpointing": True,
        "train_on_inputs": False,
    }
    assert {key: config[key] for key in expected} == expected
    assert recipes.global_batch(config, line.gpus) == 32
    assert "adapter" not in config


def test_the_one_released_recipe_with_another_seed_has_it():
    lines = read_matrix(ROOT)
    seeds = {
        name: recipes.build(line, ROOT).config["seed"]
        for name, line in lines.items()
        if name.startswith("paper/")
    }
    assert len(seeds) == 32
    assert seeds.pop("paper/mistral-7b-critic-gen") == 111
    assert set(seeds.values()) == {666}


def test_merge_is_deep_replaces_lists_and_null_removes():
    base = {"a": 1, "b": {"x": 1, "y": 2}, "c": [1, 2], "d": 4}
    over = {"b": {"y": 3, "x": None}, "c": [9], "d": None}
    assert recipes.merge(base, over) == {"a": 1, "b": {"y": 3}, "c": [9]}
    assert base["b"] == {"x": 1, "y": 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers" / "one.yaml").write_text(
        "# the first\n# why a is 1\na: 1\nnested: {x: 1}\n"
        "datasets:\n  - path: d{variant}.jsonl\nheader: {produce: ['make d{variant}{system}']}\n"
    )
    (tmp_path / "layers" / "two.yaml").write_text(
        "# the second\ninclude: [one]\na: 2e-5\nheader: {system: none}\n"
    )
    (tmp_path / "matrix.yaml").write_text(
        "m/{v}-r: {purpose: '{v}', layers: [two], grid: {v: [x, y]}, set: {b: 3}}\n"
    )
    return tmp_path


def test_grid_includes_and_placeholders(root: Path):
    files = recipe_table.rendered_files(root)
    assert sorted(files) == ["README.md", "m/x-r.yaml", "m/y-r.yaml"]
    text = files["m/x-r.yaml"]
    assert yaml.safe_load(text) == {
        "nested": {"x": 1},
        "datasets": [{"path": "d-no-system.jsonl"}],
        "a": 2e-5,
        "b": 3,
        "output_dir": "outputs/train/m-x-r",
        "dataset_prepared_path": "outputs/train/m-x-r/prepared",
    }
    assert "# Needs:    make d-no-system --system none" in text
    assert "# Measured: not run" in text


def test_a_result_counts_only_for_the_configuration_it_was_measured_with(root: Path):
    recipe = recipes.build(read_matrix(root)["m/x-r"], root)
    entry = {"cpu": {"digest": recipe.digest, "text": "loss 1 -> 0"}}
    assert recipe_table.measured_text(recipe, {"m/x-r": entry}) == "CPU: loss 1 -> 0"
    entry["cpu"]["digest"] = "000000000000"
    assert recipe_table.measured_text(recipe, {"m/x-r": entry}) == "not run"


def test_the_table_marks_only_what_was_recorded(root: Path):
    recipe = recipes.build(read_matrix(root)["m/x-r"], root)
    results = recipe_table.with_entry({}, "m/x-r", "check", recipe.digest, "axolotl 0")
    results = recipe_table.with_entry(results, "m/y-r", "cpu", "000000000000", "loss 1 -> 0")
    (root / "results.yaml").write_text(recipes.dump(results))
    lines = recipe_table.rendered_files(root)["README.md"].splitlines()
    assert lines[-2].endswith("| axolotl 0 | not run | not run | not run |")
    assert lines[-1].endswith("| not run | not run | not run |")


def test_a_run_card_becomes_an_entry_only_when_the_run_finished():
    card = {
        "status": "finished",
        "gpus": 0,
        "seconds": 41.6,
        "first": {"loss": 0.6931, "rewards/margins": 0.0},
        "last": {"step": 6, "loss": 0.41, "rewards/margins": 0.68},
        "config": {"max_steps": 6, "seed": 1, "output_dir": "elsewhere"},
    }
    text = "6 steps, loss 0.693 -> 0.41, margins 0 -> 0.68, 42 s, run with max_steps 6"
    assert recipe_table.run_entry(card, {"seed": 1, "output_dir": "here"}) == ("cpu", text)
    with pytest.raises(ConfigError, match="not finished"):
        recipe_table.run_entry({**card, "status": "running"}, {})


def test_stale_and_orphaned_files_are_named(root: Path):
    for name, text in recipe_table.rendered_files(root).items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    assert recipe_table.stale_files(root) == {}
    edited = root / "m" / "x-r.yaml"
    edited.write_text(edited.read_text().replace("b: 3", "b: 4"))
    (root / "m" / "gone.yaml").write_text(recipes.RENDERED_BY + "\na: 1\n")
    stale = recipe_table.stale_files(root)
    assert sorted(stale) == ["m/gone.yaml", "m/x-r.yaml"]
    assert "-b: 4" in stale["m/x-r.yaml"]


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path):
    path = tmp_path / "r.yaml"
    path.write_text("a: 1\nb: 2\na: 3\n")
    with pytest.raises(ConfigError, match="line 3: the key 'a' stands twice"):
        recipes.load_yaml(path)


def test_an_unknown_key_of_the_matrix_is_an_error(root: Path):
    (root / "matrix.yaml").write_text("r: {layers: [one], gpu: 8}\n")
    with pytest.raises(ConfigError, match=r"unknown \['gpu'\]"):
        read_matrix(root)


def test_a_layer_without_a_title_is_an_error(root: Path):
    (root / "layers" / "one.yaml").write_text("a: 1\n")
    with pytest.raises(ConfigError, match="first line must be a comment"):
        recipe_table.rendered_files(root)
