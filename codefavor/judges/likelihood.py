"""Which of two programs does a model find likelier, given the instruction and the criteria?"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

from codefavor.backends.local import load_model
from codefavor.errors import BackendError, ConfigError, DataError
from codefavor.judges.base import Answer, BatchJudge, verdict_by_scores
from codefavor.judges.chat_tokens import ChatTokens
from codefavor.judges.options import (
    AdapterOption,
    DeviceOption,
    DtypeOption,
    ModelFolder,
    Option,
    SystemOption,
)
from codefavor.judges.scorer import CompletionScore, SequenceScorer
from codefavor.prompts.chat import solution_messages, solution_text
from codefavor.records import Comparison, Row, canonical_json

Reduction = Literal["mean", "sum", "implicit_mean", "implicit_sum"]
# DPO's implicit reward is beta times the sum; 0.1 is the beta of our recipes.
_SCALES: dict[str, float] = {"implicit_sum": 0.1}
_MEMO_SIZE = 100_000


class Text(NamedTuple):
    """One program as the answer to one question: what is scored once and remembered."""

    instruction: str
    criteria: str
    code: str


def verdict_of_totals(
    parts: Row, reduction: Reduction = "mean", scale: float | None = None
) -> Answer:
    """The verdict that stored log-probabilities give under a reduction; no model is needed.

    `parts` is what a LikelihoodJudge keeps as `raw`: for each side the total, the number of
    tokens and, where one was scored, the reference's total. Raises DataError for an implicit
    reduction of scores that have no reference.
    """
    scores = {}
    for side in "ab":
        total, n_tokens = parts[f"total_{side}"], parts[f"n_tokens_{side}"]
        if reduction.startswith("implicit"):
            if f"reference_{side}" not in parts:
                raise DataError(f"{reduction} needs the reference's scores, and none are stored")
            total -= parts[f"reference_{side}"]
        scores[side] = total / n_tokens if reduction.endswith("mean") else total
    kept = {f"score_{side}": round(score, 6) for side, score in scores.items()}
    raw = canonical_json({**parts, **kept})
    used = _SCALES.get(reduction, 1.0) if scale is None else scale
    return verdict_by_scores(scores["a"], scores["b"], scale=used, raw=raw)


class LikelihoodJudge(BatchJudge):
    """The log-probability of each program as the assistant's answer decides.

    Only the answer counts, its end of turn included. `reduction` is "mean" (per token), "sum",
    or "implicit_mean"/"implicit_sum": policy minus reference. The reference is the same model
    with its adapter disabled, or the model at `reference` for a policy without adapter.
    `p_a` is the logistic of `scale` times the difference (default 1, implicit_sum 0.1). The
    order of the two programs plays no part, so there is no position bias.
    """

    def __init__(
        self,
        model_path: ModelFolder,
        adapter: AdapterOption = None,
        reduction: Annotated[
            Reduction,
            Option("How the tokens' log-probabilities become one score.", names_result=True),
        ] = "mean",
        *,
        reference: Annotated[
            Path | str | None,
            Option("Reference model of an implicit reduction without adapter.", record="weights"),
        ] = None,
        scale: float | None = None,
        language: str = "python",
        system: SystemOption = "empty",
        dtype: DtypeOption = "auto",
        device: DeviceOption = None,
        token_budget: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            known = ", ".join(get_args(Reduction))
            raise ConfigError(f"unknown reduction {reduction!r}; known: {known}")
        self.name = name or f"likelihood ({reduction})"
        self.reduction = reduction
        self.scale = _SCALES.get(reduction, 1.0) if scale is None else scale
        self._language = language
        self._system = system
        self._memo: OrderedDict[Text, tuple[CompletionScore, CompletionScore | None]] = (
            OrderedDict()
        )
        loaded = load_model(
            Path(model_path),
            adapter=None if adapter is None else Path(adapter),
            dtype=dtype,
            device=device,
        )
        self._tokens = ChatTokens(loaded.tokenizer)
        self.scorer = SequenceScorer(loaded.model, token_budget=token_budget)
        self._reference: SequenceScorer | None = None
        if self.is_implicit:
            self._reference = self.scorer
            if reference is not None:
                other = load_model(Path(reference), dtype=dtype, device=device)
                self._reference = SequenceScorer(other.model, token_budget=token_budget)
            elif not hasattr(loaded.model, "disable_adapter"):
                raise ConfigError(
                    f"{reduction} compares a policy with its reference: give the policy as an "
                    "adapter, or the reference model's folder as reference"
                )

    @property
    def is_implicit(self) -> bool:
        """Whether scores are policy minus reference."""
        return self.reduction.startswith("implicit")

    def with_reduction(self, reduction: Reduction, name: str | None = None) -> LikelihoodJudge:
        """The same model and what it has scored so far, read by another reduction.

        Raises ConfigError for an implicit reduction where no reference was scored.
        """
        if reduction.startswith("implicit") and self._reference is None:
            raise ConfigError(f"{reduction} needs a judge that was made with a reference")
        other = copy.copy(self)
        BatchJudge.__init__(other)
        other.reduction = reduction
        other.scale = _SCALES.get(reduction, 1.0)
        other.name = name or f"likelihood ({reduction})"
        return other

    def answer(self, comparisons: Sequence[Comparison]) -> list[Answer]:
        """A verdict for each comparison; each distinct text is scored once."""
        texts = {
            Text(one.instruction, one.criteria, code): None
            for one in comparisons
            for code in (one.code_a, one.code_b)
        }
        errors = self._score_new([text for text in texts if text not in self._memo])
        return [self._verdict(comparison, errors) for comparison in comparisons]

    def answer_ids(self, text: Text) -> tuple[list[int], list[int]]:
        """The tokens of the question, and those of the program as its answer, which are scored."""
        messages = solution_messages(text.instruction, text.criteria, system=self._system)
        return self._tokens.completion_ids(messages, solution_text(text.code, self._language))

    def _verdict(self, comparison: Comparison, errors: dict[Text, BackendError]) -> Answer:
        texts = [
            Text(comparison.instruction, comparison.criteria, code)
            for code in (comparison.code_a, comparison.code_b)
        ]
        for text in texts:
            if text in errors:
                return errors[text]
        parts: Row = {}
        for side, text in zip("ab", texts, strict=True):
            policy, reference = self._memo[text]
            parts |= {f"total_{side}": round(policy.total, 6), f"n_tokens_{side}": policy.n_tokens}
            if reference is not None:
                parts[f"reference_{side}"] = round(reference.total, 6)
        return verdict_of_totals(parts, self.reduction, self.scale)

    def _score_new(self, texts: Sequence[Text]) -> dict[Text, BackendError]:
        """Score texts into the memo; returns the errors of those that cannot be scored."""
        errors: dict[Text, BackendError] = {}
        items: dict[Text, tuple[list[int], list[int]]] = {}
        for text in texts:
            prompt, completion = self.answer_ids(text)
            try:
                self.scorer.check_length(len(prompt) + len(completion))
            except BackendError as error:
                errors[text] = error
            else:
                items[text] = (prompt, completion)
        pairs = list(items.values())
        policy = self.scorer.completion_logprobs(pairs)
        references = self._score_reference(pairs)
        for text, score, reference in zip(items, policy, references, strict=True):
            self._memo[text] = (score, reference)
        # Texts of this very batch must stay, however small the memo is.
        while len(self._memo) > max(_MEMO_SIZE, len(texts)):
            self._memo.popitem(last=False)
        return errors

    def _score_reference(
        self, pairs: Sequence[tuple[list[int], list[int]]]
    ) -> Sequence[CompletionScore | None]:
        if self._reference is None:
            return [None] * len(pairs)
        model: Any = self.scorer.model
        disabled = model.disable_adapter() if self._reference is self.scorer else nullcontext()
        with disabled:
            return self._reference.completion_logprobs(pairs)
