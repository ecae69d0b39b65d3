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
# What the tests may take to count their checks once the program has been stopped.
_GRACE_S = 5.0
# A run that has waited so long without computing gives up its place among the busy ones.
_IDLE_S, _IDLE_SHARE = 1.0, 0.2


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
        self.told_idle = False
        self.tests, self.shared = tests, shared
        self._cpu_before = cpu_seconds(tests.pid) if shared is not None else 0.0

    def tests_cpu(self) -> float:
        """CPU seconds that the tests have used in this run."""
        return cpu_seconds(self.tests.pid) - self._cpu_before

    def wait(self, control: Any, jail: Jail) -> None:
        """Return when the tests are done, or have had their time after a limit was reached.

        At a limit only the program is killed: its tests go on, so that every check is counted.
        """
        poller = select.poll()
        asked, done = control.fileno(), self.tests.pidfd
        said = self.shared.fileno() if self.shared is not None else -1
        for fd in (asked, done, said):
            if fd >= 0:
                poller.register(fd, select.POLLIN)
        self._deadline = self.started + self.job["wall_s"]
        while True:
            pause = self._pause(jail, control)
            if pause < 0:
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
                self._stop("output")

    def _stop(self, why: str) -> None:
        if not self.stopped:
            self.stopped = why
            # The pidfd tells when it is dead; it is reaped later, so its number is not reused.
            signal.pidfd_send_signal(self.program.pidfd, signal.SIGKILL)
            self._deadline = time.monotonic() + _GRACE_S

    def _pause(self, jail: Jail, control: Any) -> float:
        """Seconds until the next look is due, below 0 when nothing is left to wait for."""
        now = time.monotonic()
        cpu_s: float = self.job["cpu_s"]
        tests_cpu = self.tests_cpu()
        if self.stopped:
            # A tests' process that is busy by itself has its own CPU time, as before.
            return -1.0 if now >= self._deadline or tests_cpu >= cpu_s else self._deadline - now
        spent = max(cpu_seconds(self.program.pid), tests_cpu)
        if now >= self._deadline:
            self._stop("wall")
        elif tests_cpu >= cpu_s:
            self._stop("cpu")
            return -1.0
        elif spent >= cpu_s:
            self._stop("cpu")
        if not self.told_idle and now - self.started > _IDLE_S:
            self.told_idle = True
            if spent < _IDLE_SHARE * (now - self.started):
                control.send(b'{"idle": true}')
        # Sooner than this the CPU limit cannot be reached, even on all cores at once.
        pause: float = min(self._deadline - now, max((cpu_s - spent) / self.job["cores"], 0.005))
        if not self.told_idle:
            pause = min(pause, _IDLE_S)
        if jail.level != "L3":
            pause = min(pause, _LOOK_AT_FILES_S)
            if not self.stopped and jail.overflows(self.program.pid):
                self._stop("files")
        return max(pause, 0.0)

    def _give_up(self) -> None:
        os.kill(self.program.pid, signal.SIGKILL)
        os.kill(self.tests.pid, signal.SIGKILL)
        os._exit(0)

    def reap(self) -> dict[str, Any]:
        """End both processes, but a resident one that stays; the facts of the run."""
        died_first = bool(select.select([self.program.pidfd], [], [], 0)[0])
        tests_cpu, tests_status = self.tests_cpu(), 0
        if not self.tests_ended and not self.last_word:
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
        return self.last_word == resident.STAYS
