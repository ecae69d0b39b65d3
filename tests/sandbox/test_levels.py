"""The level is what the kernel really gives: by Landlock version, and with layers left out."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from codefavor.errors import SandboxError
from codefavor.sandbox.selftest import prove
from tests.sandbox.escapes import LANDLOCK_VERSIONS, defects, unnoticed_removals


@pytest.mark.parametrize(
    ("level", "version"),
    [("L3", 0), *((level, version) for level in ("L3", "L2") for version in range(1, 8))],
)
def test_a_kernel_gives_the_level_of_the_table(level: str, version: int) -> None:
    worker, proof = prove(level, level, emulate={"landlock_version": version})
    worker.close()
    assert proof.level == level
    assert ("landlock" in proof.layers) == (version > 0)


def test_a_kernel_without_landlock_and_namespaces_is_refused() -> None:
    with pytest.raises(SandboxError, match=r"no level L2 here: .*Landlock.*What helps: .*5\.13"):
        prove("L2", "L2", emulate={"landlock_version": 0})


@pytest.mark.parametrize("level", ["L3", "L2"])
def test_no_layer_can_be_missing_unnoticed(level: str) -> None:
    assert unnoticed_removals(level) == []


@pytest.mark.parametrize(
    ("level", "version"), [("L3", 0), *(("L2", version) for version in LANDLOCK_VERSIONS)], ids=str
)
def test_nothing_of_the_user_is_touched_on_any_kernel(level: str, version: int) -> None:
    assert defects(level, version) == []


def test_a_caller_that_is_ended_leaves_no_directory_behind() -> None:
    run = "p.run(\"open('left', 'w').write('x')\\nimport time\\ntime.sleep(60)\", \"assert f(1)\")"
    code = "from codefavor.sandbox import SandboxPool\n"
    code += f"p = SandboxPool(1, required_level='L2', highest_level='L2')\n{run}\n"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        caller = subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, "TMPDIR": folder}
        )
        until = time.monotonic() + 120
        while not list(Path(folder).glob("codefavor-*/work/left")) and time.monotonic() < until:
            time.sleep(0.1)
        assert list(Path(folder).glob("codefavor-*/work/left"))
        caller.terminate()
        caller.wait()
        while list(Path(folder).iterdir()) and time.monotonic() < until:
            time.sleep(0.1)
        assert list(Path(folder).iterdir()) == []
