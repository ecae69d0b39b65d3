"""Attention kernels that a model's class does not take, asked of the class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from codefavor.training.findings import Finding, error, warning
from codefavor.training.model_shapes import class_config

_FLASH = "flash_attention_2"


def kernels_of(words: Mapping[str, Any]) -> tuple[str, ...]:
    """The kernels that the class of a model's configuration takes, the fastest first.

    All of them where there is no such class.
    """
    model = _class_of(words)
    if model is None:
        return (_FLASH, "sdpa", "eager")
    kernels = getattr(model, "_compatible_flash_implementations", None) or [_FLASH]
    has_flash = getattr(model, "_supports_flash_attn", False) and _FLASH in kernels
    has_sdpa = getattr(model, "_supports_sdpa", False)
    return (*([_FLASH] if has_flash else []), *(["sdpa"] if has_sdpa else []), "eager")


def _class_of(words: Mapping[str, Any]) -> Any:
    import transformers

    auto: Any = transformers.AutoModelForCausalLM
    try:
        return auto._model_mapping[type(class_config(words))]
    except (KeyError, TypeError, ValueError):
        return None  # told already


def attention_findings(
    config: Mapping[str, Any], words: Mapping[str, Any], name: str
) -> Iterator[Finding]:
    """A kernel that the model cannot be loaded with, or that another one is loaded for."""
    chosen = config.get("attn_implementation")
    if config.get("flash_attention"):
        chosen = "flash_attention_2"
    elif config.get("sdp_attention"):
        chosen = "sdpa"
    model = _class_of(words)
    if chosen not in {"sdpa", "eager", _FLASH} or model is None:
        return
    if chosen == "eager" and config.get("sample_packing") and kernels_of(words) == ("eager",):
        # Axolotl passes it, but transformers' gpt-oss does not tell its mask where rows begin.
        yield error(
            f"sample_packing: true with attn_implementation: eager: {model.__name__} lets rows "
            "that share a window see each other; set it to false"
        )
    kernels = list(getattr(model, "_compatible_flash_implementations", None) or [])
    if chosen == "sdpa" and not getattr(model, "_supports_sdpa", True):
        yield error(
            f"attn_implementation: sdpa: {model.__name__} has none, and {name} does not load with "
            "it; write attn_implementation: eager"
        )
    elif chosen == _FLASH and kernels and chosen not in kernels:
        # Of neither is it known that it keeps packed rows apart.
        packed = " and sample_packing: false" if config.get("sample_packing") else ""
        yield warning(
            f"attn_implementation: flash_attention_2: {model.__name__} does not take it, and "
            f"transformers loads {kernels[0]} from the Hub in its place; write that, or "
            f"eager{packed}"
        )
