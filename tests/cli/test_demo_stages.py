"""The demo's stages: each is run once, and again when what it rests on has changed."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from codefavor.cli.demo import (
    SMOKE,
    Settings,
    Stage,
    run_stages,
    stages_of,
    without_folders,
    write_problems,
)
from codefavor.errors import ConfigError, DataError
from codefavor.training.recipes import find_recipes

PAIR = {"id": "1", "instruction": "Add.", "chosen": "a + b", "rejected": "a - b"}


def stages(folder: Path, seed: int = 0) -> list[Stage]:
    """Two stages, the second reads what the first writes."""
    first, second = folder / "first.jsonl", folder / "second.jsonl"
    return [
        Stage("one", f"pair dedup {folder}/in.jsonl --seed {seed} --out {first}".split(), first),
        Stage("two", f"convert {first} --format dpo --out {second}".split(), second),
    ]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "in.jsonl").write_text(json.dumps(PAIR) + "\n")
    return tmp_path


def ran(folder: Path, capsys: pytest.CaptureFixture[str], seed: int = 0) -> list[str]:
    """The names of the stages that this call really ran."""
    run_stages(stages(folder, seed), folder / "stages.json")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("[")]
    return [line.split()[-1] for line in lines if not line.endswith("(done before)")]


def test_a_finished_stage_is_not_run_again(folder, capsys):
    assert ran(folder, capsys) == ["one", "two"]
    assert ran(folder, capsys) == []


def test_another_command_runs_it_and_what_follows_again(folder, capsys):
    ran(folder, capsys)
    assert ran(folder, capsys, seed=1) == ["one", "two"]


def test_a_run_that_was_moved_goes_on_where_it_was(folder, capsys, tmp_path_factory):
    assert ran(folder, capsys) == ["one", "two"]
    moved = tmp_path_factory.mktemp("new") / "run"
    folder.rename(moved)
    assert ran(moved, capsys) == []
    (moved / "second.jsonl").unlink()
    assert ran(moved, capsys) == ["two"]
    assert str(folder) not in (moved / "second.jsonl").read_text()


def test_a_clone_that_was_moved_continues_its_demo(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    for name in ("one", "two"):
        recipes = tmp_path / name / "recipes"
        recipes.mkdir(parents=True)
        for file in ("matrix.yaml", "smollm2-135m/simpo.yaml"):
            (recipes / file).parent.mkdir(exist_ok=True)
            shutil.copy(find_recipes() / file, recipes / file)

    def begin(clone: Path) -> list[str]:
        # From a folder of its own, so that every path is a whole one.
        monkeypatch.chdir(tmp_path / "elsewhere")
        monkeypatch.setattr("codefavor.cli.demo.find_recipes", lambda: clone / "recipes")
        recipe, out = clone / "recipes/smollm2-135m/simpo.yaml", clone / "outputs/demo"
        settings = Settings(problems="starter", recipe=recipe, **SMOKE)
        write_problems(settings, out)
        words = [shlex.join(stage.words) for stage in stages_of(settings, out)]
        return [without_folders(one, out) for one in words]

    before = begin(tmp_path / "one")
    shutil.copytree(tmp_path / "one/outputs", tmp_path / "two/outputs")
    shutil.rmtree(tmp_path / "one")
    assert begin(tmp_path / "two") == before
    assert not [one for one in before if str(tmp_path) in one]


@pytest.mark.parametrize("harm", [lambda p: p.write_text("tampered"), Path.unlink])
def test_a_changed_or_lost_file_is_made_again(folder, capsys, harm):
    ran(folder, capsys)
    before = (folder / "first.jsonl").read_text()
    harm(folder / "first.jsonl")
    assert ran(folder, capsys) == ["one", "two"]
    assert (folder / "first.jsonl").read_text() == before
    harm(folder / "second.jsonl")
    assert ran(folder, capsys) == ["two"]


def test_a_stage_that_fails_is_not_noted_as_done(folder, capsys):
    (folder / "in.jsonl").write_text("{}\n")
    for _ in range(2):
        with pytest.raises(DataError):
            run_stages(stages(folder), folder / "stages.json")
    assert not (folder / "stages.json").exists()


@pytest.mark.parametrize(
    ("recipe", "form", "trained"),
    [
        ("simpo", "dpo", "--model likelihood:outputs/models/"),
        ("reward", "reward", "--model reward:outputs/models/"),
        ("pairwise", "pairwise", "--model pairwise:outputs/models/"),
        ("sft-full", "sft", "--model likelihood:run/train"),
    ],
)
def test_a_recipe_is_trained_and_judged_as_its_format_wants(recipe, form, trained):
    path = find_recipes() / "smollm2-135m" / f"{recipe}.yaml"
    lines = {
        stage.name: " ".join(stage.words)
        for stage in stages_of(Settings(problems="starter", recipe=path, **SMOKE), Path("run"))
    }
    assert f"--format {form} --sample 8 " in lines["convert"]
    assert trained in lines["judge test trained"]


def test_a_recipe_that_gives_no_judge_is_refused():
    path = find_recipes() / "smollm2-135m" / "grpo.yaml"
    with pytest.raises(ConfigError, match=r"grpo.*it can on: dpo"):
        stages_of(Settings(problems="starter", recipe=path), Path("run"))
