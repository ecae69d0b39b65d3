"""Chat messages as tokens, exactly as Axolotl makes them for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codefavor.errors import ConfigError

Messages = Sequence[Mapping[str, str]]
# A text that no template changes, to find what a template writes behind an answer.
_PROBE = "codefavorprobe"


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text as Axolotl's DPO trainer makes them.

    The tokenizer may add a beginning-of-text token that the chat template wrote already; it is
    counted once.
    """
    ids = [int(token) for token in tokenizer(text)["input_ids"]]
    bos = tokenizer.bos_token_id
    return ids[1:] if bos is not None and ids[:2] == [bos, bos] else ids


class ChatTokens:
    """A tokenizer's chat template, applied as Axolotl does.

    Source: axolotl 0.19.0, prompt_strategies/dpo/chat_template.py (text) and trl 1.9.0,
    DPOTrainer (prompt and completion are tokenised as one text and cut at the prompt's length;
    a doubled beginning-of-text token is removed).
    """

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError(
                f"the tokenizer of {tokenizer.name_or_path!r} has no chat template; "
                "set one, or use a model that was tuned for chat"
            )
        self.tokenizer = tokenizer
        self.end_of_turn = self._end_of_turn()

    def prompt_text(self, messages: Messages) -> str:
        """The conversation up to where the assistant's answer begins."""
        text = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def prompt_ids(self, messages: Messages) -> list[int]:
        """The tokens of `prompt_text`."""
        return self.ids(self.prompt_text(messages))

    def completion_ids(self, messages: Messages, answer: str) -> tuple[list[int], list[int]]:
        """The tokens of the prompt, and those of the answer with its end of turn."""
        prompt = self.prompt_text(messages)
        prompt_ids = self.ids(prompt)
        whole = self.ids(prompt + answer + self.end_of_turn)
        return prompt_ids, whole[len(prompt_ids) :]

    def conversation_ids(self, messages: Messages) -> list[int]:
        """The tokens of a whole conversation, its last turn ended."""
        text = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=False
        )
        return self.ids(str(text))

    def single_token(self, label: str, prompt: str) -> int:
        """The one token that `label` is after this prompt; ConfigError where it is not one."""
        before, after = self.ids(prompt), self.ids(prompt + label)
        if len(after) != len(before) + 1 or after[:-1] != before:
            raise ConfigError(
                f"the label {label!r} is not a single token of {self.tokenizer.name_or_path!r} "
                "after the prompt; an A/B judge needs labels of one token"
            )
        return after[-1]

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, with one beginning-of-text token at most."""
        return token_ids(self.tokenizer, text)

    def _end_of_turn(self) -> str:
        messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": _PROBE}]
        text = str(self.tokenizer.apply_chat_template(messages, tokenize=False))
        end = text[text.index(_PROBE) + len(_PROBE) :].rstrip()
        eos = self.tokenizer.eos_token or ""
        return end if end.endswith(eos) else end + eos
