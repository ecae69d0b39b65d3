"""Waits for one run to end, within its limits, and ends it for sure."""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from typing import Any

from codefavor.sandbox import resident
from codefavor.sandbox.child import Child
from codefavor.sandbox.jail import Jail

_LOOK_AT_FILES_S = 0.1


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, all threads: its clock's id is made of the process id."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


class Watch:
    """One run: the process of the program and that of the tests, which may be one.

    `shared` is the control socket of a resident tests' process, None for one of its own.
    """

    def __init__(self, job: dict[str, Any], program: Child, tests: Child, shared: Any) -> None:
        self.started = time.monotonic()
        self.job, self.program = job, program
        self.stopped = ""
        self.tests_ended = False
        self.last_word = b""
        self.use(tests, shared)

    def use(self, tests: Child, shared: Any) -> None:
        """Take another process for that of the tests."""
        self.tests, self.shared = tests, shared
        self._cpu_before = cpu_seconds(tests.pid) if shared is not None else 0.0

    def tests_cpu(self) -> float:
        """CPU seconds that the tests have used in this run."""
        return cpu_seconds(self.tests.pid) - self._cpu_before

    def wait(self, control: Any, jail: Jail) -> None:
        """Return when the tests are done or refused, or a limit is reached (`stopped`)."""
        poller = select.poll()
        asked, done = control.fileno(), self.tests.pidfd
        said = self.shared.fileno() if self.shared is not None else -1
        for fd in (asked, done, said):
            if fd >= 0:
                poller.register(fd, select.POLLIN)
        deadline = self.started + self.job["wall_s"]
        while True:
            pause = self._pause(deadline, jail)
            if self.stopped:
                return
            events = dict(poller.poll(int(pause * 1000) + 1))
            if said in events:
                # Nothing said means that the process died.
                self.last_word = self.shared.recv(16)
                self.tests_ended = not self.last_word
                return
            if done in events:
                self.tests_ended = True
                return
            if asked in events:
                if control.recv(16) == b"":
                    self._give_up()
                self.stopped = "output"
                return

    def _pause(self, deadline: float, jail: Jail) -> float:
        """Seconds until the next look is due; sets `stopped` at a limit."""
        left = deadline - time.monotonic()
        cpu_s: float = self.job["cpu_s"]
        spent = max(cpu_seconds(self.program.pid), self.tests_cpu())
        if left <= 0:
            self.stopped = "wall"
        elif spent >= cpu_s:
            self.stopped = "cpu"
        # Sooner than this the CPU limit cannot be reached, even on all cores at once.
        pause: float = min(left, max((cpu_s - spent) / self.job["cores"], 0.005))
        if jail.level != "L3":
            pause = min(pause, _LOOK_AT_FILES_S)
            if not self.stopped and jail.overflows(self.program.pid):
                self.stopped = "files"
        return pause

    def _give_up(self) -> None:
        os.kill(self.program.pid, signal.SIGKILL)
        os.kill(self.tests.pid, signal.SIGKILL)
        os._exit(0)

    def reap(self) -> dict[str, Any]:
        """End both processes, but a resident one that stays; the facts of the run."""
        died_first = bool(select.select([self.program.pidfd], [], [], 0)[0])
        tests_cpu, tests_status = self.tests_cpu(), 0
        if self.stopped:
            signal.pidfd_send_signal(self.tests.pidfd, signal.SIGKILL)
        if not died_first:
            signal.pidfd_send_signal(self.program.pidfd, signal.SIGKILL)
        _, program_status, program_usage = os.wait4(self.program.pid, 0)
        os.close(self.program.pidfd)
        if self.tests.pid == self.program.pid:
            tests_status, tests_cpu = program_status, 0.0
        elif not self.tests_stay():
            _, tests_status, usage = os.wait4(self.tests.pid, 0)
            os.close(self.tests.pidfd)
            tests_cpu = usage.ru_utime + usage.ru_stime - self._cpu_before
        own = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "stopped": self.stopped,
            "died_first": died_first,
            "program_status": program_status,
            "tests_status": tests_status,
            "program_cpu": program_usage.ru_utime + program_usage.ru_stime,
            "tests_cpu": max(tests_cpu, 0.0),
            "peak_bytes": program_usage.ru_maxrss * 1024,
            "seconds": time.monotonic() - self.started,
            "own_bytes": own.ru_maxrss * 1024,
            "own_cpu": own.ru_utime + own.ru_stime,
        }

    def tests_stay(self) -> bool:
        """Whether the tests' process is ready for another run."""
        return not self.stopped and self.last_word == resident.STAYS
