"""The shape of a model: how many weights, of what kind; counted from its configuration. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError
from codefavor.training.recipes import load_yaml

MODELS_FILE = "models.yaml"


@dataclass(frozen=True)
class ModelShape:
    """What of a model decides memory and time.

    `parameters` counts all weights, `active` those that one token passes through (fewer in a
    mixture of experts; 0 means all). `attention` is the width of all query heads together (0:
    that of the hidden state), `kv_share` the key and value heads per query head.
    """

    parameters: float
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    kv_share: float = 1.0
    attention: int = 0
    active: float = 0.0

    @property
    def active_parameters(self) -> float:
        """The weights that one token passes through."""
        return self.active or self.parameters

    @property
    def query_width(self) -> int:
        """The width of all query heads together."""
        return self.attention or self.hidden


def shape_of_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape from a transformers `config.json`, its weights counted one kind after another.

    Knows the Llama family (Mistral, SmolLM), Qwen 2 and 3, Gemma 2 and 3 (the text part),
    DeepSeek V2 (latent attention, experts) and gpt-oss; tested against transformers' own count.
    """
    text = config.get("text_config", config)
    kind = str(text.get("model_type") or "")
    hidden, layers = int(text["hidden_size"]), int(text["num_hidden_layers"])
    vocabulary, heads = int(text["vocab_size"]), int(text["num_attention_heads"])
    kv_heads = int(text.get("num_key_value_heads") or heads)
    attention, width = _attention_weights(text, kind)
    n_norms = 4 if kind.startswith("gemma") else 2
    dense_layers, feed_forward, active = _feed_forward_weights(text, kind)
    dense = 3 * hidden * int(text["intermediate_size"])
    moe_layers = layers - dense_layers
    body = layers * (attention + n_norms * hidden) + dense_layers * dense
    embeddings = hidden * vocabulary * (1 if text.get("tie_word_embeddings") else 2)
    fixed = body + embeddings + hidden
    return ModelShape(
        parameters=fixed + moe_layers * feed_forward,
        layers=layers,
        hidden=hidden,
        intermediate=int(text["intermediate_size"]),
        vocabulary=vocabulary,
        kv_share=kv_heads / heads,
        attention=width,
        active=fixed + moe_layers * active if moe_layers else 0.0,
    )


def _attention_weights(text: Mapping[str, Any], kind: str) -> tuple[int, int]:
    """The attention weights of one layer, and the width of its query heads together."""
    hidden, heads = int(text["hidden_size"]), int(text["num_attention_heads"])
    if text.get("kv_lora_rank"):
        latent, rotary = int(text["kv_lora_rank"]), int(text["qk_rope_head_dim"])
        plain, value = int(text["qk_nope_head_dim"]), int(text["v_head_dim"])
        width = heads * (plain + rotary)
        keys_values = hidden * (latent + rotary) + latent + latent * heads * (plain + value)
        return hidden * width + keys_values + heads * value * hidden, width
    size = int(text.get("head_dim") or hidden // heads)
    width, kv_width = heads * size, int(text.get("num_key_value_heads") or heads) * size
    total = hidden * (2 * width + 2 * kv_width)
    if kind.startswith("qwen2"):
        total += width + 2 * kv_width  # biases of queries, keys and values
    elif text.get("attention_bias"):
        total += width + 2 * kv_width + hidden
    if kind.startswith(("qwen3", "gemma3")):
        total += 2 * size  # norms of queries and keys
    if kind == "gpt_oss":
        total += heads  # attention sinks
    return total, width


def _feed_forward_weights(text: Mapping[str, Any], kind: str) -> tuple[int, int, int]:
    """Layers without experts; the weights of one layer's experts, all and those of one token."""
    hidden, layers = int(text["hidden_size"]), int(text["num_hidden_layers"])
    experts = int(text.get("n_routed_experts") or text.get("num_local_experts") or 0)
    if not experts:
        return layers, 0, 0
    inner = int(text.get("moe_intermediate_size") or text["intermediate_size"])
    one = 3 * hidden * inner
    router = hidden * experts
    if kind == "gpt_oss":
        one += 2 * inner + hidden  # experts and router have biases
        router += experts
    shared = int(text.get("n_shared_experts") or 0) * one
    used = int(text.get("num_experts_per_tok") or 1)
    dense = int(text.get("first_k_dense_replace") or 0)
    return dense, experts * one + shared + router, used * one + shared + router


def shape_of_size(parameters: float) -> ModelShape:
    """A typical shape for a number of weights, where the model's own file is not known."""
    layers = max(12, round(8.2 * math.log(parameters / 1e6) - 40))
    hidden = 128 * max(1, round(math.sqrt(0.85 * parameters / (12 * layers)) / 128))
    return ModelShape(parameters, layers, hidden, round(3.2 * hidden), 128_000, 0.25)


def known_shapes(root: Path) -> dict[str, ModelShape]:
    """The shapes of the recipes' models by name on the Hub, from `models.yaml`.

    `extra_parameters` there counts what a model has beside its text part (a vision tower).
    """
    shapes = {}
    for name, row in load_yaml(root / MODELS_FILE).items():
        shape = shape_of_config(row)
        extra = float(row.get("extra_parameters") or 0.0)
        shapes[name] = ModelShape(**{**vars(shape), "parameters": shape.parameters + extra})
    return shapes


def find_shape(
    config: Mapping[str, Any], folder: Path, root: Path, parameters: float | None = None
) -> ModelShape:
    """The shape of a recipe's base model.

    From its folder or the Hub's cache here, else from `models.yaml` in the folder of recipes
    `root`, else a typical one for `parameters`. Raises ConfigError where none of them helps.
    """
    name = str(config["base_model"])
    path = folder / name / "config.json"
    if not path.is_file():
        path = cached_file(name, "config.json") or path
    if path.is_file():
        return shape_of_config(json.loads(path.read_text(encoding="utf-8")))
    known = known_shapes(root)
    if name in known:
        return known[name]
    if parameters is None:
        raise ConfigError(
            f"{name} is neither here nor in {root / MODELS_FILE}, so its size is not known; pass "
            "--parameters, as in --parameters 7.6e9"
        )
    return shape_of_size(parameters)


def cached_file(repository: str, name: str) -> Path | None:
    """A file of a Hub repository in this machine's cache; None if it is not there."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(repository, name)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None
