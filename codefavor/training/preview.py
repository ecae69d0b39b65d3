"""What a recipe really trains on, token by token, as Axolotl and its trainers read the rows."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path
from typing import Any

from codefavor.errors import ConfigError, DataError, MissingPackageError
from codefavor.judges.chat_tokens import ChatTokens
from codefavor.records import Row
from codefavor.training.check_readers import (
    preference_reader,
    quiet,
    type_name,
    with_tokenizer,
)
from codefavor.training.data_rows import files_of, rows_of
from codefavor.training.recipes import method_of

IGNORED_LABEL = -100


@dataclass(frozen=True)
class Span:
    """A run of tokens as text, and whether the loss is taken on them."""

    text: str
    is_trained: bool


@dataclass(frozen=True)
class TokenRow:
    """One token sequence of a row: `part` is chosen, rejected, or "" where there is only one.

    `entry` is what the recipe says of the data set.
    """

    where: str
    part: str
    input_ids: tuple[int, ...]
    is_trained: tuple[bool, ...]
    row: Row = field(default_factory=dict)
    entry: Row = field(default_factory=dict)

    @property
    def n_trained(self) -> int:
        """How many tokens the loss is taken on."""
        return sum(self.is_trained)


@dataclass(frozen=True)
class TokenBudget:
    """Lengths of all sequences of a data set in tokens; `too_long` names those above the limit."""

    limit: int
    n_sequences: int
    n_tokens: int
    n_trained: int
    mean: float
    p95: int
    longest: int
    too_long: tuple[str, ...]


def token_budget(sequences: Sequence[TokenRow], limit: int) -> TokenBudget:
    """The lengths of all sequences against `sequence_len`."""
    if not sequences:
        raise DataError("the data set has no rows")
    lengths = sorted(len(one.input_ids) for one in sequences)
    return TokenBudget(
        limit=limit,
        n_sequences=len(lengths),
        n_tokens=sum(lengths),
        n_trained=sum(one.n_trained for one in sequences),
        mean=statistics.fmean(lengths),
        p95=lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))],
        longest=lengths[-1],
        too_long=tuple(
            f"{one.where} {one.part}".strip() for one in sequences if len(one.input_ids) > limit
        ),
    )


class Preview:
    """Reads a recipe's rows with Axolotl's own strategies and the recipe's tokenizer."""

    def __init__(self, config: Mapping[str, Any], folder: Path | None = None) -> None:
        os.environ.setdefault("AXOLOTL_DO_NOT_TRACK", "1")
        self.config = dict(config)
        self.method = method_of(config)
        self.folder = folder or Path.cwd()
        try:
            with quiet():
                from axolotl.utils.chat_templates import get_chat_template_from_config
                from axolotl.utils.dict import DictDefault
                from transformers import AutoTokenizer
        except ImportError as error:
            raise MissingPackageError("axolotl", "train", "a preview of tokens") from error
        base_model = str(config["base_model"])
        local = self.folder / base_model
        source = str(local) if local.is_dir() else base_model
        self._cfg = DictDefault(json.loads(json.dumps(self.config)))
        self.tokenizer: Any = AutoTokenizer.from_pretrained(source)
        special: dict[str, Any] = {
            key: value
            for key, value in (config.get("special_tokens") or {}).items()
            if isinstance(value, str)
        }
        self.tokenizer.add_special_tokens(special)
        if not (self.tokenizer.chat_template or config.get("chat_template_jinja")):
            raise ConfigError(f"the tokenizer of {source} has no chat template")
        if config.get("chat_template"):
            template = get_chat_template_from_config(cfg=self._cfg, tokenizer=self.tokenizer)
            self.tokenizer.chat_template = template

    @property
    def is_trained_on_rows(self) -> bool:
        """Whether the loss is taken on tokens of the rows (GRPO trains on what it samples)."""
        return self.method not in {"grpo", "gdpo"}

    def sequences(self, limit: int | None = None) -> Iterator[TokenRow]:
        """Every token sequence of the data sets; of the first `limit` rows, if given."""
        for index, entry in enumerate(self.config.get("datasets") or []):
            read = self._reader(index, entry)
            files = files_of(entry, self.folder) or [self.folder / entry["path"]]
            for number, (where, row) in enumerate(chain.from_iterable(map(rows_of, files))):
                if limit is not None and number >= limit:
                    break
                try:
                    parts = read(row)
                except Exception as error:  # readers raise whatever they like
                    text = f"{type(error).__name__}: {error}"
                    raise DataError(
                        f"{where}: Axolotl's reader cannot read this row ({text}); expected what "
                        f"`codefavor convert` writes for the method {self.method}"
                    ) from error
                for part, ids, trained in parts:
                    yield TokenRow(where, part, tuple(ids), tuple(trained), row, dict(entry))

    def spans(self, sequence: TokenRow) -> list[Span]:
        """The sequence as text, cut where training starts or stops."""
        spans = []
        pairs = zip(sequence.is_trained, sequence.input_ids, strict=True)
        for is_trained, group in groupby(pairs, key=lambda pair: pair[0]):
            ids = [token for _, token in group]
            text = self.tokenizer.decode(ids, skip_special_tokens=False)
            spans.append(Span(str(text), is_trained))
        return spans

    def label_error(self, labels: Sequence[str] = ("A", "B")) -> str:
        """Why an A/B judge cannot read these labels as answers, "" where it can."""
        try:
            ChatTokens(self.tokenizer).choice_ids([{"role": "user", "content": "A or B?"}], labels)
        except ConfigError as error:
            return str(error)
        return ""

    def _reader(self, index: int, entry: Row) -> Callable[[Row], list[tuple[str, Any, Any]]]:
        if self.method == "sft" and not type_name(entry).startswith("chat_template"):
            return self._older_reader(entry)
        if self.method in {"sft", "reward", "process_reward"}:
            return self._supervised_reader(entry)
        if self.method in {"grpo", "gdpo"}:
            return self._prompt_reader
        return self._preference_reader(index, entry)

    def _older_reader(self, entry: Row) -> Callable[[Row], list[tuple[str, Any, Any]]]:
        """Axolotl's own tokenised rows of any supervised type, found as its training finds it."""
        with quiet():
            from axolotl.utils.data.wrappers import get_dataset_wrapper
            from datasets.arrow_dataset import Dataset
        settings = type(self._cfg)(entry)
        name = type_name(entry)
        base, _, style = name.partition(":")

        def read(row: Row) -> list[tuple[str, Any, Any]]:
            with quiet():
                rows = Dataset.from_list([dict(row)]).to_iterable_dataset()
                done, _ = get_dataset_wrapper(
                    settings, self.tokenizer, self._cfg, base, rows, style or None
                )
                return [
                    ("", one["input_ids"], [label != IGNORED_LABEL for label in one["labels"]])
                    for one in done
                ]

        return read

    def _supervised_reader(self, entry: Row) -> Callable[[Row], list[tuple[str, Any, Any]]]:
        """Axolotl's own tokenised rows: labels for supervised rows, whole rows for rewards."""
        name = str(entry["type"])
        with quiet():
            if self.method == "reward":
                from axolotl.prompt_strategies.bradley_terry import load

                name = name.removeprefix("bradley_terry.")
            else:
                from axolotl.prompt_strategies import load
            config = self._cfg
            if self.method == "process_reward":
                # This reader cuts rows in silence; here they are to be seen whole.
                config = type(config)({**config, "sequence_len": 0})
            strategy = load(name, self.tokenizer, config, type(config)(entry))
        if strategy is None:
            raise ConfigError(f"Axolotl has no reader for the data set type {name!r}")

        def read(row: Row) -> list[tuple[str, Any, Any]]:
            with quiet():
                done = strategy.tokenize_prompt(dict(row))
            if self.method == "reward":
                sides = {part: done[f"{part}_ids"] for part in ("chosen", "rejected")}
                for part, ids in sides.items():
                    self._check_whole(row[part], ids)
                return [(part, ids, [True] * len(ids)) for part, ids in sides.items()]
            trained = [label != IGNORED_LABEL for label in done["labels"]]
            return [("", done["input_ids"], trained)]

        return read

    def _check_whole(self, answer: str, ids: Sequence[int]) -> None:
        """Axolotl's reward reader puts the tokens behind its generation prompt at that prompt's
        length, which cuts the answer where a template writes more there (Gemma 4's channel).
        """
        text = str(self.tokenizer.decode(ids, skip_special_tokens=False))
        if "".join(answer.split()) not in "".join(text.split()):
            raise ValueError("this chat template loses the beginning of the answer: take another")

    def _preference_reader(
        self, index: int, entry: Row
    ) -> Callable[[Row], list[tuple[str, Any, Any]]]:
        """Prompt and completions as texts from Axolotl, then cut at the prompt as TRL does."""
        name = type_name(entry)
        found = preference_reader(self.method, name, self.config, index)
        if found is None:
            raise ConfigError(f"Axolotl has no reader for the data set type {name!r}")
        function = with_tokenizer(found, self.tokenizer)

        def read(row: Row) -> list[tuple[str, Any, Any]]:
            texts = function(dict(row))
            if self.method == "kto":
                part = "desirable" if texts["label"] else "undesirable"
                return [self._cut(part, texts["prompt"], texts["completion"])]
            return [
                self._cut(part, texts["prompt"], texts[part]) for part in ("chosen", "rejected")
            ]

        return read

    def _prompt_reader(self, row: Row) -> list[tuple[str, Any, Any]]:
        """GRPO trains on what the model samples; a row holds only the prompt."""
        text = self.tokenizer.apply_chat_template(
            row["prompt"],
            tokenize=False,
            add_generation_prompt=True,
            chat_template=self.config.get("chat_template_jinja"),
        )
        ids = self._ids(str(text))
        return [("prompt", ids, [False] * len(ids))]

    def _cut(self, part: str, prompt: str, completion: str) -> tuple[str, Any, Any]:
        end = str(self.tokenizer.eos_token or "")
        if not completion.endswith(end):
            completion += end
        prompt_ids, ids = self._ids(prompt), self._ids(prompt + completion)
        n_prompt = len(prompt_ids)
        return part, ids, [position >= n_prompt for position in range(len(ids))]

    def _ids(self, text: str) -> list[int]:
        """As TRL's trainers do: with the beginning of text that the tokenizer adds.

        Those of ORPO and SimPO put it before every text that does not begin with it.
        """
        if self.method not in {"orpo", "simpo"}:
            return [int(token) for token in self.tokenizer(text)["input_ids"]]
        ids = [int(token) for token in self.tokenizer(text, add_special_tokens=False)["input_ids"]]
        bos = self.tokenizer.bos_token_id
        return ids if bos is None or ids[:1] == [bos] else [int(bos), *ids]
