"""Rehearses a recipe: a stand-in of its model really trains, and is checked by force.

`accelerate launch -m axolotl.cli.train` runs the recipe for a few steps on the CPU, on pairs that
can be learnt; changed are only the model (`stand_in.py`), the data, what needs a GPU, and the pace
(steps, batch, learning rate). No GPU is needed to find that a recipe trains the wrong thing.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from codefavor.errors import CodefavorError, ConfigError
from codefavor.records import Row, content_id, write_rows, write_text
from codefavor.training.check_attention import kernels_of
from codefavor.training.check_readers import METHOD_FORMATS, type_name
from codefavor.training.data_rows import files_of, first_rows
from codefavor.training.forks import Forks
from codefavor.training.formats import FORMATS, FormatOptions, convert
from codefavor.training.launch import launch, run_group
from codefavor.training.model_shapes import find_config
from codefavor.training.recipes import config_digest, dump, load_yaml, method_of
from codefavor.training.rehearsal_checks import (
    found_problems,
    practice_pairs,
    unchecked_losses,
)
from codefavor.training.rehearsal_grpo import (
    MAX_TOKENS,
    convert_as_documented,
    learn_half_way,
    practice_problems,
    questions_of,
)
from codefavor.training.runcard import RUN_CARD
from codefavor.training.stand_in import StandIn

PROBE = "codefavor.training.rehearsal_probe.RehearsalPlugin"
# What of a recipe speaks of a GPU, or of the memory and formats of the real model's weights.
_GPU_KEYS = (
    "deepspeed",
    "fsdp_version",
    "fsdp_config",
    "load_in_4bit",
    "model_quantization_config",
    "model_quantization_config_kwargs",
    "quantize_moe_experts",
    "warmup_ratio",
    "save_strategy",
    "save_only_model",
    "test_datasets",
    "eval_steps",
    "eval_sample_packing",
    "load_best_model_at_end",
    "dev_accuracy",
    "liger_rope",
    "liger_rms_norm",
    "liger_glu_activation",
    "liger_fused_linear_cross_entropy",
)
_GPU_PLUGIN = "axolotl.integrations.liger.LigerPlugin"
_PACE: Row = {
    "num_epochs": 1000,
    "micro_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 2,
    "lr_scheduler": "constant_with_warmup",
    "logging_steps": 1,
    "save_total_limit": 2,
    "auto_resume_from_checkpoints": True,
    "lora_dropout": 0.0,
    "sample_packing": False,
    "pad_to_sequence_len": False,
}
# A letter is learnt from the other side of a long question, the rest from the answer itself; and
# most of ORPO's loss is that of the question.
_STEPS = {"sft": 24, "orpo": 30, "grpo": 4}
_OTHER_STEPS = 10
_RATES = {"lora": 1e-2, "full": 2e-3}
# A model that has learnt something forgets it at such a rate.
_GRPO_RATE = 1e-3


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found: `problems` is empty where everything held.

    `cpu_seconds` are those of this process and the trainings; `text` is what the table of recipes
    shows of it.
    """

    problems: tuple[str, ...]
    cpu_seconds: float
    text: str


def versions_text() -> str:
    """The versions that a rehearsal holds for."""
    return f"axolotl {version('axolotl')}, trl {version('trl')}"


def data_of(recipe: Path) -> tuple[str, FormatOptions]:
    """The format of a recipe's data and its options, as the header's `# Needs:` line makes them.

    Without such a line they are those of its data's reader and first row. Raises ConfigError where
    that reads no format of ours.
    """
    text = recipe.read_text(encoding="utf-8")
    found = re.search(r"^# Needs:.*--format (\w+)( --system none)?", text, re.MULTILINE)
    if found is None:
        return _data_of_rows(recipe)
    [entry, *_] = load_yaml(recipe).get("datasets") or [{}]
    is_without = found[2] or entry.get("drop_system_message")
    return found[1], FormatOptions(system="none" if is_without else "empty")


def _data_of_rows(recipe: Path) -> tuple[str, FormatOptions]:
    config = load_yaml(recipe)
    entries = config.get("datasets") or [{}]
    method, kind = method_of(config), type_name(entries[0])
    known = [one for one in METHOD_FORMATS.get(method, ()) if kind in FORMATS[one].axolotl_types]
    if not known:
        raise ConfigError(
            f"{recipe}: its data are read as {kind!r}, and a rehearsal of {method} can make rows "
            "for the readers of `codefavor convert` alone (or name the --format in a '# Needs:' "
            "line)"
        )
    files = files_of(entries[0], Path.cwd())
    row = first_rows(files[0])[0][1] if files else {}
    turns = row.get("messages") or row.get("prompt")
    turns = turns if isinstance(turns, list) else []
    is_letter = bool(turns) and str(turns[-1].get("content")).strip() in {"A", "B"}
    form = "pairwise" if is_letter and "pairwise" in known else known[0]
    has_system = bool(turns) and turns[0].get("role") == "system"
    if form == "reward":
        has_system = not entries[0].get("drop_system_message")
    return form, FormatOptions(system="empty" if has_system else "none")


class Rehearser:
    """Rehearses recipes of the folder `root` below `folder`; stand-ins are made once."""

    def __init__(self, root: Path, folder: Path = Path("outputs/rehearsals")) -> None:
        self.root = root
        self.folder = folder.resolve()
        self._forks = Forks()
        self._has_launched = False
        layer = load_yaml(root / "layers" / "hardware" / "any.yaml")
        self.cpu = {key: layer[key] for key in layer if key not in {"header", "include"}}

    def digest(self, recipe: Path) -> str:
        """What recipes share that have the same rehearsal: all but paths, sizes and hardware."""
        config = load_yaml(recipe)
        data_format, options = data_of(recipe)
        same = self.config(config, Path(self._stand_in(config).digest), Path(data_format))
        return config_digest({**same, "seed": options.system, "sequence_len": 0})

    def rehearse(self, recipe: Path) -> Rehearsal:
        """Train and check one recipe. Its files stay in a folder of its name for a look."""
        # One by the command itself; where a fork gave other weights, its resumption would fail.
        run_first = self._forks.launch if self._has_launched else run_group
        self._has_launched = True
        before = _cpu_seconds() + self._forks.cpu_seconds
        config = load_yaml(recipe)
        run = self.folder / f"{recipe.parent.name}-{recipe.stem}"
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        try:
            stand_in = self._stand_in(config)
            template = stand_in.template_name
            problems = self._problems(recipe, config, stand_in, run, run_first)
        except CodefavorError as error:
            template, problems = "", [f"{type(error).__name__}: {str(error).splitlines()[0]}"]
        text = f"{datetime.now(timezone.utc):%Y-%m-%d}, {versions_text()}, template {template}"
        after = _cpu_seconds() + self._forks.cpu_seconds
        return Rehearsal(tuple(problems), after - before, text)

    def config(self, config: Mapping[str, Any], model: Path, data: Path) -> Row:
        """A recipe's settings on a stand-in and other rows, on a CPU."""
        kept = {key: config[key] for key in config if key not in _GPU_KEYS}
        steps = _STEPS.get(method_of(config), _OTHER_STEPS)
        changed: Row = {
            **self.cpu,
            **_PACE,
            "max_steps": steps,
            "save_steps": steps // 2,
            "base_model": str(model),
            "datasets": [{**config["datasets"][0], "path": str(data)}],
            "output_dir": "run",
            "dataset_prepared_path": "run/prepared",
            "learning_rate": _RATES["lora" if config.get("adapter") else "full"],
            "plugins": [one for one in config.get("plugins") or [] if one != _GPU_PLUGIN] + [PROBE],
        }
        if method_of(config) == "grpo":
            changed["learning_rate"] = _GRPO_RATE
            # How many GPUs share the samples of a step, and who generates them, is hardware.
            kept_trl = {k: v for k, v in config["trl"].items() if k != "generation_batch_size"}
            changed["trl"] = {**kept_trl, "max_completion_length": MAX_TOKENS, "use_vllm": False}
            # One question a step, so that all steps are of one epoch: TRL's sampler of questions
            # begins a later epoch that is resumed with the order of the first.
            changed["micro_batch_size"] = config["trl"]["num_generations"]
        if config.get("adapter"):
            changed["adapter"] = "lora"  # of qlora, which needs a GPU
        words = find_config(str(config["base_model"]), Path.cwd(), self.root)
        if config.get("attn_implementation") == "eager" or "sdpa" not in kernels_of(words):
            changed["attn_implementation"] = "eager"
        return {**kept, **changed}

    def _stand_in(self, config: Mapping[str, Any]) -> StandIn:
        chosen = config.get("peft_layers_to_transform") or [0]
        return StandIn.of(str(config["base_model"]), self.root, max(2, max(chosen) + 1))

    def _problems(
        self, recipe: Path, config: Row, stand_in: StandIn, run: Path, run_first: Callable[..., int]
    ) -> list[str]:
        if unchecked := unchecked_losses(config):
            return unchecked
        data_format, options = data_of(recipe)
        pairs = practice_pairs()
        data = run / "data.jsonl"
        model = self.folder / "models" / stand_in.digest
        texts = [f"{one.instruction}\n{one.chosen}\n{one.rejected}" for one in pairs]
        asked = questions_of(pairs, config) if data_format == "grpo" else []
        if any(one.code != pair.chosen for one, pair in zip(asked, pairs, strict=False)):
            texts += [f"{one.text}\n{one.code}\n{one.stub}" for one in asked]
            # The tokens of a stand-in are those of its texts.
            model = model.with_name(f"{model.name}-{content_id(texts)[:8]}")
        self._forks.call(stand_in.save, model, texts)
        if data_format == "grpo":
            convert_as_documented(recipe, practice_problems(pairs), data)
            bare, model = model, run / "model"
            template = config.get("chat_template_jinja")
            self._forks.call(learn_half_way, bare, model, asked, options.system, template)
        else:
            write_rows(data, convert(pairs, data_format, options).rows)
        write_text(run / "recipe.yaml", [dump(self.config(config, model, data))])
        launch(run / "recipe.yaml", folder=run, gpus=0, run=run_first)
        trained = (data_format, options.system, config, model, run / "run", pairs)
        return [
            *self._forks.call(found_problems, trained),
            *self._resume_problems(run),
        ]

    def _resume_problems(self, run: Path) -> Iterator[str]:
        """A run that lost all behind its middle gives the same weights, byte for byte."""
        out = run / "run"
        before = _weights_digest(out)
        card = json.loads((out / RUN_CARD).read_text(encoding="utf-8"))
        last = max(out.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        shutil.rmtree(last)
        for path in out.glob("*.safetensors"):
            path.unlink()
        write_text(out / RUN_CARD, [json.dumps({**card, "status": "running"})])
        resumed = launch(run / "recipe.yaml", folder=run, gpus=0, run=self._forks.launch)
        if not resumed.is_resumed:
            yield "resume: no checkpoint was found"
        elif _weights_digest(out) != before:
            yield "resume: other weights than without an interruption"


def _weights_digest(folder: Path) -> str:
    digest = sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
