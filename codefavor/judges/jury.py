"""Several judges as one: all of them weighed together, or the costly ones only on doubt."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, TypeVar

from codefavor.errors import ConfigError
from codefavor.judges.base import Judge, all_seconds, bind
from codefavor.judges.options import Option
from codefavor.judges.stored import StoredJudge, held_out_weights
from codefavor.records import Comparison, Row, Verdict, canonical_json

# Weights of a jury's members that are learnt from their accuracies on other problems.
BY_ACCURACY = "accuracy"
C = TypeVar("C", bound="_Combined")


class _Combined:
    """Several judges that are bound to a runner's context together."""

    def __init__(self, what: str, judges: Sequence[Judge], name: str | None) -> None:
        if not judges:
            raise ConfigError(f"a {what} needs at least one judge")
        self.name = name or f"{what} ({', '.join(judge.name for judge in judges)})"
        self._judges = list(judges)

    def with_context(self: C, context: object) -> C:
        """The same, its judges bound to a runner's context."""
        # Not made anew: that would check the weights of every pair again for each row.
        bound = copy.copy(self)
        bound._judges = [bind(judge, context) for judge in self._judges]
        return bound


class Jury(_Combined):
    """The weighted vote of its members.

    The weighted share of A decides. `weights` are one for each judge, or for each comparison's id
    one for each judge, or what is written: numbers with commas, or "accuracy", which needs stored
    runs and the labelled pairs (`items`). With `by_probability` a judge that states `p_a` gives A
    that share of its weight; otherwise a vote for A gives all of it. Ties count one half, and
    "undecided" abstains: a jury of only abstentions is undecided. `p_a` is the share.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        items: Sequence[Row] = (),
        *,
        weights: Annotated[
            str | Sequence[float] | Mapping[str, Sequence[float]],
            Option(
                f"A number for each member, with commas; or {BY_ACCURACY}: by how often each was "
                "right on other problems (of stored runs alone)."
            ),
        ] = "",
        by_probability: Annotated[
            bool, Option("A stated probability is the share of a vote.")
        ] = False,
        name: str | None = None,
    ) -> None:
        super().__init__("jury", judges, name)
        given = _read_weights(weights, judges, items) if isinstance(weights, str) else weights
        self._by_id = given if isinstance(given, Mapping) else {}
        self._weights = [1.0] * len(judges) if isinstance(given, Mapping) else given
        for one in (self._weights, *self._by_id.values()):
            if len(one) != len(judges) or min(one) < 0 or not sum(one):
                raise ConfigError(
                    f"{len(judges)} judges need as many weights, none negative and not all zero; "
                    f"found {list(one)}"
                )
        self._by_probability = by_probability

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison; all judges are asked at once."""
        answers = await asyncio.gather(*(judge.compare(comparisons) for judge in self._judges))
        return [
            replace(
                self._weigh(self._by_id.get(comparison.id, self._weights), votes),
                second=all_seconds(votes),
            )
            for comparison, votes in zip(comparisons, zip(*answers, strict=True), strict=True)
        ]

    def _weigh(self, weights: Sequence[float], votes: Sequence[Verdict]) -> Verdict:
        raw = canonical_json([{"choice": vote.choice, "p_a": vote.p_a} for vote in votes])
        counted = [
            (weight, self._share(vote))
            for weight, vote in zip(weights, votes, strict=True)
            if vote.choice != "undecided" and weight > 0
        ]
        if not counted:
            return Verdict("undecided", None, raw)
        total = sum(weight for weight, _ in counted)
        p_a = sum(weight * share for weight, share in counted) / total
        if abs(p_a - 0.5) < 1e-12:
            return Verdict("tie", 0.5, raw)
        return Verdict("A" if p_a > 0.5 else "B", p_a, raw)

    def _share(self, vote: Verdict) -> float:
        if self._by_probability and vote.p_a is not None:
            return vote.p_a
        return {"A": 1.0, "B": 0.0}.get(vote.choice, 0.5)


def _read_weights(
    text: str, judges: Sequence[Judge], items: Sequence[Row]
) -> Sequence[float] | Mapping[str, Sequence[float]]:
    if not text:
        return [1.0] * len(judges)
    if text == BY_ACCURACY:
        stored = [judge for judge in judges if isinstance(judge, StoredJudge)]
        if len(stored) < len(judges):
            raise ConfigError("--weights accuracy needs stored runs: name result files alone")
        return held_out_weights(stored, items)
    try:
        return [float(one) for one in text.split(",")]
    except ValueError as error:
        raise ConfigError(
            f"--weights is {text!r}; expected numbers with commas, or {BY_ACCURACY}"
        ) from error


class Cascade(_Combined):
    """Judges from cheap to costly; the next one is asked only where the last one doubts.

    A judge doubts where it says tie or undecided, or where its probability for its choice is
    below `min_confidence`. The last judge's verdict stands. `asked` counts the comparisons
    each judge was asked.
    """

    def __init__(
        self,
        judges: Sequence[Judge],
        *,
        min_confidence: Annotated[
            float, Option("Below it the next member is asked.", low=0.5, high=1)
        ] = 0.8,
        name: str | None = None,
    ) -> None:
        super().__init__("cascade", judges, name)
        if not 0.5 <= min_confidence <= 1:
            raise ConfigError(f"min_confidence must be in [0.5, 1]; found {min_confidence}")
        self._min_confidence = min_confidence
        self.names = [judge.name for judge in judges]
        self.asked = [0] * len(judges)

    def with_context(self, context: object) -> Cascade:
        """The same, its judges bound to a runner's context, with counts of its own."""
        bound = super().with_context(context)
        bound.asked = [0] * len(self.asked)
        return bound

    async def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One verdict for each comparison, by the first judge that is sure of it."""
        verdicts: dict[int, Verdict] = {}
        open_ones = list(range(len(comparisons)))
        for number, judge in enumerate(self._judges):
            if not open_ones:
                break
            self.asked[number] += len(open_ones)
            answers = await judge.compare([comparisons[index] for index in open_ones])
            for index, answer in zip(open_ones, answers, strict=True):
                asked = [verdicts[index], answer] if index in verdicts else [answer]
                verdicts[index] = replace(answer, second=all_seconds(asked))
            open_ones = [index for index in open_ones if self._is_doubtful(verdicts[index])]
        return [verdicts[index] for index in range(len(comparisons))]

    def _is_doubtful(self, verdict: Verdict) -> bool:
        if verdict.choice in ("tie", "undecided"):
            return True
        if verdict.p_a is None:
            return False
        confidence = verdict.p_a if verdict.choice == "A" else 1 - verdict.p_a
        return confidence < self._min_confidence
