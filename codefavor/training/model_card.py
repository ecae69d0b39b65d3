"""The model card of a finished run: what it is, how it was trained, how to load it; pure."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codefavor.records import Row
from codefavor.text import escape_markdown
from codefavor.training.recipes import HEAD_CLASSES, dump, method_of

_METHODS = {
    "sft": "supervised fine-tuning",
    "dpo": "direct preference optimisation",
    "ipo": "IPO",
    "simpo": "SimPO",
    "orpo": "ORPO",
    "kto": "KTO",
    "grpo": "GRPO with rewards from test runs",
    "gdpo": "GDPO with rewards from test runs",
    "reward": "a Bradley-Terry reward model",
    "process_reward": "a process reward model",
}
# Models that this package brings along, by the name of their folder.
_HUB_NAMES = {"SmolLM2-135M-Instruct": "HuggingFaceTB/SmolLM2-135M-Instruct"}
# Paths of the machine that trained say nothing to others.
_PRIVATE = {"output_dir", "dataset_prepared_path", "base_model", "datasets"}


def model_card(
    card: Mapping[str, Any], *, name: str, license_id: str = "", is_adapter: bool = False
) -> str:
    """The text of README.md for the Hub: a header that it reads, then what a person reads."""
    config = card["config"]
    method = method_of(config)
    base = base_model_name(config)
    lines = [
        "---",
        *_front_matter(base, method, license_id, is_adapter),
        "---",
        "",
        f"# {escape_markdown(name)}",
        "",
    ]
    how = _describe_method(config)
    lines += [
        f"{escape_markdown(base)} trained by {how}, with "
        "[CodeFavor](https://github.com/codefavor/codefavor) through Axolotl. It works on code "
        "preference: which of two programs better follows an instruction.",
        "",
        "## Loading",
        "",
        *_loading(base, method, name, is_adapter),
        "",
        "## Training",
        "",
        *_training_lines(card),
        "",
        "## Settings",
        "",
        "```yaml",
        dump({key: value for key, value in config.items() if key not in _PRIVATE}).rstrip(),
        "```",
        "",
        "The exact data files are told by their sha256 in `run.json`, every logged number is in "
        "`metrics.jsonl`.",
        "",
        "## Limits",
        "",
        "The figures above are of the training itself. They say nothing of how well the model "
        "judges programs that it has not seen: measure that with `codefavor evaluate`, on "
        "problems that are in none of the training files.",
    ]
    return "\n".join(lines) + "\n"


def base_model_name(config: Mapping[str, Any]) -> str:
    """The base model as others know it: its name on the Hub, or its folder's name."""
    base = str(config["base_model"])
    if Path(base).name in _HUB_NAMES:
        return _HUB_NAMES[Path(base).name]
    return base if base.count("/") == 1 and not base.startswith(("/", ".")) else Path(base).name


def public_card(card: Mapping[str, Any], out: Path | None = None) -> Row:
    """A run card without the paths and the command line of the machine that trained.

    A data file is told by its path from the folder `out`, where both are below the working
    directory, so that `evaluate` finds it; else by its name.
    """
    config = {key: value for key, value in card["config"].items() if key not in _PRIVATE}
    kept = {key: value for key, value in card.items() if key not in {"command", "recipe"}}
    data = {_data_name(Path(one), out): digest for one, digest in (card.get("data") or {}).items()}
    recipe = Path(str(card.get("recipe") or ""))
    together = card.get("together") or {}
    return {
        **kept,
        "together": {_data_name(Path(one), out): n for one, n in together.items()},
        "recipe": f"{recipe.parent.name}/{recipe.stem}",
        "config": {"base_model": base_model_name(card["config"]), **config},
        "data": data,
    }


def _data_name(file: Path, out: Path | None) -> str:
    here = Path.cwd()
    if out is None or not all(one.resolve().is_relative_to(here) for one in (file, out)):
        return file.name
    return os.path.relpath(file.resolve(), out.resolve())


def _front_matter(base: str, method: str, license_id: str, is_adapter: bool) -> list[str]:
    lines = [f"library_name: {'peft' if is_adapter else 'transformers'}"]
    if "/" in base:  # the Hub refuses a card whose base model it cannot find
        lines.append(f"base_model: {json.dumps(base)}")
    if license_id:
        lines.append(f"license: {json.dumps(license_id)}")
    task = {"reward": "text-classification", "process_reward": "token-classification"}
    lines.append(f"pipeline_tag: {task.get(method, 'text-generation')}")
    return [
        *lines,
        "tags:",
        "- code",
        "- preference",
        "- codefavor",
        f"- {method.replace('_', '-')}",
    ]


def _describe_method(config: Mapping[str, Any]) -> str:
    method = method_of(config)
    text = _METHODS.get(method, method)
    if config.get("dpop_lambda") is not None:
        text = f"DPO-Positive ({config.get('dpop_form') or 'paper'} form)"
    elif method == "dpo" and config.get("dpo_loss_type") not in (None, ["sigmoid"]):
        text += f" (loss: {', '.join(config['dpo_loss_type'])})"
    adapter = config.get("adapter")
    return f"{text}, {'all weights' if not adapter else str(adapter)}"


def _loading(base: str, method: str, name: str, is_adapter: bool) -> list[str]:
    kind = HEAD_CLASSES.get(method, "AutoModelForCausalLM")
    labels = ", num_labels=1" if method == "reward" else ""
    lines = ["```python", f"from transformers import {kind}, AutoTokenizer"]
    if is_adapter:
        lines += [
            "from peft import PeftModel",
            "",
            f"base = {kind}.from_pretrained({json.dumps(base)}{labels})",
            f"model = PeftModel.from_pretrained(base, {json.dumps(name)})",
        ]
    else:
        lines += ["", f"model = {kind}.from_pretrained({json.dumps(name)}{labels})"]
    lines += [f"tokenizer = AutoTokenizer.from_pretrained({json.dumps(name)})", "```"]
    return [*lines, "", "The tokenizer carries the chat template that was trained with."]


def _training_lines(card: Mapping[str, Any]) -> list[str]:
    first, last = card.get("first") or {}, card.get("last") or {}
    lines = [f"* {int(last.get('step') or 0)} steps, {float(card['seconds']) / 60:.1f} minutes"]
    for name in ("loss", "rewards/margins", "rewards/accuracies", "accuracy", "reward"):
        if name in first and name in last:
            lines.append(
                f"* {name}: {first[name]:.4g} at the first log, {last[name]:.4g} at the last"
            )
    hardware = card.get("hardware") or {}
    where = ", ".join(hardware.get("gpus") or []) or (
        f"{hardware.get('processor', 'a CPU')}, {hardware.get('cores', '?')} cores"
    )
    started = card.get("started", "at an unknown time")
    lines.append(f"* on {escape_markdown(where)}; started {started}")
    versions = card.get("versions") or {}
    if versions:
        lines.append("* " + ", ".join(f"{name} {value}" for name, value in versions.items()))
    together = sum((card.get("together") or {}).values())
    if together:
        lines.append(
            f"* {together} training pairs rest on test runs of the together lane, whose verdict a "
            "hostile program can forge"
        )
    lines += [f"* warning: {sign}" for sign in card.get("signs") or []]
    return lines
