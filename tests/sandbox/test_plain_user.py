"""Everything also holds for a user without privileges, on every Python that is here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534
_ROOT = Path(__file__).resolve().parents[2]
_LEFT_OUT = shutil.ignore_patterns(
    "site-packages", "test", "idlelib", "ensurepip", "*.a", "tkinter"
)
_ASK = "import sys; print(sys.base_prefix); print('%d.%d' % sys.version_info[:2])"


def _pythons() -> list[object]:
    """This interpreter, and others of 3.10 to 3.13; those take minutes each."""
    found: list[object] = [pytest.param(sys.executable, id="this")]
    for minor in range(10, 14):
        name = f"python3.{minor}"
        here = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"))
        path = str(here[0]) if here else shutil.which(name)
        if path and minor != sys.version_info.minor:
            found.append(pytest.param(path, id=name, marks=pytest.mark.slow))
    return found


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; that of pytest is closed."""
    folder = Path(tempfile.mkdtemp(prefix="plain-user-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def _copy_python(python: str, folder: Path) -> Path:
    """A copy of an interpreter and its standard library, which may lie under a closed home."""
    asked = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=True)
    prefix, version = asked.stdout.split()
    library, name = Path(prefix, "lib"), f"python{version}"
    (folder / "bin").mkdir()
    shutil.copy2(Path(prefix, "bin", name).resolve(), folder / "bin" / name)
    shutil.copytree(library / name, folder / "lib" / name, ignore=_LEFT_OUT)
    for shared in library.glob("libpython*.so*"):
        shutil.copy2(shared, folder / "lib" / shared.name)
    return folder / "bin" / name


@pytest.mark.parametrize("python", _pythons())
def test_everything_also_holds_for_a_plain_user(python: str, open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("this whole suite already runs as a plain user")
    copied = _copy_python(python, open_folder)
    for part in ("codefavor", "tests"):
        shutil.copytree(_ROOT / part, open_folder / part)
    subprocess.run(["chmod", "-R", "a+rX", str(open_folder)], check=True)
    # As an environment of their own: what a jail may read is then theirs, and could be emptied.
    subprocess.run(["chown", "-R", str(NOBODY), str(open_folder / "lib")], check=True)
    environment = {
        "PATH": "/usr/bin:/bin",
        "TMPDIR": "/tmp",
        "PYTHONPATH": str(open_folder),
        "LD_LIBRARY_PATH": str(open_folder / "lib"),
    }
    done = subprocess.run(
        [copied, "-m", "tests.sandbox.plain_user"], user=NOBODY, group=NOBODY, extra_groups=[],
        check=False, capture_output=True, text=True, cwd="/", env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"uid {NOBODY}" in done.stdout
