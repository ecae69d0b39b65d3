"""Suites a minute of the reward for writing tests, on HumanEval's references, mutants included.

    .venv/bin/python benchmarks/suite_reward.py --n 400
    .venv/bin/python benchmarks/suite_reward.py --n 20000      # is memory flat?

The suites are made of the problems' own checks as pytest functions: a third with all of them, a
third with the first two, a third with one wrong expectation. Prints suites a minute, CPU time a
suite of the jails and of this process with what that makes on 2 free cores, and resident memory (of
this process, and of all the processes under it) at the start, ten times on the way, and at the end.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import itertools
import os
import resource
import time
from collections import Counter
from pathlib import Path

from codefavor.errors import ConfigError
from codefavor.records import Problem
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems
from codefavor.training import suite_reward


def suites_of(problem: Problem) -> list[str]:
    """Three suites of the checks of a problem; none if they are no plain asserts."""
    tree = ast.parse(problem.tests)
    check = next((n for n in tree.body if getattr(n, "name", "") == "check"), None)
    asserts = [n for n in getattr(check, "body", ()) if isinstance(n, ast.Assert)]
    if len(asserts) < 3:
        return []
    found = []
    for kept, last in (
        (asserts, ""),
        (asserts[:2], ""),
        (asserts[:3], "    assert candidate is None\n"),
    ):
        body = "".join(f"    {ast.unparse(node)}\n" for node in kept) + last
        head = f"from solution import {problem.entry_point} as candidate\nimport math\n"
        found.append(f"{head}def test_it():\n{body}")
    return found


def resident_mib() -> float:
    """What this process holds."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def children_mib() -> float:
    """What the jails under this process hold, shared pages divided by who shares them."""
    total, waiting = 0, [os.getpid()]
    while waiting:
        number = waiting.pop()
        for task in Path(f"/proc/{number}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                waiting += map(int, task.read_text().split())
        if number != os.getpid():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--problems", type=int, default=40)
    options = parser.parse_args()
    problems = [p for p in load_problems("humaneval", data_dir=data_folder()) if suites_of(p)]
    kept: list[tuple[str, Problem]] = []
    for problem in problems[: options.problems]:
        try:
            suite_reward.test_quality(["x"], **columns([problem]))
        except ConfigError as error:
            print(f"{problem.id} left out: {error}")
            continue
        kept += [(suite, problem) for suite in suites_of(problem)]
    jobs = list(itertools.islice(itertools.cycle(kept), options.n))
    scorer = suite_reward._measurer._scorer
    assert scorer is not None
    jails = scorer._pool.cpu_seconds
    before = time.perf_counter(), time.process_time(), jails(), resident_mib()
    scores: Counter[str] = Counter()
    for start in range(0, len(jobs), options.batch):
        part = jobs[start : start + options.batch]
        texts = [f"```python\n{suite}```" for suite, _ in part]
        found = suite_reward.test_quality(texts, **columns([problem for _, problem in part]))
        if start // options.batch % max(1, len(jobs) // options.batch // 10) == 0:
            print(
                f"{start} suites: {resident_mib():.0f} MiB, children {children_mib():.0f}",
                flush=True,
            )
        scores.update("none" if one is None else f"{one:.1f}" for one in found)
    wall, own, jailed = (
        time.perf_counter() - before[0],
        time.process_time() - before[1],
        jails() - before[2],
    )
    n = len(jobs)
    print(f"{n} suites, {60 * n / wall:.0f} a minute")
    print(f"CPU-ms a suite: jails {1e3 * jailed / n:.1f}, here {1e3 * own / n:.1f}")
    print(f"{120 * n / (jailed + own):.0f} a minute of 2 cores that do nothing else")
    print(f"resident MiB here: {before[3]:.0f} -> {resident_mib():.0f}")
    print(dict(sorted(scores.items())))


def columns(problems: list[Problem]) -> dict[str, list[str]]:
    """The columns of these problems."""
    names = ("reference", "tests", "entry_point", "setup")
    found = {name: [getattr(problem, name) for problem in problems] for name in names}
    return {**found, "instruction": [one.instruction + one.prompt for one in problems]}


if __name__ == "__main__":
    main()
