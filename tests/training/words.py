"""A tokenizer whose tokens are words and runs of punctuation, so that tests count by hand."""

from __future__ import annotations

from pathlib import Path


def save_word_tokenizer(folder: Path, chat_template: str | None = None) -> Path:
    """Save it in a folder as transformers reads it; returns the folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return folder
