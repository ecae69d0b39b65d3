"""Files and folders that a recipe names: there, made by its own commands, and what they say."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codefavor.backends.embedded import FOLDER_NAME
from codefavor.training.findings import Finding, at, entries_of, error, warning
from codefavor.training.output_folder import holds_inputs, is_foreign
from codefavor.training.plan import deepspeed_file, is_local_path, needs_of
from codefavor.training.recipes import load_yaml, processes_of

_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf", "*.pt")
# A word in a model's name, and what alone reads its weights.
_FORMS = {
    "gguf": "llama.cpp",
    "mlx": "MLX",
    "exl2": "ExLlama",
}
_QUANTISED = ("awq", "gptq", "bnb-4bit", "bnb-8bit")
_NEAR = 0.75
_MANIFEST = ".manifest.json"
# The line of a header that `processes_of` reads.
_RUNS_ON = "# Runs on:"
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def has_header(recipe: Path) -> bool:
    """Whether a recipe has the header that ours have, which says what machine it is for."""
    lines = recipe.read_text(encoding="utf-8").splitlines()
    return any(line.startswith(_RUNS_ON) for line in lines)


def file_findings(config: Mapping[str, Any], recipe: Path, folder: Path) -> Iterator[Finding]:
    """Files that are neither there nor made by a command of the recipe's header."""
    made = "\n".join(needs_of(recipe))
    by_header = "no 'Needs:' line of the header"
    for _, entry in entries_of(config):
        path = str(entry.get("path") or "")
        if path.endswith(_MANIFEST):
            yield error(
                f"datasets: {path} says how {path.removesuffix(_MANIFEST)} was made, and holds no "
                "rows; name that file"
            )
        is_here = is_local_path(path, folder)
        if is_here and not (folder / path).exists() and f"--out {path}" not in made:
            yield error(f"datasets: {path} is not there, and {by_header} writes it")
        is_on_hub = bool(_HUB_NAME.fullmatch(path)) and not is_here
        if is_on_hub:
            yield warning(
                f"datasets: {path} is no file or folder here; whether the Hub has it is not checked"
            )
        elif "/" in path and not is_here and "://" not in path:
            yield error(f"datasets: {path} is not there, and {by_header} writes it")
        named = [] if is_on_hub else entry.get("data_files") or []  # else they are in that set
        for file in [named] if isinstance(named, str) else named:
            if is_local_path(file, folder) and not (folder / file).exists() and file not in made:
                yield error(f"datasets: data_files: {file} is not there, and {by_header} writes it")
    dev = (config.get("dev_accuracy") or {}).get("data")
    if dev and not (folder / dev).exists() and dev not in made:
        yield error(f"dev_accuracy.data: {dev} is not there, and {by_header} names it")
    for key in ("base_model_config", "tokenizer_config"):
        name = str(config.get(key) or "")
        if name and is_local_path(name, folder) and not (folder / name).exists():
            yield error(f"{key}: {name} is not there; remove it, or name a folder or the Hub's")
    yield from _model_findings(config, folder, made)
    yield from _deepspeed_findings(config, recipe, folder)
    yield from _start_findings(config, folder)
    yield from _output_findings(config, recipe, folder)
    output, prepared = str(config.get("output_dir")), str(config.get("dataset_prepared_path"))
    # `codefavor train` sets a place of its own; a bare launch is promised to work for ours alone.
    if has_header(recipe) and not prepared.startswith(f"{output}/"):
        yield error(
            f"dataset_prepared_path: {prepared} must lie in output_dir {output}: Axolotl's cache "
            "ignores file contents"
        )


def _model_findings(config: Mapping[str, Any], folder: Path, made: str) -> Iterator[Finding]:
    model = str(config.get("base_model") or "")
    place = folder / model
    words = set(re.split(r"[-_./]", model.lower()))
    for word, reader in _FORMS.items():
        if word in words:
            yield error(
                f"base_model: {model} is in the form of {reader}, which no trainer reads; name the "
                "model that it is made of"
            )
    if not config.get("adapter") and (words & set(_QUANTISED) or "bnb-4bit" in model.lower()):
        yield error(
            f"base_model: {model} has quantised weights, which cannot be trained themselves; set "
            "an adapter, or name the model in bf16"
        )
    if not model or not is_local_path(model, folder):
        return
    if not place.exists():
        # `prepare` makes one folder, whatever the recipe names.
        if "recipes prepare" not in made or Path(model).name != FOLDER_NAME:
            yield error(
                f"base_model: {model} is not there, and no 'Needs:' line of the header makes it"
            )
    elif (place / "adapter_config.json").is_file():  # beside a config.json of the model, too
        yield error(
            f"base_model: {model} holds an adapter, no model; name the model that it is for, and "
            f"lora_model_dir: {model} to go on with it (or merge it: codefavor merge)"
        )
    elif not any(found for form in _WEIGHTS for found in place.glob(form)):
        yield error(f"base_model: {model} holds no weights ({', '.join(_WEIGHTS)})")


def _output_findings(config: Mapping[str, Any], recipe: Path, folder: Path) -> Iterator[Finding]:
    """An output folder in which somebody's own files would be written over, or deleted."""
    name = config.get("output_dir")
    if not name:
        return  # the schema has told already
    if reason := holds_inputs(config, folder):
        yield error(f"output_dir: {reason}, which a run would write over; name one of its own")
    elif holds_inputs(config, folder, [recipe]):
        yield warning(f"output_dir: {name} holds this recipe's file; --fresh will not empty it")
    elif is_foreign(folder / str(name)):
        yield warning(
            f"output_dir: {name} holds files, and no run card or checkpoint of a run: --fresh will "
            "not empty it; name a folder of its own"
        )


def deepspeed_settings(
    config: Mapping[str, Any], recipe: Path, folder: Path
) -> dict[str, Any] | None:
    """What DeepSpeed is told, by a file or in the recipe; None where that is no mapping."""
    written = config.get("deepspeed")
    if found := deepspeed_file(config, recipe, folder):
        try:
            written = json.loads(found.read_text(encoding="utf-8"))
        except ValueError:
            return None
    return dict(written) if isinstance(written, Mapping) else None


def _deepspeed_findings(config: Mapping[str, Any], recipe: Path, folder: Path) -> Iterator[Finding]:
    """A DeepSpeed file that is not there, or that DeepSpeed does not read as it is meant."""
    name = config.get("deepspeed")
    if isinstance(name, Mapping):
        yield from _deepspeed_contents("its mapping", name)
    if not isinstance(name, str):
        return
    found = deepspeed_file(config, recipe, folder)
    if found is None:
        yield error(f"deepspeed: {name} does not exist")
        return
    try:
        written = json.loads(found.read_text(encoding="utf-8"))
    except ValueError as problem:
        yield error(f"{found}: not valid JSON: {problem}")
        return
    yield from _deepspeed_contents(name, written)


def _deepspeed_contents(name: str, written: Any) -> Iterator[Finding]:
    """DeepSpeed's settings (a file's, or the recipe's own) of a form that it does not know."""
    if not isinstance(written, Mapping):
        yield error(f"deepspeed: {name}: expected a mapping, found {type(written).__name__}")
        return
    yield from _deepspeed_keys(name, written)
    stage = at(written, "zero_optimization.stage")
    if stage not in (None, 0, 1, 2, 3):
        yield error(f"deepspeed: {name}: zero_optimization.stage: {stage} is none of 0 to 3")


def _deepspeed_keys(name: str, written: Any) -> Iterator[Finding]:
    """Keys that DeepSpeed does not know: it goes on without what they ask for.

    One that is not listed here is an error only where it looks like one that is.
    """
    known_keys = load_yaml(Path(__file__).with_name("deepspeed_keys.yaml"))
    below = at(written, "zero_optimization")
    places = [("", written, known_keys["top"])]
    places.append(("zero_optimization.", below, known_keys["zero_optimization"]))
    for where, there, known in places:
        for key in there if isinstance(there, Mapping) else ():
            if key in known:
                continue
            near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=_NEAR)
            if near:
                yield error(f"deepspeed: {name}: {where}{key} is unknown; did you mean {near[0]}?")
            else:
                yield warning(f"deepspeed: {name}: {where}{key} is no key that is known here")


def _start_findings(config: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """An adapter or a checkpoint to go on from that is not there."""
    for key, file in (
        ("lora_model_dir", "adapter_config.json"),
        ("resume_from_checkpoint", "trainer_state.json"),
    ):
        name = config.get(key)
        if not isinstance(name, str) or not name:
            continue
        place = folder / name
        is_on_hub = key == "lora_model_dir" and _HUB_NAME.fullmatch(name)
        if place.is_dir():
            if not (place / file).is_file():
                yield error(f"{key}: {name} has no {file}, so there is nothing to go on from")
        elif is_local_path(name, folder) or not is_on_hub:
            yield error(f"{key}: {name} is not there; remove it, or name a folder with {file}")
        else:
            yield warning(f"{key}: {name} is no folder here; whether the Hub has it is not checked")


def gpus_of(recipe: Path) -> int | None:
    """How many GPUs a recipe is for by its header: 0 for any machine, None if it does not say."""
    return processes_of(recipe) if has_header(recipe) else None
