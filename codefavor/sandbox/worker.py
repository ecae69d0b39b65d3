"""The pool's end of one zygote: start it, hand it jobs, read verdicts, end it for sure."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codefavor.errors import SandboxError
from codefavor.sandbox.allowed import site_folders
from codefavor.sandbox.kernel import held_capabilities
from codefavor.sandbox.mounts import empty_directory
from codefavor.sandbox.outcome import Job, Limits, read_verdict

_log = logging.getLogger(__name__)
_BOOT = (
    "import sys, types\n"
    "sys.path.remove('')\n"
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
_LONGEST_MESSAGE = 1 << 16
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


class WorkerGone(SandboxError):
    """The zygote died or does not answer; it has to be replaced."""


class JailRefused(SandboxError):
    """This system refuses a part of the jail."""


class Worker:
    """One zygote of one flavour, in the jail of one level; `emulate` as in `Jail`, for tests."""

    def __init__(
        self,
        flavour: str,
        level: str,
        *,
        emulate: dict[str, Any] | None = None,
        hash_seed: int = 0,
    ) -> None:
        self.flavour, self.level = flavour, level
        self.n_runs, self.cpu_seconds = 0, 0.0
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = self._spawn(theirs.fileno(), hash_seed)
        except OSError as error:
            self._control.close()
            raise SandboxError(f"{sys.executable} cannot be started: {error}") from error
        self.pid = self._process.pid
        self._folder = ""
        try:
            if level != "L3":
                self._folder = os.path.realpath(tempfile.mkdtemp(prefix="codefavor-"))
            self.facts = self._introduce(emulate or {})
        except BaseException:
            # A worker that did not come up must leave no process behind, whatever stopped it.
            self.close()
            raise

    def _spawn(self, fd: int, hash_seed: int) -> subprocess.Popen[bytes]:
        # A zygote that breaks says so on the caller's standard error; nothing else writes there.
        # Not -I, with which an interpreter would draw its hash seed: a program that returns a set
        # as a list would pass in one pool and fail in the next. The environment is ours alone.
        command = [sys.executable, "-s", "-S", "-B", "-X", "utf8", "-c", _BOOT, str(fd)]
        return subprocess.Popen(
            [*command, str(_PACKAGE)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**_environment(), "PYTHONHASHSEED": str(hash_seed)},
            cwd="/",
            pass_fds=(fd,),
            start_new_session=True,
        )

    def _introduce(self, emulate: dict[str, Any]) -> dict[str, Any]:
        """Tell the zygote about its jail; what that consists of."""
        ids = _spare_ids(self.pid)
        work = os.path.join(self._folder, "work")
        if self._folder:
            os.chmod(self._folder, 0o711)
            os.mkdir(work)
        config = {
            "level": self.level,
            "ids": ids,
            "cores": os.cpu_count() or 1,
            "readable": readable_paths(),
            "site": site_folders(),
            "preload": FLAVOURS[self.flavour],
            "work": work,
            **emulate,
        }
        self._send(json.dumps(config).encode())
        message = self._receive(_START_S)
        if "ask" in message:
            self._map_ids(ids)
            self._send(b"done")
            message = self._receive(_START_S)
        if "error" in message:
            raise JailRefused(f"level {self.level}: {message['error']}")
        facts: dict[str, Any] = message["facts"]
        return facts

    def _map_ids(self, ids: list[int]) -> None:
        """As root: give the jail ids of its own, so that limits per user count and hold."""
        for name, first in zip(("uid_map", "gid_map"), ids, strict=True):
            try:
                # Buffered files swallow the error that the kernel reports on this write.
                with open(f"/proc/{self.pid}/{name}", "wb", buffering=0) as handle:
                    handle.write(f"0 {first} 4".encode())
            except OSError as error:
                raise JailRefused(f"level {self.level}: {name}: {error.strerror}") from error

    def close(self) -> None:
        """Kill the zygote and everything under it; free its directory."""
        self._process.kill()  # before it hears that nobody is there, and removes the directory too
        self._process.wait()
        self._control.close()
        if self._folder:
            _remove_directory(self._folder)

    def run(self, job: Job, limits: Limits, on_idle: Callable[[], None]) -> Report:
        """Run one job; raises WorkerGone if the zygote fails.

        `on_idle` is called at most once, when the job waits for something instead of computing.
        """
        if job.code:
            # No verdict is larger than the pipe, so nobody waits for anybody to read it.
            verdict, written = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        else:  # there is no program, and what is said may be long
            verdict = _memory_file("")
            written = os.dup(verdict)
        fds = [*(_memory_file(json.dumps(source)) for source in job.sources()), written]
        try:
            terms = {**vars(limits), "lane": job.lane, "may_share": job.may_share}
            self._send(json.dumps(terms).encode(), fds)
            facts = self._receive(limits.wall_s + _GRACE_S)
            if "idle" in facts:
                on_idle()
                facts = self._receive(limits.wall_s + _GRACE_S)
            self.n_runs += 1
            self.cpu_seconds = facts["cpu_s"]
            if facts["infra"]:
                raise WorkerGone(facts["infra"])
            try:
                size = os.fstat(verdict).st_size  # 0 of a pipe
                said = os.pread(verdict, size, 0) if size else os.read(verdict, _LONGEST_MESSAGE)
            except BlockingIOError:  # nothing: all writers are dead by now, or will not write
                said = b""
            return Report(facts, read_verdict(said))
        finally:
            for fd in (verdict, *fds):
                os.close(fd)

    def _send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self._control, [data], fds)
        except OSError as error:
            raise WorkerGone(f"the zygote is gone: {error.strerror}") from error

    def _receive(self, seconds: float) -> dict[str, Any]:
        self._control.settimeout(seconds)
        try:
            data = self._control.recv(_LONGEST_MESSAGE)
        except OSError as error:
            raise WorkerGone(f"the zygote does not answer: {error}") from error
        if not data:
            raise WorkerGone("the zygote died")
        message: dict[str, Any] = json.loads(data)
        return message


def _remove_directory(path: str) -> None:
    # Not shutil: a program may have nested more deeply than Python can recurse.
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(20):
        try:
            empty_directory(top)
            os.rmdir(path)
            break
        except OSError:
            time.sleep(0.05)  # what the zygote had forked is still dying
    else:
        _log.warning("%s could not be removed", path)
    os.close(top)


def _environment() -> dict[str, str]:
    """The whole environment of the zygote: nothing of the caller's but library paths."""
    threads = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "RAYON")
    names = {f"{name}_NUM_THREADS": "1" for name in threads}
    names.update(LANG="C.UTF-8", TZ="UTC", PATH="/usr/bin:/bin")
    # An arena for every thread would reserve 64 MiB each and use up the memory limit.
    names["MALLOC_ARENA_MAX"] = "1"
    if "LD_LIBRARY_PATH" in os.environ:
        names["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return names


def readable_paths() -> list[str]:
    """The only paths a program may read: interpreter, libraries, packages, time zones."""
    base = sys.base_prefix
    wanted = [
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")),
        *site_folders(),
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
