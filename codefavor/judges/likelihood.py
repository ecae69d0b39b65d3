"""Which of two programs does a model find likelier, given the instruction and the criteria?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

from codefavor.backends.local import load_model
from codefavor.errors import BackendError, ConfigError, DataError
from codefavor.judges.base import Answer, Text, TextJudge, verdict_by_scores
from codefavor.judges.chat_tokens import ChatTokens
from codefavor.judges.options import (
    AdapterOption,
    DeviceOption,
    DtypeOption,
    ModelFolder,
    Option,
    SystemOption,
    check_choice,
)
from codefavor.judges.scorer import CompletionScore, SequenceScorer
from codefavor.prompts.chat import solution_messages, solution_text
from codefavor.records import Row, canonical_json

Reduction = Literal["mean", "sum", "implicit_mean", "implicit_sum"]
# DPO's implicit reward is beta times the sum; 0.1 is the beta of our recipes.
_SCALES: dict[str, float] = {"implicit_sum": 0.1}
# By the policy, and by the reference where there is one.
Scored = tuple[CompletionScore, CompletionScore | None]


def verdict_of_totals(parts: Row, reduction: Reduction = "mean") -> Answer:
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
    scale = _SCALES.get(reduction, 1.0)
    return verdict_by_scores(scores["a"], scores["b"], scale=scale, raw=raw)


class LikelihoodJudge(TextJudge[Scored]):
    """The log-probability of each program as the assistant's answer decides.

    Only the answer counts, its end of turn included. `reduction` is "mean" (per token), "sum",
    or "implicit_mean"/"implicit_sum": policy minus reference. The reference is the same model
    with its adapter disabled, or the model at `reference` for a policy without adapter.
    `p_a` is the logistic of the difference (of implicit_sum: of a tenth of it). The
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
        language: str = "python",
        system: SystemOption = "empty",
        dtype: DtypeOption = "auto",
        device: DeviceOption = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        check_choice("reduction", reduction, Reduction)
        self.name = name or f"likelihood ({reduction})"
        self.reduction = reduction
        self._language = language
        self._system = system
        loaded = load_model(model_path, adapter=adapter, dtype=dtype, device=device)
        self._tokens = ChatTokens(loaded.tokenizer)
        self.scorer = SequenceScorer(loaded.model)
        self._reference: SequenceScorer | None = None
        if reduction.startswith("implicit"):
            self._reference = self.scorer
            if reference is not None:
                other = load_model(reference, dtype=dtype, device=device)
                self._reference = SequenceScorer(other.model)
            elif not hasattr(loaded.model, "disable_adapter"):
                raise ConfigError(
                    f"{reduction} compares a policy with its reference: give the policy as an "
                    "adapter, or the reference model's folder as reference"
                )

    def score(self, texts: Sequence[Text]) -> list[Scored | BackendError]:
        """What the policy and, where one is asked for, the reference make of each program."""
        pairs = [self.answer_ids(text) for text in texts]
        policy = self.scorer.completion_logprobs(pairs)
        reference: Sequence[CompletionScore | BackendError | None] = [None] * len(pairs)
        if self._reference is not None:
            model: Any = self.scorer.model
            is_same = self._reference is self.scorer
            with model.disable_adapter() if is_same else nullcontext():
                reference = self._reference.completion_logprobs(pairs)
        return [_scored(*both) for both in zip(policy, reference, strict=True)]

    def answer_ids(self, text: Text) -> tuple[list[int], list[int]]:
        """The tokens of the question, and those of the program as its answer, which are scored."""
        messages = solution_messages(text.instruction, text.criteria, system=self._system)
        return self._tokens.completion_ids(messages, solution_text(text.code, self._language))

    def verdict(self, score_a: Scored, score_b: Scored) -> Answer:
        """The verdict of two programs, with the parts that other reductions need."""
        parts: Row = {}
        for side, (policy, reference) in (("a", score_a), ("b", score_b)):
            parts |= {f"total_{side}": round(policy.total, 6), f"n_tokens_{side}": policy.n_tokens}
            if reference is not None:
                parts[f"reference_{side}"] = round(reference.total, 6)
        return verdict_of_totals(parts, self.reduction)


def _scored(
    policy: CompletionScore | BackendError, reference: CompletionScore | BackendError | None
) -> Scored | BackendError:
    if isinstance(policy, BackendError):
        return policy
    return reference if isinstance(reference, BackendError) else (policy, reference)
