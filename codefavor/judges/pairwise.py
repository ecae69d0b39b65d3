"""A/B judges: one forward pass, and the logits of the two label tokens decide."""

from __future__ import annotations

from collections.abc import Sequence

from codefavor.backends.local import load_model
from codefavor.errors import BackendError
from codefavor.judges.base import Answer, BatchJudge, verdict_by_scores
from codefavor.judges.chat_tokens import ChatTokens
from codefavor.judges.options import (
    AdapterOption,
    DeviceOption,
    DtypeOption,
    ModelFolder,
    SystemOption,
)
from codefavor.judges.scorer import SequenceScorer
from codefavor.prompts.chat import comparison_messages
from codefavor.records import Comparison, canonical_json

LABELS = ("A", "B")
_PROBE = Comparison(instruction="Add two numbers.", code_a="a + b", code_b="a - b")


class PairwiseJudge(BatchJudge):
    """Asks a model for one letter and compares the logits of "A" and "B" at its first token.

    `p_a` is the softmax over the two. Equal logits are a tie (in low precision they happen).
    Both labels must be single tokens behind the prompt, which is checked.
    """

    def __init__(
        self,
        model_path: ModelFolder,
        adapter: AdapterOption = None,
        *,
        language: str = "python",
        system: SystemOption = "empty",
        dtype: DtypeOption = "auto",
        device: DeviceOption = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.name = name or "pairwise A/B"
        self._language = language
        self._system = system
        loaded = load_model(model_path, adapter=adapter, dtype=dtype, device=device)
        self._tokens = ChatTokens(loaded.tokenizer)
        self.scorer = SequenceScorer(loaded.model)
        _, self._label_ids = self.question_ids(_PROBE)

    def answer(self, comparisons: Sequence[Comparison]) -> list[Answer]:
        """A verdict for each comparison."""
        prompts = [self.question_ids(one)[0] for one in comparisons]
        found = self.scorer.last_logits(prompts, self._label_ids)
        return [one if isinstance(one, BackendError) else _verdict(*one) for one in found]

    def question_ids(self, comparison: Comparison) -> tuple[list[int], list[int]]:
        """The tokens behind which the letter is read, and the tokens of the two letters."""
        messages = comparison_messages(comparison, language=self._language, system=self._system)
        return self._tokens.choice_ids(messages, LABELS)


def _verdict(logit_a: float, logit_b: float) -> Answer:
    raw = canonical_json({"logit_a": round(logit_a, 6), "logit_b": round(logit_b, 6)})
    return verdict_by_scores(logit_a, logit_b, raw=raw)
