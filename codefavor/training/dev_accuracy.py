"""Preference accuracy while training: the dev pairs, judged as the trained judge will be asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from codefavor.backends.local import LoadedModel
from codefavor.errors import ConfigError, DataError
from codefavor.judges.base import BatchJudge
from codefavor.judges.likelihood import LikelihoodJudge
from codefavor.judges.pairwise import PairwiseJudge
from codefavor.judges.process import ProcessJudge
from codefavor.judges.reward import RewardJudge
from codefavor.pairs.published_rows import read_published
from codefavor.records import Comparison, Preference, Row, Verdict, content_id
from codefavor.sources.row_files import read_any_rows
from codefavor.training.plugin_args import DevAccuracySettings, dev_accuracy_errors
from codefavor.training.recipes import WITH_REFERENCE, method_of

NAME = "dev_preference_accuracy"


class DevAccuracy(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Judges the dev pairs before the first step and every so many steps, and logs the accuracy.

    The share in [0, 1] of pairs, both orders counted for a pairwise judge, for which the better
    program wins; a tie does not. A checkpoint is saved at each new best, the best one is what
    the run ends with, and `patience` measurements in a row without a new best end it.

    Every process measures all pairs, so that sharded weights are gathered on each alike, and all go
    by what the first found. What was found stands in the trainer's own log, which is part of each
    checkpoint: a run that resumes counts on.
    """

    def __init__(self, trainer: Any, cfg: Any) -> None:
        self._trainer, self._cfg = trainer, cfg
        self._settings = check_dev_accuracy(cfg)
        self._pairs = dev_pairs(Path(self._settings.data), self._settings.limit)
        if self._settings.keep_best:
            # Of the arguments' own check, which ties it to an evaluation loss, nothing is needed.
            trainer.args.load_best_model_at_end = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """What the untrained model knows, unless this launch goes on where another ended."""
        if state.global_step == 0:
            self._trainer.log(self.measure())

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measures where it is time, and after the last step."""
        every = self._settings.every
        every = max(1, round(every if every >= 1 else every * state.max_steps))
        if state.global_step % every and state.global_step < state.max_steps:
            return
        self._trainer.log(self.measure())
        logged = [row[NAME] for row in state.log_history if NAME in row and row["step"]]
        n_without_gain = measurements_without_gain(logged)
        if n_without_gain == 0:
            state.best_metric = logged[-1]
            if self._settings.keep_best:
                state.best_global_step = state.global_step
                control.should_save = True
        patience = self._settings.patience
        if patience is not None and n_without_gain >= patience:
            control.should_training_stop = True

    def measure(self) -> Row:
        """The accuracy now, on how many pairs, how many could not be judged, and the seconds."""
        start, model = time.monotonic(), self._trainer.model
        was_training = model.training
        model.eval()
        try:
            right, n_errors = judged(self._judge(model), self._pairs)
        finally:
            model.train(was_training)
        found: Row = {
            NAME: right / len(self._pairs),
            "dev_preference_pairs": len(self._pairs),
            "dev_preference_errors": n_errors,
            "dev_preference_seconds": round(time.monotonic() - start, 3),
        }
        # A near tie may fall otherwise on another GPU, and processes that disagree whether to save
        # or to stop would wait for each other for ever.
        everywhere: list[Row] = broadcast_object_list([found])
        return everywhere[0]

    def _judge(self, model: Any) -> BatchJudge:
        """A new judge each time: one remembers the scores of the weights that it saw."""
        method, system = _method(self._cfg), self._settings.system
        loaded: Any = LoadedModel(model, self._trainer.processing_class)
        if self._settings.judge == "pairwise":
            return PairwiseJudge(loaded, system=system)
        if method == "reward":
            return RewardJudge(loaded, system=system)
        if method == "process_reward":
            return ProcessJudge(loaded)
        reference = getattr(self._trainer, "ref_model", None)
        if method in WITH_REFERENCE and (
            reference is not None or hasattr(model, "disable_adapter")
        ):
            other: Any = reference and LoadedModel(reference, loaded.tokenizer)
            return LikelihoodJudge(loaded, None, "implicit_sum", reference=other, system=system)
        return LikelihoodJudge(loaded, system=system)


def measurements_without_gain(logged: Sequence[float]) -> int:
    """How many of the measurements came after the best one, the first of several that are equal."""
    return len(logged) - 1 - logged.index(max(logged))


def dev_pairs(path: Path, limit: int) -> list[Preference]:
    """At most `limit` pairs of a file, drawn by the hash of their ids; always the same ones.

    Raises DataError for a file without pairs.
    """
    pairs = read_published(read_any_rows(path)).preferences
    if not pairs:
        raise DataError(f"{path}: no pairs to measure on")
    return sorted(pairs, key=lambda pair: content_id("dev", pair.id))[:limit]


def judged(judge: BatchJudge, pairs: Sequence[Preference]) -> tuple[float, int]:
    """How many pairs the judge gets right, half of one for each order, and how many orders failed.

    An order that could not be judged is not right.
    """
    asked = [Comparison(pair.asked, pair.chosen, pair.rejected, pair.criteria) for pair in pairs]
    both = [(asked, "A"), ([one.swap() for one in asked], "B")]
    right, n_errors = 0.0, 0
    for comparisons, winner in both:
        for answer in judge.answer(comparisons):
            n_errors += not isinstance(answer, Verdict)
            right += 0.5 * (isinstance(answer, Verdict) and answer.choice == winner)
    return right, n_errors


def _method(cfg: Any) -> str:
    # Axolotl has made an enumeration of the recipe's word.
    return method_of({**cfg, "rl": getattr(cfg.rl, "value", cfg.rl)})


def check_dev_accuracy(cfg: Any) -> DevAccuracySettings:
    """The settings of a recipe; raises ConfigError where they could not be measured by."""
    for error in dev_accuracy_errors({**cfg, "rl": getattr(cfg.rl, "value", cfg.rl)}):
        raise ConfigError(error)
    return DevAccuracySettings.model_validate(dict(cfg.dev_accuracy))
