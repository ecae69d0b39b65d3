"""The most memory of one command at 10^4 to 10^6 rows: plain, a shard, the merge of shards.

The rows have ended before, so that nothing is asked and no program runs: what is measured is what
the command itself holds of its rows. Their records are those of one row that really ran.

    python benchmarks/driver_memory.py --rows 10000 100000 1000000
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from codefavor.backends.base import Request
from codefavor.engine.rows_to_do import input_digest
from codefavor.engine.shards import Shard, code_sha256
from codefavor.journal_file import encode
from codefavor.journal_manifest import manifest_path, note_shard
from codefavor.records import Problem, Row, write_rows
from codefavor.scoring.by_tests import join_with_problems

ROOT = Path(__file__).resolve().parents[1]
N_PROBLEMS, N_SHARDS = 1000, 8
PROGRAM = "def double(number):\n    return 2 * number\n"


def double(_request: Request) -> str:
    """A program, so that each row yields one."""
    return f"```python\n{PROGRAM}```"


# Not the kernel's `ru_maxrss`, in which a process begins with the peak of its parent.
WATCHED = """
import atexit, sys, time
from codefavor.cli.main import main

def tell():
    lines = open("/proc/self/status").read().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    print(peak, time.process_time(), file=sys.stderr)

atexit.register(tell)
main()
"""


def run(words: str, folder: Path) -> tuple[int, float]:
    """(peak of resident MB, CPU seconds) of the command's own process."""
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-c", WATCHED, *words.split()]
    options: dict[str, Any] = {"capture_output": True, "text": True, "env": environment}
    done = subprocess.run(command, cwd=folder, check=False, **options)
    if done.returncode:
        sys.exit(f"{words}\n{done.stderr}")
    peak_kb, cpu_s = done.stderr.splitlines()[-1].split()
    return int(peak_kb) >> 10, float(cpu_s)


def problem(number: int) -> Row:
    """A small problem."""
    return Problem(
        id=f"p{number}",
        instruction=f"Double number {number}.",
        tests=f"assert double({number}) == {2 * number}\n",
        entry_point="double",
    ).to_row()


def completions(n: int) -> Iterator[Row]:
    """Right programs, each another text."""
    for number in range(n):
        code = f"{PROGRAM}# {number}\n"
        yield {"id": f"c{number}", "problem_id": f"p{number % N_PROBLEMS}", "code": code}


def score_rows(folder: Path) -> Iterator[Row]:
    """The rows of `score`, as it makes them."""
    known = {f"p{n}": Problem.from_row(problem(n)) for n in range(N_PROBLEMS)}
    return join_with_problems(folder / "input.jsonl", known)


def scored(record: Row, row: Row) -> Row:
    """What ran, as the record of another row."""
    result = {**row["completion"], "execution": record["row"]["execution"]}
    return {**record, "id": row["id"], "input": input_digest(row), "row": result}


def drafted(record: Row, row: Row) -> Row:
    """As `scored`, for drafts."""
    answers = [
        {**one, "id": f"d{row['id']}", "problem_id": row["id"], "instruction": row["instruction"]}
        for one in record["row"]["completions"]
    ]
    result = {"id": row["id"], "completions": answers}
    return {**record, "id": row["id"], "input": input_digest(row), "row": result}


SCORE = "score input.jsonl --problems problems.jsonl --workers 1 --out out.jsonl"
DRAFTS = (
    "synthesise drafts --problems input.jsonl --model fake:benchmarks.driver_memory:double "
    "--n 1 --out out.jsonl"
)


def measure(words: str, rows: Iterable[Row], like: Callable[[Row, Row], Row], folder: Path) -> None:
    """Print a line for the plain run, one shard, and the merge."""
    first = (folder / "input.jsonl").read_text().splitlines(keepends=True)[0]
    (folder / "one").mkdir()
    (folder / "one/input.jsonl").write_text(first)
    shutil.copy(folder / "problems.jsonl", folder / "one")
    run(words, folder / "one")
    record = json.loads((folder / "one/out.jsonl.journal").read_bytes())
    journals: dict[int | None, Path] = {None: folder / "out.jsonl.journal"}
    for index in range(N_SHARDS):
        place = folder / "shards" / f"{index}-of-{N_SHARDS}"
        place.mkdir(parents=True)
        journals[index] = place / "out.jsonl.journal"
    for index, path in journals.items():
        shutil.copy(manifest_path(folder / "one/out.jsonl.journal"), manifest_path(path))
        if index is not None:
            note_shard(path, f"{index}/{N_SHARDS}", code_sha256())
    with contextlib.ExitStack() as stack:
        files = {key: stack.enter_context(open(path, "wb")) for key, path in journals.items()}
        for row in rows:
            line = encode(like(record, row))
            files[None].write(line)
            files[Shard.of(row["id"], N_SHARDS).index].write(line)
    told = [("plain", words), ("a shard", f"{words} --shard 0/{N_SHARDS}")]
    for name, command in told:
        show(name, run(command, folder))
    for path in folder.glob("out.jsonl*"):
        path.unlink()
    show("merge", run(f"merge-shards {words}", folder))


def show(name: str, found: tuple[int, float]) -> None:
    """One line."""
    print(f"  {name:<8} {found[0]:>6} MB {found[1]:>8.1f} CPU s", flush=True)


def main() -> None:
    """Measure `score` and `synthesise drafts` at each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--only", choices=["score", "drafts"])
    parser.add_argument("--folder", type=Path, help="Where to work [the system's]")
    given = parser.parse_args()
    for n in given.rows:
        for name in [given.only] if given.only else ["score", "drafts"]:
            with tempfile.TemporaryDirectory(dir=given.folder) as made:
                folder, started = Path(made), time.time()
                write_rows(folder / "problems.jsonl", map(problem, range(N_PROBLEMS)))
                is_score = name == "score"
                asked = completions(n) if is_score else map(problem, range(n))
                write_rows(folder / "input.jsonl", asked)
                n_bytes = (folder / "input.jsonl").stat().st_size
                print(f"{name}, {n:,} rows of {n_bytes // n} bytes", flush=True)
                if is_score:
                    measure(SCORE, score_rows(folder), scored, folder)
                else:
                    measure(DRAFTS, map(problem, range(n)), drafted, folder)
                print(f"  ({time.time() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
