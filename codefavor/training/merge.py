"""Merging checkpoints and adapters: weighted mean, SLERP, TIES; one tensor in memory at a time.

Source: SLERP, Shoemake 1985; TIES, Yadav et al. 2023 (arXiv 2306.01708).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError, MissingPackageError
from codefavor.records import Row, whole_folder

METHODS = ("linear", "slerp", "ties")
_SHARD_BYTES = 4 << 30
_ADAPTER = "adapter_model.safetensors"
Tensor = Any


def linear(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The mean of the tensors by weights, which need not sum to 1."""
    total = sum(weights)
    return sum(
        tensor.float() * (weight / total) for tensor, weight in zip(tensors, weights, strict=True)
    )


def slerp(first: Tensor, second: Tensor, t: float) -> Tensor:
    """The point at share `t` in [0, 1] of the great circle from `first` to `second`.

    The direction turns on the circle; the length is interpolated by the same coefficients.
    Nearly parallel tensors (and zeros) are interpolated linearly, where the circle has no plane.
    """
    a, b = first.float(), second.float()
    lengths = float(a.norm()) * float(b.norm())
    cosine = float((a * b).sum()) / lengths if lengths else 1.0
    if abs(cosine) > 0.9995:
        return (1 - t) * a + t * b
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)


def ties(
    base: Tensor, tensors: Sequence[Tensor], weights: Sequence[float], density: float
) -> Tensor:
    """The base plus the agreed part of the differences.

    Each difference keeps its largest `density` share of entries; each entry takes the sign that
    has the larger weighted sum; the mean is over the differences of that sign alone.
    """
    kept = []
    for tensor, weight in zip(tensors, weights, strict=True):
        difference = tensor.float() - base.float()
        n_kept = max(1, round(density * difference.numel()))
        threshold = difference.abs().flatten().kthvalue(difference.numel() - n_kept + 1).values
        kept.append((difference * (difference.abs() >= threshold), weight))
    sign = sum(weight * difference for difference, weight in kept).sign()
    total, count = base.float() * 0.0, base.float() * 0.0
    for difference, weight in kept:
        agrees = (difference.sign() == sign) & (difference != 0)
        total = total + weight * difference * agrees
        count = count + weight * agrees
    return base.float() + total / count.clamp(min=1e-12)


def merge_models(
    folders: Sequence[Path],
    out: Path,
    *,
    method: str = "linear",
    weights: Sequence[float] | None = None,
    base: Path | None = None,
    density: float = 0.2,
) -> Path:
    """Merge model folders of one shape into `out`, whole or not at all; returns `out`.

    `weights` default to equal ones; for slerp the second weight's share is the position. ties
    needs `base`, the model that all were tuned from. Configuration and tokenizer are the first
    model's; each tensor keeps the first model's dtype.
    """
    shares = _check_request(folders, out, method, weights, base=base, density=density)
    with ExitStack() as stack:
        models = [stack.enter_context(_opened(folder)) for folder in folders]
        root = stack.enter_context(_opened(base)) if base is not None else None
        _check_same_tensors(folders, models)

        def combine(name: str) -> Tensor:
            tensors = [model[name]() for model in models]
            if method == "linear":
                merged = linear(tensors, shares)
            elif method == "slerp":
                merged = slerp(tensors[0], tensors[1], shares[1] / sum(shares))
            else:
                assert root is not None
                merged = ties(root[name](), tensors, shares, density)
            return merged.to(tensors[0].dtype).contiguous()

        with whole_folder(out) as partial:
            _copy_small_files(folders[0], partial)
            _write_shards(partial, ((name, combine(name)) for name in models[0]))
    return out


def merge_adapters(
    folders: Sequence[Path], out: Path, weights: Sequence[float] | None = None
) -> Path:
    """The exact weighted mean of LoRA adapters of one base, as an adapter of their summed rank.

    Averaging the matrices themselves would be wrong: the mean of products is not the product of
    means. Stacked side by side, with the weights in the second matrix, it is exact.
    """
    shares = _check_request(folders, out, "linear", weights)
    configs = [_adapter_config(folder) for folder in folders]
    bases = {str(config["base_model_name_or_path"]) for config in configs}
    if len(bases) != 1:
        raise ConfigError(f"adapters of different base models: {', '.join(sorted(bases))}")
    torch = _import_torch()
    with ExitStack() as stack:
        adapters = [stack.enter_context(_opened(folder)) for folder in folders]
        _check_same_tensors(folders, adapters, is_rank_free=True)

        def combine(name: str) -> Tensor:
            tensors = [adapter[name]() for adapter in adapters]
            if ".lora_A." in name:
                return torch.cat(tensors, dim=0).contiguous()
            if ".lora_B." in name:
                scaled = [
                    tensor * (share / sum(shares) * _lora_scale(config))
                    for tensor, share, config in zip(tensors, shares, configs, strict=True)
                ]
                return torch.cat(scaled, dim=1).contiguous()
            return linear(tensors, shares).to(tensors[0].dtype).contiguous()

        rank = sum(int(config["r"]) for config in configs)
        with whole_folder(out) as partial:
            _copy_small_files(folders[0], partial)
            config = {**configs[0], "r": rank, "lora_alpha": rank, "use_rslora": False}
            (partial / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
            _save({name: combine(name) for name in adapters[0]}, partial / _ADAPTER)
    return out


def fold_adapter(base: Path, adapter: Path, out: Path) -> Path:
    """The base model with the adapter's weights added in: a plain model folder."""
    try:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise MissingPackageError(error.name or "peft", "local", "folding an adapter") from error
    config = _adapter_config(adapter)
    if config.get("task_type") == "SEQ_CLS":
        raise ConfigError(f"{adapter}: a reward model's adapter; use it as it is, with its base")
    if out.exists():
        raise ConfigError(f"{out}: exists already; remove it or name another folder")
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    folded = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    has_tokenizer = (adapter / "tokenizer_config.json").is_file()
    tokenizer = AutoTokenizer.from_pretrained(adapter if has_tokenizer else base)
    with whole_folder(out) as partial:
        folded.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    return out


def _check_request(
    folders: Sequence[Path],
    out: Path,
    method: str,
    weights: Sequence[float] | None,
    *,
    base: Path | None = None,
    density: float = 1.0,
) -> list[float]:
    shares = list(weights) if weights else [1.0] * len(folders)
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    if len(folders) < 2 or (method == "slerp" and len(folders) != 2):
        raise ConfigError(f"{method} merges {'two' if method == 'slerp' else 'two or more'} models")
    if len(shares) != len(folders) or min(shares) < 0 or sum(shares) <= 0:
        raise ConfigError(f"{len(folders)} models need as many weights, none below 0: {shares}")
    if (method == "ties") != (base is not None):
        raise ConfigError("ties, and only ties, needs the base model")
    if not 0 < density <= 1:
        raise ConfigError(f"density is {density}; expected above 0 and at most 1")
    if out.exists():
        raise ConfigError(f"{out}: exists already; remove it or name another folder")
    return shares


def _check_same_tensors(
    folders: Sequence[Path], models: Sequence[Mapping[str, Any]], *, is_rank_free: bool = False
) -> None:
    for folder, model in zip(folders[1:], models[1:], strict=True):
        if set(model) != set(models[0]):
            odd = sorted(set(model) ^ set(models[0]))[0]
            raise ConfigError(f"{folder} and {folders[0]} differ in tensors, first {odd}")
        for name in model:
            shapes = [tuple(one[name]().shape) for one in (models[0], model)]
            if shapes[0] != shapes[1] and not is_rank_free:
                raise ConfigError(f"{folder}: {name} is {shapes[1]}, in {folders[0]} {shapes[0]}")


@contextmanager
def _opened(folder: Path) -> Iterator[dict[str, Callable[[], Tensor]]]:
    """A loader for every tensor of a folder; nothing is read before it is called."""
    _import_torch()
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if (folder / _ADAPTER).is_file():
        files = [folder / _ADAPTER]
    if not files:
        raise ConfigError(f"{folder}: no safetensors file; expected a model or adapter folder")
    with ExitStack() as stack:
        loaders: dict[str, Callable[[], Tensor]] = {}
        for file in files:
            handle = stack.enter_context(safe_open(file, framework="pt"))
            for name in handle.keys():  # noqa: SIM118 (a handle is no mapping)
                loaders[name] = _loader(handle, name)
        yield dict(sorted(loaders.items()))


def _loader(handle: Any, name: str) -> Callable[[], Tensor]:
    return lambda: handle.get_tensor(name)


def _copy_small_files(source: Path, target: Path) -> None:
    for pattern in ("*.json", "*.jinja", "*.model", "*.txt"):
        for file in source.glob(pattern):
            if not file.name.endswith((".index.json", "run.json")):
                shutil.copy(file, target / file.name)


def _write_shards(folder: Path, tensors: Iterator[tuple[str, Tensor]]) -> None:
    """Write tensors in files of at most 4 GiB, with the index that transformers reads."""
    shards: list[list[str]] = []
    pending: dict[str, Tensor] = {}
    size = total = 0

    def flush() -> None:
        shards.append(list(pending))
        _save(pending, folder / f"shard-{len(shards)}.safetensors")
        pending.clear()

    for name, tensor in tensors:
        n_bytes = tensor.numel() * tensor.element_size()
        if pending and size + n_bytes > _SHARD_BYTES:
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


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    save_file(dict(tensors), path, metadata={"format": "pt"})


def _adapter_config(folder: Path) -> Row:
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise ConfigError(f"{folder}: not an adapter folder (it has no adapter_config.json)")
    config: Row = json.loads(path.read_text(encoding="utf-8"))
    if config.get("use_dora") or config.get("rank_pattern") or config.get("alpha_pattern"):
        raise ConfigError(f"{folder}: DoRA and rank patterns cannot be merged as adapters")
    return config


def _lora_scale(config: Row) -> float:
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingPackageError("torch", "local", "merging models") from error
    return torch
