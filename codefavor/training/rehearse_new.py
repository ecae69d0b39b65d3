"""The check and the rehearsal of a recipe for a model that the recipes' own files do not know."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError
from codefavor.records import Row, write_text
from codefavor.training.check import RecipeChecker
from codefavor.training.check_files import gpus_of
from codefavor.training.model_shapes import MODELS_FILE, NOT_CONFIG, find_config, known_models
from codefavor.training.new_recipe import load_tokenizer
from codefavor.training.recipes import dump, load_yaml
from codefavor.training.rehearsal import Rehearser
from codefavor.training.stand_in import FAMILIES_FILE

# Words of a shape that no model of the recipes needs, and the width of a stand-in's window.
_MORE_WORDS = {
    "n_routed_experts", "n_shared_experts", "num_local_experts", "first_k_dense_replace",
    "kv_lora_rank", "q_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
}  # fmt: skip
_WINDOW = 64


def rehearse_new(recipe: Path, rehearser: Rehearser) -> list[str]:
    """What is wrong with a recipe: of its check, and if that is clean, of its rehearsal.

    Raises ConfigError for a model that has no stand-in.
    """
    root = rehearser.root
    findings = RecipeChecker().check(recipe, gpus=gpus_of(recipe))
    errors = [one.message for one in findings if one.severity == "error"]
    config = load_yaml(recipe)
    if errors:
        return errors
    name = str(config["base_model"])
    if name in known_models(root):
        return list(rehearser.rehearse(recipe.resolve()).problems)
    with tempfile.TemporaryDirectory() as place:
        own = Path(place)
        shutil.copytree(root / "layers", own / "layers")
        tokenizer = load_tokenizer(name)
        words = {key for row in known_models(root).values() for key in row} | _MORE_WORDS
        model = _plain_model(find_config(name, Path.cwd(), root), name, words - NOT_CONFIG)
        family = family_of(tokenizer, config)
        if model.pop("sliding_window", None):
            family["config"] = {"sliding_window": _WINDOW}
        write_text(own / MODELS_FILE, [dump({name: model})])
        write_text(own / FAMILIES_FILE, [dump({name: family})])
        return list(Rehearser(own, rehearser.folder).rehearse(recipe.resolve()).problems)


def _plain_model(config: Mapping[str, Any], name: str, words: set[str]) -> Row:
    """What of a configuration says its shape, in the `words` of models.yaml."""
    if "text_config" in config:
        raise ConfigError(
            f"{name}: is a model within another (text_config); of these only those of the recipes "
            "have a stand-in"
        )
    row = {key: config[key] for key in config if key in words}
    row["num_key_value_heads"] = row.get("num_key_value_heads") or row["num_attention_heads"]
    return row


def family_of(tokenizer: Any, config: Mapping[str, Any]) -> Row:
    """How a model writes text, in the words of `stand_ins.yaml`: from its own tokenizer."""
    chosen = config.get("special_tokens") or {}
    tokens: Row = {}
    for role in ("bos", "eos", "pad"):
        token = getattr(tokenizer, f"{role}_token")
        if token is not None:
            tokens[role] = str(token)
    template = str(tokenizer.chat_template)
    named = {
        *map(str, chosen.values()),
        *(one for one in tokenizer.get_added_vocab() if one in template),
    }
    family: Row = {
        "source": "the model's own tokenizer",
        "template": template,
        "tokens": tokens,
        "others": sorted(named - set(tokens.values())),
    }
    bos = tokenizer.bos_token_id
    if bos is not None and tokenizer("")["input_ids"][:1] == [bos]:
        family["adds_bos"] = True
    if scheme := _metaspace(json.loads(tokenizer.backend_tokenizer.to_str())):
        family["metaspace"] = scheme
    return family


def _metaspace(written: Row) -> str:
    """Where a SentencePiece tokenizer puts a leading space, "" for any other."""
    for part in _parts(written.get("pre_tokenizer")):
        if part.get("type") == "Metaspace":
            return str(part.get("prepend_scheme") or "always")
    kinds = {part.get("type"): part for part in _parts(written.get("normalizer"))}
    is_space = "Replace" in kinds and kinds["Replace"].get("content") == "▁"
    return ("first" if "Prepend" in kinds else "never") if is_space else ""


def _parts(part: Row | None) -> list[Row]:
    """A part of a tokenizer's file, and those that it is made of."""
    if not part:
        return []
    inner = part.get("normalizers") or part.get("pretokenizers") or []
    return [part, *(one for each in inner for one in _parts(each))]
