"""What a training runs on: accelerators, memory, and the versions of what it runs with."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from codefavor import __version__
from codefavor.records import Row

GIB = 1 << 30
# What decides the result of a training, besides recipe, data and model.
_PACKAGES = (
    "axolotl",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
    "deepspeed",
    "flash-attn",
    "bitsandbytes",
)


def count_gpus() -> int:
    """How many accelerators torch can use here."""
    return len(gpu_memories())


def gpu_memories() -> list[tuple[str, float]]:
    """Name and memory in GiB of every accelerator here; asks torch only where a device file is."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return []
    if not any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd")):
        return []
    question = (
        "import json, torch; print(json.dumps([(p.name, p.total_memory / 2**30) for p in "
        "map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, check=False
    )
    found = json.loads(answer.stdout) if answer.returncode == 0 else []
    return [(str(name), float(memory)) for name, memory in found]


def main_memory_gib() -> float:
    """The memory of this machine in GiB, or what a container lets this process have of it."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text(encoding="utf-8").strip() if limit.is_file() else "max"
    return min(pages, int(text) if text.isdigit() else pages) / GIB


def installed_versions() -> dict[str, str]:
    """The version of every package that decides a training's result, where it is installed."""
    found = {"python": platform.python_version(), "codefavor": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_hardware(gpus: int) -> Row:
    """The machine of a run: processor, cores this process may use, memory, accelerators."""
    cards = [name for name, _ in gpu_memories()[:gpus]] if gpus else []
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(main_memory_gib(), 1),
        "disk_free_gib": round(shutil.disk_usage(Path.cwd()).free / GIB, 1),
        "gpus": cards,
        "system": platform.platform(),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
