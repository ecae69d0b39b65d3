"""What runs inside Axolotl's process; imported by Axolotl alone, named in `plugins:`."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback, set_seed

from codefavor.judges.chat_tokens import ChatTokens
from codefavor.records import Row
from codefavor.training.output_folder import is_whole
from codefavor.training.reply_text import read_samples_with

# Set by our launcher (launch.py): its end of the pipe closes when it dies, by whatever signal.
WATCH_VARIABLE = "CODEFAVOR_WATCH_STDIN"
METRICS_FILE = "metrics.jsonl"
_LOG = logging.getLogger(__name__)
_DATE = re.compile(r"""strftime_now\((["'])(.*?)\1\)""")


class RunPlugin(BasePlugin):  # type: ignore[misc]
    """Seeds the adapter, and appends every log of the trainer to `<output_dir>/metrics.jsonl`.

    It removes the bogus weights that Axolotl leaves beside an adapter, however it was launched.

    Under our launcher it also ends the whole process group when the launcher is gone, so that
    a killed command leaves no training behind that would write beside the next one.
    """

    def get_input_args(self) -> str:
        """The schema of the key `dev_accuracy`."""
        return "codefavor.training.plugin_args.DevAccuracyArgs"

    def register(self, cfg: Any) -> None:
        """Called before the configuration is validated: the earliest moment to start watching."""
        if os.environ.get(WATCH_VARIABLE) == "1":
            threading.Thread(target=_end_with_launcher, daemon=True).start()

    def load_datasets(self, cfg: Any, preprocess: bool = False) -> None:
        """Loads nothing: the one call between Axolotl's choice of devices and the model's loading.

        For several processes it names the device by its number, which no machine without an
        accelerator has. Raises ValueError where each of them would train alone.
        """
        if cfg.device == "cpu" and cfg.world_size not in {None, 1}:
            if os.environ.get("ACCELERATE_USE_CPU", "").lower() not in {"true", "1"}:
                raise ValueError("several processes without a GPU need ACCELERATE_USE_CPU=true")
            cfg.device_map = {"": "cpu"}

    def pre_model_load(self, cfg: Any) -> None:
        """Axolotl seeds only in the trainer, when adapters and heads have drawn their weights.

        The checkpoint to go on from is chosen here too, before Axolotl chooses.
        """
        if cfg.auto_resume_from_checkpoints and cfg.resume_from_checkpoint is None:
            choose_checkpoint(cfg)
        set_seed(int(cfg.seed if cfg.seed is not None else 42))

    def post_trainer_create(self, cfg: Any, trainer: Any) -> None:
        """Tells our rewards how to read what is sampled, and removes references that nobody needs.

        One is the model that Axolotl loads for log-probabilities that TRL has now computed; dev
        pairs are measured against it, so that it stays for them. The other is the copy of a fresh
        adapter, which TRL's GRPO keeps.

        transformers saves two adapters and resumes with neither. A fresh one changes nothing, so
        that without the copy TRL takes the same reference: the base model.
        """
        if cfg.rl in {"grpo", "gdpo"}:
            processor = trainer.processing_class
            tokenizer = getattr(processor, "tokenizer", processor)
            read_samples_with(tokenizer, trainer.chat_template, **trainer.chat_template_kwargs)
        if cfg.precompute_ref_log_probs and not cfg.dev_accuracy:
            drop_reference(trainer)
        model = trainer.model
        is_fresh = all(
            not weight.any() for name, weight in model.named_parameters() if "lora_B.ref." in name
        )
        if is_fresh and "ref" in getattr(model, "peft_config", {}):
            model.delete_adapter("ref")

    def get_training_args(self, cfg: Any) -> Row:
        """The name of the trackio project, which Axolotl hands to nobody who reads it."""
        is_named = cfg.use_trackio and cfg.trackio_project_name
        return {"project": cfg.trackio_project_name} if is_named else {}

    def add_callbacks_post_trainer(self, cfg: Any, trainer: Any) -> list[Any]:
        """Writes the metrics, and measures the dev pairs if asked to.

        The template is saved as it was trained with.
        """
        tokenizer = trainer.processing_class
        if getattr(tokenizer, "chat_template", None) and cfg.rl not in {"grpo", "gdpo"}:
            ask_as_trained(tokenizer, time.localtime())
        found: list[Any] = [MetricsCallback(Path(cfg.output_dir) / METRICS_FILE)]
        if cfg.dev_accuracy:
            # Here, because it imports the judges.
            from codefavor.training.dev_accuracy import DevAccuracy

            found.append(DevAccuracy(trainer, cfg))
        # Behind what chooses the steps to save.
        return [*found, WholeRun(trainer)]

    def post_train_unload(self, cfg: Any) -> None:
        """After DPO or KTO with LoRA, Axolotl saves the wrapped model beside its adapter.

        transformers would load that file with every linear layer newly initialised, and say so
        only in a warning.
        """
        output_dir = Path(cfg.output_dir)
        is_main = os.environ.get("RANK", "0") == "0"
        if is_main and cfg.adapter and (output_dir / "adapter_model.safetensors").is_file():
            for bogus in output_dir.glob("model*.safetensors*"):
                bogus.unlink(missing_ok=True)


class DPOPPlugin(BasePlugin):  # type: ignore[misc]
    """Carries `dpop_lambda` and `dpop_form` from the recipe to the DPOP trainer.

    It must import no trainer: that would fix the trainer's arguments before ours are added.
    """

    def get_input_args(self) -> str:
        """The schema of the two keys."""
        return "codefavor.training.plugin_args.DPOPArgs"

    def get_training_args_mixin(self) -> str:
        """The fields that the trainer's arguments get."""
        return "codefavor.training.plugin_args.DPOPTrainingArgs"

    def get_training_args(self, cfg: Any) -> Row:
        """Their values in this recipe."""
        return {"dpop_lambda": cfg.dpop_lambda, "dpop_form": cfg.dpop_form}


class CurriculumPlugin(BasePlugin):  # type: ignore[misc]
    """Trains on the rows in the order of the data file: `curriculum_order: true`.

    Axolotl's own `curriculum_sampling` does so for supervised training and is ignored under
    `rl:`; here it is the samplers of the preference trainers that are told.
    """

    def get_input_args(self) -> str:
        """The schema of the key."""
        return "codefavor.training.plugin_args.CurriculumArgs"

    def get_training_args(self, cfg: Any) -> Row:
        """What tells the trainer's sampler to keep the order."""
        if not cfg.curriculum_order:
            return {}
        if cfg.shuffle_merged_datasets is not False:
            raise ValueError("curriculum_order needs shuffle_merged_datasets: false")
        if cfg.rl in {"grpo", "gdpo"}:
            return {"shuffle_dataset": False}
        return {"train_sampling_strategy": "sequential"}


def drop_reference(trainer: Any) -> None:
    """Give back the memory of a trainer's reference model, if it has one."""
    reference, trainer.ref_model = getattr(trainer, "ref_model", None), None
    if reference is None:
        return
    models = trainer.accelerator._models
    models[:] = [one for one in models if one is not reference]
    if not trainer.is_fsdp_enabled:
        # Axolotl still holds the model: its weights go at once, before the optimizer's come.
        for weight in reference.parameters():
            weight.data = weight.new_empty(0)


def choose_checkpoint(cfg: Any) -> None:
    """Name the newest whole checkpoint: Axolotl goes on from the newest, cut short or not.

    Nothing is removed, so that several processes choose alike without waiting for each other; the
    one that was cut short is written again when the run comes to its step.
    """
    found = [one for one in Path(cfg.output_dir).glob("checkpoint-*") if one.name[11:].isdigit()]
    found.sort(key=lambda one: int(one.name[11:]), reverse=True)
    whole = next((one for one in found if is_whole(one)), None)
    cut = [one.name for one in found[: found.index(whole) if whole else None]]
    if cut:
        then = f"goes on from {whole.name}" if whole else "begins at its first step"
        _LOG.warning("cut short while it was saved: %s; the run %s", ", ".join(cut), then)
    if whole:
        cfg.resume_from_checkpoint = str(whole)
    elif cut:
        cfg.auto_resume_from_checkpoints = False


def ask_as_trained(tokenizer: Any, day: time.struct_time) -> None:
    """Make the chat template ask a model that was trained on rows on that day as it was trained.

    It is asked where an answer of a row begins: behind an empty think block (Qwen3), in the channel
    of answers (gpt-oss), without the channel of thoughts (Gemma 4). Some templates (Llama 3.2,
    gpt-oss) write the date of the day.
    """
    template = _DATE.sub(lambda call: repr(time.strftime(call[2], day)), tokenizer.chat_template)
    if "enable_thinking" in template:
        template = "{%- set enable_thinking = false %}" + template
    tokenizer.chat_template = template
    question = {"role": "user", "content": "A or B?"}
    openings = {
        _opening(tokenizer, [*before, question])
        for before in ([], [{"role": "system", "content": ""}])
    } - {None}
    if len(openings) == 1:
        tokenizer.chat_template = (
            "{%- set is_asked = add_generation_prompt %}{%- set add_generation_prompt = false %}"
            + template.removesuffix("\n")
            + "{{ " + repr(openings.pop()) + " if is_asked else '' }}"
        )  # fmt: skip


def _opening(tokenizer: Any, messages: list[dict[str, str]]) -> str | None:
    """What stands between a question and its answer in a row; None where the template's generation
    prompt is that, or where it takes no such turns."""
    try:
        closed, asked = (
            tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens)
            for opens in (False, True)
        )
        trained, _ = ChatTokens(tokenizer).texts(messages, "")
    except Exception:  # a template raises whatever it likes
        return None
    is_behind = asked != trained and trained.startswith(closed)
    return trained.removeprefix(closed) if is_behind else None


class MetricsCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """One JSON line per log: step, max_steps, epoch, time (Unix seconds) and every number.

    A number that is not finite is written as null and named in `not_finite`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Marks the first step of this launch (above 0 after a resume)."""
        self._write(state, {"event": "begin"})

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Row | None = None, **kwargs: Any
    ) -> None:
        """Writes the numbers of one log."""
        self._write(state, finite_numbers(logs or {}))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Marks that every step was made."""
        self._write(state, {"event": "end"})

    def _write(self, state: Any, values: Row) -> None:
        if not state.is_world_process_zero:
            return
        row = {
            "step": state.global_step,
            "max_steps": state.max_steps,
            "time": round(time.time(), 3),
            **values,
        }
        with open(self.path, "a", encoding="utf-8") as handle:
            handle.write(json.dumps(row) + "\n")


class WholeRun(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Makes the sums of a resumed run those of the whole run: a trainer counts one launch alone.

    The step of every checkpoint is logged, so that the logs in it say what was counted before.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Counts on from what the checkpoint's logs say: the losses, and TRL's tokens."""
        if not state.global_step:
            return
        before, total = 0, 0.0
        for row in state.log_history:
            if "loss" in row:
                total += float(row["loss"]) * (row["step"] - before)
                before = row["step"]
            if "num_tokens" in row and hasattr(self._trainer, "_total_train_tokens"):
                self._trainer._total_train_tokens = int(float(row["num_tokens"]))
        self._trainer._total_loss_scalar = total

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Logs what is saved."""
        control.should_log |= control.should_save

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Logs what is saved."""
        control.should_log |= control.should_save


def finite_numbers(logs: Row) -> Row:
    """The numbers among the logged values; the names of those not finite under `not_finite`."""
    row: Row = {}
    broken = []
    for name, value in logs.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        row[name] = number if math.isfinite(number) else None
        if not math.isfinite(number):
            broken.append(name)
    if broken:
        row["not_finite"] = broken
    return row


def _end_with_launcher() -> None:
    # Not sys.stdin: its lock, held by a waiting thread, aborts the interpreter at its end.
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)
