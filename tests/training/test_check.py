"""The strict check catches what Axolotl's schema lets pass, and passes every committed recipe."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.cli.train import read_overrides
from codefavor.records import write_rows
from codefavor.training.check import RecipeChecker
from codefavor.training.formats import convert
from codefavor.training.matrix import read_matrix
from codefavor.training.recipes import dump
from tests.training.conftest import easy_pairs

pytestmark = pytest.mark.axolotl

ROOT = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture(scope="module")
def checker() -> RecipeChecker:
    pytest.importorskip("axolotl", reason="the check runs Axolotl's own schema")
    return RecipeChecker()


@pytest.fixture
def errors_of(checker: RecipeChecker, tmp_path: Path) -> Callable[..., list[str]]:
    """The errors of a committed recipe after some keys were changed."""

    def find(name: str = "smollm2-135m/dpo", gpus: int = 0, **changes: Any) -> list[str]:
        text = (ROOT / f"{name}.yaml").read_text(encoding="utf-8")
        header = "".join(line for line in text.splitlines(True) if line.startswith("#"))
        config = {**yaml.safe_load(text), **changes}
        path = tmp_path / "recipes" / "x" / "recipe.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header + dump(config), encoding="utf-8")
        findings = checker.check(path, gpus=gpus, folder=tmp_path)
        return [finding.message for finding in findings if finding.severity == "error"]

    return find


def test_every_committed_recipe_passes(checker: RecipeChecker):
    bad = {}
    for line in read_matrix(ROOT).values():
        findings = checker.check(ROOT / line.file_name, gpus=line.gpus, folder=ROOT.parent)
        errors = [finding.message for finding in findings if finding.severity == "error"]
        if errors:
            bad[line.name] = errors
    assert bad == {}


def dpo_data(**changes: Any) -> list[dict[str, Any]]:
    entry = {"path": "outputs/data/dpo.jsonl", "split": "train", "type": "chat_template.default"}
    return [{**entry, **changes}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_ratee": 1e-4}, "drops the key 'learning_ratee'.*did you mean 'learning_rate'"),
        ({"trl": {"betta": 1}}, "drops the key 'trl.betta'"),
        ({"datasets": dpo_data(type="chat_template.nope")}, "no reader for the type"),
        ({"datasets": dpo_data(type=None)}, "has no type, so nothing reads its rows"),
        ({"datasets": dpo_data(path="./nowhere.jsonl")}, "is not there, and no 'Needs:' line"),
        ({"dpo_loss_type": ["dpop"]}, "unknown 'dpop'; known: aot"),
        ({"dpo_loss_type": "ipo"}, "Axolotl's schema"),
        ({"dpo_loss_type": ["sigmoid"], "dpo_loss_weights": [1.0, 2.0]}, "2 weights for 1 losses"),
        ({"deepspeed": "recipes/deepspeed/nope.json"}, "nope.json does not exist"),
        ({"plugins": ["codefavor.training.plugins.NoPlugin"]}, "does not import"),
        ({"trainer_cls": "codefavor.training.nowhere.Trainer"}, "trainer_cls.*does not import"),
        ({"rl": "ppo"}, "Axolotl's schema"),
        ({"dataset_prepared_path": "outputs/prepared"}, "must lie in output_dir"),
        ({"dpop_lambda": 5.0}, "dpop_lambda does nothing"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_fault_that_the_schema_lets_pass_is_found(errors_of, changes, message):
    found = errors_of(**changes)
    assert any(re.search(message, error) for error in found), found


def test_a_method_that_cannot_read_the_format_is_found(errors_of):
    found = errors_of(datasets=dpo_data(type="codefavor.preferences"), rl="orpo", orpo_alpha=0.1)
    assert not any("is not for the method" in error for error in found)
    found = errors_of("smollm2-135m/sft", datasets=dpo_data(type="bradley_terry.chat_template"))
    assert any("is not for the method sft" in error for error in found)


@pytest.mark.parametrize("tracker", ["wandb", "trackio", "mlflow", "tensorboard"])
def test_a_tracker_is_off_until_its_layer_is_laid_on(errors_of, tracker: str):
    layer = yaml.safe_load((ROOT / "layers" / "tracking" / f"{tracker}.yaml").read_text())
    assert layer[f"use_{tracker}"] is True
    assert errors_of(**layer) == []
    committed = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("*/*.yaml"))
    assert f"use_{tracker}" not in committed


def test_rows_of_another_format_are_found(errors_of, tmp_path: Path):
    data = tmp_path / "outputs" / "data"
    data.mkdir(parents=True)
    (data / "dpo.jsonl").write_text('{"prompt": "p", "completion": "c", "label": true}\n')
    wanted = "needs chosen (dict), messages (list), rejected (dict)"
    assert any(wanted in error for error in errors_of())


def test_rows_whose_columns_have_the_right_names_but_another_form_are_found(
    errors_of, tmp_path: Path
):
    data = tmp_path / "outputs" / "data"
    data.mkdir(parents=True)
    [row] = convert(easy_pairs(range(1))[:1], "dpo").rows
    write_rows(data / "dpo.jsonl", [{**row, "chosen": [row["chosen"]]}])
    [error] = errors_of("smollm2-135m/orpo")
    assert "its rows have chosen (list), messages (list), rejected (dict)" in error
    assert "needs chosen (dict), messages (list), rejected (dict)" in error


def test_columns_that_the_recipe_names_otherwise_are_looked_for_under_that_name(
    errors_of, tmp_path: Path
):
    data = tmp_path / "outputs" / "data"
    data.mkdir(parents=True)
    [row] = convert(easy_pairs(range(1))[:1], "dpo").rows
    row["conversation"] = row.pop("messages")
    write_rows(data / "dpo.jsonl", [row])
    fields = {"field_chosen": "chosen", "field_rejected": "rejected"}
    assert errors_of(datasets=dpo_data(field_messages="conversation", **fields)) == []
    [error] = errors_of(datasets=dpo_data(field_messages="messages", **fields))
    assert "its rows have chosen (dict), conversation (list), rejected (dict)" in error


def test_batches_in_which_the_method_cannot_work_are_found(errors_of):
    assert any("micro_batch_size" in e for e in errors_of("smollm2-135m/kto", micro_batch_size=1))
    assert any("num_generations" in e for e in errors_of("smollm2-135m/grpo", micro_batch_size=3))


def test_an_adapter_on_the_head_of_a_process_reward_model_is_found(errors_of):
    assert errors_of("smollm2-135m/process") == []
    found = errors_of("smollm2-135m/process", lora_target_linear=True, lora_target_modules=None)
    assert any("lora_target_linear takes the head" in error for error in found)


def test_a_reader_that_imports_but_that_axolotl_does_not_find_is_refused(errors_of):
    """It looks for `c` of "a.b.c" in a top-level module b only."""
    entry = {"path": "outputs/data/grpo.jsonl", "split": "train"}
    named = [{**entry, "type": "codefavor.training.rewards.passes_tests"}]
    assert any("no reader" in error for error in errors_of("smollm2-135m/grpo", datasets=named))
    assert errors_of("smollm2-135m/grpo", datasets=[entry]) == []


def test_a_reward_function_that_does_not_import_is_not_taken_for_a_model(errors_of):
    trl = {"num_generations": 4, "reward_funcs": ["codefavor.training.rewards.no_such"]}
    found = errors_of("smollm2-135m/grpo", trl=trl)
    assert any("trl.reward_funcs: 'codefavor.training.rewards.no_such'" in e for e in found)


def test_the_smoke_layer_makes_a_paper_recipe_one_for_any_machine(errors_of):
    changes = read_overrides([], ["smoke"])
    found = errors_of("paper/mistral-7b-commit-cls", **changes)
    assert [one for one in found if "base_model" not in one] == []


def test_the_readers_of_axolotls_own_table_are_known(errors_of):
    entry = {"path": "outputs/data/sft.jsonl", "split": "train", "type": "alpaca"}
    assert not any("no reader" in one for one in errors_of("smollm2-135m/sft", datasets=[entry]))


def test_a_file_that_cannot_be_read_does_not_end_the_check(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("learning_rate: 1\nlearning_rate: 2\n")
    (tmp_path / "b.yaml").write_text("rl: dpo\n")
    paths = [str(tmp_path / name) for name in ("a.yaml", "b.yaml")]
    result = CliRunner().invoke(app, ["recipes", "check", *paths])
    assert result.exit_code != 0
    assert "line 2: the key 'learning_rate' stands twice" in result.output
    assert "b.yaml: " in result.output
