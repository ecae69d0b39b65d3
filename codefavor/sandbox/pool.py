"""Runs programs against tests in jails, many at a time; the sandbox's public face."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import re
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType

from codefavor.errors import ConfigError, SandboxError
from codefavor.records import Execution, content_id
from codefavor.sandbox.conclude import conclude
from codefavor.sandbox.outcome import LEVELS, Limits
from codefavor.sandbox.selftest import Proof, prove
from codefavor.sandbox.worker import Report, Worker, WorkerGone

_log = logging.getLogger(__name__)
_MOST_RUNS, _MOST_GROWTH = 5_000, 64 << 20
_MOST_REMEMBERED = 10_000
_TRIES = 3
_IMPORTS = re.compile(r"^[ \t]*(?:from|import)[ \t]+(\w+)", re.MULTILINE)
_HEAVY = frozenset(("pandas", "scipy", "sklearn", "statsmodels", "matplotlib", "torch"))


def choose_flavour(code: str, tests: str) -> str:
    """Which zygote has a program's imports loaded already: lean, numpy or heavy."""
    if "import" not in code and "import" not in tests:
        return "lean"
    names = set(_IMPORTS.findall(code)) | set(_IMPORTS.findall(tests))
    if names & _HEAVY:
        return "heavy"
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
    tries nothing above. `allow_in_process` permits `run(..., in_process=True)`, which is faster
    and lets a hostile program forge its verdict. With `dedupe`, equal jobs run once.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        required_level: str = "L2",
        highest_level: str = "L3",
        allow_in_process: bool = False,
        dedupe: bool = True,
        runs_per_worker: int = _MOST_RUNS,
    ) -> None:
        if workers < 1:
            raise ConfigError(f"the sandbox needs at least 1 worker, not {workers}")
        for level in (required_level, highest_level):
            if level not in LEVELS:
                raise ConfigError(f"unknown sandbox level {level!r}; known: {', '.join(LEVELS)}")
        self.n_workers = workers
        self._allow_in_process = allow_in_process
        self._dedupe = dedupe
        self._runs_per_worker = runs_per_worker
        self._slots: queue.LifoQueue[_Slot] = queue.LifoQueue()
        self._every = [_Slot() for _ in range(workers)]
        self._alone = _Alone()
        self._memory: OrderedDict[str, Future[Execution]] = OrderedDict()
        self._vacuous: dict[str, bool] = {}
        self._memory_lock = threading.Lock()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="sandbox")
        self._closed = False
        first, self.proof = prove(required_level, highest_level)
        self.level = self.proof.level
        self._every[0].workers["lean"] = first
        for slot in reversed(self._every):
            self._slots.put(slot)

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
        in_process: bool = False,
    ) -> Execution:
        """Run tests against a program and wait for the result.

        Raises ConfigError for what can never run; a sandbox that fails even after retries
        gives the outcome `infra_error`.
        """
        early = self._refuse(code, tests, in_process)
        if early is not None:
            return early
        limits = limits or Limits()
        if not self._dedupe:
            return self._judge(code, tests, entry_point, limits, in_process)
        key = content_id(code, tests, entry_point, repr(limits), in_process)
        with self._memory_lock:
            known = self._memory.get(key)
            mine: Future[Execution] | None = None
            if known is None:
                known = mine = self._memory[key] = Future()
                if len(self._memory) > _MOST_REMEMBERED:
                    self._memory.popitem(last=False)
        if mine is not None:
            self._fulfil(mine, key, code, tests, entry_point, limits, in_process)
        return known.result()

    async def run_async(
        self,
        code: str,
        tests: str,
        limits: Limits | None = None,
        *,
        entry_point: str = "",
        in_process: bool = False,
    ) -> Execution:
        """As `run`, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads,
            lambda: self.run(code, tests, limits, entry_point=entry_point, in_process=in_process),
        )

    def _refuse(self, code: object, tests: object, in_process: bool) -> Execution | None:
        if self._closed:
            raise SandboxError("the sandbox pool is closed")
        if in_process and not self._allow_in_process:
            raise ConfigError("in-process runs need SandboxPool(allow_in_process=True)")
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

    def _fulfil(  # noqa: PLR0917
        self,
        future: Future[Execution],
        key: str,
        code: str,
        tests: str,
        entry_point: str,
        limits: Limits,
        in_process: bool,
    ) -> None:
        try:
            result = self._judge(code, tests, entry_point, limits, in_process)
        except BaseException as error:  # noqa: BLE001  whoever waits for the same job must hear of it too
            self._forget(key)
            future.set_exception(error)
            return
        if result.outcome == "infra_error":
            self._forget(key)
        future.set_result(result)

    def _forget(self, key: str) -> None:
        with self._memory_lock:
            self._memory.pop(key, None)

    def _judge(
        self, code: str, tests: str, entry_point: str, limits: Limits, in_process: bool
    ) -> Execution:
        mode = "in_process" if in_process else "split"
        with self._alone.together():
            report, result = self._attempt(code, tests, entry_point, limits, mode)
        if result.outcome == "timeout" and report is not None and _is_borderline(report, limits):
            with self._alone.alone():
                report, result = self._attempt(code, tests, entry_point, limits, mode)
        unproven = report is not None and not (report.verdict or {}).get("proven")
        if result.is_pass and unproven and self._is_vacuous(tests, entry_point, limits, mode):
            error = "vacuous: the tests also pass on an empty program"
            return replace(result, outcome="test_error", error=error)
        return result

    def _is_vacuous(self, tests: str, entry_point: str, limits: Limits, mode: str) -> bool:
        key = content_id(tests, entry_point, mode)
        if key not in self._vacuous:
            _, result = self._attempt("pass", tests, entry_point, limits, mode)
            self._vacuous[key] = result.is_pass
        return self._vacuous[key]

    def _attempt(
        self, code: str, tests: str, entry_point: str, limits: Limits, mode: str
    ) -> tuple[Report | None, Execution]:
        trust = "in_process" if mode == "in_process" else "split"
        flavour = choose_flavour(code, tests)
        reason = ""
        for _ in range(_TRIES):
            slot = self._slots.get()
            try:
                worker = self._worker(slot, flavour)
                try:
                    report = worker.run(code, tests, entry_point, limits, mode)
                except BaseException:
                    # Whatever ended the run, the state of its worker is unknown: it must not serve.
                    self._discard(slot, flavour)
                    raise
                result = conclude(report, limits, self.level, trust)
                if result.outcome != "infra_error":
                    return report, result
                reason = result.error
            except WorkerGone as error:
                reason = str(error)
                _log.warning("a sandbox worker was replaced: %s", reason)
            finally:
                self._slots.put(slot)
        return None, Execution(outcome="infra_error", error=reason, trust=trust, level=self.level)

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


class _Alone:
    """Many runs together, or one alone: a borderline timeout is repeated on a quiet pool."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._n_running = 0
        self._n_waiting = 0

    def together(self) -> _Turn:
        """A turn beside others."""
        return _Turn(self, False)

    def alone(self) -> _Turn:
        """A turn with nobody else running."""
        return _Turn(self, True)

    def enter(self, alone: bool) -> None:
        """Wait for the turn."""
        with self._condition:
            if alone:
                self._n_waiting += 1
                self._condition.wait_for(lambda: self._n_running == 0)
                self._n_waiting -= 1
                self._n_running = -1
            else:
                self._condition.wait_for(lambda: self._n_running >= 0 and not self._n_waiting)
                self._n_running += 1

    def leave(self, alone: bool) -> None:
        """End the turn."""
        with self._condition:
            self._n_running = 0 if alone else self._n_running - 1
            self._condition.notify_all()


class _Turn:
    def __init__(self, owner: _Alone, alone: bool) -> None:
        self._owner, self._is_alone = owner, alone

    def __enter__(self) -> None:
        self._owner.enter(self._is_alone)

    def __exit__(self, *_: object) -> None:
        self._owner.leave(self._is_alone)


def _is_borderline(report: Report, limits: Limits) -> bool:
    """Whether load alone may have caused a timeout: the program was held up, or got far."""
    facts = report.facts
    spent = facts["program_cpu"] + facts["tests_cpu"]
    if facts["stopped"] == "wall":
        share = spent / max(facts["seconds"], 1e-9)
        return bool(0.02 < share < 0.8 and spent < limits.cpu_s)
    # Checks were still being finished: a little less load and it might have been done.
    return len(report.progress) >= 2 and all(report.progress)


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
