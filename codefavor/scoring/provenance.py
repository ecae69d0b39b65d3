"""What backs a pair's label: the one reading of its evidence, for tables, cards and filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from codefavor.errors import ConfigError
from codefavor.records import TESTS_OF_PEOPLE, Execution, Preference, Row
from codefavor.scoring.findings import SEVERITIES

# The strongest first. separated: something that ran tells the two programs apart, as the label
# does (validated: tests that were themselves checked); one-sided: only the better program was
# shown to pass; judged: a judge was asked.
LEVELS = ("validated", "separated", "one-sided", "judged", "none")
# Of the rows of instruction counts that do not say theirs.
_MARGIN = 1.1


class Backing(NamedTuple):
    """How strongly a label is backed (one of `LEVELS`), and by what, the strongest first."""

    level: str
    by: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.level}: {', '.join(self.by)}" if self.by else self.level


def backing_of(evidence: Row) -> Backing:
    """What of a row's evidence supports its label; what did not run, or ties, supports nothing."""
    found = [
        one
        for one in (
            _by_tests(evidence),
            _by_counts(evidence.get("instructions"), "instruction counts"),
            _by_counts(evidence.get("memory"), "peak memory"),
            _by_findings(evidence.get("findings")),
            _by_judge(evidence.get("judge")),
        )
        if one is not None
    ]
    found.sort(key=lambda one: LEVELS.index(one[0]))
    return Backing(found[0][0] if found else "none", tuple(words for _, words in found))


def rests_on_together(evidence: Row) -> bool:
    """Whether the tests behind a label ran in the together lane: a program can forge these."""
    runs = [_run(evidence.get(side)) for side in ("chosen", "rejected")]
    return any(run and run.trust == "together" and not run.no_evidence for run in runs)


def with_evidence(
    pairs: Sequence[Preference], level: str
) -> tuple[list[Preference], list[Preference]]:
    """The pairs whose label is backed at least as strongly as `level`, and the others."""
    if level not in LEVELS:
        raise ConfigError(f"unknown level of evidence {level!r}; known: {', '.join(LEVELS)}")
    kept: list[Preference] = []
    weaker: list[Preference] = []
    for pair in pairs:
        is_backed = LEVELS.index(backing_of(pair.evidence).level) <= LEVELS.index(level)
        (kept if is_backed else weaker).append(pair)
    return kept, weaker


def _by_tests(evidence: Row) -> tuple[str, str] | None:
    chosen, rejected = _run(evidence.get("chosen")), _run(evidence.get("rejected"))
    if chosen is None or chosen.no_evidence:
        return None
    tests: Any = evidence.get("tests")
    origin = str(tests.get("origin", "")) if isinstance(tests, dict) else ""
    checked = tests.get("checked") if isinstance(tests, dict) else None
    is_valid = isinstance(checked, dict) and checked.get("is_valid") is True
    if origin not in TESTS_OF_PEOPLE and not is_valid:
        return None
    words = [origin] * bool(origin) + ["together: forgeable"] * rests_on_together(evidence)
    name = f"tests ({', '.join(words)})" if words else "tests"
    if rejected is not None and not rejected.no_evidence:
        if chosen.is_evidence_of_pass and not rejected.is_evidence_of_pass:
            return ("validated" if is_valid else "separated"), name
        # Where neither passes, the better one may hold more of the checks.
        if chosen.share_of_checks > rejected.share_of_checks:
            return "separated", f"{name}, more checks hold"
    if not chosen.is_evidence_of_pass:
        return None
    is_tie = rejected is not None and rejected.is_evidence_of_pass
    return "one-sided", f"{name} that both pass" if is_tie else f"{name} that the better one passes"


def _run(row: Any) -> Execution | None:
    """The test run of one side, if there was any."""
    return Execution.from_row(row) if isinstance(row, dict) and row.get("outcome") else None


def _by_counts(counts: Any, name: str) -> tuple[str, str] | None:
    chosen, rejected, margin = (
        (counts.get("chosen"), counts.get("rejected"), counts.get("margin", _MARGIN))
        if isinstance(counts, dict)
        else (None, None, _MARGIN)
    )
    if not isinstance(chosen, int) or not isinstance(rejected, int):
        return None
    return ("separated", name) if rejected >= chosen * margin else None


def _by_findings(findings: Any) -> tuple[str, str] | None:
    is_row = isinstance(findings, dict)
    sides: list[Any] = [findings.get(s) for s in ("chosen", "rejected")] if is_row else []
    if not sides or not all(isinstance(side, list) for side in sides):
        return None
    chosen, rejected = (
        tuple(sum(one.get("severity") == level for one in side) for level in SEVERITIES)
        for side in sides
    )
    return ("separated", "static analysis") if rejected > chosen else None


def _by_judge(judge: Any) -> tuple[str, str] | None:
    has_agreed = isinstance(judge, dict) and judge.get("choice") == "A"
    return ("judged", "a judge, blind, in both orders") if has_agreed else None
