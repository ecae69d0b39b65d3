"""Runs programs against tests in jails, many at a time; the sandbox's public face."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import re
import threading
import time
from collections import OrderedDict, defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from codefavor.errors import ConfigError, SandboxError
from codefavor.records import Execution, content_id
from codefavor.sandbox.conclude import KILLED, conclude
from codefavor.sandbox.doubts import doubt_of
from codefavor.sandbox.lane import SPLIT, TOGETHER, choose_lane
from codefavor.sandbox.outcome import LEVELS, Job, Limits
from codefavor.sandbox.selftest import prove
from codefavor.sandbox.texts import SAID, is_cases
from codefavor.sandbox.worker import Report, Worker

_log = logging.getLogger(__name__)
_MOST_RUNS = 5_000
_MOST_REMEMBERED = 10_000
# What a busy machine refuses it may grant a moment later.
_TRIES, _PAUSE_S = 3, 0.5
_DOUBTED = ("passed", "wrong_output", "runtime_error")
# How many runs may wait for something (a sleep, say) beside each one that computes.
_MOST_WAITING = 3
_IMPORTS = re.compile(r"^[ \t]*(?:from|import)[ \t]+(\w+)", re.MULTILINE)
_HEAVY = frozenset(("pandas", "scipy", "sklearn", "statsmodels", "matplotlib", "torch"))


def choose_flavour(job: Job) -> str:
    """Which zygote has a job's imports loaded already: lean, pytest, numpy or heavy."""
    if job.lane == TOGETHER and job.code:
        return "pytest"
    names = {*_IMPORTS.findall(job.code), *_IMPORTS.findall(job.tests)}
    if names & _HEAVY:
        return "heavy"
    return next((name for name in ("pytest", "numpy") if name in names), "lean")


class SandboxPool:
    """A fixed number of jails. Thread-safe; use as a context manager.

    `required_level` is the least isolation that is accepted (it is proven at every start of a
    zygote, not assumed); below it SandboxError names the reason and the remedy. `highest_level`
    tries nothing above. `accept="together"` also runs tests that need the program in their own
    process, where a hostile program can forge the verdict; without it they end as `unsupported`.
    With `dedupe`, equal jobs run once. `hash_seed` is that of every interpreter (PYTHONHASHSEED): a
    program whose answer hangs on the order of a set has the same verdict in every pool.
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
        hash_seed: int = 0,
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
        self._runs_per_worker, self._hash_seed = runs_per_worker, hash_seed
        self._idle: defaultdict[str, list[Worker]] = defaultdict(list)
        self._workers: set[Worker] = set()
        self._memory: OrderedDict[str, Future[Execution]] = OrderedDict()
        self._of_empty: dict[str, Execution] = {}
        self._lock = threading.Lock()
        self._places = threading.Semaphore(workers)
        self._waiting_places = threading.Semaphore(workers * _MOST_WAITING)
        n_threads = workers * (1 + _MOST_WAITING)
        self._threads = ThreadPoolExecutor(n_threads, thread_name_prefix="sandbox")
        self._closed = False
        first, self.proof = prove(required_level, highest_level, hash_seed=hash_seed)
        self.level = self.proof.level
        self._workers.add(first)
        self._idle["lean"].append(first)

    def __enter__(self) -> SandboxPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill every zygote and everything under it."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            workers = list(self._workers)
            self._workers.clear()
        for worker in workers:
            worker.close()

    def cpu_seconds(self) -> float:
        """CPU time of all living zygotes and everything they ran, for benchmarks."""
        with self._lock:
            return sum(worker.cpu_seconds for worker in self._workers)

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
        if self._closed:
            raise SandboxError("the sandbox pool is closed")
        if fault := _fault_of(code):
            return Execution("no_code", error=f"the code is {fault}", level=self.level)
        if fault := _fault_of(tests):
            return Execution("test_error", error=f"the tests are {fault}", level=self.level)
        limits = limits or Limits()
        lane = choose_lane(tests, entry_point, setup)
        job = Job(
            code, tests, entry_point, setup, lane.name, tuple(sorted(lane.program_names)),
            lane.modules, lane.may_share, is_cases(tests), limits.fail_fast,
            is_bare=lane.may_share and not setup,
        )  # fmt: skip
        if lane.name == TOGETHER and self.accept != TOGETHER:
            error = f"the tests need the together lane: {lane.reason}"
            return Execution("unsupported", error=error, level=self.level, trust=TOGETHER)
        if not self._dedupe:
            return self._judge(job, limits)
        key = content_id(code, tests, entry_point, setup, repr(limits))
        with self._lock:
            known = self._memory.get(key)
            if known is None:
                mine = self._memory[key] = Future[Execution]()
                if len(self._memory) > _MOST_REMEMBERED:
                    self._memory.popitem(last=False)
        if known is not None:
            return known.result()
        try:
            mine.set_result(self._judge(job, limits))
        except BaseException as error:  # whoever waits for the same job must hear of it too
            mine.set_exception(error)
        if mine.exception() is not None or mine.result().outcome == "infra_error":
            with self._lock:
                self._memory.pop(key, None)
        return mine.result()

    async def run_async(
        self, code: str, tests: str, limits: Limits | None = None, **more: str
    ) -> Execution:
        """As `run`, without blocking the event loop."""
        run = functools.partial(self.run, code, tests, limits, **more)
        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def said_by(self, text: str, limits: Limits) -> str:
        """What a script binds to `SAID`, in a jail with no program; "" if it does not end well."""
        report, result = self._attempt(Job("", text, "", "", TOGETHER), limits)
        is_well = report is not None and result.outcome == "passed"
        return str((report.verdict or {}).get(SAID, "")) if report and is_well else ""

    def _judge(self, job: Job, limits: Limits) -> Execution:
        report, result = self._attempt(job, limits)
        if result.outcome == "timeout" and report is not None and _is_borderline(report, limits):
            report, result = self._attempt(job, replace(limits, wall_s=2 * limits.wall_s))
        is_doubted = job.lane == SPLIT and result.outcome in _DOUBTED
        if is_doubted and (doubt := doubt_of(job, result.outcome == "passed")):
            error = f"{doubt}: {result.error}"
            result = replace(result, outcome="unsupported", error=error)
        # Cases of standard input are no Python, and know one lane.
        may_move = job.lane == SPLIT and not job.is_script and self.accept == TOGETHER
        if result.outcome == "unsupported" and may_move:
            job = replace(job, lane=TOGETHER, may_share=False)
            report, result = self._attempt(job, limits)
        unproven = report is not None and not (report.verdict or {}).get("proven")
        if result.outcome == "passed" and unproven:
            of_empty = self._of_empty_program(job, limits)
            if of_empty.outcome == "infra_error":
                return of_empty
            if of_empty.outcome == "passed":
                error = "vacuous: the tests also pass on an empty program"
                return replace(result, outcome="test_error", error=error)
        if limits.fail_fast and result.outcome != "passed":
            result = replace(result, passed=0, total=0, asserts=())
        return result

    def _of_empty_program(self, job: Job, limits: Limits) -> Execution:
        key = content_id(job.tests, job.entry_point, job.setup, job.lane)
        known = self._of_empty.get(key)
        if known is None:
            _, known = self._attempt(replace(job, code="pass"), limits)
            if known.outcome != "infra_error":
                self._of_empty[key] = known
        return known

    def _attempt(self, job: Job, limits: Limits) -> tuple[Report | None, Execution]:
        flavour = choose_flavour(job)
        reason = ""
        for n_failed in range(_TRIES):
            if n_failed:  # on a busy machine even a sleep of 0 costs a turn
                time.sleep(n_failed * _PAUSE_S)
            place = _Place(self._places, self._waiting_places)
            worker = None
            try:
                worker = self._take_worker(flavour)
                report = worker.run(job, limits, place.lend)
            except SandboxError as error:
                # A zygote that died, or one that did not come up: a busy machine refuses for once.
                if self._closed:
                    raise
                reason = str(error)
                _log.warning("a sandbox worker was replaced: %s", reason)
                continue
            else:
                self._idle[flavour].append(worker)
                worker = None
            finally:
                # Whatever ended the run, the state of its worker is unknown: it must not serve.
                if worker is not None:
                    self._discard(worker)
                place.leave()
            result = conclude(report, limits, self.level, job.lane)
            is_last = n_failed == _TRIES - 1
            if result.outcome != "infra_error" and (result.error != KILLED or is_last):
                accepted = self.accept if job.lane == TOGETHER else ""
                return report, replace(result, accepted=accepted)
            reason = result.error
        return None, Execution("infra_error", error=reason, trust=job.lane, level=self.level)

    def _take_worker(self, flavour: str) -> Worker:
        """A zygote that nobody else uses: one that is idle, or a new one."""
        if self._closed:
            raise SandboxError("the sandbox pool is closed")
        with self._lock:
            worker = self._idle[flavour].pop() if self._idle[flavour] else None
        if worker is not None and worker.n_runs < self._runs_per_worker:
            return worker
        if worker is not None:
            self._discard(worker)
        worker, _ = prove(self.level, self.level, flavour, hash_seed=self._hash_seed)
        with self._lock:
            self._workers.add(worker)
        if self._closed:  # meanwhile, so that nobody else would close this one
            self._discard(worker)
            raise SandboxError("the sandbox pool is closed")
        return worker

    def _discard(self, worker: Worker) -> None:
        worker.close()
        with self._lock:
            self._workers.discard(worker)


class _Place:
    """A run's place among those that compute; while it only waits, somebody else may have it."""

    def __init__(self, places: threading.Semaphore, waiting: threading.Semaphore) -> None:
        self._places, self._waiting = places, waiting
        places.acquire()

    def lend(self) -> None:
        """Let another run take the place, if not too many wait already."""
        if self._waiting.acquire(blocking=False):
            self._places.release()
            self._places = self._waiting

    def leave(self) -> None:
        """Free the place."""
        self._places.release()


def _fault_of(text: object) -> str:
    if not isinstance(text, str):
        return f"{type(text).__name__}, not text"
    return "" if text.strip() else "empty"


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
