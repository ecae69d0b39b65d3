"""Attention kernels that a model's class does not take, asked of the class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from codefavor.training.findings import Finding, error, warning
from codefavor.training.model_shapes import class_config


def attention_findings(
    config: Mapping[str, Any], words: Mapping[str, Any], name: str
) -> Iterator[Finding]:
    """A kernel that the model cannot be loaded with, or that another one is loaded for."""
    chosen = config.get("attn_implementation")
    if config.get("flash_attention"):
        chosen = "flash_attention_2"
    elif config.get("sdp_attention"):
        chosen = "sdpa"
    if chosen not in {"sdpa", "flash_attention_2"}:
        return
    import transformers

    auto: Any = transformers.AutoModelForCausalLM
    try:
        model: Any = auto._model_mapping[type(class_config(words))]
    except (KeyError, TypeError, ValueError):
        return  # no such class is told already
    kernels = list(getattr(model, "_compatible_flash_implementations", None) or [])
    if chosen == "sdpa" and not getattr(model, "_supports_sdpa", True):
        yield error(
            f"attn_implementation: sdpa: {model.__name__} has none, and {name} does not load with "
            "it; write attn_implementation: eager"
        )
    elif chosen == "flash_attention_2" and kernels and chosen not in kernels:
        yield warning(
            f"attn_implementation: flash_attention_2: {model.__name__} does not take it, and "
            f"transformers loads {kernels[0]} from the Hub in its place; write that, or eager"
        )
