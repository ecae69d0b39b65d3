"""The text of what a trainer sampled, and whether a model thinks before it answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from codefavor.errors import ConfigError
from codefavor.text import THINKING_MARK, opened_thinking

# What a template asks that can be told to think, however it marks that.
_ASKS = re.compile(r"enable_thinking|reasoning_effort|reasoning_content")


class _Reader:
    """How this process reads samples: nothing is known of it before the trainer is made."""

    tokenizer: Any = None
    opened = ""


_reader = _Reader()


def thinks(template: str) -> bool:
    """Whether a model with this chat template can think before it answers."""
    return bool(THINKING_MARK.search(template) or _ASKS.search(template))


def read_samples_with(tokenizer: Any, template: str | None = None, **settings: Any) -> None:
    """From now on read samples by their tokens, the special ones among them kept.

    `template` and `settings` are those by which the trainer asks. Raises ConfigError for a template
    that thinks between marks that are not known: a draft could not be told from an answer.
    """
    text = str(template or tokenizer.chat_template or "")
    if thinks(text) and not THINKING_MARK.search(text):
        raise ConfigError(
            f"the chat template of {tokenizer.name_or_path} can be told to think, between marks "
            "that are not known here, so a reward could not tell a draft from the answer; take a "
            "template that writes <think> and </think>"
        )
    question = [{"role": "user", "content": "?"}]
    asked = tokenizer.apply_chat_template(
        question, chat_template=template, add_generation_prompt=True, tokenize=False, **settings
    )
    _reader.tokenizer, _reader.opened = tokenizer, opened_thinking(str(asked))


def reply_texts(completions: Sequence[Any], columns: Mapping[str, Any]) -> list[str]:
    """The texts of what a trainer hands to a reward.

    It leaves special tokens out of its completions, among them the marks around the thinking of
    many models, so the texts are read from `completion_ids` where there are any. Raises ConfigError
    where nobody has said by which tokenizer: a draft could be paid as the answer.
    """
    sampled = columns.get("completion_ids")
    if sampled is None:
        return [reply_text(one) for one in completions]
    if _reader.tokenizer is None:
        raise ConfigError(
            "a reward cannot read the sampled tokens, and the trainer's texts lack the marks "
            "between thinking and answer; add codefavor.training.plugins.RunPlugin to plugins"
        )
    return [_reader.opened + sample_text(_reader.tokenizer, ids) for ids in sampled]


def sample_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """A sample with its special tokens, without its end and padding."""
    kept = [int(one) for one in ids]
    while kept and kept[-1] in {tokenizer.eos_token_id, tokenizer.pad_token_id}:
        kept.pop()
    return str(tokenizer.decode(kept, skip_special_tokens=False))


def reply_text(completion: Any) -> str:
    """The text of a completion: a string, or the last message of a conversation, whose content
    is a text or a list of parts.

    Raises ConfigError for what is neither, where a reward of 0 would teach something false.
    """
    content = completion
    if isinstance(completion, list):
        content = completion[-1]["content"] if completion else ""
    if isinstance(content, list) and all(isinstance(p, dict) and "text" in p for p in content):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise ConfigError(f"a completion is neither text nor messages: {content!r:.200}")
    return content
