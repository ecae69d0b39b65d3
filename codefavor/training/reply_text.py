"""The text of what a trainer sampled."""

from __future__ import annotations

from typing import Any

from codefavor.errors import ConfigError


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
