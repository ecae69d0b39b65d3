"""Curricula in real trainings: the rows come in the order of the stages, in one schedule."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from codefavor.judges.base import Judge
from codefavor.judges.likelihood import LikelihoodJudge
from codefavor.judges.reward import RewardJudge
from codefavor.records import Preference, content_id, file_sha256, write_rows
from codefavor.training.curriculum import curriculum_of_row, order_by_curriculum
from codefavor.training.formats import convert
from codefavor.training.launch import launch
from codefavor.training.preview import Preview
from codefavor.training.recipes import load_yaml
from tests.training.conftest import easy_pairs
from tests.training.really import RECIPES, accuracy, train, values, with_data

pytestmark = [pytest.mark.axolotl, pytest.mark.slow]

BATCH = 4


def levelled_pairs() -> list[Preference]:
    """Four pairs of each level, no two of the same length in tokens."""
    pairs = []
    for number, pair in enumerate(easy_pairs(range(2))[:12]):
        level = ("easy", "medium", "hard")[number % 3]
        longer = f"{pair.instruction} Note{' again' * number}."
        pairs.append(replace(pair, id=content_id("level", number), instruction=longer, level=level))
    return pairs


@pytest.mark.parametrize(
    ("method", "order", "n_rows"),
    [
        ("dpo", "ordered", 12),
        ("dpo", "staged", 4 + 6 + 8 + 12),
        ("reward", "staged", 4 + 6 + 8 + 12),
    ],
    ids=["ordered", "staged", "reward-staged"],
)
async def test_stages_are_trained_in_their_order_under_one_schedule(
    method: str, order: str, n_rows: int, embedded_model: Path, tmp_path: Path
):
    curriculum = curriculum_of_row(load_yaml(RECIPES.parent / "curricula" / f"{order}.yaml"))
    rows = convert(
        order_by_curriculum(levelled_pairs(), curriculum), method, keep_repeats=True
    ).rows
    assert len(rows) == n_rows
    data = tmp_path / f"{method}-{order}.jsonl"
    write_rows(data, rows)
    recipe = RECIPES / f"{method}.yaml"
    curriculum_layer = load_yaml(RECIPES.parent / "layers" / "method" / "curriculum.yaml")
    overrides = {"base_model": str(embedded_model), "warmup_steps": 1, "micro_batch_size": BATCH}
    overrides |= {**curriculum_layer, **with_data(recipe, data)}
    run = launch(recipe, folder=tmp_path, gpus=0, overrides=overrides)

    # The tokens that each step saw are those of the file's rows at that place, and no others.
    config = {**load_yaml(recipe), "base_model": str(embedded_model)}
    config["datasets"] = [{**config["datasets"][0], "path": str(data)}]
    lengths = [len(one.input_ids) for one in Preview(config).sequences()]
    n_sequences = 2 * BATCH
    expected = [
        sum(lengths[start : start + n_sequences]) for start in range(0, len(lengths), n_sequences)
    ]
    totals = [0.0, *values(run, "num_tokens")]
    assert [after - before for before, after in pairwise(totals)] == expected

    # One schedule over all stages: no stage starts it again.
    rates = values(run, "learning_rate")
    peak = rates.index(max(rates))
    assert all(after > before for before, after in pairwise(rates[: peak + 1]))
    assert all(after < before for before, after in pairwise(rates[peak:]))
    judge: Judge = (
        RewardJudge(embedded_model, adapter=run.output_dir)
        if method == "reward"
        else LikelihoodJudge(embedded_model, adapter=run.output_dir, reduction="implicit_sum")
    )
    assert await accuracy(judge) >= 0.75


def test_a_killed_training_goes_on_and_ends_as_one_that_was_not(
    embedded_model: Path, tmp_path: Path
):
    """kill -9 behind a checkpoint; the resumed run's adapter is the same, bit by bit."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    steps = {"max_steps": 5, "save_steps": 2}
    expected = train("dpo", "dpo", embedded_model, whole, **steps)

    program = (
        "import sys; from pathlib import Path; from tests.training.really import train; "
        "train('dpo', 'dpo', Path(sys.argv[1]), Path(sys.argv[2]), max_steps=5, save_steps=2)"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(embedded_model), str(killed)], cwd=root
    )
    output = killed / "outputs" / "train" / "smollm2-135m-dpo"
    state = output / "checkpoint-2" / "trainer_state.json"
    deadline = time.monotonic() + 900
    while not state.is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert state.is_file()
    assert not (output / "adapter_model.safetensors").is_file()

    run = train("dpo", "dpo", embedded_model, killed, **steps)
    assert run.is_resumed
    weights = [file_sha256(one.output_dir / "adapter_model.safetensors") for one in (expected, run)]
    assert weights[0] == weights[1]
    assert [row["step"] for row in run.metrics if "loss" in row] == [1, 2, 3, 4, 5]
    for name in ("train_loss", "num_tokens"):
        assert values(run, name)[-1] == pytest.approx(values(expected, name)[-1], rel=1e-5)
