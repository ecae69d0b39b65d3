"""Rewards for GRPO that run the sampled programs in the sandbox; named by path in a recipe.

Each takes what the trainer samples and the columns of the data set (`convert --format grpo`),
and returns one number per completion.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from codefavor.errors import ConfigError, SandboxError
from codefavor.records import Execution, Row
from codefavor.sandbox import Limits, SandboxPool, choose_lane
from codefavor.scoring.answers import program_of
from codefavor.training.reply_text import reply_texts
from codefavor.training.suite_reward import test_quality

__all__ = ["fraction_passed", "is_runnable", "passes_tests", "reply_texts", "test_quality"]

Completions = Sequence[Any]
Job = tuple[str, str, str, str]
# A sampled program of an untrained model often loops for ever: it gets little time.
_LIMITS = Limits(cpu_s=3.0, wall_s=10.0)


def passes_tests(completions: Completions, **columns: Any) -> list[float]:
    """1.0 where the program passes every test of its problem, else 0.0."""
    return [
        1.0 if result.is_evidence_of_pass else 0.0 for result in _executions(completions, columns)
    ]


def fraction_passed(completions: Completions, **columns: Any) -> list[float]:
    """The share in [0, 1] of the problem's checks that hold; what was not reached has failed."""
    return [result.share_of_checks for result in _executions(completions, columns)]


def is_runnable(completions: Completions, **columns: Any) -> list[float]:
    """1.0 where the tests could call the program and it answered them all, right or wrong."""
    ran = {"passed", "wrong_output"}
    results = _executions(completions, columns)
    return [1.0 if result.outcome in ran and not result.no_evidence else 0.0 for result in results]


class _Runner:
    """The sandbox of this process; the last batch is kept, as several rewards ask for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: SandboxPool | None = None
        self._last: tuple[list[Job], list[Execution]] = ([], [])

    def run(self, jobs: list[Job]) -> list[Execution]:
        """One execution per (code, tests, entry point, setup), in order."""
        with self._lock:
            if self._last[0] != jobs:
                self._last = (jobs, self._run(jobs))
            return self._last[1]

    def _run(self, jobs: list[Job]) -> list[Execution]:
        if self._pool is None:
            self._pool = SandboxPool(workers=_worker_count()).__enter__()
            atexit.register(self.close)
        pool = self._pool

        def run_one(job: Job) -> Execution:
            code, tests, entry_point, setup = job
            if not code.strip():
                return Execution(outcome="no_code")
            return pool.run(code, tests, _LIMITS, entry_point=entry_point, setup=setup)

        with ThreadPoolExecutor(_worker_count()) as threads:
            results = list(threads.map(run_one, jobs))
        for result in results:
            if result.outcome == "infra_error":
                # A reward of 0 here would teach the model that a correct program is wrong.
                raise SandboxError(f"a reward could not be computed: {result.error}")
        return results

    def close(self) -> None:
        """End the sandbox's processes."""
        if self._pool is not None:
            self._pool.__exit__(None, None, None)
            self._pool = None


_runner = _Runner()


def _worker_count() -> int:
    return max(1, min(8, len(os.sched_getaffinity(0))))


def _executions(completions: Completions, columns: Row) -> list[Execution]:
    codes = [
        program_of(text, entry_point)
        for text, entry_point in zip(
            reply_texts(completions, columns), columns["entry_point"], strict=True
        )
    ]
    setups = columns.get("setup") or [""] * len(codes)
    jobs = list(zip(codes, columns["tests"], columns["entry_point"], setups, strict=True))
    for tests, entry_point, setup in {job[1:] for job in jobs}:
        lane = choose_lane(tests, entry_point, setup)
        if lane.name != "split":
            # Its verdict could be forged, and a reward that can be forged will be.
            raise ConfigError(f"a reward cannot rest on these tests: {lane.reason}")
    return _runner.run(jobs)
