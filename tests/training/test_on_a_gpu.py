"""Where there is a GPU: real steps of every small recipe on it, in bfloat16 with SDPA attention."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tests.training.really import RECIPES, train, values

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.axolotl,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible"),
]

# The format of the rows that a recipe reads, by the beginning of its name; the longest fits.
FORMATS = {
    "dpo": "dpo",
    "dpop": "dpo",
    "simpo": "dpo",
    "orpo": "dpo",
    "kto": "kto",
    "reward": "reward",
    "process": "process",
    "sft": "sft",
    "pairwise": "pairwise",
    "pairwise-cot": "pairwise_cot",
    "grpo": "grpo",
}


def format_of(method: str) -> str:
    return FORMATS[max((name for name in FORMATS if method.startswith(name)), key=len)]


@pytest.mark.parametrize("method", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_small_recipe_takes_two_steps(method: str, embedded_model: Path, tmp_path: Path):
    batch = {"micro_batch_size": 8} if method == "grpo" else {}
    run = train(
        method,
        format_of(method),
        embedded_model,
        tmp_path,
        gpus=1,
        max_steps=2,
        bf16=True,
        attn_implementation="sdpa",
        **batch,
    )
    losses = values(run, "loss")
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    assert any(run.output_dir.glob("*.safetensors"))
