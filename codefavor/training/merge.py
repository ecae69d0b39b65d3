"""Merging checkpoints and adapters: weighted mean, SLERP, TIES; one tensor in memory at a time.

Source: SLERP, Shoemake 1985; TIES, Yadav et al. 2023 (arXiv 2306.01708).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError, MissingPackageError
from codefavor.records import whole_folder
from codefavor.training.model_folders import (
    ADAPTER_FILE,
    Loaders,
    Tensor,
    adapter_config,
    copy_small_files,
    import_torch,
    is_adapter,
    lora_scale,
    mergeable_adapter,
    open_folded,
    open_weights,
    save_tensors,
    write_shards,
)

METHODS = ("linear", "slerp", "ties")


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

    A folder may be an adapter of `base`, which is then added in, one tensor at a time. `weights`
    default to equal ones; for slerp the second weight's share is the position. ties needs
    `base`, the model that all were tuned from. Configuration and tokenizer are the first
    model's; each tensor keeps the first model's dtype.
    """
    shares = _check_request(folders, out, method, weights, base=base, density=density)
    with ExitStack() as stack:
        models = [stack.enter_context(_opened(folder, base)) for folder in folders]
        root = stack.enter_context(open_weights(base)) if base and method == "ties" else None
        _check_same_names(folders, models)

        def combine(name: str) -> Tensor:
            tensors = [model[name]() for model in models]
            _check_same_shape(name, folders, tensors)
            if method == "linear":
                merged = linear(tensors, shares)
            elif method == "slerp":
                merged = slerp(tensors[0], tensors[1], shares[1] / sum(shares))
            else:
                assert root is not None
                merged = ties(root[name](), tensors, shares, density)
            return merged.to(tensors[0].dtype).contiguous()

        with whole_folder(out) as partial:
            if base is not None and is_adapter(folders[0]):
                copy_small_files(base, partial)
            copy_small_files(folders[0], partial)
            write_shards(partial, ((name, combine(name)) for name in models[0]))
    return out


@contextmanager
def _opened(folder: Path, base: Path | None) -> Iterator[Loaders]:
    """The tensors of a whole model; an adapter becomes one on its base."""
    if not is_adapter(folder):
        with open_weights(folder) as loaders:
            yield loaders
    elif base is None:
        raise ConfigError(f"{folder}: an adapter; name the model that it was trained on (--base)")
    else:
        with open_folded(base, folder) as loaders:
            yield loaders


def merge_adapters(
    folders: Sequence[Path], out: Path, weights: Sequence[float] | None = None
) -> Path:
    """The exact weighted mean of LoRA adapters of one base, as an adapter of their summed rank.

    Averaging the matrices themselves would be wrong: the mean of products is not the product of
    means. Stacked side by side, with the weights in the second matrix, it is exact.
    """
    shares = _check_request(folders, out, "linear", weights)
    configs = [mergeable_adapter(folder) for folder in folders]
    bases = {str(config["base_model_name_or_path"]) for config in configs}
    if len(bases) != 1:
        raise ConfigError(f"adapters of different base models: {', '.join(sorted(bases))}")
    torch = import_torch()
    with ExitStack() as stack:
        adapters = [stack.enter_context(open_weights(folder)) for folder in folders]
        _check_same_names(folders, adapters)

        def combine(name: str) -> Tensor:
            tensors = [adapter[name]() for adapter in adapters]
            if ".lora_A." in name or name.endswith(".lora_embedding_A"):
                return torch.cat(tensors, dim=0).contiguous()
            if ".lora_B." in name or name.endswith(".lora_embedding_B"):
                scaled = [
                    tensor * (share / sum(shares) * lora_scale(config))
                    for tensor, share, config in zip(tensors, shares, configs, strict=True)
                ]
                return torch.cat(scaled, dim=1).contiguous()
            return linear(tensors, shares).to(tensors[0].dtype).contiguous()

        rank = sum(int(config["r"]) for config in configs)
        with whole_folder(out) as partial:
            copy_small_files(folders[0], partial)
            config = {**configs[0], "r": rank, "lora_alpha": rank, "use_rslora": False}
            (partial / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
            save_tensors({name: combine(name) for name in adapters[0]}, partial / ADAPTER_FILE)
    return out


# What the heads of a task are in transformers, by the name that peft gives the task.
_TASKS = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
}


def fold_adapter(base: Path, adapter: Path, out: Path) -> Path:
    """The base model with the adapter's weights (and head) added in: a plain model folder."""
    try:
        import transformers
        from peft import PeftModel
    except ImportError as error:
        raise MissingPackageError(error.name or "peft", "local", "folding an adapter") from error
    config = adapter_config(adapter)
    task = str(config.get("task_type") or "CAUSAL_LM")
    if task not in _TASKS:
        raise ConfigError(f"{adapter}: the task {task!r} is unknown; known: {', '.join(_TASKS)}")
    if not (base / "config.json").is_file():
        raise ConfigError(f"{base}: not a model folder (it has no config.json)")
    if out.exists():
        raise ConfigError(f"{out}: exists already; remove it or name another folder")
    head = _head_size(adapter)
    outputs = {} if head is None else {"num_labels": head}
    model: Any = getattr(transformers, _TASKS[task]).from_pretrained(base, dtype="auto", **outputs)
    _untie(model, adapter)
    folded = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    has_tokenizer = (adapter / "tokenizer_config.json").is_file()
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(adapter if has_tokenizer else base)
    folded.config.pad_token_id = tokenizer.pad_token_id
    with whole_folder(out) as partial:
        folded.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    return out


def _untie(model: Any, adapter: Path) -> None:
    """Parts the embeddings and the head of a model that share one matrix, if one is adapted.

    What is added to one would otherwise be added to the other too: another model than was trained.
    """
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    if ends[1] is None or ends[0].weight is not ends[1].weight:
        return
    names = [name for name, module in model.named_modules() if any(module is one for one in ends)]
    with open_weights(adapter) as tensors:
        if any(f".{name}." in tensor for name in names for tensor in tensors):
            ends[1].weight = import_torch().nn.Parameter(ends[0].weight.detach().clone())
            model.config.tie_word_embeddings = False
            model.config.get_text_config().tie_word_embeddings = False


def _head_size(adapter: Path) -> int | None:
    """How many outputs the head that an adapter brings has; None if it brings none."""
    with open_weights(adapter) as tensors:
        heads = [
            name for name in tensors if re.search(r"\.(score|classifier)\.(\w+\.)*weight$", name)
        ]
        return int(tensors[heads[0]]().shape[0]) if heads else None


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
    if method == "ties" and base is None:
        raise ConfigError("ties needs the base model, from which all were tuned (--base)")
    if base is not None and method != "ties" and not any(map(is_adapter, folders)):
        raise ConfigError(f"{method} of whole models has no use for a base model")
    if not 0 < density <= 1:
        raise ConfigError(f"density is {density}; expected above 0 and at most 1")
    if out.exists():
        raise ConfigError(f"{out}: exists already; remove it or name another folder")
    return shares


def _check_same_names(folders: Sequence[Path], models: Sequence[Mapping[str, Any]]) -> None:
    for folder, model in zip(folders[1:], models[1:], strict=True):
        if set(model) != set(models[0]):
            odd = sorted(set(model) ^ set(models[0]))[0]
            raise ConfigError(f"{folder} and {folders[0]} differ in tensors, first {odd}")


def _check_same_shape(name: str, folders: Sequence[Path], tensors: Sequence[Tensor]) -> None:
    first = tuple(tensors[0].shape)
    for folder, tensor in zip(folders[1:], tensors[1:], strict=True):
        if tuple(tensor.shape) != first:
            raise ConfigError(f"{folder}: {name} is {tuple(tensor.shape)}, in {folders[0]} {first}")
