"""Proves how tight the jail is, by trying to get out of it with a real job."""

from __future__ import annotations

import os
import platform
import secrets
import socket
import sys
import tempfile
from dataclasses import dataclass, field

from codefavor.errors import SandboxError
from codefavor.sandbox.conclude import conclude
from codefavor.sandbox.outcome import Job, LEVELS, Limits
from codefavor.sandbox.worker import JailRefused, Worker, WorkerGone

_LIMITS = Limits(cpu_s=10.0, wall_s=60.0, memory_bytes=256 << 20, file_bytes=1 << 20)

# Every probe returns what it got hold of; the tests, outside, expect "" everywhere.
_PROBE = """
import os, signal, socket

def attempt(action):
    try:
        return str(action())
    except BaseException as error:
        return "" if not isinstance(error, NameError) else "NameError"

def read_file(path):
    return attempt(lambda: open(path, "rb").read(16))

def write_file(path):
    return attempt(lambda: open(path, "r+b").write(b"x"))

def connect(port):
    def action():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as link:
            link.settimeout(2)
            link.connect(("127.0.0.1", port))
            return "connected"
    return attempt(action)

def send_datagram(port):
    def action():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            return link.sendto(b"x", ("127.0.0.1", port))
    return attempt(action)

def fork():
    def action():
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        return pid
    return attempt(action)

def signal_parent(pid):
    def action():
        os.kill(pid, 0)
        return "signalled"
    return attempt(action)

def take_memory():
    return attempt(lambda: len(bytearray(300 << 20)))

def fill_file():
    def action():
        with open("filling", "wb") as handle:
            for _ in range(4):
                handle.write(bytes(1 << 20))
                handle.flush()
        return "written"
    return attempt(action)

def run_command():
    return attempt(lambda: os.posix_spawn("/bin/true", ["true"], {}))

def read_variable(name):
    return os.environ.get(name, "")
"""

_LAYERS_NEEDED = {
    "read_file": ("L1", "a file outside the jail could be read"),
    "write_file": ("L1", "a file outside the jail could be written"),
    "connect": ("L1", "a TCP connection to this machine was possible"),
    "send_datagram": ("L1", "a datagram could be sent"),
    "fork": ("L1", "the program could fork"),
    "signal_parent": ("L1", "another process could be signalled"),
    "run_command": ("L1", "a command could be started"),
    "take_memory": ("L0", "the memory limit did not hold"),
    "fill_file": ("L0", "the file size limit did not hold"),
    "read_variable": ("L0", "a variable of the caller's environment was visible"),
}


@dataclass(frozen=True)
class Proof:
    """The proven level, its layers, and why nothing higher was reached."""

    level: str
    layers: tuple[str, ...]
    landlock_abi: int
    kernel: str
    reasons: tuple[str, ...] = field(default=())


def prove(required: str, highest: str = "L3", flavour: str = "lean") -> tuple[Worker, Proof]:
    """Start a worker at the highest level this system proves, at least `required`.

    Raises SandboxError with what failed at each level and what to do about it.
    """
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        raise SandboxError(_no_linux())
    reasons: list[str] = []
    for level in reversed(LEVELS[LEVELS.index(required) : LEVELS.index(highest) + 1]):
        with _Variable() as variable:
            try:
                worker = Worker(flavour, level)
            except JailRefused as error:
                reasons.append(str(error))
                continue
            failures = _try_out(worker, variable)
        reached = _level_of(worker.level, failures)
        reasons += [f"level {level}: {failure}" for failure in failures.values()]
        if LEVELS.index(reached) >= LEVELS.index(required):
            layers = tuple(worker.facts["layers"])
            abi = int(worker.facts["abi"])
            worker.level = reached
            return worker, Proof(reached, layers, abi, platform.release(), tuple(reasons))
        worker.close()
    raise SandboxError(
        f"the sandbox reaches no level {required} here: {'; '.join(reasons)}. {remedy(reasons)}"
    )


def _level_of(built: str, failures: dict[str, str]) -> str:
    levels = [_LAYERS_NEEDED[name][0] for name in failures]
    return min([built, *levels])


def _try_out(worker: Worker, variable: str) -> dict[str, str]:
    """What a probing program got hold of: {probe: what that means}."""
    token = secrets.token_hex(8)
    with tempfile.NamedTemporaryFile("w", prefix="canary-") as canary, _Listener() as listener:
        canary.write(token)
        canary.flush()
        arguments = {
            "read_file": repr(canary.name),
            "write_file": repr(canary.name),
            "connect": str(listener.port),
            "send_datagram": str(listener.port),
            "signal_parent": str(os.getpid()),
            "read_variable": repr(variable),
        }
        tests = "\n".join(
            f"assert {name}({arguments.get(name, '')}) == ''" for name in _LAYERS_NEEDED
        )
        try:
            job = Job(_PROBE, tests, "", "", "split", tuple(_LAYERS_NEEDED))
            report = worker.run(job, _LIMITS, lambda: None)
        except WorkerGone as error:
            worker.close()
            raise SandboxError(f"the sandbox failed its self-test: {error}") from error
        result = conclude(report, _LIMITS, worker.level, "split")
        was_touched = listener.was_reached() or os.path.getsize(canary.name) != len(token)
    if len(result.asserts) != len(_LAYERS_NEEDED):
        worker.close()
        raise SandboxError(f"the sandbox failed its self-test: {result.outcome}: {result.error}")
    names = list(_LAYERS_NEEDED)
    failures = {
        name: _LAYERS_NEEDED[name][1]
        for name, held in zip(names, result.asserts, strict=False)
        if not held
    }
    if was_touched:
        failures["connect"] = "a canary outside the jail was reached"
    return failures


class _Variable:
    """A variable of our environment that nothing in a jail may see."""

    def __enter__(self) -> str:
        self._name = f"CODEFAVOR_CANARY_{secrets.token_hex(8)}"
        os.environ[self._name] = "seen"
        return self._name

    def __exit__(self, *_: object) -> None:
        os.environ.pop(self._name, None)


class _Listener:
    """A TCP socket that nothing in a jail may reach."""

    def __enter__(self) -> _Listener:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(1)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def was_reached(self) -> bool:
        """Whether anybody connected."""
        try:
            link, _ = self._socket.accept()
        except BlockingIOError:
            return False
        link.close()
        return True


def _no_linux() -> str:
    return (
        f"the sandbox needs Linux on x86-64 or aarch64, this is {sys.platform} on "
        f"{platform.machine()}; run CodeFavor in a Linux container or virtual machine"
    )


def remedy(reasons: list[str]) -> str:
    """What the user can do on this system."""
    text = " ".join(reasons)
    advice: list[str] = []
    switch = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
    if os.path.exists(switch) and _read(switch) == "1":
        advice.append(
            "AppArmor refuses user namespaces (Ubuntu 24.04): "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if _read("/proc/sys/user/max_user_namespaces") == "0":
        advice.append(
            "user namespaces are switched off: sudo sysctl user.max_user_namespaces=15000"
        )
    if _read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        advice.append("sudo sysctl kernel.unprivileged_userns_clone=1")
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        advice.append(
            "in a container, start it with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined (or a profile that allows unshare and mount)"
        )
    if "Landlock" in text:
        advice.append("Landlock needs Linux 5.13 or newer, with landlock in the lsm= list")
    advice.append("`codefavor sandbox check` shows every layer")
    return "What helps: " + "; ".join(advice)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read().strip()
    except OSError:
        return ""
