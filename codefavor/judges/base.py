"""What a judge is, and judging in both orders."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import exp, isfinite
from typing import Protocol

from codefavor.backends.microbatch import MicroBatcher
from codefavor.errors import BackendError, CodefavorError
from codefavor.records import Comparison, Verdict

Answer = Verdict | CodefavorError


class Judge(Protocol):
    """Anything that says which of two programs is better."""

    name: str

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison, in their order.

        Raises the first error of a comparison that could not be judged: a failure is never
        a verdict.
        """
        ...


def bind(judge: Judge, context: object) -> Judge:
    """The judge asking through a runner's context, where it asks anybody at all."""
    bound: Judge = judge.with_context(context) if hasattr(judge, "with_context") else judge
    return bound


class BatchJudge:
    """Base of judges that run a local model: gathers all concurrent comparisons into batches.

    A subclass answers a whole batch in `answer`, which runs in a worker thread.
    """

    name = "batch"

    def __init__(self, *, max_batch: int = 256, max_wait_s: float = 0.02) -> None:
        self._batcher: MicroBatcher[Comparison, Answer] = MicroBatcher(
            self.answer, max_batch, max_wait_s
        )

    def answer(self, comparisons: Sequence[Comparison]) -> list[Answer]:
        """A verdict, or the error that prevents one, for each comparison."""
        raise NotImplementedError

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison; raises the first error among them."""
        answers = await asyncio.gather(*(self._batcher.submit(one) for one in comparisons))
        return [raise_errors(answer) for answer in answers]


def raise_errors(answer: Verdict | BaseException) -> Verdict:
    """The verdict; raises the answer if it is an error."""
    if isinstance(answer, BaseException):
        raise answer
    return answer


def verdict_by_scores(
    score_a: float, score_b: float, *, scale: float = 1.0, raw: str = ""
) -> Answer:
    """The higher score wins; equal scores tie. `p_a` is the logistic of the scaled difference.

    Scores that are not finite give an error, not a verdict.
    """
    margin = score_a - score_b
    if not isfinite(margin):
        return BackendError(
            f"scores {score_a} and {score_b} are not finite", retryable=False, reason="not_finite"
        )
    scaled = max(-700.0, min(700.0, scale * margin))
    p_a = 1.0 / (1.0 + exp(-scaled))
    if margin == 0:
        return Verdict("tie", 0.5, raw)
    return Verdict("A" if margin > 0 else "B", p_a, raw)


# Used as a verb, hence its name.
class in_both_orders:
    """A judge that asks another in both orders and answers "tie" where the two disagree.

    `p_a` is the mean of both probabilities, None unless both have one. "undecided" in either
    order makes the answer undecided.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.name = f"{judge.name}, both orders"

    def with_context(self, context: object) -> in_both_orders:
        """The same, its judge bound to a runner's context."""
        return in_both_orders(bind(self.judge, context))

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One merged verdict for each comparison."""
        swapped = [comparison.swap() for comparison in comparisons]
        verdicts = await self.judge.compare([*comparisons, *swapped])
        half = len(comparisons)
        return [
            merge_orders(first, second.swap())
            for first, second in zip(verdicts[:half], verdicts[half:], strict=True)
        ]


def merge_orders(first: Verdict, second: Verdict) -> Verdict:
    """One verdict of two that are already read for the same comparison."""
    both = (first.p_a, second.p_a)
    p_a = None if both[0] is None or both[1] is None else (both[0] + both[1]) / 2
    raw = "\n\n".join(text for text in (first.raw, second.raw) if text)
    if "undecided" in (first.choice, second.choice):
        return Verdict("undecided", p_a, raw)
    return Verdict(first.choice if first.choice == second.choice else "tie", p_a, raw)
