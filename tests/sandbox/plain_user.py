"""Runs every honest and hostile program once at each level; for a user without privileges."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from codefavor.errors import SandboxError
from codefavor.sandbox import Limits, SandboxPool
from tests.sandbox.escapes import ways_out
from tests.sandbox.harmless import HARMLESS, is_refused, program_of
from tests.sandbox.honest import HONEST
from tests.sandbox.hostile import HOSTILE

_HONEST = Limits(cpu_s=20.0, wall_s=120.0)
_HOSTILE = Limits(cpu_s=1.0, wall_s=8.0, memory_bytes=512 << 20)


def main(levels: tuple[str, ...] = ("L3", "L2"), word: str = "") -> int:
    """The number of defects found, at most 100; each is printed."""
    defects: list[str] = []
    for level in levels:
        try:
            pool = SandboxPool(2, required_level=level, highest_level=level, dedupe=False)
        except SandboxError as error:
            defects.append(f"{level}: {error}")
            continue
        with pool, tempfile.TemporaryDirectory() as folder:
            defects += _honest(pool, word) + _harmless(pool, word)
            defects += _hostile(pool, Path(folder), word)
    if not word:
        defects += ways_out()
    for defect in defects:
        print(defect)  # noqa: T201  a script's result
    print(f"uid {os.getuid()}, {sys.version.split()[0]}: {len(defects)} defects")  # noqa: T201
    return min(len(defects), 100)


def _honest(pool: SandboxPool, word: str) -> list[str]:
    cases = [case for case in HONEST if word in case.name and _can_run(case.code)]
    with ThreadPoolExecutor(2) as threads:
        results = threads.map(
            lambda case: pool.run(case.code, case.tests, _HONEST, entry_point=case.entry_point),
            cases,
        )
        return [
            f"{pool.level} {case.name}: {result.outcome} {result.error[:300]}"
            for case, result in zip(cases, results, strict=True)
            if result.outcome not in ("passed", "unsupported")
        ]


def _harmless(pool: SandboxPool, word: str) -> list[str]:
    found: list[str] = []
    for name, body in HARMLESS.items():
        if word not in name or is_refused(name, pool.level):
            continue
        result = pool.run(program_of(body), "assert f() == 1", _HONEST)
        if result.outcome != "passed":
            found.append(f"{pool.level} {name}: {result.outcome} {result.error[:300]}")
    return found


def _can_run(code: str) -> bool:
    return "numpy" not in code or importlib.util.find_spec("numpy") is not None


def _hostile(pool: SandboxPool, folder: Path, word: str) -> list[str]:
    canary = folder / "canary"
    canary.write_text("secret")
    mode = canary.stat().st_mode
    os.environ["CODEFAVOR_TEST_CANARY"] = "seen"
    found: list[str] = []
    cases = [case for case in HOSTILE if word in case.name and _can_run(case.code)]
    with socket.socket() as listener, ThreadPoolExecutor(2) as threads:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        targets = {
            "canary": str(canary),
            "port": listener.getsockname()[1],
            "pid": os.getpid(),
            "variable": "CODEFAVOR_TEST_CANARY",
        }
        codes = [c.code.format(**targets) if c.family == "reaching out" else c.code for c in cases]
        results = threads.map(
            lambda pair: pool.run(pair[0], pair[1].tests, _HOSTILE, entry_point="f"),
            zip(codes, cases, strict=True),
        )
        for case, result in zip(cases, results, strict=True):
            if not case.allows(result.outcome):
                found.append(f"{pool.level} {case.name}: {result.outcome} {result.error[:300]}")
        try:
            listener.accept()
            found.append(f"{pool.level}: somebody connected")
        except BlockingIOError:
            pass
    if canary.read_text() != "secret" or canary.stat().st_mode != mode:
        found.append(f"{pool.level}: the canary was touched")
    if [path.name for path in folder.iterdir()] != ["canary"]:
        found.append(f"{pool.level}: a file was planted")
    return found


if __name__ == "__main__":
    sys.exit(main(*(tuple(sys.argv[1].split(",")),) if sys.argv[1:] else (), *sys.argv[2:]))
