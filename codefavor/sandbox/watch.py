"""Waits for one run to end, within its limits, and ends it for sure."""

from __future__ import annotations

import math
import os
import select
import time
from typing import Any

from codefavor.sandbox import resident
from codefavor.sandbox.child import Child
from codefavor.sandbox.jail import Jail

_LOOK_AT_FILES_S = 0.1
# What the tests may take to count their checks once the program has been stopped.
_GRACE_S = 5.0
# A run that has waited so long without computing gives up its place among the busy ones.
_IDLE_S, _IDLE_SHARE = 1.0, 0.2


class Watch:
    """One run: the process of the program and that of the tests, which may be one."""

    def __init__(
        self, job: dict[str, Any], program: Child, tests: Child, control: Any, jail: Jail
    ) -> None:
        self.job, self.program, self.tests = job, program, tests
        self._control, self._jail = control, jail
        self.stopped = ""
        self.tests_stay = self._tests_end = False
        self._started = time.monotonic()
        self._deadline: float = self._started + job["wall_s"]
        self._next_look = self._started + _LOOK_AT_FILES_S
        self._cpu_before = tests.cpu_seconds()
        self._n_output = 0
        self._is_told = False

    def wait(self) -> None:
        """Return when the tests are done, or have had their time after a limit was reached.

        At a limit only the program is killed: its tests go on, so that every check is counted.
        """
        poller = select.poll()
        said = -1 if self.tests is self.program else self.tests.control.fileno()
        for fd in (self._control.fileno(), self.program.output, self.tests.pidfd, said):
            if fd >= 0:
                poller.register(fd, select.POLLIN)
        while (pause := self._look()) >= 0:
            ready = dict(poller.poll(math.ceil(1000 * pause)))
            if self._control.fileno() in ready:
                self.program.kill()  # the caller has gone; the tests die with this process
                self.program.reap()
                self._jail.leave()
            if self.program.output in ready and not self._drain():
                poller.unregister(self.program.output)
            if said in ready:
                self.tests_stay = self.tests.control.recv(16) == resident.STAYS
            if said in ready or self.tests.pidfd in ready:
                self._tests_end = not self.tests_stay
                return

    def _drain(self) -> int:
        """Count and throw away what was printed; 0 when nothing more can come."""
        null = 0  # the zygote's standard input, and nobody reads what is written there
        n_bytes = os.splice(self.program.output, null, 1 << 16)
        self._n_output += n_bytes
        if self._n_output > self.job["output_bytes"]:
            self._stop("output")
        return n_bytes

    def _stop(self, why: str) -> None:
        if not self.stopped:
            self.stopped = why
            self.program.kill()
            self._deadline = time.monotonic() + _GRACE_S

    def _tests_cpu(self) -> float:
        return self.tests.cpu_seconds() - self._cpu_before

    def _look(self) -> float:
        """Enforce the limits; seconds until they have to be looked at again, below 0 at the end."""
        now = time.monotonic()
        cpu_s = float(self.job["cpu_s"])
        tests_cpu = self._tests_cpu()
        spent = max(self.program.cpu_seconds(), tests_cpu)
        if not self.stopped:
            if now >= self._deadline:
                self._stop("wall")
            elif spent >= cpu_s:
                self._stop("cpu")
            elif self._jail.level != "L3" and now >= self._next_look:
                self._next_look = now + _LOOK_AT_FILES_S
                if self._jail.overflows(self.program.pid, self.job["file_bytes"]):
                    self._stop("files")
        if tests_cpu >= cpu_s or now >= self._deadline:
            return -1.0
        pause = self._deadline - now
        if self.stopped:
            return pause
        if not self._is_told:
            pause = min(pause, _IDLE_S)
            if now - self._started > _IDLE_S:
                self._is_told = True
                if spent < _IDLE_SHARE * (now - self._started):
                    self._control.send(b'{"idle": true}')
        if self._jail.level != "L3":
            pause = min(pause, _LOOK_AT_FILES_S)
        # Sooner than this the CPU limit cannot be reached, even on all cores at once.
        return min(pause, max((cpu_s - spent) / self._jail.n_cores, 0.005))

    def conclude(self) -> dict[str, Any]:
        """End both processes, but one of tests that stays; the facts of the run."""
        tests_cpu = self._tests_cpu()
        self.program.kill()
        status, usage = self.program.reap()
        while self._drain():
            continue
        facts: dict[str, Any] = {
            "stopped": self.stopped,
            "program_status": status,
            "tests_status": status if self.tests is self.program else 0,
            "program_cpu": usage.ru_utime + usage.ru_stime,
            "tests_cpu": 0.0 if self.tests is self.program else tests_cpu,
            "peak_bytes": usage.ru_maxrss * 1024,
            "infra": self.program.close(),
        }
        if self.tests is not self.program and not self.tests_stay:
            if not self._tests_end:
                self.tests.kill()
            facts["tests_status"], usage = self.tests.reap()
            facts["tests_cpu"] = usage.ru_utime + usage.ru_stime - self._cpu_before
            facts["infra"] += self.tests.close()
        return {**facts, "seconds": time.monotonic() - self._started}
