"""Process reward models: every line of a program gets the probability that it is right."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from codefavor.errors import BackendError, ConfigError
from codefavor.judges.base import Answer, BatchJudge, verdict_by_scores
from codefavor.judges.options import AdapterOption, DeviceOption, ModelFolder, Option
from codefavor.judges.reward import load_reward_model
from codefavor.prompts.chat import STEP_END, code_steps, process_prompt
from codefavor.records import Comparison, canonical_json

Pooling = Literal["mean", "min", "product"]
_BATCH_TOKENS = 4096
# The probability of every line, or why there is none.
Lines = list[float] | BackendError


class ProcessJudge(BatchJudge):
    """The program whose lines are likelier to be right wins.

    A line's probability is read at the token that ends it, from the two outputs of
    `AutoModelForTokenClassification`. A program's score is the logarithm of the geometric mean
    over its lines ("mean"), of their product ("product"), or of the least likely line ("min",
    which ties where two programs share that line).

    Source: Lightman et al. 2023, "Let's Verify Step by Step" (arXiv 2305.20050); the tokens are
    those of axolotl 0.19.0, prompt_strategies/stepwise_supervised.py.
    """

    def __init__(
        self,
        model_path: ModelFolder,
        adapter: AdapterOption = None,
        *,
        pooling: Annotated[
            Pooling, Option("How the probabilities of the lines become one score.")
        ] = "mean",
        language: str = "python",
        device: DeviceOption = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            known = ", ".join(get_args(Pooling))
            raise ConfigError(f"unknown pooling {pooling!r}; known: {known}")
        self.name = name or f"process reward ({pooling})"
        self._pooling = pooling
        self._language = language
        self._model, self._tokenizer = load_reward_model(
            Path(model_path), adapter, device, task="TokenClassification", n_outputs=2
        )
        config = self._model.config
        self._max_tokens = int(getattr(config, "max_position_embeddings", 0) or 1 << 30)

    def answer(self, comparisons: Sequence[Comparison]) -> list[Answer]:
        """A verdict for each comparison; each distinct text is scored once."""
        texts = [
            (one.instruction, one.criteria, code)
            for one in comparisons
            for code in (one.code_a, one.code_b)
        ]
        distinct = list(dict.fromkeys(texts))
        scores = dict(zip(distinct, self.line_probabilities(distinct), strict=True))
        return [
            self._verdict(scores[texts[2 * index]], scores[texts[2 * index + 1]])
            for index in range(len(comparisons))
        ]

    def line_probabilities(self, texts: Sequence[tuple[str, str, str]]) -> list[Lines]:
        """The probability in [0, 1] of every line, for (instruction, criteria, code) each.

        An error stands for a program without a line, or too long for the model.
        """
        found: list[Lines] = []
        tokens = [self.line_ids(*text) for text in texts]
        for ids, ends in tokens:
            if not ends:
                found.append(BackendError("no code to score", retryable=False, reason="no_code"))
            elif len(ids) > self._max_tokens:
                message = f"{len(ids)} tokens, but the model holds {self._max_tokens}"
                found.append(BackendError(message, retryable=False, reason="too_long"))
            else:
                found.append([])
        good = [index for index, one in enumerate(found) if isinstance(one, list)]
        for batch in _batches(sorted(good, key=lambda index: len(tokens[index][0])), tokens):
            for index, values in zip(batch, self._forward([tokens[i] for i in batch]), strict=True):
                found[index] = values
        return found

    def line_ids(self, instruction: str, criteria: str, code: str) -> tuple[list[int], list[int]]:
        """The tokens of a program behind its question, and the place of each line's end."""
        ids = self._ids(process_prompt(instruction, criteria))
        if self._tokenizer.bos_token_id is not None:
            ids = [int(self._tokenizer.bos_token_id), *ids]
        ends = []
        separator = self._ids(STEP_END)
        for step in code_steps(code):
            ids = [*ids, *self._ids(step), *separator]
            ends.append(len(ids) - 1)
        return ids, ends

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _forward(self, batch: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
        import torch

        width = max(len(ids) for ids, _ in batch)
        inputs = torch.zeros((len(batch), width), dtype=torch.long)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for row, (ids, _) in enumerate(batch):
            inputs[row, : len(ids)] = torch.tensor(ids)
            mask[row, : len(ids)] = 1
        device = next(self._model.parameters()).device
        with torch.inference_mode():
            outputs: Any = self._model(input_ids=inputs.to(device), attention_mask=mask.to(device))
            right = outputs.logits.float().softmax(-1)[:, :, 1].cpu()
        return [[float(right[row, end]) for end in ends] for row, (_, ends) in enumerate(batch)]

    def _verdict(self, left: Lines, right: Lines) -> Answer:
        if isinstance(left, BackendError):
            return left
        if isinstance(right, BackendError):
            return right
        lines = {"lines_a": left, "lines_b": right}
        raw = canonical_json({key: [round(one, 6) for one in lines[key]] for key in lines})
        return verdict_by_scores(self._pool(left), self._pool(right), raw=raw)

    def _pool(self, probabilities: Sequence[float]) -> float:
        logs = [log(max(one, 1e-30)) for one in probabilities]
        if self._pooling == "min":
            return min(logs)
        return sum(logs) / len(logs) if self._pooling == "mean" else sum(logs)


def _batches(
    order: Sequence[int], tokens: Sequence[tuple[list[int], list[int]]]
) -> list[list[int]]:
    """Sequences of like length together, each batch within the token budget."""
    batches: list[list[int]] = []
    for index in order:
        length = len(tokens[index][0])
        if batches and (len(batches[-1]) + 1) * length <= _BATCH_TOKENS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
