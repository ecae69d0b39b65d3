"""A model as a writer of tests: its suites on right and wrong programs, measured by pass@k.

Metric: a sample passes if its score (`scoring.suite_quality`) is at least the threshold; beside
pass@k stand the mean of the score and of each part, and the older measure "runs and ends OK".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from codefavor.backends.base import Backend
from codefavor.engine.context import Context
from codefavor.engine.runner import Step
from codefavor.errors import ConfigError
from codefavor.evaluation.models import ModelTask, Tally, usage_of
from codefavor.languages import parses
from codefavor.records import Problem, Row
from codefavor.scoring.by_suites import SuiteScorer, missed_programs, summarize_suites
from codefavor.scoring.suite_prompt import Framework
from codefavor.scoring.suite_quality import THRESHOLD, SuiteQuality
from codefavor.scoring.suite_target import N_MUTANTS
from codefavor.synthesis.suites import make_suites_step, suites_manifest

BENCHMARK = "test-writing"
MISSES = "misses_wrong_programs"


@dataclass(frozen=True)
class SuiteTask(ModelTask):
    """Which programs the suites are for, and from which score on one passes."""

    threshold: float = THRESHOLD
    n_mutants: int = N_MUTANTS
    framework: Framework = "pytest"

    def settings(self) -> Row:
        """As in ModelTask, with what decides over a pass."""
        own = {"threshold": self.threshold, "mutants": self.n_mutants, "framework": self.framework}
        return super().settings() | own

    def asking_step(self) -> Step:
        """As in ModelTask."""
        return make_suites_step(self.sampling, self.framework)

    def asked_manifest(self, backend: Backend) -> Row:
        """As in ModelTask; another number of mutants is another run."""
        asked = suites_manifest(backend, self.sampling, self.seed, self.framework)
        return {**asked, "mutants": self.n_mutants}

    def tally(self) -> SuiteTally:
        """As in ModelTask."""
        return SuiteTally(self.n_samples, threshold=self.threshold)

    def step(self, backend: Backend | None, until: ExitStack) -> Step:
        """From a problem to its suites, each with its quality and the programs that it missed."""
        asking = self.asking_step()
        scorers: list[SuiteScorer] = []

        async def write_and_score(row: Row, context: Context) -> Row:
            if context.sandbox is None or backend is None:
                raise ConfigError("suites are asked for, and measured in a sandbox")
            if not scorers:
                scorer = SuiteScorer(context.sandbox, n_mutants=self.n_mutants)
                scorers.append(until.enter_context(scorer))
            problem = Problem.from_row(row, f"problem {row['id']}")
            # First, so that nothing is paid for where no suite could be measured.
            target = await asyncio.to_thread(scorers[0].target_of, problem)
            found = await asking(row, context)
            completions = []
            for one in found["completions"]:
                quality = await asyncio.to_thread(scorers[0].quality, one["code"], problem)
                missed = missed_programs(target, quality)
                run = self._as_run(quality)
                completions.append(
                    {
                        **one,
                        "quality": quality.to_row(),
                        "missed_programs": missed,
                        "execution": run,
                    }
                )
            return {"id": row["id"], "right": target.right, "completions": completions}

        return write_and_score

    def _as_run(self, quality: SuiteQuality) -> Row:
        """How the suite ended, in the form in which comparisons show samples."""
        ended = quality.defect or ("passed" if quality.score >= self.threshold else MISSES)
        missed = f"{len(quality.missed)} of {len(quality.ends)} wrong programs pass"
        return {"outcome": ended, "error": quality.detail or missed}


# What is compared beside pass@k, by the name of the part.
_COMPARED = {
    "runs": "runs",
    "passes_right": "passes on the right program",
    "kills": "mutants killed",
    "line_coverage": "line coverage",
    "branch_coverage": "branch coverage",
}


def _measures(qualities: Sequence[SuiteQuality]) -> dict[str, float]:
    """A problem's means in [0, 1] of score and parts; 0 for a part that a defect left unmeasured.

    With a defect a suite kills nothing either: it earns nothing by what it fails.
    """
    n = len(qualities)
    found = {"score": sum(one.score for one in qualities) / n}
    for part, name in _COMPARED.items():
        found[name] = sum(one.parts.get(part, 0.0) for one in qualities) / n
    return found | {"runs and ends OK": sum(one.seed_metric for one in qualities) / n}


@dataclass
class SuiteTally(Tally):
    """As Tally, of suites."""

    threshold: float = THRESHOLD
    suites: list[Row] = field(default_factory=list)

    def add(self, record: Row) -> None:
        """Count the suites of one problem."""
        if record["status"] != "ok":
            super().add(record)
            return
        self.statuses["ok"] += 1
        used = usage_of(record)
        self.usage += used
        self.n_priced += used.input_tokens > 0
        samples = record["row"]["completions"]
        classes = []
        for sample in samples:
            quality = sample["quality"]
            is_good = quality["score"] >= self.threshold
            kind = "passed" if is_good else quality["defect"] or MISSES
            classes.append(kind)
            self.outcomes[kind] += 1
            if not is_good:
                self.failures[kind] += 1
            self.n_samples += 1
            self.n_parsed += bool(sample["code"].strip()) and parses(sample["code"], "python")
            self.suites.append({"quality": quality})
        self.problems[record["id"]] = {
            "n": len(samples),
            "passed": classes.count("passed"),
            "unknown": 0,
            "classes": classes,
            "measures": _measures([SuiteQuality(**one["quality"]) for one in samples]),
        }

    def metrics(self, names: list[str]) -> Row:  # type: ignore[override]
        """As in Tally, with the means of the parts and the share that "runs and ends OK"."""
        found = super().metrics(names)
        summary = summarize_suites(self.suites, self.threshold)
        ends_ok = [SuiteQuality(**one["quality"]).seed_metric for one in self.suites]
        share = sum(ends_ok) / len(ends_ok) if ends_ok else 0.0
        return found | {"suites": {**summary, "runs_and_ends_ok": share}}
