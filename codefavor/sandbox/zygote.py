"""The process that forks a program and its tests for every job, and kills both for sure.

It never sees a program, a test or a verdict: they travel in file descriptors that only the
forked processes read, so nothing of one job can be found in the memory of the next.
"""

from __future__ import annotations

import _socket
import gc
import json
import os
import resource
import sys
from typing import Any, NoReturn

from codefavor.sandbox import resident, together
from codefavor.sandbox.child import Child, rehearse
from codefavor.sandbox.jail import Jail
from codefavor.sandbox.watch import Watch


def _terms(job: dict[str, Any]) -> tuple[float, ...]:
    return job["cpu_s"], job["memory_bytes"], job["file_bytes"]


class _Zygote:
    """Serves jobs one at a time; `control` is the pool's end."""

    def __init__(self, control: Any, jail: Jail) -> None:
        self._control, self._jail = control, jail
        # By role: a tests' process that stays, and a program's that was forked ahead of its job.
        self._ready: dict[str, Child] = {}

    def serve_forever(self) -> NoReturn:
        """Run jobs until the control socket closes."""
        while True:
            data, descriptors = resident.receive(self._control)
            if not data:
                self._jail.leave()
            job = json.loads(data)
            try:
                report = self._run(job, *descriptors)
            except OSError as error:
                report = {"infra": f"{type(error).__name__}: {error}"}
            for fd in descriptors:
                os.close(fd)
            report["cpu_s"] = self._cpu_seconds()
            self._control.send(json.dumps(report).encode())
            # The caller goes on meanwhile. Should this fail, the run stands, and the zygote ends.
            self._jail.after_job()
            if job["lane"] != "together":
                self._ready["program"] = self._take("program", job)

    def _run(self, job: dict[str, Any], code: int, tests: int, verdict: int) -> dict[str, Any]:
        if job["lane"] == "together":
            program = judge = self._make("together", job)
            judge.offer(job, [tests, verdict])
        else:
            judge = self._take("tests", job) if job["may_share"] else self._make("tests", job)
            program = self._take("program", job)
            # Each end is held by one process alone, so that the other notices its end.
            theirs, ours = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
            judge.offer(job, [ours.fileno(), tests, verdict])
            program.offer(job, [theirs.fileno(), code])
            ours.close()
            theirs.close()
        watch = Watch(job, program, judge, self._control, self._jail)
        watch.wait()
        report = watch.conclude()
        if watch.tests_stay:
            self._ready["tests"] = judge
        return report

    def _take(self, role: str, job: dict[str, Any]) -> Child:
        """A process for a job: one that is ready for it, or a new one."""
        child = self._ready.pop(role, None)
        if child is not None and child.terms == _terms(job) and child.is_alive():
            return child
        if child is not None:
            child.kill()
            child.reap()
            child.close()
        return self._make(role, job)

    def _make(self, role: str, job: dict[str, Any]) -> Child:
        return Child(self._jail, role, _terms(job))

    def _cpu_seconds(self) -> float:
        """CPU time of this process and of everything it forked."""
        usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        used = sum(usage.ru_utime + usage.ru_stime for usage in usages)
        return used + sum(child.cpu_seconds() for child in self._ready.values())


def main() -> NoReturn:
    """Serve jobs on the control socket until it closes."""
    control = _socket.socket(fileno=int(sys.argv[1]))
    sys.argv[:] = sys.orig_argv[:] = [""]
    config = json.loads(control.recv(1 << 20))
    jail = Jail(config)

    def map_ids() -> None:
        control.send(b'{"ask": "map"}')
        if not control.recv(64):
            os._exit(1)

    try:
        jail.enter(map_ids)
        sys.path.extend(config["site"])
        for name in config["preload"]:
            try:
                __import__(name)
            except ImportError:
                continue
        if "pytest" in config["preload"]:
            together.prepare()
        rehearse()
        facts = jail.prepare()
    except OSError as error:
        control.send(json.dumps({"error": f"{error.strerror or error}"}).encode())
        os._exit(1)
    for name in [name for name in sys.modules if name.partition(".")[0] == "codefavor"]:
        del sys.modules[name]
    # The collector must not touch (and so copy) the pages that all children share.
    gc.collect()
    gc.freeze()
    control.send(json.dumps({"facts": facts}).encode())
    _Zygote(control, jail).serve_forever()
