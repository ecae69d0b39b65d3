"""The reward for writing tests: what a sampled suite catches, with its parts in the log."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from codefavor.errors import ConfigError, Rejected, SandboxError
from codefavor.records import Problem, content_id
from codefavor.sandbox import SandboxPool
from codefavor.scoring.answers import suite_of
from codefavor.scoring.by_suites import SuiteScorer
from codefavor.scoring.suite_quality import SuiteQuality
from codefavor.training.reply_text import reply_texts

logger = logging.getLogger(__name__)

_WINDOW = 20
_MOVED = 0.02


def test_quality(completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """The score in [0, 1] of each sampled test suite (docs/suites.md).

    The columns are those of `convert --format grpo --task tests`: `reference` (the right program),
    and the problem's `tests`, `entry_point`, `setup` and `instruction`, which may be empty: without
    an instruction a suite that expects a message of the task is over-fitted. None for a suite that
    the sandbox could not measure: the trainer leaves it out of the group's mean and gives it
    no advantage, where a 0 would teach something false. The means of score and parts go to
    `log_metric`, where the trainer gives it, and to the log. Raises SandboxError if nothing of the
    batch could be measured, and ConfigError for a problem on which no suite can be.
    """
    found = _measurer.measure(_jobs(completions, columns))
    scored = [one for one in found if one is not None]
    if found and not scored:
        raise SandboxError("no reward of this batch could be computed; is the sandbox healthy?")
    _measurer.drift.log(scored, columns.get("log_metric"))
    return [None if one is None else one.score for one in found]


def _jobs(completions: Sequence[Any], columns: Any) -> list[tuple[str, Problem]]:
    if "reference" not in columns:
        raise ConfigError(
            "test_quality needs the column 'reference', the right program; "
            "`codefavor convert --format grpo --task tests` writes such rows"
        )
    n = len(completions)
    empty = [""] * n
    given = (
        columns["reference"],
        *(columns.get(x) or empty for x in ("tests", "entry_point", "setup", "instruction")),
    )
    jobs = []
    for text, *row in zip(reply_texts(completions, columns), *given, strict=True):
        reference, tests, entry_point, setup, instruction = row
        name = content_id(*row)
        problem = Problem(name, instruction, tests, entry_point, reference=reference, setup=setup)
        jobs.append((suite_of(text), problem))
    return jobs


class Drift:
    """The means of each step, and whether the score rises while fewer mutants are killed."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, float]] = deque(maxlen=2 * _WINDOW)

    def log(
        self, qualities: Sequence[SuiteQuality], log_metric: Callable[[str, float], None] | None
    ) -> None:
        """Log one step."""
        if not qualities:
            return
        means = part_means(qualities)
        for name, value in means.items():
            if log_metric is not None:
                log_metric(f"suite/{name}", value)
        logger.info("suites: %s", ", ".join(f"{name} {value:.3f}" for name, value in means.items()))
        if "kills" in means:
            self._steps.append((means["score"], means["kills"]))
            self._warn()

    def _warn(self) -> None:
        if len(self._steps) < 2 * _WINDOW:
            return
        steps = list(self._steps)
        (score, kills), (new_score, new_kills) = (
            (sum(s for s, _ in part) / _WINDOW, sum(k for _, k in part) / _WINDOW)
            for part in (steps[:_WINDOW], steps[_WINDOW:])
        )
        if new_score > score + _MOVED and new_kills < kills - _MOVED:
            logger.warning(
                "the score of the suites rose from %.3f to %.3f over %d steps while the share of "
                "mutants killed fell from %.3f to %.3f: the model may have found a way around the "
                "reward; read some of its suites",
                score, new_score, _WINDOW, kills, new_kills,
            )  # fmt: skip
            self._steps.clear()


def part_means(qualities: Sequence[SuiteQuality]) -> dict[str, float]:
    """The mean score, the share without a defect, and each part's mean where it was measured."""
    parts: dict[str, list[float]] = {"score": [one.score for one in qualities]}
    parts["without_defect"] = [float(not one.defect) for one in qualities]
    for one in qualities:
        for name, value in one.parts.items():
            parts.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in parts.items()}


class _Measurer:
    """The sandbox of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: SandboxPool | None = None
        self._scorer: SuiteScorer | None = None
        self.drift = Drift()

    def measure(self, jobs: Sequence[tuple[str, Problem]]) -> list[SuiteQuality | None]:
        """One quality a job, in order; None where the sandbox failed."""
        with self._lock:
            if self._scorer is None:
                n_workers = max(1, min(8, len(os.sched_getaffinity(0))))
                self._pool = SandboxPool(n_workers, accept="together", dedupe=False)
                self._scorer = SuiteScorer(self._pool)
                atexit.register(self.close)
            scorer, pool = self._scorer, self._pool
        assert pool is not None

        def measure_one(job: tuple[str, Problem]) -> SuiteQuality | None:
            suite, problem = job
            try:
                return scorer.quality(suite, problem)
            except Rejected as error:
                raise ConfigError(f"no suite can be measured on this row: {error}") from error
            except SandboxError as error:
                logger.warning("a suite is left out, the sandbox failed: %s", error)
                return None

        with ThreadPoolExecutor(pool.n_workers + 1) as threads:
            return list(threads.map(measure_one, jobs))

    def close(self) -> None:
        """End the sandbox's processes."""
        if self._scorer is not None and self._pool is not None:
            self._scorer.close()
            self._pool.close()
            self._scorer = self._pool = None


_measurer = _Measurer()
