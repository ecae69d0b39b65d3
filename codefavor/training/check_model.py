"""What the model's own files contradict in a recipe: its window, layers, names and classes."""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.errors import CodefavorError, ConfigError
from codefavor.training.check_attention import attention_findings
from codefavor.training.check_readers import quiet
from codefavor.training.check_tokens import EMBEDDINGS, token_findings
from codefavor.training.findings import Finding, at, error, number, warning
from codefavor.training.model_shapes import (
    AdapterPlaces,
    adapter_places,
    build_on_meta,
    class_config,
    find_config,
    known_models,
)
from codefavor.training.plan import is_local_path
from codefavor.training.recipes import HEAD_CLASSES, find_recipes, method_of

# The language model alone is built; within an image model its layers have a longer name.
_WITHIN = (("model.", "model.language_model."), ("", "language_model."), ("", "model."))
_N_NAMED = 8
# Beside its linear layers, what LoRA can be on: embeddings and heads.
_ENDS = EMBEDDINGS | {"lm_head", "embed_out", "score"}
# Letters of a word that tells no model from another, and how alike a misspelt one is.
_LONG = 5
_NEAR = 0.8


class ModelNames(NamedTuple):
    """The names in a model: places for adapters, modules, parameters, classes of modules.

    `first` are the names of `parameters` under which each tensor is found first: of tied ones, one.
    """

    places: AdapterPlaces
    modules: tuple[str, ...]
    parameters: tuple[str, ...]
    first: frozenset[str]
    classes: frozenset[str]


def model_findings(config: Mapping[str, Any], folder: Path) -> Iterator[Finding]:
    """What the model's files contradict; where they are neither here nor listed, that is said."""
    name = str(config.get("base_model") or "")
    root = find_recipes()
    try:
        words = find_config(name, folder, root)
    except (ConfigError, ValueError):
        yield from token_findings(config, name, {}, folder, root)
        near = misspelt(name, known_models(root))
        if near and not is_local_path(name, folder):
            yield error(f"base_model: {name} is not known; did you mean {near!r}?")
            return
        remedy = f"with a network: hf download {name} config.json tokenizer.json "
        remedy += "tokenizer_config.json"
        if is_local_path(name, folder):
            remedy = f"they are once {Path(name) / 'config.json'} is there"
        yield warning(
            f"base_model: {name} is not known here, so its window, special tokens, layers and LoRA "
            f"targets are not checked; {remedy}"
        )
        return
    yield from _window_findings(config, words, name)
    yield from token_findings(config, name, words, folder, root)
    head = HEAD_CLASSES.get(method_of(config), "AutoModelForCausalLM")
    if config.get("trust_remote_code"):
        return  # its class is code of the model's own, which is not run here
    try:
        names = names_of(json.dumps(words, sort_keys=True), head)
    except CodefavorError as problem:
        yield error(f"base_model: {name}: no {head} for this architecture: {str(problem)[:160]}")
        return
    yield from _class_findings(config, words, name)
    yield from attention_findings(config, words, name)
    yield from _override_findings(config, words, name)
    if config.get("adapter"):
        yield from target_findings(config, names.places, name, names.modules)
        yield from _tied_findings(config, names, name)
        if names.places.experts:
            yield from _expert_findings(config, names.places, name)
            if not _pattern_problem(config.get("lora_target_modules")):
                yield from _coverage_findings(config, json.dumps(words, sort_keys=True), head)
    yield from _name_findings(config, names, name)
    form = at(words, "quantization_config.quant_method")
    # gpt-oss and its like are dequantised on request, and then trained.
    is_whole = at(config, "model_quantization_config_kwargs.dequantize")
    if form and not config.get("adapter") and not is_whole:
        yield error(
            f"base_model: {name} has quantised weights ({form}), which cannot be trained "
            "themselves; set an adapter, or name the model in bf16"
        )


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """The known model that a name differs from by letters of one long word, or None.

    Sizes, versions and short words (`it`, `pt`) tell other models apart.
    """
    words = re.split(r"[-_./]", name)
    for other in known:
        pairs = list(zip(words, re.split(r"[-_./]", other), strict=False))
        wrong = [pair for pair in pairs if pair[0] != pair[1]]
        if name.lower() == other.lower() and wrong:
            return other
        if re.sub(r"[^-_./]", "", name) != re.sub(r"[^-_./]", "", other) or len(wrong) != 1:
            continue
        [(word, right)] = wrong
        is_long = len(right) >= _LONG and (word + right).isalpha()
        if is_long and difflib.SequenceMatcher(None, word, right).ratio() >= _NEAR:
            return other
    return None


@functools.lru_cache(maxsize=32)
def names_of(words: str, model_class: str) -> ModelNames:
    """The names in a model, from the JSON of its configuration; none of its weights is loaded."""
    model = build_on_meta(json.loads(words), model_class)
    modules = dict(model.named_modules())
    return ModelNames(
        adapter_places(model),
        tuple(modules),
        tuple(name for name, _ in model.named_parameters(remove_duplicate=False)),
        frozenset(name for name, _ in model.named_parameters()),
        frozenset(type(module).__name__ for module in modules.values()),
    )


def _window_findings(
    config: Mapping[str, Any], words: Mapping[str, Any], name: str
) -> Iterator[Finding]:
    text = words.get("text_config") or words
    window = int(text.get("max_position_embeddings") or 0)
    if not window or config.get("rope_scaling") or at(config, "overrides_of_model_config"):
        return
    for key in ("sequence_len", "trl.max_completion_length", "vllm.max_model_len"):
        length = number(config, key)
        if key == "trl.max_completion_length" and length == window:
            yield error(
                f"{key}: {length:g} is all of the {window} tokens that {name} was made for, and a "
                "question stands before each sample; lower it"
            )
        elif length and length > window:
            yield error(
                f"{key}: {length:g} is above the {window} tokens that {name} was made for; lower "
                "it, or set rope_scaling"
            )


def target_findings(
    config: Mapping[str, Any], places: AdapterPlaces, name: str, modules: Sequence[str] = ()
) -> Iterator[Finding]:
    """LoRA targets that are in no layer of the model, nor its embeddings or its head."""
    ours = {*places.linear, *(one for one in modules if one.rpartition(".")[2] in _ENDS)}
    ends = ", ".join(sorted({one.rsplit(".", 1)[-1] for one in places.linear}))
    targets = config.get("lora_target_modules") or []
    if problem := _pattern_problem(targets):
        yield error(f"lora_target_modules: {targets!r} is no regular expression: {problem}")
    elif isinstance(targets, str):
        if targets != "all-linear" and not any(
            re.fullmatch(targets, spelling) for one in ours for spelling in _spellings(one)
        ):
            yield error(
                f"lora_target_modules: {targets!r} matches no layer of {name}; it has {ends}"
            )
    else:
        for target in targets:
            if not any(one == target or one.endswith(f".{target}") for one in ours):
                yield error(f"lora_target_modules: {target!r} is no layer of {name}; it has {ends}")
    for target in config.get("lora_target_parameters") or []:
        if not any(one.endswith(f".{target}") for one in places.experts):
            yield error(
                f"lora_target_parameters: {target!r} is no tensor of experts of {name}; drop it"
            )
    layers = config.get("peft_layers_to_transform") or []
    beyond = [layer for layer in layers if layer >= places.n_layers]
    if layers and isinstance(targets, str):
        yield error(
            "peft_layers_to_transform: PEFT refuses it beside a pattern in lora_target_modules; "
            "write the names of the modules as a list"
        )
    if beyond:
        yield error(
            f"peft_layers_to_transform: {beyond} is beyond the {places.n_layers} layers of {name}, "
            "counted from 0"
        )


def _tied_findings(config: Mapping[str, Any], names: ModelNames, name: str) -> Iterator[Finding]:
    """An adapter on the embeddings or the head of a model in which they are one matrix."""
    tied = {one.removesuffix(".weight") for one in set(names.parameters) - names.first}
    ends = [one for one in names.modules if one.rpartition(".")[2] in _ENDS] if tied else []
    targets = config.get("lora_target_modules") or []
    named = [] if targets == "all-linear" or _pattern_problem(targets) else ends
    if found := [one for one in named if _is_target(targets, one)]:
        yield warning(
            f"lora_target_modules: {', '.join(found)}: embeddings and head of {name} are one "
            "matrix, and an adapter on one parts them: added in (codefavor merge) the model is "
            "larger by that matrix, and other programs change both; name layers alone"
        )


def _class_findings(
    config: Mapping[str, Any], words: Mapping[str, Any], name: str
) -> Iterator[Finding]:
    """A class of transformers that is another architecture's: most weights would be new ones."""
    import transformers

    chosen = str(config.get("model_type") or "")
    own = getattr(getattr(transformers, chosen, None), "config_class", None)
    both = (words, words.get("text_config") or {})
    kinds = {str(one["model_type"]) for one in both if one.get("model_type")}
    kind = getattr(own, "model_type", None)
    if kind is not None and kinds and kind not in kinds:
        yield error(
            f"model_type: {chosen} is the class of {kind}, and {name} is {', '.join(kinds)}; "
            "remove it"
        )


def _expert_findings(
    config: Mapping[str, Any], places: AdapterPlaces, name: str
) -> Iterator[Finding]:
    """Experts, one tensor a layer: neither LoRA's targets nor its kernels are for them."""
    if not config.get("lora_target_parameters"):
        tensors = sorted({re.sub(r".*layers\.\d+\.", "", one) for one in places.experts})
        yield warning(
            f"lora_target_parameters: none, so the experts of {name}, most of its weights, stay as "
            f"they are; to adapt them: lora_target_parameters: [{', '.join(tensors)}]"
        )
    if config.get("lora_mlp_kernel"):
        yield error(
            f"lora_mlp_kernel: true is for dense layers, and the layers of {name} have experts; "
            "set it to false"
        )


def _override_findings(
    config: Mapping[str, Any], words: Mapping[str, Any], name: str
) -> Iterator[Finding]:
    """Overrides of the model's configuration that its class does not know."""
    overrides = config.get("overrides_of_model_config") or {}
    known = set(class_config(words).to_dict()) if overrides else set()
    known |= set(words) | set(words.get("text_config") or {})
    for key in overrides:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            meant = f"did you mean {near[0]!r}?" if near else "remove it"
            yield error(f"overrides_of_model_config: {key!r} is no setting of {name}; {meant}")


def _coverage_findings(config: Mapping[str, Any], words: str, head: str) -> Iterator[Finding]:
    """Layers that the targets name and PEFT leaves without an adapter."""
    left = layers_left_out(
        words,
        head,
        json.dumps(config.get("lora_target_modules") or "all-linear"),
        tuple(config.get("lora_target_parameters") or ()),
    )
    if left:
        yield warning(
            f"lora_target_modules: PEFT gives no adapter to {', '.join(left)}, which the targets "
            "name: of this architecture it takes their names for the routed experts'; these layers "
            "stay as they are"
        )


@functools.lru_cache(maxsize=16)
def layers_left_out(
    words: str, model_class: str, targets: str, experts: tuple[str, ...]
) -> tuple[str, ...]:
    """Linear layers that LoRA targets name and that have no adapter when PEFT has made them.

    `words` is the JSON of the model's configuration, `targets` that of `lora_target_modules`. The
    model is built without its weights; N stands for every number in a name. () where PEFT refuses.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    model = build_on_meta(json.loads(words), model_class)
    wanted = json.loads(targets)
    linear = [one for one in adapter_places(model).linear if _is_target(wanted, one)]
    settings = LoraConfig(r=1, target_modules=wanted, target_parameters=list(experts) or None)
    try:
        with quiet(), torch.device("meta"):
            adapted = get_peft_model(model, settings)
    except (ValueError, NotImplementedError):
        return ()  # what it refuses, it says when it trains
    made = {
        name.removeprefix("base_model.model.")
        for name, module in adapted.named_modules()
        if len(getattr(module, "lora_A", ()))
    }
    return tuple(sorted({re.sub(r"\d+", "N", one) for one in linear if one not in made}))


def _is_target(wanted: Any, name: str) -> bool:
    if isinstance(wanted, str):
        return wanted == "all-linear" or any(re.fullmatch(wanted, one) for one in _spellings(name))
    return any(name == one or name.endswith(f".{one}") for one in wanted)


def _pattern_problem(targets: Any) -> str:
    """Why targets that are a pattern cannot be one; "" where they can, and for lists."""
    try:
        re.compile(targets if isinstance(targets, str) else "")
    except re.error as problem:
        return str(problem)
    return ""


def _spellings(module: str) -> Iterator[str]:
    """A module's name in the language model, and within an image model."""
    yield module
    for own, within in _WITHIN:
        if module.startswith(own):
            yield within + module.removeprefix(own)


def _name_findings(config: Mapping[str, Any], names: ModelNames, name: str) -> Iterator[Finding]:
    """Modules, parameters and layers that a recipe names and the model does not have."""
    ends = sorted({one.rsplit(".", 1)[-1] for one in names.modules if one})
    for module in config.get("lora_modules_to_save") or []:
        if not any(one.endswith(str(module)) for one in names.modules):
            yield error(
                f"lora_modules_to_save: {module!r} is no module of {name}, so it would not be "
                f"trained; it has {_some(ends)}"
            )
    for group in config.get("lr_groups") or []:
        for module in group.get("modules") or []:
            if not any(str(module) in one for one in names.parameters):
                yield error(
                    f"lr_groups: {module!r} is in no parameter's name of {name}, so its rate would "
                    f"be nobody's; it has {_some([one for one in ends if not one.isdigit()])}"
                )
    unfrozen = config.get("unfrozen_parameters") or []
    if unfrozen and config.get("adapter"):
        yield error(
            f"unfrozen_parameters: {unfrozen} is ignored beside an adapter, which freezes all but "
            "itself; write lora_modules_to_save, or remove the adapter"
        )
        unfrozen = []
    for pattern in unfrozen:
        found = [one for one in names.parameters if _unfreezes(str(pattern), one)]
        if found and not names.first.intersection(found):
            yield warning(
                f"unfrozen_parameters: {pattern!r}: {found[0]} of {name} is tied to another, by "
                "whose name alone Axolotl finds it"
            )
        elif not found:
            yield error(
                f"unfrozen_parameters: {pattern!r} matches no parameter of {name}, so nothing is "
                f"trained by it; it has {_some(sorted(names.parameters, key=len))}"
            )
    wrapped = at(config, "fsdp_config.transformer_layer_cls_to_wrap") or at(
        config, "fsdp_config.fsdp_transformer_layer_cls_to_wrap"
    )
    for layer in filter(None, re.split(r"[,\s]+", str(wrapped or ""))):
        if layer not in names.classes:
            own = sorted(one for one in names.classes if re.search(r"(Layer|Block)$", one))
            yield error(
                f"fsdp_config.transformer_layer_cls_to_wrap: {layer!r} is no class of {name}, so "
                f"nothing would be split; it has {', '.join(own)}"
            )


def _unfreezes(pattern: str, parameter: str) -> bool:
    """Whether Axolotl trains a parameter for a pattern of `unfrozen_parameters`."""
    from axolotl.utils.freeze import LayerNamePattern

    try:
        return bool(LayerNamePattern(pattern).match(parameter))
    except (re.error, ValueError):
        return False


def _some(names: list[str]) -> str:
    more = len(names) - _N_NAMED
    return ", ".join(names[:_N_NAMED]) + (f" and {more} more" if more > 0 else "")
