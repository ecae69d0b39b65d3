"""Dev pairs are judged while a real training runs; the best measurement is what it ends with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from codefavor.errors import ConfigError
from codefavor.judges.likelihood import LikelihoodJudge
from codefavor.records import write_rows
from codefavor.training.plugin_args import DevAccuracySettings
from tests.training.conftest import easy_pairs
from tests.training.really import HELD_OUT, held_out, train, values

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


@pytest.mark.parametrize(
    ("recipe", "more", "message"),
    [
        ({}, {}, "says what sft trains"),
        ({"rl": "dpo"}, {"judge": "pairwise"}, "for sft alone"),
        ({"rl": "dpo", "fsdp_config": {"x": 1}}, {}, "not under FSDP"),
        ({"rl": "dpo", "save_only_model": True, "deepspeed": "z.json"}, {}, "save_only_model"),
        ({"rl": "dpo", "save_strategy": "no"}, {}, "needs checkpoints"),
    ],
)
def test_what_could_not_be_measured_is_refused(recipe, more, message):
    pytest.importorskip("transformers")
    from codefavor.training.dev_accuracy import check_dev_accuracy

    class Config(dict):
        __getattr__ = dict.get

    asked = DevAccuracySettings(data="dev.jsonl", **more).model_dump()
    with pytest.raises(ConfigError, match=message):
        check_dev_accuracy(Config(dev_accuracy=asked, **recipe))


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
