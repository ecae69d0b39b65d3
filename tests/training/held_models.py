"""What a training process holds in memory, and what its trainer makes of its rows: a plugin."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import torch
from axolotl.integrations.base import BasePlugin
from transformers import PreTrainedModel, TrainerCallback

FILE = "held.json"


class HeldModels(BasePlugin):  # type: ignore[misc]
    """Writes `FILE` into the output folder at the end of the run."""

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        return [_Look(trainer, Path(cfg.output_dir) / FILE)]


class _Look(TrainerCallback):  # type: ignore[misc, unused-ignore]
    def __init__(self, trainer: Any, path: Path) -> None:
        self._trainer, self._path, self._weights = trainer, path, 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The weights of every whole model that is alive, garbage included."""
        found = {
            weight.data_ptr(): weight.numel()
            for one in gc.get_objects()
            if isinstance(one, PreTrainedModel)
            for weight in one.parameters()
        }
        self._weights = sum(found.values())

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The loss on the first rows as the trainer has it, and what it compares them with."""
        trainer = self._trainer
        rows = list(trainer.train_dataset)[:8]
        batch = trainer._prepare_inputs(trainer.data_collator(rows))
        with torch.no_grad():
            trainer.model.eval()
            loss = trainer.compute_loss(trainer.model, batch)
        names = ("prompt_ids", "chosen_ids", "rejected_ids")
        names += ("ref_chosen_logps", "ref_rejected_logps")
        self._path.write_text(
            json.dumps(
                {
                    "weights": self._weights,
                    "own": sum(weight.numel() for weight in trainer.model.parameters()),
                    "loss": loss.item(),
                    "rows": [{name: row[name] for name in names} for row in rows],
                }
            )
        )
