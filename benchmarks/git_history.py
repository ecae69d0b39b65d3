"""How long it takes to mine a repository, and how memory grows with its history.

    python benchmarks/git_history.py --commits 5000

The history is made: one file of 40 functions, one of which changes in each commit.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO

from codefavor.sources.commits import load_commits

LICENCE = "Permission is hereby granted, free of charge, to any person obtaining a copy\n"


def write_history(stream: IO[bytes], n_commits: int, seed: int = 0) -> None:
    """The history as `git fast-import` reads it."""
    rng = random.Random(seed)
    bodies = [[rng.randint(0, 99) for _ in range(4)] for _ in range(40)]

    def data(text: str) -> None:
        encoded = text.encode()
        stream.write(b"data %d\n%b\n" % (len(encoded), encoded))

    for number in range(n_commits):
        bodies[rng.randrange(40)][rng.randrange(4)] = rng.randint(0, 10**6)
        when = 1_600_000_000 + number
        stream.write(b"commit refs/heads/main\ncommitter x <x@x> %d +0000\n" % when)
        data(f"Change number {number} for the better")
        if number == 0:
            stream.write(b"M 100644 inline LICENSE\n")
            data(LICENCE)
        stream.write(b"M 100644 inline sea/tide.py\n")
        data(
            "\n\n".join(
                f"def f{i}(u):\n" + "".join(f"    u += {x}\n" for x in body) + "    return u\n"
                for i, body in enumerate(bodies)
            )
        )


def main() -> None:
    """Make a history, mine it, print times and memory at a tenth and at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=5000)
    n_commits = parser.parse_args().commits
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "sea"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(repository)], check=True)
        command = ["git", "-C", str(repository), "fast-import", "--quiet"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as importer:
            assert importer.stdin is not None
            write_history(importer.stdin, n_commits)
        skipped: Counter[str] = Counter()
        start = time.process_time()
        for number, _ in enumerate(load_commits(str(repository), skipped=skipped), start=1):
            if number == n_commits // 10 or number == n_commits - 1:
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                cpu = round(time.process_time() - start, 1)
                print(json.dumps({"rows": number, "cpu_s": cpu, "peak_mib": round(memory)}))
        print(json.dumps({"left out": skipped}))


if __name__ == "__main__":
    main()
