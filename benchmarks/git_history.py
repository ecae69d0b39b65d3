"""How long it takes to mine a repository, and how memory grows with its history.

    python benchmarks/git_history.py --commits 5000
    python benchmarks/git_history.py --commits 300 --file lodash.js

The history is made: one file of 40 functions, one of which changes in each commit; or a file of
yours, in which each commit changes a number or a comparison on one to three lines.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import resource
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from codefavor.sources.commits import load_commits

LICENCE = "Permission is hereby granted, free of charge, to any person obtaining a copy\n"


def versions_of_functions(n_commits: int, rng: random.Random) -> Iterator[str]:
    """A module of 40 functions, and what each commit makes of it."""
    bodies = [[rng.randint(0, 99) for _ in range(4)] for _ in range(40)]
    for _ in range(n_commits):
        bodies[rng.randrange(40)][rng.randrange(4)] = rng.randint(0, 10**6)
        yield "\n\n".join(
            f"def f{i}(u):\n" + "".join(f"    u += {x}\n" for x in body) + "    return u\n"
            for i, body in enumerate(bodies)
        )


def versions_of_file(path: Path, n_commits: int, rng: random.Random) -> Iterator[str]:
    """A file, and what each commit makes of it."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    is_open = re.compile(r"^ +(?!\*|//).*(?:\b\d+\b|===|!==)")
    places = [n for n, line in enumerate(lines) if is_open.match(line)]
    yield "".join(lines)
    for number in range(1, n_commits):
        for at in rng.sample(places, rng.randint(1, 3)):
            found = re.search(r"\b\d+\b|===|!==", lines[at])
            assert found is not None
            turned = {"===": "!==", "!==": "==="}.get(found[0], str(number))
            lines[at] = lines[at][: found.start()] + turned + lines[at][found.end() :]
        yield "".join(lines)


def write_history(stream: IO[bytes], name: str, versions: Iterable[str]) -> None:
    """The history as `git fast-import` reads it."""

    def data(text: str) -> None:
        encoded = text.encode()
        stream.write(b"data %d\n%b\n" % (len(encoded), encoded))

    for number, text in enumerate(versions):
        when = 1_600_000_000 + number
        stream.write(b"commit refs/heads/main\ncommitter x <x@x> %d +0000\n" % when)
        data(f"Change number {number} for the better")
        if number == 0:
            stream.write(b"M 100644 inline LICENSE\n")
            data(LICENCE)
        stream.write(b"M 100644 inline sea/%s\n" % name.encode())
        data(text)


def main() -> None:
    """Make a history, mine it, print times and memory at a tenth and at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=5000)
    parser.add_argument("--file", type=Path)
    arguments = parser.parse_args()
    n_commits, rng = arguments.commits, random.Random(0)
    name = arguments.file.name if arguments.file else "tide.py"
    versions = (
        versions_of_file(arguments.file, n_commits, rng)
        if arguments.file
        else versions_of_functions(n_commits, rng)
    )
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "sea"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(repository)], check=True)
        command = ["git", "-C", str(repository), "fast-import", "--quiet"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as importer:
            assert importer.stdin is not None
            write_history(importer.stdin, name, versions)
        skipped: Counter[str] = Counter()
        start = time.process_time()
        digest, number = hashlib.sha256(), 0

        def tell() -> None:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            cpu = round(time.process_time() - start, 1)
            print(json.dumps({"rows": number, "cpu_s": cpu, "peak_mib": round(memory)}))

        for number, row in enumerate(load_commits(str(repository), skipped=skipped), start=1):
            digest.update(row.id.encode() + row.context.encode())
            if number == n_commits // 10:
                tell()
        tell()
        print(json.dumps({"left out": skipped, "sha256": digest.hexdigest()[:16]}))


if __name__ == "__main__":
    main()
