"""Folders of weights: reading one tensor at a time, and writing a folder whole or not at all."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError, MissingPackageError
from codefavor.records import Row

SHARD_BYTES = 4 << 30
ADAPTER_FILE = "adapter_model.safetensors"
_NOT_COPIED = (".index.json", "run.json", "adapter_config.json", "_state.json")
_ADAPTER_PREFIX = "base_model.model."
Tensor = Any
Loaders = dict[str, Callable[[], Tensor]]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter, not a whole model."""
    return (folder / "adapter_config.json").is_file()


@contextmanager
def open_weights(folder: Path) -> Iterator[Loaders]:
    """A loader for every tensor of a folder; nothing is read before it is called."""
    import_torch()
    from safetensors import safe_open

    with ExitStack() as stack:
        loaders: Loaders = {}
        for file in _weight_files(folder):
            handle = stack.enter_context(safe_open(file, framework="pt"))
            for name in handle.keys():  # noqa: SIM118 (a handle is no mapping)
                loaders[name] = _loader(handle, name)
        yield dict(sorted(loaders.items()))


@contextmanager
def open_folded(base: Path, adapter: Path) -> Iterator[Loaders]:
    """A loader for every tensor of a model with a LoRA adapter's matrices added in.

    Raises ConfigError for an adapter that holds more than LoRA matrices of this model.
    """
    config = mergeable_adapter(adapter)
    scale = lora_scale(config)
    with open_weights(base) as plain, open_weights(adapter) as matrices:
        folded = dict(plain)
        for name in matrices:
            stem, is_first, _ = name.partition(".lora_A.")
            if not is_first:
                if ".lora_B." not in name:
                    raise ConfigError(f"{adapter}: {name} is no LoRA matrix; cannot be added in")
                continue
            target = f"{stem.removeprefix(_ADAPTER_PREFIX)}.weight"
            if target not in plain:
                raise ConfigError(f"{adapter}: adapts {target}, which {base} does not have")
            other = name.replace(".lora_A.", ".lora_B.")
            folded[target] = _folded_loader(plain[target], matrices[name], matrices[other], scale)
        yield folded


def _folded_loader(
    plain: Callable[[], Tensor],
    first: Callable[[], Tensor],
    second: Callable[[], Tensor],
    scale: float,
) -> Callable[[], Tensor]:
    def load() -> Tensor:
        weight = plain()
        change = scale * (second().float() @ first().float())
        return (weight.float() + change).to(weight.dtype)

    return load


def _weight_files(folder: Path) -> list[Path]:
    """The files that transformers or peft would read; a repository may hold others beside them."""
    if (folder / ADAPTER_FILE).is_file():
        return [folder / ADAPTER_FILE]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        files = [folder / name for name in sorted(set(names))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise ConfigError(f"{folder}: {missing[0]} is missing; its index names it")
        return files
    if not (folder / "model.safetensors").is_file():
        raise ConfigError(f"{folder}: no safetensors file; expected a model or adapter folder")
    return [folder / "model.safetensors"]


def _loader(handle: Any, name: str) -> Callable[[], Tensor]:
    return lambda: handle.get_tensor(name)


def copy_small_files(source: Path, target: Path) -> None:
    """Copy configuration, tokenizer and chat template; nothing of weights, adapters or runs."""
    for pattern in ("*.json", "*.jinja", "*.model", "*.txt"):
        for file in source.glob(pattern):
            if not file.name.endswith(_NOT_COPIED):
                shutil.copy(file, target / file.name)


def write_shards(folder: Path, tensors: Iterator[tuple[str, Tensor]]) -> None:
    """Write tensors in files of at most 4 GiB, with the index that transformers reads."""
    shards: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    size = total = 0

    def flush() -> None:
        shards.append(list(pending))
        save_tensors(pending, folder / f"shard-{len(shards)}.safetensors")
        pending.clear()

    for name, tensor in tensors:
        n_bytes = tensor.numel() * tensor.element_size()
        if pending and size + n_bytes > SHARD_BYTES:
            flush()
            size = 0
        pending[name] = tensor
        size += n_bytes
        total += n_bytes
    flush()
    if len(shards) == 1:
        (folder / "shard-1.safetensors").rename(folder / "model.safetensors")
        return
    where = {}
    for number, names in enumerate(shards, start=1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        (folder / f"shard-{number}.safetensors").rename(folder / file)
        where.update(dict.fromkeys(names, file))
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write one safetensors file."""
    from safetensors.torch import save_file

    save_file(dict(tensors), path, metadata={"format": "pt"})


def adapter_config(folder: Path) -> Row:
    """The configuration of a LoRA adapter; raises ConfigError for kinds that cannot be merged."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise ConfigError(f"{folder}: not an adapter folder (it has no adapter_config.json)")
    config: Row = json.loads(path.read_text(encoding="utf-8"))
    if config.get("use_dora") or config.get("rank_pattern") or config.get("alpha_pattern"):
        raise ConfigError(f"{folder}: DoRA and rank patterns cannot be merged as adapters")
    return config


def mergeable_adapter(folder: Path) -> Row:
    """The configuration of an adapter whose matrices are one pair a layer.

    Raises ConfigError for an adapter on experts, whose matrices hold all experts of a layer.
    """
    config = adapter_config(folder)
    if parameters := config.get("target_parameters"):
        raise ConfigError(
            f"{folder}: adapts experts ({', '.join(parameters)}), and such adapters cannot be "
            "merged: write whole models with `codefavor export`, and merge those"
        )
    return config


def lora_scale(config: Row) -> float:
    """What the product of the two matrices is multiplied by."""
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def import_torch() -> Any:
    """torch; raises MissingPackageError without it."""
    try:
        import torch
    except ImportError as error:
        raise MissingPackageError("torch", "local", "merging models") from error
    return torch
