"""What became of the rows of a pipeline: one line a stage, one line a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from codefavor.records import Row
from codefavor.scoring.provenance import backing_of

# How far a row came, by the first word of the reason it was dropped for; in the order of the work.
STAGES: dict[str, tuple[str, ...]] = {
    "asked": (
        "empty_draft",
        "empty_answer",
        "filtered_answer",
        "truncated_answer",
        "other_answer",
    ),
    "gate": ("gate_no", "gate_unclear"),
    "read": (
        "bad_json_answer",
        "missing_section",
        "verdict_unclear",
        "verdict_contradicts",
        "feedback_names_no_code",
    ),
    "static checks": ("empty_code", "does_not_parse", "identical_codes"),
    "evidence": (
        "tests_unusable",
        "run_is_no_evidence",
        "tests_contradict",
        "tests_fail_on_both",
        "tests_do_not_separate",
        "instructions_contradict",
        "instructions_within_margin",
        "findings_contradict",
        "judge_says",
    ),
}


@dataclass
class Yield:
    """Counts over a whole journal. `reasons` holds (status, reason); `evidence` what backs pairs.

    n = n_pairs + n_good_enough + n_rejected + n_error.
    """

    n_pairs: int = 0
    n_good_enough: int = 0
    n_rejected: int = 0
    n_error: int = 0
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    evidence: Counter[str] = field(default_factory=Counter)
    aspects: Counter[str] = field(default_factory=Counter)

    @property
    def n(self) -> int:
        """All rows that ended."""
        return self.n_pairs + self.n_good_enough + self.n_rejected + self.n_error

    def table(self) -> str:
        """The counts as aligned text, each with its share of all rows that ended."""
        lines = [("rows that ended", self.n), ("pairs", self.n_pairs)]
        if self.n_good_enough:
            lines.append(("good enough", self.n_good_enough))
        lines += [("rejected", self.n_rejected), *self._by_stage(), ("errors", self.n_error)]
        lines += [
            (f"  {reason}", n)
            for (status, reason), n in self.reasons.most_common()
            if status == "error"
        ]
        lines += [(f"pairs backed: {name}", n) for name, n in self.evidence.most_common()]
        lines += [(f"pairs about {name}", n) for name, n in self.aspects.most_common()]
        width = max(len(label) for label, _ in lines)
        return "\n".join(
            f"{label:<{width}}  {n:>7}  {n / self.n if self.n else 0:>6.1%}" for label, n in lines
        )

    def _by_stage(self) -> list[tuple[str, int]]:
        lines: list[tuple[str, int]] = []
        for stage in (*STAGES, ""):
            found = [
                (reason, n)
                for (status, reason), n in self.reasons.most_common()
                if status == "rejected" and stage_of(reason) == stage
            ]
            if found:
                lines.append((f"  at {stage or 'another stage'}", sum(n for _, n in found)))
                lines += [(f"    {reason}", n) for reason, n in found]
        return lines


def stage_of(reason: str) -> str:
    """The stage at which a row of this reason was dropped; "" for a reason of no pipeline."""
    name = reason.partition(":")[0]
    return next((stage for stage, names in STAGES.items() if name in names), "")


def count_yield(records: Iterable[Row]) -> Yield:
    """The counts of a journal's records."""
    total = Yield()
    for record in records:
        status, row = record["status"], record["row"] or {}
        if status == "ok" and row.get("kind") == "good_enough":
            total.n_good_enough += 1
        elif status == "ok":
            total.n_pairs += 1
            total.evidence[str(backing_of(row["evidence"]))] += 1
            total.aspects[row["meta"]["aspect"]] += 1
        else:
            total.reasons[status, record["reason"]] += 1
            total.n_rejected += status == "rejected"
            total.n_error += status == "error"
    return total
