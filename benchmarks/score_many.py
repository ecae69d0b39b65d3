"""Many samples scored by the command, killed and resumed: is memory flat, is anything left?

    python benchmarks/score_many.py [--samples 100000] [--seconds 0] [--workers 2] [--released]

Samples of the starter problems, each text only once: half of them references, half programs that
answer nothing. With `--released` the samples of StarCoder2-15B-instruct for HumanEval instead
(CODEFAVOR_DATA), each with a statement more, so that no run can be spared. After a third of the
samples (or of `--seconds`) the command gets SIGKILL, then it runs again to the end (or until the
seconds are over, and is interrupted). Prints resident memory as it goes, how many samples were
scored twice, and what remains of processes, descriptors, temporary files and namespaces.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from sandbox_soak import memory_mib, remains

from codefavor.records import write_rows
from codefavor.scoring.sample_files import read_samples
from codefavor.sources.problems import load_problems

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Score until the end or the time is reached, with one kill on the way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=0.0, help="0: until all are scored")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--released", action="store_true", help="a model's samples of HumanEval")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="score-many-"))
    # What the command leaves in a folder of its own can be counted.
    (folder / "tmp").mkdir()
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    # What outlives the killed command becomes a child of this process, and is seen.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = remains()
    samples = _released() if options.released else _made()
    numbered = itertools.islice(enumerate(itertools.cycle(samples)), options.samples)
    write_rows(
        folder / "samples.jsonl",
        ({"task_id": name, "solution": code.format(number)} for number, (name, code) in numbered),
    )
    start = time.monotonic()
    end = start + (options.seconds or 1e9)
    third = start + options.seconds / 3 if options.seconds else end
    command = [
        sys.executable, "-m", "codefavor", "score", str(folder / "samples.jsonl"),
        "--out", str(folder / "scored.jsonl"), "--workers", str(options.workers),
        "--problems", "humaneval" if options.released else "starter",
    ]  # fmt: skip
    n_killed = _watch(command, folder, options.samples // 3, third, signal.SIGKILL)
    n_done = _watch(command, folder, options.samples, end, signal.SIGINT)
    # What is dying has a moment to do so.
    time.sleep(2)
    counts, n_twice = Counter[str](), 0
    for line in (folder / "scored.jsonl.journal").open(encoding="utf-8"):
        record = json.loads(line)
        n_twice += record["id"] in counts
        counts[record["id"]] += 1
    print(f"{n_done} samples, {n_killed} of them before the kill; {n_twice} scored twice")
    print(f"before {before}\nafter  {remains()}\n{folder}")


def _made() -> list[tuple[str, str]]:
    """Problem and program, whose braces take a number."""
    problems = load_problems("starter")
    right = [(one.id, _escaped(one.reference) + "\n# {0}\n") for one in problems]
    wrong = [(one.id, f"def {one.entry_point}(*values):\n    return {{0}}\n") for one in problems]
    return [*wrong, *right]


def _released() -> list[tuple[str, str]]:
    data = Path(os.environ["CODEFAVOR_DATA"])
    problems = {one.id: one for one in load_problems("humaneval", data_dir=data)}
    (path,) = (data / "sc2instruct_evalplus").glob("*-humaneval.jsonl")
    samples = read_samples(path, problems)
    return [(name, _escaped(one.code) + "\n_number = {0}\n") for name, (one,) in samples.items()]


def _escaped(code: str) -> str:
    return code.replace("{", "{{").replace("}", "}}")


def _watch(command: list[str], folder: Path, most: int, end: float, how: signal.Signals) -> int:
    """Run the command until so many samples are scored or the time is over, then signal it."""
    journal = folder / "scored.jsonl.journal"
    with (folder / "log").open("ab") as log:
        run = subprocess.Popen(command, stdout=log, stderr=log)
        shown = 0.0
        while run.poll() is None:
            time.sleep(0.5)
            n = _n_lines(journal)
            if time.monotonic() >= shown + 10:
                shown = time.monotonic()
                print(f"{n:>7} scored  all processes {sum(memory_mib()):6.1f} MiB", flush=True)
            if n >= most or time.monotonic() >= end:
                if n < most or how is signal.SIGKILL:
                    run.send_signal(how)
                break
        run.wait()
    return _n_lines(journal)


def _n_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as handle:
        return sum(block.count(b"\n") for block in iter(lambda: handle.read(1 << 20), b""))


if __name__ == "__main__":
    main()
