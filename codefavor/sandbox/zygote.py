"""The process that forks a program and its tests for every job, and kills both for sure.

It never sees a program, a test or a verdict: they travel in file descriptors that only the
forked processes read, so nothing of one job can be found in the memory of the next.
"""

from __future__ import annotations

import _socket
import gc
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from codefavor.sandbox import child, resident, together
from codefavor.sandbox.child import Child, Descriptors
from codefavor.sandbox.jail import Jail
from codefavor.sandbox.watch import Watch

_N_JOB_FDS = 4
_KILL = b"K"


class _Resident(NamedTuple):
    """A tests' process that serves many jobs under the same terms, and its control socket."""

    child: Child
    control: Any
    terms: tuple[int, ...]

    def offer(self, job: dict[str, Any], fds: Sequence[int]) -> bool:
        """Hand over a job; False if the process is gone."""
        packed = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)]
        try:
            self.control.sendmsg([json.dumps(job).encode()], rights)
        except OSError:
            return False
        return True

    def end(self) -> None:
        """Kill the process."""
        signal.pidfd_send_signal(self.child.pidfd, signal.SIGKILL)
        os.waitpid(self.child.pid, 0)
        os.close(self.child.pidfd)
        self.control.close()


class _Zygote:
    """Serves jobs one at a time; `control` is the pool's end."""

    def __init__(self, control: Any, jail: Jail, trouble: int) -> None:
        self._control, self._jail, self._trouble = control, jail, trouble
        self._resident: _Resident | None = None

    def serve_forever(self) -> NoReturn:
        """Run jobs until the control socket closes."""
        while True:
            data, descriptors = resident.receive(self._control)
            if not data:
                os._exit(0)
            if data == _KILL:
                continue
            report = self._serve(json.loads(data), descriptors)
            failure = self._read_trouble()
            if failure:
                report["infra"] = failure
            self._control.send(json.dumps(report).encode())

    def _read_trouble(self) -> str:
        try:
            return os.read(self._trouble, 4096).decode("utf-8", "replace")
        except BlockingIOError:
            return ""

    def _serve(self, job: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        report: dict[str, Any]
        try:
            if len(descriptors) != _N_JOB_FDS:
                return {"infra": "descriptors were lost on the way"}
            report = self._run(job, *descriptors)
        except OSError as error:
            return {"infra": f"{type(error).__name__}: {error}"}
        finally:
            for fd in descriptors:
                os.close(fd)
        try:
            self._jail.after_job()
        except OSError as error:
            report["stale"] = f"{type(error).__name__}: {error}"
        return report

    def _run(
        self, job: dict[str, Any], code_fd: int, tests_fd: int, output_fd: int, verdict_fd: int
    ) -> dict[str, Any]:
        theirs, ours = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
        try:
            tests_fds = Descriptors(ours.fileno(), tests_fd, verdict_fd)
            if job["lane"] == "together":
                both = child.fork(self._jail, job, "together", tests_fds._replace(output=output_fd))
                watch = Watch(job, both, both, None)
            else:
                tests, shared = self._tests_process(job, tests_fds)
                fds = Descriptors(theirs.fileno(), code_fd, output=output_fd)
                program = child.fork(self._jail, job, "program", fds)
                watch = Watch(job, program, tests, shared)
            # From now on the tests notice when the program's process is gone.
            theirs.close()
            watch.wait(self._control, self._jail)
        finally:
            theirs.close()
            ours.close()
        return self._finish(watch)

    def _finish(self, watch: Watch) -> dict[str, Any]:
        report = watch.reap()
        serving = self._resident
        if serving is not None and serving.control is watch.shared and not watch.tests_stay():
            serving.control.close()
            self._resident = None
        return report

    def _tests_process(self, job: dict[str, Any], fds: Descriptors) -> tuple[Child, Any]:
        """The process that judges a job, and its control socket if it is a shared one."""
        # At L1 a program could meddle with any process of its user: nothing may outlive a run.
        if job["may_share"] and self._jail.level != "L1":
            terms = (job["memory_bytes"], job["file_bytes"], job["threads"])
            serving = self._serving(job, terms)
            if serving.offer({"cpu_s": job["cpu_s"], "reply_bytes": job["reply_bytes"]}, fds[:3]):
                return serving.child, serving.control
            serving.end()
            self._resident = None
        return child.fork(self._jail, job, "tests", fds), None

    def _serving(self, job: dict[str, Any], terms: tuple[int, ...]) -> _Resident:
        serving = self._resident
        if serving is not None and serving.terms != terms:
            serving.end()
            serving = None
        if serving is None:
            theirs, ours = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0)
            forked = child.fork(self._jail, job, "resident", Descriptors(theirs.fileno()))
            theirs.close()
            serving = self._resident = _Resident(forked, ours, terms)
        return serving


def main() -> NoReturn:
    """Serve jobs on the control socket until it closes."""
    control = _socket.socket(fileno=child.reserve_numbers(int(sys.argv[1])))
    sys.argv[:] = sys.orig_argv[:] = [""]
    config = json.loads(control.recv(1 << 20))
    jail = Jail(config)
    try:
        jail.enter(lambda word: _ask_parent(control, word))
        sys.path.extend(config["site"])
        for name in config["preload"]:
            try:
                __import__(name)
            except ImportError:
                continue
        if "pytest" in config["preload"]:
            together.prepare()
        facts = jail.prepare()
    except OSError as error:
        control.send(json.dumps({"error": f"{error.strerror or error}"}).encode())
        os._exit(1)
    trouble, trouble_end = os.pipe2(os.O_NONBLOCK)
    os.dup2(trouble_end, child.TROUBLE_FD)
    os.close(trouble_end)
    for name in [name for name in sys.modules if name.partition(".")[0] == "codefavor"]:
        del sys.modules[name]
    # The collector must not touch (and so copy) the pages that all children share.
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"ready": True, "facts": facts}).encode())
    _Zygote(control, jail, trouble).serve_forever()


def _ask_parent(control: Any, word: str) -> None:
    control.send(json.dumps({"ask": word}).encode())
    if control.recv(64) != b"done":
        os._exit(1)
