"""What a test suite is worth: the share of wrong programs that it catches, without a defect.

Metric: 0 where a defect is found (`DEFECTS`); else the share in [0, 1] of the target's wrong
programs that it fails for a reason of the program's, halved if it sleeps, and halved if it is
over-fitted (it fails another right program too). Nothing else earns anything: coverage is shown
beside it and is no part of it.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from codefavor.records import Row, content_id
from codefavor.scoring.suite_runs import CAUGHT, ENDS_OK, LETTERS, SuiteRunner, SuiteRuns
from codefavor.scoring.suite_target import Target
from codefavor.scoring.suite_text import SuiteText, read_suite

SLEEP_FACTOR = OVERFIT_FACTOR = 0.5
# From which score on a suite is called good: it misses at most one wrong program in ten.
THRESHOLD = 0.9
DEFECTS = {
    "empty": "there is no text",
    "too_large": "more characters than any suite needs",
    "does_not_parse": "no Python",
    "no_tests": "nothing that pytest or unittest would run",
    "tests_another_function": "it uses no name that the program defines",
    "reads_source": "it reads the program's source or bytecode",
    "uses_network": "it opens sockets",
    "starts_processes": "it starts other processes",
    "writes_files": "it writes files outside pytest's temporary folders",
    "patches_the_recorder": "it changes what runs and counts tests",
    "ends_the_run": "it ends the process or the session",
    "endless": "it does not end on the right program",
    "fails_to_load": "it fails before a test runs (an import, a name, a fixture)",
    "fails_right_program": "a test fails on the right program",
    "nothing_ran": "every test was skipped",
    "no_checks": "no check was reached",
    "flaky": "it passes on the right program in one run and fails in another",
    "order_dependent": "it passes in the written order and fails in another",
    "vacuous": "it passes on a program that does nothing",
}


@dataclass(frozen=True)
class SuiteQuality:
    """The score of a suite and what it rests on.

    `score` is in [0, 1]. `defect` is a key of DEFECTS, "" for none. `parts` holds a number in
    [0, 1] for each of: parses, runs, ends_ok, has_checks, passes_right, kills, catches_known,
    right_reason, line_coverage, branch_coverage, deterministic, order_independent, clean; what was
    not measured because of a defect is missing, and so are kills, catches_known and
    accepts_other_right where there is no such program. `by_operator` is {operator: [caught, of]};
    `missed` the places in `target.wrong` of the programs that it lets pass; `ends` one letter a
    wrong program (`suite_runs.LETTERS`); `unreached` the lines of the right program that never
    ran. `trust` is the target's.
    """

    score: float
    defect: str = ""
    detail: str = ""
    parts: dict[str, float] = field(default_factory=dict)
    by_operator: dict[str, list[int]] = field(default_factory=dict)
    missed: tuple[int, ...] = ()
    ends: str = ""
    tests: int = 0
    checks: int = 0
    engine: str = ""
    why_pytest: str = ""
    unreached: tuple[int, ...] = ()
    trust: str = ""

    def to_row(self) -> Row:
        """The plain JSON form."""
        return {**vars(self), "missed": list(self.missed), "unreached": list(self.unreached)}

    @property
    def seed_metric(self) -> float:
        """1.0 where the suite "runs and ends with OK" on the right program, which is the measure of
        earlier pipelines: an empty or assert-free suite has it too. 0.0 for one too large to run.
        """
        return self.parts.get("ends_ok", 0.0)


def quality_of(text: str, target: Target, runner: SuiteRunner, *, seed: int = 0) -> SuiteQuality:
    """Measure one suite. Raises SandboxError if the sandbox fails: that is never a score of 0.

    `seed` draws what the suite draws and the orders of its tests, not the order of the programs.
    """
    suite = read_suite(text, target.names, target.imported)
    if suite.defect:
        parses = suite.defect not in ("empty", "does_not_parse", "too_large")
        parts = {"parses": float(parses), "clean": float(not _is_unclean(suite.defect))}
        if suite.defect != "too_large":
            is_ok = suite.defect != "does_not_parse" and runner.ends_ok(suite, target)
            parts["ends_ok"] = float(is_ok)
        return SuiteQuality(0.0, suite.defect, suite.detail, parts, trust=target.trust)
    rng = random.Random(content_id(seed, text))
    runs = runner.run(suite, target, rng)
    return _weigh(suite, target, runs)


def _is_unclean(defect: str) -> bool:
    return defect in (
        "reads_source", "uses_network", "starts_processes", "writes_files",
        "patches_the_recorder", "ends_the_run",
    )  # fmt: skip


def _weigh(suite: SuiteText, target: Target, runs: SuiteRuns) -> SuiteQuality:
    sleeps = suite.sleeps or "sleeps" in runs.seen
    defect, detail = _defect(suite, target, runs)
    right = [one.letter for one in runs.right]
    caught = [one.letter in CAUGHT for one in runs.wrong]
    parts = {
        "parses": 1.0,
        "runs": float(right[0] not in "ETDN"),
        "ends_ok": float(right[0] in ENDS_OK),
        "has_checks": float(runs.reached > 0),
        "passes_right": float(set(right) == {"P"}),
        "line_coverage": _share(runs.lines, len(target.lines)),
        "branch_coverage": _share(runs.branches, len(target.branches)),
        "clean": float(not sleeps and not _is_unclean(defect)),
    }
    if right[0] == "P":
        parts["deterministic"] = float(defect != "flaky")
        parts["order_independent"] = float(defect != "order_dependent")
    by_operator: dict[str, list[int]] = {}
    if caught:
        known = [one.operator == "known" for one in target.wrong]
        failed = sum(one.letter != "P" for one in runs.wrong)
        parts["right_reason"] = sum(caught) / failed if failed else 1.0
        for name, is_known in (("kills", False), ("catches_known", True)):
            if is_known in known:
                of = [c for c, k in zip(caught, known, strict=True) if k == is_known]
                parts[name] = sum(of) / len(of)
        for one, is_caught in zip(target.wrong, caught, strict=True):
            row = by_operator.setdefault(one.operator, [0, 0])
            row[0] += is_caught
            row[1] += 1
    accepts = float(all(one.letter == "P" for one in runs.twins))
    if runs.twins:
        parts["accepts_other_right"] = accepts
    score = 0.0 if defect or not caught else sum(caught) / len(caught)
    score *= (SLEEP_FACTOR if sleeps else 1.0) * (1.0 if accepts else OVERFIT_FACTOR)
    return SuiteQuality(
        score=score,
        defect=defect,
        detail=detail,
        parts=parts,
        by_operator=by_operator,
        missed=tuple(n for n, is_caught in enumerate(caught) if not is_caught),
        ends="".join(one.letter for one in runs.wrong),
        tests=runs.tests,
        checks=runs.reached,
        engine=runs.engine,
        why_pytest=suite.why_pytest,
        unreached=tuple(line for n, line in enumerate(target.lines) if n not in runs.ran),
        trust=target.trust,
    )


def _defect(suite: SuiteText, target: Target, runs: SuiteRuns) -> tuple[str, str]:
    """The first defect that the runs show, with its evidence."""
    for seen in (
        "reads_source",
        "uses_network",
        "starts_processes",
        "writes_files",
        "ends_the_run",
    ):
        if seen in runs.seen:
            return seen, f"seen while it ran: {runs.seen[seen]}; {runs.error}".removesuffix("; ")
    counts = Counter(one.letter for one in runs.right)
    if set(counts) != {"P"}:
        return _failure(suite, runs)
    if runs.reached == 0:
        return "no_checks", f"none of {suite.checks} checks was reached"
    for one in runs.hollow:
        if one.letter == "P":
            return "vacuous", "it passes on a program whose functions do nothing"
    return "", ""


def _failure(suite: SuiteText, runs: SuiteRuns) -> tuple[str, str]:
    letters = [one.letter for one in runs.right]
    first = next(letter for letter in letters if letter != "P")
    detail = f"{LETTERS[first]}: {runs.error}"[:400]
    if "P" not in letters[:2]:
        names = {"T": "endless", "M": "endless", "E": "fails_to_load", "N": "nothing_ran"}
        if first == "N" and not runs.tests:
            return "no_tests", f"pytest finds none: {runs.error}"
        return {**names, "D": "ends_the_run"}.get(first, "fails_right_program"), detail
    # It ran twice in the written order, then reversed, then shuffled.
    is_flaky = set(letters[:2]) != {"P"} or len(letters) > 4
    return "flaky" if is_flaky or suite.is_random else "order_dependent", detail


def _share(part: int, whole: int) -> float:
    return min(1.0, part / whole) if whole else 1.0
