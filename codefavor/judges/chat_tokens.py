"""Chat messages as tokens, exactly as the trainings of our recipes make them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from codefavor.errors import ConfigError
from codefavor.text import THINKING_BEGINS, THINKING_ENDS

Messages = Sequence[Mapping[str, str]]
# A text that no template changes, to find what a template writes around an answer.
_PROBE = "codefavorprobe"
# An empty thought, which some templates write before an answer (Gemma 4 with a channel's name).
_NO_THOUGHT = re.compile(rf"(?P<mark>{THINKING_BEGINS})(?:thought)?\s*(?:{THINKING_ENDS})\s*\Z")


def without_empty_thought(before: str, answer: str | None = None) -> str:
    """The text before an answer, without the empty thought that it may end with; if the answer is
    given, only where that has a thought of its own, in the same marks."""
    empty = _NO_THOUGHT.search(before)
    is_left_out = empty and (answer is None or answer.lstrip().startswith(empty["mark"]))
    return before[: empty.start()] if empty and is_left_out else before


class ChatTokens:
    """A tokenizer's chat template, applied as the trainings of our recipes do.

    A judge is asked where the trained answer began: behind all that the template writes before
    an answer of one turn. Some write more there than their own generation prompt does: an empty
    think block (Qwen3), a channel (gpt-oss), a space that is part of the first word (Mistral).
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError(
                f"the tokenizer of {tokenizer.name_or_path!r} has no chat template; "
                "set one, or use a model that was tuned for chat"
            )
        self.tokenizer = tokenizer

    def texts(self, messages: Messages, answer: str) -> tuple[str, str]:
        """The conversation up to the answer, and the answer with its end of turn.

        A space that the template writes between them stands with the answer: the tokens of many
        models hold a word's leading space. The answer ends with the end of text, once.
        """
        text = self._render([*messages, {"role": "assistant", "content": _PROBE}])
        before, after = text.rsplit(_PROBE, 1)
        before = without_empty_thought(before, answer)
        prompt = before.rstrip(" ")
        end, eos = after.rstrip("\n"), self.tokenizer.eos_token or ""
        if not end.endswith(eos):
            end += eos
        return prompt, before[len(prompt) :] + answer + end

    def completion_ids(self, messages: Messages, answer: str) -> tuple[list[int], list[int]]:
        """The tokens of the prompt, and those of the answer with its end of turn.

        A token that holds the prompt's end and the answer's beginning (a line end and the spaces
        behind it, with many tokenizers) is the answer's: none of its text is lost.
        """
        prompt, completion = self.texts(messages, answer)
        whole = self.ids(prompt + completion)
        alike = takewhile(
            lambda pair: pair[0] == pair[1], zip(self.ids(prompt), whole, strict=False)
        )
        n_prompt = sum(1 for _ in alike)
        return whole[:n_prompt], whole[n_prompt:]

    def choice_ids(self, messages: Messages, labels: Sequence[str]) -> tuple[list[int], list[int]]:
        """The tokens before an answer that is one of the labels, and the token of each label.

        Raises ConfigError where the conversations that end with them differ in more than one token.
        """
        wholes = [self.ids("".join(self.texts(messages, label))) for label in labels]
        n_before = next(
            (at for at, tokens in enumerate(zip(*wholes, strict=False)) if len(set(tokens)) > 1), 0
        )
        if len({tuple(whole[n_before + 1 :]) for whole in wholes}) != 1 or not n_before:
            raise ConfigError(
                f"the labels {', '.join(labels)} are not a single token each of "
                f"{self.tokenizer.name_or_path!r} behind the prompt; an A/B judge needs that"
            )
        return wholes[0][:n_before], [whole[n_before] for whole in wholes]

    def conversation_ids(self, messages: Messages) -> list[int]:
        """The tokens of a whole conversation, its last turn ended."""
        return self.ids(self._render(messages))

    def ids(self, text: str) -> list[int]:
        """The tokens of a text that the template wrote, its beginning of text included."""
        return [int(one) for one in self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def _render(self, messages: Messages) -> str:
        return str(self.tokenizer.apply_chat_template(list(messages), tokenize=False))
