"""Pairs and labelled answers as texts for TRL's trainers: `type: codefavor.preferences`.

Axolotl's own types cut a conversation where the generation prompt ends, which is not where the
template's answer begins (Qwen3, gpt-oss), leave a beginning of text that the trainer adds once
more, keep a line end behind the end of turn (a second one is then trained on), and know no chat
template for KTO. Here the judges' own code writes the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from codefavor.judges.chat_tokens import ChatTokens
from codefavor.records import Row

Transform = Callable[..., Row]


def preferences(cfg: Any, dataset_idx: int = 0, **kwargs: Any) -> tuple[Transform, Row]:
    """Axolotl's loader of this type: reads rows of the formats dpo and kto."""

    def transform(sample: Mapping[str, Any], tokenizer: Any = None) -> Row:
        return preference_texts(sample, tokenizer)

    return transform, {"remove_columns": ["messages", "id"]}


def preference_texts(sample: Mapping[str, Any], tokenizer: Any) -> Row:
    """The prompt and its completions, each with its end of turn, as texts of the chat template.

    The prompt lacks the beginning of text where the tokenizer adds it by itself.
    """
    tokens = ChatTokens(tokenizer)
    sides = {name: sample[name]["content"] for name in ("chosen", "rejected") if name in sample}
    sides = sides or {"completion": sample["completion"]["content"]}
    row: Row = {"label": bool(sample["label"])} if "label" in sample else {}
    texts = {name: tokens.texts(sample["messages"], sides[name]) for name in sides}
    # Of two sides, one with a thought: the empty one before the other is a part of its answer.
    row["prompt"] = min((prompt for prompt, _ in texts.values()), key=len)
    for name, (prompt, answer) in texts.items():
        row[name] = (prompt + answer)[len(row["prompt"]) :]
    bos = tokenizer.bos_token_id
    if bos is not None and tokenizer("")["input_ids"][:1] == [bos]:
        row["prompt"] = row["prompt"].removeprefix(tokenizer.bos_token)
    return row
