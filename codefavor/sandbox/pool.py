"""Runs programs against tests in jails, many at a time; the sandbox's public face."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType

from codefavor.errors import ConfigError, SandboxError
from codefavor.records import Execution, content_id
from codefavor.sandbox.allowed import LOOKS_AROUND
from codefavor.sandbox.conclude import conclude
from codefavor.sandbox.lane import SPLIT, TOGETHER, choose_lane, is_cases
from codefavor.sandbox.outcome import LEVELS, Job, Limits
from codefavor.sandbox.selftest import Proof, prove
from codefavor.sandbox.worker import Report, Worker, WorkerGone

_log = logging.getLogger(__name__)
_MOST_RUNS, _MOST_GROWTH = 5_000, 64 << 20
_MOST_REMEMBERED = 10_000
_TRIES = 3
_BLAMED = ("wrong_output", "runtime_error")
# How many runs may wait for something (a sleep, say) beside those that compute.
_MOST_IDLE = 3
_IMPORTS = re.compile(r"^[ \t]*(?:from|import)[ \t]+(\w+)", re.MULTILINE)
_HEAVY = frozenset(("pandas", "scipy", "sklearn", "statsmodels", "matplotlib", "torch"))


def choose_flavour(job: Job) -> str:
    """Which zygote has a job's imports loaded already: lean, pytest, numpy or heavy."""
    if job.lane == TOGETHER:
        return "pytest"
    if "import" not in job.code and "import" not in job.tests:
        return "lean"
    names = set(_IMPORTS.findall(job.code)) | set(_IMPORTS.findall(job.tests))
    if names & _HEAVY:
        return "heavy"
    if "pytest" in names:
        return "pytest"
    return "numpy" if "numpy" in names else "lean"


class _Slot:
    """One worker's place: at most one zygote of each flavour, used by one thread at a time."""

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()


class SandboxPool:
    """A fixed number of jails. Thread-safe; use as a context manager.

    `required_level` is the least isolation that is accepted (it is proven at every start of a
    zygote, not assumed); below it SandboxError names the reason and the remedy. `highest_level`
    tries nothing above. `accept="together"` also runs tests that need the program in their own
    process, where a hostile program can forge the verdict; without it they end as `unsupported`.
    With `dedupe`, equal jobs run once.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        required_level: str = "L2",
        highest_level: str = "L3",
        accept: str = "",
        dedupe: bool = True,
        runs_per_worker: int = _MOST_RUNS,
    ) -> None:
        if workers < 1:
            raise ConfigError(f"the sandbox needs at least 1 worker, not {workers}")
        for level in (required_level, highest_level):
            if level not in LEVELS:
                raise ConfigError(f"unknown sandbox level {level!r}; known: {', '.join(LEVELS)}")
        if accept not in ("", TOGETHER):
            raise ConfigError(f"the sandbox can accept {TOGETHER!r} or nothing, not {accept!r}")
        self.n_workers = workers
        self.accept = accept
        self._dedupe = dedupe
        self._runs_per_worker = runs_per_worker
        self._free: list[_Slot] = []
        self._every: list[_Slot] = []
        self._places = threading.Semaphore(workers)
        self._memory: OrderedDict[str, Future[Execution]] = OrderedDict()
        self._vacuous: dict[str, bool] = {}
        self._lock = threading.Lock()
        n_threads = workers * (1 + _MOST_IDLE)
        self._threads = ThreadPoolExecutor(n_threads, thread_name_prefix="sandbox")
        self._idle_places = threading.Semaphore(workers * _MOST_IDLE)
        self._closed = False
        first, self.proof = prove(required_level, highest_level)
        self.level = self.proof.level
        self._give_back(slot := _Slot())
        self._every.append(slot)
        slot.workers["lean"] = first

    def __enter__(self) -> SandboxPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill every zygote and everything under it."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for slot in self._every:
            slot.close()

    def cpu_seconds(self) -> float:
        """CPU time of all living zygotes and everything they ran, for benchmarks."""
        return sum(w.cpu_seconds for slot in self._every for w in slot.workers.values())

    # -- running --------------------------------------------------------------------------

    def run(
        self,
        code: str,
        tests: str,
        limits: Limits | None = None,
        *,
        entry_point: str = "",
        setup: str = "",
    ) -> Execution:
        """Run tests against a program and wait for the result.

        `setup` is code that the program is meant to see: it runs in its namespace before it.
        Raises ConfigError for what can never run; a sandbox that fails even after retries
        gives the outcome `infra_error`.
        """
        early = self._refuse(code, tests)
        if early is not None:
            return early
        limits = limits or Limits()
        lane = choose_lane(tests, entry_point)
        job = Job(
            code, tests, entry_point, setup, lane.name, tuple(sorted(lane.program_names)),
            lane.modules, lane.may_share, is_cases(tests),
        )  # fmt: skip
        if lane.name == TOGETHER and self.accept != TOGETHER:
            error = f"the tests need the together lane: {lane.reason}"
            return self._without_run("unsupported", error)
        if not self._dedupe:
            return self._judge(job, limits)
        key = content_id(code, tests, entry_point, setup, repr(limits))
        with self._lock:
            known = self._memory.get(key)
            mine: Future[Execution] | None = None
            if known is None:
                known = mine = self._memory[key] = Future()
                if len(self._memory) > _MOST_REMEMBERED:
                    self._memory.popitem(last=False)
        if mine is not None:
            self._fulfil(mine, key, job, limits)
        return known.result()

    async def run_async(
        self,
        code: str,
        tests: str,
        limits: Limits | None = None,
        *,
        entry_point: str = "",
        setup: str = "",
    ) -> Execution:
        """As `run`, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads,
            lambda: self.run(code, tests, limits, entry_point=entry_point, setup=setup),
        )

    def _refuse(self, code: object, tests: object) -> Execution | None:
        if self._closed:
            raise SandboxError("the sandbox pool is closed")
        if not isinstance(code, str):
            return self._without_run("no_code", f"the code is {type(code).__name__}, not text")
        if not code.strip():
            return self._without_run("no_code", "the code is empty")
        if not isinstance(tests, str):
            kind = type(tests).__name__
            return self._without_run("test_error", f"the tests are {kind}, not text")
        if not tests.strip():
            return self._without_run("test_error", "there are no tests")
        return None

    def _without_run(self, outcome: str, error: str) -> Execution:
        return Execution(outcome=outcome, error=error, level=self.level)

    def _fulfil(self, future: Future[Execution], key: str, job: Job, limits: Limits) -> None:
        try:
            result = self._judge(job, limits)
        except BaseException as error:  # whoever waits for the same job must hear of it too
            self._forget(key)
            future.set_exception(error)
            return
        if result.outcome == "infra_error":
            self._forget(key)
        future.set_result(result)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._memory.pop(key, None)

    def _judge(self, job: Job, limits: Limits) -> Execution:
        report, result = self._attempt(job, limits)
        if result.outcome == "timeout" and report is not None and _is_borderline(report, limits):
            report, result = self._attempt(job, replace(limits, wall_s=2 * limits.wall_s))
        if job.lane == SPLIT and result.outcome in _BLAMED and LOOKS_AROUND.search(job.code):
            error = "the program looks at the process that it runs in, which has not its tests"
            result = replace(result, outcome="unsupported", error=f"{error}: {result.error}")
        if result.outcome == "unsupported" and job.lane == SPLIT and self.accept == TOGETHER:
            job = replace(job, lane=TOGETHER, may_share=False)
            report, result = self._attempt(job, limits)
        unproven = report is not None and not (report.verdict or {}).get("proven")
        if result.outcome == "passed" and unproven and self._is_vacuous(job, limits):
            error = "vacuous: the tests also pass on an empty program"
            return replace(result, outcome="test_error", error=error)
        return result

    def _is_vacuous(self, job: Job, limits: Limits) -> bool:
        key = content_id(job.tests, job.entry_point, job.setup, job.lane)
        if key not in self._vacuous:
            _, result = self._attempt(replace(job, code="pass"), limits)
            self._vacuous[key] = result.outcome == "passed"
        return self._vacuous[key]

    def _attempt(self, job: Job, limits: Limits) -> tuple[Report | None, Execution]:
        flavour = choose_flavour(job)
        reason = ""
        for _ in range(_TRIES):
            place = _Place(self._places, self._idle_places)
            slot = self._take_slot()
            try:
                worker = self._worker(slot, flavour)
                try:
                    report = worker.run(job, limits, place.lend)
                except BaseException:
                    # Whatever ended the run, the state of its worker is unknown: it must not serve.
                    self._discard(slot, flavour)
                    raise
                result = conclude(report, limits, self.level, job.lane)
                if job.lane == TOGETHER:
                    result = replace(result, accepted=self.accept)
                if result.outcome != "infra_error":
                    return report, result
                reason = result.error
            except WorkerGone as error:
                reason = str(error)
                _log.warning("a sandbox worker was replaced: %s", reason)
            finally:
                self._give_back(slot)
                place.leave()
        return None, Execution("infra_error", error=reason, trust=job.lane, level=self.level)

    def _take_slot(self) -> _Slot:
        with self._lock:
            if self._free:
                return self._free.pop()
            self._every.append(slot := _Slot())
            return slot

    def _give_back(self, slot: _Slot) -> None:
        with self._lock:
            self._free.append(slot)

    # -- zygotes --------------------------------------------------------------------------

    def _worker(self, slot: _Slot, flavour: str) -> Worker:
        worker = slot.workers.get(flavour)
        if worker is not None and worker.is_worn(self._runs_per_worker, _MOST_GROWTH):
            self._discard(slot, flavour)
            worker = None
        if worker is None:
            if self._closed:
                raise SandboxError("the sandbox pool is closed")
            worker, _ = prove(self.level, self.level, flavour)
            slot.workers[flavour] = worker
        return worker

    def _discard(self, slot: _Slot, flavour: str) -> None:
        worker = slot.workers.pop(flavour, None)
        if worker is not None:
            worker.close()


class _Place:
    """A run's place among those that compute; while it only waits, somebody else may have it."""

    def __init__(self, places: threading.Semaphore, idle: threading.Semaphore) -> None:
        self._places, self._idle = places, idle
        self._is_lent = False
        places.acquire()

    def lend(self) -> None:
        """Let another run take the place, if not too many wait already."""
        if self._idle.acquire(blocking=False):
            self._is_lent = True
            self._places.release()

    def leave(self) -> None:
        """Free the place."""
        (self._idle if self._is_lent else self._places).release()


def _is_borderline(report: Report, limits: Limits) -> bool:
    """Whether load alone may have caused a timeout: the program computed, but was held up."""
    facts = report.facts
    spent = facts["program_cpu"] + facts["tests_cpu"]
    share = spent / max(facts["seconds"], 1e-9)
    return bool(facts["stopped"] == "wall" and 0.02 < share < 0.8 and spent < limits.cpu_s)


_shared: dict[int, SandboxPool] = {}
_shared_lock = threading.Lock()


def run_tests(
    code: str, tests: str, limits: Limits | None = None, *, entry_point: str = ""
) -> Execution:
    """Run tests against one program in a jail of this process's own pool of one worker."""
    with _shared_lock:
        pool = _shared.get(os.getpid())
        if pool is None:
            import atexit

            pool = _shared[os.getpid()] = SandboxPool(workers=1)
            atexit.register(pool.close)
    return pool.run(code, tests, limits, entry_point=entry_point)


__all__ = ["Proof", "SandboxPool", "choose_flavour", "run_tests"]
