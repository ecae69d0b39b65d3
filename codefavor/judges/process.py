"""Process reward models: every line of a program gets the probability that it is right."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Annotated, Literal

from codefavor.errors import BackendError
from codefavor.judges.base import Answer, Text, TextJudge, logistic, verdict_by_scores
from codefavor.judges.options import AdapterOption, DeviceOption, ModelFolder, Option, check_choice
from codefavor.judges.reward import load_reward_model
from codefavor.judges.scorer import SequenceScorer
from codefavor.prompts.chat import STEP_END, code_steps, process_prompt
from codefavor.records import canonical_json

Pooling = Literal["mean", "min", "product"]


class ProcessJudge(TextJudge[list[float]]):
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
        check_choice("pooling", pooling, Pooling)
        self.name = name or f"process reward ({pooling})"
        self._pooling = pooling
        self._language = language
        loaded = load_reward_model(
            model_path, adapter, device, task="TokenClassification", n_outputs=2
        )
        self._tokenizer = loaded.tokenizer
        self._scorer = SequenceScorer(loaded.model)

    def score(self, texts: Sequence[Text]) -> list[list[float] | BackendError]:
        """The probability in [0, 1] of every line of each program; an error where it has none."""
        tokens = [self.line_ids(*text) for text in texts]
        scored = [one for one in tokens if one[1]]
        logits = iter(self._scorer.logits_at([ids for ids, _ in scored], [at for _, at in scored]))
        found: list[list[float] | BackendError] = []
        for _, ends in tokens:
            if not ends:
                found.append(BackendError("no code to score", reason="no_code"))
                continue
            lines = next(logits)
            if isinstance(lines, BackendError):
                found.append(lines)
            else:
                found.append([logistic(right - wrong) for wrong, right in lines])
        return found

    def verdict(self, score_a: list[float], score_b: list[float]) -> Answer:
        """The verdict of the lines of two programs."""
        lines = {"lines_a": score_a, "lines_b": score_b}
        raw = canonical_json({key: [round(one, 6) for one in lines[key]] for key in lines})
        return verdict_by_scores(self._pool(score_a), self._pool(score_b), raw=raw)

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

    def _pool(self, probabilities: Sequence[float]) -> float:
        logs = [log(max(one, 1e-30)) for one in probabilities]
        if self._pooling == "min":
            return min(logs)
        return sum(logs) / len(logs) if self._pooling == "mean" else sum(logs)
