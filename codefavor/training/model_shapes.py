"""The shape of a model: how many weights, of what kind, from its configuration."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.errors import ConfigError, MissingPackageError
from codefavor.records import Row
from codefavor.training.recipes import load_yaml

MODELS_FILE = "models.yaml"


@dataclass(frozen=True)
class ModelShape:
    """What of a model decides memory and time.

    `parameters` counts all weights, `active` those that one token passes through (fewer in a
    mixture of experts; 0 means all). `attention` is the width of all query heads together (0:
    that of the hidden state), `kv_share` the key and value heads per query head; `experts` (0: a
    dense model) are those of one layer, each `expert_width` wide inside, `experts_used` by a token.
    `linear` are the linear modules of a model that was built to count it, each with the sum of its
    widths; () where it was not.
    """

    parameters: float
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    kv_share: float = 1.0
    attention: int = 0
    active: float = 0.0
    experts: int = 0
    expert_width: int = 0
    experts_used: int = 1
    is_tied: bool = False
    linear: tuple[tuple[str, int], ...] = ()

    @property
    def active_parameters(self) -> float:
        """The weights that one token passes through."""
        return self.active or self.parameters

    @property
    def query_width(self) -> int:
        """The width of all query heads together."""
        return self.attention or self.hidden

    @property
    def inner_width(self) -> int:
        """The width inside the MLPs that one token passes through in a layer."""
        return self.expert_width * self.experts_used if self.experts else self.intermediate

    @property
    def head_parameters(self) -> float:
        """The weights of the output layer that are its own."""
        return 0.0 if self.is_tied else float(self.vocabulary * self.hidden)


def shape_of_config(config: Mapping[str, Any]) -> ModelShape:
    """The shape from a transformers `config.json`.

    Its weights are those that the row of `models.yaml` states, else they are counted on the model
    itself (`weights_of`).
    """
    text = config.get("text_config") or config
    if not all(text.get(key) for key in _SIZES):
        config = complete_config(config, str(config.get("model_type")))
        text = config.get("text_config") or config
    heads = int(text["num_attention_heads"])
    counted, linear = config, tuple[tuple[str, int], ...]()
    if "parameters" not in config:
        model = build_on_meta(config)
        counted, linear = weights_of(model, config), _linear_of(model)
    latent = int(text.get("qk_nope_head_dim") or 0) + int(text.get("qk_rope_head_dim") or 0)
    size = latent or int(text.get("head_dim") or int(text["hidden_size"]) // heads)
    experts = next((int(text[key]) for key in _EXPERTS if text.get(key)), 0)
    return ModelShape(
        parameters=float(counted["parameters"]),
        layers=int(text["num_hidden_layers"]),
        hidden=int(text["hidden_size"]),
        intermediate=int(text["intermediate_size"]),
        vocabulary=int(text["vocab_size"]),
        kv_share=int(text.get("num_key_value_heads") or heads) / heads,
        attention=heads * size,
        active=float(counted.get("active") or 0.0),
        experts=experts,
        expert_width=int(text.get("moe_intermediate_size") or text["intermediate_size"]),
        experts_used=_experts_used(text),
        is_tied=bool(text.get("tie_word_embeddings", config.get("tie_word_embeddings"))),
        linear=linear,
    )


_SIZES = (
    "num_attention_heads",
    "hidden_size",
    "num_hidden_layers",
    "intermediate_size",
    "vocab_size",
)
_BESIDE = ("num_key_value_heads", "head_dim", "max_position_embeddings", "tie_word_embeddings")
_EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts")


def complete_config(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A configuration with the usual names of what decides a model's size.

    Files leave out what is the default of their class, and some families have names of their own,
    which their class translates (GPT-2's n_embd). Raises ConfigError where a size is not said at
    all.
    """
    inner = class_config(config).get_text_config()
    text = config.get("text_config") or config
    if all(text.get(key) for key in _SIZES):
        return config
    found = {key: text.get(key) or getattr(inner, key, None) for key in _SIZES}
    missing = [key for key in _SIZES if not found[key]]
    if missing:
        raise ConfigError(
            f"{name} ({config.get('model_type')}): its configuration does not say "
            f"{', '.join(missing)}, also not by its class's other names, so that its size is not "
            "known and nothing can be estimated; recipes are made for Llama-like models"
        )
    beside = {key: getattr(inner, key, None) for key in _BESIDE if key not in text}
    found |= {key: value for key, value in beside.items() if value is not None}
    if "text_config" in config:
        return {**config, "text_config": {**text, **found}}
    return {**config, **found}


def class_config(config: Mapping[str, Any]) -> Any:
    """The configuration as its class in transformers reads it, which checks it."""
    import transformers

    words = {key: value for key, value in config.items() if key not in {"model_type", *NOT_CONFIG}}
    return transformers.AutoConfig.for_model(str(config.get("model_type")), **words)


def weights_of(model: Any, config: Mapping[str, Any]) -> dict[str, int]:
    """`parameters` of a model, and for a mixture of experts `active` of them for one token."""
    text = config.get("text_config") or config
    experts = next((int(text[key]) for key in _EXPERTS if text.get(key)), 0)
    total = int(model.num_parameters())
    if not experts:
        return {"parameters": total}
    routed = sum(value.numel() for name, value in model.named_parameters() if ".experts." in name)
    active = total - routed + routed * _experts_used(text) // experts
    return {"parameters": total, "active": active}


def _linear_of(model: Any) -> tuple[tuple[str, int], ...]:
    """The linear modules of a model but its head, each with the sum of its widths."""
    import torch

    head = model.get_output_embeddings()
    return tuple(
        (name, sum(module.weight.shape))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )


def _experts_used(text: Mapping[str, Any]) -> int:
    return int(text.get("num_experts_per_tok") or text.get("top_k_experts") or 1)


def build_on_meta(config: Mapping[str, Any], model_class: str = "AutoModelForCausalLM") -> Any:
    """The model of a `config.json` without its weights.

    Raises ConfigError where the installed transformers do not know the architecture, or have no
    such class for it.
    """
    try:
        import torch
        import transformers
    except ModuleNotFoundError as error:
        raise MissingPackageError(str(error.name), "train", "counting a model's weights") from error
    words = {key: value for key, value in config.items() if key not in NOT_CONFIG}
    kind = str(words.pop("model_type", ""))
    auto: Any = getattr(transformers, model_class)
    try:
        with torch.device("meta"):
            model = auto.from_config(transformers.AutoConfig.for_model(kind, **words))
    except ValueError as error:
        text = " ".join(str(error).split())
        if "Unrecognized configuration class" in text:  # and then every one that is known
            text = f"transformers {transformers.__version__} have no such class for it"
        raise ConfigError(f"{model_class} of {kind!r}: {text}") from error
    model.tie_weights()
    return model


class AdapterPlaces(NamedTuple):
    """Where an adapter can be in a model: linear layers, tensors of all experts, its depth."""

    linear: tuple[str, ...]
    experts: tuple[str, ...]
    n_layers: int


_LAYER = re.compile(r"\blayers\.(\d+)\.")
_NO_TARGET = re.compile(r"vision|visual|audio|\b(gate|router)$")


def adapter_places(model: Any) -> AdapterPlaces:
    """The places of a model's language layers, routers and image towers left out."""
    import torch

    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and _LAYER.search(name)
        and not _NO_TARGET.search(name)
    ]
    experts = [
        name
        for name, value in model.named_parameters()
        if value.ndim == 3 and ".experts." in name and _LAYER.search(name)
    ]
    numbers = [int(found[1]) for name in [*linear, *experts] if (found := _LAYER.search(name))]
    return AdapterPlaces(tuple(linear), tuple(experts), max(numbers, default=-1) + 1)


NOT_CONFIG = {"parameters", "active", "extra_parameters"}


def shape_of_size(parameters: float) -> ModelShape:
    """A typical shape for a number of weights, where the model's own file is not known."""
    layers = max(12, round(8.2 * math.log(parameters / 1e6) - 40))
    hidden = 128 * max(1, round(math.sqrt(0.85 * parameters / (12 * layers)) / 128))
    return ModelShape(parameters, layers, hidden, round(3.2 * hidden), 128_000, 0.25)


def known_models(root: Path) -> Row:
    """The configurations of the recipes' models by name on the Hub, from `models.yaml`.

    `parameters` and `active` there are what `weights_of` counts; `extra_parameters` what a model
    has beside its text part (a vision tower).
    """
    return load_yaml(root / MODELS_FILE)


def find_config(name: str, folder: Path, root: Path) -> Row:
    """The configuration of a model: of its folder or the Hub's cache here, else of `models.yaml`.

    Where the file says what the row of `models.yaml` does, the row is given: its weights are
    counted already. Nothing is downloaded. Raises ConfigError where a model is in none of them.
    """
    path = folder / name / "config.json"
    if not path.is_file():
        path = cached_file(name, "config.json") or path
    known = known_models(root).get(name)
    if path.is_file():
        own: Row = json.loads(path.read_text(encoding="utf-8"))
        words = {key: known[key] for key in known if key not in NOT_CONFIG} if known else {}
        is_same = bool(words) and all(own.get(key) == words[key] for key in words)
        return dict(known) if known and is_same else own
    if known is None:
        raise ConfigError(
            f"{name} is neither here (a folder, or in the Hub's cache of this machine) nor in "
            f"{root / MODELS_FILE}, so its size is not known; with a network: "
            f"hf download {name} config.json tokenizer.json tokenizer_config.json"
        )
    return dict(known)


def _whole_shape(config: Mapping[str, Any]) -> ModelShape:
    shape = shape_of_config(config)
    extra = float(config.get("extra_parameters") or 0.0)
    return replace(shape, parameters=shape.parameters + extra)


def find_shape(
    config: Mapping[str, Any], folder: Path, root: Path, parameters: float | None = None
) -> ModelShape:
    """The shape of a recipe's base model (`find_config`), else a typical one for `parameters`.

    Raises ConfigError where none of them helps.
    """
    try:
        return _whole_shape(find_config(str(config["base_model"]), folder, root))
    except ConfigError as error:
        if parameters is None:
            raise ConfigError(f"{error}; or pass --parameters, as in --parameters 7.6e9") from None
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
