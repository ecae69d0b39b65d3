"""Stand-ins for the models of the recipes: the same architecture, template and special tokens.

A stand-in has the model's own configuration class and what makes it special (experts, sliding
windows, soft caps, latent attention, a vision tower, tied embeddings), a few narrow layers of
random weights, and a small tokenizer with the model's special tokens and chat template.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError
from codefavor.records import Row, content_id
from codefavor.training.model_shapes import MODELS_FILE, NOT_CONFIG
from codefavor.training.recipes import load_yaml

FAMILIES_FILE = "stand_ins.yaml"
_TEMPLATES = {"trl": "chat_templates", "axolotl": "utils/chat_templates/templates"}
_N_PIECES = 600
# Narrow values for the widths that an architecture may have.
_NARROW: Row = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "head_dim": 16,
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "num_local_experts": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "global_head_dim": 32,
    "num_global_key_value_heads": 1,
}
# Numbers that say what an architecture is, not how wide.
_KEPT = {"first_k_dense_replace", "n_shared_experts", "final_logit_softcapping"}
_NOT_CONFIG = {"model_type", *NOT_CONFIG}
_VISION: Row = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_IMAGE_TOKENS = 4


@dataclass(frozen=True)
class StandIn:
    """What stands in for a base model: its family, the words of its shape, how many layers.

    `family` is a row of FAMILIES_FILE with the text of its template.
    """

    family: Row
    shape: Row
    n_layers: int

    @classmethod
    def of(cls, base_model: str, root: Path, n_layers: int = 2) -> StandIn:
        """The stand-in of a base model, from the files of the folder of recipes `root`.

        Raises ConfigError where they do not know it.
        """
        shapes, families = load_yaml(root / MODELS_FILE), load_yaml(root / FAMILIES_FILE)
        family = find_family(base_model, families)
        if base_model not in shapes or family is None:
            missing = FAMILIES_FILE if base_model in shapes else MODELS_FILE
            raise ConfigError(f"no stand-in for {base_model}: {root / missing} does not have it")
        row = shapes[base_model]
        shape = {key: row[key] if key in _KEPT or not _is_number(row[key]) else 0 for key in row}
        is_grouped = row["num_attention_heads"] != row["num_key_value_heads"]
        shape["num_key_value_heads"] = 2 if is_grouped else 4
        named = {"source": family["template"], **family}
        return cls({**named, "template": template_text(family)}, shape, n_layers)

    @property
    def digest(self) -> str:
        """12 hex digits: models of one family and architecture have the same stand-in."""
        return content_id(self.family, self.shape, self.n_layers)[:12]

    @property
    def template_name(self) -> str:
        """Where its chat template is from, and the first 8 hex digits of the template's sha256."""
        return f"{self.family['source']} {sha256(self.family['template'].encode()).hexdigest()[:8]}"

    def save(self, folder: Path, corpus: Sequence[str]) -> None:
        """Write model and tokenizer, unless they are there; the tokenizer learns from the texts."""
        import torch
        import transformers

        auto: Any = transformers.AutoModelForCausalLM
        if (folder / "model.safetensors").is_file():
            return
        tokenizer = _make_tokenizer(self.family, corpus)
        torch.manual_seed(0)
        model = auto.from_config(self._config(tokenizer), dtype=torch.float32)
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
        if "wrapper" in self.family:
            _save_processor(tokenizer, model.config, folder)

    def _config(self, tokenizer: Any) -> Any:
        from transformers import AutoConfig

        kind = str(self.shape["model_type"])
        values: Row = {
            **{key: self.shape[key] for key in self.shape if key not in _NOT_CONFIG},
            **{key: _NARROW[key] for key in _NARROW if key in self.shape},
            "num_hidden_layers": self.n_layers,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 4096,
            # Livelier than the usual 0.02, so that a few steps have something to work with.
            "initializer_range": 0.1,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            **self.family.get("config", {}),
        }
        if "layer_types" in values:
            kinds = values["layer_types"]
            depth = int(values["num_hidden_layers"])
            values["layer_types"] = [kinds[number % len(kinds)] for number in range(depth)]
        if "wrapper" not in self.family:
            return AutoConfig.for_model(kind, **values)
        return AutoConfig.for_model(
            self.family["wrapper"],
            text_config=AutoConfig.for_model(kind, **values).to_dict(),
            vision_config=_VISION,
            mm_tokens_per_image=_IMAGE_TOKENS,
            tie_word_embeddings=bool(self.shape.get("tie_word_embeddings")),
        )


def hide_gpu_kernels() -> None:
    """Let transformers take its own torch code instead of fla's kernels, which need a GPU.

    Has an effect only before the models that use them are imported.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("fla", None)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def find_family(name: str, families: Mapping[str, Row]) -> Row | None:
    """The first family whose key begins a word of a model's name: not Llama-3 in CodeLlama-34b."""
    return next(
        (row for key, row in families.items() if re.search(rf"(?<!\w){re.escape(key)}", name)),
        None,
    )


def template_text(family: Row) -> str:
    """The chat template of a row of FAMILIES_FILE."""
    package, _, name = str(family["template"]).partition(":")
    if package not in _TEMPLATES:
        return str(family["template"])
    # By its files: importing either package takes seconds.
    path = files(package).joinpath(_TEMPLATES[package], f"{name}.jinja")
    return path.read_text(encoding="utf-8")


def _make_tokenizer(family: Row, corpus: Sequence[str]) -> Any:
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    make_trainer: Any = trainers.BpeTrainer
    wrap: Any = transformers.PreTrainedTokenizerFast

    pieces = Tokenizer(models.BPE())
    if scheme := family.get("metaspace"):
        alphabet = [*map(chr, range(32, 127)), "\n", "▁"]
        # As in the model's own, the space before a word or a letter is part of its token.
        corpus = [*corpus, *["Program A", "Program B"] * len(corpus)]
        pieces.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        pieces.decoder = decoders.Metaspace(prepend_scheme=scheme)
    else:
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        pieces.decoder = decoders.ByteLevel()
    tokens: dict[str, str] = family["tokens"]
    images: dict[str, str] = family.get("images", {})
    special = [*tokens.values(), *family.get("others", []), *images.values()]
    trainer = make_trainer(
        vocab_size=_N_PIECES,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    pieces.train_from_iterator(corpus, trainer)
    if family.get("adds_bos"):
        bos = tokens["bos"]
        pieces.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, pieces.token_to_id(bos))]
        )
    return wrap(
        tokenizer_object=pieces,
        chat_template=family["template"],
        extra_special_tokens=family.get("images") or special,
        **{f"{role}_token": token for role, token in tokens.items()},
    )


def _save_processor(tokenizer: Any, config: Any, folder: Path) -> None:
    """What Axolotl loads beside a model that reads images as well."""
    import transformers

    name = type(config).__name__.removesuffix("Config")
    size = {"height": _VISION["image_size"], "width": _VISION["image_size"]}
    images = getattr(transformers, f"{name}ImageProcessor")(size=size)
    make: Any = getattr(transformers, f"{name}Processor")
    make(
        image_processor=images, tokenizer=tokenizer, image_seq_length=_IMAGE_TOKENS
    ).save_pretrained(folder)
