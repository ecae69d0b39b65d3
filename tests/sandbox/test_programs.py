"""Honest programs pass, hostile ones do not and leave no trace, at every level."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from codefavor.sandbox import Limits, SandboxPool
from tests.sandbox.honest import HONEST, Honest
from tests.sandbox.hostile import HOSTILE, Hostile

HONEST_LIMITS = Limits(cpu_s=20.0, wall_s=120.0)
HOSTILE_LIMITS = Limits(cpu_s=1.0, wall_s=8.0, memory_bytes=512 << 20)
SECRET = "the canary sings"


@dataclass
class Surroundings:
    """What a hostile program would touch."""

    canary: Path
    listener: socket.socket

    def fill(self, code: str) -> str:
        """The program with the names of its targets."""
        return code.format(
            canary=str(self.canary),
            port=self.listener.getsockname()[1],
            pid=os.getpid(),
            variable="CODEFAVOR_TEST_CANARY",
        )

    def traces(self) -> list[str]:
        """What was touched."""
        found = []
        if self.canary.read_text() != SECRET or self.canary.stat().st_mode & 0o777 != 0o666:
            found.append("the canary file was changed")
        if [path.name for path in self.canary.parent.iterdir()] != [self.canary.name]:
            found.append("a file was planted")
        try:
            link, _ = self.listener.accept()
            link.close()
            found.append("somebody connected")
        except BlockingIOError:
            pass
        return found


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Surroundings]:
    folder = tmp_path / "outside"
    folder.mkdir()
    folder.chmod(0o777)
    canary = folder / "canary"
    canary.write_text(SECRET)
    canary.chmod(0o666)
    monkeypatch.setenv("CODEFAVOR_TEST_CANARY", SECRET)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        yield Surroundings(canary, listener)


def _name(case: Honest | Hostile) -> str:
    return case.name if isinstance(case, Honest) else f"{case.family}: {case.name}"


@pytest.mark.parametrize("case", HONEST, ids=_name)
def test_honest_program_passes_or_needs_the_other_lane(
    pool: SandboxPool, both_lanes: SandboxPool, case: Honest
) -> None:
    if "numpy" in case.code:
        pytest.importorskip("numpy")
    result = pool.run(case.code, case.tests, HONEST_LIMITS, entry_point=case.entry_point)
    if result.outcome == "unsupported":
        assert not result.is_evidence_of_pass
        result = both_lanes.run(case.code, case.tests, HONEST_LIMITS, entry_point=case.entry_point)
        assert result.trust == "together"
    assert result.outcome == "passed", result.error
    assert result.passed == result.total > 0


@pytest.mark.parametrize("case", HOSTILE, ids=_name)
def test_hostile_program_fails_without_a_trace(
    pool: SandboxPool, case: Hostile, surroundings: Surroundings
) -> None:
    code = surroundings.fill(case.code) if case.family == "reaching out" else case.code
    # A process for tests and one for a program may wait for the next job, before and after.
    pool.run(f"def f(x):\n    return x  # before {case.name!r}", "assert f(3) == 3", HONEST_LIMITS)
    before = _settled_children()
    result = pool.run(code, case.tests, HOSTILE_LIMITS, entry_point="f")
    assert case.allows(result.outcome), result
    assert surroundings.traces() == []
    follow_up = pool.run(
        f"def f(x):\n    return x * x  # after {case.name!r}", "assert f(3) == 9", HONEST_LIMITS
    )
    assert follow_up.outcome == "passed", follow_up.error
    deadline = time.monotonic() + 20.0
    while len(_children()) > len(before) and time.monotonic() < deadline:
        time.sleep(0.1)  # what was killed is still being reaped
    # Imports may have started a zygote that has them loaded.
    assert len(_children()) <= len(before) or "numpy" in code or "pytest" in case.tests


def _settled_children() -> set[str]:
    """All processes below this one, once no more are started."""
    found: set[str] = set()
    while len(more := _children()) > len(found):
        found = more
        time.sleep(0.05)
    return found


def _children() -> set[str]:
    """Ids of all processes below this one."""
    listing = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    parents = {}
    for line in listing.stdout.splitlines():
        pid, parent, state = line.split()[:3]
        if not state.startswith("Z"):
            parents[pid] = parent
    found = {str(os.getpid())}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            break
        found |= more
    return {pid for pid in found if pid in parents and not _is_ps(pid)}


def _is_ps(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "ps"
    except OSError:
        return True


def test_there_are_at_least_120_hostile_programs() -> None:
    assert len({(case.name, case.code, case.tests) for case in HOSTILE}) >= 120
