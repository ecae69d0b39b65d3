"""Dev pairs are judged while a real training runs; the best measurement is what it ends with."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codefavor.errors import ConfigError
from codefavor.judges.likelihood import LikelihoodJudge
from codefavor.records import write_rows
from codefavor.training.formats import convert
from codefavor.training.plugin_args import DevAccuracySettings, dev_accuracy_errors
from codefavor.training.recipes import dump, load_yaml
from codefavor.training.runcard import RUN_CARD, read_metrics
from tests.training.conftest import easy_pairs
from tests.training.really import HELD_OUT, RECIPES, TRAINING, held_out, train, values

NAME = "dev_preference_accuracy"


def settings(path: Path, *, is_reversed: bool = False, **more: Any) -> dict[str, Any]:
    pairs = easy_pairs(HELD_OUT)
    if is_reversed:
        pairs = [
            dataclasses.replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in pairs
        ]
    write_rows(path, [pair.to_row() for pair in pairs])
    return DevAccuracySettings(data=str(path), **more).model_dump()


@pytest.mark.axolotl
@pytest.mark.slow
def test_what_is_logged_is_what_the_saved_judge_answers(embedded_model: Path, tmp_path: Path):
    asked = settings(tmp_path / "dev.jsonl", every=2, keep_best=False)
    run = train("dpo", "dpo", embedded_model, tmp_path, dev_accuracy=asked)
    logged = values(run, NAME)
    assert [row["step"] for row in run.metrics if NAME in row] == [0, 2, 4]
    # Before the first step policy and reference are one: every pair is a tie, which is not right.
    assert logged[0] == 0.0 and logged[-1] >= 0.9
    judge = LikelihoodJudge(embedded_model, adapter=run.output_dir, reduction="implicit_sum")
    answers = judge.answer(held_out())
    assert logged[-1] == sum(answer.choice == "A" for answer in answers) / len(answers)
    assert values(run, "dev_preference_errors") == [0, 0, 0]


@pytest.mark.axolotl
@pytest.mark.slow
def test_the_best_weights_stay_and_a_run_without_gain_ends(embedded_model: Path, tmp_path: Path):
    """On reversed pairs every step makes it worse: the first measurement is the best."""
    asked = settings(tmp_path / "dev.jsonl", is_reversed=True, every=1, patience=2)
    run = train("dpo", "dpo", embedded_model, tmp_path, dev_accuracy=asked, save_steps=1)
    logged = values(run, NAME)
    best = max(range(1, len(logged)), key=lambda at: logged[at])
    assert best == 1 and len(logged) == 4, "step 0, then one and two more without gain"
    kept = (run.output_dir / "adapter_model.safetensors").read_bytes()
    assert kept == (run.output_dir / "checkpoint-1" / "adapter_model.safetensors").read_bytes()


@pytest.mark.axolotl
@pytest.mark.slow
def test_patience_goes_on_after_a_kill(embedded_model: Path, tmp_path: Path):
    """Killed after the first measurement without gain, it ends at the second as it would have."""
    asked = settings(tmp_path / "dev.jsonl", is_reversed=True, every=1, patience=2)
    settings_of_run = {"dev_accuracy": asked, "save_steps": 1, "save_total_limit": 4}
    run = train("dpo", "dpo", embedded_model, tmp_path, **settings_of_run)
    kept = (run.output_dir / "adapter_model.safetensors").read_bytes()
    assert max(row["step"] for row in run.metrics) == 3
    for path in (run.output_dir / "checkpoint-3", run.output_dir / "adapter_model.safetensors"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    card = json.loads((run.output_dir / RUN_CARD).read_text())
    (run.output_dir / RUN_CARD).write_text(json.dumps({**card, "status": "running"}))
    again = train("dpo", "dpo", embedded_model, tmp_path, **settings_of_run)
    assert again.is_resumed
    assert max(row["step"] for row in again.metrics) == 3, "one measurement, and not two, were left"
    assert (again.output_dir / "adapter_model.safetensors").read_bytes() == kept


@pytest.mark.axolotl
@pytest.mark.slow
def test_two_processes_measure_the_same_and_keep_the_same(embedded_model: Path, tmp_path: Path):
    """Over gloo, by the shipped script: on reversed pairs the first measurement is the best."""
    asked = settings(tmp_path / "dev.jsonl", is_reversed=True, every=1, patience=2)
    write_rows(tmp_path / "dpo.jsonl", convert(easy_pairs(TRAINING), "dpo").rows)
    recipe = load_yaml(RECIPES / "dpo.yaml")
    more = {
        "base_model": str(embedded_model), "output_dir": "run", "learning_rate": 5e-4,
        "dataset_prepared_path": "run/prepared", "max_steps": 4, "warmup_steps": 1,
        "save_steps": 1, "save_total_limit": 4, "micro_batch_size": 1, "dev_accuracy": asked,
        "datasets": [{**recipe["datasets"][0], "path": "dpo.jsonl"}],
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(dump({**recipe, **more}))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(RECIPES.parent / "launch" / "torchrun.sh"), "recipe.yaml"],
        cwd=tmp_path,
        env={
            **os.environ, "PATH": path, "ACCELERATE_USE_CPU": "true", "GPUS": "2",
            "PYTHONPATH": str(RECIPES.parents[1]), "OMP_NUM_THREADS": "1", "PORT": str(free_port()),
        },
        capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = read_metrics(tmp_path / "run")
    assert [row["step"] for row in metrics if NAME in row] == [0, 1, 2, 3], "each once, not twice"
    kept = (tmp_path / "run" / "adapter_model.safetensors").read_bytes()
    first = tmp_path / "run" / "checkpoint-1"
    assert kept == (first / "adapter_model.safetensors").read_bytes()
    logged = json.loads((first / "trainer_state.json").read_text())["log_history"]
    assert [row[NAME] for row in logged if NAME in row] == [
        row[NAME] for row in metrics if NAME in row and row["step"] <= 1
    ]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_measurements_without_gain_are_counted_from_the_first_best():
    pytest.importorskip("transformers")
    from codefavor.training.dev_accuracy import measurements_without_gain

    assert [measurements_without_gain(found) for found in ([0.5], [0.5, 0.5], [0.4, 0.6])] == [
        0, 1, 0,
    ]  # fmt: skip
    assert measurements_without_gain([0.5, 0.7, 0.6, 0.7]) == 2


@pytest.mark.parametrize(
    ("recipe", "more", "message"),
    [
        ({}, {}, "says what sft trains"),
        ({"rl": "dpo"}, {"judge": "pairwise"}, "for no other method"),
        ({"rl": "dpo", "fsdp_config": {"x": 1}}, {}, "not measured under FSDP"),
        ({"rl": "dpo", "save_only_model": True, "deepspeed": "z.json"}, {}, "save_only_model"),
        ({"rl": "dpo", "save_strategy": "no"}, {}, "'no' keeps no checkpoint"),
        ({"rl": "dpo", "save_strategy": "best"}, {}, "'best' keeps no checkpoint"),
        (
            {"reward_model": True, "load_best_model_at_end": True},
            {},
            "load_best_model_at_end: True",
        ),
        ({"rl": "dpo", "metric_for_best_model": "eval_loss"}, {}, "metric_for_best_model"),
        ({"reward_model": True, "early_stopping_patience": 2}, {}, "early_stopping_patience: 2"),
    ],
)
def test_what_could_not_be_measured_or_kept_is_refused(recipe, more, message):
    pytest.importorskip("transformers")
    from codefavor.training.dev_accuracy import check_dev_accuracy
    from codefavor.training.mistakes import mistakes

    class Config(dict):
        __getattr__ = dict.get

    asked = DevAccuracySettings(data="dev.jsonl", **more).model_dump()
    with pytest.raises(ConfigError, match=message):
        check_dev_accuracy(Config(dev_accuracy=asked, **recipe))
    # The same before anything is loaded, by `recipes check`.
    whole = {"base_model": "x/y", "dev_accuracy": asked, **recipe}
    found = "\n".join(one.message for one in mistakes(whole, 1))
    assert re.search(message, found)


def test_the_lowest_loss_may_choose_where_the_accuracy_only_watches():
    asked = {"data": "dev.jsonl", "keep_best": False}
    config = {"reward_model": True, "load_best_model_at_end": True, "dev_accuracy": asked}
    assert list(dev_accuracy_errors(config)) == []


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValueError, match="evry"):
        DevAccuracySettings(data="dev.jsonl", evry=3)  # type: ignore[call-arg]


def test_an_order_that_cannot_be_judged_is_not_right():
    pytest.importorskip("transformers")
    from codefavor.errors import BackendError
    from codefavor.records import Verdict
    from codefavor.training.dev_accuracy import judged

    answers = iter([[Verdict("A"), Verdict("tie")], [Verdict("A"), BackendError("too long")]])
    judge: Any = SimpleNamespace(answer=lambda comparisons: next(answers))
    assert judged(judge, easy_pairs(range(1))[:2]) == (0.5, 1)


def test_dev_pairs_and_benchmarks_ask_with_the_turns_before_the_question_as_training_does():
    pytest.importorskip("transformers")
    from codefavor.benchmarks.pairs_benchmark import item_of
    from codefavor.records import Verdict
    from codefavor.training.dev_accuracy import judged
    from codefavor.training.formats import FormatOptions, to_pairwise

    turns = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})
    pair = dataclasses.replace(easy_pairs(range(1))[0], instruction="Sum it.", history=turns)
    asked: list[str] = []

    def answer(comparisons: Any) -> Any:
        asked.extend(one.instruction for one in comparisons)
        return [Verdict("A")]

    judge: Any = SimpleNamespace(answer=answer)
    judged(judge, [pair])
    dialogue = "User: Hi\n\nAssistant: Hello\n\nUser: Sum it."
    assert asked == [dialogue, dialogue]
    assert item_of(pair)["instruction"] == dialogue
    assert dialogue in to_pairwise(pair, FormatOptions())[0]["messages"][-2]["content"]
