"""Many runs in one go: is the memory flat, and is anything left behind?

    python benchmarks/sandbox_soak.py [--runs 100000] [--level L3] [--workers 2]

Short programs of every kind (right, wrong, raising, with classes, with files, hostile ones
that exit, fork or write a lot; now and then one that is endless, greedy, read from standard input,
or judged by pytest in the together lane), each text only once. Prints the memory of this process
and of all processes below it as it goes, and at the end what remains of processes, descriptors,
temporary files and namespaces after the pool has closed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from codefavor.sandbox import Limits, SandboxPool

_SQUARE = "assert f(2) == 4\nassert f(3) == 9"
_CLASS = "s = S(3)\nassert s.area() == 9"
# (program, tests, outcomes that are right)
KINDS = [
    ("def f(x):\n    return x * x\n", _SQUARE, ("passed",)),
    ("def f(x):\n    return x + x\n", _SQUARE, ("wrong_output",)),
    ("def f(x):\n    return x / 0\n", _SQUARE, ("runtime_error",)),
    ("def f(x) return x\n", _SQUARE, ("syntax_error",)),
    ("class S:\n    def __init__(self, a):\n        self.a = a\n    def area(self):\n"
     "        return self.a ** 2\n", _CLASS, ("passed",)),
    ("def f(x):\n    open('a', 'w').write('x' * 1000)\n    return x * x\n", _SQUARE, ("passed",)),
    ("import math\ndef f(x):\n    return x * x\n",
     "import math\nassert math.isclose(f(2), 4.0)", ("passed",)),
    ("import os\ndef f(x):\n    os._exit(0)\n", _SQUARE, ("runtime_error",)),
    ("import os\ndef f(x):\n    return os.fork()\n", _SQUARE, ("sandbox_violation",)),
    ("def f(x):\n    print('y' * 100000)\n    return x * x\n", _SQUARE, ("passed",)),
    ("f = lambda x: x * x\n", "import random\nassert f(random.seed(1) or 2) == 4", ("passed",)),
    ("def f(x):\n    return x * x\n", "def test_f():\n    assert f(2) == 4", ("passed",)),
    ("def f(x):\n    return x * x\n", "assert all(map(f, map(f, [1])))", ("passed",)),
]  # fmt: skip
_CASES = '{"cases": [{"input": "3", "output": "9"}, {"input": "2", "output": "4"}]}'
_FIXTURE = "def test_f(tmp_path):\n    (tmp_path / 'a').write_text('b')\n    assert f(3) == 9"
# These cost more: one in every hundred runs.
RARE = [
    ("def f(x):\n    return x * x\n", _FIXTURE, ("passed",)),
    ("def f(x):\n    return x + x\n", _FIXTURE, ("wrong_output",)),
    ("print(int(input()) ** 2)\n", _CASES, ("passed",)),
    ("def f(x):\n    while True:\n        pass\n", _SQUARE, ("timeout",)),
    ("def f(x):\n    return [0] * 10**9\n", _SQUARE, ("memory",)),
    ("import os\ndef f(x):\n    for i in range(3000):\n        open(str(i), 'w').close()\n",
     _SQUARE, ("runtime_error", "output_limit")),
]  # fmt: skip
_LIMITS = Limits(cpu_s=0.5, wall_s=60.0, memory_bytes=256 << 20)


def main() -> None:
    """Print a line of figures for every twentieth of the runs, and what remains at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--level", default="L3")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    # A folder of its own, so that what others leave in the common one is not counted.
    tempfile.tempdir = tempfile.mkdtemp(prefix="soak-")
    before = remains()
    start, wrong = time.monotonic(), Counter[str]()
    step = max(options.runs // 20, 1)
    with (
        SandboxPool(
            options.workers,
            required_level=options.level,
            highest_level=options.level,
            accept="together",
            dedupe=False,
        ) as pool,
        ThreadPoolExecutor(options.workers) as threads,
    ):
        for first in range(0, options.runs, step):
            numbers = range(first, min(first + step, options.runs))
            wrong.update(filter(None, threads.map(lambda n: run(pool, n), numbers)))
            own, below = memory_mib()
            print(
                f"{numbers.stop:>7} runs  {time.monotonic() - start:7.0f} s  own {own:6.1f} MiB  "
                f"below {below:6.1f} MiB  wrong outcomes {wrong.total()}  {remains()}",
                flush=True,
            )
    print(f"wrong outcomes: {dict(wrong) or 'none'}")
    print(f"before {before}")
    print(f"after  {remains()}")
    Path(tempfile.gettempdir()).rmdir()


def run(pool: SandboxPool, number: int) -> str:
    """Empty if the outcome is right, else what went wrong."""
    kinds = KINDS if number % 100 else RARE
    kind = number // (1 if number % 100 else 100) % len(kinds)
    code, tests, right = kinds[kind]
    result = pool.run(f"{code}# {number}\n", tests, _LIMITS)
    return "" if result.outcome in right else f"{kinds[kind]}: {result.outcome} {result.error}"


def memory_mib() -> tuple[float, float]:
    """Resident memory of this process, and of all below it together."""
    # Some of them end while they are looked at.
    found = {pid: _status(pid, "VmRSS").split() for pid in family()}
    sizes = {pid: int(words[0]) / 1024 for pid, words in found.items() if words}
    own = sizes.pop(os.getpid())
    return own, sum(sizes.values())


def family() -> set[int]:
    """This process and all below it."""
    parents = {int(path.name): int(_status(int(path.name), "PPid") or 0) for path in _processes()}
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid for pid in found if _status(pid, "VmRSS")}


def _processes() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _status(pid: int, name: str) -> str:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def remains() -> dict[str, int]:
    """What a run could leave: processes, descriptors, temporary files, pid namespaces."""
    pids = family()
    spaces = set()
    for pid in pids:
        try:
            spaces.add(str(Path(f"/proc/{pid}/ns/pid").readlink()))
        except OSError:
            continue
    return {
        "processes": len(pids),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "temporary files": len(list(Path(tempfile.gettempdir()).iterdir())),
        "pid namespaces": len(spaces),
    }


if __name__ == "__main__":
    main()
