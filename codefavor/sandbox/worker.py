"""The pool's end of one zygote: start it, hand it jobs, read verdicts, end it for sure."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.errors import SandboxError
from codefavor.sandbox.kernel import held_capabilities
from codefavor.sandbox.mounts import empty_directory
from codefavor.sandbox.outcome import Job, Limits

_log = logging.getLogger(__name__)
_BOOT = (
    "import sys, types\n"
    "top = sys.argv[2]\n"
    "for name, path in (('codefavor', top), ('codefavor.sandbox', top + '/sandbox')):\n"
    "    module = sys.modules[name] = types.ModuleType(name)\n"
    "    module.__path__ = [path]\n"
    "from codefavor.sandbox.zygote import main\n"
    "main()\n"
)
_PACKAGE = Path(__file__).resolve().parent.parent
_START_S = 60.0
# Besides a busy machine: emptying the work directory of a program that filled it.
_GRACE_S = 20.0
_MOST_VERDICT = 1 << 20
_THREADS = 64
_CHANGES_IDS = 1 << 0 | 1 << 6 | 1 << 7  # CAP_CHOWN, CAP_SETGID, CAP_SETUID
# Without `random` and `threading`: what they do after every fork doubles its cost.
_STANDARD = ("typing", "math", "re", "collections", "itertools", "functools", "heapq", "bisect",
             "string", "datetime", "copy", "operator")  # fmt: skip
FLAVOURS: dict[str, tuple[str, ...]] = {
    "lean": _STANDARD,
    "pytest": (*_STANDARD, "unittest", "pytest"),
    "numpy": (*_STANDARD, "numpy"),
    "heavy": (*_STANDARD, "numpy", "pandas", "scipy"),
}


@dataclass
class Report:
    """What the zygote and the tests' process said about one job."""

    facts: dict[str, Any]
    verdict: dict[str, Any] | None
    output_bytes: int = 0


class WorkerGone(SandboxError):
    """The zygote died or does not answer; it has to be replaced."""


class JailRefused(SandboxError):
    """This system refuses a part of the jail."""


class Worker:
    """One zygote of one flavour, in the jail of one level."""

    def __init__(self, flavour: str, level: str, *, emulate: dict[str, Any] | None = None) -> None:
        self.flavour, self.level = flavour, level
        self.n_runs = 0
        self.facts: dict[str, Any] = {}
        self.start_bytes = 0
        self.cpu_seconds = 0.0
        self._jobs_cpu = 0.0
        self._own_bytes = 0
        self._work = tempfile.mkdtemp(prefix="codefavor-") if level != "L3" else ""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the worker
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = self._spawn(theirs)
            self.pid = self._process.pid
        finally:
            theirs.close()
        try:
            self._introduce(emulate or {})
        except BaseException:
            # A worker that did not come up must leave no process behind, whatever stopped it.
            self.close()
            raise

    # -- starting and ending --------------------------------------------------------------

    def _spawn(self, control: socket.socket) -> subprocess.Popen[bytes]:
        fd = control.fileno()
        command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _BOOT, str(fd)]
        return subprocess.Popen(
            [*command, str(_PACKAGE)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env=_environment(),
            cwd="/",
            pass_fds=(fd,),
            start_new_session=True,
        )

    def _introduce(self, emulate: dict[str, Any]) -> None:
        self._ids = _spare_ids(self._process.pid)
        config = {
            "level": self.level,
            "ids": self._ids,
            "readable": readable_paths(),
            "site": site_paths(),
            "preload": FLAVOURS[self.flavour],
            "work": self._make_work(),
            **emulate,
        }
        self._send(json.dumps(config).encode(), [])
        deadline = time.monotonic() + _START_S
        while True:
            message = self._receive(deadline)
            if message.get("ask") == "map":
                self._map_ids()
                self._send(b"done", [])
                continue
            if "error" in message:
                raise JailRefused(f"level {self.level}: {message['error']}")
            self.facts = message["facts"]
            return

    def _make_work(self) -> str:
        if not self._work:
            return ""
        os.chmod(self._work, 0o711)
        path = os.path.join(self._work, "work")
        os.mkdir(path)
        return path

    def _map_ids(self) -> None:
        """As root: give the jail ids of its own, so that limits per user count and hold."""
        for name, first in zip(("uid_map", "gid_map"), self._ids, strict=False):
            try:
                fd = os.open(f"/proc/{self._process.pid}/{name}", os.O_WRONLY)
            except OSError as error:
                raise JailRefused(f"level {self.level}: {name}: {error.strerror}") from error
            try:
                os.write(fd, f"0 {first} 4".encode())
            except OSError as error:
                raise JailRefused(f"level {self.level}: {name}: {error.strerror}") from error
            finally:
                os.close(fd)

    def close(self) -> None:
        """Kill the zygote and everything under it; free its directory."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._log.close()
        if self._work:
            _remove_directory(self._work)

    def is_worn(self, most_runs: int, most_growth: int) -> bool:
        """Whether the zygote has served long enough or has grown."""
        return self.n_runs >= most_runs or self._own_bytes > self.start_bytes + most_growth

    # -- jobs -----------------------------------------------------------------------------

    def run(self, job: Job, limits: Limits, on_idle: Callable[[], None]) -> Report:
        """Run one job; raises WorkerGone if the zygote fails.

        `on_idle` is called at most once, when the job waits for something instead of computing.
        """
        output_read, output_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        verdict_read, verdict_write = os.pipe2(os.O_CLOEXEC)
        fds = [output_read, output_write, verdict_read, verdict_write]
        try:
            # Only this end may not block; the program's end has to.
            os.set_blocking(output_write, True)
            program, tests = job.sources()
            fds.append(code_fd := _memory_file(json.dumps(program)))
            fds.append(tests_fd := _memory_file(json.dumps(tests)))
            terms = {**_terms(limits), "lane": job.lane, "may_share": job.may_share}
            self._send(json.dumps(terms).encode(), [code_fd, tests_fd, output_write, verdict_write])
            os.close(output_write)
            os.close(verdict_write)
            fds.remove(output_write)
            fds.remove(verdict_write)
            facts, n_output = self._follow(output_read, limits, on_idle)
            verdict = _read_verdict(verdict_read)
        finally:
            for fd in fds:
                os.close(fd)
        self.n_runs += 1
        self._own_bytes = facts.get("own_bytes", 0)
        self._jobs_cpu += facts.get("program_cpu", 0.0) + facts.get("tests_cpu", 0.0)
        self.cpu_seconds = self._jobs_cpu + facts.get("own_cpu", 0.0)
        self.start_bytes = self.start_bytes or self._own_bytes
        if "infra" in facts or "stale" in facts:
            raise WorkerGone(facts.get("infra") or facts.get("stale"))
        return Report(facts, verdict, n_output)

    def _follow(
        self, output: int, limits: Limits, on_idle: Callable[[], None]
    ) -> tuple[dict[str, Any], int]:
        deadline = time.monotonic() + limits.wall_s + _GRACE_S
        poller = select.poll()
        poller.register(self._control, select.POLLIN)
        poller.register(output, select.POLLIN)
        n_output, told = 0, False
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise WorkerGone("the zygote did not end a job in time")
            events = dict(poller.poll(int(left * 1000) + 1))
            if output in events:
                part = _read_some(output)
                n_output += len(part)
                if not part:
                    poller.unregister(output)
                if n_output > limits.output_bytes and not told:
                    told = True
                    self._send(b"K", [])
            if self._control.fileno() in events:
                facts = self._receive(deadline)
                if "idle" in facts:
                    on_idle()
                    continue
                while part := _read_some(output):
                    n_output += len(part)
                return facts, n_output

    def _send(self, data: bytes, fds: list[int]) -> None:
        try:
            socket.send_fds(self._control, [data], fds)
        except OSError as error:
            raise WorkerGone(f"the zygote is gone: {error.strerror}{self._tail()}") from error

    def _receive(self, deadline: float) -> dict[str, Any]:
        self._control.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            data = self._control.recv(1 << 20)
        except OSError as error:
            raise WorkerGone(f"the zygote does not answer: {error}") from error
        finally:
            self._control.settimeout(None)
        if not data:
            raise WorkerGone(f"the zygote died{self._tail()}")
        message: dict[str, Any] = json.loads(data)
        return message

    def _tail(self) -> str:
        self._log.seek(0)
        text = self._log.read()[-2000:].decode("utf-8", "replace").strip()
        return f"; it said: {text.splitlines()[-1]}" if text else ""


def _remove_directory(path: str) -> None:
    # Not shutil: a program may have nested more deeply than Python can recurse.
    for _ in range(20):
        try:
            empty_directory(path)
            os.rmdir(path)
        except OSError:
            time.sleep(0.05)  # what the zygote had forked is still dying
        else:
            return
    _log.warning("%s could not be removed", path)


def _terms(limits: Limits) -> dict[str, Any]:
    return {
        "cpu_s": limits.cpu_s,
        "wall_s": limits.wall_s,
        "memory_bytes": limits.memory_bytes,
        "file_bytes": limits.file_bytes,
        "reply_bytes": limits.reply_bytes,
        "threads": _THREADS,
        "cores": os.cpu_count() or 1,
    }


def _environment() -> dict[str, str]:
    """The whole environment of the zygote: nothing of the caller's but library paths."""
    threads = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "RAYON")
    names = {f"{name}_NUM_THREADS": "1" for name in threads}
    names.update(LANG="C.UTF-8", PYTHONHASHSEED="0", TZ="UTC", PATH="/usr/bin:/bin")
    # An arena for every thread would reserve 64 MiB each and use up the memory limit.
    names["MALLOC_ARENA_MAX"] = "1"
    if "LD_LIBRARY_PATH" in os.environ:
        names["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return names


def site_paths() -> list[str]:
    """Where installed packages lie, with symbolic links resolved."""
    found = {os.path.realpath(sysconfig.get_path(name)): None for name in ("purelib", "platlib")}
    return [path for path in found if os.path.isdir(path)]


def readable_paths() -> list[str]:
    """The only paths a program may read: interpreter, libraries, packages, time zones."""
    base = sys.base_prefix
    wanted = [
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        *(os.path.join(base, name) for name in ("lib", "lib64")),
        "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache",
        "/etc/mime.types",
    ]  # fmt: skip
    found: list[str] = []
    for path in sorted({os.path.realpath(path) for path in wanted if os.path.exists(path)}):
        if not any(path == other or path.startswith(other + "/") for other in found):
            found.append(path)
    return found


def _spare_ids(pid: int) -> list[int]:
    """The first of four user ids and of four group ids that nobody has; for a process of root.

    Empty where this process is not root, may not change its ids, or there are none to spare: a
    root without them is a user like others.
    """
    if os.geteuid() != 0 or held_capabilities() & _CHANGES_IDS != _CHANGES_IDS:
        return []
    found = []
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/self/{name}", encoding="ascii") as handle:
            ranges = [tuple(map(int, line.split())) for line in handle if line.strip()]
        start, _, length = max(ranges, key=lambda item: item[2])
        top = min(start + length, 1 << 31)
        if top - start < 8:
            return []
        found.append(top - 4 - 4 * (pid % min((top - start) // 8, 4096)))
    return found


def _memory_file(text: str) -> int:
    fd = os.memfd_create("job", os.MFD_CLOEXEC)
    view = memoryview(text.encode("utf-8", "surrogatepass"))
    while view:
        view = view[os.write(fd, view) :]
    return fd


def _read_some(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


def _read_verdict(fd: int) -> dict[str, Any] | None:
    """The one line that the tests' process wrote; all writers are dead by now or will not write."""
    data = b""
    while not data.endswith(b"\n") and len(data) < _MOST_VERDICT and (part := os.read(fd, 1 << 16)):
        data += part
    if data.count(b"\n") != 1:
        return None
    try:
        verdict = json.loads(data)
    except ValueError:
        return None
    return verdict if isinstance(verdict, dict) else None
