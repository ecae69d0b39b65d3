"""How long training rows are in the tokens of a tokenizer, before any trainer cuts them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from codefavor.errors import ConfigError, DataError, MissingPackageError
from codefavor.prompts.chat import Messages
from codefavor.records import Row

_BLOCK = 256


@dataclass(frozen=True)
class Lengths:
    """Token lengths of rows; percentiles are nearest-rank, `n_over` counts rows over `limit`.

    A row with two answers counts its longer conversation, as the trainer's window does.
    """

    n: int
    min: int
    mean: float
    median: int
    p80: int
    p90: int
    p95: int
    max: int
    limit: int | None
    n_over: int

    def to_row(self) -> Row:
        """The plain JSON form."""
        return asdict(self)


def summarise_lengths(lengths: Sequence[int], limit: int | None = None) -> Lengths:
    """The table of these token lengths. Raises DataError for none at all."""
    if not lengths:
        raise DataError("no rows, so no lengths")
    ordered = sorted(lengths)

    def rank(share: float) -> int:
        return ordered[max(1, math.ceil(share * len(ordered))) - 1]

    return Lengths(
        n=len(ordered),
        min=ordered[0],
        mean=sum(ordered) / len(ordered),
        median=rank(0.5),
        p80=rank(0.8),
        p90=rank(0.9),
        p95=rank(0.95),
        max=ordered[-1],
        limit=limit,
        n_over=0 if limit is None else sum(length > limit for length in ordered),
    )


def conversations_of(row: Mapping[str, Any]) -> list[Messages]:
    """Each conversation that the trainer makes of a row of any format, by the row's columns."""
    if "label" in row:
        return [[*row["messages"], row["completion"]]]
    if "completions" in row:
        return [_conversation(row["prompt"], "\n".join(row["completions"]))]
    if "input" in row:
        return [_conversation(row["input"], row[side]) for side in ("chosen", "rejected")]
    if "chosen" in row:
        return [[*row["messages"], row[side]] for side in ("chosen", "rejected")]
    return [row["messages"] if "messages" in row else row["prompt"]]


def _conversation(question: str, answer: str) -> Messages:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model folder or Hub id.

    Raises MissingPackageError without transformers and ConfigError where there is none.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingPackageError("transformers", "local", "counting tokens") from error
    try:
        return transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"no tokenizer {name!r}: {reason} (a folder with tokenizer.json, or a model id of "
            "the Hub and a way to reach it)"
        ) from error


def token_lengths(rows: Sequence[Row], tokenizer: Any) -> list[int]:
    """The tokens of each row's longest conversation, in the order of the rows.

    Counted through the tokenizer's chat template; without one, the turns are joined by line
    breaks, which leaves out the few tokens that mark them.
    """
    return [
        longest
        for start in range(0, len(rows), _BLOCK)
        for longest in _block_lengths(rows[start : start + _BLOCK], tokenizer)
    ]


def _block_lengths(rows: Sequence[Row], tokenizer: Any) -> Iterator[int]:
    texts = [[_text(messages, tokenizer) for messages in conversations_of(row)] for row in rows]
    flat = [text for of_row in texts for text in of_row]
    counts = iter([len(ids) for ids in tokenizer(flat, add_special_tokens=False)["input_ids"]])
    for of_row in texts:
        yield max(next(counts) for _ in of_row)


def _text(messages: Messages, tokenizer: Any) -> str:
    if not tokenizer.chat_template:
        return "\n".join(turn["content"] for turn in messages)
    import jinja2

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    except jinja2.TemplateError as error:
        raise ConfigError(
            f"the chat template of this tokenizer refuses the rows ({error}); "
            "a template without a system role needs --system none"
        ) from error
