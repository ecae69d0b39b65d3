"""What a judge is, and judging in both orders."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from math import exp, isfinite
from typing import Generic, NamedTuple, Protocol, TypeVar

from codefavor.backends.microbatch import MicroBatcher
from codefavor.errors import BackendError, CodefavorError
from codefavor.records import Comparison, Row, Verdict

Answer = Verdict | CodefavorError
S = TypeVar("S")
T = TypeVar("T")
_MEMO_SIZE = 100_000
_MAX_BATCH, _MAX_WAIT_S = 256, 0.02


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

    def __init__(self) -> None:
        self._batcher: MicroBatcher[Comparison, Answer] = MicroBatcher(
            self.answer, _MAX_BATCH, _MAX_WAIT_S
        )

    def answer(self, comparisons: Sequence[Comparison]) -> list[Answer]:
        """A verdict, or the error that prevents one, for each comparison."""
        raise NotImplementedError

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison; raises the first error among them."""
        answers = await asyncio.gather(*(self._batcher.submit(one) for one in comparisons))
        return [raise_errors(answer) for answer in answers]


class Text(NamedTuple):
    """One program as the answer to one question: what is scored once and remembered."""

    instruction: str
    criteria: str
    code: str


class TextJudge(BatchJudge, Generic[S]):
    """Base of judges that score each program by itself; each distinct one is scored once.

    A subclass gives the scores of programs in `score`, and the verdict of two in `verdict`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._memo: dict[Text, S | BackendError] = {}

    def score(self, texts: Sequence[Text]) -> Sequence[S | BackendError]:
        """The score of each program, or the error that prevents one."""
        raise NotImplementedError

    def verdict(self, score_a: S, score_b: S) -> Answer:
        """The verdict that two scores give."""
        raise NotImplementedError

    def answer(self, comparisons: Sequence[Comparison]) -> list[Answer]:
        """A verdict for each comparison, or the error of one of its programs."""
        pairs = [
            [Text(one.instruction, one.criteria, code) for code in (one.code_a, one.code_b)]
            for one in comparisons
        ]
        texts = dict.fromkeys(text for pair in pairs for text in pair)
        new = [text for text in texts if text not in self._memo]
        self._memo.update(zip(new, self.score(new), strict=True))
        answers: list[Answer] = []
        for pair in pairs:
            score_a, score_b = (self._memo[text] for text in pair)
            if isinstance(score_a, BackendError):
                answers.append(score_a)
            elif isinstance(score_b, BackendError):
                answers.append(score_b)
            else:
                answers.append(self.verdict(score_a, score_b))
        while len(self._memo) > _MEMO_SIZE:
            del self._memo[next(iter(self._memo))]
        return answers


def raise_errors(answer: T | BaseException) -> T:
    """The answer; raises it if it is an error."""
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
        return BackendError(f"scores {score_a} and {score_b} are not finite", reason="not_finite")
    if margin == 0:
        return Verdict("tie", 0.5, raw)
    return Verdict("A" if margin > 0 else "B", logistic(scale * margin), raw)


def logistic(margin: float) -> float:
    """The probability in [0, 1] that a difference of log-odds stands for."""
    return 1 / (1 + exp(-max(-700.0, min(700.0, margin))))


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
    choice = first.choice if first.choice == second.choice else "tie"
    if "undecided" in (first.choice, second.choice):
        choice = "undecided"
    return Verdict(choice, p_a, raw, second=all_seconds((first, second)))


def all_seconds(verdicts: Iterable[Verdict]) -> Row | None:
    """The second replies of verdicts that are merged into one; None where none was asked for."""
    seconds = [one.second for one in verdicts if one.second is not None]
    if not seconds:
        return None
    return {
        "raw": "\n\n".join(one["raw"] for one in seconds),
        "is_cut": any(one["is_cut"] for one in seconds),
    }
